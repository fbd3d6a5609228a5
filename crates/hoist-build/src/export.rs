//! The image: configuration, history, layers, names.

use hoist_core::{
    event::BuildEvent,
    image::{Image, RootFs},
    time::Timestamp,
};

use crate::{
    error::BuildError,
    execute::{StageResult, Worker},
    history,
    plan::Base,
    request::{BuildRequest, Built, BuiltLayer},
};

/// Write the image that `result`, the target stage, has become. `cached` and `warnings` of what is
/// returned are for the caller to fill.
pub(crate) fn export(
    worker: &Worker<'_>,
    request: &BuildRequest,
    result: &StageResult,
) -> Result<Built, BuildError> {
    (worker.events)(BuildEvent::Exporting {
        layers: result.layers.len(),
    });
    let image = image(worker, request, result);
    let store = worker.engine.store();
    let id = store.put_image(&image)?;
    let is_base = matches!(&worker.plan.target().base, Base::Image(base) if base.id == id);
    if !is_base || !request.annotations.is_empty() {
        worker.engine.annotate(&id, &request.annotations)?;
    }
    if !worker.has_only_found() || store.references(&id)?.is_empty() {
        store.sync()?;
    }
    for reference in &request.tags {
        store.tag(reference, &id)?;
    }
    let made = result.lines.iter().filter(|line| line.has_layer);
    let base = std::iter::repeat_n(None, result.base_layers);
    let instructions = base.chain(made.map(|line| Some(line.text.clone())));
    let layers = result.layers.iter().zip(&result.sizes).zip(instructions);
    Ok(Built {
        id,
        layers: layers
            .map(|((diff_id, size), instruction)| BuiltLayer {
                diff_id: *diff_id,
                size: *size,
                instruction,
            })
            .collect(),
        steps: worker.plan.total,
        cached: 0,
        warnings: Vec::new(),
    })
}

fn image(worker: &Worker<'_>, request: &BuildRequest, result: &StageResult) -> Image {
    let target = worker.plan.target();
    let fallback = result.base_created.unwrap_or(Timestamp::EPOCH);
    let history = history::complete(&result.base_history, &result.lines, fallback);
    let mut config = target.config.config.clone();
    config.labels.extend(request.labels.clone());
    Image {
        created: history.last().and_then(|entry| entry.created.clone()),
        author: target.config.author.clone(),
        platform: target.platform.clone(),
        config,
        rootfs: RootFs {
            diff_ids: result.layers.clone(),
            ..RootFs::default()
        },
        history,
    }
}
