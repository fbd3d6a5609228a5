//! The command: finding it, its environment, how it ends, and what fails before.

use std::{fs, os::unix::fs::PermissionsExt};

use hoist_core::spec::{Rlimit, User};

use crate::{
    harness::{Sandbox, bind},
    request::{Action, Event, Request},
};

#[test]
fn exit_codes_and_signals() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.run(&sandbox.request(&["true"])).code(), 0);
    assert_eq!(sandbox.run(&sandbox.shell("exit 7")).code(), 7);
    // The first process of a PID namespace cannot kill itself; it is killed from outside.
    let mut running = sandbox.start(&sandbox.request(&["sleep", "1000"]));
    let pid = running.started();
    hoist_sys::signal::send(pid, 9).unwrap();
    assert_eq!(running.finish().code(), 137);
}

#[test]
fn environment_directory_and_input() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.shell("pwd; echo $GREETING; cat; hostname");
    request.spec.process.cwd = "/made/for/it".to_owned();
    request.spec.process.env.push("GREETING=hello".to_owned());
    let mut running = sandbox.start(&request);
    std::io::Write::write_all(running.launcher.stdin.as_mut().unwrap(), b"typed\n").unwrap();
    let finished = running.finish();
    assert_eq!(finished.output, "/made/for/it\nhello\ntyped\nbox\n");
    assert!(sandbox.path("upper/made/for/it").is_dir());
}

fn failure(change: impl FnOnce(&Sandbox, &mut Request)) -> (String, String, String) {
    let sandbox = Sandbox::new();
    let mut request = sandbox.request(&["true"]);
    change(&sandbox, &mut request);
    let finished = sandbox.run(&request);
    assert_eq!(finished.output, "");
    let (kind, message, hints) = finished.failure();
    (kind.to_owned(), message.to_owned(), hints.join("; "))
}

fn command(sandbox: &Sandbox, request: &mut Request, command: &str, content: &[u8], mode: u32) {
    let path = sandbox.path("lower").join(command.trim_start_matches('/'));
    fs::write(&path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    request.spec.process.args = vec![command.to_owned()];
}

#[test]
fn a_missing_command() {
    let (kind, message, _) =
        failure(|_, request| request.spec.process.args = vec!["foo".to_owned()]);
    assert_eq!(kind, "ContainerCommand(127)");
    assert_eq!(message, "exec: \"foo\": executable file not found in $PATH");
    let (kind, message, _) =
        failure(|_, request| request.spec.process.args = vec!["/no/foo".to_owned()]);
    assert_eq!(kind, "ContainerCommand(127)");
    assert_eq!(
        message,
        "exec: \"/no/foo\": stat /no/foo: no such file or directory"
    );
}

#[test]
fn a_file_that_is_no_program() {
    let (kind, message, hints) = failure(|sandbox, request| {
        command(sandbox, request, "/start", b"#!/bin/sh\n", 0o644);
    });
    assert_eq!(kind, "ContainerCommand(126)");
    assert_eq!(message, "exec: \"/start\": permission denied");
    assert!(hints.contains("chmod +x"), "{hints}");

    let (kind, message, hints) =
        failure(|_, request| request.spec.process.args = vec!["/etc".to_owned()]);
    assert_eq!(
        (kind.as_str(), message.as_str()),
        ("ContainerCommand(126)", "exec: \"/etc\": permission denied")
    );
    assert!(hints.contains("directory"), "{hints}");
}

#[test]
fn formats_and_interpreters() {
    let (kind, message, hints) = failure(|sandbox, request| {
        command(sandbox, request, "/start", b"echo hello\n", 0o755);
    });
    assert_eq!(kind, "ContainerCommand(126)");
    assert_eq!(message, "exec /start: exec format error");
    assert!(hints.contains("#!/bin/sh"), "{hints}");

    let (.., hints) = failure(|sandbox, request| {
        let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
        elf.resize(120, 0);
        (elf[16], elf[18]) = (2, 183);
        command(sandbox, request, "/start", &elf, 0o755);
    });
    assert!(hints.contains("arm64"), "{hints}");

    let (kind, message, hints) = failure(|sandbox, request| {
        command(
            sandbox,
            request,
            "/bin/start",
            b"#!/bin/sh\r\necho\r\n",
            0o755,
        );
        request.spec.process.args = vec!["start".to_owned()];
    });
    assert_eq!(kind, "ContainerCommand(127)");
    assert!(
        message.starts_with("exec /bin/start: no such file or directory"),
        "{message}"
    );
    assert!(hints.contains("CR LF"), "{hints}");
}

#[test]
fn what_is_wrong_with_the_launch_is_named() {
    let (kind, message, _) = failure(|sandbox, request| {
        request
            .spec
            .mounts
            .push(bind(sandbox.path("absent"), "/data", &["rbind"]));
    });
    assert_eq!(kind, "Invalid");
    assert!(message.starts_with("invalid mount config for type \"bind\": bind source path"));

    let (_, message, hints) =
        failure(|_, request| request.spec.process.cwd = "/bin/busybox".to_owned());
    assert!(
        message.starts_with("working directory /bin/busybox: Not a directory"),
        "{message}"
    );
    assert!(hints.contains("WORKDIR"), "{hints}");

    let (_, message, _) = failure(|_, request| request.lower.push("/absent/layer".into()));
    assert!(message.contains("/absent/layer"), "{message}");

    let (_, message, _) = failure(|_, request| {
        request.spec.mounts.push(hoist_core::spec::Mount {
            destination: "/x".into(),
            kind: "nofs".to_owned(),
            source: None,
            options: Vec::new(),
        });
    });
    assert!(message.starts_with("mount nofs at /x: "), "{message}");
}

#[test]
fn user_groups_and_mask() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.shell("id -u; id -g; id -G; umask; cat /proc/self/status");
    request.spec.process.user = User {
        uid: 1000,
        gid: 1001,
        additional_gids: vec![1001, 44],
        umask: Some(0o027),
    };
    let finished = sandbox.run(&request);
    assert!(
        finished.output.starts_with("1000\n1001\n1001 44\n0027\n"),
        "{}",
        finished.output
    );
    // Without root, capabilities are bounded but not held.
    assert!(
        finished.output.contains("CapEff:\t0000000000000000"),
        "{}",
        finished.output
    );
    assert!(finished.output.contains("CapBnd:\t00000000a80425fb"));
}

