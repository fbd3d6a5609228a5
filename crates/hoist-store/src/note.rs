//! What was found out about a layer, and need not be found out again: it goes with the layer.

use std::path::PathBuf;

use hoist_core::Digest;
use hoist_sys::atomic::Durability;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::Result,
    layer::LayerRecord,
    store::{Store, read_record, write_record},
};

impl Store {
    /// What was noted about a layer under this name. `None` when nothing was, and when it cannot be
    /// read: it can be found out again.
    ///
    /// # Errors
    /// [`StoreError::File`](crate::StoreError::File) when it cannot be told.
    pub fn layer_note<T: DeserializeOwned>(
        &self,
        diff_id: &Digest,
        name: &str,
    ) -> Result<Option<T>> {
        match read_record(&self.note(diff_id, name)) {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.is_absent() => Ok(None),
            Err(crate::StoreError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Note something about a layer.
    ///
    /// # Errors
    /// [`StoreError::NoSuchLayer`](crate::StoreError::NoSuchLayer);
    /// [`StoreError::File`](crate::StoreError::File).
    pub fn note_layer(&self, diff_id: &Digest, name: &str, note: &impl Serialize) -> Result<()> {
        let hold = self.hold()?;
        LayerRecord::read(self, diff_id)?;
        write_record(&self.note(diff_id, name), note, Durability::Volatile)?;
        drop(hold);
        Ok(())
    }

    fn note(&self, diff_id: &Digest, name: &str) -> PathBuf {
        self.layout().layer(diff_id).join(format!("{name}.json"))
    }
}
