//! `export`: the file system of a container as one archive.

use std::io::Write;

use hoist_store::write_live_tree;

use super::Container;
use crate::{error::EngineError, root::Engine, views::listable};

impl Engine {
    /// Write a tar of the files that a container sees, those of its image with its own changes. What
    /// is mounted in it, volumes above all, is not in the archive. The container may run: what it
    /// deletes meanwhile is left out.
    ///
    /// # Errors
    /// When a layer of its image is gone, or something cannot be read or written.
    pub fn export(&self, container: &Container, output: impl Write) -> Result<(), EngineError> {
        let record = &container.record;
        let view = listable(&self.container_view(record)?)?;
        let name = self.container_dir(&record.id).join("upper");
        Ok(write_live_tree(view, &name, output)?)
    }
}
