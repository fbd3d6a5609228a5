//! Where lists wait until they are pushed: `manifest-lists/<hash of the name>.json`.

use std::{fs, io, path::PathBuf};

use hoist_core::{Digest, Reference};
use hoist_sys::lock::Lock;

use super::ManifestList;
use crate::{
    error::EngineError,
    root::{Engine, make_dirs, read_json, write_json},
};

impl Engine {
    /// A list that was begun here; `None` when there is none of that name.
    ///
    /// # Errors
    /// [`EngineError::Damaged`], [`EngineError::File`].
    pub fn manifest_list(&self, name: &Reference) -> Result<Option<ManifestList>, EngineError> {
        self.stored_list(name)
    }

    /// Forget a list; false when there is none of that name.
    ///
    /// # Errors
    /// [`EngineError::File`].
    pub fn remove_manifest_list(&self, name: &Reference) -> Result<bool, EngineError> {
        let path = self.list_file(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(EngineError::file("remove", path)(error)),
            Ok(()) => Ok(true),
        }
    }

    fn lists_directory(&self) -> PathBuf {
        self.settings().root.join("manifest-lists")
    }

    fn list_file(&self, name: &Reference) -> PathBuf {
        let hash = Digest::of(name.to_string().as_bytes());
        self.lists_directory().join(format!("{}.json", hash.hex()))
    }

    /// Keep others from changing a list, from when it is read to when it is written.
    pub(super) fn lock_lists(&self) -> Result<Lock, EngineError> {
        make_dirs(&self.lists_directory())?;
        let path = self.lists_directory().join("lock");
        Lock::exclusive(&path).map_err(EngineError::file("lock", path))
    }

    pub(super) fn stored_list(
        &self,
        name: &Reference,
    ) -> Result<Option<ManifestList>, EngineError> {
        read_json(&self.list_file(name))
    }

    pub(super) fn store_list(&self, list: &ManifestList) -> Result<(), EngineError> {
        write_json(&self.list_file(&list.reference), list)
    }
}
