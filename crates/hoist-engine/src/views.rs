//! Layers seen as one tree, without a place in any mount table.
//!
//! `fsmount` gives a directory descriptor of an overlay that is attached nowhere: files in it are
//! reached through the descriptor, and it vanishes with its last user. Copying out of an image
//! (`COPY --from`, filling a volume) and into a new layer (`COPY`) happens in such a view, so that
//! the kernel decides what shadows what.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use hoist_core::Digest;
use hoist_runtime::Rootfs;
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};

use crate::{error::EngineError, record::Record, root::Engine, spec::topmost_first};

impl Engine {
    /// The layers (lowest first) as one read-only tree: a descriptor of its root.
    ///
    /// # Errors
    /// When a layer is missing or the kernel refuses the overlay.
    pub fn merged_view(&self, layers: &[Digest]) -> Result<OwnedFd, EngineError> {
        match topmost_first(layers).as_slice() {
            [] => self.empty_view(),
            // Overlay wants two layers; a single one is its own view.
            [only] => Ok(self.store().open_layer(only)?),
            _ => Ok(hoist_runtime::overlay_view(
                &self.lower_layers(layers)?,
                None,
                self.settings().rootless,
            )?),
        }
    }

    /// What a container sees, without what is mounted in it, as one read-only tree: a descriptor of
    /// its root. The container may run.
    ///
    /// # Errors
    /// When a layer is missing or the kernel refuses the overlay.
    pub(crate) fn container_view(&self, record: &Record) -> Result<OwnedFd, EngineError> {
        let upper = self.container_dir(&record.id).join("upper");
        let mut lower = self.lower_layers(&record.layers)?;
        if lower.is_empty() {
            return open_directory(&upper);
        }
        lower.insert(0, upper.into());
        Ok(hoist_runtime::overlay_view(
            &lower,
            None,
            self.settings().rootless,
        )?)
    }

    /// The layers (lowest first) as one tree that can be written to: changes land in `upper`.
    ///
    /// # Errors
    /// When a layer is missing or the kernel refuses the overlay.
    pub fn writable_view(
        &self,
        layers: &[Digest],
        upper: &Path,
        work: &Path,
    ) -> Result<OwnedFd, EngineError> {
        let lower = self.lower_layers(layers)?;
        if lower.is_empty() {
            return open_directory(upper);
        }
        Ok(hoist_runtime::overlay_view(
            &lower,
            Some((upper, work)),
            self.settings().rootless,
        )?)
    }

    fn empty_view(&self) -> Result<OwnedFd, EngineError> {
        let path = self.settings().run.join("empty");
        crate::root::make_dirs(&path)?;
        open_directory(&path)
    }

    /// The root file system of a build step: layers (lowest first) under a draft.
    pub(crate) fn step_rootfs(
        &self,
        layers: &[Digest],
        upper: PathBuf,
        work: PathBuf,
    ) -> Result<Rootfs, EngineError> {
        if layers.is_empty() {
            return Ok(Rootfs::Directory(upper));
        }
        let lower = self.lower_layers(layers)?;
        Ok(Rootfs::Overlay {
            lower,
            upper,
            work,
            volatile: true,
            userxattr: self.settings().rootless,
        })
    }
}

/// The root of a view, opened to be listed: a view itself is only a place to look up from.
pub(crate) fn listable(view: &OwnedFd) -> Result<OwnedFd, EngineError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(view, ".", flags, Mode::empty())
        .map_err(|error| EngineError::system("opening a view of layers")(error))
}

pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd, EngineError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty())
        .map_err(|error: Errno| EngineError::file("open", path)(error.into()))
}
