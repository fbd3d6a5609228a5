//! The result of a build out of the store: directories and archives, each whole or not there, and
//! registries.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use hoist_build::{
    BuildRequest, Built, ImageArchive, write_directory, write_files, write_image_archive,
    write_image_layout,
};
use hoist_core::{Digest, Platform};
use hoist_engine::{Engine, image::PushRequest};

use crate::{
    args::build::{
        BuildFlags,
        annotation::Level,
        output::{Destination, Form, Output, To},
    },
    commands::pull,
    error::CliError,
    ui::{
        self,
        progress::Style,
        transfer::{Stream, Transfer},
    },
};

/// Write everything that `flags` ask for. The digest of the manifest, when one was made.
pub(super) fn write(
    engine: &Engine,
    flags: &BuildFlags,
    built: &Built,
    cancelled: &AtomicBool,
) -> Result<Option<Digest>, CliError> {
    let mut made = None;
    for output in &flags.output.output {
        match &output.to {
            To::Image { .. } | To::CacheOnly => {}
            To::Local {
                path,
                others,
                split,
            } => {
                let path = if *split {
                    let platform = flags.platform.clone().unwrap_or_else(Platform::host);
                    path.join(platform.to_string().replace('/', "_"))
                } else {
                    path.clone()
                };
                write_directory(engine, &built.id, built.epoch, (&path, *others), cancelled)?;
            }
            To::Files(destination) => {
                to(destination, |output| {
                    Ok(write_files(engine, &built.id, built.epoch, output)?)
                })?;
            }
            To::Archive { destination, .. } => {
                let archive = archive(flags, output);
                let digest = to(destination, |output| {
                    Ok(write_image_archive(engine, &built.id, &archive, output)?)
                })?;
                made = Some(digest);
            }
            To::Layout { path, .. } => {
                let archive = archive(flags, output);
                made = Some(write_image_layout(engine, &built.id, &archive, path)?);
            }
        }
    }
    Ok(made)
}

/// Refuse what cannot end well, before anything is built: an archive on a terminal, a push of an
/// image without a name, annotations of an index that is not there.
pub(super) fn check(flags: &BuildFlags) -> Result<(), CliError> {
    let to_terminal = |output: &Output| {
        let destination = match &output.to {
            To::Files(destination) | To::Archive { destination, .. } => Some(destination),
            _ => None,
        };
        destination == Some(&Destination::StandardOutput) && io::stdout().is_terminal()
    };
    if flags.output.output.iter().any(to_terminal) {
        return Err(CliError::invalid(
            "dest file is required: refusing to write an archive to the terminal",
        ));
    }
    let has_name = !flags.tag.is_empty() || flags.output.names().next().is_some();
    if flags.output.push().is_some() && !has_name {
        return Err(CliError::invalid("tag is needed when pushing to registry")
            .hint("name it: -t REGISTRY/NAME:TAG"));
    }
    let is_layout = |output: &Output| matches!(output.to, To::Archive { .. } | To::Layout { .. });
    let needs_index = |level: &Level| *level != Level::Manifest;
    let mut annotations = flags.inputs.annotation.iter();
    let outputs = flags
        .output
        .output
        .iter()
        .filter(|output| !is_layout(output));
    let mut in_images = outputs.flat_map(|output| &output.annotations);
    let is_without = !flags.output.output.iter().any(is_layout)
        && annotations.any(|found| found.levels.iter().any(needs_index));
    if is_without || in_images.any(|found| found.levels.iter().any(needs_index)) {
        return Err(CliError::invalid(
            "index annotations not supported for single platform export",
        )
        .hint(
            "an archive of type=oci has an index; an image in the store or a registry has none",
        ));
    }
    Ok(())
}

/// The annotations of the image's manifest.
pub(super) fn annotate(flags: &BuildFlags, request: &mut BuildRequest) {
    let outputs = flags.output.output.iter();
    let of_images = outputs.filter(|output| matches!(output.to, To::Image { .. }));
    let all = of_images.flat_map(|output| &output.annotations);
    for annotation in flags.inputs.annotation.iter().chain(all) {
        if annotation.levels.contains(&Level::Manifest) {
            let (key, value) = (annotation.key.clone(), annotation.value.clone());
            request.annotations.insert(key, value);
        }
    }
}

/// Push the image under all its names. The digest of its manifest.
pub(super) fn push(
    engine: &Engine,
    flags: &BuildFlags,
    style: Style,
    cancelled: &Arc<AtomicBool>,
) -> Result<Option<Digest>, CliError> {
    let Some(compression) = flags.output.push() else {
        return Ok(None);
    };
    let transfer = Transfer::on(match style {
        Style::Quiet | Style::RawJson => Stream::Nowhere,
        _ => Stream::Error,
    });
    let registry = pull::stoppable_registry(&transfer, cancelled)?;
    let mut digest = None;
    for reference in flags.tag.iter().chain(flags.output.names()) {
        let request = PushRequest {
            reference: reference.clone(),
            compression,
        };
        let pushed = engine.push(&registry, &request, &transfer.listener())?;
        if !matches!(style, Style::Quiet | Style::RawJson) {
            ui::note(&format!("pushed {reference}@{}", pushed.digest));
        }
        digest = Some(pushed.digest);
    }
    Ok(digest)
}

/// What an image archive holds.
fn archive(flags: &BuildFlags, output: &Output) -> ImageArchive {
    let (form, layers) = match &output.to {
        To::Archive { form, layers, .. } | To::Layout { form, layers, .. } => (*form, *layers),
        _ => (Form::Oci, None),
    };
    let mut archive = ImageArchive {
        names: flags.tag.iter().chain(&output.names).cloned().collect(),
        for_docker: form == Form::Docker,
        compression: layers,
        ..ImageArchive::default()
    };
    for annotation in flags.inputs.annotation.iter().chain(&output.annotations) {
        for level in &annotation.levels {
            let place = match level {
                Level::Manifest => &mut archive.annotations,
                Level::Descriptor => &mut archive.descriptor_annotations,
                Level::Index => &mut archive.index_annotations,
            };
            place.insert(annotation.key.clone(), annotation.value.clone());
        }
    }
    archive
}

/// Let `write` write to `destination`: a file is there when it is whole.
fn to<T>(
    destination: &Destination,
    write: impl FnOnce(&mut dyn Write) -> Result<T, CliError>,
) -> Result<T, CliError> {
    match destination {
        Destination::StandardOutput => write(&mut io::stdout().lock()),
        Destination::File(path) => {
            let mut file = Partial::create(path)?;
            let result = write(&mut file.writer)?;
            file.finish()?;
            Ok(result)
        }
    }
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
