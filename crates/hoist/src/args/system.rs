//! The flags of `system df`, the `prune` commands, `info` and `version`.

use super::filter::Filter;

/// `system df`.
#[derive(Debug, clap::Args)]
pub(crate) struct DfFlags {
    /// Format output using a Go template: "table", "table TEMPLATE", "json" or TEMPLATE
    #[arg(long, value_name = "string")]
    pub(crate) format: Option<String>,
    /// Show detailed information on space usage
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// `system prune`.
#[derive(Debug, clap::Args)]
pub(crate) struct PruneFlags {
    /// Remove all unused images not just dangling ones
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Provide filter values (e.g. "label=<key>=<value>", "until=<timestamp>")
    #[arg(long, value_name = "filter", value_parser = Filter::parse)]
    pub(crate) filter: Vec<Filter>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Prune anonymous volumes
    #[arg(long)]
    pub(crate) volumes: bool,
    /// Say what would go and why the rest stays, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `info` and `version`.
#[derive(Debug, clap::Args)]
pub(crate) struct FormatFlags {
    /// Format output using a Go template, or "json"
    #[arg(short, long, value_name = "string")]
    pub(crate) format: Option<String>,
}

/// `image prune`.
#[derive(Debug, clap::Args)]
pub(crate) struct ImagePruneFlags {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Provide filter values (e.g. "label=<key>=<value>", "until=<timestamp>")
    #[arg(long, value_name = "filter", value_parser = Filter::parse)]
    pub(crate) filter: Vec<Filter>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Say what would go and why the rest stays, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `container prune`.
#[derive(Debug, clap::Args)]
pub(crate) struct ContainerPruneFlags {
    /// Provide filter values (e.g. "label=<key>=<value>", "until=<timestamp>")
    #[arg(long, value_name = "filter", value_parser = Filter::parse)]
    pub(crate) filter: Vec<Filter>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Say what would go and why the rest stays, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
