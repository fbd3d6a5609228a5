//! Images: their configurations, their records, and their manifests.

use std::path::Path;

use hoist_core::{
    Digest,
    image::{Image, Manifest},
};
use hoist_sys::atomic::{self, Durability};

use super::{Check, Finding, Outcome, Part, Remedy, layers::read_exactly, quarantine};
use crate::{
    error::Result,
    image::{ImageRecord, LayerReference},
    layer::LayerRecord,
    store::write_record,
};

impl Check<'_> {
    pub(super) fn images(&mut self) -> Result<()> {
        let named = self.named_by_digest(&self.store.layout().images())?;
        let total = named.len();
        for (number, (id, path)) in named.into_iter().enumerate() {
            self.step(Part::Image, number, total);
            match self.config_of(&id) {
                Err(problem) => self.without_config(&id, &path, problem),
                Ok((_, image)) => self.image(&id, &path, &image),
            }
        }
        self.report.images = total;
        Ok(())
    }

    /// The configuration of an image, verified whatever the depth of the check: it is small.
    pub(super) fn config_of(&self, id: &Digest) -> std::result::Result<(Vec<u8>, Image), String> {
        let bytes = self
            .store
            .config(id)
            .map_err(|error| match error.is_no_such_image() {
                true => "its configuration is missing".to_owned(),
                false => hoist_core::error::chain(&error),
            })?;
        let image = serde_json::from_slice(&bytes)
            .map_err(|error| format!("its configuration is malformed: {error}"))?;
        Ok((bytes, image))
    }

    fn without_config(&mut self, id: &Digest, path: &Path, problem: String) {
        let finding = Finding::new(Part::Image, id.to_string(), path, problem)
            .touching(&[*id])
            .with(Remedy::Fetch);
        self.found(finding, |check| {
            let layout = check.store.layout();
            let exclusive = check.store.exclusive()?;
            quarantine::set_aside(layout, &layout.blob(id))?;
            quarantine::set_aside(layout, &layout.manifest(id))?;
            let place = quarantine::set_aside(layout, path)?;
            drop(exclusive);
            Ok(place.map_or(Outcome::Missing, Outcome::SetAside))
        });
    }

    fn image(&mut self, id: &Digest, path: &Path, image: &Image) {
        let layers = &image.rootfs.diff_ids;
        let incomplete = layers.iter().any(|layer| self.broken.contains(layer));
        let problem = match read_exactly::<ImageRecord>(path) {
            Err(problem) => problem,
            Ok(record) if self.store.is_lost(record.unsynced.as_deref()) => {
                "it was not completely written when the machine went down".to_owned()
            }
            Ok(record) => {
                let same = record.created == image.created
                    && record.labels == image.config.labels
                    && record.layers.len() == layers.len()
                    && record.layers.iter().zip(layers).all(|(known, layer)| {
                        known.diff_id == *layer
                            && (incomplete || self.size_of(layer) == Some(known.size))
                    });
                // What is wrong with a layer was said of the layer.
                if same {
                    return;
                }
                "it says something else than the configuration of the image".to_owned()
            }
        };
        let finding = Finding::new(Part::Image, id.to_string(), path, problem).touching(&[*id]);
        if incomplete {
            let finding = finding.with(Remedy::Fetch);
            self.found(finding, |check| check.set_aside(path));
            return;
        }
        self.found(finding.with(Remedy::Mend), |check| {
            check.write_image(path, image)
        });
    }

    fn size_of(&self, layer: &Digest) -> Option<u64> {
        LayerRecord::read(self.store, layer)
            .ok()
            .map(|record| record.size)
    }

    /// Write the record of an image anew.
    pub(super) fn write_image(&self, path: &Path, image: &Image) -> Result<Outcome> {
        let layers: Result<Vec<LayerReference>> = image
            .rootfs
            .diff_ids
            .iter()
            .map(|diff_id| {
                let record = LayerRecord::read(self.store, diff_id)?;
                Ok(LayerReference {
                    diff_id: *diff_id,
                    size: record.size,
                })
            })
            .collect();
        let record = ImageRecord {
            created: image.created.clone(),
            labels: image.config.labels.clone(),
            layers: layers?,
            unsynced: None,
        };
        let exclusive = self.store.exclusive()?;
        quarantine::set_aside(self.store.layout(), path)?;
        write_record(path, &record, Durability::Durable)?;
        drop(exclusive);
        Ok(Outcome::Mended)
    }

    pub(super) fn manifests(&mut self) -> Result<()> {
        for (id, path) in self.named_by_digest(&self.store.layout().manifests())? {
            let Err(problem) = self.manifest(&id, &path) else {
                continue;
            };
            let finding = Finding::new(Part::Manifest, id.to_string(), &path, problem)
                .touching(&[id])
                // The next pull or push makes another one.
                .with(Remedy::SetAside);
            self.found(finding, |check| check.set_aside(&path));
        }
        Ok(())
    }

    /// Compare a manifest with the configuration and the forms of the layers that it names.
    fn manifest(&self, id: &Digest, path: &Path) -> std::result::Result<(), String> {
        let bytes = atomic::read(path).map_err(|error| format!("it cannot be read: {error}"))?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| format!("it is malformed: {error}"))?;
        if manifest.schema_version != 2 || manifest.config.digest != *id {
            return Err("it is the manifest of another image".to_owned());
        }
        // Of an image that is not here itself nothing more can be said.
        let Ok((config, image)) = self.config_of(id) else {
            return Ok(());
        };
        let layers = &image.rootfs.diff_ids;
        if manifest.config.size != config.len() as u64 || manifest.layers.len() != layers.len() {
            return Err("it says something else than the configuration of the image".to_owned());
        }
        for (blob, layer) in manifest.layers.iter().zip(layers) {
            let known = self.store.layer_blobs(layer).unwrap_or_default();
            let record = LayerRecord::read(self.store, layer);
            // A layer of hoist's own need not have the blob that it was pushed as.
            let Some(same) = known.iter().find(|known| known.digest == blob.digest) else {
                if record.is_ok_and(|record| record.foreign) && known.len() == 1 {
                    return Err(format!("its layer {layer} came as another blob"));
                }
                continue;
            };
            if same.size != blob.size || same.media_type != blob.media_type {
                return Err(format!(
                    "it says something else than the blob {}",
                    blob.digest
                ));
            }
        }
        Ok(())
    }
}
