//! From a specification to a process: [`create`] and [`Created::start`].
//!
//! The parent plans, prepares what needs no new process (strings, the filter, descriptors), and
//! makes the process with one `clone3(2)`; the process carries the plan out by itself while the
//! parent does what it likes, such as configuring the network.

use std::{
    ffi::CString,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use hoist_core::spec::{Namespace, NamespaceKind, Process, Seccomp, Spec};
use hoist_sys::{
    capability,
    clone::{self, Child, Namespaces},
    process::{self, Arguments},
    seccomp::Instruction,
};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use crate::{
    Cgroup, Container, Rootfs, RuntimeError,
    apply::{self, Joined, Prepared},
    error::call,
    plan::{self, CgroupEntry, Plan, Settings},
    report::{self, Listener, Outcome, Reporter},
};

/// Standard input, output and error of a process.
#[derive(Debug)]
pub enum Stdio {
    /// These.
    Fds {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
    /// A new pseudo-terminal, whose other side comes with the [`Container`].
    Terminal,
}

/// What to start, and how.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The specification.
    pub spec: &'a Spec,
    /// Its root file system.
    pub rootfs: &'a Rootfs,
    /// Standard input, output and error.
    pub stdio: Stdio,
    /// The cgroups to live in.
    pub cgroup: Option<&'a Cgroup>,
    /// The caller is root of a user namespace, not of the host: devices are bound from the host,
    /// and so is `/sys` where the kernel refuses a new one.
    pub rootless: bool,
    /// The first process is hoist's own init, which passes signals on and reaps.
    pub init: bool,
    /// The container ends when the calling thread ends.
    ///
    /// A command that is set-user-id makes the kernel forget this, unless `init` is set.
    pub die_with_parent: bool,
}

/// A container that is setting itself up and waits to be started. Dropping it kills it.
#[derive(Debug)]
pub struct Created {
    /// Taken by [`Self::start`].
    child: Option<Child>,
    listener: Listener,
    /// The cgroups, to tell a death for memory from others.
    cgroup: Option<String>,
}

/// Makes the container's first process, which sets itself up in parallel and waits for
/// [`Created::start`]. Returns right after the clone.
///
/// The calling process must have a single thread.
///
/// # Errors
///
/// [`RuntimeError::Invalid`], [`RuntimeError::Unsupported`], [`RuntimeError::NoCommand`] for a
/// specification that makes no sense; [`RuntimeError::Clone`] when the kernel refuses the process
/// or the caller has several threads. What fails in the new process is told by the start.
pub fn create(launch: Launch<'_>) -> Result<Created, RuntimeError> {
    let Launch {
        spec,
        rootfs,
        stdio,
        cgroup,
        rootless,
        init,
        die_with_parent,
    } = launch;
    let settings = Settings {
        rootless,
        cgroup: entry(cgroup),
        init,
        die_with_parent,
        stdio: matches!(stdio, Stdio::Fds { .. }),
    };
    let plan = plan::container(spec, rootfs, settings)?;
    let namespaces = plan::new_namespaces(&spec.linux.namespaces)?.without(Namespaces::CGROUP);
    if let Some(cgroup) = cgroup {
        cgroup.allow_devices(&spec.linux.devices)?;
    }
    let birth = Birth {
        plan: &plan,
        process: &spec.process,
        seccomp: spec.linux.seccomp,
        stdio,
        cgroup,
        rootless,
        target: None,
    };
    let joined_pid = |namespace: &&Namespace| namespace.kind == NamespaceKind::Pid;
    let pid_namespace = spec
        .linux
        .namespaces
        .iter()
        .find(joined_pid)
        .and_then(|namespace| namespace.path.as_ref())
        .map(|path| {
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(
                |error| RuntimeError::Invalid {
                    field: format!("PID namespace {}", path.display()),
                    reason: std::io::Error::from(error).to_string(),
                },
            )
        })
        .transpose()?;
    let pid_namespace = pid_namespace.as_ref().map(AsFd::as_fd);
    let (child, listener) = birth.clone_into(namespaces, pid_namespace)?;
    Ok(Created {
        child: Some(child),
        listener,
        cgroup: cgroup.map(|cgroup| cgroup.path().to_owned()),
    })
}

/// How a process gets into `cgroup`.
pub(crate) fn entry(cgroup: Option<&Cgroup>) -> CgroupEntry {
    match cgroup {
        None => CgroupEntry::None,
        Some(cgroup) if cgroup.is_version_2() => CgroupEntry::Born,
        Some(_) => CgroupEntry::Join,
    }
}

/// What a new process is made from.
#[derive(Debug)]
pub(crate) struct Birth<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) process: &'a Process,
    pub(crate) seccomp: Option<Seccomp>,
    pub(crate) stdio: Stdio,
    pub(crate) cgroup: Option<&'a Cgroup>,
    pub(crate) rootless: bool,
    pub(crate) target: Option<Joined<'a>>,
}

