//! `manifest create`, `annotate`, `push`, `rm`: lists of manifests, made here and pushed.

use std::process::ExitCode;

use hoist_core::{Kind, Reference};
use hoist_engine::image::ListedPlatform;

use super::client;
use crate::{
    args::{
        NoFlags,
        manifest::{AnnotateFlags, CreateListFlags, PushListFlags},
    },
    cli::Call,
    commands::{each, push::refuse_secrets},
    error::CliError,
    ui::{
        self,
        transfer::{Stream, Transfer},
    },
};

/// For `--help`.
pub(crate) const EXAMPLES: &str = "
  One name for the images of two platforms:
    hoist manifest create me/app:1.0 me/app:1.0-amd64 me/app:1.0-arm64
    hoist manifest push me/app:1.0
";

/// `manifest create [OPTIONS] MANIFEST_LIST MANIFEST [MANIFEST...]`.
pub(crate) fn create(
    call: &Call<'_>,
    flags: &CreateListFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let list = named(&words[0])?;
    let members: Vec<_> = words[1..]
        .iter()
        .map(|word| Reference::parse(word))
        .collect::<Result<_, _>>()?;
    let engine = call.working_engine()?;
    let servers = members.iter().chain([&list]);
    let registry = client(&Transfer::on(Stream::Error), servers, flags.insecure)?;
    let made = engine.create_manifest_list(&registry, &list, &members, flags.amend)?;
    ui::line(&format!("Created manifest list {}", made.reference))?;
    Ok(ExitCode::SUCCESS)
}

/// `manifest annotate [OPTIONS] MANIFEST_LIST MANIFEST`.
pub(crate) fn annotate(
    call: &Call<'_>,
    flags: &AnnotateFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let list = named(&words[0])?;
    let member = Reference::parse(&words[1])?;
    let platform = ListedPlatform {
        architecture: flags.arch.clone(),
        os: flags.os.clone(),
        os_version: flags.os_version.clone(),
        os_features: flags.os_features.clone(),
        variant: flags.variant.clone(),
    };
    call.working_engine()?
        .annotate_manifest(&list, &member, &platform)?;
    Ok(ExitCode::SUCCESS)
}

/// `manifest push [OPTIONS] MANIFEST_LIST`.
pub(crate) fn push(
    call: &Call<'_>,
    flags: &PushListFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let list = named(&words[0])?;
    let engine = call.working_engine()?;
    let transfer = Transfer::on(Stream::Error);
    let registry = client(&transfer, [&list], flags.insecure)?;
    if !flags.allow_secrets {
        let made = engine.manifest_list(&list)?;
        for entry in made.iter().flat_map(|made| &made.entries) {
            if let Some(image) = &entry.image {
                refuse_secrets(&engine, image, &entry.reference)?;
            }
        }
    }
    let pushed = engine.push_manifest_list(&registry, &list, &transfer.listener())?;
    for manifest in &pushed.manifests {
        let digest = manifest
            .digest()
            .map_or_else(String::new, |digest| digest.to_string());
        ui::line(&format!("Pushed ref {manifest} with digest: {digest}"))?;
    }
    ui::line(&pushed.digest.to_string())?;
    if flags.purge {
        engine.remove_manifest_list(&list)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `manifest rm MANIFEST_LIST [MANIFEST_LIST...]`.
pub(crate) fn remove(call: &Call<'_>, _: &NoFlags, words: &[String]) -> Result<ExitCode, CliError> {
    let engine = call.working_engine()?;
    each::name(words, |word| {
        let list = Reference::parse(word)?;
        if engine.remove_manifest_list(&list)? {
            return Ok(());
        }
        Err(CliError::of(
            Kind::NotFound,
            format!("No such manifest: {list}"),
        ))
    })
}

/// The name of a list: a tag, `latest` where it says none.
fn named(word: &str) -> Result<Reference, CliError> {
    let list = Reference::parse(word)?;
    if list.digest().is_some() {
        return Err(CliError::invalid(format!(
            "error parsing name for manifest list {word}: a list is pushed under a tag, not under a digest"
        )));
    }
    Ok(list)
}
