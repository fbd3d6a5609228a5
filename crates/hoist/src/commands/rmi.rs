//! `rmi`: remove names of images, and images.

use std::process::ExitCode;

use hoist_store::Removal;

use super::each;
use crate::{args::image::RmiFlags, cli::Call, error::CliError, ui};

/// `rmi [OPTIONS] IMAGE [IMAGE...]`.
pub(crate) fn remove(
    call: &Call<'_>,
    flags: &RmiFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let engine = call.working_engine()?;
    let kept = hoist_build::cached_layers(&engine)?;
    each::name(words, |name| {
        ui::out(&lines(&engine.remove_image(name, flags.force, &kept)?))
    })
}

/// Docker's lines about what was removed.
pub(crate) fn lines(removals: &[Removal]) -> String {
    let line = |removal: &Removal| match removal {
        Removal::Untagged(reference) => format!("Untagged: {}\n", reference.familiar()),
        Removal::Deleted(id) | Removal::DeletedLayer(id) => format!("Deleted: {id}\n"),
    };
    removals.iter().map(line).collect()
}
