//! `system prune`: what nothing uses goes.

use std::{process::ExitCode, time::SystemTime};

use hoist_build::Prune;
use hoist_core::{
    time::{self, Timestamp},
    units,
};
use hoist_engine::system::{PruneFilter, PruneRequest, Pruned};

use super::{gc, rmi};
use crate::{
    args::{
        filter::{Filter, Filters},
        system::PruneFlags,
    },
    cli::Call,
    error::CliError,
    settings, ui,
};

/// `system prune [OPTIONS]`.
pub(crate) fn prune(
    call: &Call<'_>,
    flags: &PruneFlags,
    _: &[String],
) -> Result<ExitCode, CliError> {
    let filter = filter(&flags.filter)?;
    let mut request = PruneRequest {
        all_images: flags.all,
        volumes: flags.volumes,
        kept_layers: Vec::new(),
        filter,
    };
    if flags.dry_run {
        let engine = call.working_engine()?;
        if !flags.all {
            request.kept_layers = hoist_build::cached_layers(&engine)?;
        }
        let plan = engine.plan_prune(None, &request)?;
        gc::show_plan(&plan.planned, plan.space)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !flags.force && !ui::confirm(&warning(flags))? {
        ui::note("system prune has been cancelled");
        return Ok(ExitCode::FAILURE);
    }
    let engine = call.working_engine()?;
    let cache = if flags.all {
        Prune::All
    } else {
        request.kept_layers = hoist_build::cached_layers(&engine)?;
        Prune::Unusable
    };
    let mut pruned = engine.prune(&request)?;
    pruned.space += hoist_build::prune_cache(&engine, cache)?;
    ui::out(&report(&pruned))?;
    Ok(ExitCode::SUCCESS)
}

/// What the filters of a `prune` choose: `label`, `label!` and `until`.
pub(super) fn filter(flags: &[Filter]) -> Result<PruneFilter, CliError> {
    let filters =
        Filters::checked(flags, &["label", "label!", "until"]).map_err(CliError::invalid)?;
    let texts = |key| filters.values(key).map(str::to_owned).collect();
    let mut until = filters.values("until");
    let last = until.next();
    if until.next().is_some() {
        return Err(CliError::invalid("more than one until filter specified"));
    }
    let now = Timestamp::from(SystemTime::now());
    let moment = last.map(|text| time::parse_since(text, now, settings::local_offset_seconds()));
    Ok(PruneFilter {
        labels: texts("label"),
        without_labels: texts("label!"),
        until: moment.transpose()?,
    })
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
