//! The monitor's loop: one `poll(2)` over everything that can happen to a container.
//!
//! The set of descriptors is small and changes with every state (paused outputs, clients that have
//! something to take), so it is built anew for each turn. Nothing wakes an idle monitor but the
//! next health probe.

use std::{
    os::{fd::AsFd, unix::net::UnixStream},
    time::{Duration, Instant},
};

use hoist_core::{signal::Signal, spec::ConsoleSize, time::Timestamp};
use hoist_sys::{
    process::send_signal,
    signal::{Mask, SignalFd, block},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{
    Instructions,
    clients::Client,
    health::Prober,
    launch::{HostStdio, Live},
    log::Log,
    output::{Input, Output, Piece},
};
use crate::{
    attach::set_terminal_size,
    container::LogStream,
    error::{EngineError, Told},
    root::{Engine, write_json},
    system::clock,
    wire::{self, Kind, StopRequest},
};

/// Everything about a running container, and who is interested in it.
pub(super) struct EventLoop<'a> {
    pub(super) engine: &'a Engine,
    pub(super) live: Live,
    pub(super) clients: Vec<Client>,
    pub(super) log: Log,
    outputs: Vec<Output>,
    input: Option<Input>,
    prober: Option<Prober>,
    signals: SignalFd,
    stopping: Option<Stopping>,
    buffer: Vec<u8>,
}

/// A stop that is under way.
struct Stopping {
    signal: i32,
    since: Instant,
    kill_at: Option<Instant>,
}

/// What a descriptor of the poll set belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Process,
    Signals,
    Listener,
    Forwarder,
    Probe,
    Output(LogStream),
    Input,
    Client(usize),
}

impl<'a> EventLoop<'a> {
    pub(super) fn new(engine: &'a Engine, mut live: Live) -> Result<Self, EngineError> {
        // A monitor that is asked to end, at shutdown say, stops its container in order.
        let mask = Mask::of(&[
            Signal::TERM.number(),
            Signal::INT.number(),
            Signal::HUP.number(),
        ]);
        block(&mask).map_err(EngineError::system("sigprocmask"))?;
        let signals = SignalFd::new(&mask, true).map_err(EngineError::system("signalfd"))?;
        let log = Log::new(engine.container_dir(&live.record.id).join("log"));
        let (outputs, input) = streams(&mut live.stdio)?;
        let prober = Prober::new(&live.record);
        Ok(Self {
            engine,
            live,
            clients: Vec::new(),
            log,
            outputs,
            input,
            prober,
            signals,
            stopping: None,
            buffer: vec![0; 1 << 16],
        })
    }

    /// Tell the starter that the container runs; it is the first client.
    pub(super) fn welcome(
        &mut self,
        starter: UnixStream,
        instructions: &Instructions,
    ) -> Result<(), EngineError> {
        let mut client = Client::new(starter)?;
        client.attached = instructions.attach;
        client.feeds = instructions.attach_stdin;
        client.push(Kind::Started, &[]);
        self.clients.push(client);
        Ok(())
    }

    /// Turn until the container has ended, then clean up.
    pub(super) fn run(mut self) -> Result<(), EngineError> {
        loop {
            let sources = self.wait()?;
            if sources.contains(&Source::Process) {
                break;
            }
            for source in sources {
                self.serve(source)?;
            }
            self.keep_time()?;
            self.clients.retain(|client| !client.closed);
        }
        self.drain()?;
        self.finish()
    }

    /// Wait until something is ready, or the next deadline.
    fn wait(&self) -> Result<Vec<Source>, EngineError> {
        let mut sources = vec![Source::Process, Source::Signals, Source::Listener];
        let mut fds = vec![
            PollFd::new(&self.live.container.pidfd, PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.live.listener, PollFlags::IN),
        ];
        let mut add = |source, fd| {
            sources.push(source);
            fds.push(fd);
        };
        if let Some(forwarder) = &self.live.forwarder {
            add(
                Source::Forwarder,
                PollFd::from_borrowed_fd(forwarder.as_fd(), PollFlags::IN),
            );
        }
        for fd in self.prober.iter().flat_map(Prober::fds) {
            add(Source::Probe, PollFd::from_borrowed_fd(fd, PollFlags::IN));
        }
        if !self.clients.iter().any(Client::is_full) {
            for output in &self.outputs {
                add(
                    Source::Output(output.stream),
                    PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN),
                );
            }
        }
        if let Some(input) = self.input.as_ref().filter(|input| input.wants_to_write()) {
            add(
                Source::Input,
                PollFd::from_borrowed_fd(input.as_fd(), PollFlags::OUT),
            );
        }
        let input_full = self.input.as_ref().is_some_and(Input::is_full);
        for (index, client) in self.clients.iter().enumerate() {
            let mut interest = PollFlags::empty();
            interest.set(PollFlags::IN, !(client.feeds && input_full));
            interest.set(PollFlags::OUT, client.wants_to_write());
            add(
                Source::Client(index),
                PollFd::from_borrowed_fd(client.as_fd(), interest),
            );
        }
        let timeout = self.timeout();
        match poll(&mut fds, timeout.as_ref()) {
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

    fn timeout(&self) -> Option<Timespec> {
        let kill = self.stopping.as_ref().and_then(|stopping| stopping.kill_at);
        let probe = self.prober.as_ref().map(Prober::deadline);
        let next = kill.into_iter().chain(probe).min()?;
        // A nanosecond too early would only make the loop turn once more.
        let left = next.saturating_duration_since(Instant::now()) + Duration::from_nanos(1);
        Some(Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        })
    }

