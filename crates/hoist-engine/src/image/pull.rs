//! An image from a registry into the store.
//!
//! Every layer that is not here is fetched, verified, inflated and unpacked in one pass, several of
//! them at the same time. What has arrived of a blob survives an interruption, and the next pull
//! goes on from there; of two pulls of one blob at the same time one fetches it, and the other waits.
//! The name comes last, when everything else has reached the disk.

use std::sync::atomic::Ordering;

use hoist_core::{
    Digest, Platform, Reference,
    image::{Image, Manifest},
};
use hoist_registry::{Registry, Resolved};

use super::{
    event::{Events, ImageEvent, LayerState, Listener},
    fits_platform,
    layer::Wanted,
    parallel,
};
use crate::{artifact::InRegistry, error::EngineError, root::Engine};

/// What to pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// The name, with a tag or a digest.
    pub reference: Reference,
    /// What it shall run on; this machine when absent.
    pub platform: Option<Platform>,
}

/// What was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The image.
    pub id: Digest,
    /// What the registry means by the name: a manifest or an index.
    pub digest: Digest,
    /// False when the image was here already.
    pub is_new: bool,
}

impl Engine {
    /// Pull an image. Where the name already means what the registry means by it, that is one
    /// question to the registry, and none where a digest is the name.
    ///
    /// # Errors
    /// [`EngineError::Registry`]; [`EngineError::Invalid`] for what is no image of a container;
    /// [`EngineError::Store`] when a layer cannot be unpacked.
    pub fn pull(
        &self,
        registry: &Registry,
        request: &PullRequest,
        events: &Listener,
    ) -> Result<Pulled, EngineError> {
        let reference = &request.reference;
        if let Some(pulled) = self.up_to_date(registry, request)? {
            events(&ImageEvent::Pulling(reference.clone()));
            return Ok(pulled);
        }
        let host = Platform::host();
        let platform = request.platform.as_ref().unwrap_or(&host);
        let resolved = registry.resolve(reference, platform)?;
        events(&ImageEvent::Pulling(reference.clone()));
        let config = registry.config(reference, &resolved.manifest.config)?;
        let layers = wanted(reference, &resolved.manifest, &config)?;
        let found = parse(reference, &config)?.platform;
        fits_platform(&reference.familiar(), &found, request.platform.as_ref())?;
        for layer in &layers {
            tell(events, layer, LayerState::Waiting);
        }
        let origin = InRegistry::new(registry.clone(), reference.clone(), platform.clone());
        let cancelled = &registry.options().cancelled;
        parallel::for_each(&layers, &|layer, stop| {
            let told = |state| tell(events, layer, state);
            let is_stopped = || stop.load(Ordering::Relaxed) || cancelled.load(Ordering::Relaxed);
            self.fetch_layer(&origin, layer, &told, &is_stopped)
        })?;
        self.record_pulled(reference, &resolved, &config)
    }

    /// The configuration of an image, byte for byte, and nothing else of it.
    ///
    /// # Errors
    /// As [`pull`](Self::pull).
    pub fn describe(registry: &Registry, request: &PullRequest) -> Result<Vec<u8>, EngineError> {
        let host = Platform::host();
        let platform = request.platform.as_ref().unwrap_or(&host);
        let resolved = registry.resolve(&request.reference, platform)?;
        let config = registry.config(&request.reference, &resolved.manifest.config)?;
        let found = parse(&request.reference, &config)?.platform;
        let name = request.reference.familiar();
        fits_platform(&name, &found, request.platform.as_ref())?;
        Ok(config)
    }

    /// The image, when the registry still means the same by its name and everything of it is here.
    fn up_to_date(
        &self,
        registry: &Registry,
        request: &PullRequest,
    ) -> Result<Option<Pulled>, EngineError> {
        let store = self.store();
        let reference = &request.reference;
        // What is damaged is pulled again.
        let Ok(Some(digest)) = store.registry_digest(reference) else {
            return Ok(None);
        };
        let id = store.resolve(&reference.to_string())?;
        let Ok(image) = store.image(&id) else {
            return Ok(None);
        };
        for diff_id in &image.image.rootfs.diff_ids {
            if !store.is_whole_layer(diff_id)? {
                return Ok(None);
            }
        }
        if !self.has_manifest(&id) {
            return Ok(None);
        }
        let platform = request.platform.as_ref();
        if platform.is_some_and(|wanted| *wanted != image.image.platform)
            || (reference.digest().is_none() && registry.digest(reference)? != digest)
        {
            return Ok(None);
        }
        Ok(Some(Pulled {
            id,
            digest,
            is_new: false,
        }))
    }

    /// Whether the manifest under which an image was pulled is here, and is one of it.
    fn has_manifest(&self, id: &Digest) -> bool {
        let bytes = self.store().manifest(id).ok().flatten();
        bytes
            .and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok())
            .is_some_and(|manifest| manifest.config.digest == *id)
    }

    fn record_pulled(
        &self,
        reference: &Reference,
        resolved: &Resolved,
        config: &[u8],
    ) -> Result<Pulled, EngineError> {
        let store = self.store();
        let id = store.put_config(config)?;
        store.put_manifest(&id, &resolved.raw.bytes)?;
        store.sync()?;
        let before = store.resolve(&reference.to_string()).ok();
        store.tag_as_in_registry(reference, &id, &resolved.digest)?;
        Ok(Pulled {
            id,
            digest: resolved.digest,
            is_new: before != Some(id),
        })
    }
}

fn tell(events: Events<'_>, layer: &Wanted<'_>, state: LayerState) {
    events(&ImageEvent::Layer {
        layer: layer.blob.digest,
        state,
    });
}

fn parse(reference: &Reference, config: &[u8]) -> Result<Image, EngineError> {
    serde_json::from_slice(config).map_err(|error| EngineError::Invalid {
        message: format!(
            "{} is no image of a container: its configuration is malformed: {error}",
            reference.familiar()
        ),
        hint: None,
    })
}

/// The layers of an image with their blobs.
fn wanted<'a>(
    reference: &Reference,
    manifest: &'a Manifest,
    config: &[u8],
) -> Result<Vec<Wanted<'a>>, EngineError> {
    let image = parse(reference, config)?;
    let diff_ids = image.rootfs.diff_ids;
    if diff_ids.len() != manifest.layers.len() {
        return Err(EngineError::invalid(format!(
            "{} is malformed: its manifest has {} layers, its configuration {}",
            reference.familiar(),
            manifest.layers.len(),
            diff_ids.len()
        )));
    }
    let layers = manifest.layers.iter().zip(diff_ids);
    Ok(layers
        .map(|(blob, diff_id)| Wanted { blob, diff_id })
        .collect())
}
