//! `builder prune` and `builder du`: the build cache.

use std::{process::ExitCode, time::Duration};

use hoist_build::{CacheEntry, CachePolicy, CacheScope, cache_entries, collect_cache};
use hoist_core::{duration, units};

use crate::{
    args::{
        builder::{DuFlags, PruneFlags},
        filter::Filters,
    },
    cli::Call,
    error::CliError,
    format::{Listing, Row, ellipsis},
    ui,
};

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "ID"),
    ("Reclaimable", "RECLAIMABLE"),
    ("Size", "SIZE"),
    ("LastUsedAt", "LAST USED"),
    ("Description", "DESCRIPTION"),
];
const COLUMNS: &[&str] = &["ID", "Reclaimable", "Size", "LastUsedAt", "Description"];

/// How many characters of an instruction are shown.
const WIDTH: usize = 60;

/// How many characters of an id are shown.
const SHORT: usize = 12;

/// `builder prune [OPTIONS]`.
pub(crate) fn prune(
    call: &Call<'_>,
    flags: &PruneFlags,
    _: &[String],
) -> Result<ExitCode, CliError> {
    let filters = Filters::checked(&flags.filter, &["until"]).map_err(CliError::invalid)?;
    let until = filters.values("until").map(age).last().transpose()?;
    let warning = if flags.all {
        "WARNING! This will remove all build cache."
    } else {
        "WARNING! This will remove all build cache that no image has."
    };
    if !flags.force && !ui::confirm(&format!("{warning}\n"))? {
        ui::note("builder prune has been cancelled");
        return Ok(ExitCode::FAILURE);
    }
    let engine = call.working_engine()?;
    let policy = CachePolicy {
        max_age: until,
        max_bytes: flags.keep_storage,
        scope: if flags.all {
            CacheScope::All
        } else {
            CacheScope::Intermediate
        },
    };
    let freed = collect_cache(&engine, &policy)?;
    ui::line(&format!("Total:\t{}", units::human_size_precise(freed)))?;
    Ok(ExitCode::SUCCESS)
}

fn age(text: &str) -> Result<Duration, CliError> {
    duration::parse(text).map_err(|error| {
        CliError::invalid(format!("invalid filter until={text}: {error}"))
            .hint("write how long ago: until=24h")
    })
}

/// `builder du [OPTIONS]`.
pub(crate) fn disk_usage(
    call: &Call<'_>,
    flags: &DuFlags,
    _: &[String],
) -> Result<ExitCode, CliError> {
    let engine = call.working_engine()?;
    let entries = cache_entries(&engine)?;
    let rows: Vec<Row> = entries.iter().map(row).collect();
    let listing = Listing {
        headings: HEADINGS,
        columns: COLUMNS,
    };
    ui::out(&listing.render(&rows, flags.format.as_deref())?)?;
    if flags.format.is_none() {
        let total: u64 = entries.iter().map(|entry| entry.size).sum();
        let reclaimable: u64 = entries.iter().map(CacheEntry::reclaimable).sum();
        ui::line(&format!(
            "Reclaimable:\t{}\nTotal:\t\t{}",
            units::human_size_precise(reclaimable),
            units::human_size_precise(total),
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(entry: &CacheEntry) -> Row {
    Row::new([
        ("ID", entry.id.chars().take(SHORT).collect()),
        (
            "Reclaimable",
            (entry.reclaimable() == entry.size).to_string(),
        ),
        ("Size", units::human_size_precise(entry.size)),
        ("LastUsedAt", entry.last_used().to_string()),
        ("Description", ellipsis(&entry.description, WIDTH)),
    ])
}
