//! The flags of `manifest`.

/// `manifest annotate`.
#[derive(Debug, clap::Args)]
pub(crate) struct AnnotateFlags {
    /// Set architecture
    #[arg(
        long,
        value_name = "string",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) arch: String,
    /// Set operating system
    #[arg(
        long,
        value_name = "string",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) os: String,
    /// Set operating system feature
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    pub(crate) os_features: Vec<String>,
    /// Set operating system version
    #[arg(
        long,
        value_name = "string",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) os_version: String,
    /// Set architecture variant
    #[arg(
        long,
        value_name = "string",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) variant: String,
}

/// `manifest create`.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateListFlags {
    /// Amend an existing manifest list
    #[arg(short, long)]
    pub(crate) amend: bool,
    /// Allow communication with an insecure registry
    #[arg(long)]
    pub(crate) insecure: bool,
}

/// `manifest inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct InspectManifestFlags {
    /// Allow communication with an insecure registry
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Also print the platform, the digest and the media type of each manifest
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// `manifest push`.
#[derive(Debug, clap::Args)]
pub(crate) struct PushListFlags {
    /// Push although layers that were built here hold private keys or settings (.env)
    #[arg(long)]
    pub(crate) allow_secrets: bool,
    /// Allow push to an insecure registry
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Remove the local manifest list after push
    #[arg(short, long)]
    pub(crate) purge: bool,
}
