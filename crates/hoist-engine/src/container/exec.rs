//! `exec`: one more process in a running container.
//!
//! No monitor stands between the caller and the process; [`pump`] tells who holds which stream.

mod pump;

use std::os::fd::{AsFd, OwnedFd};

use hoist_core::{
    env::{self, EnvSetting},
    spec::{ConsoleSize, Process, Seccomp},
};
use hoist_runtime::{Cgroup, Rootfs, RuntimeError, Stdio, Target, user};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};

use super::Container;
use crate::{
    attach::Streams,
    error::EngineError,
    record::Record,
    root::{Engine, cgroup_path},
    rootless,
    spec::{capabilities, ids},
    status::State,
};

/// What to run in a container.
#[derive(Debug, Clone, Default)]
pub struct ExecRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Variables, already looked up; they win over the container's.
    pub env: Vec<EnvSetting>,
    /// `user[:group]`; the container's when absent.
    pub user: Option<String>,
    /// Working directory; the container's when absent.
    pub working_dir: Option<String>,
    /// Give it a terminal.
    pub tty: bool,
    /// Feed its standard input.
    pub stdin: bool,
    /// Do not wait for it.
    pub detach: bool,
    /// Size of the terminal.
    pub size: Option<ConsoleSize>,
}

impl Engine {
    /// Run a process in a container and wait for it; its exit code, 128 and the signal's number
    /// when a signal ended it, 0 for a detached one. Signals that the caller receives meanwhile are
    /// passed on, if it wants that.
    ///
    /// # Errors
    /// When the container does not run, or the process cannot be started.
    pub fn exec(
        &self,
        container: &Container,
        request: &ExecRequest,
        streams: &Streams,
    ) -> Result<i32, EngineError> {
        if container.status.state != State::Running {
            return Err(EngineError::NotRunning(container.record.name.clone()));
        }
        if self.settings().rootless {
            rootless::join(container.status.pid)?;
        }
        let process = self.exec_process(container, request)?;
        let (stdio, ends) = pump::prepare(request, streams)?.into_parts();
        if request.detach {
            return self.enter(container, &process, stdio, false).map(|_| 0);
        }
        let signals = pump::signals(streams)?;
        let running = self.enter(container, &process, stdio, false)?;
        pump::pump(&running, ends, streams, &signals)?;
        Ok(i32::from(
            running
                .wait()
                .map_err(EngineError::system("waitid"))?
                .exit_code(),
        ))
    }

    /// Start `process` in a running container. With `die_with_parent` it ends with the caller.
    pub(crate) fn enter(
        &self,
        container: &Container,
        process: &Process,
        stdio: Stdio,
        die_with_parent: bool,
    ) -> Result<hoist_runtime::Container, EngineError> {
        let gone = || EngineError::NotRunning(container.record.name.clone());
        let pid = Pid::from_raw(container.status.pid).ok_or_else(gone)?;
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH) => return Err(gone()),
            Err(error) => return Err(EngineError::system("pidfd_open")(error)),
        };
        // The number may have passed to another process since the status was read; while the
        // container runs it has not.
        if self.observe(&container.record)?.pid != container.status.pid {
            return Err(gone());
        }
        let cgroup = Cgroup::open(&cgroup_path(&container.record.id)).ok();
        let target = Target {
            pidfd: pidfd.as_fd(),
            cgroup: cgroup.as_ref(),
            rootless: self.settings().rootless,
            die_with_parent,
        };
        let entered = hoist_runtime::exec(target, process, Some(Seccomp::Default), stdio);
        // A container that has ended lets nobody in, whatever that failed at.
        entered.map_err(|error| {
            if ends(&pidfd, is_ending(&error)) {
                gone()
            } else {
                error.into()
            }
        })
    }

    pub(crate) fn exec_process(
        &self,
        container: &Container,
        request: &ExecRequest,
    ) -> Result<Process, EngineError> {
        let record = &container.record;
        if request.command.is_empty() {
            return Err(EngineError::invalid(
                "\"hoist exec\" requires a command to run",
            ));
        }
        let user = request.user.as_deref().unwrap_or(&record.config.user);
        let rootfs = self.rootfs(record)?;
        let resolved = resolve_user(&rootfs, user)?;
        let environment = process_environment(record, &resolved.home, request.tty);
        let cwd = request
            .working_dir
            .as_deref()
            .unwrap_or(&record.config.working_dir);
        Ok(Process {
            terminal: request.tty,
            console_size: request.size,
            user: ids(&resolved),
            args: request.command.clone(),
            env: env::merge(&environment, &request.env),
            cwd: if cwd.is_empty() {
                "/".to_owned()
            } else {
                cwd.to_owned()
            },
            capabilities: Some(capabilities(resolved.uid)),
            ..Process::default()
        })
    }
}

/// The error is what the kernel says of a process that is ending but has not ended: its PID
/// namespace takes nobody in, and its namespaces are gone.
fn is_ending(error: &RuntimeError) -> bool {
    let (RuntimeError::Clone { source }
    | RuntimeError::Call { source, .. }
    | RuntimeError::Step { source, .. }) = error
    else {
        return false;
    };
    let errno = Errno::from_io_error(source);
    [Errno::SRCH, Errno::NOMEM, Errno::NOENT]
        .map(Some)
        .contains(&errno)
}

/// The process has ended; `soon` is to wait a moment for that.
fn ends(pidfd: &OwnedFd, soon: bool) -> bool {
    let patience = Timespec {
        tv_sec: soon.into(),
        tv_nsec: 0,
    };
    matches!(
        poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&patience)),
        Ok(1)
    )
}

/// Ids and home of `user`, from the root's own passwd and group files.
pub(crate) fn resolve_user(rootfs: &Rootfs, user: &str) -> Result<user::Resolved, EngineError> {
    let file =
        |path: &str| Ok::<_, EngineError>(rootfs.read_file(path.as_ref())?.unwrap_or_default());
    Ok(user::resolve(
        user,
        &file("/etc/passwd")?,
        &file("/etc/group")?,
    )?)
}

/// The environment of a container's processes: Docker's defaults, then the configuration's.
pub(crate) fn process_environment(record: &Record, home: &str, tty: bool) -> Vec<String> {
    let has = |name: &str| {
        record
            .config
            .env
            .iter()
            .any(|pair| pair.split('=').next() == Some(name))
    };
    let mut environment = Vec::with_capacity(record.config.env.len() + 4);
    if !has("PATH") {
        environment.push(format!("PATH={}", hoist_core::image::DEFAULT_PATH));
    }
    if !has("HOSTNAME") {
        environment.push(format!("HOSTNAME={}", record.hostname));
    }
    if tty && !has("TERM") {
        environment.push("TERM=xterm".to_owned());
    }
    environment.extend(record.config.env.iter().cloned());
    if !has("HOME") {
        environment.push(format!("HOME={home}"));
    }
    environment
}
