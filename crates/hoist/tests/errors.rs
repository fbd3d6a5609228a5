//! What bad input gets: a clear message, Docker's exit status, and nothing half-made.

use std::net::TcpListener;
use std::process::Command;

use crate::support::{Sandbox, http_get, network_name, wait_until};

/// No container, and nothing in the places where a start leaves its marks.
#[track_caller]
fn nothing_is_left(sandbox: &Sandbox) {
    sandbox.hoist(&["ps", "-aq"]).ok().stdout_is("");
    let run = sandbox.run_directory().join("containers");
    let live = std::fs::read_dir(run).map_or(0, Iterator::count);
    assert_eq!(live, 0, "live state of a container that never was");
}

#[test]
fn unknown_image() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&["run", "--rm", "no-such-image:1.0", "true"])
        .fails(125)
        .says("no-such-image:1.0");
    sandbox
        .hoist(&["create", "no-such-image"])
        .fails(1)
        .says("no-such-image");
    sandbox
        .hoist(&["run", "--rm", "Not_A_Valid/IMAGE", "true"])
        .fails(125)
        .says("IMAGE");
    nothing_is_left(&sandbox);
}

#[test]
fn command_not_found_or_not_executable() {
    let sandbox = Sandbox::new();
    for flags in [&["run"][..], &["run", "--rm"], &["run", "-d"]] {
        let run = |command: &str| sandbox.hoist(&[flags, &["busybox", command]].concat());
        run("no-such-program")
            .fails(127)
            .says("no-such-program")
            .says("not found");
        run("/no/such/program").fails(127).says("/no/such/program");
        run("/etc/passwd")
            .fails(126)
            .says("/etc/passwd")
            .says("ermission denied");
        run("/etc").fails(126).says("/etc");
        nothing_is_left(&sandbox);
    }
}

#[test]
fn a_port_that_a_process_holds() {
    let sandbox = Sandbox::new();
    let listener = TcpListener::bind("0.0.0.0:0").expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    let run = sandbox
        .hoist(&[
            "run",
            "-d",
            "-p",
            &format!("{port}:80"),
            "busybox",
            "sleep",
            "1000",
        ])
        .fails(125);
    let run = run.says(&port.to_string());
    assert!(
        run.stderr.contains(&std::process::id().to_string()),
        "the holder's pid is not in {run}"
    );
    nothing_is_left(&sandbox);
}

#[test]
fn a_port_that_a_container_holds() {
    let sandbox = Sandbox::new();
    let port = crate::support::free_port();
    let publish = format!("{port}:80");
    sandbox
        .hoist(&[
            "run", "-d", "--name", "first", "-p", &publish, "busybox", "sleep", "1000",
        ])
        .ok();
    let run = sandbox.hoist(&[
        "run", "-d", "--name", "second", "-p", &publish, "busybox", "sleep", "1000",
    ]);
    run.fails(125).says(&port.to_string()).says("first");
    sandbox
        .hoist(&["ps", "-a", "--format", "{{.Names}}"])
        .ok()
        .stdout_is("first");
}

#[test]
fn a_name_that_is_taken_or_is_none() {
    let sandbox = Sandbox::new();
    let id = sandbox
        .hoist(&["create", "--name", "box", "busybox"])
        .ok()
        .text()
        .to_owned();
    let again = sandbox
        .hoist(&["run", "--name", "box", "busybox", "true"])
        .fails(125);
    again.says("\"/box\" is already in use").says(&id[..12]);
    sandbox
        .hoist(&["create", "--name", "not/a name", "busybox"])
        .fails(1)
        .says("not/a name");
    sandbox.hoist(&["ps", "-aq"]).ok().stdout_is(&id[..12]);
}

#[test]
fn racing_for_one_name() {
    let sandbox = Sandbox::new();
    let runs: Vec<_> = (0..6)
        .map(|_| sandbox.spawn(&["run", "-d", "--name", "prize", "busybox", "sleep", "1000"]))
        .collect();
    let runs: Vec<_> = runs
        .into_iter()
        .map(crate::support::Child::finish)
        .collect();
    assert_eq!(
        runs.iter().filter(|run| run.code == 0).count(),
        1,
        "{runs:?}"
    );
    assert!(
        runs.iter()
            .filter(|run| run.code != 0)
            .all(|run| run.code == 125),
        "{runs:?}"
    );
    assert_eq!(sandbox.hoist(&["ps", "-aq"]).ok().stdout.lines().count(), 1);
}

#[test]
fn malformed_flags() {
    let sandbox = Sandbox::new();
    let missing = sandbox.path("missing.env");
    let broken = sandbox.file("broken.env", "GOOD=1\nwhat is this\n=no name\n");
    for (flag, value, says) in [
        ("-p", "http:80", "http:80"),
        ("-p", "80:99999", "99999"),
        ("-p", "1.2.3:80:80", "1.2.3"),
        ("-p", "80:80/icmp", "icmp"),
        ("-v", "/a:/b:/c:/d", "/a:/b:/c:/d"),
        ("-v", "/a:relative", "relative"),
        ("-v", "/a:/b:sideways", "sideways"),
        ("-e", "=value", "=value"),
        (
            "--env-file",
            missing.to_str().expect("a path"),
            "missing.env",
        ),
        ("--env-file", broken.to_str().expect("a path"), "broken.env"),
        ("--mount", "type=bind,source=/etc", "target"),
        ("--mount", "type=magic,target=/x", "magic"),
        (
            "--mount",
            "type=bind,source=/etc,target=/x,colour=red",
            "colour",
        ),
        ("--mount", "target=relative", "relative"),
        ("-u", "nobody-knows", "nobody-knows"),
        ("--network", "no-such-network", "no-such-network"),
        ("--stop-signal", "SIGNOPE", "SIGNOPE"),
        ("--tmpfs", "relative", "relative"),
        ("-w", "relative", "relative"),
    ] {
        let run = sandbox.hoist(&["run", "--rm", flag, value, "busybox", "true"]);
        assert!(run.code == 125, "{flag} {value}: {run}");
        run.says(says);
        nothing_is_left(&sandbox);
    }
}

