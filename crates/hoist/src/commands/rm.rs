//! `rm`: remove containers.

use std::process::ExitCode;

use hoist_core::{Describe as _, Kind};
use hoist_engine::container::RemoveOptions;

use super::each;
use crate::{args::lifecycle::RemoveFlags, cli::Call, error::CliError, ui};

/// `rm [OPTIONS] CONTAINER [CONTAINER...]`.
pub(crate) fn remove(
    call: &Call<'_>,
    flags: &RemoveFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let engine = call.working_engine()?;
    let options = RemoveOptions {
        force: flags.force,
        volumes: flags.volumes,
    };
    each::name(words, |name| {
        match engine.find(name) {
            Ok(container) => engine.remove(&container, options)?,
            // As in Docker: with -f, what is not there is as good as removed.
            Err(error) if flags.force && error.kind() == Kind::NotFound => {
                ui::note(&format!("Error: {error}"));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        ui::line(name)
    })
}
