//! A running process of a container.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use hoist_sys::process;

pub use hoist_sys::process::ExitStatus;

/// A process that has executed its command: the first one of a container, or a further one.
///
/// Dropping it neither kills nor reaps: whoever holds the pidfd decides.
#[derive(Debug)]
pub struct Container {
    /// Its process id, as the caller sees it.
    pub pid: i32,
    /// Its pidfd: readable when the process has ended.
    pub pidfd: OwnedFd,
    /// The other side of its terminal, if it has one.
    pub terminal: Option<OwnedFd>,
}

impl Container {
    /// Waits for the end of the process, and reaps it.
    ///
    /// # Errors
    ///
    /// When it was reaped already.
    pub fn wait(&self) -> io::Result<ExitStatus> {
        process::wait(self.pidfd.as_fd())
    }

    /// As [`Self::wait`], but `None` at once while the process runs.
    ///
    /// # Errors
    ///
    /// As [`Self::wait`].
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        process::try_wait(self.pidfd.as_fd())
    }

    /// Sends a signal. That the process has ended is no error.
    ///
    /// # Errors
    ///
    /// For a number that is no signal.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        process::send_signal(self.pidfd.as_fd(), signal)
    }
}