#[test]
fn unknown_commands_and_flags_are_unknown_to_the_parser() {
    let sandbox = Sandbox::with(&[]);
    sandbox.hoist(&["rum"]).fails(1).says("rum").says("run");
    sandbox
        .hoist(&["run", "--no-such-flag", "busybox"])
        .fails(125)
        .says("--no-such-flag");
    sandbox
        .hoist(&["run"])
        .fails(1)
        .says("requires at least 1 argument");
    sandbox
        .hoist(&["ps", "extra"])
        .fails(1)
        .says("accepts no arguments");
}

#[test]
fn dockerfile_syntax_errors_say_where() {
    let sandbox = Sandbox::new();
    for (text, position, says) in [
        ("FROM busybox\nCOPY only-one\n", "Dockerfile:2", "COPY"),
        ("FROM busybox\nRUM echo\n", "Dockerfile:2", "RUN"),
        ("RUN echo\nFROM busybox\n", "Dockerfile:1", "FROM"),
        ("FROM busybox\nENV\n", "Dockerfile:2", "ENV"),
        (
            "FROM busybox\nRUN --mount=type=magic true\n",
            "Dockerfile:2",
            "magic",
        ),
        ("FROM busybox AS 1wrong\n", "Dockerfile:1", "1wrong"),
    ] {
        sandbox.file("context/Dockerfile", text);
        let context = sandbox.path("context");
        let run = sandbox
            .hoist(&["build", context.to_str().expect("a path")])
            .fails(1);
        run.says(position).says("^").says(says);
    }
}

#[test]
fn contexts_and_sources_that_are_not_there() {
    let sandbox = Sandbox::new();
    let context = sandbox.path("context");
    let context = context.to_str().expect("a path");
    let build = |dockerfile: &str| {
        sandbox.file("context/Dockerfile", dockerfile);
        sandbox.hoist(&["build", "-t", "built", context])
    };
    build("").fails(1).says("Dockerfile").says("empty");
    build("# only a comment\n").fails(1).says("no instructions");
    build("FROM busybox\nCOPY missing /x\n")
        .fails(1)
        .says("missing")
        .says("Dockerfile:2");
    sandbox.file("outside", "secret");
    build("FROM busybox\nCOPY ../outside /x\n")
        .fails(1)
        .says("outside");
    std::os::unix::fs::symlink("../outside", sandbox.path("context/link")).expect("a link");
    let run = build("FROM busybox\nCOPY link/ /x/\n");
    assert_ne!(run.code, 0, "{run}");
    build("FROM busybox\nCOPY --from=nowhere /a /b\n")
        .fails(1)
        .says("nowhere");
    build("FROM no-such-base\n").fails(1).says("no-such-base");
    sandbox
        .hoist(&["build", "/no/such/context"])
        .fails(1)
        .says("/no/such/context");
    let empty = sandbox.path("empty");
    std::fs::create_dir(&empty).expect("a directory");
    sandbox
        .hoist(&["build", empty.to_str().expect("a path")])
        .fails(1)
        .says("Dockerfile");
    sandbox.hoist(&["images", "-q", "built"]).ok().stdout_is("");
}

#[test]
fn a_full_disk_in_the_middle_of_a_build() {
    // The data root lies on a small file system of its own.
    let sandbox = Sandbox::with(&[]);
    let root = sandbox.root();
    std::fs::create_dir_all(&root).expect("a directory");
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
        .arg(&root);
    assert!(mount.status().expect("mount").success());

    let (archive, _) = crate::support::base_archive("busybox:latest");
    sandbox
        .hoist(&["import", archive.to_str().expect("a path"), "busybox"])
        .ok();
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=100\n",
    );
    sandbox.file("other/Dockerfile", "FROM busybox\nCOPY big /big\n");
    sandbox.file("other/big", &"x".repeat(30 << 20));
    for context in ["context", "other"] {
        let context = sandbox.path(context);
        let run = sandbox
            .hoist(&["build", "-t", "built", context.to_str().expect("a path")])
            .fails(1);
        run.says("No space left on device");
        sandbox.hoist(&["images", "-q", "built"]).ok().stdout_is("");
        // What the failed build wrote does not stand in the way.
        sandbox
            .hoist(&[
                "run",
                "--rm",
                "busybox",
                "sh",
                "-c",
                "head -c 1000000 /dev/zero > /f",
            ])
            .ok();
    }
    sandbox.hoist(&["system", "prune", "-f"]).ok();
    let mut umount = Command::new("umount");
    assert!(
        umount.arg(&root).status().expect("umount").success(),
        "something holds the file system"
    );
}

#[test]
fn a_failed_start_takes_its_network_back() {
    let sandbox = Sandbox::new();
    let port = crate::support::free_port();
    let run = [
        "run",
        "-d",
        "-p",
        &format!("{port}:80"),
        "busybox",
        "no-such-program",
    ];
    sandbox.hoist(&run).fails(127);
    nothing_is_left(&sandbox);
    assert!(http_get(("127.0.0.1", port), "/").is_none());
    let bridge = network_name(&sandbox.root());
    // The kernel takes an interface away when it comes to it.
    wait_until(&format!("the bridge {bridge} has no interface"), || {
        std::fs::read_dir(format!("/sys/class/net/{bridge}/brif")).map_or(0, Iterator::count) == 0
    });
}
