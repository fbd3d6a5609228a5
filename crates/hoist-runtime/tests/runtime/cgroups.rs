//! Limits, and what the kernel does at them.

use std::{fs, path::Path};

use hoist_core::spec::{CpuLimits, MemoryLimits, PidsLimit, Resources};

use crate::harness::Sandbox;

fn version_2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

#[test]
fn out_of_memory() {
    let sandbox = Sandbox::new();
    let mut request =
        sandbox.request(&["dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=4"]);
    let limit = Some(16 << 20);
    request.resources.memory = Some(MemoryLimits {
        limit,
        swap: limit,
        reservation: None,
    });
    let finished = sandbox.run(&request);
    assert_eq!(finished.code(), 137, "{finished:?}");
    assert!(finished.oom_kills() > 0, "{finished:?}");
}

#[test]
fn a_limit_of_processes() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.shell("for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; echo done");
    request.resources.pids = Some(PidsLimit { limit: 4 });
    let finished = sandbox.run(&request);
    assert!(finished.output.contains("can't fork"), "{finished:?}");
}

#[test]
fn the_container_sees_its_own_limits() {
    let sandbox = Sandbox::new();
    let script = if version_2() {
        "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/pids.max"
    } else {
        "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us pids/pids.max"
    };
    let mut request = sandbox.shell(script);
    request.resources = Resources {
        memory: Some(MemoryLimits {
            limit: Some(64 << 20),
            ..MemoryLimits::default()
        }),
        cpu: Some(CpuLimits {
            quota: Some(150_000),
            ..CpuLimits::default()
        }),
        pids: Some(PidsLimit { limit: 99 }),
    };
    let expected = if version_2() {
        "67108864\n150000 100000\n99\n"
    } else {
        "67108864\n150000\n99\n"
    };
    assert_eq!(sandbox.run(&request).output, expected);
}

#[test]
fn the_smallest_memory_limit_is_enough_to_start() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.request(&["true"]);
    request.resources.memory = Some(MemoryLimits {
        limit: Some(6 << 20),
        ..MemoryLimits::default()
    });
    assert_eq!(sandbox.run(&request).code(), 0);
}

#[test]
fn a_limit_below_the_minimum() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.request(&["true"]);
    request.resources.memory = Some(MemoryLimits {
        limit: Some(4 << 20),
        ..MemoryLimits::default()
    });
    let finished = sandbox.run(&request);
    let (kind, message, _) = finished.failure();
    assert_eq!(
        (kind, &message[..33]),
        ("Invalid", "Minimum memory limit allowed is 6")
    );
}

/// A version 2 tree, wherever this host has one.
fn tree() -> &'static Path {
    let trees = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
    trees
        .into_iter()
        .find(|tree| tree.join("cgroup.controllers").exists())
        .expect("no cgroup v2 tree: mount -t cgroup2 none /sys/fs/cgroup/unified")
}

#[test]
fn born_in_a_cgroup_of_version_2_with_a_device_program() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.shell(
        "cat /proc/self/cgroup | grep ^0::; ls /sys/fs/cgroup | grep -c cgroup.procs; \
         mknod /tmp/null c 1 3 && echo x >/tmp/null && echo null; \
         mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg 2>&1",
    );
    request.tree = Some(tree().to_owned());
    let finished = sandbox.run(&request);
    assert_eq!(
        finished.output,
        "0::/\n1\nnull\ncat: can't open '/tmp/kmsg': Operation not permitted\n"
    );
}

#[test]
fn everything_in_a_cgroup_of_version_2_is_killed() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.shell("sleep 1000 & sleep 1000 & echo up; wait");
    request.tree = Some(tree().to_owned());
    let mut running = sandbox.start(&request);
    running.started();
    running.wait_for("up");
    let mounts = hoist_runtime::cgroup::Mounts::Version2(tree().to_owned());
    let cgroup = hoist_runtime::Cgroup::open_in(&mounts, &sandbox.cgroup).unwrap();
    assert_eq!(cgroup.pids().unwrap().len(), 3);
    cgroup.kill().unwrap();
    assert_eq!(running.finish().code(), 137);
    assert!(fs::metadata(tree().join(&sandbox.cgroup[1..])).is_err());
}
