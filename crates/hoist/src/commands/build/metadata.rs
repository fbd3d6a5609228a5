//! `--metadata-file`: what the build made, under buildx's names.

use std::path::Path;

use hoist_build::Built;
use hoist_core::{Digest, Reference};
use serde_json::json;

use crate::error::CliError;

/// Write the file at `path`. The digest is that of the manifest, when one was made; an image that
/// stays in the store has none, and is named by its configuration.
pub(super) fn write(
    path: &Path,
    built: &Built,
    manifest: Option<Digest>,
    tags: &[Reference],
) -> Result<(), CliError> {
    let names: Vec<String> = tags.iter().map(ToString::to_string).collect();
    let metadata = json!({
        "containerimage.config.digest": built.id,
        "containerimage.digest": manifest.unwrap_or(built.id),
        "image.name": names.join(","),
    });
    let text = format!("{metadata:#}\n");
    std::fs::write(path, text)
        .map_err(|error| CliError::file("write the metadata to", path, &error))
}
