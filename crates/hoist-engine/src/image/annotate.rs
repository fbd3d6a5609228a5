//! Annotations of the manifest under which an image goes to a registry or into an archive.
//!
//! An image that was built has no manifest before its layers are compressed. Its annotations are
//! kept in one that names the layers' own archives, and the next push takes them over into the
//! manifest that it makes.

use std::collections::BTreeMap;

use hoist_core::{
    Digest,
    image::{Descriptor, MEDIA_TYPE_CONFIG, MEDIA_TYPE_LAYER_TAR, MEDIA_TYPE_MANIFEST, Manifest},
};

use super::push::descriptor;
use crate::{error::EngineError, root::Engine};

impl Engine {
    /// Give the image exactly these annotations; those of a manifest that is here are replaced.
    ///
    /// # Errors
    /// [`EngineError::Store`] when there is no such image, or its records cannot be read.
    pub fn annotate(
        &self,
        image: &Digest,
        annotations: &BTreeMap<String, String>,
    ) -> Result<(), EngineError> {
        let known = self.manifest_of(image)?;
        let found = known.as_ref().map(|manifest| &manifest.annotations);
        if found.map_or(annotations.is_empty(), |found| found == annotations) {
            return Ok(());
        }
        let mut manifest = match known {
            Some(manifest) => manifest,
            None => self.plain_manifest(image)?,
        };
        manifest.annotations.clone_from(annotations);
        let bytes = serde_json::to_vec(&manifest).map_err(|error| {
            EngineError::invalid(format!("the manifest cannot be written: {error}"))
        })?;
        Ok(self.store().put_manifest(image, &bytes)?)
    }

    /// The annotations of the image's manifest; none when there is no manifest.
    ///
    /// # Errors
    /// [`EngineError::Store`] when it cannot be read.
    pub fn annotations(&self, image: &Digest) -> Result<BTreeMap<String, String>, EngineError> {
        let manifest = self.manifest_of(image)?;
        Ok(manifest
            .map(|manifest| manifest.annotations)
            .unwrap_or_default())
    }

    /// The manifest that is kept for the image, when it is about that image.
    fn manifest_of(&self, image: &Digest) -> Result<Option<Manifest>, EngineError> {
        let Some(bytes) = self.store().manifest(image)? else {
            return Ok(None);
        };
        let manifest = serde_json::from_slice::<Manifest>(&bytes).ok();
        Ok(manifest.filter(|manifest| manifest.config.digest == *image))
    }

    fn plain_manifest(&self, image: &Digest) -> Result<Manifest, EngineError> {
        let config = self.store().config(image)?;
        let diff_ids = self.store().image(image)?.image.rootfs.diff_ids;
        let layers = diff_ids.into_iter().map(|diff_id| {
            Ok(Descriptor {
                media_type: MEDIA_TYPE_LAYER_TAR.to_owned(),
                digest: diff_id,
                size: self.store().archive_size(&diff_id)?,
                platform: None,
                annotations: BTreeMap::new(),
            })
        });
        Ok(Manifest {
            schema_version: 2,
            media_type: Some(MEDIA_TYPE_MANIFEST.to_owned()),
            config: descriptor(MEDIA_TYPE_CONFIG, &config),
            layers: layers.collect::<Result<_, EngineError>>()?,
            annotations: BTreeMap::new(),
        })
    }
}
