//! `manifest inspect`: what a registry has under a name.

use std::process::ExitCode;

use hoist_core::{Platform, Reference};
use hoist_registry::{Document, RawManifest, Registry};
use serde_json::{Value, json};

use crate::{
    args::registry::ManifestInspectFlags,
    cli::Call,
    error::CliError,
    ui::{
        self,
        transfer::{Stream, Transfer},
    },
};

/// `manifest inspect [OPTIONS] MANIFEST`.
pub(crate) fn inspect(
    _: &Call<'_>,
    flags: &ManifestInspectFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let reference = Reference::parse(&words[0])?;
    let registry = super::pull::registry(&Transfer::on(Stream::Error))?;
    let raw = registry.manifest(&reference)?;
    let shown = if flags.verbose {
        verbose(&registry, &reference, &raw)?
    } else {
        // A document that cannot be read is refused, not shown.
        raw.document(&reference)?;
        parsed(&raw)?
    };
    let text = serde_json::to_string_pretty(&shown)
        .map_err(|error| CliError::invalid(format!("the manifest cannot be shown: {error}")))?;
    ui::line(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn parsed(raw: &RawManifest) -> Result<Value, CliError> {
    serde_json::from_slice(&raw.bytes)
        .map_err(|error| CliError::invalid(format!("manifest {}: {error}", raw.digest)))
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
        list.push(described(&one, &raw, entry.platform.as_ref())?);
    }
    Ok(Value::Array(list))
}

fn described(
    reference: &Reference,
    raw: &RawManifest,
    platform: Option<&Platform>,
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
    shown[key] = parsed(raw)?;
    Ok(shown)
}
