//! The process behind every container, and those who talk to it: killed at bad moments, asked for
//! everything at once, with readers that do not read and probes that do not behave.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Sandbox, wait_until};

/// Runs until it is told to stop, and stops at once, with exit code 5.
const WILLING: &str = "trap 'exit 5' TERM; echo up; while :; do sleep 1 & wait $!; done";

fn running(sandbox: &Sandbox, name: &str, script: &str) {
    sandbox
        .hoist(&["run", "-d", "--name", name, "busybox", "sh", "-c", script])
        .ok();
}

fn wait_for_log(sandbox: &Sandbox, name: &str, text: &str) {
    wait_until(&format!("{name} has written {text:?}"), || {
        sandbox.hoist(&["logs", name]).ok().stdout.contains(text)
    });
}

/// The parent of a process, from `status` of `proc(5)`.
fn parent(pid: &str) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

fn monitor_of(sandbox: &Sandbox, name: &str) -> i32 {
    parent(&sandbox.inspect(name, "{{.State.Pid}}")).expect("the container's process runs")
}

fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a process id"), signal).expect("it runs");
}

/// Entries of a directory that is there or not.
fn entries(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// No container, no live state, no claim of a name or an address.
fn assert_empty(sandbox: &Sandbox) {
    sandbox.hoist(&["ps", "-aq"]).ok().stdout_is("");
    let hidden = |name: &String| name.starts_with('.');
    for directory in [
        sandbox.root().join("containers"),
        sandbox.root().join("container-names"),
        sandbox.run_directory().join("containers"),
        sandbox.run_directory().join("network/leases/bridge"),
        sandbox.run_directory().join("steps"),
    ] {
        let mut left = entries(&directory);
        left.retain(|name| !hidden(name));
        assert!(left.is_empty(), "{}: {left:?}", directory.display());
    }
    let removed = entries(&sandbox.root().join("containers"));
    let removed: Vec<_> = removed
        .iter()
        .filter(|name| name.starts_with(".removed"))
        .collect();
    assert!(removed.is_empty(), "{removed:?}");
}

#[test]
fn what_its_starter_has_open_does_not_live_as_long_as_the_container() {
    let sandbox = Sandbox::new();
    let lock = sandbox.file("lock", "");
    let script = format!(
        "umask 077; exec 9>>{}; trap '' HUP; exec \"$0\" \"$@\"",
        lock.display()
    );
    let hoist = sandbox.command(&["run", "-d", "--name", "box", "busybox", "sleep", "1000"]);
    let mut starter = Command::new("sh");
    starter.arg("-c").arg(script).arg(hoist.get_program());
    starter.args(hoist.get_args());
    starter.env_clear();
    starter.envs(
        hoist
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let started = starter.output().expect("sh");
    assert!(started.status.success(), "{started:?}");
    let monitor = monitor_of(&sandbox, "box");
    for fd in fs::read_dir(format!("/proc/{monitor}/fd")).expect("the monitor runs") {
        let target = fs::read_link(fd.expect("an entry").path());
        assert_ne!(target.ok().as_ref(), Some(&lock), "the monitor holds it");
    }
    // Nor does the user's mask make the root or hoist's own files unreadable for others.
    sandbox
        .hoist(&["exec", "-u", "1000", "box", "cat", "/etc/hosts"])
        .ok()
        .prints("localhost");
    sandbox
        .hoist(&["exec", "box", "sh", "-c", "grep SigIgn /proc/1/status"])
        .ok()
        .prints("0000000000000000");
}

#[test]
fn everything_at_once_on_one_container() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&["create", "--name", "box", "busybox", "sleep", "0.02"])
        .ok();
    let verbs: [&[&str]; 10] = [
        &["start", "box"],
        &["start", "box"],
        &["stop", "-t", "0", "box"],
        &["restart", "-t", "0", "box"],
        &["kill", "box"],
        &["exec", "box", "true"],
        &["ps", "-a"],
        &["inspect", "box"],
        &["logs", "box"],
        &["start", "-a", "box"],
    ];
    thread::scope(|scope| {
        for verb in verbs.iter().chain(&verbs) {
            let sandbox = &sandbox;
            scope.spawn(move || {
                for _ in 0..4 {
                    let run = sandbox.hoist(verb).never_says("panicked");
                    // The container is there all the time, and none of its parts is missing.
                    run.never_says("No such").never_says("cannot ");
                }
            });
        }
    });
    let (removed, started): (Vec<_>, Vec<_>) = thread::scope(|scope| {
        let both: Vec<_> = (0..4)
            .map(|_| {
                let remove = scope.spawn(|| sandbox.hoist(&["rm", "-f", "box"]));
                (remove, scope.spawn(|| sandbox.hoist(&["start", "box"])))
            })
            .collect();
        both.into_iter()
            .map(|(remove, start)| (remove.join().expect("rm"), start.join().expect("start")))
            .unzip()
    });
    assert!(removed.iter().any(|run| run.code == 0), "{}", removed[0]);
    for run in started.into_iter().chain(removed) {
        run.never_says("panicked").never_says("cannot ");
    }
    assert_empty(&sandbox);
}

