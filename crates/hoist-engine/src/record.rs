//! The record of a container: what was asked for, written once when it is made.

use std::time::Duration;

use hoist_core::{
    ContainerId, Digest, image::Config, mount::MountRequest, port::PortMapping, time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::request::{Limits, NetworkMode};

/// `record.json`: everything that is fixed when a container is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The container's id.
    pub id: ContainerId,
    /// Its name, without a slash.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// The image's id.
    pub image: Digest,
    /// The image as the user named it.
    pub image_name: String,
    /// Diff ids of the image's layers, lowest first.
    pub layers: Vec<Digest>,
    /// The image's configuration with the request's changes applied.
    pub config: Config,
    /// Host name inside.
    pub hostname: String,
    /// The process has a terminal.
    pub tty: bool,
    /// Standard input is kept open.
    pub stdin_open: bool,
    /// Published ports as asked for.
    pub ports: Vec<PortMapping>,
    /// Mounts, volumes already resolved to names.
    pub mounts: Vec<MountPoint>,
    /// The network.
    pub network: NetworkMode,
    /// Limits.
    pub limits: Limits,
    /// Read-only root file system.
    pub read_only: bool,
    /// hoist's own init is PID 1.
    pub init: bool,
    /// Grace period of `stop`.
    pub stop_timeout: Duration,
    /// Remove the container when it has ended.
    pub auto_remove: bool,
}

impl Record {
    /// Program and arguments: entry point, then command.
    #[must_use]
    pub fn args(&self) -> Vec<String> {
        let entrypoint = self.config.entrypoint.iter().flatten();
        entrypoint
            .chain(self.config.cmd.iter().flatten())
            .cloned()
            .collect()
    }
}

/// A mount of a container, with what stands behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// What was asked for; a volume always has its name here.
    pub request: MountRequest,
    /// The volume was made for this container alone and goes with it (`rm -v`, `--rm`).
    pub anonymous: bool,
}
