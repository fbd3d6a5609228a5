//! `hoist run` and `hoist create`: what the flags do to the process inside.

use crate::support::Sandbox;

#[test]
fn output_and_exit_status_are_the_programs() {
    let sandbox = Sandbox::new();
    let script = "echo to stdout; echo to stderr >&2; exit 7";
    let run = sandbox
        .hoist(&["run", "--rm", "busybox", "sh", "-c", script])
        .fails(7);
    assert_eq!(
        (run.stdout.as_str(), run.stderr.as_str()),
        ("to stdout\n", "to stderr\n")
    );
}

#[test]
fn the_images_command_runs_when_none_is_given() {
    let sandbox = Sandbox::new();
    // busybox's command is a shell: it reads what comes in.
    sandbox
        .hoist_with_input(&["run", "--rm", "-i", "busybox"], "echo $((6 * 7))\n")
        .ok()
        .stdout_is("42");
}

#[test]
fn standard_input_reaches_the_program_only_with_i() {
    let sandbox = Sandbox::new();
    let input = "line 1\nline 2\n";
    sandbox
        .hoist_with_input(&["run", "--rm", "-i", "busybox", "wc", "-l"], input)
        .ok()
        .stdout_is("2");
    sandbox
        .hoist_with_input(&["run", "--rm", "busybox", "wc", "-l"], input)
        .ok()
        .stdout_is("0");
}

#[test]
fn a_megabyte_passes_both_ways_unharmed() {
    let sandbox = Sandbox::new();
    let input = "0123456789abcde\n".repeat(65_536);
    let run = sandbox
        .hoist_with_input(&["run", "--rm", "-i", "busybox", "cat"], &input)
        .ok();
    assert!(
        run.stdout == input,
        "{} bytes came back of {}",
        run.stdout.len(),
        input.len()
    );
}

#[test]
fn rm_leaves_no_container() {
    let sandbox = Sandbox::new();
    sandbox.hoist(&["run", "--rm", "busybox", "true"]).ok();
    sandbox.hoist(&["ps", "-aq"]).ok().stdout_is("");
}

#[test]
fn without_rm_the_exited_container_stays() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&["run", "--name", "gone", "busybox", "sh", "-c", "exit 3"])
        .fails(3);
    assert_eq!(
        sandbox.inspect("gone", "{{.State.Status}} {{.State.ExitCode}}"),
        "exited 3"
    );
}

#[test]
fn detached_it_prints_the_id_and_returns() {
    let sandbox = Sandbox::new();
    let run = sandbox
        .hoist(&["run", "-d", "busybox", "sleep", "1000"])
        .ok();
    let id = run.text();
    assert!(
        id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{id:?} is no id"
    );
    assert_eq!(sandbox.inspect(id, "{{.State.Running}}"), "true");
    assert_eq!(sandbox.inspect(&id[..12], "{{.Id}}"), id);
}

#[test]
fn environment_comes_from_image_flags_files_and_the_callers_own() {
    let sandbox = Sandbox::new();
    let file = sandbox.file(
        "env",
        "# a comment\nFROM_FILE=of the file\nBOTH=file\n\nINHERITED\n",
    );
    let mut command =
        sandbox.command(&["run", "--rm", "--env-file", file.to_str().expect("a path")]);
    command.args([
        "-e",
        "FROM_FLAG=of the flag",
        "-e",
        "BOTH=flag",
        "-e",
        "CALLERS",
        "-e",
        "UNSET",
    ]);
    command
        .args(["busybox", "env"])
        .env("CALLERS", "of the caller")
        .env("INHERITED", "too");
    let run = crate::support::Child::spawn(command).finish().ok();
    for line in [
        "FROM_FILE=of the file",
        "FROM_FLAG=of the flag",
        "BOTH=flag",
        "CALLERS=of the caller",
        "INHERITED=too",
        "HOME=/root",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ] {
        assert!(
            run.stdout.lines().any(|found| found == line),
            "{line:?} is not in {run}"
        );
    }
    assert!(run.stdout.contains("HOSTNAME="), "{run}");
    assert!(
        !run.stdout.contains("UNSET"),
        "a variable that the caller does not have: {run}"
    );
}

#[test]
fn working_directory_is_made_where_it_is_missing() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&["run", "--rm", "-w", "/not/there/yet", "busybox", "pwd"])
        .ok()
        .stdout_is("/not/there/yet");
    sandbox
        .hoist(&["run", "--rm", "busybox", "pwd"])
        .ok()
        .stdout_is("/");
}

#[test]
fn user_by_name_by_number_and_with_a_group() {
    let sandbox = Sandbox::new();
    let id = |user: &str| {
        sandbox
            .hoist(&["run", "--rm", "-u", user, "busybox", "id"])
            .ok()
            .stdout
    };
    assert!(id("operator").starts_with("uid=37(operator) gid=37(operator)"));
    assert!(id("1234").starts_with("uid=1234 gid=0(root)"));
    assert!(id("1234:100").starts_with("uid=1234 gid=100(users)"));
    assert!(id("operator:users").starts_with("uid=37(operator) gid=100(users)"));
}

#[test]
fn home_is_the_users() {
    let sandbox = Sandbox::new();
    let home = [
        "run",
        "--rm",
        "-u",
        "www-data",
        "busybox",
        "sh",
        "-c",
        "echo $HOME",
    ];
    sandbox.hoist(&home).ok().stdout_is("/var/www");
}

