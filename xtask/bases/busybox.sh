#!/bin/sh
# Turns a tree that holds only Debian's busybox-static, unpacked, into the `busybox` stand-in, as a
# mmdebstrap hook: one static binary, a link for each of its applets, and the handful of files that
# the image on Docker Hub has.
#
# usage: busybox.sh TREE
set -eu
umask 022
tree=$1

aside=$(mktemp)
trap 'rm -f "$aside"' EXIT
for binary in "$tree/bin/busybox" "$tree/usr/bin/busybox"; do
    if [ -e "$binary" ]; then cp "$binary" "$aside"; fi
done
# /dev is left alone: mmdebstrap has mounts there.
find "$tree" -mindepth 1 -maxdepth 1 ! -name dev -exec rm -rf --one-file-system {} +

for directory in bin dev etc home lib proc root run sys tmp usr/bin usr/sbin var/log var/spool/mail var/www; do
    mkdir -p "$tree/$directory"
done
chmod 0755 "$tree"
chmod 1777 "$tree/tmp"
chmod 0700 "$tree/root"

install -m 0755 "$aside" "$tree/bin/busybox"
"$tree/bin/busybox" --list | while read -r applet; do
    [ "$applet" = busybox ] || ln "$tree/bin/busybox" "$tree/bin/$applet"
done
ln -s ../../bin/env "$tree/usr/bin/env"

cat > "$tree/etc/passwd" <<'END'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
sync:x:4:100:sync:/bin:/bin/sync
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
operator:x:37:37:Operator:/var:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
END
cat > "$tree/etc/group" <<'END'
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
lp:x:7:
mail:x:8:
wheel:x:10:root
cdrom:x:11:
dialout:x:18:
floppy:x:19:
video:x:28:
audio:x:29:
www-data:x:33:
operator:x:37:
users:x:100:
nogroup:x:65534:
END
cat > "$tree/etc/shadow" <<'END'
root:*:::::::
nobody:*:::::::
END
chmod 0600 "$tree/etc/shadow"
cat > "$tree/etc/nsswitch.conf" <<'END'
passwd: files
group: files
shadow: files
hosts: files dns
END
