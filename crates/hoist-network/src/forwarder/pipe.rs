//! Pipes for `splice(2)`: bytes go from one socket to another without being copied.

use std::os::fd::OwnedFd;

use rustix::{
    io::Errno,
    pipe::{PipeFlags, SpliceFlags, pipe_with, splice},
};

/// Bytes of a pipe that is as large as the kernel makes it.
const CAPACITY: usize = 64 * 1024;
/// Empty pipes that are kept for the next use.
const KEPT: usize = 8;

/// A pipe and how much is in it.
#[derive(Debug)]
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
}

/// Empty pipes, to be borrowed.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    empty: Vec<Pipe>,
}

impl Pipes {
    /// An empty pipe.
    pub(super) fn take(&mut self) -> rustix::io::Result<Pipe> {
        if let Some(pipe) = self.empty.pop() {
            return Ok(pipe);
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Pipe {
            read,
            write,
            held: 0,
        })
    }

    /// Takes a pipe back; one that still holds something is closed.
    pub(super) fn give(&mut self, pipe: Pipe) {
        if pipe.is_empty() && self.empty.len() < KEPT {
            self.empty.push(pipe);
        }
    }
}

/// What one move of bytes came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// This many bytes.
    Bytes(usize),
    /// Nothing can be moved now.
    Nothing,
    /// The source has ended.
    End,
}

impl Pipe {
    pub(super) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Moves bytes from `source` into the pipe.
    pub(super) fn fill(&mut self, source: &OwnedFd) -> rustix::io::Result<Moved> {
        let room = CAPACITY - self.held.min(CAPACITY);
        if room == 0 {
            return Ok(Moved::Nothing);
        }
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match splice(source, None, &self.write, None, room, flags) {
            Ok(0) => Ok(Moved::End),
            Ok(count) => {
                self.held += count;
                Ok(Moved::Bytes(count))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Moved::Nothing),
            Err(errno) => Err(errno),
        }
    }

    /// Moves bytes from the pipe to `destination`.
    pub(super) fn drain(&mut self, destination: &OwnedFd) -> rustix::io::Result<Moved> {
        if self.held == 0 {
            return Ok(Moved::Nothing);
        }
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        match splice(&self.read, None, destination, None, self.held, flags) {
            Ok(count) => {
                self.held -= count.min(self.held);
                Ok(if count == 0 {
                    Moved::Nothing
                } else {
                    Moved::Bytes(count)
                })
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Moved::Nothing),
            Err(errno) => Err(errno),
        }
    }
}
