//! The flags of `run`, `create` and `exec`.

use std::{path::PathBuf, time::Duration};

use hoist_core::{mount::MountRequest, port::PortMapping};
use hoist_engine::request::NetworkMode;

use super::{registry::PullPolicy, value};

/// What `run` and `create` share: everything about the container itself.
#[derive(Debug, clap::Args)]
pub(crate) struct ContainerFlags {
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Automatically remove the container and its anonymous volumes when it exits
    #[arg(long)]
    pub(crate) rm: bool,
    /// Assign a name to the container
    #[arg(long, value_name = "string")]
    pub(crate) name: Option<String>,
    /// Write the container ID to the file, which must not exist
    #[arg(long, value_name = "file")]
    pub(crate) cidfile: Option<PathBuf>,
    /// Pull image before running ("always", "missing", "never") (default "missing")
    #[arg(long, value_name = "string", value_parser = value::pull)]
    pub(crate) pull: Option<PullPolicy>,
    /// Suppress the pull output
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string", value_parser = value::platform)]
    pub(crate) platform: Option<hoist_core::Platform>,
    #[command(flatten)]
    pub(crate) process: ProcessFlags,
    #[command(flatten)]
    pub(crate) storage: StorageFlags,
    #[command(flatten)]
    pub(crate) network: NetworkFlags,
    #[command(flatten)]
    pub(crate) resources: ResourceFlags,
    #[command(flatten)]
    pub(crate) health: HealthFlags,
}

/// The process: its environment, user, signals.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Process")]
pub(crate) struct ProcessFlags {
    /// Set environment variables; a name alone takes the value from here
    #[arg(short, long, value_name = "list", value_parser = value::env)]
    pub(crate) env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "file")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "string")]
    pub(crate) entrypoint: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "path", value_parser = value::workdir)]
    pub(crate) workdir: Option<String>,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string")]
    pub(crate) user: Option<String>,
    /// Run an init inside the container that forwards signals and reaps processes
    #[arg(long)]
    pub(crate) init: bool,
    /// Signal to stop the container
    #[arg(long, value_name = "signal", value_parser = value::signal_name)]
    pub(crate) stop_signal: Option<String>,
    /// Timeout (in seconds) to stop the container
    #[arg(long, value_name = "int", value_parser = value::integer)]
    pub(crate) stop_timeout: Option<i64>,
    /// Set meta data on the container
    #[arg(short, long, value_name = "list", value_parser = value::label)]
    pub(crate) label: Vec<String>,
    /// Read in a line delimited file of labels
    #[arg(long, value_name = "file")]
    pub(crate) label_file: Vec<PathBuf>,
}

/// The file system.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Storage")]
pub(crate) struct StorageFlags {
    /// Bind mount a host path or mount a volume ([source:]target[:options])
    #[arg(short, long, value_name = "list", value_parser = value::volume)]
    pub(crate) volume: Vec<MountRequest>,
    /// Attach a filesystem mount to the container (type=bind|volume|tmpfs,target=…)
    #[arg(long, value_name = "mount", value_parser = value::mount)]
    pub(crate) mount: Vec<MountRequest>,
    /// Mount a tmpfs directory (target[:options])
    #[arg(long, value_name = "list", value_parser = value::tmpfs)]
    pub(crate) tmpfs: Vec<MountRequest>,
    /// Mount the container's root filesystem as read only
    #[arg(long)]
    pub(crate) read_only: bool,
}

/// The network.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkFlags {
    /// Publish a container's port(s) to the host ([[ip:]host:]container[/protocol])
    #[arg(short, long, value_name = "list", value_parser = value::ports)]
    pub(crate) publish: Vec<value::Ports>,
    /// Connect the container to a network ("bridge", "none", "host")
    #[arg(long, alias = "net", value_name = "network", value_parser = value::network)]
    pub(crate) network: Option<NetworkMode>,
    /// Container host name
    #[arg(short = 'h', long, value_name = "string")]
    pub(crate) hostname: Option<String>,
}

/// Limits.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Resources")]
pub(crate) struct ResourceFlags {
    /// Memory limit
    #[arg(short, long, value_name = "bytes", value_parser = value::bytes)]
    pub(crate) memory: Option<u64>,
    /// Number of CPUs
    #[arg(long, value_name = "decimal", value_parser = value::cpus)]
    pub(crate) cpus: Option<u64>,
    /// Limit the number of processes and threads (-1 for unlimited)
    #[arg(long, value_name = "int", value_parser = value::integer)]
    pub(crate) pids_limit: Option<i64>,
}

/// The health check; each flag overrides the image's.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Health check")]
pub(crate) struct HealthFlags {
    /// Command to run to check health
    #[arg(long, value_name = "string")]
    pub(crate) health_cmd: Option<String>,
    /// Time between running the check (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = value::duration)]
    pub(crate) health_interval: Option<Duration>,
    /// Maximum time to allow one check to run (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = value::duration)]
    pub(crate) health_timeout: Option<Duration>,
    /// Consecutive failures needed to report unhealthy
    #[arg(long, value_name = "int", value_parser = value::integer)]
    pub(crate) health_retries: Option<i64>,
    /// Time for the container to initialize before failures count (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = value::duration)]
    pub(crate) health_start_period: Option<Duration>,
    /// Time between running the check during the start period (ms|s|m|h)
    #[arg(long, value_name = "duration", value_parser = value::duration)]
    pub(crate) health_start_interval: Option<Duration>,
    /// Disable any container-specified HEALTHCHECK
    #[arg(long)]
    pub(crate) no_healthcheck: bool,
}

/// `create`.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateFlags {
    #[command(flatten)]
    pub(crate) container: ContainerFlags,
}

/// `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunFlags {
    /// Run container in background and print container ID
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Proxy received signals to the process
    #[arg(long, value_name = "bool", num_args = 0..=1, require_equals = true,
        default_value = "true", default_missing_value = "true",
        value_parser = value::boolean, action = clap::ArgAction::Set)]
    pub(crate) sig_proxy: bool,
    #[command(flatten)]
    pub(crate) container: ContainerFlags,
}

/// `exec`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExecFlags {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Set environment variables; a name alone takes the value from here
    #[arg(short, long, value_name = "list", value_parser = value::env)]
    pub(crate) env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "file")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string")]
    pub(crate) user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "path", value_parser = value::workdir)]
    pub(crate) workdir: Option<String>,
}

/// Published ports of every `-p`, in order.
pub(crate) fn all_ports(flags: &[value::Ports]) -> Vec<PortMapping> {
    flags
        .iter()
        .flat_map(|ports| ports.0.iter().cloned())
        .collect()
}
