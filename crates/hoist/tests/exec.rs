//! `hoist exec`: another process in a running container.

use crate::support::{Sandbox, wait_until};

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&[
            "run",
            "-d",
            "--name",
            "c",
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
        .hoist(&["exec", "c", "sh", "-c", "echo written > /file"])
        .ok();
    sandbox
        .hoist(&["exec", "c", "cat", "/file"])
        .ok()
        .stdout_is("written");
    sandbox
        .hoist(&["exec", "c", "cat", "/proc/1/comm"])
        .ok()
        .stdout_is("sleep");
    let namespaces = [
        "exec",
        "c",
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
        .hoist(&["exec", "c", "sh", "-c", "echo out; echo err >&2; exit 9"])
        .fails(9);
    assert_eq!(
        (run.stdout.as_str(), run.stderr.as_str()),
        ("out\n", "err\n")
    );
    sandbox
        .hoist_with_input(&["exec", "-i", "c", "tr", "a-z", "A-Z"], "loud")
        .ok()
        .stdout_is("LOUD");
    sandbox
        .hoist(&["exec", "c", "sh", "-c", "kill -9 $$"])
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
        "c",
        "sh",
        "-c",
        script,
    ];
    sandbox.hoist(&exec).ok().stdout_is("33\n/var/www\n1 2");
    sandbox
        .hoist(&["exec", "-u", "nobody", "c", "id", "-un"])
        .ok()
        .stdout_is("nobody");
}

#[test]
fn it_has_the_containers_limits_on_what_it_may_do() {
    let sandbox = sandbox();
    let run = sandbox
        .hoist(&["exec", "c", "cat", "/proc/self/status"])
        .ok();
    run.prints("CapEff:\t00000000a80425fb")
        .prints("CapBnd:\t00000000a80425fb")
        .prints("Seccomp:\t2");
    let same = "[ \"$(cat /proc/1/cgroup)\" = \"$(cat /proc/self/cgroup)\" ] && echo same";
    sandbox
        .hoist(&["exec", "c", "sh", "-c", same])
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
            "c",
            "sh",
            "-c",
            "echo done > /done; sleep 1000",
        ])
        .ok()
        .stdout_is("");
    wait_until("the command has run", || {
        sandbox.hoist(&["exec", "c", "cat", "/done"]).code == 0
    });
}

#[test]
fn what_cannot_be_executed() {
    let sandbox = sandbox();
    sandbox
        .hoist(&["exec", "c", "no-such-program"])
        .fails(127)
        .says("no-such-program");
    sandbox
        .hoist(&["exec", "c", "/etc/passwd"])
        .fails(126)
        .says("/etc/passwd")
        .says("ermission denied");
    sandbox
        .hoist(&["exec", "missing", "true"])
        .fails(1)
        .says("No such container: missing");
    sandbox
        .hoist(&["exec", "-u", "nobody-knows", "c", "true"])
        .says("nobody-knows");
    sandbox.hoist(&["stop", "-t", "0", "c"]).ok();
    sandbox
        .hoist(&["exec", "c", "true"])
        .fails(1)
        .says("is not running");
}

#[test]
fn it_ends_with_its_container() {
    let sandbox = sandbox();
    let mut exec = sandbox.spawn(&["exec", "c", "sh", "-c", "echo up; sleep 1000"]);
    exec.wait_for_output("up");
    sandbox.hoist(&["kill", "c"]).ok();
    exec.finish().fails(137);
}
