//! One process: starting a program, waiting by pidfd, and the switches of `prctl(2)`.

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    mount::OpenTreeFlags,
    process::{DumpableBehavior, Signal, WaitId, WaitIdOptions},
};

use crate::mount::{Attributes, Change, set_attributes};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this code.
    Exited(u8),
    /// A signal ended it.
    Signaled(i32),
}

impl ExitStatus {
    /// The code as shells and Docker tell it: 128 + n for signal n.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }
}

/// Waits until the child behind `pidfd` has ended, and reaps it.
///
/// # Errors
///
/// `ECHILD` when it is not a child of the caller or was reaped already.
pub fn wait(pidfd: BorrowedFd<'_>) -> io::Result<ExitStatus> {
    loop {
        match wait_with(pidfd, WaitIdOptions::EXITED) {
            Ok(Some(status)) => return Ok(status),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// As [`wait`], but returns `None` at once while the child still runs.
///
/// # Errors
///
/// As [`wait`].
pub fn try_wait(pidfd: BorrowedFd<'_>) -> io::Result<Option<ExitStatus>> {
    wait_with(pidfd, WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
}

fn wait_with(pidfd: BorrowedFd<'_>, options: WaitIdOptions) -> io::Result<Option<ExitStatus>> {
    let Some(status) = rustix::process::waitid(WaitId::PidFd(pidfd), options)? else {
        return Ok(None);
    };
    Ok(match (status.exit_status(), status.terminating_signal()) {
        // The kernel keeps the low eight bits of an exit code.
        (Some(code), _) => Some(ExitStatus::Exited(code.to_le_bytes()[0])),
        (None, Some(signal)) => Some(ExitStatus::Signaled(signal)),
        (None, None) => None,
    })
}

/// Sends `signal` to the process behind `pidfd`; that it has ended already is no error.
///
/// # Errors
///
/// `EINVAL` for a number that is no signal, `EPERM` without the right.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: no pointers but the null for siginfo; the kernel checks the number.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            std::os::fd::AsRawFd::as_raw_fd(&pidfd),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ESRCH) {
        Ok(())
    } else {
        Err(error)
    }
}

/// Arguments and environment of a program, ready for `execve(2)`.
#[derive(Debug)]
pub struct Arguments {
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Arguments {
    /// Copies both lists.
    ///
    /// # Errors
    ///
    /// `EINVAL` when a string contains a zero byte.
    pub fn new(arguments: &[String], environment: &[String]) -> io::Result<Self> {
        let convert = |strings: &[String]| {
            strings
                .iter()
                .map(|string| CString::new(string.as_bytes()))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
        };
        Ok(Self {
            arguments: convert(arguments)?,
            environment: convert(environment)?,
        })
    }

    /// Replaces the calling process by the program at `path`; returns only on failure.
    pub fn execute(&self, path: &CStr) -> io::Error {
        let terminated = |strings: &[CString]| {
            strings
                .iter()
                .map(|string| string.as_ptr())
                .chain(std::iter::once(std::ptr::null()))
                .collect::<Vec<_>>()
        };
        let arguments = terminated(&self.arguments);
        let environment = terminated(&self.environment);
        // SAFETY: both vectors end in a null pointer and point to strings of `self`.
        unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        io::Error::last_os_error()
    }
}

/// Marks every descriptor from `first` up close-on-exec, in one call.
///
/// # Errors
///
/// What `close_range(2)` says.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    close_range(first, 4) // CLOSE_RANGE_CLOEXEC
}

/// Closes every descriptor of the calling process but 0, 1 and 2, whoever opened it.
///
/// For the very beginning of a long-lived program: what its starter happened to have open (another
/// program's lock, the write end of a pipe) is not for it to keep. Call it before anything has
/// been opened.
///
/// # Errors
///
/// What `close_range(2)` says; `EBUSY` when the process has more than one thread.
pub fn close_inherited() -> io::Result<()> {
    if !crate::clone::is_single_threaded() {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    close_range(3, 0)
}

fn close_range(first: u32, flags: u32) -> io::Result<()> {
    // SAFETY: no pointers; with CLOSE_RANGE_CLOEXEC nothing is closed, and `run_without` below
    // accounts for the rest.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) };
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Runs `body` to the end of the process with no descriptor open but 0, 1 and 2.
///
/// For a process that goes on without an `execve`: what it owned before is closed by the kernel and
/// never dropped, since this function never returns; `body` must not own a descriptor. It gives the
/// exit code.
pub fn run_with_stdio_only<F: FnOnce() -> i32>(body: F) -> ! {
    let code = match close_range(3, 0) {
        Ok(()) => body(),
        Err(_) => 125,
    };
    // SAFETY: ends the process; the values whose descriptors were closed are never dropped.
    unsafe { libc::_exit(code) }
}

/// Asks for SIGKILL when the thread that made this process ends.
///
/// The kernel forgets it when the process changes its user or capabilities, and a parent that has
/// ended before is not noticed: ask after those changes, then look whether the parent is there.
///
/// # Errors
///
/// None in practice.
pub fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(
        Signal::KILL,
    ))?)
}

/// Makes the process readable (`true`) or unreadable for other processes of its user:
/// `/proc/<pid>/exe`, `mem`, `fd` and ptrace.
///
/// Inherited by children until they execute a program.
///
/// # Errors
///
/// None in practice.
pub fn set_dumpable(dumpable: bool) -> io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(if dumpable {
        DumpableBehavior::Dumpable
    } else {
        DumpableBehavior::NotDumpable
    })?)
}

