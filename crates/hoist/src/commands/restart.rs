//! `restart`: stop containers and start them again.

use std::process::ExitCode;

use super::{each, stop};
use crate::{args::lifecycle::StopFlags, cli::Call, error::CliError, ui};

/// `restart [OPTIONS] CONTAINER [CONTAINER...]`.
pub(crate) fn restart(
    call: &Call<'_>,
    flags: &StopFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let engine = call.working_engine()?;
    each::container(&engine, words, |container| {
        let status = stop::end(&engine, container, flags)?;
        if let Some(note) = &status.stop_note {
            ui::note(note);
        }
        engine
            .start(&container.record.id, None)
            .map(drop)
            .map_err(CliError::from)
    })
}
