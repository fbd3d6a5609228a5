//! Standard streams and signals of an `exec`.
//!
//! Pipes and sockets of the caller are handed to the process as they are, and nothing stands
//! between. A terminal of the caller's never is: whoever holds a terminal can read what is typed at
//! it, also long after the command has ended. Nor is a file: through `/proc/self/fd` a process
//! that is root can open what it was given again, to write to a file that was meant to be read, or
//! to go on from a directory of the host. The process gets a pipe, or a terminal of its own, and
//! the caller copies.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use hoist_core::signal::Signal;
use hoist_runtime::Stdio;
use hoist_sys::signal::SignalFd;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat, makedev},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};

use super::ExecRequest;
use crate::{
    attach::{FORWARDED, Streams, receive, set_terminal_size, terminal_size},
    error::EngineError,
};

/// What the process gets, and the caller's ends of what must be copied.
pub(super) struct Prepared {
    /// For the process.
    pub(super) stdio: Stdio,
    ends: Ends,
}

/// The caller's ends of pipes to the process.
#[derive(Default)]
pub(super) struct Ends {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

/// Decide what the process gets as its standard streams.
pub(super) fn prepare(request: &ExecRequest, streams: &Streams) -> Result<Prepared, EngineError> {
    if request.tty {
        return Ok(Prepared {
            stdio: Stdio::Terminal,
            ends: Ends::default(),
        });
    }
    let mut ends = Ends::default();
    let stdin = match &streams.stdin {
        Some(stdin) if request.stdin && !request.detach => {
            if may_be_shared(stdin)? {
                stdin.try_clone().map_err(EngineError::system("dup"))?
            } else {
                let (reader, writer) = pipe()?;
                ends.stdin = Some(writer);
                reader
            }
        }
        _ => null()?,
    };
    let stdout = output(request, &streams.stdout, &mut ends.stdout)?;
    let stderr = output(request, &streams.stderr, &mut ends.stderr)?;
    Ok(Prepared {
        stdio: Stdio::Fds {
            stdin,
            stdout,
            stderr,
        },
        ends,
    })
}

fn output(
    request: &ExecRequest,
    stream: &OwnedFd,
    end: &mut Option<OwnedFd>,
) -> Result<OwnedFd, EngineError> {
    if request.detach {
        return null();
    }
    if may_be_shared(stream)? {
        return stream.try_clone().map_err(EngineError::system("dup"));
    }
    let (reader, writer) = pipe()?;
    *end = Some(reader);
    Ok(writer)
}

/// A pipe, a socket or `/dev/null`: nothing comes with it but its bytes.
fn may_be_shared(stream: &OwnedFd) -> Result<bool, EngineError> {
    let stat = fstat(stream).map_err(EngineError::system("fstat"))?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo | FileType::Socket => true,
        FileType::CharacterDevice => stat.st_rdev == makedev(1, 3),
        _ => false,
    })
}

fn pipe() -> Result<(OwnedFd, OwnedFd), EngineError> {
    pipe_with(PipeFlags::CLOEXEC).map_err(EngineError::system("pipe2"))
}

fn null() -> Result<OwnedFd, EngineError> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    null.map(OwnedFd::from)
        .map_err(EngineError::file("open", "/dev/null"))
}

impl Prepared {
    /// Split into what the process gets and what is kept.
    pub(super) fn into_parts(self) -> (Stdio, Ends) {
        (self.stdio, self.ends)
    }
}

/// The signals that the caller passes on while the process runs; made before the process, so that
/// none is lost in between.
pub(super) fn signals(streams: &Streams) -> Result<SignalFd, EngineError> {
    if streams.forward_signals {
        receive(&FORWARDED)
    } else {
        receive(&[Signal::WINCH.number()])
    }
}

/// Copy streams and pass signals on until the process has ended; it is not reaped.
///
/// # Errors
/// When a stream of the process breaks in an unknown way. Streams of the caller may go away.
pub(super) fn pump(
    process: &hoist_runtime::Container,
    ends: Ends,
    streams: &Streams,
    signals: &SignalFd,
) -> Result<(), EngineError> {
    let mut pump = Pump::new(process, ends, streams, signals)?;
    pump.resize();
    while !pump.turn()? {}
    for output in &mut pump.outputs {
        // What it left in the pipe. Something in the background may go on writing.
        for _ in 0..MOST_LEFT {
            if !output.copy()? {
                break;
            }
        }
    }
    Ok(())
}

/// A pipe holds at most one mebibyte, unless root made it larger.
const MOST_LEFT: usize = (1 << 20) / (1 << 14);

struct Pump<'a> {
    process: &'a hoist_runtime::Container,
    signals: &'a SignalFd,
    /// The caller's terminal, whose size the process's terminal follows.
    size_of: Option<&'a OwnedFd>,
    input: Option<Input<'a>>,
    outputs: Vec<Output<'a>>,
}

/// From the caller to the process.
struct Input<'a> {
    from: &'a OwnedFd,
    to: File,
    /// What `to` did not take yet.
    pending: Vec<u8>,
}

/// From the process to the caller.
struct Output<'a> {
    from: File,
    /// `None` once the caller's side is gone: the process goes on, unheard.
    to: Option<BorrowedFd<'a>>,
}

