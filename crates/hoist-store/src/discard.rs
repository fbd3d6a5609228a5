//! Taking back what a process made and nobody is to have.

use std::collections::BTreeSet;

use hoist_core::Digest;
use hoist_sys::tree;

use crate::{
    drafts::sessions,
    error::{Result, StoreError},
    garbage::Sweep,
};

impl Sweep {
    /// Remove the layers that this store value made or relied on, as far as no image has them, no
    /// other process relies on them, and they are not in `keep_layers`; how many that were. The
    /// rest of the store stays as it is, where [`collect`](Self::collect) would sweep it.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Damaged`].
    pub fn discard(self, keep_layers: &[Digest]) -> Result<usize> {
        let Self { store, exclusive } = self;
        let session = store.session()?;
        let own = session.kept()?;
        for digest in &own {
            session.let_go(digest)?;
        }
        let mut kept: BTreeSet<Digest> = sessions(store.layout())?.kept.into_iter().collect();
        kept.extend(keep_layers);
        for (_, record) in store.image_records()? {
            kept.extend(record.layers.iter().map(|layer| layer.diff_id));
        }
        let mut aside = Vec::new();
        for digest in own {
            if kept.contains(&digest) || !store.has_layer(&digest)? {
                session.keep(&digest)?;
                continue;
            }
            let path = session.free_path();
            if store.set_layer_aside(&digest, &path)? {
                aside.push(path);
            }
        }
        drop(exclusive);
        for path in &aside {
            tree::remove(path).map_err(StoreError::file("remove", path))?;
        }
        Ok(aside.len())
    }
}
