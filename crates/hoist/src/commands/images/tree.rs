//! `images --tree`: each image with its platform, what it takes on the disk, and whether it is used.

use std::process::ExitCode;

use hoist_core::{Reference, table::Table, units};
use hoist_engine::{Engine, EngineError};

use super::{Chosen, NONE};
use crate::{args::list::ImagesFlags, error::CliError, format, ui};

const HEADINGS: [&str; 5] = ["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"];

/// Refuse what a tree cannot show, in Docker's words.
pub(super) fn check(flags: &ImagesFlags) -> Result<(), CliError> {
    let conflict = |other: &str| {
        Err(CliError::invalid(format!(
            "{other} is not yet supported with --tree"
        )))
    };
    if flags.quiet {
        return conflict("--quiet");
    }
    if flags.digests {
        return conflict("--show-digest");
    }
    if flags.format.is_some() {
        return conflict("--format");
    }
    Ok(())
}

/// Print the images, one below the other with what they are made of.
pub(super) fn show(engine: &Engine, chosen: &[Chosen], whole: bool) -> Result<ExitCode, CliError> {
    let used: Vec<_> = engine
        .survey()?
        .containers
        .into_iter()
        .map(|container| container.record.image)
        .collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for image in chosen {
        let summary = &image.summary;
        let stored = engine
            .store()
            .image(&summary.id)
            .map_err(EngineError::from)?;
        let mut content = 0;
        for layer in &stored.layers {
            let blobs = engine.store().layer_blobs(&layer.diff_id);
            let blobs = blobs.map_err(EngineError::from)?;
            // A layer of hoist's own has no blob until it is pushed.
            content += blobs.iter().map(|blob| blob.size).min().unwrap_or(0);
        }
        let names = image.names.iter().map(|name| {
            name.as_ref()
                .map_or_else(|| format!("{NONE}:{NONE}"), Reference::familiar)
        });
        for name in names {
            let extra = if used.contains(&summary.id) { "U" } else { "" };
            rows.push(vec![
                name,
                format::image_id(&summary.id, whole),
                units::human_size(stored.size + content),
                units::human_size(content),
                extra.to_owned(),
            ]);
        }
        rows.push(vec![
            format!("└─ {}", stored.image.platform),
            format::image_id(&summary.id, whole),
            units::human_size(stored.size + content),
            units::human_size(content),
            String::new(),
        ]);
    }
    let mut table = Table::with_headers(HEADINGS);
    for row in rows {
        table.push(row);
    }
    ui::out(&table.to_string())?;
    ui::out("\nU: in use\n")?;
    Ok(ExitCode::SUCCESS)
}
