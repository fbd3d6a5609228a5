//! Memory, processor and process limits.

use crate::support::{Sandbox, wait_until};

/// The container's own view of one of its controllers' files, in v1's or v2's words.
fn cgroup_value(sandbox: &Sandbox, name: &str, v1: (&str, &str), v2: &str) -> String {
    let id = sandbox.inspect(name, "{{.Id}}");
    let paths = [
        format!("/sys/fs/cgroup/{}/hoist/{id}/{}", v1.0, v1.1),
        format!("/sys/fs/cgroup/hoist/{id}/{v2}"),
    ];
    let text = paths
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok());
    text.unwrap_or_else(|| panic!("none of {paths:?} exists"))
        .trim()
        .to_owned()
}

#[test]
fn limits_are_set_in_the_kernel() {
    let sandbox = Sandbox::new();
    let flags = ["--memory", "64m", "--cpus", "0.5", "--pids-limit", "32"];
    sandbox
        .hoist(
            &[
                &["run", "-d", "--name", "box"],
                &flags[..],
                &["busybox", "sleep", "1000"],
            ]
            .concat(),
        )
        .ok();
    assert_eq!(
        cgroup_value(
            &sandbox,
            "box",
            ("memory", "memory.limit_in_bytes"),
            "memory.max"
        ),
        "67108864"
    );
    let cpu = cgroup_value(&sandbox, "box", ("cpu", "cpu.cfs_quota_us"), "cpu.max");
    assert!(cpu == "50000" || cpu == "50000 100000", "{cpu}");
    assert_eq!(
        cgroup_value(&sandbox, "box", ("pids", "pids.max"), "pids.max"),
        "32"
    );
    let format = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}";
    assert_eq!(sandbox.inspect("box", format), "67108864 500000000 32");
}

#[test]
fn too_many_processes_fail_to_start() {
    let sandbox = Sandbox::new();
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 5 & done; wait";
    let run = sandbox.hoist(&[
        "run",
        "--rm",
        "--pids-limit",
        "5",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    run.says("fork");
}

#[test]
fn killed_for_memory_is_told() {
    let sandbox = Sandbox::new();
    let eat = "tail /dev/zero";
    let run = sandbox
        .hoist(&[
            "run", "--name", "box", "--memory", "16m", "busybox", "sh", "-c", eat,
        ])
        .fails(137);
    let run = run.says("memory");
    assert!(run.stderr.contains("16"), "the limit is not in {run}");
    assert_eq!(
        sandbox.inspect("box", "{{.State.OOMKilled}} {{.State.ExitCode}}"),
        "true 137"
    );
    sandbox.hoist(&["ps", "-a"]).ok().prints("Exited (137)");
}

#[test]
fn a_child_killed_for_memory_is_noted_too() {
    let sandbox = Sandbox::new();
    let script = "tail /dev/zero; echo survived; sleep 1000";
    sandbox
        .hoist(&[
            "run", "-d", "--name", "box", "--memory", "16m", "busybox", "sh", "-c", script,
        ])
        .ok();
    wait_until("the shell goes on", || {
        sandbox
            .hoist(&["logs", "box"])
            .ok()
            .stdout
            .contains("survived")
    });
    assert_eq!(sandbox.inspect("box", "{{.State.Status}}"), "running");
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let sandbox = Sandbox::new();
    let refused = |flag: &str, value: &str| {
        sandbox
            .hoist(&["run", "--rm", flag, value, "busybox", "true"])
            .fails(125)
            .says(value);
        sandbox.hoist(&["ps", "-aq"]).ok().stdout_is("");
    };
    refused("--memory", "lots");
    refused("--memory", "-5m");
    refused("--cpus", "many");
    sandbox
        .hoist(&["run", "--rm", "--cpus", "100000", "busybox", "true"])
        .fails(125)
        .says("range of CPUs");
    sandbox
        .hoist(&["run", "--rm", "--memory", "1m", "busybox", "true"])
        .fails(125)
        .says("6MB");
}
