//! The client's side of a container's monitor: requests, and copying standard streams.

mod detach;
mod pump;

pub use pump::Attachment;

pub(crate) use pump::Patience;

use std::{
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
};

use hoist_core::{signal::Signal, spec::ConsoleSize};
use hoist_sys::signal::{Mask, SignalFd, block};
use rustix::{
    io::Errno,
    termios::{Winsize, tcgetwinsize, tcsetwinsize},
};
use serde::Serialize;

use crate::{
    error::{EngineError, Told},
    status::Status,
    wire::{self, Kind},
};

/// The caller's standard streams.
#[derive(Debug)]
pub struct Streams {
    /// Where input comes from; `None` is none.
    pub stdin: Option<OwnedFd>,
    /// Where output goes.
    pub stdout: OwnedFd,
    /// Where error output goes.
    pub stderr: OwnedFd,
    /// `stdin` is a terminal that the caller has set to raw mode: its size is passed on.
    pub tty: bool,
    /// Signals that the caller receives go to the container (Docker's `--sig-proxy`); otherwise
    /// they end the stay.
    pub forward_signals: bool,
}

/// How staying with a container came to its end.
#[derive(Debug, Clone, PartialEq)]
pub enum Stay {
    /// The container has ended and is cleaned up.
    Ended(Box<Ended>),
    /// The user has typed the keys that detach (Ctrl-P Ctrl-Q): the container goes on.
    Detached,
    /// The caller has received this signal, which is not to be passed on: the container goes on.
    Interrupted(i32),
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// Its exit code.
    pub exit_code: i32,
    /// Its last status.
    pub status: Status,
}

/// A connection to a monitor.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: UnixStream,
    name: String,
}

impl Connection {
    pub(crate) fn new(socket: UnixStream, name: &str) -> Self {
        Self {
            socket,
            name: name.to_owned(),
        }
    }

    /// Connect to the monitor whose socket is in the directory `run`.
    ///
    /// The path goes through a descriptor of the directory: addresses hold no more than 107 bytes.
    pub(crate) fn open(run: &Path, name: &str) -> Result<Self, EngineError> {
        let directory = File::open(run).map_err(|_| EngineError::NotRunning(name.to_owned()))?;
        let path = socket_path(directory.as_fd());
        match UnixStream::connect(path) {
            Ok(socket) => Ok(Self::new(socket, name)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Err(EngineError::NotRunning(name.to_owned()))
            }
            Err(error) => Err(EngineError::file("connect to", run.join("monitor.sock"))(
                error,
            )),
        }
    }

    pub(crate) fn send(&mut self, kind: Kind, body: &[u8]) -> Result<(), EngineError> {
        wire::send(&self.socket, kind, body).map_err(|error| self.lost(error))
    }

    pub(crate) fn send_json<T: Serialize>(
        &mut self,
        kind: Kind,
        value: &T,
    ) -> Result<(), EngineError> {
        (&self.socket)
            .write_all(&wire::json(kind, value))
            .map_err(|error| self.lost(error))
    }

    /// Wait until the container runs.
    pub(crate) fn started(&mut self) -> Result<(), EngineError> {
        self.expect(Kind::Started).map(drop)
    }

    /// Wait for the answer to a request.
    pub(crate) fn answer(&mut self) -> Result<(), EngineError> {
        self.expect(Kind::Done).map(drop)
    }

    /// Wait until the container has ended and is cleaned up.
    pub(crate) fn exited(&mut self) -> Result<Status, EngineError> {
        let body = self.expect(Kind::Exited)?;
        wire::parse(&body).map_err(|error| self.lost(error))
    }

    /// Wait for a frame of this kind, passing over others.
    fn expect(&mut self, wanted: Kind) -> Result<Vec<u8>, EngineError> {
        loop {
            match wire::receive(&self.socket).map_err(|error| self.lost(error))? {
                Some((kind, body)) if kind == wanted => return Ok(body),
                Some((Kind::Failed, body)) => {
                    return Err(EngineError::Told(
                        wire::parse::<Told>(&body).map_err(|error| self.lost(error))?,
                    ));
                }
                Some(_) => {}
                None => return Err(EngineError::MonitorLost(self.name.clone())),
            }
        }
    }

    fn lost(&self, error: io::Error) -> EngineError {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                EngineError::MonitorLost(self.name.clone())
            }
            _ => EngineError::System {
                action: "talking to the container's monitor",
                source: error,
            },
        }
    }
}

/// The address of the socket in a directory that is open.
pub(crate) fn socket_path(directory: BorrowedFd<'_>) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}/monitor.sock", directory.as_raw_fd())
}

/// Signals that are passed on to the container; the last one is the terminal's new size.
pub(crate) const FORWARDED: [i32; 7] = [
    Signal::HUP.number(),
    Signal::INT.number(),
    Signal::QUIT.number(),
    Signal::USR1.number(),
    Signal::USR2.number(),
    Signal::TERM.number(),
    Signal::WINCH.number(),
];

/// Block signals and receive them through a descriptor.
pub(crate) fn receive(signals: &[i32]) -> Result<SignalFd, EngineError> {
    let mask = Mask::of(signals);
    block(&mask).map_err(EngineError::system("sigprocmask"))?;
    SignalFd::new(&mask, true).map_err(EngineError::system("signalfd"))
}

pub(crate) fn terminal_size(terminal: impl AsFd) -> Option<ConsoleSize> {
    let size = tcgetwinsize(terminal).ok()?;
    Some(ConsoleSize {
        height: size.ws_row,
        width: size.ws_col,
    })
}

/// Set the size of a terminal.
pub(crate) fn set_terminal_size(terminal: impl AsFd, size: ConsoleSize) -> Result<(), Errno> {
    tcsetwinsize(
        terminal,
        Winsize {
            ws_row: size.height,
            ws_col: size.width,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )
}
