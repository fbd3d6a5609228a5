//! `image prune` and `container prune`: one kind of what nothing uses goes.

use std::process::ExitCode;

use hoist_core::units;
use hoist_engine::{
    Engine,
    system::{Prunable, PruneRequest},
};

use super::{gc, prune, rmi};
use crate::{
    args::system::{ContainerPruneFlags, ImagePruneFlags},
    cli::Call,
    error::CliError,
    ui,
};

/// `image prune [OPTIONS]`.
pub(crate) fn images(
    call: &Call<'_>,
    flags: &ImagePruneFlags,
    _: &[String],
) -> Result<ExitCode, CliError> {
    let filter = prune::filter(&flags.filter)?;
    let request = |engine: &Engine| -> Result<PruneRequest, CliError> {
        Ok(PruneRequest {
            all_images: flags.all,
            kept_layers: hoist_build::cached_layers(engine)?,
            filter,
            ..PruneRequest::default()
        })
    };
    if flags.dry_run {
        let engine = call.working_engine()?;
        let plan = engine.plan_prune(Some(Prunable::Images), &request(&engine)?)?;
        gc::show_plan(&plan.planned, plan.space)?;
        return Ok(ExitCode::SUCCESS);
    }
    let warning = if flags.all {
        "WARNING! This will remove all images without at least one container associated to them."
    } else {
        "WARNING! This will remove all dangling images."
    };
    if !flags.force && !ui::confirm(warning)? {
        ui::note("image prune has been cancelled");
        return Ok(ExitCode::FAILURE);
    }
    let engine = call.working_engine()?;
    let pruned = engine.prune_only(Prunable::Images, &request(&engine)?)?;
    let lines = rmi::lines(&pruned.images)
        .replace("Untagged", "untagged")
        .replace("Deleted", "deleted");
    report("Deleted Images", &lines, pruned.space)
}

/// `container prune [OPTIONS]`.
pub(crate) fn containers(
    call: &Call<'_>,
    flags: &ContainerPruneFlags,
    _: &[String],
) -> Result<ExitCode, CliError> {
    let request = PruneRequest {
        filter: prune::filter(&flags.filter)?,
        ..PruneRequest::default()
    };
    if flags.dry_run {
        let engine = call.working_engine()?;
        let plan = engine.plan_prune(Some(Prunable::Containers), &request)?;
        gc::show_plan(&plan.planned, plan.space)?;
        return Ok(ExitCode::SUCCESS);
    }
    let warning = "WARNING! This will remove all stopped containers.";
    if !flags.force && !ui::confirm(warning)? {
        ui::note("container prune has been cancelled");
        return Ok(ExitCode::FAILURE);
    }
    let engine = call.working_engine()?;
    let pruned = engine.prune_only(Prunable::Containers, &request)?;
    let ids = pruned.containers.iter().map(|id| format!("{id}\n"));
    report("Deleted Containers", &ids.collect::<String>(), pruned.space)
}

fn report(heading: &str, lines: &str, space: u64) -> Result<ExitCode, CliError> {
    if !lines.is_empty() {
        ui::line(&format!("{heading}:\n{lines}"))?;
    }
    let space = units::human_size_precise(space);
    ui::line(&format!("Total reclaimed space: {space}"))?;
    Ok(ExitCode::SUCCESS)
}
