//! The flags of `pull`, `push`, `login`, `logout` and `search`.

use hoist_core::Platform;

use super::{filter::Filter, value};

/// `--pull` of `run`, `create` and `build`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum PullPolicy {
    /// When the image is not here.
    #[default]
    Missing,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What scripts say of Docker's signatures, which there are none of: accepted.
#[derive(Debug, clap::Args)]
struct ContentTrust {
    /// Skip image signing and verification (default true)
    #[arg(
        id = "disable-content-trust",
        long = "disable-content-trust",
        hide = true
    )]
    _disabled: bool,
}

/// `pull`.
#[derive(Debug, clap::Args)]
pub(crate) struct PullFlags {
    /// Download all tagged images in the repository
    #[arg(short, long)]
    pub(crate) all_tags: bool,
    #[command(flatten)]
    _content_trust: ContentTrust,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string", value_parser = value::platform)]
    pub(crate) platform: Option<Platform>,
    /// Suppress verbose output
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `push`.
#[derive(Debug, clap::Args)]
pub(crate) struct PushFlags {
    /// Push all tags of an image to the repository
    #[arg(short, long)]
    pub(crate) all_tags: bool,
    /// Push although layers that were built here hold private keys or settings (.env)
    #[arg(long)]
    pub(crate) allow_secrets: bool,
    /// Compress the layers so ("gzip", "zstd", each with ":LEVEL"), whatever form they have
    #[arg(long, value_name = "string")]
    pub(crate) compression: Option<String>,
    #[command(flatten)]
    _content_trust: ContentTrust,
    /// How much time to spend on it (gzip: 1-9, zstd: 1-19)
    #[arg(long, value_name = "int", requires = "compression")]
    pub(crate) compression_level: Option<u32>,
    /// Push only if the image is for this platform (os/arch[/variant])
    #[arg(long, value_name = "string", value_parser = value::platform)]
    pub(crate) platform: Option<Platform>,
    /// Suppress verbose output
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `login`.
#[derive(Debug, clap::Args)]
pub(crate) struct LoginFlags {
    /// Password or personal access token (PAT)
    #[arg(short, long, value_name = "string")]
    pub(crate) password: Option<String>,
    /// Take the password or personal access token (PAT) from stdin
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Username
    #[arg(short, long, value_name = "string")]
    pub(crate) username: Option<String>,
}

/// `search`.
#[derive(Debug, clap::Args)]
pub(crate) struct SearchFlags {
    /// Filter output based on conditions provided ("stars=N", "is-official=true")
    #[arg(short, long, value_name = "filter", value_parser = Filter::parse)]
    pub(crate) filter: Vec<Filter>,
    /// Format output using a Go template: "table", "table TEMPLATE", "json" or TEMPLATE
    #[arg(long, value_name = "string")]
    pub(crate) format: Option<String>,
    /// Max number of search results
    #[arg(long, value_name = "int", default_value = "25", value_parser = value::integer)]
    pub(crate) limit: i64,
    /// Don't truncate output
    #[arg(long)]
    pub(crate) no_trunc: bool,
}
