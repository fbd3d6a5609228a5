//! Images: configurations by their digest, with a record that spares the start path every look at
//! the layers.

use std::{cmp::Reverse, collections::BTreeMap, io, time::SystemTime};

use hoist_core::{Digest, Reference, image::Image};
use hoist_sys::atomic::{self, Durability};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
use serde::{Deserialize, Serialize};

use crate::{
    drafts::list,
    error::{Result, StoreError},
    layer::{Layer, LayerRecord},
    layout::digest_of_name,
    store::{Store, read_record, write_record},
};

/// An image with its layers.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredImage {
    /// The digest of the configuration.
    pub id: Digest,
    /// The configuration.
    pub image: Image,
    /// Bytes of content in all layers.
    pub size: u64,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
}

/// What a list of images shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// The digest of the configuration.
    pub id: Digest,
    /// The names of the image, in the order of their text.
    pub references: Vec<Reference>,
    /// RFC 3339, when the image was made, as the configuration says.
    pub created: Option<String>,
    /// Bytes of content in all layers.
    pub size: u64,
    /// The labels of the configuration.
    pub labels: BTreeMap<String, String>,
    /// When it was put here, or last used ([`Store::note_used`]).
    pub last_used: SystemTime,
}

/// `images/<hex>.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    /// Lowest first.
    pub(crate) layers: Vec<LayerReference>,
    /// The boot in which a layer of it was written, until a sync has confirmed all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unsynced: Option<String>,
}

/// A layer of an image.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct LayerReference {
    pub(crate) diff_id: Digest,
    pub(crate) size: u64,
}

impl ImageRecord {
    /// The record of an image; one that is not there is [`StoreError::NoSuchImage`].
    pub(crate) fn read(store: &Store, id: &Digest) -> Result<Self> {
        match read_record(&store.layout().image(id)) {
            Err(error) if error.is_absent() => Err(StoreError::NoSuchImage(id.to_string())),
            result => result,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// Say that the image has reached the disk; one that is gone meanwhile needs no word.
    pub(crate) fn confirm(store: &Store, id: &Digest) -> Result<()> {
        let mut record = match Self::read(store, id) {
            Err(StoreError::NoSuchImage(_)) => return Ok(()),
            result => result?,
        };
        if record.unsynced.take().is_none() {
            return Ok(());
        }
        write_record(&store.layout().image(id), &record, Durability::Durable)
    }
}

impl Store {
    /// Add an image whose layers are in the store. Adding it again changes nothing. Until it has
    /// a name, it is kept from garbage collection as long as this store value lives.
    ///
    /// # Errors
    /// [`StoreError::NoSuchLayer`] and [`StoreError::Unfinished`] for a layer that is missing;
    /// [`StoreError::File`].
    pub fn put_image(&self, image: &Image) -> Result<Digest> {
        self.put(&self.written(image)?, image)
    }

    /// The id that [`put_image`](Self::put_image) would give to `image`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for one that cannot be written as JSON.
    pub fn image_id(&self, image: &Image) -> Result<Digest> {
        Ok(Digest::of(&self.written(image)?))
    }

    fn written(&self, image: &Image) -> Result<Vec<u8>> {
        serde_json::to_vec(image)
            .map_err(|error| StoreError::damaged(&self.layout().blobs(), &error))
    }

    /// Add an image by the bytes of its configuration, which keep their digest: for those that
    /// come from elsewhere.
    ///
    /// # Errors
    /// [`StoreError::Archive`] when the bytes are no configuration; otherwise as
    /// [`put_image`](Self::put_image).
    pub fn put_config(&self, bytes: &[u8]) -> Result<Digest> {
        let image = serde_json::from_slice(bytes).map_err(|error| StoreError::Archive {
            offset: 0,
            reason: format!("the configuration of the image is malformed: {error}"),
        })?;
        self.put(bytes, &image)
    }

    fn put(&self, bytes: &[u8], image: &Image) -> Result<Digest> {
        let id = Digest::of(bytes);
        let session = self.session()?;
        let hold = self.hold()?;
        session.keep(&id)?;
        if let Ok(known) = ImageRecord::read(self, &id)
            && !self.is_lost(known.unsynced.as_deref())
            && self.config(&id).is_ok()
        {
            if known.unsynced.is_some() {
                self.note_unsynced_image(id);
                for layer in &known.layers {
                    self.note_unsynced_layer(layer.diff_id);
                }
            }
            return Ok(id);
        }
        let mut layers = Vec::with_capacity(image.rootfs.diff_ids.len());
        let mut unsynced = None;
        for diff_id in &image.rootfs.diff_ids {
            let record = LayerRecord::read(self, diff_id)?;
            if record.unsynced.is_some() {
                self.note_unsynced_layer(*diff_id);
                unsynced = record.unsynced;
            }
            layers.push(LayerReference {
                diff_id: *diff_id,
                size: record.size,
            });
        }
        if unsynced.is_some() {
            self.note_unsynced_image(id);
        }
        let blob = self.layout().blob(&id);
        atomic::write(&blob, bytes, 0o644, Durability::Whole)
            .map_err(StoreError::file("write", &blob))?;
        let record = ImageRecord {
            created: image.created.clone(),
            labels: image.config.labels.clone(),
            layers,
            unsynced,
        };
        write_record(&self.layout().image(&id), &record, Durability::Whole)?;
        drop(hold);
        Ok(id)
    }

    /// The configuration of an image, byte for byte: its digest is the id.
    ///
    /// # Errors
    /// [`StoreError::NoSuchImage`]; [`StoreError::Damaged`] when the bytes are not what the digest
    /// says.
    pub fn config(&self, id: &Digest) -> Result<Vec<u8>> {
        let path = self.layout().blob(id);
        let bytes = atomic::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::NoSuchImage(id.to_string()),
            _ => StoreError::file("read", &path)(error),
        })?;
        if Digest::of(&bytes) != *id {
            return Err(StoreError::damaged(
                &path,
                &"its content has another digest",
            ));
        }
        Ok(bytes)
    }

