//! The flags of `build`.

pub(crate) mod annotation;
pub(crate) mod cache;
pub(crate) mod inputs;
pub(crate) mod output;
pub(crate) mod report;
pub(crate) mod repro;
pub(crate) mod surroundings;
pub(crate) mod trust;

use std::path::PathBuf;

use hoist_core::Reference;
use hoist_engine::request::NetworkMode;

use super::{check::CallFlags, value};

/// `build`.
#[derive(Debug, clap::Args)]
pub(crate) struct BuildFlags {
    /// Name and optionally a tag (format: "name:tag")
    #[arg(short, long, value_name = "name", value_parser = value::tag)]
    pub(crate) tag: Vec<Reference>,
    /// Name of the Dockerfile (default: "PATH/Dockerfile"; "-" reads it from STDIN)
    #[arg(short, long, value_name = "file")]
    pub(crate) file: Option<PathBuf>,
    /// Set build-time variables; a name alone takes the value from here
    #[arg(long, value_name = "list", value_parser = value::env)]
    pub(crate) build_arg: Vec<String>,
    /// Set the target build stage to build
    #[arg(long, value_name = "stage")]
    pub(crate) target: Option<String>,
    /// Set metadata for the image
    #[arg(long, value_name = "list", value_parser = value::label)]
    pub(crate) label: Vec<String>,
    /// Do not use the cache when building the image
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Network of RUN instructions ("default", "none", "host")
    #[arg(long, value_name = "network", value_parser = value::build_network)]
    pub(crate) network: Option<NetworkMode>,
    /// Set target platform for build (os/arch[/variant])
    #[arg(long, value_name = "platform", value_parser = value::platform)]
    pub(crate) platform: Option<hoist_core::Platform>,
    /// Always attempt to pull all referenced images
    #[arg(long)]
    pub(crate) pull: bool,
    #[command(flatten)]
    pub(crate) method: CallFlags,
    #[command(flatten)]
    pub(crate) inputs: inputs::InputFlags,
    #[command(flatten)]
    pub(crate) cache: cache::CacheFlags,
    #[command(flatten)]
    pub(crate) report: report::ReportFlags,
    #[command(flatten)]
    pub(crate) repro: repro::ReproFlags,
    #[command(flatten)]
    pub(crate) output: output::OutputFlags,
    #[command(flatten)]
    pub(crate) surroundings: surroundings::SurroundingsFlags,
    #[command(flatten)]
    pub(crate) trust: trust::TrustFlags,
    /// Write the image ID to the file
    #[arg(long, value_name = "file")]
    pub(crate) iidfile: Option<PathBuf>,
    /// Write what the build made to the file, as JSON
    #[arg(long, value_name = "file")]
    pub(crate) metadata_file: Option<PathBuf>,
    /// Set type of progress output ("auto", "tty", "plain", "quiet",
    /// "rawjson")
    #[arg(long, value_name = "string", value_parser = value::progress)]
    pub(crate) progress: Option<crate::ui::progress::Style>,
    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    pub(crate) quiet: bool,
}
