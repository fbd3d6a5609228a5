//! The status of a container: what its monitor says of it.
//!
//! While the monitor lives it alone writes `status.json` below `$HOIST_RUN`, and holds the lock
//! beside it; a status without a holder of the lock is the word of a dead monitor. The last status
//! is kept beside the record, where it survives a reboot.

use std::time::Duration;

use hoist_core::{health::HealthStatus, time::Timestamp};
use hoist_network::Endpoint;
use serde::{Deserialize, Serialize};

/// Where a container is in its life (Docker's words).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Made, never started.
    #[default]
    Created,
    /// Its process runs.
    Running,
    /// Its process has ended.
    Exited,
}

impl State {
    /// Docker's word for the state.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Exited => "exited",
        }
    }
}

/// `status.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Where the container is in its life.
    pub state: State,
    /// Process id of PID 1 as the host sees it; 0 when not running.
    pub pid: i32,
    /// Process id of the monitor; 0 when not running.
    pub monitor: i32,
    /// When it was last started.
    pub started: Option<Timestamp>,
    /// When it last ended.
    pub finished: Option<Timestamp>,
    /// Exit code of the last run: the process's own, or 128 and the signal's number.
    pub exit_code: i32,
    /// A process of the container was killed for memory.
    pub oom_killed: bool,
    /// The most memory that the container used, in bytes, where the kernel tells.
    pub memory_peak: Option<u64>,
    /// Why the container could not be started, or ended unexpectedly.
    pub error: Option<String>,
    /// Health, when there is a health check.
    pub health: Option<Health>,
    /// The container's place on its network.
    pub endpoint: Option<Endpoint>,
    /// What is to be known about the last stop: a signal that was ignored.
    pub stop_note: Option<String>,
    /// How many times the container was started again by its restart policy.
    pub restarts: u32,
    /// Which boot of the machine this is about (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
}

/// Health of a running container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Health {
    /// What the probes say.
    pub status: HealthStatus,
    /// How many probes in a row have failed.
    pub failing_streak: u32,
    /// The last probes, oldest first.
    pub log: Vec<Probe>,
}

/// One probe that has ended, in Docker's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Probe {
    /// When it was started.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Its exit code, -1 when it has none.
    pub exit_code: i32,
    /// What it wrote.
    pub output: String,
}

impl Health {
    /// The health of a container that has not been probed yet.
    #[must_use]
    pub const fn starting() -> Self {
        Self {
            status: HealthStatus::Starting,
            failing_streak: 0,
            log: Vec::new(),
        }
    }

    /// The last line that the last failed probe wrote, when the container is not healthy.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        let failed = self.log.last().filter(|probe| probe.exit_code != 0)?;
        failed
            .output
            .lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty())
    }
}

impl Status {
    /// The terminal's line about a kill for memory: limit and peak.
    #[must_use]
    pub fn oom_line(&self, limit: Option<u64>) -> Option<String> {
        use hoist_core::units::human_bytes_binary as bytes;
        self.oom_killed.then(|| match (limit, self.memory_peak) {
            (Some(limit), Some(peak)) => {
                format!(
                    "killed: out of memory (limit {}, peak {})",
                    bytes(limit),
                    bytes(peak)
                )
            }
            (Some(limit), None) => format!("killed: out of memory (limit {})", bytes(limit)),
            (None, _) => "killed: out of memory (the host ran out of it)".to_owned(),
        })
    }

    /// How long the last or present run took until `now`.
    #[must_use]
    pub fn uptime(&self, now: Timestamp) -> Option<Duration> {
        self.started.map(|started| now.since(started))
    }
}
