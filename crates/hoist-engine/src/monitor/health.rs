//! Health probes: processes beside the container's own, as `hoist_core::health` says when.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use hoist_core::{
    error::chain,
    health::{EXIT_CODE_NONE, HealthState, OUTPUT_LENGTH, ProbeResult, command},
    image::Healthcheck,
    signal::Signal,
    time::Timestamp,
};
use hoist_runtime::Stdio;
use hoist_sys::process::{send_signal, try_wait};
use rustix::{
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};

use crate::{
    container::{Container, ExecRequest},
    error::EngineError,
    record::Record,
    root::Engine,
    status::{Health, Probe, Status},
    system::clock,
};

/// Probes one container.
pub(super) struct Prober {
    command: Vec<String>,
    state: HealthState,
    started: Instant,
    running: Option<Running>,
    /// Probes that were killed and have yet to die: one may be stuck in the kernel.
    dying: Vec<hoist_runtime::Container>,
    /// The probes that are known, with the times of the clock.
    log: VecDeque<Probe>,
}

/// A probe that has not ended.
struct Running {
    process: hoist_runtime::Container,
    /// `None` once the probe has closed it.
    output: Option<OwnedFd>,
    text: Vec<u8>,
    started: Duration,
    limit: Duration,
}

/// The health check of a container and the command of its probes, when it has one.
pub(super) fn probe(record: &Record) -> Option<(&Healthcheck, Vec<String>)> {
    let check = record.config.healthcheck.as_ref()?;
    Some((check, command(check, record.config.shell.as_deref())?))
}

impl Prober {
    /// `None` when the container has no health check.
    pub(super) fn new(record: &Record) -> Option<Self> {
        let (check, command) = probe(record)?;
        Some(Self {
            command,
            state: HealthState::new(check),
            started: Instant::now(),
            running: None,
            dying: Vec::new(),
            log: VecDeque::new(),
        })
    }

    /// The health now.
    fn health(&self) -> Health {
        Health {
            status: self.state.status(),
            failing_streak: self.state.failing_streak(),
            log: self.log.iter().cloned().collect(),
        }
    }

    /// Take in a probe that has ended at this moment. Its times are the clock's, which goes on
    /// while the machine sleeps; the schedule's time does not.
    fn record(&mut self, result: ProbeResult) {
        let end = clock();
        let took = result.ended.saturating_sub(result.started);
        let start = end.checked_sub(took).unwrap_or(end);
        self.state.record(result);
        let kept = self.state.log().len();
        if let Some(last) = self.state.log().last() {
            self.log.push_back(Probe {
                start: Timestamp::from(start),
                end: Timestamp::from(end),
                exit_code: last.exit_code,
                output: last.output.clone(),
            });
        }
        while self.log.len() > kept {
            self.log.pop_front();
        }
    }

    /// Descriptors that become ready when a probe writes or ends.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let running = self.running.iter();
        running
            .flat_map(|running| {
                let output = running.output.as_ref().map(AsFd::as_fd);
                output.into_iter().chain([running.process.pidfd.as_fd()])
            })
            .chain(self.dying.iter().map(|process| process.pidfd.as_fd()))
    }

    /// When to turn at the latest.
    pub(super) fn deadline(&self) -> Instant {
        let after = match &self.running {
            Some(running) => running.started + running.limit,
            None => self.state.next_probe(self.started.elapsed()),
        };
        self.started + after
    }

    /// End a probe that has ended or takes too long, start one that is due. True when the health
    /// in `status` has changed.
    pub(super) fn turn(&mut self, engine: &Engine, record: &Record, status: &mut Status) -> bool {
        self.dying
            .retain(|process| matches!(try_wait(process.pidfd.as_fd()), Ok(None)));
        let now = self.started.elapsed();
        let ended = match &mut self.running {
            Some(running) => running.result(now),
            None if self.state.next_probe(now) <= now => self.start(engine, record, status, now),
            None => None,
        };
        let Some(result) = ended else { return false };
        if let Some(running) = self.running.take() {
            self.dying.push(running.process);
        }
        self.record(result);
        status.health = Some(self.health());
        true
    }

    /// Start a probe; one that cannot be started has failed at once.
    fn start(
        &mut self,
        engine: &Engine,
        record: &Record,
        status: &Status,
        now: Duration,
    ) -> Option<ProbeResult> {
        match launch(engine, record, status, &self.command) {
            Ok((process, output)) => {
                let limit = self.state.timeout(now);
                self.running = Some(Running {
                    process,
                    output: Some(output),
                    text: Vec::new(),
                    started: now,
                    limit,
                });
                None
            }
            Err(error) => Some(ProbeResult {
                started: now,
                ended: self.started.elapsed(),
                exit_code: EXIT_CODE_NONE,
                output: chain(&error),
            }),
        }
    }
}

impl Running {
    /// How the probe ended, if it has or must. The caller reaps one that was killed.
    fn result(&mut self, now: Duration) -> Option<ProbeResult> {
        self.read();
        let waited = now.saturating_sub(self.started);
        let exit = try_wait(self.process.pidfd.as_fd());
        let (exit_code, output) = match exit {
            Ok(Some(exit)) => {
                self.read();
                (
                    i32::from(exit.exit_code()),
                    String::from_utf8_lossy(&self.text).into_owned(),
                )
            }
            Ok(None) if waited < self.limit => return None,
            Ok(None) => {
                self.kill();
                let limit = hoist_core::duration::format(self.limit);
                (
                    EXIT_CODE_NONE,
                    format!("Health check exceeded timeout ({limit})"),
                )
            }
            Err(error) => (EXIT_CODE_NONE, error.to_string()),
        };
        Some(ProbeResult {
            started: self.started,
            ended: now,
            exit_code,
            output,
        })
    }

    fn kill(&self) {
        // It may have ended by itself this moment, which is as good.
        drop(send_signal(
            self.process.pidfd.as_fd(),
            Signal::KILL.number(),
        ));
    }

    /// Take what the probe wrote; more than is kept is thrown away, so that it never blocks. A
    /// probe that writes without end gets its share of every turn, and no more.
    fn read(&mut self) {
        let mut buffer = [0; 4096];
        for _ in 0..READS_PER_TURN {
            let Some(output) = &self.output else { return };
            match rustix::io::read(output, &mut buffer) {
                Ok(count @ 1..) => {
                    let room = (OUTPUT_LENGTH + 1).saturating_sub(self.text.len());
                    self.text.extend_from_slice(&buffer[..count.min(room)]);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // Closed; it would be ready for ever.
                Ok(_) | Err(_) => self.output = None,
            }
        }
    }
}

/// So much of a pipe's content as a probe can have written between two turns.
const READS_PER_TURN: usize = 16;

fn launch(
    engine: &Engine,
    record: &Record,
    status: &Status,
    command: &[String],
) -> Result<(hoist_runtime::Container, OwnedFd), EngineError> {
    let container = Container {
        record: record.clone(),
        status: status.clone(),
    };
    let request = ExecRequest {
        command: command.to_vec(),
        ..ExecRequest::default()
    };
    let process = engine.exec_process(&container, &request)?;
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(EngineError::system("pipe"))?;
    rustix::io::ioctl_fionbio(&ours, true).map_err(EngineError::system("ioctl"))?;
    let null = std::fs::File::open("/dev/null").map_err(EngineError::file("open", "/dev/null"))?;
    let stderr = theirs.try_clone().map_err(EngineError::system("dup"))?;
    let stdio = Stdio::Fds {
        stdin: null.into(),
        stdout: theirs,
        stderr,
    };
    Ok((engine.enter(&container, &process, stdio, true)?, ours))
}
