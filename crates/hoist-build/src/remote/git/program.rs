//! Running the machine's git, so that nobody but the builder has a say in what it does.
//!
//! It sees no configuration of the system or of a user, no hooks, no helpers, no terminal; it may
//! speak the protocols of the network and no others, and arguments that come from an address stand
//! where no option can. Credentials reach it through its environment, not its arguments, which
//! everybody on the machine can read.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::{
        fd::AsFd,
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::Ordering,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit},
};

use super::{super::Supplier, GitRemote, Transport, credentials};
use crate::{
    error::BuildError,
    execute::{
        agent::Forward,
        private::{Access, PrivateFiles},
    },
    secret::AgentSource,
};

/// Protocols that may be spoken.
const PROTOCOLS: &str = "http:https:ssh:git";

/// Settings that hold for every command.
const SETTINGS: [&str; 15] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.askPass=",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.recurseSubmodules=no",
    "submodule.recurse=false",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60",
    "init.defaultBranch=master",
    // Equal trees make equal archives, whatever the umask.
    "tar.umask=0022",
    "pack.threads=1",
    "advice.detachedHead=false",
];

/// The longest answer that is taken into memory, in bytes: the list of a tree with a million files.
const MAX_ANSWER: usize = 256 << 20;
/// The longest complaint that is kept.
const MAX_COMPLAINT: usize = 64 << 10;
/// How long a look for an interruption is apart from the next, in nanoseconds.
const LOOK: i64 = 100_000_000;

/// A command of git.
pub(super) struct Git<'a> {
    supplier: Supplier<'a>,
    directory: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    /// Settings that nobody may read in the list of processes.
    secrets: Vec<(String, String)>,
    /// Answers for keys from files, where it was given such.
    agent: Option<(Forward, PrivateFiles)>,
}

/// Why a command did not do what it should.
#[derive(Debug)]
pub(super) enum Failure {
    /// It said so, in these words.
    Said(String),
    /// It could not be run, or was interrupted.
    Fatal(BuildError),
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self::Fatal(error)
    }
}

impl<'a> Git<'a> {
    /// A command on the repository `directory`, whose first arguments are `arguments`.
    pub(super) fn new(supplier: Supplier<'a>, directory: &Path, arguments: &[&str]) -> Self {
        Self {
            supplier,
            directory: directory.to_owned(),
            arguments: arguments.iter().map(OsString::from).collect(),
            variables: vec![("GIT_ALLOW_PROTOCOL".into(), PROTOCOLS.into())],
            secrets: Vec::new(),
            agent: None,
        }
    }

    /// One more argument.
    pub(super) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// It may read repositories of this machine, and speak no other protocol.
    pub(super) fn reading_here(mut self) -> Self {
        self.variables = vec![("GIT_ALLOW_PROTOCOL".into(), "file".into())];
        self
    }

    /// It makes commits of a time, by nobody.
    pub(super) fn identified(mut self, time: i64) -> Self {
        for role in ["AUTHOR", "COMMITTER"] {
            for (what, value) in [
                ("NAME", "hoist".to_owned()),
                ("EMAIL", "hoist".to_owned()),
                ("DATE", format!("@{time} +0000")),
            ] {
                self.variables
                    .push((format!("GIT_{role}_{what}").into(), value.into()));
            }
        }
        self
    }

    /// It speaks to `remote`: with the credentials and the agent that the build was given for it.
    pub(super) fn speaking_to(
        mut self,
        remote: &GitRemote,
        trust: credentials::Trust<'_>,
    ) -> Result<Self, BuildError> {
        if let Some(header) = credentials::header(&self.supplier, remote, trust) {
            self.secrets.push((
                format!("http.{}.extraHeader", remote.url),
                format!("Authorization: {header}"),
            ));
            // git would take the header along to wherever a redirect leads.
            self.secrets
                .push(("http.followRedirects".to_owned(), "false".to_owned()));
        }
        if remote.transport == Transport::Ssh {
            let agent = credentials::agent(&self.supplier, remote)?;
            let socket = match &agent.source {
                AgentSource::Socket(socket) => socket.clone(),
                AgentSource::Keys(_) => self.serve(&agent.source)?,
            };
            self.variables.push(("SSH_AUTH_SOCK".into(), socket.into()));
            self.variables.push((
                "GIT_SSH_COMMAND".into(),
                credentials::ssh_command(&self.supplier)?,
            ));
        }
        Ok(self)
    }

    /// Answer with the keys of `agent` as long as the command is there; the socket.
    fn serve(&mut self, agent: &AgentSource) -> Result<PathBuf, BuildError> {
        let files = PrivateFiles::make(&self.supplier.engine.settings().run)?;
        let path = files.path("agent");
        let access = Access {
            mode: 0o600,
            uid: 0,
            gid: 0,
        };
        let forward = Forward::open(&path, access, agent)?;
        self.agent = Some((forward, files));
        Ok(path)
    }

    /// Run it, and give what it writes.
    pub(super) fn output(self) -> Result<Vec<u8>, Failure> {
        let mut child = self.spawn(Stdio::piped())?;
        let mut output = Vec::new();
        let complaint = self.watch(&mut child, &mut output);
        self.verdict(child, complaint).map(|()| output)
    }

    /// Run it for its effects.
    pub(super) fn run(self) -> Result<(), Failure> {
        self.output().map(drop)
    }

    /// Run it, and let it write into `file`.
    pub(super) fn write_to(self, file: File) -> Result<(), Failure> {
        let mut child = self.spawn(Stdio::from(file))?;
        let complaint = self.watch(&mut child, &mut Vec::new());
        self.verdict(child, complaint)
    }

