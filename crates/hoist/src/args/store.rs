//! The flags of `image diff`, `image layers`, `image mount`, `export`, `system check` and `system gc`.

use std::{path::PathBuf, time::Duration};

use super::value;

/// `image diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct ImageDiffFlags {
    /// Format output: "json"
    #[arg(long, value_name = "string", value_parser = ["json"])]
    pub(crate) format: Option<String>,
    /// Files that differ in their modification time alone differ, too
    #[arg(long)]
    pub(crate) mtime: bool,
}

/// `image layers`.
#[derive(Debug, clap::Args)]
pub(crate) struct LayersFlags {
    /// List the files of every layer
    #[arg(long)]
    pub(crate) files: bool,
    /// Format output: "json"
    #[arg(long, value_name = "string", value_parser = ["json"])]
    pub(crate) format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    pub(crate) no_trunc: bool,
}

/// `image unmount`.
#[derive(Debug, clap::Args)]
pub(crate) struct UnmountFlags {
    /// Unmount all images
    #[arg(short, long)]
    pub(crate) all: bool,
}

/// `export`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportFlags {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    pub(crate) output: Option<PathBuf>,
}

/// `system check`.
#[derive(Debug, clap::Args)]
pub(crate) struct SystemCheckFlags {
    /// Format output: "json"
    #[arg(long, value_name = "string", value_parser = ["json"])]
    pub(crate) format: Option<String>,
    /// Look at records, references and sizes only, and read no content
    #[arg(short, long)]
    pub(crate) quick: bool,
    /// Mend what can be mended from what is here, and set the rest aside
    #[arg(short, long)]
    pub(crate) repair: bool,
}

/// `system gc`.
#[derive(Debug, clap::Args)]
pub(crate) struct GcFlags {
    /// Nameless images that were not used for so long go
    #[arg(long, value_name = "duration", value_parser = value::age)]
    pub(crate) dangling_max_age: Option<Duration>,
    /// Say what would go and why the rest stays, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Format output: "json"
    #[arg(long, value_name = "string", value_parser = ["json"])]
    pub(crate) format: Option<String>,
    /// Keep images with a name that fits (e.g. "python:*")
    #[arg(long, value_name = "pattern")]
    pub(crate) keep: Vec<String>,
    /// Images with a name that were not used for so long go (e.g. "30d")
    #[arg(long, value_name = "duration", value_parser = value::age)]
    pub(crate) max_age: Option<Duration>,
    /// When all images are larger together, those go that were not used for the longest time
    #[arg(long, value_name = "bytes", value_parser = value::bytes)]
    pub(crate) max_size: Option<u64>,
}
