#!/bin/sh
# Fetches Debian's cloud kernel, as a mmdebstrap hook: its image and the modules that containers need.
#
# usage: kernel.sh TREE DESTINATION
set -eu
destination=$2

# The apt settings of the tree, not those of this machine.
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1)

aside=$(mktemp -d)
trap 'rm -rf "$aside"' EXIT
(
    cd "$aside"
    apt-get download -qq "$package" 2> errors || { cat errors >&2; exit 1; }
    dpkg-deb --extract ./*.deb unpacked
)
rm -rf "$destination"
mkdir -p "$destination"
cp "$aside"/unpacked/boot/vmlinuz-* "$destination/vmlinuz"
# In /usr since Debian 13.
modules=$(find "$aside/unpacked" -type d -path '*/lib/modules/*' -prune)
version=$(basename "$modules")
for part in modules.builtin modules.order kernel/crypto kernel/drivers/net/veth.ko kernel/drivers/net/veth.ko.xz \
    kernel/drivers/block/loop.ko kernel/drivers/block/loop.ko.xz kernel/fs/erofs kernel/fs/netfs kernel/fs/overlayfs \
    kernel/lib kernel/net/802 kernel/net/bridge kernel/net/ipv4 kernel/net/ipv6 kernel/net/llc kernel/net/netfilter; do
    [ -e "$modules/$part" ] || continue
    mkdir -p "$destination/lib/modules/$version/$(dirname "$part")"
    cp -r "$modules/$part" "$destination/lib/modules/$version/$part"
done
find "$destination" -name '*.ko.xz' -exec xz --decompress {} +