    fn serve(&mut self, source: Source) -> Result<(), EngineError> {
        match source {
            // The process is looked after by `run`, probes by `keep_time`.
            Source::Process | Source::Probe => Ok(()),
            Source::Signals => self.take_signals(),
            Source::Listener => self.accept(),
            Source::Forwarder => match &mut self.live.forwarder {
                Some(forwarder) => Ok(forwarder.turn()?),
                None => Ok(()),
            },
            Source::Output(stream) => self.take_output(stream).map(drop),
            Source::Input => {
                self.flush_input();
                Ok(())
            }
            Source::Client(index) => self.serve_client(index),
        }
    }

    /// Deadlines: the kill of a stop, and health probes.
    fn keep_time(&mut self) -> Result<(), EngineError> {
        let now = Instant::now();
        if self
            .stopping
            .as_ref()
            .is_some_and(|stopping| stopping.kill_at.is_some_and(|at| at <= now))
        {
            self.kill_for_grace()?;
        }
        let Some(prober) = &mut self.prober else {
            return Ok(());
        };
        if prober.turn(self.engine, &self.live.record, &mut self.live.status) {
            self.write_status()?;
        }
        Ok(())
    }

    pub(super) fn write_status(&self) -> Result<(), EngineError> {
        let run = self.engine.container_run_dir(&self.live.record.id);
        write_json(&run.join("status.json"), &self.live.status)
    }

    fn accept(&mut self) -> Result<(), EngineError> {
        loop {
            match self.live.listener.accept() {
                Ok((socket, _)) => self.clients.push(Client::new(socket)?),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                // The peer went before it was accepted, or descriptors ran out: the next turn tries again.
                Err(_) => return Ok(()),
            }
        }
    }

    /// Read one piece of an output and pass it on; true when the output has ended.
    fn take_output(&mut self, stream: LogStream) -> Result<bool, EngineError> {
        let Some(index) = self
            .outputs
            .iter()
            .position(|output| output.stream == stream)
        else {
            return Ok(true);
        };
        match self.outputs[index].read(&mut self.buffer)? {
            Piece::Nothing => Ok(true),
            Piece::End => {
                self.outputs.remove(index);
                Ok(true)
            }
            Piece::Bytes(count) => {
                let bytes = &self.buffer[..count];
                self.log.write(stream, bytes, Timestamp::from(clock()));
                let kind = if stream == LogStream::Stdout {
                    Kind::Stdout
                } else {
                    Kind::Stderr
                };
                for client in self.clients.iter_mut().filter(|client| client.attached) {
                    client.push(kind, bytes);
                }
                Ok(false)
            }
        }
    }

    /// After the end: what is still in the pipes. The container's processes are all gone.
    fn drain(&mut self) -> Result<(), EngineError> {
        for stream in [LogStream::Stdout, LogStream::Stderr] {
            while !self.take_output(stream)? {}
        }
        Ok(())
    }

    fn flush_input(&mut self) {
        if self.input.as_mut().is_some_and(|input| !input.flush()) {
            self.input = None;
        }
    }

    fn serve_client(&mut self, index: usize) -> Result<(), EngineError> {
        self.clients[index].flush();
        for (kind, body) in self.clients[index].receive() {
            if let Err(error) = self.request(index, kind, &body) {
                let told = serde_json::to_vec(&Told::of(&error)).unwrap_or_default();
                self.clients[index].push(Kind::Failed, &told);
            }
        }
        Ok(())
    }

