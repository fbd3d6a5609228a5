//! Directories that a build copies from: the build context, or the merged layers of an image.
//!
//! A [`Root`] is a directory descriptor. Everything is opened relative to it with
//! `openat2(RESOLVE_IN_ROOT)` or `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`, so that no symbolic link
//! and no `..` leads outside, whoever changes the tree meanwhile. [`walk`] lists what lies below a
//! path, [`resolve`](resolve::resolve) turns the source of a `COPY` into paths, and
//! [`digest`] names content.

pub(crate) mod digest;
pub(crate) mod filter;
pub(crate) mod resolve;
mod walk;

use std::{
    ffi::OsStr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use hoist_core::Digest;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, openat2, readlinkat, statat},
    io::Errno,
};

pub(crate) use walk::{names as names_in, walk};

use crate::error::BuildError;

/// Whose files the copies become when the instruction does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// `0:0`: files of the build context.
    Root,
    /// The owner in the tree: files of an image.
    Kept,
}

/// A directory that nothing leads out of.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    /// How messages name it.
    name: Name,
    ownership: Ownership,
}

/// How messages name what is below a [`Root`].
#[derive(Debug)]
enum Name {
    /// By its path below this one.
    Directory(PathBuf),
    /// The one file that is there, by this name alone.
    File(PathBuf),
}

impl Root {
    /// The directory `fd`; `name` is how messages call it.
    pub(crate) fn new(fd: OwnedFd, name: PathBuf, ownership: Ownership) -> Self {
        Self {
            fd,
            name: Name::Directory(name),
            ownership,
        }
    }

    /// The directory `fd`, which holds one file that messages call `name`, whatever it is called
    /// there.
    pub(crate) fn of_file(fd: OwnedFd, name: PathBuf) -> Self {
        Self {
            fd,
            name: Name::File(name),
            ownership: Ownership::Kept,
        }
    }

    pub(crate) fn ownership(&self) -> Ownership {
        self.ownership
    }

    /// `path` as messages name it.
    pub(crate) fn display(&self, path: &Path) -> PathBuf {
        match &self.name {
            Name::Directory(name) => below(name, path),
            Name::File(name) => name.clone(),
        }
    }

    /// Open `path`, which has no symbolic link in it, with `flags`.
    pub(crate) fn open(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        openat2(
            &self.fd,
            path,
            flags | OFlags::CLOEXEC | OFlags::NOFOLLOW,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
        )
    }

    /// The entry at `path`, which has no symbolic link in its parents.
    pub(crate) fn entry(&self, path: &Path) -> Result<Entry, Errno> {
        let parent = path.parent().unwrap_or(Path::new(""));
        match path.file_name() {
            None => Entry::read(
                self.fd.as_fd(),
                OsStr::new("."),
                PathBuf::new(),
                self.ownership,
            ),
            Some(name) if parent.as_os_str().is_empty() => {
                Entry::read(self.fd.as_fd(), name, PathBuf::new(), self.ownership)
            }
            Some(name) => {
                let parent = self.open(parent, OFlags::PATH | OFlags::DIRECTORY)?;
                Entry::read(parent.as_fd(), name, PathBuf::new(), self.ownership)
            }
        }
    }

    /// Where `path` leads when its symbolic links are followed, absolute ones from this root: a
    /// path without links, or the errno of the first component that is not there.
    pub(crate) fn follow(&self, path: &Path) -> Result<PathBuf, Errno> {
        let mut found = PathBuf::new();
        let mut rest: Vec<Vec<u8>> = components(path.as_os_str().as_bytes());
        rest.reverse();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == b".." {
                found.pop();
                continue;
            }
            let next = found.join(OsStr::from_bytes(&name));
            match self.entry(&next)?.kind {
                Kind::Symlink(target) => {
                    links += 1;
                    if links > 40 {
                        return Err(Errno::LOOP);
                    }
                    if target.first() == Some(&b'/') {
                        found = PathBuf::new();
                    }
                    rest.extend(components(&target).into_iter().rev());
                }
                Kind::Directory => found = next,
                _ if rest.is_empty() => found = next,
                _ => return Err(Errno::NOTDIR),
            }
        }
        Ok(found)
    }
}

