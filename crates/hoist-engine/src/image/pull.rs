//! An image from a registry into the store.
//!
//! Every layer that is not here is fetched, verified, inflated and unpacked in one pass, several of
//! them at the same time. What has arrived of a blob survives an interruption, and the next pull
//! goes on from there; of two pulls of one blob at the same time one fetches it, and the other waits.
//! The name comes last, when everything else has reached the disk.

use std::{
    io::{self, Read},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use hoist_core::{
    Digest, Platform, Reference,
    image::{Descriptor, Image, Manifest},
};
use hoist_registry::{BlobReader, Registry, RegistryError, Resolved};
use hoist_store::{BlobDraft, StoreError};

use super::{
    event::{Events, ImageEvent, LayerState, Listener},
    fits_platform, parallel,
};
use crate::{error::EngineError, root::Engine};

/// Between two looks at a blob that another process fetches.
const LOOK: Duration = Duration::from_millis(50);
/// The least that is fetched between two words about it.
const STEP: u64 = 256 * 1024;

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

/// A layer to fetch.
struct Wanted<'a> {
    blob: &'a Descriptor,
    diff_id: Digest,
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
        parallel::for_each(&layers, &|layer, stop| {
            self.fetch_layer(registry, reference, layer, (events, stop))
        })?;
        self.record_pulled(reference, &resolved, &config)
    }

    /// The image, when the registry still means the same by its name and everything of it is here.
    fn up_to_date(
        &self,
        registry: &Registry,
        request: &PullRequest,
    ) -> Result<Option<Pulled>, EngineError> {
        let store = self.store();
        let reference = &request.reference;
        let Some(digest) = store.registry_digest(reference)? else {
            return Ok(None);
        };
        let id = store.resolve(&reference.to_string())?;
        let Ok(image) = store.image(&id) else {
            return Ok(None);
        };
        for diff_id in &image.image.rootfs.diff_ids {
            if !store.has_layer(diff_id)? {
                return Ok(None);
            }
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

    /// See to it that the store has a layer.
    fn fetch_layer(
        &self,
        registry: &Registry,
        reference: &Reference,
        layer: &Wanted<'_>,
        (events, stop): (Events<'_>, &AtomicBool),
    ) -> Result<(), EngineError> {
        let store = self.store();
        let cancelled =
            || stop.load(Ordering::Relaxed) || registry.options().cancelled.load(Ordering::Relaxed);
        let draft = loop {
            if store.has_layer(&layer.diff_id)? && store.keep_layer(&layer.diff_id).is_ok() {
                tell(events, layer, LayerState::Present);
                return Ok(());
            }
            if cancelled() {
                return Err(EngineError::Cancelled);
            }
            match store.try_begin_blob(&layer.blob.digest)? {
                // Whoever had it before may have finished it.
                Some(draft) if !store.has_layer(&layer.diff_id)? => break draft,
                Some(draft) => draft.discard()?,
                None => std::thread::sleep(LOOK),
            }
        };
        let draft = self.sound(draft, layer)?;
        let rest = Told {
            blob: registry.resume_blob(
                reference,
                layer.blob,
                draft.length(),
                draft.digester().clone(),
            )?,
            layer,
            events,
            stop,
            told: draft.length(),
        };
        let media_type = &layer.blob.media_type;
        store
            .import_layer(draft, rest, media_type, Some(&layer.diff_id))
            .map_err(of_store)?;
        tell(events, layer, LayerState::Pulled);
        Ok(())
    }

    /// A draft that can be gone on with: one that is longer than the blob is begun again.
    fn sound(&self, draft: BlobDraft, layer: &Wanted<'_>) -> Result<BlobDraft, EngineError> {
        if draft.length() <= layer.blob.size {
            return Ok(draft);
        }
        draft.discard()?;
        self.store()
            .try_begin_blob(&layer.blob.digest)?
            .ok_or(EngineError::Cancelled)
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

/// An error of the store; where the registry is behind it, that one.
fn of_store(error: StoreError) -> EngineError {
    let StoreError::Input { offset, source } = error else {
        return error.into();
    };
    match source.downcast::<RegistryError>() {
        Ok(RegistryError::Cancelled) => EngineError::Cancelled,
        Ok(error) => error.into(),
        Err(source) => StoreError::Input { offset, source }.into(),
    }
}

/// A blob that is told about while it is read.
struct Told<'a> {
    blob: BlobReader,
    layer: &'a Wanted<'a>,
    events: Events<'a>,
    stop: &'a AtomicBool,
    told: u64,
}

impl Read for Told<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("another layer could not be pulled"));
        }
        let count = self.blob.read(buffer)?;
        let done = self.blob.offset();
        let total = self.layer.blob.size;
        if count == 0 && self.told != u64::MAX {
            tell(self.events, self.layer, LayerState::Downloaded);
            self.told = u64::MAX;
        } else if count > 0 && done - self.told >= STEP {
            self.told = done;
            let state = LayerState::Downloading { done, total };
            tell(self.events, self.layer, state);
        }
        Ok(count)
    }
}
