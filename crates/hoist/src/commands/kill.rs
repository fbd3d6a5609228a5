//! `kill`: send a signal to containers.

use std::process::ExitCode;

use hoist_core::signal::Signal;

use super::each;
use crate::{args::lifecycle::KillFlags, cli::Call, error::CliError};

/// `kill [OPTIONS] CONTAINER [CONTAINER...]`.
pub(crate) fn kill(
    call: &Call<'_>,
    flags: &KillFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let engine = call.engine()?;
    let signal = flags.signal.unwrap_or(Signal::KILL);
    each::container(&engine, words, |container| {
        engine.kill(container, signal).map_err(CliError::from)
    })
}