/// The components of a path, without empty ones and `.`.
pub(crate) fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(<[u8]>::to_vec)
        .collect()
}

/// What a file system says of a file, from which a change of its content is seen without reading
/// it: the fields that git's index keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    /// Nanoseconds since 1970.
    pub(crate) mtime: i64,
    /// Nanoseconds since 1970.
    pub(crate) ctime: i64,
}

impl Identity {
    /// The identity of what `stat` describes.
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            ctime: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

fn nanoseconds(seconds: i64, fraction: impl TryInto<i64>) -> i64 {
    let fraction = fraction.try_into().unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(fraction)
}

/// What kind of file an [`Entry`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
    /// With its target.
    Symlink(Vec<u8>),
    /// A named pipe or a socket, or a device with its number.
    Special {
        file_type: FileType,
        device: u64,
    },
}

/// Names and values of extended attributes.
pub(crate) type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// One file of a tree.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Below the start of the walk; empty for the start itself.
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    /// The twelve permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The file has other names.
    pub(crate) is_linked: bool,
    pub(crate) identity: Identity,
    /// Extended attributes that copies keep, sorted by name; read with the digest.
    pub(crate) attributes: Attributes,
    /// Digest of the content, once known.
    pub(crate) digest: Option<Digest>,
}

impl Entry {
    /// The file `name` of `directory`.
    pub(crate) fn read(
        directory: BorrowedFd<'_>,
        name: &OsStr,
        path: PathBuf,
        ownership: Ownership,
    ) -> Result<Self, Errno> {
        let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => {
                let target = readlinkat(directory, name, Vec::new())?;
                Kind::Symlink(target.into_bytes())
            }
            file_type => Kind::Special {
                file_type,
                device: stat.st_rdev,
            },
        };
        let (uid, gid) = match ownership {
            Ownership::Root => (0, 0),
            Ownership::Kept => (stat.st_uid, stat.st_gid),
        };
        Ok(Self {
            path,
            kind,
            mode: stat.st_mode & 0o7777,
            uid,
            gid,
            is_linked: stat.st_nlink > 1,
            identity: Identity::of(&stat),
            attributes: Vec::new(),
            digest: None,
        })
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// Sockets are the business of running programs: no copy has them.
    /// In the directory of a layer: overlayfs' mark of something that was deleted.
    pub(crate) fn is_whiteout(&self) -> bool {
        let file_type = FileType::CharacterDevice;
        self.kind
            == Kind::Special {
                file_type,
                device: 0,
            }
    }

    fn is_socket(&self) -> bool {
        let file_type = FileType::Socket;
        matches!(self.kind, Kind::Special { file_type: found, .. } if found == file_type)
    }
}

/// `path` below `start`; either may be empty. (`Path::join` of nothing would add a slash.)
pub(crate) fn below(start: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() {
        start.to_owned()
    } else {
        start.join(path)
    }
}

/// An error about `path` of `root`.
pub(crate) fn io(action: &'static str, root: &Root, path: &Path, errno: Errno) -> BuildError {
    BuildError::io(action, root.display(path), errno)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_are_followed_within_the_root_only() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/file"), "x").unwrap();
        symlink("/a/b", dir.path().join("absolute")).unwrap();
        symlink("../../../a", dir.path().join("a/up")).unwrap();
        symlink("/etc/passwd", dir.path().join("outside")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        let fd = fs::File::open(dir.path()).unwrap().into();
        let root = Root::new(fd, dir.path().to_owned(), Ownership::Root);
        let follow = |path: &str| root.follow(Path::new(path));
        assert_eq!(follow("absolute/file"), Ok("a/b/file".into()));
        assert_eq!(follow("a/up/b"), Ok("a/b".into()));
        assert_eq!(follow("../../a/./b/"), Ok("a/b".into()));
        assert_eq!(follow(""), Ok("".into()));
        assert_eq!(follow("outside"), Err(Errno::NOENT));
        assert_eq!(follow("loop"), Err(Errno::LOOP));
        assert_eq!(follow("a/b/file/x"), Err(Errno::NOTDIR));
    }
}