#[test]
fn entrypoint_replaces_the_images_and_its_command() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&["run", "--rm", "--entrypoint", "echo", "busybox", "a", "b"])
        .ok()
        .stdout_is("a b");
    sandbox
        .hoist(&["run", "--rm", "--entrypoint", "echo", "busybox"])
        .ok()
        .stdout_is("");
}

#[test]
fn hostname_is_the_given_one_or_the_short_id() {
    let sandbox = Sandbox::new();
    let given = [
        "run",
        "--rm",
        "--hostname",
        "example.test",
        "busybox",
        "hostname",
    ];
    sandbox.hoist(&given).ok().stdout_is("example.test");

    sandbox
        .hoist(&["run", "--name", "box", "busybox", "cat", "/etc/hostname"])
        .ok();
    let id = sandbox.inspect("box", "{{.Id}}");
    sandbox.hoist(&["logs", "box"]).ok().stdout_is(&id[..12]);
    assert_eq!(sandbox.inspect("box", "{{.Config.Hostname}}"), id[..12]);
}

#[test]
fn read_only_root_with_a_place_to_write() {
    let sandbox = Sandbox::new();
    let write = |path: &str| {
        let script = format!("echo x > {path}/file");
        let run = [
            "run",
            "--rm",
            "--read-only",
            "--tmpfs",
            "/tmp",
            "busybox",
            "sh",
            "-c",
            &script,
        ];
        sandbox.hoist(&run)
    };
    write("/tmp").ok();
    write("/etc").fails(1).says("Read-only file system");
}

#[test]
fn tmpfs_has_the_size_and_mode_asked_for() {
    let sandbox = Sandbox::new();
    let tmpfs = "/scratch:size=4m,mode=1770";
    let script = "stat -c %a /scratch; df -k /scratch | tail -1 | awk '{print $2}'; mount | grep ' /scratch '";
    let run = sandbox
        .hoist(&[
            "run", "--rm", "--tmpfs", tmpfs, "busybox", "sh", "-c", script,
        ])
        .ok();
    run.prints("1770\n4096\n")
        .prints("noexec")
        .prints("nosuid")
        .prints("nodev");
}

#[test]
fn init_reaps_what_the_program_abandons() {
    let sandbox = Sandbox::new();
    // The grandchild outlives its parent and becomes a child of process 1, which must reap it.
    let script = "(sleep 0.1 &) ; cat /proc/1/comm; sleep 1000";
    sandbox
        .hoist(&[
            "run", "-d", "--init", "--name", "box", "busybox", "sh", "-c", script,
        ])
        .ok();
    crate::support::wait_until("the orphan is reaped", || {
        let processes = sandbox
            .hoist(&["exec", "box", "ps", "-o", "pid,stat,comm"])
            .ok()
            .stdout;
        !processes.contains("sleep 0.1") && !processes.contains(" Z ")
    });
    // Process 1 is not the shell, and passes signals on to it.
    let first = sandbox.hoist(&["logs", "box"]).ok();
    assert_ne!(first.text(), "sh");
}

#[test]
fn cidfile_holds_the_id_and_must_not_exist() {
    let sandbox = Sandbox::new();
    let file = sandbox.path("cid");
    let file = file.to_str().expect("a path");
    let id = sandbox
        .hoist(&["run", "-d", "--cidfile", file, "busybox", "sleep", "1000"])
        .ok();
    assert_eq!(std::fs::read_to_string(file).expect("the file"), id.text());
    sandbox
        .hoist(&["run", "--rm", "--cidfile", file, "busybox", "true"])
        .fails(125)
        .says(file);
    sandbox
        .hoist(&["ps", "-aq"])
        .ok()
        .stdout_is(&id.text()[..12]);
}

#[test]
fn labels_of_the_flags_join_those_of_the_image() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&[
            "create", "--name", "box", "--label", "tier=web", "-l", "bare", "busybox",
        ])
        .ok();
    assert_eq!(sandbox.inspect("box", "{{.Config.Labels.tier}}"), "web");
    let all = sandbox.inspect("box", "{{json .Config.Labels}}");
    assert!(
        all.contains("\"bare\":\"\"") && all.contains("org.hoist.stand-in"),
        "{all}"
    );
}

#[test]
fn create_makes_what_start_runs() {
    let sandbox = Sandbox::new();
    let id = sandbox
        .hoist(&["create", "--name", "box", "busybox", "echo", "hello"])
        .ok();
    assert_eq!(sandbox.inspect("box", "{{.State.Status}}"), "created");
    sandbox.hoist(&["start", "box"]).ok().stdout_is("box");
    sandbox.wait_for_state("box", "exited");
    sandbox.hoist(&["logs", id.text()]).ok().stdout_is("hello");
    // Attached, it shows the output and takes over the exit status.
    sandbox
        .hoist(&["start", "-a", "box"])
        .ok()
        .stdout_is("hello");
}

#[test]
fn names_are_made_up_where_none_is_given() {
    let sandbox = Sandbox::new();
    let ids: Vec<String> = (0..3)
        .map(|_| sandbox.hoist(&["create", "busybox"]).ok().text().to_owned())
        .collect();
    let mut names: Vec<String> = ids
        .iter()
        .map(|id| sandbox.inspect(id, "{{.Name}}"))
        .collect();
    assert!(
        names
            .iter()
            .all(|name| name.starts_with('/') && name.contains('_')),
        "{names:?}"
    );
    names.dedup();
    assert_eq!(names.len(), 3);
}
