//! Sweeping what nothing refers to.

use std::collections::BTreeSet;

use hoist_core::Digest;
use hoist_sys::{lock::Lock, tree};

use crate::{
    blob::{forms_of, sweep_downloads},
    drafts::{Sessions, list, sessions},
    error::{Result, StoreError},
    layer::LayerRecord,
    layout::{Layout, digest_of_name},
    names::is_temporary,
    remove::remove_file,
    store::Store,
};

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freed {
    /// Images without a name that nobody kept.
    pub images: usize,
    /// Layers that no image has and nobody kept.
    pub layers: usize,
    /// Bytes of content in those layers and of unneeded blobs.
    pub bytes: u64,
}

/// The right to sweep: as long as it lives, nobody adds anything to the store.
///
/// Find out what is in use *after* beginning the sweep, and no use can appear unseen.
#[derive(Debug)]
pub struct Sweep {
    store: Store,
    exclusive: Lock,
}

impl Store {
    /// Remove images that have no name and are not in `keep_images`, layers that no remaining
    /// image has and that are not in `keep_layers`, blobs of neither, and what killed processes and
    /// interrupted downloads left. What living processes are making, or rely on, stays.
    ///
    /// Where uses can begin at the same time, take a [`begin_sweep`](Self::begin_sweep) and look
    /// for them then.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::File`], [`StoreError::Damaged`].
    pub fn collect_garbage(&self, keep_images: &[Digest], keep_layers: &[Digest]) -> Result<Freed> {
        self.begin_sweep()?.collect(keep_images, keep_layers)
    }

    /// Wait until nobody adds anything to the store, and keep everybody from it.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::File`].
    pub fn begin_sweep(&self) -> Result<Sweep> {
        // Before the lock: a session cannot be begun while nobody may add anything.
        self.session()?;
        Ok(Sweep {
            store: self.clone(),
            exclusive: self.exclusive()?,
        })
    }
}

impl Sweep {
    /// Collect, as [`Store::collect_garbage`] says. Others go on as soon as everything is out of
    /// their way; the removing itself holds nobody up.
    ///
    /// # Errors
    /// As [`Store::collect_garbage`].
    pub fn collect(self, keep_images: &[Digest], keep_layers: &[Digest]) -> Result<Freed> {
        let Self { store, exclusive } = self;
        let mut freed = Freed::default();
        let Sessions { dead, kept } = sessions(store.layout())?;
        let mut wanted: BTreeSet<Digest> = store.names()?.into_iter().map(|(_, id)| id).collect();
        wanted.extend(kept.iter().chain(keep_images));
        let mut layers: BTreeSet<Digest> = kept.into_iter().collect();
        layers.extend(keep_layers);
        let mut images = BTreeSet::new();
        for (id, record) in store.image_records()? {
            if wanted.contains(&id) {
                images.insert(id);
                layers.extend(record.layers.iter().map(|layer| layer.diff_id));
            } else {
                freed.images += 1;
                remove_file(&store.layout().image(&id))?;
            }
        }
        let mut blobs = images.clone();
        for diff_id in &layers {
            blobs.extend(forms_of(store.layout(), diff_id)?);
        }
        freed.bytes += sweep_blobs(store.layout(), &blobs)?;
        freed.bytes += sweep_downloads(store.layout())?;
        for path in list(&store.layout().manifests())? {
            if digest_of_name(&path).is_some_and(|id| !images.contains(&id)) {
                remove_file(&path)?;
            }
        }
        let session = store.session()?;
        let mut aside = Vec::new();
        for path in list(&store.layout().layers())? {
            let Some(diff_id) = digest_of_name(&path) else {
                continue;
            };
            if layers.contains(&diff_id) {
                continue;
            }
            freed.bytes += LayerRecord::read(&store, &diff_id).map_or(0, |record| record.size);
            let place = session.free_path();
            if store.set_layer_aside(&diff_id, &place)? {
                freed.layers += 1;
                aside.push(place);
            }
        }
        sweep_temporary(store.layout())?;
        drop(exclusive);
        for path in aside {
            tree::remove(&path).map_err(StoreError::file("remove", &path))?;
        }
        for session in dead {
            session.remove()?;
        }
        Ok(freed)
    }
}

/// Remove the blobs that are not wanted; returns their bytes.
fn sweep_blobs(layout: &Layout, wanted: &BTreeSet<Digest>) -> Result<u64> {
    let mut bytes = 0;
    for path in list(&layout.blobs())? {
        if digest_of_name(&path).is_some_and(|digest| !wanted.contains(&digest)) {
            bytes += std::fs::symlink_metadata(&path).map_or(0, |stat| stat.len());
            remove_file(&path)?;
        }
    }
    Ok(bytes)
}

/// Remove the temporary files of killed writers. Nobody writes now.
fn sweep_temporary(layout: &Layout) -> Result<()> {
    let mut directories = vec![
        layout.blobs(),
        layout.images(),
        layout.manifests(),
        layout.names(),
    ];
    while let Some(directory) = directories.pop() {
        for path in list(&directory)? {
            if is_temporary(&path) {
                remove_file(&path)?;
            } else if path.is_dir() {
                directories.push(path);
            }
        }
    }
    Ok(())
}
