//! Paths of the container, resolved so that nothing in it can lead outside.
//!
//! Every path goes through `openat2(2)` with `RESOLVE_IN_ROOT` from a descriptor of the root, and
//! magic links of `/proc` are refused. What is missing is made one component at a time, each below
//! the descriptor of its parent.

use std::{
    ffi::OsString,
    io,
    os::fd::{BorrowedFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};

/// What becomes of symbolic links on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// They are followed, within the root.
    Follow,
    /// They are an error: for places that are the runtime's own (`/proc`, `/sys`, `/dev`).
    Refuse,
}

/// What to make where nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A directory.
    Directory,
    /// An empty file.
    File,
}

/// Opens `path` below `root` with `flags` (`O_CLOEXEC` is added).
pub(crate) fn open(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    links: Links,
) -> io::Result<OwnedFd> {
    let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    if links == Links::Refuse {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // Something was renamed while `..` was resolved; the kernel asks to try again.
            Err(Errno::AGAIN) if tries < 64 => tries += 1,
            result => return Ok(result?),
        }
    }
}

/// Opens `path` below `root` as a place (`O_PATH`), making it and its parents if they are missing.
pub(crate) fn open_or_make(
    root: BorrowedFd<'_>,
    path: &Path,
    links: Links,
    missing: Missing,
) -> io::Result<OwnedFd> {
    match open(root, path, OFlags::PATH, links) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    let mut names: Vec<OsString> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_owned()),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(Errno::INVAL.into()),
        }
    }
    let Some(last) = names.pop() else {
        return Err(Errno::NOENT.into());
    };
    let mut prefix = PathBuf::from("/");
    let mut parent = open(root, &prefix, OFlags::PATH | OFlags::DIRECTORY, links)?;
    for name in names {
        prefix.push(&name);
        parent = match open(root, &prefix, OFlags::PATH | OFlags::DIRECTORY, links) {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_directory(&parent, &name)?
            }
            Err(error) => return Err(error),
        };
    }
    match missing {
        Missing::Directory => make_directory(&parent, &last),
        Missing::File => {
            // O_EXCL also refuses a dangling link that was put there.
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mode = Mode::from_raw_mode(0o644);
            drop(rustix::fs::openat(
                &parent,
                &last,
                flags | OFlags::WRONLY,
                mode,
            )?);
            // Only as a place: a descriptor open for writing would keep the root from becoming
            // read-only.
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Ok(rustix::fs::openat(&parent, &last, flags, Mode::empty())?)
        }
    }
}

/// Opens the parent directory of `path` below `root`, made if missing, and gives the last name.
pub(crate) fn open_parent(root: BorrowedFd<'_>, path: &Path) -> io::Result<(OwnedFd, OsString)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::INVAL.into());
    };
    let directory = open_or_make(root, parent, Links::Follow, Missing::Directory)?;
    Ok((directory, name.to_owned()))
}

fn make_directory(parent: &OwnedFd, name: &OsString) -> io::Result<OwnedFd> {
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

/// Whether the descriptor is of a directory.
pub(crate) fn is_directory(descriptor: BorrowedFd<'_>) -> io::Result<bool> {
    let stat = rustix::fs::fstat(descriptor)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::fd::AsFd, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn nothing_leads_outside() {
        let temporary = tempfile::tempdir().unwrap();
        let (root, outside) = (
            temporary.path().join("root"),
            temporary.path().join("outside"),
        );
        fs::create_dir_all(root.join("real")).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink(&outside, root.join("absolute")).unwrap();
        symlink("../../outside", root.join("relative")).unwrap();
        symlink("real", root.join("link")).unwrap();
        symlink("/nowhere", root.join("dangling")).unwrap();
        let handle = fs::File::open(&root).unwrap();
        let make = |path: &str, links, missing| {
            open_or_make(handle.as_fd(), Path::new(path), links, missing)
        };

        make("/link/new/deep", Links::Follow, Missing::Directory).unwrap();
        assert!(root.join("real/new/deep").is_dir());
        make("/link/file", Links::Follow, Missing::File).unwrap();
        assert!(root.join("real/file").is_file());
        assert!(make("/link/x", Links::Refuse, Missing::File).is_err());

        for path in [
            "/absolute/x",
            "/relative/x",
            "/dangling",
            "/dangling/x",
            "/../x/..",
        ] {
            let _ = make(path, Links::Follow, Missing::File);
            let _ = make(path, Links::Follow, Missing::Directory);
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        assert!(!Path::new("/nowhere").exists());
        assert!(!temporary.path().join("x").exists());
    }
}