#[test]
fn a_name_is_free_as_soon_as_its_container_is_gone() {
    let sandbox = Sandbox::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..8 {
                    let run =
                        sandbox.hoist(&["run", "--rm", "--name", "again", "busybox", "echo", "x"]);
                    if run.code == 0 {
                        run.stdout_is("x");
                    } else {
                        run.fails(125).says("already in use");
                    }
                }
            });
        }
    });
    assert_empty(&sandbox);
    for _ in 0..10 {
        sandbox
            .hoist(&["run", "--rm", "--name", "again", "busybox", "true"])
            .ok();
    }
    assert_empty(&sandbox);
}

/// The monitor that a command has started, as soon as there is one.
fn child_of(starter: u32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{starter}/task/{starter}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

#[test]
fn a_monitor_killed_while_it_starts_leaves_nothing_for_good() {
    let sandbox = Sandbox::new();
    for step in 0..24_u64 {
        sandbox
            .hoist(&[
                "create",
                "--name",
                "box",
                "-p",
                "127.0.0.1:0:80",
                "busybox",
                "sleep",
                "1000",
            ])
            .ok();
        let mut start = sandbox
            .command(&["start", "box"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("hoist starts");
        let monitor = loop {
            if let Some(monitor) = child_of(start.id()) {
                break Some(monitor);
            }
            if start.try_wait().expect("a child").is_some() {
                break None;
            }
        };
        thread::sleep(Duration::from_millis(step));
        if let Some(monitor) = monitor {
            // It is a zombie at worst: its starter waits for it.
            let _ = kill_process(Pid::from_raw(monitor).expect("a process id"), Signal::KILL);
        }
        start.wait().expect("it ends");
        if let Some(monitor) = monitor {
            wait_until("the monitor is gone", || {
                !Path::new(&format!("/proc/{monitor}")).exists()
            });
        }
        sandbox.hoist(&["ps", "-a"]).ok();
        if step % 2 == 0 {
            // It starts again, with everything that was claimed for it.
            sandbox.hoist(&["start", "box"]).ok();
            assert_eq!(sandbox.inspect("box", "{{.State.Status}}"), "running");
        }
        sandbox.hoist(&["rm", "-f", "box"]).ok();
        assert_empty(&sandbox);
    }
}

#[test]
fn a_monitor_told_to_end_stops_its_container_in_order() {
    let sandbox = Sandbox::new();
    for signal in [Signal::TERM, Signal::HUP] {
        running(&sandbox, "box", WILLING);
        wait_for_log(&sandbox, "box", "up");
        send(monitor_of(&sandbox, "box"), signal);
        sandbox.wait_for_state("box", "exited");
        assert_eq!(sandbox.inspect("box", "{{.State.ExitCode}}"), "5");
        sandbox.hoist(&["rm", "box"]).ok();
    }
}

#[test]
fn nothing_written_right_before_the_end_is_lost() {
    let sandbox = Sandbox::new();
    for _ in 0..60 {
        let run = sandbox
            .hoist(&[
                "run",
                "--rm",
                "--network",
                "none",
                "busybox",
                "sh",
                "-c",
                "echo out; echo err >&2",
            ])
            .ok();
        assert_eq!(
            (run.stdout.as_str(), run.stderr.as_str()),
            ("out\n", "err\n")
        );
    }
}

#[test]
fn bytes_go_through_unchanged_both_ways_and_into_the_log() {
    let sandbox = Sandbox::new();
    let mut bytes = vec![0; 3 << 20];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .expect("random bytes");
    let mut run = sandbox
        .command(&["run", "-i", "--name", "box", "busybox", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("hoist starts");
    let mut stdin = run.stdin.take().expect("a pipe");
    let sent = bytes.clone();
    let writer = thread::spawn(move || stdin.write_all(&sent));
    let output = run.wait_with_output().expect("it ends");
    writer.join().expect("the writer").expect("all is taken");
    assert!(output.status.success());
    assert!(output.stdout == bytes, "other bytes came back");
    let logs = sandbox.command(&["logs", "box"]).output().expect("hoist");
    assert!(logs.stdout == bytes, "other bytes are in the log");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_and_not_the_container() {
    let sandbox = Sandbox::new();
    let mut run = sandbox
        .command(&["run", "--name", "box", "busybox", "yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("hoist starts");
    let mut first = [0; 2];
    let mut stdout = run.stdout.take().expect("a pipe");
    stdout.read_exact(&mut first).expect("output");
    drop(stdout);
    let output = run.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(141));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("container box goes on"), "{said}");
    assert_eq!(sandbox.inspect("box", "{{.State.Status}}"), "running");
}

#[test]
fn a_reader_that_does_not_read_keeps_nobody_else_waiting() {
    let sandbox = Sandbox::new();
    let script = "trap 'exit 5' TERM; yes & wait";
    let port = crate::support::free_port();
    let published = format!("127.0.0.1:{port}:80");
    let mut deaf = sandbox
        .command(&[
            "run", "--name", "box", "-p", &published, "busybox", "sh", "-c", script,
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("hoist starts");
    wait_until("it runs", || {
        sandbox.hoist(&["ps"]).ok().stdout.contains("box")
    });
    let follow = sandbox.spawn(&["logs", "-f", "--tail", "1", "box"]);
    // Not until everything in between is full would it matter.
    thread::sleep(Duration::from_millis(300));
    sandbox.hoist(&["stop", "-t", "30", "box"]).ok();
    assert_eq!(sandbox.inspect("box", "{{.State.Status}}"), "exited");
    follow.finish().ok();
    // Its port is free, and so is it.
    sandbox.hoist(&["start", "box"]).ok();
    sandbox.hoist(&["rm", "-f", "box"]).ok();
    deaf.kill().expect("it is still there");
    deaf.wait().expect("it ends");
}

#[test]
fn standard_input_ends_with_the_command_that_feeds_it() {
    let sandbox = Sandbox::new();
    let mut run = sandbox.spawn(&["run", "-i", "--name", "box", "busybox", "cat"]);
    run.write("hello\n");
    run.wait_for_output("hello");
    run.signal(Signal::KILL);
    run.finish().fails(137);
    sandbox.wait_for_state("box", "exited");
    assert_eq!(sandbox.inspect("box", "{{.State.ExitCode}}"), "0");
}

#[test]
fn a_shorter_stop_shortens_the_one_before() {
    let sandbox = Sandbox::new();
    running(
        &sandbox,
        "box",
        "trap '' TERM; echo up; while :; do sleep 1; done",
    );
    wait_for_log(&sandbox, "box", "up");
    let patient = sandbox.spawn(&["stop", "-t", "100000", "box"]);
    thread::sleep(Duration::from_millis(50));
    sandbox.hoist(&["stop", "-t", "0", "box"]).ok();
    patient.finish().ok().never_says("panicked");
    assert_eq!(sandbox.inspect("box", "{{.State.ExitCode}}"), "137");
}

/// Processor time of a process in clock ticks (`proc_pid_stat(5)`).
fn ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    let fields = stat.rsplit(") ").next().expect("fields after the name");
    let fields: Vec<&str> = fields.split(' ').collect();
    [fields[11], fields[12]]
        .iter()
        .map(|ticks| ticks.parse::<u64>().expect("a number"))
        .sum()
}

fn with_probe(sandbox: &Sandbox, probe: &str, timeout: &str) {
    let run = [
        "run",
        "-d",
        "--name",
        "box",
        "--health-cmd",
        probe,
        "--health-interval",
        "200ms",
        "--health-timeout",
        timeout,
        "--health-retries",
        "1",
        "busybox",
        "sh",
        "-c",
        WILLING,
    ];
    sandbox.hoist(&run).ok();
}

#[test]
fn a_probe_that_writes_without_end_does_not_take_the_monitor_with_it() {
    let sandbox = Sandbox::new();
    with_probe(&sandbox, "cat /dev/zero", "400ms");
    wait_until("it is unhealthy", || {
        sandbox.inspect("box", "{{.State.Health.Status}}") == "unhealthy"
    });
    sandbox
        .hoist(&["inspect", "box"])
        .ok()
        .prints("Health check exceeded timeout");
    sandbox.hoist(&["stop", "box"]).ok();
    assert_eq!(sandbox.inspect("box", "{{.State.ExitCode}}"), "5");
}

#[test]
fn a_probe_that_closes_its_output_is_waited_for_at_rest() {
    let sandbox = Sandbox::new();
    with_probe(
        &sandbox,
        "exec >&- 2>&-; touch /probing; sleep 1000",
        "1000s",
    );
    wait_until("the probe runs", || {
        sandbox
            .hoist(&["exec", "box", "test", "-e", "/probing"])
            .code
            == 0
    });
    let monitor = monitor_of(&sandbox, "box");
    let before = ticks(monitor);
    thread::sleep(Duration::from_secs(1));
    let used = ticks(monitor) - before;
    assert!(used < 20, "the monitor turned without rest: {used} ticks");
    sandbox.hoist(&["stop", "box"]).ok();
}

#[test]
fn containers_that_start_with_one_new_volume_find_it_filled() {
    let sandbox = Sandbox::new();
    let dockerfile = "FROM busybox\nRUN mkdir /data && for i in $(seq 1 300); do echo $i > /data/$i; done\n\
                      VOLUME /data\nCMD [\"sh\", \"-c\", \"ls /data | wc -l\"]\n";
    let dockerfile = sandbox.file("context/Dockerfile", dockerfile);
    let context = dockerfile.parent().and_then(Path::to_str).expect("a path");
    sandbox
        .hoist(&["build", "-q", "-t", "filled", context])
        .ok();
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                sandbox
                    .hoist(&["run", "--rm", "-v", "shared:/data", "filled"])
                    .ok()
                    .stdout_is("300");
            });
        }
    });

    // A copy that was killed halfway is made anew.
    sandbox
        .hoist(&["create", "--name", "box", "-v", "half:/data", "filled"])
        .ok();
    let volume = sandbox.root().join("volumes/half");
    fs::write(volume.join("_data/299"), "half").expect("a file");
    fs::write(volume.join("filling"), "").expect("the mark");
    sandbox.hoist(&["start", "-a", "box"]).ok().stdout_is("300");
    assert!(!volume.join("filling").exists());
}

#[test]
fn a_volume_of_one_container_stays_while_another_uses_it() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&[
            "run",
            "--name",
            "first",
            "-v",
            "/data",
            "busybox",
            "touch",
            "/data/kept",
        ])
        .ok();
    let name = sandbox.inspect("first", "{{range .Mounts}}{{.Name}}{{end}}");
    let mount = format!("{name}:/data");
    sandbox
        .hoist(&[
            "create", "--name", "second", "-v", &mount, "busybox", "ls", "/data",
        ])
        .ok();
    sandbox.hoist(&["rm", "-v", "first"]).ok();
    sandbox
        .hoist(&["start", "-a", "second"])
        .ok()
        .stdout_is("kept");
}

