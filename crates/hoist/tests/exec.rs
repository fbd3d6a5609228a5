//! `hoist exec`: another process in a running container.

use crate::support::{Sandbox, wait_until};

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&[
            "run",
            "-d",
            "--name",
            "box",
            "-e",
            "FROM_RUN=1",
            "busybox",
            "sleep",
            "1000",
        ])
        .ok();
    sandbox
}

#[test]
fn it_shares_the_containers_world() {
    let sandbox = sandbox();
    sandbox
        .hoist(&["exec", "box", "sh", "-c", "echo written > /file"])
        .ok();
    sandbox
        .hoist(&["exec", "box", "cat", "/file"])
        .ok()
        .stdout_is("written");
    sandbox
        .hoist(&["exec", "box", "cat", "/proc/1/comm"])
        .ok()
        .stdout_is("sleep");
    let namespaces = [
        "exec",
        "box",
        "sh",
        "-c",
        "for n in pid net mnt uts ipc; do [ $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) ] || echo $n; done",
    ];
    sandbox.hoist(&namespaces).ok().stdout_is("");
}

#[test]
fn exit_status_output_and_input() {
    let sandbox = sandbox();
    let run = sandbox
        .hoist(&["exec", "box", "sh", "-c", "echo out; echo err >&2; exit 9"])
        .fails(9);
    assert_eq!(
        (run.stdout.as_str(), run.stderr.as_str()),
        ("out\n", "err\n")
    );
    sandbox
        .hoist_with_input(&["exec", "-i", "box", "tr", "a-z", "A-Z"], "loud")
        .ok()
        .stdout_is("LOUD");
    sandbox
        .hoist(&["exec", "box", "sh", "-c", "kill -9 $$"])
        .fails(137);
}

#[test]
fn user_environment_and_directory() {
    let sandbox = sandbox();
    let script = "id -u; pwd; echo $FROM_RUN $FROM_EXEC";
    let exec = [
        "exec",
        "-u",
        "33",
        "-w",
        "/var/www",
        "-e",
        "FROM_EXEC=2",
        "box",
        "sh",
        "-c",
        script,
    ];
    sandbox.hoist(&exec).ok().stdout_is("33\n/var/www\n1 2");
    sandbox
        .hoist(&["exec", "-u", "nobody", "box", "id", "-un"])
        .ok()
        .stdout_is("nobody");
}

#[test]
fn it_has_the_containers_limits_on_what_it_may_do() {
    let sandbox = sandbox();
    let run = sandbox
        .hoist(&["exec", "box", "cat", "/proc/self/status"])
        .ok();
    run.prints("CapEff:\t00000000a80425fb")
        .prints("CapBnd:\t00000000a80425fb")
        .prints("Seccomp:\t2");
    let same = "[ \"$(cat /proc/1/cgroup)\" = \"$(cat /proc/self/cgroup)\" ] && echo same";
    sandbox
        .hoist(&["exec", "box", "sh", "-c", same])
        .ok()
        .stdout_is("same");
}

#[test]
fn detached_it_goes_on_alone() {
    let sandbox = sandbox();
    sandbox
        .hoist(&[
            "exec",
            "-d",
            "box",
            "sh",
            "-c",
            "echo done > /done; sleep 1000",
        ])
        .ok()
        .stdout_is("");
    wait_until("the command has run", || {
        sandbox.hoist(&["exec", "box", "cat", "/done"]).code == 0
    });
}

#[test]
fn what_cannot_be_executed() {
    let sandbox = sandbox();
    sandbox
        .hoist(&["exec", "box", "no-such-program"])
        .fails(127)
        .says("no-such-program");
    sandbox
        .hoist(&["exec", "box", "/etc/passwd"])
        .fails(126)
        .says("/etc/passwd")
        .says("ermission denied");
    sandbox
        .hoist(&["exec", "missing", "true"])
        .fails(1)
        .says("No such container: missing");
    sandbox
        .hoist(&["exec", "-u", "nobody-knows", "box", "true"])
        .says("nobody-knows");
    sandbox.hoist(&["stop", "-t", "0", "box"]).ok();
    sandbox
        .hoist(&["exec", "box", "true"])
        .fails(1)
        .says("is not running");
}

#[test]
fn it_ends_with_its_container() {
    let sandbox = sandbox();
    let mut exec = sandbox.spawn(&["exec", "box", "sh", "-c", "echo up; sleep 1000"]);
    exec.wait_for_output("up");
    sandbox.hoist(&["kill", "box"]).ok();
    exec.finish().fails(137);
}