    fn request(&mut self, index: usize, kind: Kind, body: &[u8]) -> Result<(), EngineError> {
        let broken = |_| EngineError::invalid("a client's request is malformed");
        match kind {
            Kind::Attach => self.clients[index].attached = true,
            Kind::Stdin => {
                if let Some(input) = &mut self.input {
                    input.push(body);
                    self.flush_input();
                }
            }
            Kind::StdinEnd => {
                if let Some(input) = &mut self.input {
                    // A terminal is not closed: its reader sees the end through the line discipline.
                    if self.live.record.tty {
                        input.push(&[4]);
                    } else {
                        input.close();
                    }
                    self.flush_input();
                }
            }
            Kind::Resize => {
                let size: ConsoleSize = wire::parse(body).map_err(broken)?;
                if let HostStdio::Terminal(terminal) = &self.live.stdio {
                    set_terminal_size(terminal, size).map_err(EngineError::system("ioctl"))?;
                }
            }
            Kind::Signal => {
                let number: [u8; 4] = body
                    .try_into()
                    .map_err(|_| EngineError::invalid("a client's request is malformed"))?;
                self.signal(i32::from_le_bytes(number))?;
                self.clients[index].push(Kind::Done, &[]);
            }
            Kind::Stop => self.stop(wire::parse(body).map_err(broken)?)?,
            _ => {
                return Err(EngineError::invalid(
                    "a client sent what only a monitor sends",
                ));
            }
        }
        Ok(())
    }

    fn signal(&self, signal: i32) -> Result<(), EngineError> {
        send_signal(self.live.container.pidfd.as_fd(), signal)
            .map_err(EngineError::system("pidfd_send_signal"))
    }

    fn take_signals(&mut self) -> Result<(), EngineError> {
        while self
            .signals
            .read()
            .map_err(EngineError::system("read"))?
            .is_some()
        {
            let signal = Signal::TERM.number();
            let grace = u64::try_from(self.live.record.stop_timeout.as_millis()).ok();
            self.stop(StopRequest { signal, grace })?;
        }
        Ok(())
    }

    /// Begin to stop; a second request may only bring the kill forward.
    fn stop(&mut self, request: StopRequest) -> Result<(), EngineError> {
        let now = Instant::now();
        let kill_at = request
            .grace
            .map(|grace| now + Duration::from_millis(grace));
        let earlier = self.stopping.as_ref().and_then(|stopping| stopping.kill_at);
        let since = self
            .stopping
            .as_ref()
            .map_or(now, |stopping| stopping.since);
        let kill_at = kill_at.into_iter().chain(earlier).min();
        self.stopping = Some(Stopping {
            signal: request.signal,
            since,
            kill_at,
        });
        self.signal(request.signal)
    }

    /// The grace period is over: say what the process made of the signal, and kill it.
    fn kill_for_grace(&mut self) -> Result<(), EngineError> {
        let Some(stopping) = self.stopping.as_mut() else {
            return Ok(());
        };
        stopping.kill_at = None;
        let waited = stopping.since.elapsed();
        let signal = stopping.signal;
        if signal != Signal::KILL.number() && waited >= Duration::from_millis(500) {
            let what = disposition(self.live.status.pid, signal);
            let name = Signal::from_number(signal)
                .map_or_else(|| signal.to_string(), |signal| signal.to_string());
            self.live.status.stop_note = Some(format!(
                "{} ignored {name} for {} s and was killed ({what})",
                self.live.record.name,
                waited.as_secs_f64().round(),
            ));
        }
        self.signal(Signal::KILL.number())
    }
}

/// What PID 1 of a container had made of a signal, from `SigCgt` and `SigIgn` of `proc(5)`.
fn disposition(pid: i32, signal: i32) -> &'static str {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let has = |field: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(field))?;
        let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
        Some(mask >> (signal - 1) & 1 == 1)
    };
    match (has("SigCgt:"), has("SigIgn:")) {
        (Some(true), _) => "its PID 1 has a handler for it, but did not exit",
        (_, Some(true)) => "its PID 1 ignores it",
        (Some(false), _) => {
            "its PID 1 has no handler for it, and the kernel gives PID 1 no default action: use --init, or a CMD in exec form"
        }
        _ => "what its PID 1 made of it is not known",
    }
}

/// Take the streams out of the container's standard streams; a terminal stays there, for its size.
fn streams(stdio: &mut HostStdio) -> Result<(Vec<Output>, Option<Input>), EngineError> {
    match stdio {
        HostStdio::Terminal(terminal) => {
            let copy = || terminal.try_clone().map_err(EngineError::system("dup"));
            Ok((
                vec![Output::new(copy()?, LogStream::Stdout)?],
                Some(Input::new(copy()?)?),
            ))
        }
        HostStdio::Pipes {
            stdin,
            stdout,
            stderr,
        } => {
            let copy =
                |fd: &std::os::fd::OwnedFd| fd.try_clone().map_err(EngineError::system("dup"));
            let outputs = vec![
                Output::new(copy(stdout)?, LogStream::Stdout)?,
                Output::new(copy(stderr)?, LogStream::Stderr)?,
            ];
            let input = stdin.take().map(Input::new).transpose()?;
            Ok((outputs, input))
        }
    }
}
