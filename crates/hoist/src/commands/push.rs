//! `push`: an image to a registry.

use std::process::ExitCode;

use hoist_build::{BuildError, SecretInImage};
use hoist_core::{Digest, Kind, Reference};
use hoist_engine::{Engine, EngineError, image::PushRequest};
use hoist_store::{Codec, StoreError};

use super::{interrupt, pull::stoppable_registry};
use crate::{
    args::registry::PushFlags,
    cli::Call,
    error::CliError,
    ui::{
        self,
        transfer::{Stream, Transfer},
    },
};

/// For `--help`.
pub(crate) const EXAMPLES: &str = "
  Push an image to Docker Hub:
    hoist login
    hoist tag my-api:1.0 yourusername/my-api:1.0
    hoist push yourusername/my-api:1.0

  Push an image to GitHub's registry, with layers that inflate faster:
    hoist push --compression zstd ghcr.io/yourusername/my-api:1.0
";

/// `push [OPTIONS] NAME[:TAG]`.
pub(crate) fn push(
    call: &Call<'_>,
    flags: &PushFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let name = &words[0];
    let untagged = Reference::parse_untagged(name)?;
    if untagged.digest().is_some() {
        return Err(CliError::invalid("cannot push a digest reference"));
    }
    if flags.all_tags && untagged.tag().is_some() {
        return Err(CliError::invalid("tag can't be used with --all-tags/-a"));
    }
    let compression = codec(flags)?;
    let engine = call.working_engine()?;
    let transfer = Transfer::on(if flags.quiet {
        Stream::Nowhere
    } else {
        Stream::Output
    });
    let registry = stoppable_registry(&transfer, &interrupt::watch_transfer(interrupted)?)?;
    let references = if flags.all_tags {
        tags(&engine, &untagged)?
    } else {
        if untagged.tag().is_none() && !flags.quiet {
            ui::line("Using default tag: latest")?;
        }
        vec![Reference::parse(name)?]
    };
    for reference in &references {
        check(&engine, flags, reference)?;
    }
    for reference in references {
        let request = PushRequest {
            reference: reference.clone(),
            compression,
        };
        let pushed = engine
            .push(&registry, &request, &transfer.listener())
            .map_err(|error| interrupt::told(error.into(), interrupted))?;
        if flags.quiet {
            ui::line(&reference.to_string())?;
        } else {
            let tag = reference.tag().unwrap_or("latest");
            let (digest, size) = (pushed.digest, pushed.size);
            ui::line(&format!("{tag}: digest: {digest} size: {size}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn interrupted() -> CliError {
    CliError::of(Kind::Cancelled, "the push was interrupted")
        .hint("layers that have arrived are not sent again by the next push")
}

/// How `--compression` and `--compression-level` want the layers.
fn codec(flags: &PushFlags) -> Result<Option<Codec>, CliError> {
    let Some(text) = &flags.compression else {
        return Ok(None);
    };
    let unknown = || {
        CliError::invalid(format!("no such compression: {text}")).hint(
            "write --compression gzip with a level from 1 to 9, or zstd with 1 to 19: zstd:12",
        )
    };
    let (name, level) = match text.split_once(':') {
        Some((name, level)) => (name, Some(level.parse().map_err(|_| unknown())?)),
        None => (text.as_str(), None),
    };
    let level = level.or(flags.compression_level);
    PushRequest::codec(name, level)
        .map(Some)
        .ok_or_else(unknown)
}

/// Whether an image is what was asked for, and may leave this machine.
fn check(engine: &Engine, flags: &PushFlags, reference: &Reference) -> Result<(), CliError> {
    let store = engine.store();
    let id = match store.resolve(&reference.to_string()) {
        // The push has the words for it.
        Err(StoreError::NoSuchImage(_)) => return Ok(()),
        result => result?,
    };
    if let Some(wanted) = &flags.platform {
        let found = store.image(&id)?.image.platform;
        if found != *wanted {
            let name = reference.familiar();
            return Err(CliError::of(
                Kind::NotFound,
                format!(
                    "image with reference {name} was found but does not provide the specified platform ({wanted})"
                ),
            )
            .hint(format!("the image is for {found}")));
        }
    }
    if flags.allow_secrets {
        return Ok(());
    }
    refuse_secrets(engine, &id, reference)
}

/// An image with secrets in layers that were made here stays here.
pub(super) fn refuse_secrets(
    engine: &Engine,
    id: &Digest,
    reference: &Reference,
) -> Result<(), CliError> {
    let secrets = match hoist_build::secrets_in_image(engine, id) {
        // The push has the words for an image that is gone.
        Err(BuildError::Store(StoreError::NoSuchImage(_))) => return Ok(()),
        result => result?,
    };
    if secrets.is_empty() {
        return Ok(());
    }
    let mut text = format!(
        "{} is not pushed: whoever pulls it can read what is in its layers",
        reference.familiar()
    );
    for SecretInImage {
        layer,
        step,
        path,
        what,
    } in &secrets
    {
        let layer = layer.short();
        text.push_str(&format!(
            "\n  {}: {what} (layer {layer}, made by: {step})",
            path.display()
        ));
    }
    Err(CliError::invalid(text)
        .hint("leave such files out by .dockerignore, or mount them for a step: RUN --mount=type=secret")
        .hint("a file that a later step removes is still in the layer of the earlier one")
        .hint("--allow-secrets pushes it as it is"))
}

/// All names in a repository that images here have.
fn tags(engine: &Engine, repository: &Reference) -> Result<Vec<Reference>, CliError> {
    let images = engine.store().images().map_err(EngineError::from)?;
    let names = images.into_iter().flat_map(|image| image.references);
    let names: Vec<_> = names
        .filter(|name| {
            name.domain() == repository.domain()
                && name.path() == repository.path()
                && name.tag().is_some()
        })
        .collect();
    if names.is_empty() {
        return Err(EngineError::NotTagged(repository.familiar_name()).into());
    }
    Ok(names)
}
