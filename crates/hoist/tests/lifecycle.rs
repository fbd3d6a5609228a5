//! From `create` to `rm`, and how `ps` and `inspect` tell it.

use crate::support::{Sandbox, wait_until};

/// A container called `box` that runs until it is stopped, and stops at once.
fn running(sandbox: &Sandbox) {
    let script = "trap 'exit 5' TERM; echo up; while :; do sleep 1 & wait $!; done";
    sandbox
        .hoist(&["run", "-d", "--name", "box", "busybox", "sh", "-c", script])
        .ok();
    wait_until("the container is up", || {
        sandbox.hoist(&["logs", "box"]).ok().stdout.contains("up")
    });
}

#[test]
fn stop_asks_before_it_kills() {
    let sandbox = Sandbox::new();
    running(&sandbox);
    sandbox.hoist(&["stop", "box"]).ok().stdout_is("box");
    assert_eq!(
        sandbox.inspect("box", "{{.State.Status}} {{.State.ExitCode}}"),
        "exited 5"
    );
    // Stopping what has stopped is no error.
    sandbox.hoist(&["stop", "box"]).ok();
}

#[test]
fn stop_kills_what_does_not_listen() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&["run", "-d", "--name", "deaf", "busybox", "sleep", "1000"])
        .ok();
    sandbox.hoist(&["stop", "-t", "0", "deaf"]).ok();
    assert_eq!(sandbox.inspect("deaf", "{{.State.ExitCode}}"), "137");
    let run = [
        "run",
        "-d",
        "--name",
        "patient",
        "--stop-timeout",
        "1",
        "busybox",
        "sleep",
        "1000",
    ];
    sandbox.hoist(&run).ok();
    sandbox.hoist(&["stop", "patient"]).ok();
    assert_eq!(sandbox.inspect("patient", "{{.State.ExitCode}}"), "137");
}

#[test]
fn stop_sends_the_signal_that_was_asked_for() {
    let sandbox = Sandbox::new();
    let script = "trap 'exit 42' USR1; echo up; while :; do sleep 1 & wait $!; done";
    let run = [
        "run",
        "-d",
        "--name",
        "box",
        "--stop-signal",
        "SIGUSR1",
        "busybox",
        "sh",
        "-c",
        script,
    ];
    sandbox.hoist(&run).ok();
    wait_until("the trap is set", || {
        sandbox.hoist(&["logs", "box"]).ok().stdout.contains("up")
    });
    sandbox.hoist(&["stop", "box"]).ok();
    assert_eq!(sandbox.inspect("box", "{{.State.ExitCode}}"), "42");
}

#[test]
fn kill_takes_signals_by_name_and_number() {
    let sandbox = Sandbox::new();
    let script =
        "trap 'echo hup' HUP; trap 'echo usr1' USR1; echo up; while :; do sleep 1 & wait $!; done";
    sandbox
        .hoist(&["run", "-d", "--name", "box", "busybox", "sh", "-c", script])
        .ok();
    let logged = |line: &str| {
        wait_until(line, || {
            sandbox
                .hoist(&["logs", "box"])
                .ok()
                .stdout
                .lines()
                .any(|found| found == line)
        });
    };
    logged("up");
    sandbox
        .hoist(&["kill", "-s", "HUP", "box"])
        .ok()
        .stdout_is("box");
    logged("hup");
    sandbox.hoist(&["kill", "--signal=10", "box"]).ok();
    logged("usr1");
    sandbox.hoist(&["kill", "box"]).ok();
    sandbox.wait_for_state("box", "exited");
    assert_eq!(sandbox.inspect("box", "{{.State.ExitCode}}"), "137");
    sandbox
        .hoist(&["kill", "box"])
        .fails(1)
        .says("is not running");
}

#[test]
fn the_writable_layer_survives_stop_and_start() {
    let sandbox = Sandbox::new();
    let script = "[ -e /kept ] && cat /kept; echo second life > /kept";
    sandbox
        .hoist(&["run", "--name", "box", "busybox", "sh", "-c", script])
        .ok()
        .stdout_is("");
    sandbox
        .hoist(&["start", "-a", "box"])
        .ok()
        .stdout_is("second life");
}

#[test]
fn restart_gives_a_new_process() {
    let sandbox = Sandbox::new();
    running(&sandbox);
    let pid = sandbox.inspect("box", "{{.State.Pid}}");
    sandbox.hoist(&["restart", "box"]).ok().stdout_is("box");
    assert_eq!(sandbox.inspect("box", "{{.State.Status}}"), "running");
    assert_ne!(sandbox.inspect("box", "{{.State.Pid}}"), pid);
}

#[test]
fn rm_refuses_what_runs_unless_forced() {
    let sandbox = Sandbox::new();
    running(&sandbox);
    sandbox
        .hoist(&["rm", "box"])
        .fails(1)
        .says("box")
        .says("running");
    assert_eq!(sandbox.inspect("box", "{{.State.Status}}"), "running");
    sandbox.hoist(&["rm", "-f", "box"]).ok().stdout_is("box");
    sandbox.hoist(&["ps", "-aq"]).ok().stdout_is("");
    sandbox
        .hoist(&["rm", "box"])
        .fails(1)
        .says("No such container: box");
    sandbox.hoist(&["rm", "-f", "box"]).ok();
}

