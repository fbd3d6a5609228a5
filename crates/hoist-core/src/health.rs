//! When to probe a container's health, and what the answers mean.
//!
//! A pure state machine: the caller brings the time, as the duration since the container started,
//! runs the probes and reports them.
//!
//! # The rule
//!
//! There are two kinds of probes.
//!
//! * **Regular** probes are those that Docker would make for a container that never becomes ready.
//!   The first is due when the start period ends, or after one interval when there is no start
//!   period; each further one is due one interval after the end of the one before. Only they count:
//!   the failure of `retries` of them in a row makes the container `unhealthy`, at the time at which
//!   Docker would say so.
//! * **Eager** probes fill the time between regular ones as long as the container is `starting`.
//!   They come one `start_interval` after another, or without one every [`EAGER_GAP`] (every
//!   duration of the last probe, if that was longer, up to [`EAGER_GAP_LONGEST`]: probing never
//!   takes more than half of a slow machine). Their failures never count. A service that is ready
//!   after one second is healthy after about one second, whatever the interval.
//!
//! An eager probe never delays a regular one: [`HealthState::timeout`] cuts it off when the regular
//! one is due, and one that would probably not end by then is not started.
//!
//! The first success of any probe makes the container `healthy` and ends the eager phase for good.
//! From then on all probes are regular; one success sets the count of failures back, and makes an
//! `unhealthy` container `healthy` again.

use std::{collections::VecDeque, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::image::Healthcheck;

/// Between two probes, when the check does not say.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
/// The longest a probe may take, when the check does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Failures in a row that make a container unhealthy, when the check does not say.
pub const DEFAULT_RETRIES: u32 = 3;
/// Between two eager probes, when the check does not say.
pub const EAGER_GAP: Duration = Duration::from_millis(100);
/// The most that a slow probe lengthens [`EAGER_GAP`] to.
pub const EAGER_GAP_LONGEST: Duration = Duration::from_secs(1);
/// How many probes the log remembers.
pub const LOG_LENGTH: usize = 5;
/// How many bytes of a probe's output the log remembers.
pub const OUTPUT_LENGTH: usize = 4096;

/// The exit code that the log has for a probe that did not end in time or could not be started.
pub const EXIT_CODE_NONE: i32 = -1;

/// What is known about a container's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No probe has succeeded yet, and not enough have failed.
    Starting,
    /// The last probes say that the container works.
    Healthy,
    /// As many probes in a row as the check allows have failed.
    Unhealthy,
}

impl fmt::Display for HealthStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        })
    }
}

/// One probe that has ended. Times are durations since the container started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// When it was started.
    pub started: Duration,
    /// When it ended, or was cut off.
    pub ended: Duration,
    /// Its exit code, 0 for success; [`EXIT_CODE_NONE`] if it has none.
    pub exit_code: i32,
    /// What it wrote; [`HealthState::record`] keeps the first [`OUTPUT_LENGTH`] bytes.
    pub output: String,
}

impl ProbeResult {
    const fn succeeded(&self) -> bool {
        self.exit_code == 0
    }
}

/// The health of one running container; see the module for the rule.
#[derive(Debug, Clone)]
pub struct HealthState {
    interval: Duration,
    timeout: Duration,
    start_interval: Option<Duration>,
    retries: u32,
    status: HealthStatus,
    failing_streak: u32,
    log: VecDeque<ProbeResult>,
    /// When the next probe that counts is due.
    next_regular: Duration,
}

impl HealthState {
    /// The state of a container that starts now.
    #[must_use]
    pub fn new(check: &Healthcheck) -> Self {
        let given = |duration: Duration| (!duration.is_zero()).then_some(duration);
        let interval = given(check.interval).unwrap_or(DEFAULT_INTERVAL);
        Self {
            interval,
            timeout: given(check.timeout).unwrap_or(DEFAULT_TIMEOUT),
            start_interval: given(check.start_interval),
            retries: match check.retries {
                0 => DEFAULT_RETRIES,
                retries => retries,
            },
            status: HealthStatus::Starting,
            failing_streak: 0,
            log: VecDeque::with_capacity(LOG_LENGTH),
            next_regular: given(check.start_period).unwrap_or(interval),
        }
    }

