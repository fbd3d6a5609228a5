//! `save` and `load`: images into an archive, and out of one.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal as _, Write as _},
    os::fd::AsFd as _,
    path::Path,
    process::ExitCode,
};

use hoist_core::{Kind, Reference};
use hoist_engine::{Engine, image::Loaded};

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
    match &flags.output {
        Some(path) => to_file(&engine, words, path)?,
        None if io::stdout().is_terminal() => {
            return Err(CliError::invalid(
                "cowardly refusing to save to a terminal. Use the -o flag or redirect",
            ));
        }
        None => {
            let output = BufWriter::with_capacity(256 * 1024, io::stdout().lock());
            engine.save(words, output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The archive appears when it is whole.
fn to_file(engine: &Engine, words: &[String], path: &Path) -> Result<(), CliError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = Path::new(&name);
    // Pipes and devices are written as they are.
    if path.exists() && !path.is_file() {
        let file = File::options()
            .write(true)
            .open(path)
            .map_err(|error| CliError::file("open", path, &error))?;
        return Ok(engine.save(words, BufWriter::new(file))?);
    }
    let file = File::create(temporary).map_err(|error| CliError::file("create", path, &error))?;
    let mut output = BufWriter::with_capacity(256 * 1024, file);
    let written = engine
        .save(words, &mut output)
        .map_err(CliError::from)
        .and_then(|()| {
            output
                .flush()
                .and_then(|()| std::fs::rename(temporary, path))
                .map_err(|error| CliError::file("write", path, &error))
        });
    if written.is_err() {
        // What was written is of no use to anyone.
        drop(std::fs::remove_file(temporary));
    }
    written
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
    for loaded in engine.load(input, &transfer.listener())? {
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
