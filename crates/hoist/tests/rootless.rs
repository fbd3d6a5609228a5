//! The same as an ordinary user, with subordinate ids and nothing else.

use crate::support::{Sandbox, wait_until};

fn sandbox() -> Sandbox {
    Sandbox::of_user(&["busybox:latest"])
}

#[test]
fn run_exec_logs_stop_and_rm() {
    let sandbox = sandbox();
    let script = "trap 'exit 5' TERM; id -u; cat /proc/self/uid_map | wc -l; echo up; while :; do sleep 0.1 & wait $!; done";
    sandbox
        .hoist(&[
            "run",
            "-d",
            "--network",
            "none",
            "--name",
            "box",
            "busybox",
            "sh",
            "-c",
            script,
        ])
        .ok();
    wait_until("it is up", || {
        sandbox.hoist(&["logs", "box"]).ok().stdout.contains("up")
    });
    sandbox.hoist(&["logs", "box"]).ok().prints("0\n2\n");
    sandbox.hoist(&["ps"]).ok().prints("Up ");
    sandbox
        .hoist(&["exec", "-u", "33", "box", "id", "-u"])
        .ok()
        .stdout_is("33");
    sandbox.hoist(&["stop", "box"]).ok();
    assert_eq!(sandbox.inspect("box", "{{.State.ExitCode}}"), "5");
    sandbox.hoist(&["rm", "box"]).ok();
}

#[test]
fn networks_none_and_host() {
    let sandbox = sandbox();
    let none = [
        "run",
        "--rm",
        "--network",
        "none",
        "busybox",
        "ls",
        "/sys/class/net",
    ];
    sandbox.hoist(&none).ok().stdout_is("lo");
    let host = [
        "run",
        "--rm",
        "--network",
        "host",
        "busybox",
        "readlink",
        "/proc/self/ns/net",
    ];
    let namespace = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
    sandbox
        .hoist(&host)
        .ok()
        .stdout_is(namespace.to_str().expect("its name"));
}

#[test]
fn exec_and_health_beside_the_hosts_network() {
    let sandbox = sandbox();
    let run = [
        "run",
        "-d",
        "--network",
        "host",
        "--name",
        "box",
        "--health-cmd",
        "true",
        "busybox",
        "sleep",
        "1000",
    ];
    sandbox.hoist(&run).ok();
    sandbox
        .hoist(&["exec", "box", "id", "-u"])
        .ok()
        .stdout_is("0");
    wait_until("it is healthy", || {
        sandbox.inspect("box", "{{.State.Health.Status}}") == "healthy"
    });
}

#[test]
fn build_with_owners_other_than_oneself() {
    let sandbox = sandbox();
    let dockerfile = "FROM busybox\nCOPY --chown=33:33 data /data\nRUN chown 1000:1000 /etc/group && echo built > /b\n\
        USER 1000\nCMD stat -c %u /data /etc/group; cat /b; id -u\n";
    sandbox.file("context/Dockerfile", dockerfile);
    sandbox.file("context/data", "");
    let context = sandbox.path("context");
    sandbox
        .hoist(&["build", "-t", "built", context.to_str().expect("a path")])
        .ok();
    sandbox
        .hoist(&["run", "--rm", "--network", "none", "built"])
        .ok()
        .stdout_is("33\n1000\nbuilt\n1000");
    sandbox.hoist(&["rmi", "built"]).ok();
}

#[test]
fn volumes_and_health() {
    let sandbox = sandbox();
    let write = [
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        "data:/data",
        "busybox",
        "sh",
        "-c",
        "echo kept > /data/f",
    ];
    sandbox.hoist(&write).ok();
    let read = [
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        "data:/data",
        "busybox",
        "cat",
        "/data/f",
    ];
    sandbox.hoist(&read).ok().stdout_is("kept");

    sandbox.file(
        "context/Dockerfile",
        "FROM busybox\nHEALTHCHECK --interval=1h CMD true\nCMD sleep 1000\n",
    );
    let context = sandbox.path("context");
    sandbox
        .hoist(&[
            "build",
            "-q",
            "-t",
            "checked",
            context.to_str().expect("a path"),
        ])
        .ok();
    sandbox
        .hoist(&["run", "-d", "--network", "none", "--name", "box", "checked"])
        .ok();
    wait_until("it is healthy", || {
        sandbox.inspect("box", "{{.State.Health.Status}}") == "healthy"
    });
}

#[test]
fn a_published_port_is_refused_with_the_reason() {
    let sandbox = sandbox();
    let run = sandbox
        .hoist(&["run", "--rm", "-p", "8080:80", "busybox", "true"])
        .fails(125);
    run.says("root");
    sandbox.hoist(&["ps", "-aq"]).ok().stdout_is("");
}

#[test]
fn a_limit_is_refused_with_the_way_out() {
    let sandbox = sandbox();
    let run = [
        "run",
        "--rm",
        "--network",
        "none",
        "-m",
        "64m",
        "busybox",
        "true",
    ];
    sandbox.hoist(&run).fails(125).says("leave out --memory");
    sandbox.hoist(&["ps", "-aq"]).ok().stdout_is("");
}
