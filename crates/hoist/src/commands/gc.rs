//! `system gc`: images go by age and size. And the plans of `prune --dry-run`, which look the same.

use std::process::ExitCode;

use hoist_core::units;
use hoist_engine::{
    Engine,
    image::GcPolicy,
    system::{Planned, PlannedKind},
};
use serde_json::{Value, json};

use super::rmi;
use crate::{
    args::store::GcFlags,
    cli::Call,
    error::{CliError, Failure},
    format::{self, Listing, Row},
    ui,
};

/// For `--help`.
pub(crate) const EXAMPLES: &str = "
  What would go if images were kept for 30 days, except those of python?
    hoist system gc --dry-run --max-age 30d --keep 'python:*'

  The same every day, by builds and pulls: in $HOIST_ROOT/gc.json
    {\"maxAge\": \"30d\", \"maxSize\": \"50GB\", \"keep\": [\"python:*\"]}
";

const HEADINGS: &[(&str, &str)] = &[
    ("Fate", ""),
    ("Kind", "TYPE"),
    ("ID", "ID"),
    ("Names", "NAMES"),
    ("Size", "SIZE"),
    ("Reason", "REASON"),
];
const COLUMNS: &[&str] = &["Fate", "Kind", "ID", "Names", "Size", "Reason"];

/// `system gc [OPTIONS]`.
pub(crate) fn gc(call: &Call<'_>, flags: &GcFlags, _: &[String]) -> Result<ExitCode, CliError> {
    let engine = call.working_engine()?;
    let policy = policy(&engine, flags)?;
    let kept = hoist_build::cached_layers(&engine)?;
    let report = if flags.dry_run {
        engine.plan_gc(&policy, &kept)?
    } else {
        engine.collect_images(&policy, &kept)?
    };
    if flags.format.is_some() {
        ui::line(&format::indented(&document(&report.planned, report.space)))?;
    } else if flags.dry_run {
        show_plan(&report.planned, report.space)?;
    } else {
        ui::out(&rmi::lines(&report.removed))?;
        let space = units::human_size_precise(report.space);
        ui::line(&format!("Total reclaimed space: {space}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The policy of the data root, with the flags in place of what they say.
fn policy(engine: &Engine, flags: &GcFlags) -> Result<GcPolicy, CliError> {
    let mut policy = engine.gc_policy()?;
    policy.dangling_max_age = flags.dangling_max_age.or(policy.dangling_max_age);
    policy.max_age = flags.max_age.or(policy.max_age);
    policy.max_bytes = flags.max_size.or(policy.max_bytes);
    policy.keep.extend(flags.keep.iter().cloned());
    Ok(policy)
}

/// Tidy up once a day, when a command has added to the data root. That it cannot be done is told, and
/// no failure of the command.
pub(super) fn daily(engine: &Engine) {
    if let Err(error) = hoist_build::collect_daily(engine) {
        let mut failure = Failure::from_error(&error);
        failure.message = format!("the daily tidying was left out: {}", failure.message);
        ui::error(&failure.text("Warning"));
    }
}

/// Print what would go and what stays, each with its reason.
pub(super) fn show_plan(planned: &[Planned], space: u64) -> Result<(), CliError> {
    let rows: Vec<Row> = planned.iter().map(row).collect();
    let listing = Listing {
        headings: HEADINGS,
        columns: COLUMNS,
    };
    ui::out(&listing.render(&rows, None)?)?;
    let space = units::human_size_precise(space);
    ui::line(&format!("Total reclaimable space: {space}"))
}

fn row(planned: &Planned) -> Row {
    let fate = if planned.verdict.goes() {
        "goes"
    } else {
        "stays"
    };
    let id = planned.id.strip_prefix("sha256:").unwrap_or(&planned.id);
    let names = match (planned.kind, planned.names.as_slice()) {
        (PlannedKind::Image, []) => "<none>".to_owned(),
        (_, names) => names.join(","),
    };
    Row::new([
        ("Fate", fate.to_owned()),
        ("Kind", planned.kind.as_str().to_owned()),
        ("ID", id.chars().take(12).collect()),
        ("Names", names),
        ("Size", units::human_size(planned.bytes)),
        ("Reason", planned.verdict.reason().to_owned()),
    ])
}

fn document(planned: &[Planned], space: u64) -> Value {
    let items = planned.iter().map(|planned| {
        json!({
            "Type": planned.kind.as_str(),
            "Id": planned.id,
            "Names": planned.names,
            "Size": planned.bytes,
            "Goes": planned.verdict.goes(),
            "Reason": planned.verdict.reason(),
        })
    });
    json!({ "Space": space, "Items": items.collect::<Vec<_>>() })
}
