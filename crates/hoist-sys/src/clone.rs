//! `clone3(2)`: one call makes the process, all its namespaces, its pidfd and (cgroup v2) its place.
//!
//! The child is a copy of the caller and runs a closure; it never returns into the caller's code.
//! That is sound only when the caller has a single thread (another thread could hold the
//! allocator's lock at the moment of the copy), so [`clone`] asks the kernel first and refuses
//! otherwise. Called by the runtime for containers and by [`crate::userns`] for its child.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    panic::AssertUnwindSafe,
};

use crate::{pass, process};

/// A set of namespaces: the `CLONE_NEW*` bits of `clone(2)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Namespaces(u64);

impl Namespaces {
    /// No namespace.
    pub const NONE: Self = Self(0);
    /// Process ids.
    pub const PID: Self = Self(libc::CLONE_NEWPID as u64);
    /// Network.
    pub const NETWORK: Self = Self(libc::CLONE_NEWNET as u64);
    /// Mounts.
    pub const MOUNT: Self = Self(libc::CLONE_NEWNS as u64);
    /// System V IPC and POSIX message queues.
    pub const IPC: Self = Self(libc::CLONE_NEWIPC as u64);
    /// Host and domain name.
    pub const UTS: Self = Self(libc::CLONE_NEWUTS as u64);
    /// Users, groups, capabilities.
    pub const USER: Self = Self(libc::CLONE_NEWUSER as u64);
    /// View of the cgroup tree.
    pub const CGROUP: Self = Self(libc::CLONE_NEWCGROUP as u64);
    /// Clocks since boot.
    pub const TIME: Self = Self(libc::CLONE_NEWTIME as u64);

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These, but not those.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` are in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits as `clone3`, `unshare` and `setns` take them.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    fn as_int(self) -> libc::c_int {
        // The bits fit: every CLONE_NEW* flag is below 2^31.
        libc::c_int::try_from(self.0).unwrap_or(0)
    }
}

/// A child made by [`clone`].
#[derive(Debug)]
pub struct Child {
    /// Its process id in the caller's namespace.
    pub pid: i32,
    /// Its pidfd, close-on-exec.
    pub pidfd: OwnedFd,
}

/// `struct clone_args` of `clone3(2)`, version 2 (with the cgroup).
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Whether the calling process has exactly one thread and shares its memory with nobody.
///
/// Asked of the kernel, without `/proc`: `unshare(CLONE_THREAD)` does nothing for a single thread
/// and fails with `EINVAL` otherwise. Where a filter forbids that call, threads are counted.
#[must_use]
pub fn is_single_threaded() -> bool {
    // SAFETY: no pointers; for a single-threaded process the call changes nothing, for any other
    // it fails.
    if unsafe { libc::unshare(libc::CLONE_THREAD) } == 0 {
        return true;
    }
    if io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) {
        return false;
    }
    std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

/// Makes a child in new `namespaces` that runs `child` and exits with the code it returns.
///
/// With `cgroup` (a directory of a cgroup v2 tree) the child is born in that cgroup. The child
/// ends by `_exit`: nothing of the caller is flushed or dropped twice. A panic in `child` ends it
/// with code 101.
///
/// # Errors
///
/// `EDEADLK` when the caller has more than one thread; otherwise what `clone3(2)` says.
pub fn clone<F: FnOnce() -> i32>(
    namespaces: Namespaces,
    cgroup: Option<BorrowedFd<'_>>,
    child: F,
) -> io::Result<Child> {
    if !is_single_threaded() {
        return Err(io::Error::from_raw_os_error(libc::EDEADLK));
    }
    start(namespaces.bits(), libc::SIGCHLD as u64, cgroup, child)
}

/// As [`clone`], with the child born in the PID namespace behind `pid_namespace` (a namespace
/// descriptor, or a pidfd of a process in it).
///
/// A process cannot always return from having its children born elsewhere, so a short-lived child
/// does it and makes the lasting one as its sibling. Both are unreadable (see
/// [`process::set_dumpable`]) until they execute a program: processes of that namespace see the
/// lasting one at once, and its memory is a copy of the caller's.
///
/// # Errors
///
/// As [`clone`], and what `setns(2)` says.
pub fn clone_in_pid_namespace<F: FnOnce() -> i32>(
    pid_namespace: BorrowedFd<'_>,
    namespaces: Namespaces,
    cgroup: Option<BorrowedFd<'_>>,
    child: F,
) -> io::Result<Child> {
    let (ours, theirs) = pass::pair()?;
    let go_between = clone(Namespaces::NONE, None, || {
        let made = process::set_dumpable(false)
            .and_then(|()| join(pid_namespace, Namespaces::PID))
            .and_then(|()| {
                start(
                    namespaces.bits() | libc::CLONE_PARENT as u64,
                    0,
                    cgroup,
                    child,
                )
            });
        let (word, pidfd) = match &made {
            Ok(child) => (child.pid, Some(child.pidfd.as_fd())),
            Err(error) => (-error.raw_os_error().unwrap_or(libc::EIO), None),
        };
        i32::from(pass::send(theirs.as_fd(), &word.to_ne_bytes(), pidfd).is_err())
    })?;
    drop(theirs);
    let mut word = [0; 4];
    let received = pass::receive(ours.as_fd(), &mut word);
    process::wait(go_between.pidfd.as_fd())?;
    match (received?, i32::from_ne_bytes(word)) {
        ((4, Some(pidfd)), pid @ 1..) => Ok(Child { pid, pidfd }),
        ((4, None), error @ ..0) => Err(io::Error::from_raw_os_error(-error)),
        _ => Err(io::Error::from_raw_os_error(libc::EIO)),
    }
}

/// The call itself; the caller has a single thread.
fn start<F: FnOnce() -> i32>(
    flags: u64,
    exit_signal: u64,
    cgroup: Option<BorrowedFd<'_>>,
    child: F,
) -> io::Result<Child> {
    let mut pidfd: libc::c_int = -1;
    let mut arguments = CloneArguments {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal,
        ..CloneArguments::default()
    };
    if let Some(cgroup) = cgroup {
        arguments.flags |= 0x2_0000_0000; // CLONE_INTO_CGROUP
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `arguments` is a complete clone_args that outlives the call and `pidfd` is where the
    // kernel writes one int. Without CLONE_VM the child has its own copy of this stack and goes on
    // right here; it is the only thread, so no lock is held by anyone else.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            std::ptr::from_mut(&mut arguments),
            size_of::<CloneArguments>(),
        )
    };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => end_with(child),
        pid => Ok(Child {
            pid: i32::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?,
            // SAFETY: with CLONE_PIDFD the kernel stored a new descriptor that nobody else owns.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// Makes a child by plain `fork(2)`, which system-call filters allow, that runs `child` and exits
/// with the code it returns, as in [`clone`]. Returns its process id.
///
/// # Errors
///
/// `EDEADLK` when the caller has more than one thread; otherwise what `fork(2)` says.
pub fn fork<F: FnOnce() -> i32>(child: F) -> io::Result<i32> {
    if !is_single_threaded() {
        return Err(io::Error::from_raw_os_error(libc::EDEADLK));
    }
    // SAFETY: the process has a single thread, so the child's copy of memory is consistent.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => end_with(child),
        pid => Ok(pid),
    }
}

/// Runs the child's part and ends the process.
fn end_with<F: FnOnce() -> i32>(child: F) -> ! {
    let code = std::panic::catch_unwind(AssertUnwindSafe(child)).unwrap_or(101);
    // SAFETY: ends the process at once; runs no handlers, which belong to the caller.
    unsafe { libc::_exit(code) }
}

/// Moves the calling process into new namespaces (`unshare(2)`).
///
/// New process id and time namespaces take effect for the children made afterwards.
///
/// # Errors
///
/// What `unshare(2)` says; `EINVAL` for a user namespace when there are other threads.
pub fn unshare(namespaces: Namespaces) -> io::Result<()> {
    // SAFETY: only CLONE_NEW* bits, none of which unshares memory or descriptors.
    check(unsafe { libc::unshare(namespaces.as_int()) })
}

/// Joins `namespaces` of the process behind `pidfd`, or the one namespace behind a namespace
/// descriptor (`setns(2)`).
///
/// # Errors
///
/// What `setns(2)` says.
pub fn join(fd: BorrowedFd<'_>, namespaces: Namespaces) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::setns(fd.as_raw_fd(), namespaces.as_int()) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_when_there_are_threads() {
        // The test harness runs this test on a thread of its own.
        let error = clone(Namespaces::NONE, None, || 0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EDEADLK));
    }

    #[test]
    fn sets_of_namespaces() {
        let both = Namespaces::PID.with(Namespaces::UTS);
        assert!(both.contains(Namespaces::PID));
        assert!(!both.without(Namespaces::PID).contains(Namespaces::PID));
        assert!(both.contains(Namespaces::NONE));
    }
}
