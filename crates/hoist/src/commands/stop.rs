//! `stop`: ask containers to end, and kill those that do not.

use std::{process::ExitCode, time::Duration};

use hoist_core::signal::Signal;
use hoist_engine::{Engine, Status, container::Container};

use super::each;
use crate::{args::lifecycle::StopFlags, cli::Call, error::CliError, ui};

/// `stop [OPTIONS] CONTAINER [CONTAINER...]`.
pub(crate) fn stop(
    call: &Call<'_>,
    flags: &StopFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let engine = call.engine()?;
    each::container(&engine, words, |container| {
        let status = end(&engine, container, flags)?;
        if let Some(note) = &status.stop_note {
            ui::note(note);
        }
        Ok(())
    })
}

/// Stop one container as the flags say.
pub(crate) fn end(
    engine: &Engine,
    container: &Container,
    flags: &StopFlags,
) -> Result<Status, CliError> {
    let signal = flags.signal.unwrap_or_else(|| own_signal(container));
    let grace = match flags.timeout {
        None => Some(container.record.stop_timeout),
        // Negative waits for ever.
        Some(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
    };
    Ok(engine.stop_with(container, signal, grace)?)
}

fn own_signal(container: &Container) -> Signal {
    container
        .record
        .config
        .stop_signal
        .parse()
        .unwrap_or(Signal::TERM)
}
