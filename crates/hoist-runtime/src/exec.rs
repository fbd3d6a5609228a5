//! A further process in a running container: what `docker exec` does.
//!
//! The process is born in the container's cgroups and PID namespace, joins the others through the
//! target's pidfd in one call, and is unreadable from inside until it executes the command.

use std::{
    fs, io,
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
};

use hoist_core::spec::{Process, Seccomp};
use hoist_sys::clone::Namespaces;

use crate::{
    Cgroup, Container, RuntimeError, Stdio,
    apply::Joined,
    error::call,
    launch::{Birth, conclude_now, entry},
    plan::{self, Settings},
};

/// The container to run a further process in.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// A pidfd of its first process. A pidfd cannot come to mean another process.
    pub pidfd: BorrowedFd<'a>,
    /// Its cgroups.
    pub cgroup: Option<&'a Cgroup>,
    /// The caller is root of the user namespace in which the container was started.
    pub rootless: bool,
    /// The process ends when the calling thread ends.
    pub die_with_parent: bool,
}

/// Runs `process` in the container `target`; returns when its command was executed.
///
/// The calling process must have a single thread.
///
/// # Errors
///
/// As [`crate::create`] and [`crate::Created::start`].
pub fn exec(
    target: Target<'_>,
    process: &Process,
    seccomp: Option<Seccomp>,
    stdio: Stdio,
) -> Result<Container, RuntimeError> {
    let settings = Settings {
        rootless: target.rootless,
        cgroup: entry(target.cgroup),
        init: false,
        die_with_parent: target.die_with_parent,
        stdio: matches!(stdio, Stdio::Fds { .. }),
    };
    let plan = plan::exec(process, seccomp, settings)?;
    let joined = Joined {
        pidfd: target.pidfd,
        namespaces: foreign(target.pidfd).map_err(call("look at the container's namespaces"))?,
    };
    let birth = Birth {
        plan: &plan,
        process,
        seccomp,
        stdio,
        cgroup: target.cgroup,
        rootless: target.rootless,
        target: Some(joined),
    };
    let (child, listener) = birth.clone_into(Namespaces::NONE, Some(target.pidfd))?;
    conclude_now(child, &listener, target.cgroup)
}

/// The namespaces of the process behind `pidfd` that are not the caller's own, without the PID and
/// user namespaces. The others need no joining, and an ordinary user may not join the host's even
/// from within it.
fn foreign(pidfd: BorrowedFd<'_>) -> io::Result<Namespaces> {
    const KINDS: [(&str, Namespaces); 5] = [
        ("mnt", Namespaces::MOUNT),
        ("net", Namespaces::NETWORK),
        ("ipc", Namespaces::IPC),
        ("uts", Namespaces::UTS),
        ("cgroup", Namespaces::CGROUP),
    ];
    let information = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let pid = information
        .lines()
        .find_map(|line| line.strip_prefix("Pid:"))
        .map(str::trim)
        .filter(|pid| pid.parse().is_ok_and(|pid: i32| pid > 0))
        .ok_or(io::Error::from_raw_os_error(ESRCH))?;
    let mut foreign = Namespaces::NONE;
    for (name, kind) in KINDS {
        let identity = |process: &str| {
            fs::metadata(format!("/proc/{process}/ns/{name}")).map(|data| (data.dev(), data.ino()))
        };
        // Should the process have ended since, and its number be another's: the pidfd tells.
        if identity(pid)? != identity("self")? {
            foreign = foreign.with(kind);
        }
    }
    Ok(foreign)
}

const ESRCH: i32 = 3;
