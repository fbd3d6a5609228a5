//! The flags of `builder prune` and `builder du`.

use super::{filter::Filter, value};

/// `builder prune`.
#[derive(Debug, clap::Args)]
pub(crate) struct PruneFlags {
    /// Remove all build cache: what images have, too, and cache mounts
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Provide filter values (e.g. "until=24h")
    #[arg(long, value_name = "filter", value_parser = Filter::parse)]
    pub(crate) filter: Vec<Filter>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Amount of cache to keep, that was used last
    #[arg(long, value_name = "bytes", value_parser = value::bytes, alias = "max-used-space")]
    pub(crate) keep_storage: Option<u64>,
}

/// `builder du`.
#[derive(Debug, clap::Args)]
pub(crate) struct DuFlags {
    /// Format output using a Go template: "table", "table TEMPLATE", "json" or TEMPLATE
    #[arg(long, value_name = "string")]
    pub(crate) format: Option<String>,
}