#[test]
fn several_containers_in_one_command_each_for_itself() {
    let sandbox = Sandbox::new();
    for name in ["one", "two"] {
        sandbox.hoist(&["create", "--name", name, "busybox"]).ok();
    }
    let run = sandbox.hoist(&["rm", "one", "missing", "two"]).fails(1);
    run.stdout_is("one\ntwo").says("No such container: missing");
}

#[test]
fn ps_shows_dockers_columns() {
    let sandbox = Sandbox::new();
    running(&sandbox);
    sandbox
        .hoist(&["run", "--name", "old", "busybox", "sh", "-c", "exit 3"])
        .fails(3);
    let table = sandbox.hoist(&["ps", "-a"]).ok();
    let head: Vec<&str> = table
        .stdout
        .lines()
        .next()
        .unwrap_or_default()
        .split("  ")
        .filter(|word| !word.is_empty())
        .map(str::trim)
        .collect();
    assert_eq!(
        head,
        [
            "CONTAINER ID",
            "IMAGE",
            "COMMAND",
            "CREATED",
            "STATUS",
            "PORTS",
            "NAMES"
        ]
    );
    let table = table
        .prints("Exited (3) ")
        .prints("Up ")
        .prints("\"sh -c 'exit 3'\"")
        .prints("busybox");
    assert_eq!(table.stdout.lines().count(), 3);
    // Without -a only what runs, and newest first with it.
    sandbox
        .hoist(&["ps", "--format", "{{.Names}}"])
        .ok()
        .stdout_is("box");
    sandbox
        .hoist(&["ps", "-a", "--format", "{{.Names}}"])
        .ok()
        .stdout_is("old\nbox");
}

#[test]
fn ps_filters_and_formats() {
    let sandbox = Sandbox::new();
    for (name, label) in [
        ("web-1", "tier=web"),
        ("web-2", "tier=web"),
        ("db", "tier=db"),
    ] {
        sandbox
            .hoist(&["create", "--name", name, "--label", label, "busybox"])
            .ok();
    }
    sandbox
        .hoist(&["run", "--name", "done", "busybox", "sh", "-c", "exit 4"])
        .fails(4);
    let names = |filters: &[&str]| {
        let mut arguments = vec!["ps", "-a", "--format", "{{.Names}}"];
        filters
            .iter()
            .for_each(|filter| arguments.extend(["--filter", filter]));
        let mut names: Vec<String> = sandbox
            .hoist(&arguments)
            .ok()
            .stdout
            .lines()
            .map(str::to_owned)
            .collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(names(&["label=tier=web"]), "web-1 web-2");
    assert_eq!(names(&["label=tier"]), "db web-1 web-2");
    assert_eq!(names(&["name=web"]), "web-1 web-2");
    assert_eq!(names(&["status=exited"]), "done");
    assert_eq!(names(&["status=created", "name=db"]), "db");
    assert_eq!(names(&["exited=4"]), "done");
    assert_eq!(names(&["ancestor=busybox"]), "db done web-1 web-2");

    let json = sandbox
        .hoist(&["ps", "-a", "--filter", "name=db", "--format", "json"])
        .ok();
    let row: serde_json::Value =
        serde_json::from_str(json.text()).expect("one JSON document a line");
    assert_eq!(
        (&row["Names"], &row["State"], &row["Image"]),
        (&"db".into(), &"created".into(), &"busybox".into())
    );
    sandbox
        .hoist(&["ps", "-a", "--filter", "nonsense=1"])
        .fails(1)
        .says("nonsense");
    let table = sandbox
        .hoist(&[
            "ps",
            "-a",
            "--format",
            "table {{.Names}}\t{{.Label \"tier\"}}",
        ])
        .ok();
    table.prints("NAMES").prints("db").prints("web");
}

#[test]
fn inspect_is_dockers_document() {
    let sandbox = Sandbox::new();
    running(&sandbox);
    let text = sandbox.hoist(&["inspect", "box"]).ok().stdout;
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let container = &document[0];
    assert_eq!(container["Name"], "/box");
    assert_eq!(container["Path"], "sh");
    assert_eq!(container["Config"]["Image"], "busybox");
    assert_eq!(container["State"]["Running"], true);
    assert_eq!(container["RestartCount"], 0);
    assert!(
        container["Image"]
            .as_str()
            .is_some_and(|image| image.starts_with("sha256:"))
    );
    let pid = &container["State"]["Pid"];
    assert!(
        std::path::Path::new(&format!("/proc/{pid}")).exists(),
        "{pid} is no process"
    );
    sandbox
        .hoist(&["inspect", "missing"])
        .fails(1)
        .says("missing");
}

#[test]
fn ids_may_be_shortened_while_they_are_unique() {
    let sandbox = Sandbox::new();
    let id = sandbox.hoist(&["create", "busybox"]).ok().text().to_owned();
    sandbox.hoist(&["rm", &id[..6]]).ok();
}

#[test]
fn prune_removes_what_has_stopped() {
    let sandbox = Sandbox::new();
    running(&sandbox);
    sandbox
        .hoist(&["run", "--name", "old", "busybox", "true"])
        .ok();
    let id = sandbox.inspect("old", "{{.Id}}");
    sandbox
        .hoist(&["system", "prune", "-f"])
        .ok()
        .prints(&id)
        .prints("Total reclaimed space:");
    sandbox
        .hoist(&["ps", "-a", "--format", "{{.Names}}"])
        .ok()
        .stdout_is("box");
    sandbox
        .hoist(&["system", "df"])
        .ok()
        .prints("Images")
        .prints("Containers")
        .prints("Local Volumes");
}
