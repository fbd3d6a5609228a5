//! The flags of `start`, `stop`, `kill`, `restart`, `rm`, `logs` and `inspect`.

use hoist_core::signal::Signal;

use super::value;

/// `start`.
#[derive(Debug, clap::Args)]
pub(crate) struct StartFlags {
    /// Attach STDOUT/STDERR and forward signals
    #[arg(short, long)]
    pub(crate) attach: bool,
    /// Attach container's STDIN
    #[arg(short, long)]
    pub(crate) interactive: bool,
}

/// `stop` and `restart`.
#[derive(Debug, clap::Args)]
pub(crate) struct StopFlags {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string", value_parser = value::signal)]
    pub(crate) signal: Option<Signal>,
    /// Seconds to wait before killing the container (-1 waits for ever)
    #[arg(short, long, alias = "time", value_name = "int", value_parser = value::integer)]
    pub(crate) timeout: Option<i64>,
}

/// `kill`.
#[derive(Debug, clap::Args)]
pub(crate) struct KillFlags {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string", value_parser = value::signal)]
    pub(crate) signal: Option<Signal>,
}

/// `rm`.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveFlags {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short, long)]
    pub(crate) volumes: bool,
}

/// `logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogsFlags {
    /// Follow log output
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m")
    #[arg(long, value_name = "string")]
    pub(crate) since: Option<String>,
    /// Show logs before a timestamp or relative time
    #[arg(long, value_name = "string")]
    pub(crate) until: Option<String>,
    /// Number of lines to show from the end of the logs
    #[arg(short = 'n', long, value_name = "string")]
    pub(crate) tail: Option<String>,
    /// Show timestamps
    #[arg(short, long)]
    pub(crate) timestamps: bool,
}

/// `inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct InspectFlags {
    /// Format output using a Go template, or "json"
    #[arg(short, long, value_name = "string")]
    pub(crate) format: Option<String>,
    /// Display total file sizes if the type is container
    #[arg(short, long)]
    pub(crate) size: bool,
    /// Only inspect objects of the given type ("container", "image")
    #[arg(long = "type", value_name = "string")]
    pub(crate) kind: Option<String>,
}

/// `image inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct InspectImageFlags {
    /// Format output using a Go template, or "json"
    #[arg(short, long, value_name = "string")]
    pub(crate) format: Option<String>,
    /// Inspect the image of this platform (os/arch[/variant])
    #[arg(long, value_name = "string", value_parser = super::value::platform)]
    pub(crate) platform: Option<hoist_core::Platform>,
}

/// `container inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct InspectOneFlags {
    /// Format output using a Go template, or "json"
    #[arg(short, long, value_name = "string")]
    pub(crate) format: Option<String>,
}