#[test]
fn a_creation_that_fails_makes_nothing() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&["create", "--name", "taken", "busybox"])
        .ok();
    let mount = format!("{}:/b", sandbox.path("made").display());
    sandbox
        .hoist(&[
            "create", "--name", "taken", "-v", "fresh:/a", "-v", "/c", "-v", &mount, "busybox",
        ])
        .fails(1)
        .says("already in use");
    let missing = format!(
        "type=bind,source={},target=/x",
        sandbox.path("none").display()
    );
    sandbox
        .hoist(&["create", "-v", "/a", "--mount", &missing, "busybox"])
        .fails(1)
        .says("does not exist");
    assert_eq!(entries(&sandbox.root().join("volumes")), BTreeSet::new());
    assert!(!sandbox.path("made").exists());
}

#[test]
fn a_log_is_followed_over_its_rotation_without_a_gap() {
    let sandbox = Sandbox::new();
    let script = "while [ ! -e /go ]; do sleep 0.05; done; seq 1 200000";
    running(&sandbox, "box", script);
    let follow = sandbox.spawn(&["logs", "-f", "box"]);
    sandbox.hoist(&["exec", "box", "touch", "/go"]).ok();
    let followed = follow.finish().ok().stdout;
    let read = sandbox.hoist(&["logs", "box"]).ok().stdout;
    assert!(
        sandbox
            .root()
            .join("containers")
            .join(sandbox.inspect("box", "{{.Id}}"))
            .join("log.1")
            .exists(),
        "it was not rotated"
    );
    for text in [followed, read] {
        let lines: Vec<u32> = text
            .lines()
            .map(|line| line.parse().expect("a number"))
            .collect();
        assert!(lines.iter().copied().eq(1..=200_000), "lines are missing");
    }
    sandbox
        .hoist(&["logs", "--tail", "2", "box"])
        .ok()
        .stdout_is("199999\n200000");
}

