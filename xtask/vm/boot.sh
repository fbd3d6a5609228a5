#!/bin/sh
# Boots Debian's kernel in an emulated machine with pure cgroup v2, runs hoist commands in it as root, and
# prints what they print. The exit status is that of the commands.
#
# usage: boot.sh KERNEL HOIST BASE COMMANDS
#
#   KERNEL    a directory made by kernel.sh
#   HOIST     the program, static
#   BASE      the archive of the busybox base image, at /base.tar in the machine
#   COMMANDS  a shell script
set -eu
kernel=$1 hoist=$2 base=$3 commands=$4
here=$(cd "$(dirname "$0")" && pwd)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tree/bin"
busybox=$(command -v busybox)
cp "$busybox" "$work/tree/bin/busybox"
strip -o "$work/tree/bin/hoist" "$hoist"
cp "$base" "$work/tree/base.tar"
cp "$commands" "$work/tree/commands"
cp "$here/init.sh" "$work/tree/init"
chmod 0755 "$work/tree/init"
cp -r "$kernel/lib" "$work/tree/lib"
(cd "$work/tree" && find . | cpio --quiet --create --format=newc) > "$work/initrd"

# The last line of the serial console says how the commands ended.
timeout --kill-after=10 "${VM_SECONDS:-900}" qemu-system-x86_64 \
    -accel tcg -cpu max -m 1024 -smp 1 -nic none -display none -monitor none -serial stdio -no-reboot \
    -kernel "$kernel/vmlinuz" -initrd "$work/initrd" \
    -append "console=ttyS0 quiet panic=-1 cgroup_no_v1=all" < /dev/null | tr -d '\r' | tee "$work/console"
status=$(sed -n 's/^commands ended: //p' "$work/console")
exit "${status:-1}"