#[test]
fn a_user_can_open_its_output_again() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.shell("echo again >/dev/stdout; echo error >/dev/stderr");
    request.spec.process.user = User {
        uid: 1000,
        gid: 1000,
        ..User::default()
    };
    assert_eq!(sandbox.run(&request).output, "again\nerror\n");
}

#[test]
fn resource_limits() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.shell("ulimit -n; ulimit -Hn; ulimit -c");
    let limit = |kind: &str, soft, hard| Rlimit {
        kind: kind.to_owned(),
        soft,
        hard,
    };
    request.spec.process.rlimits = vec![limit("RLIMIT_NOFILE", 77, 88), limit("RLIMIT_CORE", 0, 0)];
    request.spec.process.oom_score_adj = Some(500);
    let finished = sandbox.run(&request);
    assert_eq!(finished.output, "77\n88\n0\n");
    request.spec.process.args = ["cat", "/proc/self/oom_score_adj"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(sandbox.run(&request).output, "500\n");
}

#[test]
fn signals_are_as_programs_expect() {
    let sandbox = Sandbox::new();
    let output = sandbox
        .run(&sandbox.request(&["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"]))
        .output;
    assert_eq!(
        output,
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n"
    );
}

#[test]
fn dropped_before_the_start() {
    let sandbox = Sandbox::new();
    let request = Request {
        action: Action::Drop,
        ..sandbox.request(&["true"])
    };
    let mut running = sandbox.start(&request);
    let Event::Created(pid) = running.next() else {
        panic!()
    };
    let finished = running.finish();
    assert!(
        finished.success && finished.output.is_empty(),
        "{finished:?}"
    );
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn it_ends_with_its_parent() {
    for uid in [0, 1000] {
        let sandbox = Sandbox::new();
        let mut request = sandbox.shell("echo up; sleep 1000");
        request.die_with_parent = true;
        request.spec.process.user.uid = uid;
        let mut running = sandbox.start(&request);
        let pid = running.started();
        running.wait_for("up");
        let pidfd = rustix::process::pidfd_open(
            rustix::process::Pid::from_raw(pid).unwrap(),
            rustix::process::PidfdFlags::empty(),
        )
        .unwrap();
        running.launcher.kill().unwrap();
        running.launcher.wait().unwrap();
        // Readable when it has ended.
        let mut ended = [rustix::event::PollFd::new(
            &pidfd,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut ended, None).unwrap();
        hoist_runtime::Cgroup::open(&sandbox.cgroup)
            .unwrap()
            .remove()
            .unwrap();
    }
}
