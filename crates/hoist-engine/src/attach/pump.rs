//! The terminal's side of an attached container: copying streams and passing signals on.
//!
//! Nothing in here waits for one thing alone: a reader that is slow, or has stopped reading for
//! good, keeps neither Ctrl-C nor the container's end from being noticed.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::Child,
};

use hoist_core::signal::Signal;
use hoist_sys::signal::{Mask, SignalFd, block, set_mask};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, fstat},
    io::Errno,
};

use super::{
    Connection, Ended, FORWARDED, Stay, Streams, detach::DetachKeys, receive, terminal_size,
};
use crate::{
    error::EngineError,
    status::{State, Status},
    wire::{self, Decoder, Kind},
};

/// A container that was started attached: its output waits in the connection.
#[derive(Debug)]
pub struct Attachment {
    connection: Connection,
    monitor: Child,
    stdin: bool,
    tty: bool,
}

/// Signals wait while a container is started, to be passed on to it once it runs.
#[derive(Debug)]
pub(crate) struct Patience {
    before: Mask,
}

impl Patience {
    /// From now on signals that can be passed on wait.
    pub(crate) fn begin() -> Result<Self, EngineError> {
        let before = block(&Mask::of(&FORWARDED)).map_err(EngineError::system("sigprocmask"))?;
        Ok(Self { before })
    }

    /// The container could not be started; when the user has asked to stop by now, that is why.
    pub(crate) fn fail(self, error: EngineError) -> EngineError {
        let asked = receive(&FORWARDED).is_ok_and(|signals| {
            let ends = |signal| signal != Signal::WINCH.number();
            std::iter::from_fn(|| signals.read().ok().flatten())
                .any(|received| ends(received.signal))
        });
        drop(set_mask(&self.before));
        match error {
            EngineError::MonitorLost(_) if asked => EngineError::Cancelled,
            other => other,
        }
    }
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

    /// Copy between the caller's streams and the container until it has ended and is cleaned up, or
    /// the user detaches from its terminal.
    /// Signals that the caller receives meanwhile, and those that it received while the container
    /// was started, are passed on to the container; with a terminal, so is its size.
    ///
    /// # Errors
    /// [`EngineError::OutputClosed`] when nobody reads the caller's output any more: the container
    /// goes on. Otherwise when the connection breaks. A monitor that was killed is not an error:
    /// the container ended with it, and the status says so.
    pub fn pump(mut self, streams: Streams) -> Result<Stay, EngineError> {
        let signals = receive(&FORWARDED)?;
        self.connection
            .socket
            .set_nonblocking(true)
            .map_err(EngineError::system("fcntl"))?;
        let mut pump = Pump {
            socket: &self.connection.socket,
            decoder: Decoder::default(),
            pending: Vec::new(),
            stdin: streams.stdin.filter(|_| self.stdin).map(File::from),
            stdout: Sink::new(streams.stdout)?,
            stderr: Sink::new(streams.stderr)?,
            terminal: (streams.tty && self.tty).then(DetachKeys::default),
            detached: false,
            forward_signals: streams.forward_signals,
            interrupted: None,
            ended: None,
        };
        pump.resize();
        while !pump.turn(&signals)? {
            if let Some(signal) = pump.interrupted {
                return Ok(Stay::Interrupted(signal));
            }
            if pump.detached && pump.pending.is_empty() {
                return Ok(Stay::Detached);
            }
            if pump.stdout.closed && pump.ended.is_none() {
                return Err(EngineError::OutputClosed(self.connection.name));
            }
        }
        let status = pump.ended.take().flatten().unwrap_or_else(|| Status {
            state: State::Exited,
            exit_code: 137,
            error: Some("its monitor was killed, and the container with it".to_owned()),
            ..Status::default()
        });
        // Not the monitor's end: it may have another client that has stopped reading.
        self.monitor
            .try_wait()
            .map_err(EngineError::system("wait"))?;
        Ok(Stay::Ended(Box::new(Ended {
            exit_code: status.exit_code,
            status,
        })))
    }
}

struct Pump<'a> {
    socket: &'a UnixStream,
    decoder: Decoder,
    /// Bytes for the monitor that the socket did not take yet.
    pending: Vec<u8>,
    stdin: Option<File>,
    stdout: Sink,
    stderr: Sink,
    /// The caller's input is a terminal, whose size is passed on and whose keys may detach.
    terminal: Option<DetachKeys>,
    /// The keys were typed: what is pending is still sent, then it is over.
    detached: bool,
    forward_signals: bool,
    /// A signal came that is not to be passed on.
    interrupted: Option<i32>,
    /// The end: with a status, or without one when the monitor vanished.
    ended: Option<Option<Status>>,
}

/// What a descriptor of the poll set belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Signals,
    Monitor,
    Stdin,
    Sink,
}

