//! `save` and `load`: images into an archive, and out of one.

use std::{
    fs::File,
    io::{self, IsTerminal as _},
    os::fd::AsFd as _,
    process::ExitCode,
};

use hoist_core::{Kind, Reference};
use hoist_engine::image::Loaded;

use super::archive;
use crate::{
    args::image::{LoadFlags, SaveFlags},
    cli::Call,
    error::CliError,
    ui::{
        self,
        transfer::{Stream, Transfer},
    },
};

/// For `--help`.
pub(crate) const EXAMPLES: &str = "
  Carry an image to a machine without a registry:
    hoist save -o my-api.tar my-api:1.0
    hoist load -i my-api.tar

  The same through a pipe:
    hoist save my-api:1.0 | ssh server hoist load
";

/// `save [OPTIONS] IMAGE [IMAGE...]`.
pub(crate) fn save(
    call: &Call<'_>,
    flags: &SaveFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let engine = call.working_engine()?;
    archive::write_to(flags.output.as_deref(), |output| {
        Ok(engine.save(words, flags.platform.as_ref(), output)?)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// `load [OPTIONS]`.
pub(crate) fn load(call: &Call<'_>, flags: &LoadFlags, _: &[String]) -> Result<ExitCode, CliError> {
    let input = match &flags.input {
        Some(path) => File::open(path).map_err(|error| CliError::file("open", path, &error))?,
        None if io::stdin().is_terminal() => {
            return Err(
                CliError::invalid("requested load from stdin, but stdin is empty")
                    .hint("give the archive with -i FILE, or redirect it: hoist load < FILE"),
            );
        }
        None => {
            let owned = io::stdin().as_fd().try_clone_to_owned();
            File::from(owned.map_err(|error| {
                CliError::of(
                    Kind::Unavailable,
                    format!("cannot read standard input: {error}"),
                )
            })?)
        }
    };
    let engine = call.working_engine()?;
    let transfer = Transfer::on(Stream::Nowhere);
    for loaded in engine.load(input, flags.platform.as_ref(), &transfer.listener())? {
        ui::out(&lines(&loaded))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(loaded: &Loaded) -> String {
    if loaded.names.is_empty() {
        return format!("Loaded image ID: {}\n", loaded.id);
    }
    let names = loaded.names.iter().map(Reference::familiar);
    names
        .map(|name| format!("Loaded image: {name}\n"))
        .collect()
}