impl Birth<'_> {
    /// Makes the process, in the PID namespace behind the descriptor if one is given. The streams are the child's alone from here on.
    pub(crate) fn clone_into(
        self,
        namespaces: Namespaces,
        pid_namespace: Option<BorrowedFd<'_>>,
    ) -> Result<(Child, Listener), RuntimeError> {
        let arguments = Arguments::new(&self.process.args, &self.process.env)
            .map_err(|_| zero_byte("process.args or process.env"))?;
        let candidates = candidates(self.process)?;
        let filter = filter(self.process, self.seccomp)?;
        let birthplace = self.cgroup.map(Cgroup::birthplace).transpose()?.flatten();
        let (listener, reporter) = report::pair().map_err(call("socketpair"))?;
        let stdio = match self.stdio {
            Stdio::Fds {
                stdin,
                stdout,
                stderr,
            } => Some([stdin, stdout, stderr]),
            Stdio::Terminal => None,
        };
        let user = &self.process.user;
        let prepared = Prepared {
            plan: self.plan,
            stdio,
            cgroup: self.cgroup,
            arguments: &arguments,
            candidates: &candidates,
            filter: &filter,
            owner: user.uid,
            rootless: self.rootless,
            target: self.target,
        };
        let mut ends: Option<(Listener, Prepared<'_>, Reporter)> =
            Some((listener, prepared, reporter));
        let body = || {
            // These copies are the child's; the parent's end of the talk must close here, or the
            // child would never see the parent go.
            let Some((listener, prepared, reporter)) = ends.take() else {
                return 125;
            };
            drop(listener);
            apply::run(prepared, reporter)
        };
        let birthplace = birthplace.as_ref().map(AsFd::as_fd);
        let child = match pid_namespace {
            None => clone::clone(namespaces, birthplace, body),
            Some(pid_namespace) => {
                clone::clone_in_pid_namespace(pid_namespace, namespaces, birthplace, body)
            }
        }
        .map_err(|source| RuntimeError::Clone { source })?;
        match ends {
            Some((listener, ..)) => Ok((child, listener)),
            None => Err(RuntimeError::Clone {
                source: std::io::ErrorKind::Other.into(),
            }),
        }
    }
}

fn zero_byte(field: &str) -> RuntimeError {
    RuntimeError::Invalid {
        field: field.to_owned(),
        reason: "it contains a zero byte".to_owned(),
    }
}

fn filter(process: &Process, seccomp: Option<Seccomp>) -> Result<Vec<Instruction>, RuntimeError> {
    let Some(Seccomp::Default) = seccomp else {
        return Ok(Vec::new());
    };
    let names = process.capabilities.iter().flat_map(|sets| &sets.bounding);
    let bounding = capability::Set::from_names(names).map_err(|name| RuntimeError::Invalid {
        field: "process.capabilities".to_owned(),
        reason: format!("unknown capability {name:?}"),
    })?;
    Ok(crate::seccomp::program(bounding))
}

/// The paths at which the command may be: itself if it has a slash, else one for each directory of
/// the container's `PATH`.
fn candidates(process: &Process) -> Result<Vec<CString>, RuntimeError> {
    let command = process.args.first().map(String::as_str).unwrap_or_default();
    let string = |path: String| CString::new(path).map_err(|_| zero_byte("process.args"));
    if command.contains('/') {
        return Ok(vec![string(command.to_owned())?]);
    }
    let path = process
        .env
        .iter()
        .rev()
        .find_map(|entry| entry.strip_prefix("PATH="));
    let mut candidates = Vec::new();
    for directory in path.unwrap_or(hoist_core::image::DEFAULT_PATH).split(':') {
        // An empty entry means the working directory in a shell; never here.
        if directory.starts_with('/') {
            candidates.push(string(format!(
                "{}/{command}",
                directory.trim_end_matches('/')
            ))?);
        }
    }
    if candidates.len() < 2 {
        // A single entry is a search as well: it must not be taken for a path.
        let last = candidates.last().cloned();
        candidates.extend(last);
    }
    if candidates.is_empty() {
        return Err(RuntimeError::CommandNotFound {
            command: command.to_owned(),
        });
    }
    Ok(candidates)
}

