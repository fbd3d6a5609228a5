//! The image: configuration, history, layers, names.

use hoist_core::{
    Digest,
    event::BuildEvent,
    image::{Image, RootFs},
    time::Timestamp,
};

use crate::{
    error::BuildError,
    exchange::{CacheExport, CacheTarget, send::ImageWithCache},
    execute::{StageResult, Worker},
    history,
    plan::Base,
    request::{BuildRequest, Built, BuiltLayer, Trace},
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
    let id = match request.trace {
        Trace::None => store.image_id(&image)?,
        Trace::Full => put(worker, request, result, &image)?,
    };
    if request.trace == Trace::Full {
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
    }
    let made = result.lines.iter().filter(|line| line.has_layer);
    let base = std::iter::repeat_n(None, result.base_layers);
    let instructions = base.chain(made.map(|line| Some(line.text.clone())));
    let sizes = sizes(worker, result)?;
    let layers = result.layers.iter().zip(sizes).zip(instructions);
    Ok(Built {
        id,
        layers: layers
            .map(|((diff_id, size), instruction)| BuiltLayer {
                diff_id: *diff_id,
                size,
                instruction,
            })
            .collect(),
        steps: worker.plan.total,
        cached: 0,
        warnings: Vec::new(),
        image,
        trail: worker.trail(),
        epoch: worker.times.epoch(),
    })
}

/// Write the configuration of the image; with its cache where that is asked for.
fn put(
    worker: &Worker<'_>,
    request: &BuildRequest,
    result: &StageResult,
    image: &Image,
) -> Result<Digest, BuildError> {
    let store = worker.engine.store();
    let is_inline = |export: &CacheExport| matches!(export.to, CacheTarget::Inline);
    if !request.cache_to.iter().any(is_inline) {
        return Ok(store.put_image(image)?);
    }
    let cache = worker.inline_document(result);
    let bytes = serde_json::to_vec(&ImageWithCache { image, cache });
    let bytes = bytes.map_err(|error| BuildError::Io {
        action: "write",
        path: "the configuration of the image".into(),
        source: error.into(),
    })?;
    Ok(store.put_config(&bytes)?)
}

/// Bytes in each layer. What came from elsewhere may have told any number.
fn sizes(worker: &Worker<'_>, result: &StageResult) -> Result<Vec<u64>, BuildError> {
    if !worker.elsewhere.has_fetched() {
        return Ok(result.sizes.clone());
    }
    let store = worker.engine.store();
    let layers = result.layers.iter();
    let sizes = layers.map(|layer| Ok(store.layer(layer)?.size));
    sizes.collect()
}

fn image(worker: &Worker<'_>, request: &BuildRequest, result: &StageResult) -> Image {
    let target = worker.plan.target();
    let fallback = result.base_created.unwrap_or(Timestamp::EPOCH);
    let epoch = worker.times.created();
    let history = history::complete(&result.base_history, &result.lines, fallback, epoch);
    let mut config = target.config.config.clone();
    config.labels.extend(request.labels.clone());
    Image {
        created: match epoch {
            Some(epoch) => Some(epoch.to_string()),
            None => history.last().and_then(|entry| entry.created.clone()),
        },
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
