//! Mount points that hoist itself puts into a step's layer, and takes out again.
//!
//! A bind mount needs a file to sit on. Where the image has none, the runtime makes an empty one,
//! and that would become part of the layer: every image would get `/etc/resolv.conf` from its first
//! RUN on.

use std::{
    collections::BTreeSet,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use hoist_core::{Digest, spec::Mount};
use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, openat, openat2, statat, unlinkat},
    io::Errno,
};

use crate::{error::EngineError, root::Engine};

/// Paths (relative to the root) that did not exist before the step, parents before children.
pub(super) struct Stubs(BTreeSet<PathBuf>);

impl Stubs {
    /// Look which mount points the layers lack.
    pub(super) fn before(
        engine: &Engine,
        layers: &[Digest],
        mounts: &[Mount],
    ) -> Result<Self, EngineError> {
        let view = engine.merged_view(layers)?;
        let mut missing = BTreeSet::new();
        for mount in mounts {
            let relative = mount
                .destination
                .strip_prefix("/")
                .unwrap_or(&mount.destination);
            for path in relative
                .ancestors()
                .filter(|path| !path.as_os_str().is_empty())
            {
                if exists(&view, path)? {
                    break;
                }
                missing.insert(path.to_owned());
            }
        }
        Ok(Self(missing))
    }

    /// Remove those that are still empty from the step's layer.
    pub(super) fn remove(&self, upper: &Path) -> Result<(), EngineError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let failed = |error: Errno| EngineError::file("clean up", upper)(error.into());
        let root = openat(CWD, upper, flags, Mode::empty()).map_err(failed)?;
        for path in self.0.iter().rev() {
            remove(&root, path).map_err(failed)?;
        }
        Ok(())
    }
}

fn exists(view: &OwnedFd, path: &Path) -> Result<bool, EngineError> {
    match openat2(
        view,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT,
    ) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
        Err(error) => Err(EngineError::file("look at", path)(error.into())),
    }
}

fn remove(root: &OwnedFd, path: &Path) -> Result<(), Errno> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = match openat2(
        root,
        parent,
        flags,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
    ) {
        Ok(directory) => directory,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(error) => return Err(error),
    };
    let stat = match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error),
    };
    let as_made = stat.st_uid == 0
        && stat.st_gid == 0
        && Mode::from_raw_mode(stat.st_mode) == Mode::from_raw_mode(0o755);
    let removed = match FileType::from_raw_mode(stat.st_mode) {
        // Another owner or mode is the step's work: it wants the directory, empty as it is.
        FileType::Directory if as_made => unlinkat(&directory, name, AtFlags::REMOVEDIR),
        FileType::RegularFile if stat.st_size == 0 => unlinkat(&directory, name, AtFlags::empty()),
        _ => Ok(()),
    };
    match removed {
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        other => other,
    }
}
