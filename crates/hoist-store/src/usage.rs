//! How much room everything takes.

use std::collections::BTreeMap;

use hoist_core::Digest;

use crate::{
    drafts::list,
    error::{Result, StoreError},
    layer::LayerRecord,
    layout::digest_of_name,
    store::Store,
};

/// What is in a store, for `hoist system df`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many images there are.
    pub images: usize,
    /// Bytes of content in the layers of all images, each layer counted once.
    pub images_size: u64,
    /// All layers, in the order of their diff ids.
    pub layers: Vec<LayerUsage>,
}

/// A layer and who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerUsage {
    /// The layer.
    pub diff_id: Digest,
    /// Bytes of content.
    pub size: u64,
    /// The images that have it; none for layers of the build cache and for garbage.
    pub images: Vec<Digest>,
}

impl Store {
    /// Everything with its size.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Damaged`].
    pub fn usage(&self) -> Result<Usage> {
        let mut owners: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        let records = self.image_records()?;
        for (id, record) in &records {
            for layer in &record.layers {
                let owners = owners.entry(layer.diff_id).or_default();
                if owners.last() != Some(id) {
                    owners.push(*id);
                }
            }
        }
        let mut usage = Usage {
            images: records.len(),
            ..Usage::default()
        };
        for path in list(&self.layout().layers())? {
            let Some(diff_id) = digest_of_name(&path) else {
                continue;
            };
            let size = match LayerRecord::read(self, &diff_id) {
                Ok(record) => record.size,
                Err(StoreError::NoSuchLayer(_) | StoreError::Unfinished { .. }) => continue,
                Err(error) => return Err(error),
            };
            let images = owners.remove(&diff_id).unwrap_or_default();
            if !images.is_empty() {
                usage.images_size += size;
            }
            usage.layers.push(LayerUsage {
                diff_id,
                size,
                images,
            });
        }
        usage.layers.sort_by_key(|layer| layer.diff_id);
        Ok(usage)
    }
}
