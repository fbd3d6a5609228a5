//! A further process in a running container: what `docker exec` does.
//!
//! The process is born in the container's cgroups and PID namespace, joins the others through the
//! target's pidfd in one call, and is unreadable from inside until it executes the command.

use std::os::fd::BorrowedFd;

use hoist_core::spec::{Process, Seccomp};
use hoist_sys::clone::Namespaces;

use crate::{
    Cgroup, Container, RuntimeError, Stdio,
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
    let birth = Birth {
        plan: &plan,
        process,
        seccomp,
        stdio,
        cgroup: target.cgroup,
        rootless: target.rootless,
        target: Some(target.pidfd),
    };
    let (child, listener) = birth.clone_into(Namespaces::NONE, Some(target.pidfd))?;
    conclude_now(child, &listener, target.cgroup)
}
