//! One operation on several containers or images: every one is tried, every error is told.

use std::process::ExitCode;

use hoist_engine::{Engine, container::Container};

use crate::{error::CliError, ui};

/// Do `work` for each name; a name whose work succeeds is printed as it was given.
///
/// # Errors
/// Only when standard output is gone; failures of the work are told as they come, and make the
/// exit code 1.
pub(crate) fn container(
    engine: &Engine,
    names: &[String],
    work: impl Fn(&Container) -> Result<(), CliError>,
) -> Result<ExitCode, CliError> {
    name(names, |name| {
        work(&engine.find(name)?)?;
        ui::line(name)
    })
}

/// Do `work` for each name.
///
/// # Errors
/// As [`container`].
pub(crate) fn name(
    names: &[String],
    work: impl Fn(&str) -> Result<(), CliError>,
) -> Result<ExitCode, CliError> {
    let mut code = ExitCode::SUCCESS;
    for name in names {
        match work(name) {
            Ok(()) => {}
            Err(error @ CliError::Said(_)) => return Err(error),
            Err(error) => {
                ui::error(&error.text("Error"));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
