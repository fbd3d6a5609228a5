//! A root file system of busybox, and a launcher to run things in it.

use std::{
    fs,
    io::{BufRead, BufReader, Lines, Read},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use hoist_core::spec::{
    Capabilities, Linux, Mount, Namespace, NamespaceKind, Process, Seccomp, Spec, User,
};
use hoist_runtime::defaults;

use crate::request::{Action, Event, Request};

/// The first test that needs it says how to get it.
fn busybox() -> &'static Path {
    let path = Path::new("/bin/busybox");
    assert!(
        path.exists(),
        "busybox is missing: apt-get install busybox-static"
    );
    path
}

/// A place for one container.
pub(crate) struct Sandbox {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) cgroup: String,
}

static COUNTER: AtomicU32 = AtomicU32::new(0);

impl Sandbox {
    /// With a `lower` layer that has busybox, and an empty `upper` one.
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("hoist-runtime-")
            .tempdir()
            .unwrap();
        // Ordinary users of tests pass through it.
        open_to_all(directory.path());
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let sandbox = Self {
            cgroup: format!("/hoist-test-{}-{number}", std::process::id()),
            directory,
        };
        for name in [
            "lower/bin",
            "lower/etc",
            "lower/tmp",
            "lower/root",
            "upper",
            "work",
        ] {
            fs::create_dir_all(sandbox.path(name)).unwrap();
            open_to_all(&sandbox.path(name));
        }
        open_to_all(&sandbox.path("lower"));
        fs::copy(busybox(), sandbox.path("lower/bin/busybox")).unwrap();
        let list = Command::new(busybox()).arg("--list").output().unwrap();
        for applet in String::from_utf8(list.stdout).unwrap().lines() {
            if applet != "busybox" {
                symlink("busybox", sandbox.path("lower/bin").join(applet)).unwrap();
            }
        }
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A default container that runs `command`.
    pub(crate) fn request(&self, command: &[&str]) -> Request {
        Request {
            spec: spec(command),
            lower: vec![self.path("lower")],
            upper: self.path("upper"),
            work: self.path("work"),
            cgroup: Some(self.cgroup.clone()),
            ..Request::default()
        }
    }

    /// A default container that runs a shell script.
    pub(crate) fn shell(&self, script: &str) -> Request {
        self.request(&["sh", "-c", script])
    }

    /// Runs a shell script in a default container, and returns its output; it must succeed.
    pub(crate) fn output(&self, script: &str) -> String {
        let finished = self.run(&self.shell(script));
        assert_eq!(finished.code(), 0, "{finished:?}");
        finished.output
    }

    /// Runs to the end.
    pub(crate) fn run(&self, request: &Request) -> Finished {
        self.start(request).finish()
    }

    /// Starts the launcher.
    pub(crate) fn start(&self, request: &Request) -> Running {
        self.start_by(
            request,
            Command::new(env!("CARGO_BIN_EXE_runtime-launcher")),
        )
    }

    /// As [`Self::start`], by `command`, which has its first arguments already.
    pub(crate) fn start_by(&self, request: &Request, mut command: Command) -> Running {
        // A volatile layer is good for one mount; here, it does not matter.
        let _ = fs::remove_dir_all(request.work.join("work/incompat"));
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let file = self.path(&format!("request-{number}.json"));
        fs::write(&file, serde_json::to_vec(request).unwrap()).unwrap();
        let mut launcher = command
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let events = BufReader::new(launcher.stdout.take().unwrap()).lines();
        Running { launcher, events }
    }

    /// A further process in the container with the process id `pid`.
    pub(crate) fn exec(&self, pid: i32, command: &[&str]) -> Request {
        Request {
            action: Action::Exec(pid),
            ..self.request(command)
        }
    }

