//! Builds that give the same image again.

use hoist_build::Timestamps;

use super::output::OutputFlags;

/// The flags about reproducible builds.
#[derive(Debug, clap::Args)]
pub(crate) struct ReproFlags {
    /// Make the image independent of when and where it is built
    #[arg(long)]
    pub(crate) reproducible: bool,
    /// Build a second time without cache, and say what differs
    #[arg(long)]
    pub(crate) verify: bool,
}

impl ReproFlags {
    /// What becomes of times, also by what `output` asks for.
    pub(crate) fn timestamps(&self, output: &OutputFlags) -> Timestamps {
        if self.reproducible {
            Timestamps::Reproducible
        } else if output.rewrites_timestamps() {
            Timestamps::Rewritten
        } else {
            Timestamps::Kept
        }
    }
}
