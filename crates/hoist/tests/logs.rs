//! `hoist logs`.

use rustix::process::Signal;

use crate::support::{Sandbox, wait_until};

fn exited(script: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&["run", "-d", "--name", "box", "busybox", "sh", "-c", script])
        .ok();
    sandbox.wait_for_state("box", "exited");
    sandbox
}

#[test]
fn both_streams_come_back_each_on_its_own() {
    let sandbox = exited("echo out; echo err >&2; echo out again");
    let run = sandbox.hoist(&["logs", "box"]).ok();
    assert_eq!(
        (run.stdout.as_str(), run.stderr.as_str()),
        ("out\nout again\n", "err\n")
    );
}

#[test]
fn a_line_without_an_end_is_not_lost() {
    exited("printf 'no newline'")
        .hoist(&["logs", "box"])
        .ok()
        .stdout_is("no newline");
}

#[test]
fn tail_takes_the_last_lines() {
    let sandbox = exited("seq 1 1000");
    sandbox
        .hoist(&["logs", "--tail", "2", "box"])
        .ok()
        .stdout_is("999\n1000");
    sandbox
        .hoist(&["logs", "-n", "0", "box"])
        .ok()
        .stdout_is("");
    let all = sandbox.hoist(&["logs", "--tail", "all", "box"]).ok();
    assert_eq!(all.stdout.lines().count(), 1000);
}

#[test]
fn timestamps_and_since() {
    let sandbox = exited("echo early; sleep 1.1; echo late");
    let run = sandbox.hoist(&["logs", "-t", "box"]).ok();
    let times: Vec<&str> = run
        .stdout
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(
        times
            .iter()
            .all(|time| time.ends_with('Z') && time.contains('T')),
        "{run}"
    );
    sandbox
        .hoist(&["logs", "--since", times[1], "box"])
        .ok()
        .stdout_is("late");
    sandbox
        .hoist(&["logs", "--until", times[0], "box"])
        .ok()
        .never_says("late");
    sandbox
        .hoist(&["logs", "--since", "1h", "box"])
        .ok()
        .stdout_is("early\nlate");
    sandbox
        .hoist(&["logs", "--since", "yesterday-ish", "box"])
        .fails(1)
        .says("yesterday-ish");
}

#[test]
fn follow_sees_what_comes_and_ends_with_the_container() {
    let sandbox = Sandbox::new();
    let script = "echo first; while [ ! -e /go ]; do sleep 0.05; done; echo second";
    sandbox
        .hoist(&["run", "-d", "--name", "box", "busybox", "sh", "-c", script])
        .ok();
    let mut logs = sandbox.spawn(&["logs", "-f", "box"]);
    logs.wait_for_output("first");
    sandbox.hoist(&["exec", "box", "touch", "/go"]).ok();
    logs.finish().ok().stdout_is("first\nsecond");
}

#[test]
fn control_c_ends_following_and_nothing_else() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&[
            "run",
            "-d",
            "--name",
            "box",
            "busybox",
            "sh",
            "-c",
            "echo up; sleep 1000",
        ])
        .ok();
    let mut logs = sandbox.spawn(&["logs", "-f", "box"]);
    logs.wait_for_output("up");
    logs.signal(Signal::INT);
    logs.finish().fails(130);
    assert_eq!(sandbox.inspect("box", "{{.State.Status}}"), "running");
}

#[test]
fn logs_are_bounded_by_default() {
    let sandbox = Sandbox::new();
    // 100 MB of lines; what is kept on disk is a fraction.
    let script =
        "yes 0123456789012345678901234567890123456789012345678 | head -n 2000000; echo the end";
    sandbox
        .hoist(&["run", "-d", "--name", "box", "busybox", "sh", "-c", script])
        .ok();
    sandbox.wait_for_state("box", "exited");
    sandbox
        .hoist(&["logs", "--tail", "1", "box"])
        .ok()
        .stdout_is("the end");
    let id = sandbox.inspect("box", "{{.Id}}");
    let mut total = 0;
    for entry in std::fs::read_dir(sandbox.root().join("containers").join(&id))
        .expect("the container's directory")
    {
        let entry = entry.expect("an entry");
        if entry.file_name().to_string_lossy().contains("log") {
            total += size(&entry.path());
        }
    }
    assert!((1..64 << 20).contains(&total), "{total} bytes of logs");
}

fn size(path: &std::path::Path) -> u64 {
    let data = std::fs::metadata(path).expect("a file");
    if !data.is_dir() {
        return data.len();
    }
    std::fs::read_dir(path)
        .expect("a directory")
        .map(|entry| size(&entry.expect("an entry").path()))
        .sum()
}

#[test]
fn logs_can_be_read_while_they_are_written() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&[
            "run",
            "-d",
            "--name",
            "box",
            "busybox",
            "sh",
            "-c",
            "while :; do echo tick; sleep 0.01; done",
        ])
        .ok();
    wait_until("ten ticks are there", || {
        sandbox.hoist(&["logs", "box"]).ok().stdout.lines().count() >= 10
    });
}