impl Created {
    /// The process id of the container's first process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.as_ref().map_or(0, |child| child.pid)
    }

    /// Its pidfd.
    ///
    /// # Panics
    ///
    /// Never: it is there until the container is started.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.child
            .as_ref()
            .map(|child| child.pidfd.as_fd())
            .expect("there until the start")
    }

    /// One of its namespaces, for configuring it from outside. Those that are made new exist from
    /// the start; one that is joined by path is the container's only once it is set up.
    ///
    /// # Errors
    ///
    /// When the process is gone: what failed in it.
    pub fn namespace(&self, kind: NamespaceKind) -> Result<OwnedFd, RuntimeError> {
        let name = match kind {
            NamespaceKind::Pid => "pid",
            NamespaceKind::Network => "net",
            NamespaceKind::Mount => "mnt",
            NamespaceKind::Ipc => "ipc",
            NamespaceKind::Uts => "uts",
            NamespaceKind::User => "user",
            NamespaceKind::Cgroup => "cgroup",
            NamespaceKind::Time => "time",
        };
        let path = format!("/proc/{}/ns/{name}", self.pid());
        let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        opened.map_err(|error| {
            // A process that is gone has said its last words: they are there without waiting.
            if matches!(error, Errno::NOENT | Errno::SRCH)
                && let Ok(Outcome::Failed(failure)) = self.listener.listen()
            {
                return failure.into();
            }
            call("opening a namespace of the container")(error)
        })
    }

    /// Lets the command run: returns when it was executed.
    ///
    /// # Errors
    ///
    /// What failed in the process, with nothing of it left; see [`RuntimeError`].
    pub fn start(mut self) -> Result<Container, RuntimeError> {
        self.listener.release();
        let outcome = self
            .listener
            .listen()
            .map_err(call("listening to the new process"))?;
        let Some(child) = self.child.take() else {
            return Err(call("start")(std::io::Error::from(
                std::io::ErrorKind::NotFound,
            )));
        };
        conclude(child, outcome, self.cgroup.as_deref())
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            // Nothing more can be done about a process that cannot be killed.
            let _ = process::send_signal(child.pidfd.as_fd(), SIGKILL);
            let _ = process::wait(child.pidfd.as_fd());
        }
    }
}

const SIGKILL: i32 = 9;

fn conclude(
    child: Child,
    outcome: Outcome,
    cgroup: Option<&str>,
) -> Result<Container, RuntimeError> {
    match outcome {
        Outcome::Executed(terminal) => Ok(Container {
            pid: child.pid,
            pidfd: child.pidfd,
            terminal,
        }),
        Outcome::Failed(failure) => {
            reap(&child)?;
            Err(failure.into())
        }
        Outcome::Died => {
            let how = match reap(&child)? {
                process::ExitStatus::Exited(code) => format!("exit code {code}"),
                process::ExitStatus::Signaled(signal) => format!("signal {signal}"),
            };
            Err(RuntimeError::Died {
                how,
                out_of_memory: cgroup.is_some_and(has_killed_for_memory),
            })
        }
    }
}

fn has_killed_for_memory(cgroup: &str) -> bool {
    Cgroup::open(cgroup).is_ok_and(|cgroup| cgroup.oom_kills() > 0)
}

/// A child that failed is about to end, or is init's: it gets no second chance.
fn reap(child: &Child) -> Result<process::ExitStatus, RuntimeError> {
    if let Ok(Some(status)) = process::try_wait(child.pidfd.as_fd()) {
        return Ok(status);
    }
    let _ = process::send_signal(child.pidfd.as_fd(), SIGKILL);
    process::wait(child.pidfd.as_fd()).map_err(call("waitid"))
}

/// As [`Created::start`], for a process that needs no word.
pub(crate) fn conclude_now(
    child: Child,
    listener: &Listener,
    cgroup: Option<&Cgroup>,
) -> Result<Container, RuntimeError> {
    match listener.listen() {
        Ok(outcome) => conclude(child, outcome, cgroup.map(Cgroup::path)),
        Err(error) => {
            reap(&child)?;
            Err(call("listening to the new process")(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn searched(command: &str, env: &[&str]) -> Vec<String> {
        let process = Process {
            args: vec![command.to_owned()],
            env: env.iter().map(|entry| (*entry).to_owned()).collect(),
            ..Process::default()
        };
        candidates(&process)
            .unwrap()
            .into_iter()
            .map(|path| path.into_string().unwrap())
            .collect()
    }

    #[test]
    fn commands_are_looked_for_in_the_containers_path() {
        assert_eq!(searched("./run", &["PATH=/bin"]), ["./run"]);
        assert_eq!(
            searched("sh", &["PATH=/usr/bin/::.:/bin"]),
            ["/usr/bin/sh", "/bin/sh"]
        );
        assert_eq!(
            searched("sh", &["PATH=/x", "PATH=/bin"]),
            ["/bin/sh", "/bin/sh"]
        );
        assert_eq!(searched("sh", &[]).len(), 6);
        let process = Process {
            args: vec!["sh".to_owned()],
            env: vec!["PATH=".to_owned()],
            ..Process::default()
        };
        assert!(matches!(
            candidates(&process),
            Err(RuntimeError::CommandNotFound { .. })
        ));
    }
}
