//! `tag`: give an image one more name.

use std::process::ExitCode;

use hoist_engine::EngineError;

use crate::{
    args::{NoFlags, value},
    cli::Call,
    error::CliError,
};

/// `tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]`.
pub(crate) fn tag(call: &Call<'_>, _: &NoFlags, words: &[String]) -> Result<ExitCode, CliError> {
    let [source, target] = words else {
        return Err(CliError::invalid("an image and a name are needed"));
    };
    let target = value::tag(target).map_err(|why| {
        CliError::invalid(format!(
            "{target:?} is not a valid name for an image: {why}"
        ))
    })?;
    let engine = call.working_engine()?;
    let store = engine.store();
    let id = store.resolve(source).map_err(EngineError::from)?;
    store.tag(&target, &id).map_err(EngineError::from)?;
    Ok(ExitCode::SUCCESS)
}
