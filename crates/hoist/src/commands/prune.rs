//! `system prune`: what nothing uses goes.

use std::process::ExitCode;

use hoist_build::Prune;
use hoist_core::units;
use hoist_engine::system::{PruneRequest, Pruned};

use super::rmi;
use crate::{
    args::{filter::Filters, system::PruneFlags},
    cli::Call,
    error::CliError,
    ui,
};

/// `system prune [OPTIONS]`.
pub(crate) fn prune(
    call: &Call<'_>,
    flags: &PruneFlags,
    _: &[String],
) -> Result<ExitCode, CliError> {
    let filters = Filters::checked(&flags.filter, &["label"]).map_err(CliError::invalid)?;
    if !flags.force && !ui::confirm(&warning(flags))? {
        ui::note("system prune has been cancelled");
        return Ok(ExitCode::FAILURE);
    }
    let engine = call.working_engine()?;
    let (cache, kept_layers) = if flags.all {
        (Prune::All, Vec::new())
    } else {
        (Prune::Unusable, hoist_build::cached_layers(&engine)?)
    };
    let mut pruned = engine.prune(&PruneRequest {
        all_images: flags.all,
        volumes: flags.volumes,
        kept_layers,
        labels: filters.values("label").map(str::to_owned).collect(),
    })?;
    pruned.space += hoist_build::prune_cache(&engine, cache)?;
    ui::out(&report(&pruned))?;
    Ok(ExitCode::SUCCESS)
}

/// What will go, in Docker's words.
fn warning(flags: &PruneFlags) -> String {
    let mut lines = vec![
        "  - all stopped containers",
        "  - all networks not used by at least one container",
    ];
    if flags.volumes {
        lines.push("  - all anonymous volumes not used by at least one container");
    }
    lines.push(if flags.all {
        "  - all images without at least one container associated to them"
    } else {
        "  - all dangling images"
    });
    lines.push(if flags.all {
        "  - all build cache"
    } else {
        "  - unused build cache"
    });
    let mut text = format!("WARNING! This will remove:\n{}\n", lines.join("\n"));
    if !flags.filter.is_empty() {
        text.push_str("\n  Items to be pruned will be filtered with:\n");
        for filter in &flags.filter {
            text.push_str(&format!("  - {}={}\n", filter.key, filter.value));
        }
    }
    text
}

fn report(pruned: &Pruned) -> String {
    let mut text = String::new();
    let mut section = |heading: &str, lines: String| {
        if !lines.is_empty() {
            text.push_str(&format!("{heading}:\n{lines}\n"));
        }
    };
    section(
        "Deleted Containers",
        pruned
            .containers
            .iter()
            .map(|id| format!("{id}\n"))
            .collect(),
    );
    section(
        "Deleted Volumes",
        pruned
            .volumes
            .iter()
            .map(|name| format!("{name}\n"))
            .collect(),
    );
    section(
        "Deleted Networks",
        pruned
            .networks
            .iter()
            .map(|name| format!("{name}\n"))
            .collect(),
    );
    section(
        "Deleted Images",
        rmi::lines(&pruned.images)
            .replace("Untagged", "untagged")
            .replace("Deleted", "deleted"),
    );
    text.push_str(&format!(
        "Total reclaimed space: {}\n",
        units::human_size_precise(pruned.space)
    ));
    text
}
