#!/bin/busybox sh
# Process 1 of the emulated machine.
bb=/bin/busybox

if [ ! -e /on-tmpfs ]; then
    # The kernel's first root cannot be pivoted away from: go on in a tmpfs.
    $bb mkdir /new
    $bb mount -t tmpfs -o mode=0755 root /new
    $bb cp -a /bin /lib /init /commands /base.tar /new/
    $bb touch /new/on-tmpfs
    exec $bb switch_root /new /init
fi

for directory in proc sys dev run tmp etc var usr/bin root; do $bb mkdir -p /$directory; done
$bb --install -s /usr/bin
export PATH=/bin:/usr/bin HOME=/root TERM=dumb
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for controller in cpu cpuset io memory pids; do
    echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control 2> /dev/null
done
depmod
for module in overlay veth bridge nf_tables nft_chain_nat nft_nat nft_masq nft_ct nft_fib_ipv4 loop erofs; do
    modprobe "$module" || echo "no module $module"
done
ip link set lo up
hostname vm
echo 'root:x:0:0:root:/root:/bin/sh' > /etc/passwd
echo 'root:x:0:' > /etc/group
echo 'nameserver 192.0.2.53' > /etc/resolv.conf

sh /commands
echo "commands ended: $?"
sync
poweroff -f
