//! Reading what a container writes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    io::{Errno, read},
    pty::{OpenptFlags, ioctl_tiocgptpeer},
};

use crate::{container::LogStream, error::EngineError};

/// The host's end of a standard stream that the container writes to.
pub(super) struct Output {
    fd: OwnedFd,
    pub(super) stream: LogStream,
    /// The container's side of a terminal, held so that it never is the last one to close it.
    _side: Option<OwnedFd>,
}

/// What a look at an output found.
pub(super) enum Piece {
    /// So many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// The other end is closed.
    End,
}

impl Output {
    pub(super) fn new(fd: OwnedFd, stream: LogStream) -> Result<Self, EngineError> {
        rustix::io::ioctl_fionbio(&fd, true).map_err(EngineError::system("ioctl"))?;
        Ok(Self {
            fd,
            stream,
            _side: None,
        })
    }

    /// What is written to a terminal. A program may close it and open it again, `/dev/console`
    /// say; in between it has no end, as a real one has none.
    pub(super) fn of_terminal(fd: OwnedFd) -> Result<Self, EngineError> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let side = ioctl_tiocgptpeer(&fd, flags).map_err(EngineError::system("TIOCGPTPEER"))?;
        Ok(Self {
            _side: Some(side),
            ..Self::new(fd, LogStream::Stdout)?
        })
    }

    /// Read what is there into `buffer`.
    pub(super) fn read(&self, buffer: &mut [u8]) -> Result<Piece, EngineError> {
        loop {
            return match read(&self.fd, &mut *buffer) {
                // A terminal whose other side is closed says EIO.
                Ok(0) | Err(Errno::IO) => Ok(Piece::End),
                Ok(count) => Ok(Piece::Bytes(count)),
                Err(Errno::AGAIN) => Ok(Piece::Nothing),
                Err(Errno::INTR) => continue,
                Err(error) => Err(EngineError::system("read")(error)),
            };
        }
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The host's end of a stream that the container reads, with what it did not take yet.
pub(super) struct Input {
    fd: OwnedFd,
    pending: Vec<u8>,
    closing: bool,
}

/// Clients are not read while more than this waits for the container.
const MAX_PENDING: usize = 1 << 18;

impl Input {
    pub(super) fn new(fd: OwnedFd) -> Result<Self, EngineError> {
        rustix::io::ioctl_fionbio(&fd, true).map_err(EngineError::system("ioctl"))?;
        Ok(Self {
            fd,
            pending: Vec::new(),
            closing: false,
        })
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// No more will be pushed.
    pub(super) const fn close(&mut self) {
        self.closing = true;
    }

    pub(super) const fn is_full(&self) -> bool {
        self.pending.len() > MAX_PENDING
    }

    pub(super) const fn wants_to_write(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Write what the container takes; false when this end is to be closed.
    pub(super) fn flush(&mut self) -> bool {
        while !self.pending.is_empty() {
            match rustix::io::write(&self.fd, &self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false, // nobody reads any more
            }
        }
        !self.closing
    }
}

impl AsFd for Input {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
