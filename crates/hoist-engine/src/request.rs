//! What a caller asks for when a container is made: the flags of `run` and `create`.

use std::{collections::BTreeMap, time::Duration};

use hoist_core::{env::EnvSetting, image::Healthcheck, mount::MountRequest, port::PortMapping};
use serde::{Deserialize, Serialize};

/// A container to make. Defaults are Docker's: everything comes from the image.
#[derive(Debug, Clone, Default)]
pub struct CreateRequest {
    /// Image reference, id or id prefix.
    pub image: String,
    /// Name; a random one when absent.
    pub name: Option<String>,
    /// Words after the image: replace the image's `CMD`.
    pub command: Vec<String>,
    /// Replaces the image's `ENTRYPOINT` and drops its `CMD`; an empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    /// Variables, already looked up; they win over the image's.
    pub env: Vec<EnvSetting>,
    /// Working directory.
    pub working_dir: Option<String>,
    /// `user[:group]`, by name or number.
    pub user: Option<String>,
    /// Host name; the short id when absent.
    pub hostname: Option<String>,
    /// Labels; win over the image's.
    pub labels: BTreeMap<String, String>,
    /// Give the process a terminal.
    pub tty: bool,
    /// Keep standard input open.
    pub stdin_open: bool,
    /// Published ports.
    pub ports: Vec<PortMapping>,
    /// Bind mounts, volumes, tmpfs.
    pub mounts: Vec<MountRequest>,
    /// Which network.
    pub network: NetworkMode,
    /// Limits.
    pub limits: Limits,
    /// Mount the root file system read-only.
    pub read_only: bool,
    /// Run hoist's own init as PID 1.
    pub init: bool,
    /// Signal that asks the container to stop; the image's, or SIGTERM, when absent.
    pub stop_signal: Option<String>,
    /// How long the container may take to stop before it is killed; 10 s when absent.
    pub stop_timeout: Option<Duration>,
    /// Remove the container when it has ended.
    pub auto_remove: bool,
    /// Replaces the image's health check.
    pub healthcheck: Option<Healthcheck>,
}

/// The network of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// The default bridge. Refused to ordinary users, except in build steps, which get the host's
    /// network instead.
    #[default]
    Bridge,
    /// A network namespace with nothing but loopback.
    None,
    /// The host's own network.
    Host,
}

impl NetworkMode {
    /// The word of `--network`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::None => "none",
            Self::Host => "host",
        }
    }
}

/// Resource limits; zero and `None` are none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory (`--memory`), at least 6 MiB.
    pub memory: Option<u64>,
    /// Billionths of a processor (`--cpus`).
    pub nano_cpus: Option<u64>,
    /// Processes and threads (`--pids-limit`); -1 is none.
    pub pids: Option<i64>,
}
