//! The client's side of a container's monitor: requests, and copying standard streams.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    process::Child,
};

use hoist_core::{signal::Signal, spec::ConsoleSize};
use hoist_sys::signal::{Mask, SignalFd, block};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    termios::{Winsize, tcgetwinsize, tcsetwinsize},
};
use serde::Serialize;

use crate::{
    error::{EngineError, Told},
    status::{State, Status},
    wire::{self, Decoder, Kind},
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
    /// Signals that the caller receives go to the container (Docker's `--sig-proxy`).
    pub forward_signals: bool,
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

/// A container that was started attached: its output waits in the connection.
#[derive(Debug)]
pub struct Attachment {
    connection: Connection,
    monitor: Child,
    stdin: bool,
    tty: bool,
}

/// Signals that are passed on to the container; the last one, the terminal's new size, always is.
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

impl Attachment {
    pub(crate) const fn new(
        connection: Connection,
        monitor: Child,
        stdin: bool,
        tty: bool,
    ) -> Self {
        Self {
            connection,
            monitor,
            stdin,
            tty,
        }
    }

    /// Copy between the caller's streams and the container until it has ended and is cleaned up.
    /// Signals that the caller receives meanwhile are passed on to the container; with a terminal,
    /// so is its size.
    ///
    /// # Errors
    /// When the connection breaks. A monitor that was killed is not an error: the container ended
    /// with it, and the status says so.
    pub fn pump(mut self, streams: Streams) -> Result<Ended, EngineError> {
        let signals = receive(if streams.forward_signals {
            &FORWARDED
        } else {
            &FORWARDED[6..]
        })?;
        self.connection
            .socket
            .set_nonblocking(true)
            .map_err(EngineError::system("fcntl"))?;
        let mut pump = Pump {
            socket: &self.connection.socket,
            decoder: Decoder::default(),
            pending: Vec::new(),
            stdin: streams.stdin.filter(|_| self.stdin).map(File::from),
            stdout: Some(File::from(streams.stdout)),
            stderr: Some(File::from(streams.stderr)),
            terminal: streams.tty && self.tty,
            ended: None,
        };
        pump.resize();
        while pump.ended.is_none() {
            pump.turn(&signals)?;
        }
        let status = pump.ended.take().flatten().unwrap_or_else(|| Status {
            state: State::Exited,
            exit_code: 137,
            error: Some("its monitor was killed, and the container with it".to_owned()),
            ..Status::default()
        });
        self.monitor.wait().map_err(EngineError::system("wait"))?;
        Ok(Ended {
            exit_code: status.exit_code,
            status,
        })
    }
}

struct Pump<'a> {
    socket: &'a UnixStream,
    decoder: Decoder,
    /// Bytes for the monitor that the socket did not take yet.
    pending: Vec<u8>,
    stdin: Option<File>,
    stdout: Option<File>,
    stderr: Option<File>,
    terminal: bool,
    /// The end: with a status, or without one when the monitor vanished.
    ended: Option<Option<Status>>,
}

impl Pump<'_> {
    fn turn(&mut self, signals: &SignalFd) -> Result<(), EngineError> {
        let mut interest = PollFlags::IN;
        interest.set(PollFlags::OUT, !self.pending.is_empty());
        let mut fds = vec![
            PollFd::new(self.socket, interest),
            PollFd::new(signals, PollFlags::IN),
        ];
        if let Some(stdin) = self.stdin.as_ref().filter(|_| self.pending.is_empty()) {
            fds.push(PollFd::new(stdin, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(EngineError::system("poll")(error)),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready[1] {
            while let Some(received) = signals.read().map_err(EngineError::system("read"))? {
                self.signal(received.signal);
            }
        }
        if ready.get(2) == Some(&true) {
            self.feed();
        }
        self.flush()?;
        if ready[0] { self.receive() } else { Ok(()) }
    }

    fn signal(&mut self, signal: i32) {
        if signal == Signal::WINCH.number() {
            self.resize();
        } else {
            wire::push(&mut self.pending, Kind::Signal, &signal.to_le_bytes());
        }
    }

    fn resize(&mut self) {
        if let Some(size) = self
            .stdin
            .as_ref()
            .filter(|_| self.terminal)
            .and_then(terminal_size)
        {
            self.pending.append(&mut wire::json(Kind::Resize, &size));
        }
    }

    fn feed(&mut self) {
        let Some(stdin) = &mut self.stdin else { return };
        let mut bytes = [0; 1 << 16];
        match stdin.read(&mut bytes) {
            Ok(0) => {
                wire::push(&mut self.pending, Kind::StdinEnd, &[]);
                self.stdin = None;
            }
            Ok(read) => wire::push(&mut self.pending, Kind::Stdin, &bytes[..read]),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            Err(_) => {
                // A terminal that hung up: the container sees the end of its input.
                wire::push(&mut self.pending, Kind::StdinEnd, &[]);
                self.stdin = None;
            }
        }
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        while !self.pending.is_empty() {
            match self.socket.write(&self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The monitor is done with us; what it said last is still to be read.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                    ) =>
                {
                    self.pending.clear();
                }
                Err(error) => return Err(EngineError::system("write")(error)),
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), EngineError> {
        match self.decoder.fill(self.socket, 1 << 16) {
            Ok(0) => self.ended = Some(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.ended = Some(None),
            Err(error) => return Err(EngineError::system("read")(error)),
        }
        let broken = |error| EngineError::System {
            action: "talking to the container's monitor",
            source: error,
        };
        while let Some((kind, body)) = self.decoder.next().map_err(broken)? {
            match kind {
                Kind::Stdout => deliver(&mut self.stdout, &body),
                Kind::Stderr => deliver(&mut self.stderr, &body),
                Kind::Exited => self.ended = Some(Some(wire::parse(&body).map_err(broken)?)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Write to the caller's stream; one that is closed takes nothing more, the container goes on.
fn deliver(stream: &mut Option<File>, bytes: &[u8]) {
    if let Some(file) = stream
        && file.write_all(bytes).is_err()
    {
        *stream = None;
    }
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
