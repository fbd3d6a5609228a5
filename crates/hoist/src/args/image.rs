//! The flags of `rmi`, `history`, `import`, `save` and `load`.

use super::value;

/// `rmi`.
#[derive(Debug, clap::Args)]
pub(crate) struct RmiFlags {
    /// Force removal of the image
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// `history`.
#[derive(Debug, clap::Args)]
pub(crate) struct HistoryFlags {
    /// Format output using a Go template: "table", "table TEMPLATE", "json" or TEMPLATE
    #[arg(long, value_name = "string")]
    pub(crate) format: Option<String>,
    /// Print sizes and dates in human readable format (default true)
    #[arg(short = 'H', long, num_args = 0..=1, require_equals = true,
        default_value = "true", default_missing_value = "true",
        value_parser = value::boolean, action = clap::ArgAction::Set)]
    pub(crate) human: bool,
    /// Don't truncate output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Show the history of the image of this platform (os/arch[/variant])
    #[arg(long, value_name = "string", value_parser = value::platform)]
    pub(crate) platform: Option<hoist_core::Platform>,
    /// Only show image IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `import`.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportFlags {
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    pub(crate) change: Vec<String>,
    /// Set commit message for imported image
    #[arg(short, long, value_name = "string")]
    pub(crate) message: Option<String>,
    /// Set platform of the imported image (os/arch[/variant])
    #[arg(long, value_name = "string", value_parser = value::platform)]
    pub(crate) platform: Option<hoist_core::Platform>,
}

/// `save`.
#[derive(Debug, clap::Args)]
pub(crate) struct SaveFlags {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    pub(crate) output: Option<std::path::PathBuf>,
    /// Save only images of this platform (os/arch[/variant])
    #[arg(long, value_name = "string", value_parser = value::platform)]
    pub(crate) platform: Option<hoist_core::Platform>,
}

/// `load`.
#[derive(Debug, clap::Args)]
pub(crate) struct LoadFlags {
    /// Read from tar archive file, instead of STDIN
    #[arg(short, long, value_name = "string")]
    pub(crate) input: Option<std::path::PathBuf>,
    /// Load the images of this platform (os/arch[/variant])
    #[arg(long, value_name = "string", value_parser = value::platform)]
    pub(crate) platform: Option<hoist_core::Platform>,
    /// Suppress the load output
    #[arg(short, long)]
    pub(crate) quiet: bool,
}
