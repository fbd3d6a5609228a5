//! Where an entry goes: its directory, and what is at its place already.

use std::{ffi::CString, io, rc::Rc};

use hoist_sys::tree;
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, FileType, Gid, Mode, OFlags, StatxFlags, Uid},
    io::Errno,
};

use super::{Entry, Unpacker, metadata::no_time, refused};
use crate::error::{Result, StoreError};

impl Unpacker<'_> {
    /// The directory of an entry, made when the archive did not mention it.
    pub(super) fn parent_of(&mut self, entry: &Entry<'_>) -> Result<Rc<OwnedFd>> {
        let path = entry.parent_path();
        if let Some((known, directory)) = &self.parent
            && known == path
        {
            return Ok(Rc::clone(directory));
        }
        let directory = Rc::new(self.open_parent(entry, path)?);
        self.parent = Some((path.to_vec(), Rc::clone(&directory)));
        Ok(directory)
    }

    pub(super) fn open_parent(&mut self, entry: &Entry<'_>, path: &[u8]) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let open = |path: &[u8]| match path {
            b"" => tree::open_in_root(self.root, c".", flags, Mode::empty()),
            path => tree::open_in_root(self.root, path, flags, Mode::empty()),
        };
        let blocked = |error: io::Error| match Errno::from_io_error(&error) {
            Some(Errno::NOTDIR) => refused(entry.member, "a part of its path is not a directory"),
            Some(Errno::LOOP) => refused(entry.member, "a part of its path is a loop of links"),
            _ => self.failed(entry, "open the directory of", error),
        };
        match open(path) {
            // Something is missing, or a whiteout is in the way.
            Err(error) if is_missing(&error) => {}
            result => return result.map_err(blocked),
        }
        let mut implied = Vec::new();
        let mut holder = open(b"").map_err(blocked)?;
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for end in ends.map(|(at, _)| at).chain([path.len()]) {
            let prefix = &path[..end];
            holder = match open(prefix) {
                Err(error) if is_missing(&error) => {
                    let made = self.imply(entry, &holder, prefix)?;
                    implied.push((prefix.to_vec(), no_time()));
                    made
                }
                result => result.map_err(blocked)?,
            };
        }
        self.directories.extend(implied);
        Ok(holder)
    }

    /// Make a directory that the archive needs but does not have.
    pub(super) fn imply(
        &self,
        entry: &Entry<'_>,
        holder: &OwnedFd,
        path: &[u8],
    ) -> Result<OwnedFd> {
        let start = path
            .iter()
            .rposition(|&byte| byte == b'/')
            .map_or(0, |at| at + 1);
        let name = CString::new(&path[start..])
            .map_err(|_| refused(entry.member, "its path has a zero byte"))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let make = || {
            rustix::fs::mkdirat(holder, &name, Mode::RWXU)?;
            let directory = rustix::fs::openat(holder, &name, flags, Mode::empty())?;
            rustix::fs::fchown(&directory, Some(Uid::ROOT), Some(Gid::ROOT))?;
            rustix::fs::fchmod(&directory, Mode::from_raw_mode(0o755))?;
            Ok(directory)
        };
        let failed = |error| self.failed(entry, "make the directory of", error);
        match make() {
            Err(Errno::EXIST) => {}
            result => return result.map_err(failed),
        }
        let found = found(holder, &name).map_err(failed)?;
        let blocked = match found {
            Found::Whiteout => None,
            Found::Link => Some("a part of its path is a link to nowhere"),
            Found::Directory | Found::Other => Some("a part of its path is not a directory"),
        };
        if let Some(reason) = blocked {
            return Err(refused(entry.member, reason));
        }
        // The whiteout hides the directory of that name below, and so does the one in its place.
        rustix::fs::unlinkat(holder, &name, AtFlags::empty()).map_err(failed)?;
        let directory = make().map_err(failed)?;
        self.make_opaque(entry, directory.as_fd())?;
        Ok(directory)
    }

    pub(super) fn create<T>(
        &mut self,
        entry: &Entry<'_>,
        parent: &OwnedFd,
        make: impl Fn(&OwnedFd, &CString) -> std::result::Result<T, Errno>,
    ) -> Result<T> {
        self.try_create(entry, parent, make)
            .map_err(|(_, error)| error)
    }

    /// Make a new entry; what has its name gives way.
    pub(super) fn try_create<T>(
        &mut self,
        entry: &Entry<'_>,
        parent: &OwnedFd,
        make: impl Fn(&OwnedFd, &CString) -> std::result::Result<T, Errno>,
    ) -> std::result::Result<T, (Errno, StoreError)> {
        let failed = |this: &Self, error| (error, this.failed(entry, "create", error));
        match make(parent, &entry.name) {
            Err(Errno::EXIST) => {
                self.clear(entry, parent)
                    .map_err(|error| (Errno::EXIST, error))?;
                make(parent, &entry.name).map_err(|error| failed(self, error))
            }
            result => result.map_err(|error| failed(self, error)),
        }
    }

    /// Remove what an earlier entry left at this path.
    pub(super) fn clear(&mut self, entry: &Entry<'_>, parent: &OwnedFd) -> Result<()> {
        // It may have been, or led to, the directory that is remembered.
        self.parent = None;
        // Nor do the times of directories that go mean anything: a link may lead elsewhere now.
        self.directories.remove(&entry.path);
        let below = [entry.path.as_slice(), b"/"].concat();
        let gone: Vec<_> = self
            .directories
            .range(below.clone()..)
            .map(|(path, _)| path.clone())
            .take_while(|path| path.starts_with(&below))
            .collect();
        for path in gone {
            self.directories.remove(&path);
        }
        tree::remove_at(parent.as_fd(), &entry.name)
            .map_err(|error| self.failed(entry, "replace", error))
    }
}

/// What is at a path already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Directory,
    Whiteout,
    Link,
    Other,
}

pub(super) fn found(parent: &OwnedFd, name: &CString) -> std::result::Result<Found, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let stat = rustix::fs::statx(parent, name, flags, StatxFlags::BASIC_STATS)?;
    let number = (stat.stx_rdev_major, stat.stx_rdev_minor);
    Ok(match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::Directory => Found::Directory,
        FileType::CharacterDevice if number == (0, 0) => Found::Whiteout,
        FileType::Symlink => Found::Link,
        _ => Found::Other,
    })
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
