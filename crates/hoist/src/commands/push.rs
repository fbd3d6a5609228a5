//! `push`: an image to a registry.

use std::process::ExitCode;

use hoist_core::Reference;
use hoist_engine::{Engine, EngineError, image::PushRequest};

use super::pull::registry;
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
    let compression = match &flags.compression {
        None => None,
        Some(name) => {
            let level = flags.compression_level;
            Some(PushRequest::codec(name, level).ok_or_else(|| {
                CliError::invalid(format!("no such compression: {name}, level {level:?}"))
                    .hint("write --compression gzip with a level from 1 to 9, or zstd with 1 to 19")
            })?)
        }
    };
    let engine = call.working_engine()?;
    let transfer = Transfer::on(if flags.quiet {
        Stream::Nowhere
    } else {
        Stream::Output
    });
    let registry = registry(&transfer)?;
    let references = if flags.all_tags {
        tags(&engine, &untagged)?
    } else {
        if untagged.tag().is_none() && !flags.quiet {
            ui::line("Using default tag: latest")?;
        }
        vec![Reference::parse(name)?]
    };
    for reference in references {
        let request = PushRequest {
            reference: reference.clone(),
            compression,
        };
        let pushed = engine.push(&registry, &request, &transfer.listener())?;
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
