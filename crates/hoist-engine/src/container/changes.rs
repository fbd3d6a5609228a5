//! `diff`: what a container has changed in the files of its image.

use std::{
    collections::BTreeSet,
    ffi::CString,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

use hoist_store::{EntryKind, TreeEntry, tree_entries};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, openat2},
    io::Errno,
};

use super::Container;
use crate::{error::EngineError, image::ChangeKind, root::Engine, views::open_directory};

/// Files that every container gets beside its own mounts.
const FILES: [&str; 3] = ["etc/hosts", "etc/hostname", "etc/resolv.conf"];

impl Engine {
    /// What a container has changed, in the order of the paths: what is added or deleted, with the
    /// directories on the way as changed. Places that were only made to mount the container's own
    /// file systems are no changes.
    ///
    /// # Errors
    /// When its files or those of its image cannot be read.
    pub fn changes(
        &self,
        container: &Container,
    ) -> Result<Vec<(ChangeKind, PathBuf)>, EngineError> {
        let record = &container.record;
        let upper = self.container_dir(&record.id).join("upper");
        let below = Below {
            view: self.merged_view(&record.layers)?,
            name: PathBuf::from(&record.image_name),
        };
        let entries = tree_entries(open_directory(&upper)?, &upper)?;
        let mut changes: BTreeSet<(PathBuf, ChangeKind)> = BTreeSet::new();
        let mut ways = Vec::new();
        for entry in &entries {
            let path = entry.path.clone();
            let before = below.find(&path)?;
            match (&entry.kind, before) {
                (EntryKind::Whiteout, None) => {}
                (EntryKind::Whiteout, Some(_)) => {
                    changes.insert((path, ChangeKind::Deleted));
                }
                (_, None) if is_mount_point(entry) => {}
                (_, None) => {
                    changes.insert((path, ChangeKind::Added));
                }
                (EntryKind::Directory, Some(before)) => {
                    if entry.is_opaque && is_directory(&before) {
                        changes.extend(below.missing_in(&path, &entries)?);
                    }
                    if is_same_directory(entry, &before) {
                        ways.push(path);
                    } else {
                        changes.insert((path, ChangeKind::Changed));
                    }
                }
                (_, Some(_)) => {
                    changes.insert((path, ChangeKind::Changed));
                }
            }
        }
        // A directory that was only copied up is a change when something in it is one.
        let holds = |way: &PathBuf| changes.iter().any(|(path, _)| path.starts_with(way));
        let ways: Vec<PathBuf> = ways.into_iter().filter(holds).collect();
        changes.extend(ways.into_iter().map(|way| (way, ChangeKind::Changed)));
        let shown = changes.into_iter();
        Ok(shown
            .map(|(path, kind)| (kind, Path::new("/").join(path)))
            .collect())
    }
}

/// The files of the image.
struct Below {
    view: OwnedFd,
    name: PathBuf,
}

impl Below {
    /// What the image has at `path`; links on the way are not followed, for overlayfs does not.
    fn find(&self, path: &Path) -> Result<Option<Stat>, EngineError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let found = self
            .open(path, flags)
            .and_then(|fd| rustix::fs::statat(&fd, "", AtFlags::EMPTY_PATH));
        match found {
            Ok(stat) => {
                let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
                // A single layer is its own view, marks and all.
                Ok((!is_device || stat.st_rdev != 0).then_some(stat))
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(EngineError::file("look at", self.name.join(path))(
                error.into(),
            )),
        }
    }

    fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        openat2(
            &self.view,
            &path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        )
    }

    /// What the image has in a directory that hides it, and the container has not made again.
    fn missing_in(
        &self,
        path: &Path,
        entries: &[TreeEntry],
    ) -> Result<Vec<(PathBuf, ChangeKind)>, EngineError> {
        let failed = || EngineError::file("list", self.name.join(path));
        let directory = self
            .open(path, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|error| failed()(error.into()))?;
        let names = hoist_sys::tree::entries(std::os::fd::AsFd::as_fd(&directory))
            .map_err(|error| failed()(error.into()))?;
        let names = names
            .into_iter()
            .map(|(name, _)| path.join(std::ffi::OsStr::from_bytes(name.to_bytes())));
        let gone = names.filter(|name| entries.iter().all(|entry| entry.path != *name));
        Ok(gone.map(|name| (name, ChangeKind::Deleted)).collect())
    }
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn is_same_directory(entry: &TreeEntry, before: &Stat) -> bool {
    is_directory(before)
        && before.st_mode & 0o7777 == entry.mode
        && (before.st_uid, before.st_gid) == (entry.uid, entry.gid)
}

/// Whether the runtime has made it to mount something of every container there.
fn is_mount_point(entry: &TreeEntry) -> bool {
    let path = &entry.path;
    if entry.kind == EntryKind::File {
        return entry.size == 0
            && (FILES.iter().any(|file| path == Path::new(file)) || path.starts_with("dev"));
    }
    let etc_alone = path == Path::new("etc");
    let mut mounts = hoist_runtime::defaults::mounts().into_iter();
    etc_alone
        || path.starts_with("dev")
        || mounts.any(|mount| mount.destination.strip_prefix("/") == Ok(path.as_path()))
}
