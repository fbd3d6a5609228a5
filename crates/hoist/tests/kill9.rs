//! `kill -9` of the command line and of the monitor: the next command finds everything in order.

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Sandbox, wait_until};

#[test]
fn the_command_line_dies_and_the_container_lives_on() {
    let sandbox = Sandbox::new();
    let script = "echo up; while [ ! -e /go ]; do sleep 0.05; done; echo after; exit 6";
    let mut run = sandbox.spawn(&["run", "--name", "box", "busybox", "sh", "-c", script]);
    run.wait_for_output("up");
    run.signal(Signal::KILL);
    run.finish().fails(137);
    assert_eq!(sandbox.inspect("box", "{{.State.Status}}"), "running");
    sandbox.hoist(&["exec", "box", "touch", "/go"]).ok();
    sandbox.wait_for_state("box", "exited");
    assert_eq!(sandbox.inspect("box", "{{.State.ExitCode}}"), "6");
    sandbox.hoist(&["logs", "box"]).ok().stdout_is("up\nafter");
}

/// The process that the container's first process is a child of.
fn monitor_of(sandbox: &Sandbox, name: &str) -> i32 {
    let pid = sandbox.inspect(name, "{{.State.Pid}}");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status
        .lines()
        .find(|line| line.starts_with("PPid:"))
        .expect("its parent");
    line.split_whitespace()
        .nth(1)
        .and_then(|pid| pid.parse().ok())
        .expect("a process id")
}

#[test]
fn the_monitor_dies_and_takes_its_container_with_it() {
    let sandbox = Sandbox::new();
    let run = [
        "run",
        "-d",
        "--name",
        "box",
        "-p",
        "127.0.0.1:0:80",
        "busybox",
        "sh",
        "-c",
        "sleep 1000 & sleep 2000",
    ];
    sandbox.hoist(&run).ok();
    let pid = sandbox.inspect("box", "{{.State.Pid}}");
    let monitor = monitor_of(&sandbox, "box");
    assert_ne!(monitor, 1, "the container has no monitor");
    kill_process(Pid::from_raw(monitor).expect("a process id"), Signal::KILL).expect("it runs");

    wait_until("the container is known to have ended", || {
        sandbox.inspect("box", "{{.State.Status}}") == "exited"
    });
    wait_until("its process is gone", || {
        !std::path::Path::new(&format!("/proc/{pid}")).exists()
    });
    assert_ne!(sandbox.inspect("box", "{{.State.ExitCode}}"), "0");
    assert!(
        !sandbox.inspect("box", "{{.State.Error}}").is_empty(),
        "the record does not say why"
    );

    // It starts again, with what it had.
    sandbox.hoist(&["start", "box"]).ok();
    assert_eq!(sandbox.inspect("box", "{{.State.Status}}"), "running");
}

#[test]
fn a_command_killed_at_any_moment_leaves_a_store_in_order() {
    let sandbox = Sandbox::new();
    // Killed a little later each time, from before the first write to after the last.
    for step in 0..25_u64 {
        let run = sandbox.spawn(&[
            "run", "-d", "--rm", "--name", "victim", "busybox", "sleep", "1000",
        ]);
        std::thread::sleep(std::time::Duration::from_millis(2 * step));
        run.signal(Signal::KILL);
        run.finish();
        sandbox.hoist(&["ps", "-a"]).ok();
        sandbox.hoist(&["rm", "-f", "victim"]).ok();
    }
    sandbox
        .hoist(&["run", "--rm", "--name", "victim", "busybox", "echo", "fine"])
        .ok()
        .stdout_is("fine");
}

#[test]
fn a_build_killed_at_any_moment_can_be_repeated() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox\nCOPY data /data\nRUN cp /data /copy\nCMD cat /copy\n",
    );
    sandbox.file("context/data", "the data");
    let context = sandbox.path("context");
    let context = context.to_str().expect("a path");
    for step in 0..15_u64 {
        let build = sandbox.spawn(&["build", "-q", "-t", "built", context]);
        std::thread::sleep(std::time::Duration::from_millis(4 * step));
        build.signal(Signal::KILL);
        build.finish();
    }
    sandbox.hoist(&["build", "-q", "-t", "built", context]).ok();
    sandbox
        .hoist(&["run", "--rm", "built"])
        .ok()
        .stdout_is("the data");
}
