//! The flags of `ps` and `images`.

use super::{filter::Filter, value};

/// `ps`.
#[derive(Debug, clap::Args)]
pub(crate) struct PsFlags {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = Filter::parse)]
    pub(crate) filter: Vec<Filter>,
    /// Format output using a Go template: "table", "table TEMPLATE", "json" or TEMPLATE
    #[arg(long, value_name = "string")]
    pub(crate) format: Option<String>,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, value_name = "int", value_parser = value::integer)]
    pub(crate) last: Option<i64>,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Don't truncate output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    pub(crate) size: bool,
}

/// `images`.
#[derive(Debug, clap::Args)]
pub(crate) struct ImagesFlags {
    /// Show all images; hoist has no hidden intermediate ones
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Show digests
    #[arg(long)]
    pub(crate) digests: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = Filter::parse)]
    pub(crate) filter: Vec<Filter>,
    /// Format output using a Go template: "table", "table TEMPLATE", "json" or TEMPLATE
    #[arg(long, value_name = "string")]
    pub(crate) format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Show each image with its platforms, and what they take on the disk
    #[arg(long)]
    pub(crate) tree: bool,
}
