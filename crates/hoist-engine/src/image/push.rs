//! An image from the store to a registry.
//!
//! A layer that has a blob (pulled, or compressed for an earlier push) is sent as that; the others
//! are compressed now, once, and the result is kept. The manifest under which an image was pulled or
//! pushed is sent again as it was, as long as its layers are the same blobs: the digest of an image
//! does not change on its way through this machine.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    sync::{Mutex, PoisonError, atomic::Ordering},
};

use hoist_core::{
    Digest, Reference,
    image::{
        Descriptor, MEDIA_TYPE_CONFIG, MEDIA_TYPE_LAYER_GZIP, MEDIA_TYPE_LAYER_TAR,
        MEDIA_TYPE_MANIFEST, Manifest,
    },
};
use hoist_registry::{Compression, Pushed as Way, Registry, RegistryError};
use hoist_store::{Codec, LayerBlob, StoreError, StoredImage};

use super::{
    event::{Events, ImageEvent, LayerState, Listener},
    parallel,
};
use crate::{error::EngineError, root::Engine};

/// The level of gzip unless another is asked for: the ratio of level 6 within some per cent, in a
/// third of its time.
const GZIP_LEVEL: u32 = 4;
const ZSTD_LEVEL: i32 = 3;
const MEDIA_TYPE_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const STEP: u64 = 256 * 1024;

/// What to push, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRequest {
    /// A name of an image that is here, with a tag.
    pub reference: Reference,
    /// How its layers shall be compressed. When absent, whatever form they have is right, and those
    /// without are compressed by gzip.
    pub compression: Option<Codec>,
}

/// What was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of the manifest.
    pub digest: Digest,
    /// Bytes of the manifest.
    pub size: u64,
}