#[test]
fn exec_gives_no_file_of_the_host_away() {
    let sandbox = Sandbox::new();
    running(&sandbox, "box", WILLING);
    let file = sandbox.file("input", "the input\n");
    let output = File::create(sandbox.path("output")).expect("a file");
    let script = "cat; echo spoilt > /proc/self/fd/0; ls /proc/self/fd/0/..; true";
    let status = sandbox
        .command(&["exec", "-i", "box", "sh", "-c", script])
        .stdin(File::open(&file).expect("the file"))
        .stdout(output)
        .status()
        .expect("hoist");
    assert!(status.success());
    assert_eq!(fs::read_to_string(&file).expect("the file"), "the input\n");
    let output = fs::read_to_string(sandbox.path("output")).expect("the output");
    assert_eq!(output, "the input\n");
}

#[test]
fn a_build_step_that_is_killed_is_tidied_up_by_the_next() {
    let sandbox = Sandbox::new();
    let dockerfile = sandbox.file("context/Dockerfile", "FROM busybox\nRUN sleep 1000\n");
    let context = dockerfile.parent().and_then(Path::to_str).expect("a path");
    let build = sandbox.spawn(&["build", "-q", context]);
    let steps = sandbox.run_directory().join("steps");
    wait_until("the step runs", || !entries(&steps).is_empty());
    let step = find_process(&sandbox, "build-step");
    send(step, Signal::KILL);
    assert_ne!(build.finish().code, 0);
    fs::write(&dockerfile, "FROM busybox\nRUN true\n").expect("the Dockerfile");
    sandbox.hoist(&["build", "-q", context]).ok();
    assert_empty(&sandbox);
}

