//! What parent and child say to each other over one socket while the child sets itself up.
//!
//! ```text
//! child → parent   T (with the terminal's descriptor)   R, set up   F and JSON, failed
//! parent → child   G, go
//! ```
//!
//! The child's end closes when it executes the command: the end of the talk after R and without F
//! is success.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use hoist_sys::pass;
use serde::{Deserialize, Serialize};

use crate::RuntimeError;

/// The largest report; paths are cut before.
const LARGEST: usize = 32 << 10;

/// Why a step failed, as the child knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The step in words.
    pub(crate) step: String,
    /// The path that it was about.
    pub(crate) path: Option<PathBuf>,
    /// Error number.
    pub(crate) errno: i32,
    /// What kind of failure.
    pub(crate) reason: Reason,
}

/// Kinds of failures that have a message of their own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Reason {
    /// None.
    Step,
    /// The source of a bind mount is missing; this was the destination.
    BindSource(PathBuf),
    /// The working directory.
    WorkingDirectory,
    /// `execve`: what was asked for, and what was found out about the file.
    Execute {
        /// As asked for.
        command: String,
        /// What the file is.
        file: Program,
    },
}

/// What stood at the path of a command that could not be executed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Program {
    /// A bare name was in no directory of `PATH`.
    NotFound,
    /// Nothing is at the path.
    Missing,
    /// A directory.
    Directory,
    /// A file whose interpreter is not there.
    NoInterpreter(String),
    /// A file in a foreign format: of this architecture, if it says.
    Foreign(Option<String>),
    /// None of these.
    Other,
}

impl Failure {
    /// A failure; its step is filled in by the loop over the steps.
    pub(crate) fn new(error: &io::Error) -> Self {
        const EIO: i32 = 5;
        Self {
            step: String::new(),
            path: None,
            errno: error.raw_os_error().unwrap_or(EIO),
            reason: Reason::Step,
        }
    }

    pub(crate) fn at<P: Into<PathBuf>>(mut self, path: P) -> Self {
        self.path = Some(path.into());
        self
    }

    pub(crate) fn because(mut self, reason: Reason) -> Self {
        self.reason = reason;
        self
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(&error)
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(error: rustix::io::Errno) -> Self {
        Self::new(&error.into())
    }
}

impl From<Failure> for RuntimeError {
    fn from(failure: Failure) -> Self {
        let source = io::Error::from_raw_os_error(failure.errno);
        let path = failure.path.unwrap_or_default();
        match failure.reason {
            Reason::Step => {
                let path = (!path.as_os_str().is_empty()).then_some(path);
                Self::Step {
                    step: failure.step,
                    path,
                    source,
                }
            }
            Reason::BindSource(destination) => Self::BindSourceMissing {
                source_path: path,
                destination,
            },
            Reason::WorkingDirectory => Self::WorkingDirectory { path, source },
            Reason::Execute { command, file } => {
                let path = path.display().to_string();
                match file {
                    Program::NotFound => Self::CommandNotFound { command },
                    Program::Missing => Self::CommandMissing { command },
                    Program::Directory => Self::NotExecutable {
                        command,
                        directory: true,
                    },
                    Program::NoInterpreter(interpreter) => {
                        Self::InterpreterMissing { path, interpreter }
                    }
                    Program::Foreign(architecture) => Self::ExecFormat { path, architecture },
                    Program::Other if source.kind() == io::ErrorKind::PermissionDenied => {
                        Self::NotExecutable {
                            command,
                            directory: false,
                        }
                    }
                    Program::Other => Self::Execute { command, source },
                }
            }
        }
    }
}

/// The child's end.
#[derive(Debug)]
pub(crate) struct Reporter(OwnedFd);

impl Reporter {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Passes the terminal to the parent.
    pub(crate) fn terminal(&self, terminal: BorrowedFd<'_>) -> io::Result<()> {
        pass::send(self.0.as_fd(), b"T", Some(terminal))
    }

    /// Everything is set up.
    pub(crate) fn ready(&self) -> io::Result<()> {
        pass::send(self.0.as_fd(), b"R", None)
    }

    /// Waits for the parent's word; false when the parent is gone.
    pub(crate) fn await_start(&self) -> io::Result<bool> {
        let mut word = [0; 1];
        let (length, _) = pass::receive(self.0.as_fd(), &mut word)?;
        Ok(length == 1 && word[0] == b'G')
    }