    /// No mount and no cgroup is left, and nothing runs in the root.
    fn check(&self) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = self.directory.path().to_str().unwrap();
        assert!(!mounts.contains(own), "a mount is left");
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap() {
            let cgroup = hierarchy.unwrap().path().join(&self.cgroup[1..]);
            assert!(!cgroup.exists(), "{} is left", cgroup.display());
        }
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(mounts) = fs::read_to_string(process.path().join("mountinfo")) else {
                continue;
            };
            // Processes of other tests may hold a copy of the host's mounts for a moment.
            let is_root = |line: &&str| line.split(' ').nth(4) == Some("/");
            let root = mounts
                .lines()
                .filter(is_root)
                .any(|line| line.contains(own));
            assert!(!root, "{} is left", process.path().display());
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check();
        }
    }
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Docker's defaults.
pub(crate) fn spec(command: &[&str]) -> Spec {
    use NamespaceKind::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    let capabilities = defaults::capabilities();
    Spec {
        oci_version: "1.2.0".to_owned(),
        hostname: "box".to_owned(),
        process: Process {
            args: command.iter().map(|word| (*word).to_owned()).collect(),
            env: vec!["PATH=/usr/bin:/bin".to_owned(), "HOME=/root".to_owned()],
            cwd: "/".to_owned(),
            user: User {
                additional_gids: vec![0, 10],
                ..User::default()
            },
            capabilities: Some(Capabilities {
                bounding: capabilities.clone(),
                effective: capabilities.clone(),
                permitted: capabilities,
                ..Capabilities::default()
            }),
            ..Process::default()
        },
        mounts: defaults::mounts(),
        linux: Linux {
            namespaces: [Pid, Network, Mount, Ipc, Uts, Cgroup]
                .map(|kind| Namespace { kind, path: None })
                .to_vec(),
            masked_paths: defaults::masked_paths(2),
            readonly_paths: defaults::readonly_paths(),
            seccomp: Some(Seccomp::Default),
            ..Linux::default()
        },
        ..Spec::default()
    }
}

/// A bind mount.
pub(crate) fn bind(source: PathBuf, destination: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: "bind".to_owned(),
        source: Some(source),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
    }
}

/// A launcher that runs.
pub(crate) struct Running {
    pub(crate) launcher: Child,
    events: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub(crate) fn next(&mut self) -> Event {
        let line = self.events.next().expect("another event").unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Waits until the command runs; returns its process id.
    pub(crate) fn started(&mut self) -> i32 {
        loop {
            match self.next() {
                Event::Started(pid) => return pid,
                Event::Created(_) => {}
                other => panic!("{other:?} in place of a start"),
            }
        }
    }

    /// Waits until the container has written `text`.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let output = self.launcher.stderr.as_mut().unwrap();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(text) {
            let mut byte = [0];
            assert_eq!(
                output.read(&mut byte).unwrap(),
                1,
                "{:?}",
                String::from_utf8_lossy(&seen)
            );
            seen.push(byte[0]);
        }
    }

    /// Ends the container's standard input, and waits.
    pub(crate) fn finish(mut self) -> Finished {
        drop(self.launcher.stdin.take());
        let mut output = Vec::new();
        self.launcher
            .stderr
            .take()
            .unwrap()
            .read_to_end(&mut output)
            .unwrap();
        let events: Vec<Event> = self
            .events
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect();
        let status = self.launcher.wait().unwrap();
        let output = String::from_utf8_lossy(&output).into_owned();
        Finished {
            output,
            events,
            success: status.success(),
        }
    }
}

/// A launcher that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) output: String,
    pub(crate) events: Vec<Event>,
    pub(crate) success: bool,
}

impl Finished {
    /// The exit code of the container.
    pub(crate) fn code(&self) -> u8 {
        assert!(self.success, "{self:?}");
        self.events
            .iter()
            .find_map(|event| match event {
                Event::Exited(code) => Some(*code),
                _ => None,
            })
            .unwrap_or_else(|| panic!("no exit code: {self:?}"))
    }

    /// Kind, message and hints of what failed.
    pub(crate) fn failure(&self) -> (&str, &str, &[String]) {
        self.events
            .iter()
            .find_map(|event| match event {
                Event::Failed(kind, message, hints) => {
                    Some((kind.as_str(), message.as_str(), hints.as_slice()))
                }
                _ => None,
            })
            .unwrap_or_else(|| panic!("no failure: {self:?}"))
    }

    pub(crate) fn oom_kills(&self) -> u64 {
        self.events
            .iter()
            .find_map(|event| match event {
                Event::Counted(kills, true) => Some(*kills),
                _ => None,
            })
            .unwrap()
    }
}
