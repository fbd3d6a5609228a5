//! `import`: an image from the tar of a root file system.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    process::ExitCode,
};

use hoist_build::ImportRequest;

use crate::{
    args::{image::ImportFlags, value},
    cli::Call,
    error::CliError,
    ui,
};

/// `import [OPTIONS] file|- [REPOSITORY[:TAG]]`.
pub(crate) fn import(
    call: &Call<'_>,
    flags: &ImportFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let (source, name) = (&words[0], words.get(1));
    let reference = name
        .map(|name| value::tag(name).map_err(|why| CliError::invalid(format!("{name:?}: {why}"))))
        .transpose()?;
    if source.starts_with("http://") || source.starts_with("https://") {
        return Err(CliError::of(
            hoist_core::Kind::Unsupported,
            format!("cannot import from {source}: this version reads files only"),
        )
        .hint(format!(
            "fetch it first: curl -fL {source} | hoist import - NAME"
        )));
    }
    let reader: Box<dyn Read> = match source.as_str() {
        "-" => Box::new(io::stdin().lock()),
        path => {
            let path = Path::new(path);
            Box::new(File::open(path).map_err(|error| CliError::file("open", path, &error))?)
        }
    };
    let request = ImportRequest {
        reference,
        changes: flags.change.clone(),
        message: flags.message.clone(),
        platform: flags.platform.clone(),
    };
    let engine = call.working_engine()?;
    let id = hoist_build::import(&engine, reader, &request)?;
    ui::line(&id.to_string())?;
    Ok(ExitCode::SUCCESS)
}
