//! The result of a build out of the store: directories and archives, each whole or not there.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use hoist_build::{Built, ImageArchive, write_directory, write_files, write_image_archive};
use hoist_engine::Engine;

use crate::{
    args::build::{
        BuildFlags,
        output::{Destination, Form, Output},
    },
    error::CliError,
};

/// Write everything that `flags` ask for.
pub(super) fn write(
    engine: &Engine,
    flags: &BuildFlags,
    built: &Built,
    cancelled: &AtomicBool,
) -> Result<(), CliError> {
    for output in &flags.output.output {
        match output {
            Output::Image { .. } | Output::CacheOnly => {}
            Output::Local(path) => {
                write_directory(engine, &built.id, built.epoch, path, cancelled)?;
            }
            Output::Archive(form, Destination::StandardOutput, _) => {
                archive(engine, flags, built, (*form, &mut io::stdout().lock()))?;
            }
            Output::Archive(form, Destination::File(path), _) => {
                let mut file = Partial::create(path)?;
                archive(engine, flags, built, (*form, &mut file.writer))?;
                file.finish()?;
            }
        }
    }
    Ok(())
}

/// Refuse to write an archive to a terminal, before anything is built.
pub(super) fn check(flags: &BuildFlags) -> Result<(), CliError> {
    let to_terminal = |output: &Output| {
        matches!(output, Output::Archive(_, Destination::StandardOutput, _))
            && io::stdout().is_terminal()
    };
    if flags.output.output.iter().any(to_terminal) {
        return Err(CliError::invalid(
            "dest file is required: refusing to write an archive to the terminal",
        ));
    }
    Ok(())
}

fn archive(
    engine: &Engine,
    flags: &BuildFlags,
    built: &Built,
    (form, output): (Form, &mut dyn Write),
) -> Result<(), CliError> {
    if form == Form::Files {
        return Ok(write_files(engine, &built.id, built.epoch, output)?);
    }
    let archive = ImageArchive {
        names: flags.tag.clone(),
        annotations: flags.inputs.annotation.iter().cloned().collect(),
        for_docker: form == Form::Docker,
    };
    write_image_archive(engine, &built.id, &archive, output)?;
    Ok(())
}

/// A file beside its place until it is whole.
struct Partial {
    place: PathBuf,
    temporary: PathBuf,
    writer: BufWriter<File>,
}

impl Partial {
    fn create(place: &Path) -> Result<Self, CliError> {
        let mut name = place.file_name().unwrap_or_default().to_owned();
        name.push(format!(".partial-{}", std::process::id()));
        let temporary = place.with_file_name(name);
        let file =
            File::create(&temporary).map_err(|error| CliError::file("write", place, &error))?;
        Ok(Self {
            place: place.to_owned(),
            temporary,
            writer: BufWriter::with_capacity(1 << 20, file),
        })
    }

    fn finish(mut self) -> Result<(), CliError> {
        self.writer
            .flush()
            .and_then(|()| std::fs::rename(&self.temporary, &self.place))
            .map_err(|error| CliError::file("write", &self.place, &error))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // It is gone when it was finished.
        let _ = std::fs::remove_file(&self.temporary);
    }
}
