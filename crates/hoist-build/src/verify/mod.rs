//! Building twice, and what the two builds have different.

mod compare;
mod config;

use std::sync::atomic::AtomicBool;

use hoist_core::{Digest, event::BuildEvent};
use hoist_engine::Engine;

pub use compare::{Change, Difference};
pub use config::ConfigDifference;

use crate::{
    build::build,
    cache::cached_layers,
    error::BuildError,
    request::{BuildRequest, Built, BuiltStep, Trace},
};

/// How a second build compares with the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The id of the image that was built first.
    pub first: Digest,
    /// The id that the second build would have had.
    pub second: Digest,
    /// The steps whose layers differ, in the order of the build, with what differs. Steps of other
    /// stages are there, too: what they wrote may have reached the image.
    pub steps: Vec<StepDifference>,
    /// Fields of the configuration that differ, but for the list of layers.
    pub config: Vec<ConfigDifference>,
}

impl Verification {
    /// Both builds gave the same image.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.first == self.second
    }
}

/// A step whose layer came out differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepDifference {
    /// Its stage.
    pub stage: String,
    /// The instruction on one line.
    pub instruction: String,
    /// What differs, in the order of the paths.
    pub differences: Vec<Difference>,
}

/// Build `request` a second time, from nothing, and compare the outcome with `first`, what it
/// gave before. The second build leaves nothing: no name, no record, no layer.
///
/// # Errors
/// [`BuildError`] of the second build, and of layers that cannot be read.
pub fn verify(
    engine: &Engine,
    request: &BuildRequest,
    first: &Built,
    events: &(dyn Fn(BuildEvent) + Sync),
    cancelled: &AtomicBool,
) -> Result<Verification, BuildError> {
    let request = BuildRequest {
        tags: Vec::new(),
        no_cache: true,
        // The bases are those of the first build, whatever their names mean by now.
        fetch: None,
        cache_from: Vec::new(),
        cache_to: Vec::new(),
        trace: Trace::None,
        ..request.clone()
    };
    let verified = build(engine, &request, events, cancelled)
        .and_then(|second| compare_builds(engine, first, &second, cancelled));
    let sweep = engine.store().begin_sweep()?;
    sweep.discard(&cached_layers(engine)?)?;
    verified
}

fn compare_builds(
    engine: &Engine,
    first: &Built,
    second: &Built,
    cancelled: &AtomicBool,
) -> Result<Verification, BuildError> {
    let mut steps = Vec::new();
    // The same Dockerfile has the same steps; a context that changed meanwhile changes layers only.
    for (one, other) in first.trail.iter().zip(&second.trail) {
        // Equal images may have come out of stages that differ: that is nobody's concern.
        if one.diff_id == other.diff_id || first.id == second.id {
            continue;
        }
        let [before, after] = [one, other].map(|step| tree_of(engine, step));
        steps.push(StepDifference {
            stage: one.stage.clone(),
            instruction: one.instruction.clone(),
            differences: compare::layers(before?.as_deref(), after?.as_deref(), cancelled)?,
        });
    }
    Ok(Verification {
        first: first.id,
        second: second.id,
        steps,
        config: config::differences(&first.image, &second.image),
    })
}

/// Where the layer of `step` lies, if it has one.
fn tree_of(engine: &Engine, step: &BuiltStep) -> Result<Option<std::path::PathBuf>, BuildError> {
    let layer = step
        .diff_id
        .map(|layer| engine.store().layer_directory(&layer));
    Ok(layer.transpose()?)
}