impl<'a> Pump<'a> {
    fn new(
        process: &'a hoist_runtime::Container,
        ends: Ends,
        streams: &'a Streams,
        signals: &'a SignalFd,
    ) -> Result<Self, EngineError> {
        let copy = || {
            let terminal = process.terminal.as_ref();
            let copy = terminal.map(OwnedFd::try_clone).transpose();
            copy.map_err(EngineError::system("dup"))
        };
        let input = ends.stdin.map_or_else(copy, |end| Ok(Some(end)))?;
        let stdout = ends.stdout.map_or_else(copy, |end| Ok(Some(end)))?;
        let input = match (input, &streams.stdin) {
            (Some(to), Some(from)) => Some(Input {
                from,
                to: nonblocking(to)?,
                pending: Vec::new(),
            }),
            _ => None,
        };
        let mut outputs = Vec::new();
        let pairs = [(stdout, &streams.stdout), (ends.stderr, &streams.stderr)];
        for (from, to) in pairs {
            if let Some(from) = from {
                outputs.push(Output {
                    from: nonblocking(from)?,
                    to: Some(to.as_fd()),
                });
            }
        }
        Ok(Self {
            process,
            signals,
            size_of: streams.stdin.as_ref().filter(|_| streams.tty),
            input,
            outputs,
        })
    }

    /// Wait for something and deal with it; true when the process has ended.
    fn turn(&mut self) -> Result<bool, EngineError> {
        let mut fds = vec![
            PollFd::new(&self.process.pidfd, PollFlags::IN),
            PollFd::new(self.signals, PollFlags::IN),
        ];
        fds.extend(self.input.iter().map(|input| {
            if input.pending.is_empty() {
                PollFd::new(input.from, PollFlags::IN)
            } else {
                PollFd::new(&input.to, PollFlags::OUT)
            }
        }));
        let first_output = fds.len();
        let outputs = self.outputs.iter();
        fds.extend(outputs.map(|output| PollFd::new(&output.from, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(false),
            Err(error) => return Err(EngineError::system("poll")(error)),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready[1] {
            self.pass_signals_on()?;
        }
        if first_output == 3 && ready[2] && !self.input.as_mut().is_none_or(Input::copy) {
            self.input = None;
        }
        let mut open = Vec::new();
        for (output, ready) in self.outputs.iter_mut().zip(&ready[first_output..]) {
            open.push(!ready || output.copy_some()?);
        }
        let mut open = open.into_iter();
        self.outputs.retain(|_| open.next().unwrap_or(true));
        Ok(ready[0])
    }

    fn pass_signals_on(&self) -> Result<(), EngineError> {
        while let Some(received) = self.signals.read().map_err(EngineError::system("read"))? {
            if received.signal == Signal::WINCH.number() {
                self.resize();
            } else {
                let sent = self.process.signal(received.signal);
                sent.map_err(EngineError::system("pidfd_send_signal"))?;
            }
        }
        Ok(())
    }

    fn resize(&self) {
        if let Some(terminal) = &self.process.terminal
            && let Some(size) = self.size_of.and_then(terminal_size)
        {
            // A terminal that is gone has no size.
            let _ = set_terminal_size(terminal, size);
        }
    }
}

impl Input<'_> {
    /// Take some bytes, or hand on what is pending; false when no more will come or can go.
    fn copy(&mut self) -> bool {
        if self.pending.is_empty() {
            let mut bytes = [0; 1 << 14];
            match rustix::io::read(self.from, &mut bytes) {
                Ok(0) => return false,
                Ok(read) => self.pending.extend_from_slice(&bytes[..read]),
                Err(Errno::INTR | Errno::AGAIN) => return true,
                // A terminal that hung up.
                Err(_) => return false,
            }
        }
        match self.to.write(&self.pending) {
            Ok(written) => {
                self.pending.drain(..written);
                true
            }
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
            ),
        }
    }
}

impl Output<'_> {
    /// Hand on what is there; false when no more will come.
    fn copy_some(&mut self) -> Result<bool, EngineError> {
        let mut bytes = [0; 1 << 14];
        match self.from.read(&mut bytes) {
            Ok(0) => Ok(false),
            Ok(read) => {
                self.deliver(&bytes[..read]);
                Ok(true)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => Ok(true),
                // The last one has closed the other side of the terminal.
                _ if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => Ok(false),
                _ => Err(EngineError::system("read")(error)),
            },
        }
    }

    /// As [`Self::copy_some`] for a process that has ended: false when nothing is left.
    fn copy(&mut self) -> Result<bool, EngineError> {
        let mut fds = [PollFd::new(&self.from, PollFlags::IN)];
        let waiting = poll(&mut fds, Some(&rustix::event::Timespec::default()));
        match waiting {
            Ok(0) => Ok(false),
            Ok(_) => self.copy_some(),
            Err(Errno::INTR) => Ok(true),
            Err(error) => Err(EngineError::system("poll")(error)),
        }
    }

    fn deliver(&mut self, mut bytes: &[u8]) {
        while let Some(to) = self.to.filter(|_| !bytes.is_empty()) {
            match rustix::io::write(to, bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::INTR) => {}
                // Whoever shares the stream may have made it non-blocking.
                Err(Errno::AGAIN) => {
                    let _ = poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None);
                }
                Err(_) => self.to = None,
            }
        }
    }
}

fn nonblocking(fd: OwnedFd) -> Result<File, EngineError> {
    let set = fcntl_getfl(&fd).and_then(|flags| fcntl_setfl(&fd, flags | OFlags::NONBLOCK));
    set.map_err(EngineError::system("fcntl"))?;
    Ok(File::from(fd))
}
