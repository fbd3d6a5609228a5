//! A walk over a directory tree in a fixed order, by file descriptors.
//!
//! Parents come before their children, and the entries of a directory in the order of their bytes.
//! No path is resolved twice, nothing is followed, and a tree may be deeper than `PATH_MAX` or the
//! limit of open files: the walk keeps the lowest directories open and comes back by `..`.

use std::{
    ffi::{CStr, CString, OsStr},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    vec::IntoIter,
};

use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, FileType, Mode, OFlags, Statx, StatxFlags},
    io::Errno,
};

use crate::error::{Result, StoreError};

/// The most directories that are open at the same time.
const OPEN_LEVELS: usize = 64;

/// One entry on the way.
pub(crate) struct Visit<'a> {
    /// Relative to the root of the walk, without a leading `/`.
    pub(crate) path: &'a [u8],
    /// The last component.
    pub(crate) name: &'a CStr,
    /// The directory that has it.
    pub(crate) parent: BorrowedFd<'a>,
    /// The entry itself, open for reading, when it is a directory.
    pub(crate) directory: Option<BorrowedFd<'a>>,
    pub(crate) kind: FileType,
    pub(crate) stat: &'a Statx,
}

/// Which inode a directory is, to recognise it on the way back.
type Identity = (u32, u32, u64);

struct Level {
    directory: Option<OwnedFd>,
    identity: Identity,
    names: IntoIter<CString>,
    path_length: usize,
}

/// Where `path` below `base` lies, for messages.
pub(crate) fn located(base: &Path, path: &[u8]) -> PathBuf {
    base.join(OsStr::from_bytes(path))
}

/// Visit everything below `root`, without `root` itself; `base` is its path for messages.
pub(crate) fn walk(
    root: OwnedFd,
    base: &Path,
    visit: &mut dyn FnMut(&Visit<'_>) -> Result<()>,
) -> Result<()> {
    let failed = |action, path: &[u8]| {
        let path = located(base, path);
        move |errno: Errno| StoreError::file(action, &path)(errno)
    };
    let stat = inspect(root.as_fd(), c"", AtFlags::EMPTY_PATH).map_err(failed("inspect", b""))?;
    let mut path = Vec::new();
    let mut levels = vec![level(root, &stat, 0).map_err(failed("list", b""))?];
    while let Some(top) = levels.last_mut() {
        path.truncate(top.path_length);
        let Some(name) = top.names.next() else {
            let done = levels.pop();
            come_back(done, levels.last_mut()).map_err(failed("return from", &path))?;
            continue;
        };
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        let Some(parent) = top.directory.as_ref().map(AsFd::as_fd) else {
            continue;
        };
        let stat = match inspect(parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
            // Gone since it was listed: as if the walk had come a moment later.
            Err(Errno::NOENT) => continue,
            stat => stat.map_err(failed("inspect", &path))?,
        };
        let kind = FileType::from_raw_mode(stat.stx_mode.into());
        let mut seen = Visit {
            path: &path,
            name: &name,
            parent,
            directory: None,
            kind,
            stat: &stat,
        };
        if kind != FileType::Directory {
            visit(&seen)?;
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match rustix::fs::openat(parent, &name, flags, Mode::empty()) {
            Err(Errno::NOENT) => continue,
            directory => directory.map_err(failed("open", &path))?,
        };
        seen.directory = Some(directory.as_fd());
        visit(&seen)?;
        levels.push(level(directory, &stat, path.len()).map_err(failed("list", &path))?);
        if let Some(high) = levels.len().checked_sub(OPEN_LEVELS + 1) {
            levels[high].directory = None;
        }
    }
    Ok(())
}

fn inspect(directory: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> rustix::io::Result<Statx> {
    let flags = flags | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(directory, name, flags, StatxFlags::BASIC_STATS)
}

const fn identity(stat: &Statx) -> Identity {
    (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino)
}

fn level(directory: OwnedFd, stat: &Statx, path_length: usize) -> rustix::io::Result<Level> {
    let entries = match hoist_sys::tree::entries(directory.as_fd()) {
        // The directory itself is gone.
        Err(Errno::NOENT) => Vec::new(),
        entries => entries?,
    };
    let mut names: Vec<_> = entries.into_iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    Ok(Level {
        directory: Some(directory),
        identity: identity(stat),
        names: names.into_iter(),
        path_length,
    })
}

/// Open the parent of a finished level again, where it was closed on the way down.
fn come_back(done: Option<Level>, parent: Option<&mut Level>) -> rustix::io::Result<()> {
    let (Some(done), Some(parent)) = (done.and_then(|level| level.directory), parent) else {
        return Ok(());
    };
    if parent.directory.is_some() {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(&done, c"..", flags, Mode::empty())?;
    let stat = inspect(directory.as_fd(), c"", AtFlags::EMPTY_PATH)?;
    // Somebody moved the directory that we were in: what `..` means now is not ours to read.
    if identity(&stat) != parent.identity {
        return Err(Errno::STALE);
    }
    parent.directory = Some(directory);
    Ok(())
}
