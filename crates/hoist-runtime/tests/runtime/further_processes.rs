//! `exec`: a further process in a running container.

use std::fs;

use hoist_core::spec::User;

use crate::harness::{Running, Sandbox};

/// A container that waits until its standard input ends.
fn waiting(sandbox: &Sandbox) -> (Running, i32) {
    let mut running = sandbox.start(&sandbox.shell("echo up; read line"));
    let pid = running.started();
    running.wait_for("up");
    (running, pid)
}

#[test]
fn it_is_in_all_namespaces_and_cgroups() {
    let sandbox = Sandbox::new();
    let (running, pid) = waiting(&sandbox);
    let request = sandbox.exec(
        pid,
        &[
            "sh",
            "-c",
            "for n in pid net mnt ipc uts cgroup; do readlink /proc/self/ns/$n; done",
        ],
    );
    let output = sandbox.run(&request).output;
    for (line, name) in output
        .lines()
        .zip(["pid", "net", "mnt", "ipc", "uts", "cgroup"])
    {
        let theirs = fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        assert_eq!(std::path::Path::new(line), theirs);
    }
    assert_eq!(output.lines().count(), 6);

    let mut inside = sandbox.start(&sandbox.exec(pid, &["sh", "-c", "echo up; read line; exit 4"]));
    let further = inside.started();
    inside.wait_for("up");
    let cgroup = hoist_runtime::Cgroup::open(&sandbox.cgroup).unwrap();
    assert!(cgroup.pids().unwrap().contains(&further));
    let groups = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(groups(pid), groups(further));
    assert_eq!(inside.finish().code(), 4);
    assert_eq!(running.finish().code(), 1);
}

#[test]
fn user_directory_and_restrictions() {
    let sandbox = Sandbox::new();
    let (running, pid) = waiting(&sandbox);
    let mut request = sandbox.exec(
        pid,
        &[
            "sh",
            "-c",
            "id -u; id -G; pwd; grep -E '^(CapEff|CapBnd|Seccomp:)' /proc/self/status",
        ],
    );
    request.spec.process.user = User {
        uid: 12,
        gid: 13,
        additional_gids: vec![13, 14],
        umask: None,
    };
    request.spec.process.cwd = "/tmp".to_owned();
    assert_eq!(
        sandbox.run(&request).output,
        "12\n13 14\n/tmp\nCapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\nSeccomp:\t2\n"
    );
    let output = sandbox
        .run(&sandbox.exec(pid, &["ls", "/proc/self/fd"]))
        .output;
    assert_eq!(
        output.split_whitespace().collect::<Vec<_>>(),
        ["0", "1", "2", "3"]
    );
    running.finish();
}

#[test]
fn failures() {
    let sandbox = Sandbox::new();
    let (running, pid) = waiting(&sandbox);
    let finished = sandbox.run(&sandbox.exec(pid, &["nothing"]));
    assert_eq!(finished.failure().0, "ContainerCommand(127)");
    for cwd in ["/absent", "/proc/self/fd/3", "/proc/self/fd/5"] {
        let mut request = sandbox.exec(pid, &["true"]);
        request.spec.process.cwd = cwd.to_owned();
        let finished = sandbox.run(&request);
        assert!(
            finished.failure().1.starts_with("working directory"),
            "{finished:?}"
        );
    }
    running.finish();
}

#[test]
fn a_terminal() {
    let sandbox = Sandbox::new();
    let (running, pid) = waiting(&sandbox);
    let mut request = sandbox.exec(pid, &["sh", "-c", "tty; stty size; exit 6"]);
    request.spec.process.terminal = true;
    request.spec.process.console_size = Some(hoist_core::spec::ConsoleSize {
        height: 10,
        width: 20,
    });
    let finished = sandbox.run(&request);
    assert_eq!(finished.output, "/dev/pts/0\r\n10 20\r\n");
    assert_eq!(finished.code(), 6);
    running.finish();
}

#[test]
fn the_container_cannot_look_into_it_before_it_executes() {
    // The container looks at every process that appears, while others are started in it.
    let sandbox = Sandbox::new();
    let script = "echo up; while ! test -e /stop; do \
        for p in /proc/[0-9]*; do readlink $p/exe; done; done 2>/dev/null \
        | grep launcher; echo over";
    let mut running = sandbox.start(&sandbox.shell(script));
    let pid = running.started();
    running.wait_for("up");
    for _ in 0..20 {
        assert_eq!(sandbox.run(&sandbox.exec(pid, &["true"])).code(), 0);
    }
    assert_eq!(
        sandbox.run(&sandbox.exec(pid, &["touch", "/stop"])).code(),
        0
    );
    assert_eq!(running.finish().output, "\nover\n");
}