/// The process of this sandbox that runs a hidden command.
fn find_process(sandbox: &Sandbox, command: &str) -> i32 {
    let root = format!("HOIST_ROOT={}", sandbox.root().display());
    let mut found = None;
    wait_until(&format!("a {command} process is there"), || {
        let pids = entries(Path::new("/proc"));
        found = pids.iter().find_map(|pid| {
            let process = PathBuf::from("/proc").join(pid);
            let words = fs::read(process.join("cmdline")).ok()?;
            let variables = fs::read(process.join("environ")).ok()?;
            let named = words.split(|byte| *byte == 0).nth(1) == Some(command.as_bytes());
            let ours = variables
                .split(|byte| *byte == 0)
                .any(|variable| variable == root.as_bytes());
            (named && ours).then(|| pid.parse().expect("a number"))
        });
        found.is_some()
    });
    found.expect("it was found")
}

/// A small file system, mounted as long as it lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(path: PathBuf, size: &str) -> Self {
        fs::create_dir_all(&path).expect("a directory");
        let option = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &option, "tmpfs"])
            .arg(&path)
            .status();
        assert!(mounted.expect("mount").success());
        Self(path)
    }

    /// Write until nothing fits any more.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = File::create(&path).expect("a file");
        for size in [1 << 16, 1 << 10, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_the_log_and_not_the_container() {
    let sandbox = Sandbox::with(&[]);
    let disk = SmallDisk::at(sandbox.root(), "24m");
    let (archive, _) = crate::support::base_archive("busybox:latest");
    let archive = archive.to_str().expect("a path").to_owned();
    sandbox.hoist(&["import", &archive, "busybox"]).ok();
    let script = "echo before; while [ ! -e /dev/shm/go ]; do sleep 0.05; done; \
                  seq 1 1000; touch /dev/shm/written; \
                  while [ ! -e /dev/shm/end ]; do sleep 0.05; done; exit 7";
    running(&sandbox, "box", script);
    wait_for_log(&sandbox, "box", "before");
    let ballast = disk.fill();
    sandbox.hoist(&["exec", "box", "touch", "/dev/shm/go"]).ok();
    wait_until("it has written", || {
        sandbox
            .hoist(&["exec", "box", "test", "-e", "/dev/shm/written"])
            .code
            == 0
    });
    wait_until("inspect says that the log stopped", || {
        sandbox
            .inspect("box", "{{.State.Error}}")
            .contains("not logged")
    });

    // Nothing can be made, and nothing of it is there.
    let failed = sandbox
        .hoist(&["create", "--name", "other", "busybox", "true"])
        .fails(1);
    failed.says("No space left").says("hoist system df");
    sandbox.hoist(&["ps", "-aq"]).ok();
    sandbox
        .hoist(&["exec", "box", "touch", "/dev/shm/end"])
        .ok();
    sandbox.wait_for_state("box", "exited");
    assert_eq!(sandbox.inspect("box", "{{.State.ExitCode}}"), "7");
    fs::remove_file(ballast).expect("the ballast");
    sandbox.hoist(&["logs", "box"]).ok().prints("before");
    sandbox.hoist(&["start", "box"]).ok();
    sandbox
        .hoist(&["exec", "box", "touch", "/dev/shm/go", "/dev/shm/end"])
        .ok();
    wait_for_log(&sandbox, "box", "1000");
    sandbox.hoist(&["rm", "-f", "box"]).ok();
    sandbox.hoist(&["system", "prune", "-f"]).ok();
    assert_empty(&sandbox);
    drop(disk);
}

#[test]
fn connections_leave_no_descriptor_behind() {
    let sandbox = Sandbox::new();
    running(
        &sandbox,
        "box",
        "trap : USR1; echo up; while :; do sleep 1 & wait $!; done",
    );
    wait_for_log(&sandbox, "box", "up");
    let monitor = monitor_of(&sandbox, "box");
    let descriptors = || entries(Path::new(&format!("/proc/{monitor}/fd"))).len();
    sandbox.hoist(&["kill", "-s", "USR1", "box"]).ok();
    wait_until("the first client is forgotten", || {
        thread::sleep(Duration::from_millis(10));
        true
    });
    let before = descriptors();
    for _ in 0..60 {
        sandbox.hoist(&["kill", "-s", "USR1", "box"]).ok();
    }
    wait_until("all clients are forgotten", || descriptors() <= before);
}