    /// An image by its id. Looks at two small files, and at no layer.
    ///
    /// # Errors
    /// [`StoreError::NoSuchImage`]; [`StoreError::Unfinished`] when the machine went down before
    /// it had reached the disk; [`StoreError::Damaged`] when the configuration is not what its
    /// digest says.
    pub fn image(&self, id: &Digest) -> Result<StoredImage> {
        let record = ImageRecord::read(self, id)?;
        if self.is_lost(record.unsynced.as_deref()) {
            return Err(StoreError::Unfinished {
                what: format!("image {id}"),
            });
        }
        let bytes = self.config(id)?;
        let image = serde_json::from_slice(&bytes)
            .map_err(|error| StoreError::damaged(&self.layout().blob(id), &error))?;
        let layers = record.layers.iter();
        Ok(StoredImage {
            id: *id,
            image,
            size: record.size(),
            layers: layers
                .map(|layer| Layer {
                    diff_id: layer.diff_id,
                    size: layer.size,
                })
                .collect(),
        })
    }

    /// All images, the newest first.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Damaged`].
    pub fn images(&self) -> Result<Vec<ImageSummary>> {
        let mut names: BTreeMap<Digest, Vec<Reference>> = BTreeMap::new();
        for (reference, id) in self.names()? {
            names.entry(id).or_default().push(reference);
        }
        let mut images = Vec::new();
        for (id, record) in self.image_records()? {
            let record_file = std::fs::metadata(self.layout().image(&id));
            images.push(ImageSummary {
                id,
                last_used: record_file
                    .and_then(|file| file.modified())
                    .unwrap_or(SystemTime::UNIX_EPOCH),
                references: names.remove(&id).unwrap_or_default(),
                size: record.size(),
                created: record.created,
                labels: record.labels,
            });
        }
        images.sort_by_cached_key(|image| {
            let created = image.created.as_deref();
            let at: Option<jiff::Timestamp> = created.and_then(|text| text.parse().ok());
            (Reverse(at), image.id)
        });
        Ok(images)
    }

    /// Note that an image is used now: the time of its record says when it was last. On a file system
    /// that takes no such note it grows old.
    pub fn note_used(&self, id: &Digest) {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let times = Timestamps {
            last_access: now,
            last_modification: now,
        };
        let _ = utimensat(CWD, self.layout().image(id), &times, AtFlags::empty());
    }

    pub(crate) fn image_ids(&self) -> Result<Vec<Digest>> {
        let paths = list(&self.layout().images())?;
        Ok(paths
            .iter()
            .filter_map(|path| digest_of_name(path))
            .collect())
    }

    pub(crate) fn image_records(&self) -> Result<Vec<(Digest, ImageRecord)>> {
        let mut records = Vec::new();
        for id in self.image_ids()? {
            match ImageRecord::read(self, &id) {
                Ok(record) => records.push((id, record)),
                // Removed since the list was made.
                Err(StoreError::NoSuchImage(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }
}