    fn command(&self, output: Stdio) -> Command {
        let access = &self.supplier.access.git;
        let mut command = Command::new(find(&access.path).unwrap_or_else(|| "git".into()));
        command
            .env_clear()
            .env("PATH", &access.path)
            .env("LC_ALL", "C")
            .env("HOME", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_SSH_VARIANT", "ssh")
            .env("GIT_PROTOCOL_FROM_USER", "0")
            .envs(access.variables.iter().map(|(name, value)| (name, value)))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("GIT_CONFIG_COUNT", self.secrets.len().to_string());
        for (number, (key, value)) in self.secrets.iter().enumerate() {
            command
                .env(format!("GIT_CONFIG_KEY_{number}"), key)
                .env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command
            .arg("--git-dir")
            .arg(&self.directory)
            .args(&self.arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::piped())
            // Whatever it starts ends with it.
            .process_group(0);
        command
    }

    fn spawn(&self, output: Stdio) -> Result<Child, BuildError> {
        let child = self.command(output).spawn().map_err(|source| {
            let hints = match source.kind() {
                io::ErrorKind::NotFound => vec![
                    "git fetches repositories: apt-get install git, or dnf install git".to_owned(),
                ],
                _ => Vec::new(),
            };
            BuildError::Program {
                program: "git",
                hints,
                source,
            }
        })?;
        // A server that sends without end fills no disk.
        let most = Some(self.supplier.access.limit);
        let limit = Rlimit {
            current: most,
            maximum: most,
        };
        // Where that cannot be, git's own care is what there is.
        let _ = prlimit(pid(&child), Resource::Fsize, limit);
        Ok(child)
    }

    /// Take in what it writes until it ends; its complaint, or why it was stopped.
    fn watch(&self, child: &mut Child, output: &mut Vec<u8>) -> Result<Vec<u8>, BuildError> {
        let mut complaint = Vec::new();
        let mut stdout = child.stdout.take();
        let mut stderr = child.stderr.take();
        while stdout.is_some() || stderr.is_some() {
            if self.supplier.stop.load(Ordering::Relaxed) {
                return Err(BuildError::Cancelled);
            }
            let (out_ready, err_ready) = ready(stdout.as_ref(), stderr.as_ref())
                .map_err(|errno| BuildError::io("wait for", "git", errno))?;
            if out_ready && !read_some(&mut stdout, output, MAX_ANSWER) {
                return Err(BuildError::Invalid {
                    message: format!("git says more than {MAX_ANSWER} bytes"),
                    hints: Vec::new(),
                });
            }
            if err_ready {
                read_some(&mut stderr, &mut complaint, usize::MAX);
                let surplus = complaint.len().saturating_sub(MAX_COMPLAINT);
                complaint.drain(..surplus);
            }
        }
        Ok(complaint)
    }

    fn verdict(
        &self,
        mut child: Child,
        complaint: Result<Vec<u8>, BuildError>,
    ) -> Result<(), Failure> {
        if complaint.is_err() {
            // It may have ended meanwhile.
            if let Some(pid) = pid(&child) {
                let _ = kill_process_group(pid, Signal::KILL);
            }
        }
        let status = child.wait().map_err(|source| BuildError::Program {
            program: "git",
            hints: Vec::new(),
            source,
        })?;
        let complaint = complaint?;
        if status.success() {
            return Ok(());
        }
        let said = said(&complaint);
        Err(Failure::Said(match (status.signal(), said.is_empty()) {
            (Some(signal), true) => format!("git was ended by signal {signal}"),
            (None, true) => format!("git ended with {status}"),
            (_, false) => said,
        }))
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// Where git is, as the search path of the caller says.
fn find(path: &OsStr) -> Option<PathBuf> {
    let mut places = std::env::split_paths(path).map(|directory| directory.join("git"));
    places.find(|place| place.is_absolute() && place.is_file())
}

/// Whether there is something to read, or an end.
fn ready(stdout: Option<&impl AsFd>, stderr: Option<&impl AsFd>) -> Result<(bool, bool), Errno> {
    let mut fds = Vec::with_capacity(2);
    fds.extend(stdout.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    fds.extend(stderr.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    let look = Timespec {
        tv_sec: 0,
        tv_nsec: LOOK,
    };
    match poll(&mut fds, Some(&look)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(errno),
    }
    let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
    let of_stdout = stdout.is_some() && ready.next() == Some(true);
    let of_stderr = stderr.is_some() && ready.next() == Some(true);
    Ok((of_stdout, of_stderr))
}

/// Read once; a pipe that has ended is gone afterwards. False when there is too much.
fn read_some(pipe: &mut Option<impl Read>, into: &mut Vec<u8>, most: usize) -> bool {
    let mut buffer = [0; 64 << 10];
    match pipe.as_mut().map(|pipe| pipe.read(&mut buffer)) {
        Some(Ok(count)) if count > 0 => into.extend_from_slice(&buffer[..count]),
        Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
        _ => *pipe = None,
    }
    into.len() <= most
}

/// The last lines that git wrote, without its progress and without a way to write to a terminal.
fn said(complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let lines = text.split(['\n', '\r']).map(str::trim);
    let lines: Vec<String> = lines
        .filter(|line| !line.is_empty() && !line.starts_with("hint:"))
        .map(|line| line.chars().filter(|c| !c.is_control()).take(500).collect())
        .collect();
    let first = lines.len().saturating_sub(4);
    lines[first..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_its_last_lines() {
        let text = b"one\ntwo\rReceiving 1%\rthree\x1b[2J\nhint: try\nfatal: four\nfive\n";
        assert_eq!(said(text), "Receiving 1%; three[2J; fatal: four; five");
        assert_eq!(said(b"\n"), "");
    }
}
