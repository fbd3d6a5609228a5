//! `create`: make a container, start nothing.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use hoist_core::{Kind, Reference};
use hoist_engine::{CreateRequest, Engine, container::Created};

use super::{pull::Needed, request};
use crate::{
    args::container::{ContainerFlags, CreateFlags},
    cli::Call,
    error::{CliError, Failure},
    ui,
};

/// `create [OPTIONS] IMAGE [COMMAND] [ARG...]`.
pub(crate) fn create(
    call: &Call<'_>,
    flags: &CreateFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let flags = &flags.container;
    let request = request::from_flags(flags, words)?;
    let id_file = flags.cidfile.as_deref().map(IdFile::claim).transpose()?;
    let engine = call.working_engine()?;
    needed(flags, &request).obtain(&engine)?;
    let created = make(&engine, &request, id_file)?;
    ui::line(created.id.as_str())?;
    Ok(ExitCode::SUCCESS)
}

/// The image of a container that is to be made.
pub(super) fn needed<'a>(flags: &'a ContainerFlags, request: &'a CreateRequest) -> Needed<'a> {
    Needed {
        image: &request.image,
        policy: flags.pull.unwrap_or_default(),
        platform: flags.platform.as_ref(),
        quiet: flags.quiet,
    }
}

/// Make the container, tell the warnings and write the id file.
pub(crate) fn make(
    engine: &Engine,
    request: &CreateRequest,
    id_file: Option<IdFile>,
) -> Result<Created, CliError> {
    let created = engine
        .create(request)
        .map_err(|error| explain(engine, error.into(), &request.image))?;
    for warning in &created.warnings {
        ui::note(&format!("WARNING: {warning}"));
    }
    if let Some(id_file) = id_file
        && let Err(error) = id_file.write(created.id.as_str())
    {
        undo(engine, &created);
        return Err(error);
    }
    Ok(created)
}

/// Take a container away again whose start failed; the first error is the one to tell.
pub(crate) fn undo(engine: &Engine, created: &Created) {
    let options = hoist_engine::container::RemoveOptions {
        force: true,
        volumes: true,
    };
    if let Ok(container) = engine.find(created.id.as_str())
        && let Err(error) = engine.remove(&container, options)
    {
        ui::error(&Failure::from_error(&error).text("WARNING"));
    }
}

/// Docker's first line about an image that is not here, and where images come from.
fn explain(engine: &Engine, error: CliError, image: &str) -> CliError {
    let CliError::Failed(Failure {
        kind: Kind::NotFound,
        message,
        ..
    }) = &error
    else {
        return error;
    };
    let Ok(reference) = Reference::parse(image) else {
        return error;
    };
    // It may be the image of a mount that is missing.
    if !message.contains("image") || engine.store().resolve(image).is_ok() {
        return error;
    }
    CliError::of(
        Kind::NotFound,
        format!("Unable to find image '{}' locally", reference.familiar()),
    )
    .hint(format!("hoist pull {image} fetches it from its registry"))
    .hint(format!("build it with: hoist build -t {image} PATH"))
    .hint(format!(
        "or import a root file system with: hoist import FILE.tar {image}"
    ))
    .hint(
        "hoist images lists what is here; cargo xtask bases makes busybox, debian and python bases",
    )
}

/// The file of `--cidfile`: made before the container, so that two never share one.
#[derive(Debug)]
pub(crate) struct IdFile {
    path: PathBuf,
    file: Option<File>,
}

impl IdFile {
    /// Make the file, which must not exist.
    ///
    /// # Errors
    /// Docker's sentence when it exists.
    pub(crate) fn claim(path: &std::path::Path) -> Result<Self, CliError> {
        match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(file) => Ok(Self {
                path: path.to_owned(),
                file: Some(file),
            }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let path = path.display();
                Err(CliError::of(
                    Kind::Conflict,
                    format!(
                        "container ID file found, make sure the other container isn't running or delete {path}"
                    ),
                ))
            }
            Err(error) => Err(CliError::file("create the container ID file", path, &error)),
        }
    }

    fn write(mut self, id: &str) -> Result<(), CliError> {
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        file.write_all(id.as_bytes())
            .map_err(|error| CliError::file("write the container ID to", &self.path, &error))
    }
}

impl Drop for IdFile {
    /// A file without an id is of no use to anyone.
    fn drop(&mut self) {
        if self.file.is_some() {
            drop(std::fs::remove_file(&self.path));
        }
    }
}
