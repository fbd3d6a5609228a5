//! `system df`: what takes space.

mod verbose;

use std::process::ExitCode;

use hoist_core::units;
use hoist_engine::system::Usage;

use crate::{
    args::system::DfFlags,
    cli::Call,
    error::CliError,
    format::{Listing, Row},
    ui,
};

const HEADINGS: &[(&str, &str)] = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];
const COLUMNS: &[&str] = &["Type", "TotalCount", "Active", "Size", "Reclaimable"];

/// `system df [OPTIONS]`.
pub(crate) fn disk_usage(
    call: &Call<'_>,
    flags: &DfFlags,
    _: &[String],
) -> Result<ExitCode, CliError> {
    let engine = call.working_engine()?;
    if flags.verbose {
        return verbose::show(&engine, flags.format.as_deref());
    }
    let usage = engine.disk_usage()?;
    let rows = [
        row("Images", &usage.images),
        row("Containers", &usage.containers),
        row("Local Volumes", &usage.volumes),
        row("Build Cache", &usage.build_cache),
    ];
    ui::out(
        &Listing {
            headings: HEADINGS,
            columns: COLUMNS,
        }
        .render(&rows, flags.format.as_deref())?,
    )?;
    Ok(ExitCode::SUCCESS)
}

fn row(kind: &str, usage: &Usage) -> Row {
    let reclaimable = units::human_size_precise(usage.reclaimable);
    let share = (usage.reclaimable * 100).checked_div(usage.size);
    Row::new([
        ("Type", kind.to_owned()),
        ("TotalCount", usage.total.to_string()),
        ("Active", usage.active.to_string()),
        ("Size", units::human_size_precise(usage.size)),
        (
            "Reclaimable",
            match share {
                Some(percent) => format!("{reclaimable} ({percent}%)"),
                None => reclaimable,
            },
        ),
    ])
}