    /// When the next probe is to start, as the duration since the container started; it may lie
    /// before `now` and then is due at once.
    #[must_use]
    pub fn next_probe(&self, now: Duration) -> Duration {
        if self.status != HealthStatus::Starting {
            return self.next_regular;
        }
        let last = self.log.back();
        let took = last.map_or(Duration::ZERO, |last| {
            last.ended.saturating_sub(last.started)
        });
        let gap = self
            .start_interval
            .unwrap_or_else(|| took.clamp(EAGER_GAP, EAGER_GAP_LONGEST));
        let eager = last
            .map_or(Duration::ZERO, |last| last.ended)
            .saturating_add(gap);
        // A late caller, or a container that was paused: an eager probe would start now.
        if eager.max(now).saturating_add(took) < self.next_regular {
            eager
        } else {
            self.next_regular
        }
    }

    /// How long a probe that starts at `started` may take before the caller cuts it off and
    /// records it as a failure.
    #[must_use]
    pub fn timeout(&self, started: Duration) -> Duration {
        match self.counts(started) {
            true => self.timeout,
            false => self.timeout.min(self.next_regular - started),
        }
    }

    /// Take in a probe that has ended. Returns the new status when it is another one than before.
    pub fn record(&mut self, mut result: ProbeResult) -> Option<HealthStatus> {
        let before = self.status;
        let counts = self.counts(result.started);
        if result.succeeded() {
            self.failing_streak = 0;
            self.status = HealthStatus::Healthy;
        } else if counts {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= self.retries {
                self.status = HealthStatus::Unhealthy;
            }
        }
        if counts || result.succeeded() {
            self.next_regular = result.ended.saturating_add(self.interval);
        }
        shorten(&mut result.output);
        if self.log.len() == LOG_LENGTH {
            self.log.pop_front();
        }
        self.log.push_back(result);
        (self.status != before).then_some(self.status)
    }

    /// Whether a probe that starts at `started` is a regular one.
    fn counts(&self, started: Duration) -> bool {
        self.status != HealthStatus::Starting || started >= self.next_regular
    }

    /// What is known now.
    #[must_use]
    pub const fn status(&self) -> HealthStatus {
        self.status
    }

    /// How many regular probes in a row have failed.
    #[must_use]
    pub const fn failing_streak(&self) -> u32 {
        self.failing_streak
    }

    /// The last [`LOG_LENGTH`] probes, oldest first, eager ones included.
    pub fn log(&self) -> impl ExactSizeIterator<Item = &ProbeResult> {
        self.log.iter()
    }
}

/// Cut `output` to [`OUTPUT_LENGTH`] bytes, an ellipsis included.
fn shorten(output: &mut String) {
    const ELLIPSIS: &str = "...";
    if output.len() > OUTPUT_LENGTH {
        output.truncate(output.floor_char_boundary(OUTPUT_LENGTH - ELLIPSIS.len()));
        output.push_str(ELLIPSIS);
    }
}

/// The command of `check`, with `shell` (`/bin/sh -c` when `None`) before it in shell form;
/// `None` when there is nothing to probe (`NONE`, or no test).
#[must_use]
pub fn command(check: &Healthcheck, shell: Option<&[String]>) -> Option<Vec<String>> {
    let (form, words) = check.test.split_first()?;
    match (form.as_str(), words) {
        ("CMD", [_, ..]) => Some(words.to_vec()),
        ("CMD-SHELL", [_, ..]) => {
            let mut command = match shell {
                Some(shell) if !shell.is_empty() => shell.to_vec(),
                _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
            };
            command.extend_from_slice(words);
            Some(command)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
