//! `--metadata-file`: what the build made, under buildx's names.

use std::path::Path;

use hoist_build::Built;
use hoist_core::Reference;
use serde_json::json;

use crate::error::CliError;

/// Write the file at `path`.
pub(super) fn write(path: &Path, built: &Built, tags: &[Reference]) -> Result<(), CliError> {
    let names: Vec<String> = tags.iter().map(ToString::to_string).collect();
    let metadata = json!({
        "containerimage.config.digest": built.id,
        "containerimage.digest": built.id,
        "image.name": names.join(","),
    });
    let text = format!("{metadata:#}\n");
    std::fs::write(path, text)
        .map_err(|error| CliError::file("write the metadata to", path, &error))
}
