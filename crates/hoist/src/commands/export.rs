//! `export`: the files of a container as an archive.

use std::process::ExitCode;

use super::archive;
use crate::{args::store::ExportFlags, cli::Call, error::CliError};

/// For `--help`.
pub(crate) const EXAMPLES: &str = "
  Take the files of an image out of it, without running anything:
    hoist create --name tmp my-api:1.0
    hoist export tmp | tar -x -C my-api-files
    hoist rm tmp
";

/// `export [OPTIONS] CONTAINER`.
pub(crate) fn export(
    call: &Call<'_>,
    flags: &ExportFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let engine = call.working_engine()?;
    let container = engine.find(&words[0])?;
    archive::write_to(flags.output.as_deref(), |output| {
        Ok(engine.export(&container, output)?)
    })?;
    Ok(ExitCode::SUCCESS)
}
