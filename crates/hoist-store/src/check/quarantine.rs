//! `quarantine/`: what a repair took out of the store.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};

use crate::{
    drafts::list,
    error::{Result, StoreError},
    layout::Layout,
    store::Store,
};

/// Move `path` to the quarantine, under a name that says where it was; `None` when it is not there.
/// Needs the store lock exclusively where others may look for it.
pub(super) fn set_aside(layout: &Layout, path: &Path) -> Result<Option<PathBuf>> {
    let quarantine = layout.quarantine();
    match std::fs::create_dir(&quarantine) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(StoreError::file("make the directory", &quarantine)(error));
        }
        _ => {}
    }
    let was = path.strip_prefix(layout.root()).unwrap_or(path);
    let name = was.display().to_string().replace('/', "+");
    let name: String = name.chars().take(200).collect();
    let mut number = 1_u64;
    loop {
        let place = quarantine.join(format!("{name}.{number}"));
        match rustix::fs::renameat_with(CWD, path, CWD, &place, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(Some(place)),
            Err(Errno::EXIST) => number += 1,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(StoreError::file("set aside", path)(error)),
        }
    }
}

impl Store {
    /// Move a file or directory below the root of the store to `quarantine/`, as repairs do: where
    /// it is now, `None` when it was not there.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::File`].
    pub fn set_aside(&self, path: &Path) -> Result<Option<PathBuf>> {
        let exclusive = self.exclusive()?;
        let place = set_aside(self.layout(), path)?;
        drop(exclusive);
        Ok(place)
    }

    /// Delete what repairs have set aside.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn empty_quarantine(&self) -> Result<()> {
        for path in list(&self.layout().quarantine())? {
            hoist_sys::tree::remove(&path).map_err(StoreError::file("remove", &path))?;
        }
        Ok(())
    }
}