impl Pump<'_> {
    /// Wait for something and deal with it; true when the container has ended and everything that
    /// it wrote has been delivered.
    fn turn(&mut self, signals: &SignalFd) -> Result<bool, EngineError> {
        let ready = self.wait(signals)?;
        if ready.contains(&Source::Signals) {
            while let Some(received) = signals.read().map_err(EngineError::system("read"))? {
                self.signal(received.signal);
            }
        }
        if ready.contains(&Source::Stdin) {
            self.feed();
        }
        self.flush()?;
        if ready.contains(&Source::Monitor) {
            self.receive()?;
        }
        self.stdout.deliver();
        self.stderr.deliver();
        Ok(self.ended.is_some() && !self.delivers())
    }

    fn delivers(&self) -> bool {
        self.stdout.waits() || self.stderr.waits()
    }

    fn wait(&self, signals: &SignalFd) -> Result<Vec<Source>, EngineError> {
        let mut sources = vec![Source::Signals];
        let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
        let mut add = |source, fd| {
            sources.push(source);
            fds.push(fd);
        };
        if self.ended.is_none() {
            // No more output is taken than can be delivered.
            let mut interest = PollFlags::empty();
            interest.set(PollFlags::IN, !self.delivers());
            interest.set(PollFlags::OUT, !self.pending.is_empty());
            if !interest.is_empty() {
                add(Source::Monitor, PollFd::new(self.socket, interest));
            }
        }
        if let Some(stdin) = self.stdin.as_ref().filter(|_| self.pending.is_empty()) {
            add(Source::Stdin, PollFd::new(stdin, PollFlags::IN));
        }
        for sink in [&self.stdout, &self.stderr] {
            if sink.waits() {
                add(Source::Sink, PollFd::new(&sink.file, PollFlags::OUT));
            }
        }
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(EngineError::system("poll")(error)),
        }
        let ready = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok(sources
            .into_iter()
            .zip(ready)
            .filter_map(|(source, ready)| ready.then_some(source))
            .collect())
    }

    fn signal(&mut self, signal: i32) {
        if signal == Signal::WINCH.number() {
            self.resize();
        } else if self.ended.is_some() {
            // There is nobody to pass it on to, but somebody who does not want to wait.
            self.stdout.give_up();
            self.stderr.give_up();
        } else if self.forward_signals {
            wire::push(&mut self.pending, Kind::Signal, &signal.to_le_bytes());
        } else {
            self.interrupted = Some(signal);
        }
    }

    fn resize(&mut self) {
        if let Some(size) = self
            .stdin
            .as_ref()
            .filter(|_| self.terminal.is_some())
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
            Ok(read) => match &mut self.terminal {
                Some(keys) => {
                    let (passed, detached) = keys.pass(&bytes[..read]);
                    wire::push(&mut self.pending, Kind::Stdin, &passed);
                    self.detached = detached;
                }
                None => wire::push(&mut self.pending, Kind::Stdin, &bytes[..read]),
            },
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
                    self.stdin = None;
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
                Kind::Stdout => self.stdout.push(&body),
                Kind::Stderr => self.stderr.push(&body),
                Kind::Exited => self.ended = Some(Some(wire::parse(&body).map_err(broken)?)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Where output goes, and what it did not take yet.
struct Sink {
    file: File,
    pending: Vec<u8>,
    /// How many bytes of `pending` have been taken.
    taken: usize,
    /// As much as is sure to be taken when the descriptor is ready.
    piece: usize,
    closed: bool,
}

impl Sink {
    /// The stream is shared with other programs, so it is left as it is: non-blocking for them
    /// would be a surprise. A ready pipe has room for a page (`pipe(7)`); a file never blocks.
    fn new(fd: OwnedFd) -> Result<Self, EngineError> {
        let stat = fstat(&fd).map_err(EngineError::system("fstat"))?;
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        Ok(Self {
            file: fd.into(),
            pending: Vec::new(),
            taken: 0,
            piece: if regular { 1 << 16 } else { 1 << 12 },
            closed: false,
        })
    }

    fn push(&mut self, bytes: &[u8]) {
        if !self.closed {
            self.pending.extend_from_slice(bytes);
        }
    }

    const fn waits(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Write what is taken without waiting. A stream that is closed takes nothing any more.
    fn deliver(&mut self) {
        while self.waits() {
            if !is_ready(self.file.as_fd()) {
                return;
            }
            let rest = &self.pending[self.taken..];
            match self.file.write(&rest[..rest.len().min(self.piece)]) {
                Ok(written) => self.taken += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.give_up(),
            }
            if self.taken == self.pending.len() {
                self.pending.clear();
                self.taken = 0;
            }
        }
    }

    fn give_up(&mut self) {
        self.closed = true;
        self.pending.clear();
        self.taken = 0;
    }
}

/// The descriptor can be written to, or fails at once.
fn is_ready(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1))
}