/// Whether the process is dumpable; see [`set_dumpable`].
///
/// # Errors
///
/// None in practice.
pub fn is_dumpable() -> io::Result<bool> {
    Ok(rustix::process::dumpable_behavior()? == DumpableBehavior::Dumpable)
}

/// Gives the process a new, empty session keyring. A kernel without keyrings is no error.
///
/// # Errors
///
/// `EDQUOT` when the user's key quota is used up.
pub fn new_session_keyring() -> io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    let result = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    if result != -1 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EPERM) => Ok(()),
        _ => Err(error),
    }
}

/// The running program's own file on a mount of its own that is read-only.
///
/// A process that executes this descriptor (as `/proc/self/fd/<n>`) cannot have its program file
/// opened for writing through `/proc/<pid>/exe`, whoever gets hold of that link. Needs the right to
/// mount.
///
/// # Errors
///
/// What `open_tree(2)` and `mount_setattr(2)` say.
pub fn own_program_read_only() -> io::Result<OwnedFd> {
    let program = rustix::mount::open_tree(
        rustix::fs::CWD,
        "/proc/self/exe",
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )?;
    let change = Change {
        set: Attributes::READ_ONLY,
        ..Change::default()
    };
    set_attributes(program.as_fd(), change)?;
    Ok(program)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    fn pidfd(child: &std::process::Child) -> OwnedFd {
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        pidfd_open(pid, PidfdFlags::empty()).unwrap()
    }

    #[test]
    #[expect(
        clippy::zombie_processes,
        reason = "the children are reaped through their pidfds"
    )]
    fn exit_codes_and_signals() {
        let child = Command::new("false").spawn().unwrap();
        let status = wait(pidfd(&child).as_fd()).unwrap();
        assert_eq!((status, status.exit_code()), (ExitStatus::Exited(1), 1));

        let child = Command::new("sleep").arg("100").spawn().unwrap();
        let fd = pidfd(&child);
        assert_eq!(try_wait(fd.as_fd()).unwrap(), None);
        send_signal(fd.as_fd(), libc::SIGTERM).unwrap();
        let status = wait(fd.as_fd()).unwrap();
        assert_eq!(
            (status, status.exit_code()),
            (ExitStatus::Signaled(15), 143)
        );
        send_signal(fd.as_fd(), libc::SIGTERM).unwrap();
        assert!(wait(fd.as_fd()).is_err());
    }

    #[test]
    fn zero_bytes_are_refused() {
        assert!(Arguments::new(&["a\0b".to_owned()], &[]).is_err());
        let error = Arguments::new(&[], &[]).unwrap().execute(c"/nonexistent");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
