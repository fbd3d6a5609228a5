# A small tour of hoist on cgroup v2.
set -e
hoist import --change 'CMD ["sh"]' /base.tar busybox > /dev/null
uname -r
hoist run --rm busybox echo hello from a container
hoist run -d --name box --memory 64m --cpus 0.5 --pids-limit 32 busybox sleep 1000 > /dev/null
hoist ps
cd /sys/fs/cgroup/hoist/*
head memory.max cpu.max pids.max
cd /
hoist rm -f box
hoist run --rm --memory 16m busybox tail /dev/zero || echo "exit $?"
