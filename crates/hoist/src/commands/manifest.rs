//! `manifest inspect`: what a registry has under a name, or a list that is being made here; the
//! other verbs are in [`list`].

pub(super) mod list;

use std::process::ExitCode;

use hoist_core::{Kind, Reference};
use hoist_engine::image::{ListEntry, ListedPlatform, ManifestList};
use hoist_registry::{Document, RawManifest, Registry};
use serde_json::{Value, json};

use crate::{
    args::manifest::InspectManifestFlags,
    cli::Call,
    error::CliError,
    settings,
    ui::{
        self,
        transfer::{Stream, Transfer},
    },
};

/// `manifest inspect [OPTIONS] [MANIFEST_LIST] MANIFEST`.
pub(crate) fn inspect(
    call: &Call<'_>,
    flags: &InspectManifestFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let reference = Reference::parse(&words[words.len() - 1])?;
    let engine = call.engine()?;
    let shown = if words.len() > 1 {
        let list = Reference::parse(&words[0])?;
        let known = engine.manifest_list(&list)?;
        let entry = known.as_ref().and_then(|list| list.entry(&reference));
        entry_shown(entry.ok_or_else(|| unknown(&reference))?, flags.verbose)?
    } else if let Some(list) = engine.manifest_list(&reference)? {
        list_shown(&list, flags.verbose)?
    } else {
        let registry = client(&Transfer::on(Stream::Error), [&reference], flags.insecure)?;
        let raw = registry.manifest(&reference)?;
        if flags.verbose {
            verbose(&registry, &reference, &raw)?
        } else {
            // A document that cannot be read is refused, not shown.
            raw.document(&reference)?;
            parsed(&raw.bytes, &reference)?
        }
    };
    let text = serde_json::to_string_pretty(&shown)
        .map_err(|error| CliError::invalid(format!("the manifest cannot be shown: {error}")))?;
    ui::line(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A registry client that speaks to the registries of `references` without asking who they are, if
/// it may.
fn client<'a>(
    transfer: &Transfer,
    references: impl IntoIterator<Item = &'a Reference>,
    insecure: bool,
) -> Result<Registry, CliError> {
    let mut options = settings::registries::options()?;
    options.events = Some(transfer.registry_listener());
    if insecure {
        let domains = references.into_iter().map(Reference::domain);
        options.insecure.extend(domains.map(str::to_owned));
    }
    Ok(Registry::new(options)?)
}

fn unknown(reference: &Reference) -> CliError {
    CliError::of(Kind::NotFound, format!("No such manifest: {reference}"))
}

fn parsed(bytes: &[u8], reference: &Reference) -> Result<Value, CliError> {
    serde_json::from_slice(bytes)
        .map_err(|error| CliError::invalid(format!("manifest {reference}: {error}")))
}

fn list_shown(list: &ManifestList, verbose: bool) -> Result<Value, CliError> {
    if verbose {
        let entries = list.entries.iter();
        return entries.map(|entry| entry_shown(entry, true)).collect();
    }
    parsed(&list.index()?, &list.reference)
}

fn entry_shown(entry: &ListEntry, verbose: bool) -> Result<Value, CliError> {
    let bytes = entry.manifest.as_bytes();
    if verbose {
        let raw = RawManifest {
            digest: entry.digest,
            media_type: entry.media_type.clone(),
            bytes: bytes.to_vec(),
        };
        return described(&entry.reference, &raw, entry.platform.as_ref());
    }
    parsed(bytes, &entry.reference)
}

/// Docker's verbose form: one object, or a list with one for each platform.
fn verbose(
    registry: &Registry,
    reference: &Reference,
    raw: &RawManifest,
) -> Result<Value, CliError> {
    let Document::Index(index) = raw.document(reference)? else {
        return described(reference, raw, None);
    };
    let mut list = Vec::new();
    for entry in &index.manifests {
        let text = format!(
            "{}/{}@{}",
            reference.domain(),
            reference.path(),
            entry.digest
        );
        let one = Reference::parse_untagged(&text)?;
        let raw = registry.manifest(&one)?;
        let platform = entry.platform.as_ref().map(ListedPlatform::from);
        list.push(described(&one, &raw, platform.as_ref())?);
    }
    Ok(Value::Array(list))
}

fn described(
    reference: &Reference,
    raw: &RawManifest,
    platform: Option<&ListedPlatform>,
) -> Result<Value, CliError> {
    let key = if raw.media_type.contains("docker") {
        "SchemaV2Manifest"
    } else {
        "OCIManifest"
    };
    let mut descriptor = json!({
        "mediaType": raw.media_type,
        "digest": raw.digest,
        "size": raw.bytes.len(),
    });
    if let Some(platform) = platform {
        descriptor["platform"] = json!(platform);
    }
    let mut shown = json!({ "Ref": reference.to_string(), "Descriptor": descriptor });
    shown[key] = parsed(&raw.bytes, reference)?;
    Ok(shown)
}