impl PushRequest {
    /// The codec of a name and a level; `None` for names and levels that there are not.
    #[must_use]
    pub fn codec(name: &str, level: Option<u32>) -> Option<Codec> {
        match name {
            "gzip" => Some(Codec::Gzip(level.unwrap_or(GZIP_LEVEL)))
                .filter(|_| level.is_none_or(|level| (1..=9).contains(&level))),
            "zstd" => {
                let level = i32::try_from(level.unwrap_or(0)).ok()?;
                match level {
                    0 => Some(Codec::Zstd(ZSTD_LEVEL)),
                    1..=19 => Some(Codec::Zstd(level)),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// A layer on its way.
struct Sent {
    diff_id: Digest,
    blob: Descriptor,
}

impl Engine {
    /// Push an image. Where the registry already means the same by the name, that is one question to
    /// the registry.
    ///
    /// # Errors
    /// [`StoreError::NoSuchImage`] (in [`EngineError::Store`]) when nothing here has that name;
    /// [`EngineError::Registry`].
    pub fn push(
        &self,
        registry: &Registry,
        request: &PushRequest,
        events: &Listener,
    ) -> Result<Pushed, EngineError> {
        let store = self.store();
        let reference = &request.reference;
        let image = store.image(&self.named(reference)?)?;
        events(&ImageEvent::Pushing(reference.clone()));
        let known = self.known_manifest(&image, request.compression)?;
        let there = match registry.digest(reference) {
            // Compressing first would only let the user wait for the same words.
            Err(
                error @ (RegistryError::Connection { .. }
                | RegistryError::NoCredentials { .. }
                | RegistryError::Cancelled),
            ) => return Err(error.into()),
            result => result.ok(),
        };
        if let Some((bytes, _)) = &known
            && there == Some(Digest::of(bytes))
        {
            for diff_id in &image.image.rootfs.diff_ids {
                tell(events, *diff_id, LayerState::Known);
            }
            store.tag_as_in_registry(reference, &image.id, &Digest::of(bytes))?;
            return Ok(pushed(bytes));
        }
        let blobs = match known {
            Some((_, manifest)) => manifest.layers,
            None => self.forms(&image, request.compression, events)?,
        };
        let config = self.send_blobs(registry, reference, &image, &blobs, events)?;
        let bytes = match self.known_manifest(&image, request.compression)? {
            Some((bytes, _)) => bytes,
            None => manifest(config, blobs, self.annotations(&image.id)?)?,
        };
        let digest = registry.push_manifest(reference, &media_type(&bytes), &bytes)?;
        store.put_manifest(&image.id, &bytes)?;
        store.tag_as_in_registry(reference, &image.id, &digest)?;
        Ok(pushed(&bytes))
    }

    /// The manifest of an image as a push without further wishes sends it; its layers are
    /// compressed now where they were not.
    pub(super) fn prepared_manifest(
        &self,
        image: &StoredImage,
        events: &Listener,
    ) -> Result<Vec<u8>, EngineError> {
        if let Some((bytes, _)) = self.known_manifest(image, None)? {
            return Ok(bytes);
        }
        let blobs = self.forms(image, None, events)?;
        let config = descriptor(MEDIA_TYPE_CONFIG, &self.store().config(&image.id)?);
        let bytes = manifest(config, blobs, self.annotations(&image.id)?)?;
        self.store().put_manifest(&image.id, &bytes)?;
        Ok(bytes)
    }

    /// The layers of an image in these forms, and its configuration.
    pub(super) fn send_blobs(
        &self,
        registry: &Registry,
        reference: &Reference,
        image: &StoredImage,
        blobs: &[Descriptor],
        events: &Listener,
    ) -> Result<Descriptor, EngineError> {
        let diff_ids = image.image.rootfs.diff_ids.iter();
        let layers: Vec<Sent> = diff_ids
            .zip(blobs)
            .map(|(diff_id, blob)| Sent {
                diff_id: *diff_id,
                blob: blob.clone(),
            })
            .collect();
        self.send_layers(registry, reference, &layers, events)?;
        self.send_config(registry, reference, image)
    }

    fn send_config(
        &self,
        registry: &Registry,
        reference: &Reference,
        image: &StoredImage,
    ) -> Result<Descriptor, EngineError> {
        let config = self.store().config(&image.id)?;
        let descriptor = descriptor(MEDIA_TYPE_CONFIG, &config);
        let mut open =
            || -> io::Result<Box<dyn Read>> { Ok(Box::new(io::Cursor::new(config.clone()))) };
        registry.push_blob(reference, &descriptor, &mut open, None)?;
        Ok(descriptor)
    }

    /// The image that has exactly this name.
    fn named(&self, reference: &Reference) -> Result<Digest, EngineError> {
        match self.store().resolve(&reference.to_string()) {
            Err(StoreError::NoSuchImage(_)) => Err(EngineError::NotTagged(reference.familiar())),
            result => Ok(result?),
        }
    }

    /// The manifest under which the image was pulled or pushed, when every layer of it has still
    /// the blob that it names, compressed as it should be.
    pub(super) fn known_manifest(
        &self,
        image: &StoredImage,
        codec: Option<Codec>,
    ) -> Result<Option<(Vec<u8>, Manifest)>, EngineError> {
        let Some(bytes) = self.store().manifest(&image.id)? else {
            return Ok(None);
        };
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else {
            return Ok(None);
        };
        let diff_ids = &image.image.rootfs.diff_ids;
        if manifest.layers.len() != diff_ids.len() || manifest.config.digest != image.id {
            return Ok(None);
        }
        for (diff_id, layer) in diff_ids.iter().zip(&manifest.layers) {
            let blobs = self.store().layer_blobs(diff_id)?;
            let fits = codec.is_none_or(|codec| oci_type(&layer.media_type) == codec.media_type());
            if !fits || !blobs.iter().any(|blob| blob.digest == layer.digest) {
                return Ok(None);
            }
        }
        Ok(Some((bytes, manifest)))
    }

    /// A form of every layer, made where there is none.
    fn forms(
        &self,
        image: &StoredImage,
        codec: Option<Codec>,
        events: Events<'_>,
    ) -> Result<Vec<Descriptor>, EngineError> {
        let layers = image.layers.iter();
        layers
            .map(|layer| self.form(layer.diff_id, codec, events))
            .collect()
    }

    /// A form of one layer, made if there is none.
    pub(crate) fn form(
        &self,
        diff_id: Digest,
        codec: Option<Codec>,
        events: Events<'_>,
    ) -> Result<Descriptor, EngineError> {
        let known = match codec {
            Some(_) => None,
            // A plain tar is what an archive brought: the wire wants something shorter.
            None => self
                .store()
                .layer_blobs(&diff_id)?
                .into_iter()
                .find(|blob| oci_type(&blob.media_type) != MEDIA_TYPE_LAYER_TAR),
        };
        let form = match known {
            Some(form) => form,
            None => self.compress(diff_id, codec, events)?,
        };
        Ok(Descriptor {
            media_type: oci_type(&form.media_type).to_owned(),
            digest: form.digest,
            size: form.size,
            platform: None,
            annotations: std::collections::BTreeMap::new(),
        })
    }

    fn compress(
        &self,
        diff_id: Digest,
        codec: Option<Codec>,
        events: Events<'_>,
    ) -> Result<LayerBlob, EngineError> {
        let codec = codec.unwrap_or(Codec::Gzip(GZIP_LEVEL));
        let mut told = 0;
        let mut progress = |done| {
            if done - told >= STEP {
                told = done;
                let total = 0;
                tell(events, diff_id, LayerState::Compressing { done, total });
            }
        };
        Ok(self
            .store()
            .compress_layer(&diff_id, codec, &mut progress)?)
    }

    fn send_layers(
        &self,
        registry: &Registry,
        reference: &Reference,
        layers: &[Sent],
        events: Events<'_>,
    ) -> Result<(), EngineError> {
        let neighbours = self.neighbours(reference)?;
        parallel::for_each(layers, &|layer, stop| {
            let neighbour = neighbours
                .iter()
                .find(|(_, layers)| layers.contains(&layer.diff_id))
                .map(|(neighbour, _)| neighbour);
            let failure = Mutex::new(None);
            let mut open = || -> io::Result<Box<dyn Read>> {
                if stop.load(Ordering::Relaxed) {
                    return Err(io::Error::other("another layer could not be pushed"));
                }
                match self.store().open_blob(&layer.blob.digest) {
                    Ok(file) => Ok(Box::new(Told {
                        file,
                        diff_id: layer.diff_id,
                        total: layer.blob.size,
                        events: Listener::clone(events),
                        done: 0,
                        told: 0,
                    })),
                    Err(error) => {
                        let text = hoist_core::error::chain(&error);
                        *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        Err(io::Error::other(text))
                    }
                }
            };
            let total = layer.blob.size;
            tell(
                events,
                layer.diff_id,
                LayerState::Pushing { done: 0, total },
            );
            let way = registry.push_blob(reference, &layer.blob, &mut open, neighbour);
            if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
                return Err(error.into());
            }
            let state = match (way?, neighbour) {
                (Way::Present, _) => LayerState::Known,
                (Way::Mounted, Some(from)) => LayerState::Mounted(from.familiar_name()),
                _ => LayerState::Pushed,
            };
            tell(events, layer.diff_id, state);
            Ok(())
        })
    }

    /// The other repositories of the same registry that this machine knows, with the layers of
    /// their images.
    fn neighbours(
        &self,
        reference: &Reference,
    ) -> Result<Vec<(Reference, Vec<Digest>)>, EngineError> {
        let store = self.store();
        let mut neighbours = Vec::new();
        for summary in store.images()? {
            for name in &summary.references {
                if name.domain() == reference.domain()
                    && name.path() != reference.path()
                    && (name.digest().is_some() || store.registry_digest(name)?.is_some())
                {
                    let layers = store.image(&summary.id)?.image.rootfs.diff_ids;
                    neighbours.push((name.clone(), layers));
                }
            }
        }
        Ok(neighbours)
    }
}

/// A blob that is told about while it is sent.
struct Told {
    file: File,
    diff_id: Digest,
    total: u64,
    events: Listener,
    done: u64,
    told: u64,
}

impl Read for Told {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.done += count as u64;
        if self.done - self.told >= STEP {
            self.told = self.done;
            let (done, total) = (self.done, self.total);
            let state = LayerState::Pushing { done, total };
            tell(&self.events, self.diff_id, state);
        }
        Ok(count)
    }
}

fn tell(events: Events<'_>, layer: Digest, state: LayerState) {
    events(&ImageEvent::Layer { layer, state });
}

fn pushed(manifest: &[u8]) -> Pushed {
    Pushed {
        digest: Digest::of(manifest),
        size: manifest.len() as u64,
    }
}

/// OCI's type of a layer that Docker's may be given for.
fn oci_type(media_type: &str) -> &'static str {
    match Compression::of_media_type(media_type) {
        Some(Compression::None) => MEDIA_TYPE_LAYER_TAR,
        Some(Compression::Zstd) => MEDIA_TYPE_LAYER_ZSTD,
        Some(Compression::Gzip) | None => MEDIA_TYPE_LAYER_GZIP,
    }
}

pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        platform: None,
        annotations: std::collections::BTreeMap::new(),
    }
}

/// The bytes of an OCI manifest.
pub(crate) fn manifest(
    config: Descriptor,
    layers: Vec<Descriptor>,
    annotations: BTreeMap<String, String>,
) -> Result<Vec<u8>, EngineError> {
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MEDIA_TYPE_MANIFEST.to_owned()),
        config,
        layers,
        annotations,
    };
    serde_json::to_vec(&manifest)
        .map_err(|error| EngineError::invalid(format!("the manifest cannot be written: {error}")))
}

/// What a manifest says that it is; OCI allows it to say nothing.
pub(super) fn media_type(manifest: &[u8]) -> String {
    serde_json::from_slice::<Manifest>(manifest)
        .ok()
        .and_then(|manifest| manifest.media_type)
        .unwrap_or_else(|| MEDIA_TYPE_MANIFEST.to_owned())
}
