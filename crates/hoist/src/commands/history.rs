//! `history`: the instructions that made an image.

use std::{process::ExitCode, time::SystemTime};

use hoist_core::{duration, time::Timestamp, units};
use hoist_engine::EngineError;

use super::images;
use crate::{
    args::image::HistoryFlags,
    cli::Call,
    error::CliError,
    format::{self, Listing, Row},
    settings, ui,
};

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];
const HUMAN: &[&str] = &["ID", "CreatedSince", "CreatedBy", "Size", "Comment"];
const EXACT: &[&str] = &["ID", "CreatedAt", "CreatedBy", "Size", "Comment"];
const MISSING: &str = "<missing>";

/// `history [OPTIONS] IMAGE`.
pub(crate) fn history(
    call: &Call<'_>,
    flags: &HistoryFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let engine = call.engine()?;
    let store = engine.store();
    let id = store.resolve(&words[0]).map_err(EngineError::from)?;
    let stored = store.image(&id).map_err(EngineError::from)?;
    hoist_engine::image::fits_platform(&words[0], &stored.image.platform, flags.platform.as_ref())?;
    let now: Timestamp = SystemTime::now().into();
    // An image made elsewhere may have no history: its layers are all there is to tell.
    let mut sizes = stored.layers.iter().map(|layer| layer.size);
    let mut rows: Vec<Row> = Vec::new();
    for entry in &stored.image.history {
        let size = if entry.empty_layer {
            0
        } else {
            sizes.next().unwrap_or(0)
        };
        let created = images::made(entry.created.as_deref());
        rows.push(row(
            flags,
            &Entry {
                created,
                now,
                size,
                by: entry.created_by.as_deref(),
                comment: entry.comment.as_deref(),
            },
        ));
    }
    rows.extend(sizes.map(|size| {
        row(
            flags,
            &Entry {
                created: Timestamp::ZERO,
                now,
                size,
                by: None,
                comment: None,
            },
        )
    }));
    rows.reverse();
    if let Some(newest) = rows.first_mut() {
        newest.set("ID", format::image_id(&id, flags.no_trunc));
    }
    if flags.quiet {
        let ids = rows.iter().map(|row| row.text("ID"));
        ui::out(&ids.map(|id| format!("{id}\n")).collect::<String>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let columns = if flags.human { HUMAN } else { EXACT };
    ui::out(
        &Listing {
            headings: HEADINGS,
            columns,
        }
        .render(&rows, flags.format.as_deref())?,
    )?;
    Ok(ExitCode::SUCCESS)
}

struct Entry<'a> {
    created: Timestamp,
    now: Timestamp,
    size: u64,
    by: Option<&'a str>,
    comment: Option<&'a str>,
}

fn row(flags: &HistoryFlags, entry: &Entry<'_>) -> Row {
    let created_at = settings::local_rfc3339(entry.created);
    let since = match (
        flags.human,
        entry.created > Timestamp::from_seconds(946_684_800),
    ) {
        (false, _) => created_at.clone(),
        // Reproducible builds have no date worth telling.
        (true, false) => String::new(),
        (true, true) => format!("{} ago", duration::human(entry.now.since(entry.created))),
    };
    let by = entry.by.unwrap_or_default().replace('\t', " ");
    Row::new([
        ("ID", MISSING.to_owned()),
        ("CreatedSince", since),
        ("CreatedAt", created_at),
        (
            "CreatedBy",
            if flags.no_trunc {
                by
            } else {
                format::ellipsis(&by, 45)
            },
        ),
        (
            "Size",
            if flags.human {
                units::human_size(entry.size)
            } else {
                entry.size.to_string()
            },
        ),
        ("Comment", entry.comment.unwrap_or_default().to_owned()),
    ])
}