    /// Whether the parent is gone.
    pub(crate) fn is_orphan(&self) -> io::Result<bool> {
        pass::is_closed(self.0.as_fd())
    }

    /// Tells why it did not work. A parent that is gone does not care.
    pub(crate) fn failed(&self, failure: &Failure) {
        let mut message = vec![b'F'];
        if serde_json::to_writer(&mut message, failure).is_ok() && message.len() <= LARGEST {
            let _ = pass::send(self.0.as_fd(), &message, None);
        } else {
            let bare = Failure {
                path: None,
                reason: Reason::Step,
                ..failure.clone()
            };
            let mut message = vec![b'F'];
            if serde_json::to_writer(&mut message, &bare).is_ok() {
                let _ = pass::send(self.0.as_fd(), &message, None);
            }
        }
    }
}

/// The parent's end.
#[derive(Debug)]
pub(crate) struct Listener(OwnedFd);

/// How the talk ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The command is running; this is its terminal, if it was to have one.
    Executed(Option<OwnedFd>),
    /// A step failed.
    Failed(Failure),
    /// The child ended without a word.
    Died,
}

impl Listener {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Gives the word. That the child is gone by now is learned by [`Self::listen`].
    pub(crate) fn release(&self) {
        let _ = pass::send(self.0.as_fd(), b"G", None);
    }

    /// Listens until the child executes the command, fails or dies.
    pub(crate) fn listen(&self) -> io::Result<Outcome> {
        let mut buffer = vec![0; LARGEST];
        let (mut ready, mut terminal) = (false, None);
        loop {
            let received = match pass::receive(self.0.as_fd(), &mut buffer) {
                // The child closed with our word unread: told once, before what it has said.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => continue,
                result => result?,
            };
            match (&buffer[..received.0], received.1) {
                ([], _) if ready => return Ok(Outcome::Executed(terminal)),
                ([], _) => return Ok(Outcome::Died),
                ([b'T', ..], descriptor) => terminal = descriptor,
                ([b'R', ..], _) => ready = true,
                ([b'F', failure @ ..], _) => {
                    let failure = serde_json::from_slice(failure).map_err(io::Error::other)?;
                    return Ok(Outcome::Failed(failure));
                }
                _ => return Err(io::Error::other("unknown message of the child")),
            }
        }
    }
}

/// A connected pair.
pub(crate) fn pair() -> io::Result<(Listener, Reporter)> {
    let (ours, theirs) = pass::pair()?;
    Ok((Listener::new(ours), Reporter::new(theirs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_after_ready_is_success() {
        let (listener, reporter) = pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        reporter.terminal(file.as_fd()).unwrap();
        reporter.ready().unwrap();
        listener.release();
        assert!(reporter.await_start().unwrap());
        assert!(!reporter.is_orphan().unwrap());
        drop(reporter);
        assert!(matches!(
            listener.listen().unwrap(),
            Outcome::Executed(Some(_))
        ));
    }

    #[test]
    fn silence_is_death_and_a_failure_is_told() {
        let (listener, reporter) = pair().unwrap();
        drop(reporter);
        assert!(matches!(listener.listen().unwrap(), Outcome::Died));

        let (listener, reporter) = pair().unwrap();
        let mut failure = Failure::new(&io::Error::from_raw_os_error(2)).at("/srv");
        failure.reason = Reason::BindSource("/data".into());
        reporter.failed(&failure);
        // The word that it does not read any more.
        listener.release();
        drop(reporter);
        let Outcome::Failed(failure) = listener.listen().unwrap() else {
            panic!()
        };
        let error = RuntimeError::from(failure);
        assert!(
            error
                .to_string()
                .ends_with("bind source path does not exist: /srv"),
            "{error}"
        );

        let (listener, reporter) = pair().unwrap();
        let huge = Failure::new(&io::Error::from_raw_os_error(2)).at("x".repeat(LARGEST));
        reporter.failed(&huge);
        let Outcome::Failed(failure) = listener.listen().unwrap() else {
            panic!()
        };
        assert_eq!(failure.path, None);
    }

    #[test]
    fn an_orphan_knows() {
        let (listener, reporter) = pair().unwrap();
        drop(listener);
        assert!(reporter.is_orphan().unwrap());
        assert!(!reporter.await_start().unwrap());
    }
}
