//! A data root of one test's own, and the commands on it.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::leftovers::Surroundings;
use super::user::User;
use super::{Child, Run, Terminal, bases};

/// A data root, a directory for files of the test, and whoever works on them. When it goes, all its
/// containers go, and the test fails if anything of them stays.
pub(crate) struct Sandbox {
    directory: TempDir,
    hoist: PathBuf,
    user: Option<User>,
    before: Surroundings,
}

impl Sandbox {
    /// A sandbox of root's with these base images.
    pub(crate) fn with(bases: &[&str]) -> Self {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let directory = tempfile::Builder::new()
            .prefix("s")
            .tempdir_in(parent)
            .expect("a directory");
        bases::fill(&directory.path().join("root"), bases);
        Self::at(directory, PathBuf::from(env!("CARGO_BIN_EXE_hoist")), None)
    }

    /// A sandbox of root's with busybox.
    pub(crate) fn new() -> Self {
        Self::with(&["busybox:latest"])
    }

    /// A sandbox of an ordinary user's with these base images.
    pub(crate) fn of_user(bases: &[&str]) -> Self {
        let user = User::of_tests();
        // Where any user may go, with a program that any user may read.
        let directory = tempfile::Builder::new()
            .prefix("hoist")
            .tempdir_in("/var/tmp")
            .expect("a directory");
        let hoist = directory.path().join("hoist");
        // Written by a process of its own: a descriptor open for writing here could be inherited
        // by what another test starts meanwhile, and a file that is written cannot be executed.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_hoist"))
            .arg(&hoist)
            .status();
        assert!(copied.expect("cp").success(), "a copy of hoist");
        for name in ["home", "xdg"] {
            fs::create_dir(directory.path().join(name)).expect("a directory of the user's");
            chown(directory.path().join(name), Some(user.uid), Some(user.gid)).expect("chown");
        }
        chown(directory.path(), Some(user.uid), Some(user.gid)).expect("chown");
        let sandbox = Self::at(directory, hoist, Some(user));
        bases::import(bases, || sandbox.command(&[]));
        sandbox
    }

    fn at(directory: TempDir, hoist: PathBuf, user: Option<User>) -> Self {
        let files = directory.path().join("files");
        fs::create_dir(&files).expect("a directory for the test's files");
        if let Some(user) = user {
            chown(&files, Some(user.uid), Some(user.gid)).expect("chown");
        }
        let before = Surroundings::look();
        Self {
            directory,
            hoist,
            user,
            before,
        }
    }

    /// `$HOIST_ROOT`.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// `$HOIST_RUN`.
    pub(crate) fn run_directory(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    /// A path among the test's own files, where commands start.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("files").join(name)
    }

    /// Writes one of the test's own files, with the directories above it.
    #[track_caller]
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file lies in a directory"))
            .expect("a directory");
        fs::write(&path, text).expect("a file of the test");
        path
    }

    /// A hoist command on this data root, with nothing else in its environment that matters.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.hoist);
        let home = if self.user.is_some() { "home" } else { "files" };
        command
            .args(arguments)
            .current_dir(self.path(""))
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", self.directory.path().join(home))
            .env("TERM", "xterm")
            .env("HOIST_ROOT", self.root())
            .env("HOIST_RUN", self.run_directory());
        let form = std::env::var_os(bases::LAYER_FORM);
        if let (Some(form), None) = (form, self.user) {
            command.env(bases::LAYER_FORM, form);
        }
        if let Some(user) = self.user {
            // As root, `uid` also drops the supplementary groups.
            command.uid(user.uid).gid(user.gid);
            command.env("XDG_RUNTIME_DIR", self.directory.path().join("xdg"));
        }
        command
    }

    /// Runs a hoist command to its end, without input.
    #[track_caller]
    pub(crate) fn hoist(&self, arguments: &[&str]) -> Run {
        self.spawn(arguments).finish()
    }

    /// Runs a hoist command to its end on this input.
    #[track_caller]
    pub(crate) fn hoist_with_input(&self, arguments: &[&str], input: &str) -> Run {
        let mut child = self.spawn(arguments);
        child.offer(input);
        child.finish()
    }

    /// Starts a hoist command; its standard input stays open.
    #[track_caller]
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        Child::spawn(self.command(arguments))
    }

    /// Starts a hoist command on a terminal.
    pub(crate) fn terminal(&self, arguments: &[&str]) -> Terminal {
        assert!(self.user.is_none(), "terminals are tested as root");
        Terminal::spawn(&self.command(arguments))
    }

    /// What `inspect --format` says about a container or image.
    #[track_caller]
    pub(crate) fn inspect(&self, name: &str, format: &str) -> String {
        self.hoist(&["inspect", "--format", format, name])
            .ok()
            .text()
            .to_owned()
    }

    /// Waits until a container is in this state: `running`, `exited`, …
    #[track_caller]
    pub(crate) fn wait_for_state(&self, name: &str, state: &str) {
        super::wait_until(&format!("{name} is {state}"), || {
            self.inspect(name, "{{.State.Status}}") == state
        });
    }

    /// Removes every container, and prunes what may be pruned.
    fn remove_everything(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut run = |arguments: &[&str]| {
            let output = self.command(arguments).output().expect("hoist starts");
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                complaints.push(format!(
                    "hoist {}: {}: {said}",
                    arguments.join(" "),
                    output.status
                ));
            }
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let listed = run(&["ps", "--all", "--quiet", "--no-trunc"]);
        let ids: Vec<&str> = listed.split_whitespace().collect();
        if !ids.is_empty() {
            run(&[&["rm", "--force", "--volumes"], ids.as_slice()].concat());
        }
        run(&["system", "prune", "--force"]);
        complaints
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let mut complaints = if self.root().exists() {
            self.remove_everything()
        } else {
            Vec::new()
        };
        complaints.extend(self.before.leftovers(self.directory.path()));
        // A test that has failed already has said what matters.
        if !std::thread::panicking() {
            assert_eq!(complaints, [""; 0], "left behind by the test");
        }
    }
}
