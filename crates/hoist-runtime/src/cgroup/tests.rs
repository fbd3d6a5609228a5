//! Real cgroups, each test with names of its own.

use hoist_core::spec::{CpuLimits, MemoryLimits, PidsLimit};

use super::*;

/// A name that no other test and no other run uses.
fn name(test: &str) -> String {
    format!("/hoist-test-{test}-{}", std::process::id())
}

/// Removes the cgroups at the end, also of a failed test.
struct Removed(Cgroup);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.remove();
    }
}

fn limits() -> Resources {
    Resources {
        memory: Some(MemoryLimits {
            limit: Some(64 << 20),
            reservation: Some(32 << 20),
            swap: Some(64 << 20),
        }),
        cpu: Some(CpuLimits {
            shares: Some(512),
            quota: Some(50_000),
            period: Some(100_000),
            cpus: Some("0".to_owned()),
            mems: None,
        }),
        pids: Some(PidsLimit { limit: 20 }),
    }
}

#[test]
fn limits_are_in_the_files() {
    let path = name("limits");
    let cgroup = Removed(Cgroup::create(&path, &limits(), true).unwrap());
    let read = |controller: &str, file: &str| cgroup.0.read(controller, file).unwrap();
    let expected: &[(&str, &str, &str)] = if cgroup.0.version_2 {
        &[
            ("memory", "memory.max", "67108864"),
            ("memory", "memory.swap.max", "0"),
            ("cpu", "cpu.max", "50000 100000"),
            ("pids", "pids.max", "20"),
            ("cpuset", "cpuset.cpus", "0"),
        ]
    } else {
        &[
            ("memory", "memory.limit_in_bytes", "67108864"),
            ("memory", "memory.soft_limit_in_bytes", "33554432"),
            ("memory", "memory.memsw.limit_in_bytes", "67108864"),
            ("cpu", "cpu.shares", "512"),
            ("cpu", "cpu.cfs_quota_us", "50000"),
            ("pids", "pids.max", "20"),
            ("cpuset", "cpuset.cpus", "0"),
        ]
    };
    for (controller, file, value) in expected {
        assert_eq!(read(controller, file).trim(), *value, "{file}");
    }
    assert!(cgroup.0.unavailable().is_empty());
    assert_eq!(cgroup.0.oom_kills(), 0);
    assert!(cgroup.0.pids().unwrap().is_empty());
    Cgroup::open(&path).unwrap();

    cgroup.0.remove().unwrap();
    cgroup.0.remove().unwrap();
    assert!(Cgroup::open(&path).is_err());
}

#[test]
fn killing_and_removing_what_runs() {
    let cgroup = Removed(Cgroup::create(&name("kill"), &Resources::default(), false).unwrap());
    let mut children: Vec<_> = (0..3)
        .map(|_| {
            std::process::Command::new("sleep")
                .arg("1000")
                .spawn()
                .unwrap()
        })
        .collect();
    for child in &children {
        cgroup.0.add(child.id().try_into().unwrap()).unwrap();
    }
    assert_eq!(cgroup.0.pids().unwrap().len(), 3);
    cgroup.0.kill().unwrap();
    for child in &mut children {
        let status = child.wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );
    }
    cgroup.0.remove().unwrap();
}

#[test]
fn what_the_container_made_below_is_removed_too() {
    let cgroup = Removed(Cgroup::create(&name("below"), &Resources::default(), false).unwrap());
    for group in &cgroup.0.groups {
        if group.controller != "cpuset" {
            fs::create_dir_all(group.directory.join("a/b")).unwrap();
        }
    }
    cgroup.0.remove().unwrap();
    assert!(
        cgroup
            .0
            .groups
            .iter()
            .all(|group| !group.directory.exists())
    );
}

#[test]
fn bad_limits_leave_nothing() {
    let path = name("bad");
    let refused = |resources: &Resources| {
        let error = Cgroup::create(&path, resources, false).unwrap_err();
        assert!(Cgroup::open(&path).is_err(), "something was left");
        error
    };
    let memory = |limit| Resources {
        memory: Some(MemoryLimits {
            limit: Some(limit),
            ..MemoryLimits::default()
        }),
        ..Resources::default()
    };
    assert!(matches!(
        refused(&memory(1 << 20)),
        RuntimeError::MemoryLimitTooSmall { .. }
    ));
    let cpus = CpuLimits {
        cpus: Some("4000".to_owned()),
        ..CpuLimits::default()
    };
    let resources = Resources {
        cpu: Some(cpus),
        ..Resources::default()
    };
    assert!(matches!(refused(&resources), RuntimeError::Limit { .. }));
}

#[test]
fn paths_cannot_climb() {
    for path in [
        "",
        "/",
        "hoist/x",
        "/hoist/../x",
        "/..",
        "/a/./../b",
        "/a\0",
    ] {
        let error = Cgroup::create(path, &Resources::default(), false).unwrap_err();
        assert!(matches!(error, RuntimeError::Invalid { .. }), "{path}");
        assert!(Cgroup::open(path).is_err());
    }
}

#[test]
fn a_limit_without_its_controller_is_an_error() {
    let empty = tempfile::tempdir().unwrap();
    let mounts = Mounts::Version1(empty.path().to_owned());
    let cgroup = Cgroup::create_in(&mounts, "/x", &Resources::default(), true).unwrap();
    assert_eq!(cgroup.unavailable(), CONTROLLERS);
    let error = Cgroup::create_in(&mounts, "/x", &limits(), true).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the memory limit needs the cgroup controller memory, which this host does not offer"
    );
}
