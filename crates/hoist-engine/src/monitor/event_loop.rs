//! The monitor's loop: one `poll(2)` over everything that can happen to a container.
//!
//! The set of descriptors is small and changes with every state (paused outputs, clients that have
//! something to take), so it is built anew for each turn. Nothing wakes an idle monitor but the
//! next health probe, and once, a second after the start, giving memory back.

use std::{
    io::ErrorKind,
    os::{fd::AsFd, unix::net::UnixStream},
    time::{Duration, Instant},
};

use hoist_core::{signal::Signal, spec::ConsoleSize, time::Timestamp};
use hoist_sys::{
    process::send_signal,
    signal::{Mask, SignalFd, block, set_mask},
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
    /// What went wrong beside the container's own doing; it goes on as well as it can.
    pub(super) trouble: Option<String>,
    /// Descriptors ran out: no client is accepted before.
    accept_at: Option<Instant>,
    /// When to give the start's memory back: containers that end at once never do.
    settle_at: Option<Instant>,
    buffer: Vec<u8>,
}

/// After this time most of what the start needed is free, and the container is one that stays.
const SETTLED: Duration = Duration::from_secs(1);

/// How long no client is accepted after descriptors ran out.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

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
            trouble: None,
            accept_at: None,
            settle_at: Some(Instant::now() + SETTLED),
            buffer: vec![0; 1 << 15],
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
        if let Err(error) = self.turn_until_the_end() {
            // Without a way to wait for anything nobody looks after the container any more.
            self.trouble(&error);
            drop(self.signal(Signal::KILL.number()));
        }
        self.drain();
        self.finish()
    }

    /// Fails only when nothing can be waited for. Whatever else goes wrong costs the container
    /// nothing but that very thing, and is told in its status.
    fn turn_until_the_end(&mut self) -> Result<(), EngineError> {
        loop {
            let sources = self.wait()?;
            if sources.contains(&Source::Process) {
                return Ok(());
            }
            for source in sources {
                self.serve(source);
            }
            self.keep_time();
            self.forget_closed_clients();
            if self.log.take_news() {
                self.live.status.error.clone_from(&self.log.error);
                self.write_status_or_later();
            }
        }
    }

    /// Clients that have gone. Standard input ends with the client that fed it.
    fn forget_closed_clients(&mut self) {
        let feeder_left = self
            .clients
            .iter()
            .any(|client| client.closed && client.feeds);
        self.clients.retain(|client| !client.closed);
        if feeder_left && !self.live.record.tty {
            self.end_input();
        }
    }

    /// Something beside the container broke: keep what is first, for its status.
    fn trouble(&mut self, error: &EngineError) {
        let text = hoist_core::error::chain(error);
        self.live.status.error.get_or_insert_with(|| text.clone());
        self.trouble.get_or_insert(text);
        self.write_status_or_later();
    }

    /// Everybody who is connected, and nothing else of the monitor any more.
    pub(super) fn into_clients(self) -> Vec<Client> {
        let Self { clients, live, .. } = self;
        drop(live.lock);
        // There is nothing left that has to end in order.
        drop(set_mask(&Mask::empty()));
        clients
    }

    /// Wait until something is ready, or the next deadline.
    fn wait(&self) -> Result<Vec<Source>, EngineError> {
        let mut sources = vec![Source::Process, Source::Signals];
        let mut fds = vec![
            PollFd::new(&self.live.container.pidfd, PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
        ];
        let mut add = |source, fd| {
            sources.push(source);
            fds.push(fd);
        };
        if self.accept_at.is_none() {
            add(
                Source::Listener,
                PollFd::new(&self.live.listener, PollFlags::IN),
            );
        }
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
        let next = kill
            .into_iter()
            .chain(probe)
            .chain(self.accept_at)
            .chain(self.settle_at)
            .min()?;
        // A nanosecond too early would only make the loop turn once more.
        let left = next.saturating_duration_since(Instant::now()) + Duration::from_nanos(1);
        Some(Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        })
    }

    fn serve(&mut self, source: Source) {
        let served = match source {
            // The process is looked after by `run`, probes by `keep_time`.
            Source::Process | Source::Probe => Ok(()),
            Source::Signals => self.take_signals(),
            Source::Listener => self.accept(),
            Source::Forwarder => self.forward(),
            Source::Output(stream) => {
                self.take_output(stream);
                Ok(())
            }
            Source::Input => {
                self.flush_input();
                Ok(())
            }
            Source::Client(index) => {
                self.serve_client(index);
                Ok(())
            }
        };
        if let Err(error) = served {
            self.trouble(&error);
        }
    }

    fn forward(&mut self) -> Result<(), EngineError> {
        let Some(forwarder) = &mut self.live.forwarder else {
            return Ok(());
        };
        let turned = forwarder.turn();
        if turned.is_err() {
            // What fails once would fail at every turn: the ports are closed.
            self.live.forwarder = None;
        }
        Ok(turned?)
    }

    /// Deadlines: the kill of a stop, health probes, clients that were kept waiting.
    fn keep_time(&mut self) {
        let now = Instant::now();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.accept_at) {
            self.accept_at = None;
        }
        if due(self.settle_at) {
            self.settle_at = None;
            hoist_sys::memory::release_free();
        }
        if due(self.stopping.as_ref().and_then(|stopping| stopping.kill_at)) {
            self.kill_for_grace();
        }
        if let Some(prober) = &mut self.prober
            && prober.turn(self.engine, &self.live.record, &mut self.live.status)
        {
            self.write_status_or_later();
        }
    }

    pub(super) fn write_status(&self) -> Result<(), EngineError> {
        let run = self.engine.container_run_dir(&self.live.record.id);
        write_json(&run.join("status.json"), &self.live.status)
    }

    /// Write the status; where there is no room for it, the next one may find some.
    fn write_status_or_later(&self) {
        drop(self.write_status());
    }

    fn accept(&mut self) -> Result<(), EngineError> {
        loop {
            match self.live.listener.accept() {
                Ok((socket, _)) => self.clients.push(Client::new(socket)?),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(()),
                    // The peer went before it was accepted.
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    // Descriptors or memory ran out. It would be ready at every turn.
                    _ => {
                        self.accept_at = Some(Instant::now() + ACCEPT_AGAIN);
                        return Ok(());
                    }
                },
            }
        }
    }

    /// Read one piece of an output and pass it on; true when there is no more for now.
    fn take_output(&mut self, stream: LogStream) -> bool {
        let Some(index) = self
            .outputs
            .iter()
            .position(|output| output.stream == stream)
        else {
            return true;
        };
        match self.outputs[index].read(&mut self.buffer) {
            Ok(Piece::Nothing) => true,
            Ok(Piece::End) => {
                self.outputs.remove(index);
                true
            }
            Ok(Piece::Bytes(count)) => {
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
                false
            }
            Err(error) => {
                self.outputs.remove(index);
                self.trouble(&error);
                true
            }
        }
    }

    /// After the end: what is still in the pipes. The container's processes are all gone; should a
    /// stranger have been handed a pipe, it is not listened to for ever.
    fn drain(&mut self) {
        const MOST: usize = (1 << 21) / (1 << 15);
        for stream in [LogStream::Stdout, LogStream::Stderr] {
            for _ in 0..MOST {
                if self.take_output(stream) {
                    break;
                }
            }
        }
    }

    fn flush_input(&mut self) {
        if self.input.as_mut().is_some_and(|input| !input.flush()) {
            self.input = None;
        }
    }

    /// Standard input ends once the container has taken what is there.
    fn end_input(&mut self) {
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

    fn serve_client(&mut self, index: usize) {
        self.clients[index].flush();
        for (kind, body) in self.clients[index].receive() {
            if let Err(error) = self.request(index, kind, &body) {
                let told = serde_json::to_vec(&Told::of(&error)).unwrap_or_default();
                self.clients[index].push(Kind::Failed, &told);
            }
        }
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
                // From now on it may go without ending anything.
                self.clients[index].feeds = false;
                self.end_input();
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
            .and_then(|grace| now.checked_add(Duration::from_millis(grace)));
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
    fn kill_for_grace(&mut self) {
        let Some(stopping) = self.stopping.as_mut() else {
            return;
        };
        stopping.kill_at = None;
        let waited = stopping.since.elapsed();
        let signal = stopping.signal;
        // Who does not want to wait need not be told that it was not waited for.
        if signal != Signal::KILL.number() && waited >= Duration::from_millis(500) {
            let what = if self.live.record.init {
                "its init passed the signal on"
            } else {
                disposition(self.live.status.pid, signal)
            };
            let name = Signal::from_number(signal)
                .map_or_else(|| signal.to_string(), |signal| signal.to_string());
            self.live.status.stop_note = Some(format!(
                "{} did not end within {} s of {name} and was killed ({what})",
                self.live.record.name,
                waited.as_secs_f64().round(),
            ));
        }
        // It has ended this moment, which the next turn sees.
        drop(self.signal(Signal::KILL.number()));
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
        (Some(true), _) => "its PID 1 has a handler for it",
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
                vec![Output::of_terminal(copy()?)?],
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
