//! Writing files into a layer that is being made.
//!
//! The layer is the upper directory of an overlay whose lower part is the merged view of the
//! layers below. `COPY` needs no mount of that overlay: it only adds files, so it suffices to
//! give directories that exist below the same attributes above ("copy-up"), and to look below for
//! what is in the way. Written so, a copied tree costs what writing it costs, and the result does
//! not depend on the time: a directory keeps the times it has below, a new one gets the time of
//! the base image.
//!
//! Everything is opened by name relative to descriptors, never through a symbolic link; links in
//! the destination are resolved here, within the root.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    rc::Rc,
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags, chownat,
        fchmod, fchown, fsetxattr, futimens, linkat, mkdirat, mknodat, openat, readlinkat, statat,
        symlinkat, unlinkat, utimensat,
    },
    io::Errno,
};

use super::content;
use crate::{
    error::BuildError,
    tree::{Entry, Identity, Kind, components, digest::attributes},
};

/// Owner of what is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Mode and owner of something new.
#[derive(Debug, Clone, Copy)]
pub(crate) struct New {
    pub(crate) mode: u32,
    pub(crate) owner: Owner,
    /// Time of modification in nanoseconds since 1970; that of the base image when absent.
    pub(crate) time: Option<i64>,
}

impl New {
    /// A directory of Docker's default mode.
    pub(crate) fn directory(owner: Owner) -> Self {
        Self {
            mode: 0o755,
            owner,
            time: None,
        }
    }

    /// As `entry` has it.
    pub(crate) fn like(entry: &Entry) -> Self {
        Self {
            mode: entry.mode,
            owner: Owner {
                uid: entry.uid,
                gid: entry.gid,
            },
            time: Some(entry.identity.mtime),
        }
    }
}

/// A layer that is being made, on top of the layers below it.
#[derive(Debug)]
pub(crate) struct Draft {
    root: Place,
    /// Seconds since 1970 that new directories carry.
    time: i64,
    /// Hard links of the source: device and inode, to the copy's path in the layer.
    links: HashMap<(u64, u64), PathBuf>,
    /// The times of directories, set at the end: writing into a directory disturbs them.
    times: Vec<(PathBuf, Timestamps)>,
}

/// A directory of the layer, and the same directory in the layers below.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    upper: Rc<OwnedFd>,
    lower: Option<Rc<OwnedFd>>,
    /// From the root of the layer.
    path: PathBuf,
}

impl Place {
    /// The path of `name` here, as messages write it.
    fn shown(&self, name: &OsStr) -> PathBuf {
        Path::new("/").join(&self.path).join(name)
    }
}

/// How the directory above came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    /// It was there.
    Not,
    /// It exists below and was missing above.
    Above,
    /// It did not exist.
    New,
}

/// What stands at a name in a directory.
#[derive(Debug, PartialEq, Eq)]
enum Existing {
    Nothing,
    /// In the layer being made.
    Upper(FileType),
    /// In the layers below only.
    Lower(FileType),
}

impl Draft {
    /// A draft that writes into `upper`, over `lower`; `time` is what new directories carry.
    pub(crate) fn new(
        upper: OwnedFd,
        lower: Option<OwnedFd>,
        time: i64,
    ) -> Result<Self, BuildError> {
        let root = Place {
            upper: Rc::new(upper),
            lower: lower.map(Rc::new),
            path: PathBuf::new(),
        };
        let mut draft = Self {
            root: root.clone(),
            time,
            links: HashMap::new(),
            times: Vec::new(),
        };
        if let Some(lower) = &root.lower {
            // The descriptor of a view may be one that only names it.
            open_directory(lower.as_fd(), Path::new(""), OFlags::RDONLY)
                .and_then(|lower| draft.copy_up(&lower, &root))
                .map_err(|errno| BuildError::io("prepare", PathBuf::from("/"), errno))?;
        }
        Ok(draft)
    }

    /// The root of the layer.
    pub(crate) fn root(&self) -> Place {
        self.root.clone()
    }

    /// `path` with its symbolic links followed within the root; components that do not exist stay.
    pub(crate) fn resolve(&self, path: &Path) -> Result<PathBuf, BuildError> {
        let fail = |errno| BuildError::io("resolve", path.to_owned(), errno);
        let mut found: Vec<OsString> = Vec::new();
        let mut rest = components(path.as_os_str().as_bytes());
        rest.reverse();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == b".." {
                found.pop();
                continue;
            }
            let name = OsStr::from_bytes(&name).to_owned();
            match self.link_target(&found, &name).map_err(fail)? {
                None => found.push(name),
                Some(target) => {
                    links += 1;
                    if links > 40 {
                        return Err(fail(Errno::LOOP));
                    }
                    if target.first() == Some(&b'/') {
                        found.clear();
                    }
                    rest.extend(components(&target).into_iter().rev());
                }
            }
        }
        Ok(found.iter().collect())
    }

    /// The target of the link `name` in the directory `parents`, when it is a link.
    fn link_target(&self, parents: &[OsString], name: &OsStr) -> Result<Option<Vec<u8>>, Errno> {
        for root in std::iter::once(&self.root.upper).chain(&self.root.lower) {
            let path: PathBuf = parents.iter().collect();
            let directory = match open_directory(root.as_fd(), &path, OFlags::PATH) {
                Ok(directory) => directory,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(errno) => return Err(errno),
            };
            match readlinkat(&directory, name, Vec::new()) {
                Ok(target) => return Ok(Some(target.into_bytes())),
                // Not a link: what is above hides what is below.
                Err(Errno::INVAL) => return Ok(None),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(None)
    }

    /// True when `path`, which has no links in it, is a directory here or below.
    pub(crate) fn is_directory(&self, path: &Path) -> bool {
        std::iter::once(&self.root.upper)
            .chain(&self.root.lower)
            .any(|root| open_directory(root.as_fd(), path, OFlags::PATH).is_ok())
    }

    /// The directory `path`, which has no links in it; what is missing of it is made as `new`
    /// says.
    pub(crate) fn directory(&mut self, path: &Path, new: New) -> Result<Place, BuildError> {
        let mut place = self.root.clone();
        for name in path {
            place = self.enter(&place, name, new)?.0;
        }
        Ok(place)
    }

    /// The directory `name` of `place`, made when it is missing; true when it was.
    pub(crate) fn enter(
        &mut self,
        place: &Place,
        name: &OsStr,
        new: New,
    ) -> Result<(Place, bool), BuildError> {
        let fail = |errno| BuildError::io("create", place.shown(name), errno);
        let lower = match &place.lower {
            Some(lower) => match open_directory(lower.as_fd(), Path::new(name), OFlags::RDONLY) {
                Ok(fd) => Some(Rc::new(fd)),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => None,
                Err(errno) => return Err(fail(errno)),
            },
            None => None,
        };
        let made = match existing(place, name).map_err(fail)? {
            Existing::Upper(FileType::Directory) => Made::Not,
            Existing::Lower(FileType::Directory) => Made::Above,
            Existing::Nothing => Made::New,
            Existing::Upper(_) | Existing::Lower(_) => {
                return Err(BuildError::InTheWay {
                    path: place.shown(name),
                    problem: "cannot copy to non-directory",
                });
            }
        };
        if made != Made::Not {
            mkdirat(&*place.upper, name, Mode::RWXU).map_err(fail)?;
        }
        let upper = open_directory(place.upper.as_fd(), Path::new(name), OFlags::RDONLY);
        let upper = Rc::new(upper.map_err(fail)?);
        let child = Place {
            upper,
            lower,
            path: place.path.join(name),
        };
        match made {
            Made::New => {
                set_owner_and_mode(&child.upper, new.owner, new.mode).map_err(fail)?;
                let times = self.times_of_new(new);
                self.times.push((child.path.clone(), times));
            }
            Made::Above => {
                if let Some(lower) = child.lower.clone() {
                    self.copy_up(&lower, &child).map_err(fail)?;
                }
            }
            Made::Not => {}
        }
        Ok((child, made == Made::New))
    }

    fn times_of_new(&self, new: New) -> Timestamps {
        match new.time {
            Some(nanoseconds) => times_at(nanoseconds),
            None => times_at(self.time.saturating_mul(1_000_000_000)),
        }
    }

    /// Give the directory `place`, which is new above, the attributes that it has below.
    fn copy_up(&mut self, lower: &OwnedFd, place: &Place) -> Result<(), Errno> {
        let upper = &place.upper;
        let stat = rustix::fs::fstat(lower)?;
        let owner = Owner {
            uid: stat.st_uid,
            gid: stat.st_gid,
        };
        set_owner_and_mode(upper, owner, stat.st_mode & 0o7777)?;
        for (name, value) in attributes(lower)? {
            fsetxattr(upper, &name[..], &value, XattrFlags::empty())?;
        }
        self.times.push((place.path.clone(), times_of(&stat)));
        Ok(())
    }

    /// Give the directory `place`, which was there before, other attributes.
    pub(crate) fn dress(&mut self, place: &Place, new: New) -> Result<(), BuildError> {
        set_owner_and_mode(&place.upper, new.owner, new.mode)
            .map_err(|errno| BuildError::io("change", place.shown(OsStr::new("")), errno))?;
        let times = self.times_of_new(new);
        self.times.push((place.path.clone(), times));
        Ok(())
    }

    /// Make the file `name` of `place` from `entry`, with the content of `source` when it is a
    /// regular file.
    pub(crate) fn put(
        &mut self,
        place: &Place,
        name: &OsStr,
        entry: &Entry,
        source: Option<BorrowedFd<'_>>,
    ) -> Result<(), BuildError> {
        self.clear(place, name)?;
        let fail = |errno| BuildError::io("write", place.shown(name), errno);
        let upper = &*place.upper;
        let (uid, gid) = (
            Some(Uid::from_raw(entry.uid)),
            Some(Gid::from_raw(entry.gid)),
        );
        match &entry.kind {
            Kind::Symlink(target) => {
                symlinkat(OsStr::from_bytes(target), upper, name).map_err(fail)?;
                chownat(upper, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
                utimensat(upper, name, &entry_times(entry), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(fail)?;
            }
            Kind::Special { file_type, device } => {
                mknodat(upper, name, *file_type, Mode::RWXU, *device).map_err(fail)?;
                chownat(upper, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?;
                rustix::fs::chmodat(
                    upper,
                    name,
                    Mode::from_raw_mode(entry.mode),
                    AtFlags::empty(),
                )
                .map_err(fail)?;
                utimensat(upper, name, &entry_times(entry), AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(fail)?;
            }
            Kind::File => return self.put_file(place, name, entry, source),
            Kind::Directory => unreachable!("directories are entered, not put"),
        }
        Ok(())
    }

    fn put_file(
        &mut self,
        place: &Place,
        name: &OsStr,
        entry: &Entry,
        source: Option<BorrowedFd<'_>>,
    ) -> Result<(), BuildError> {
        let fail = |errno| BuildError::io("write", place.shown(name), errno);
        let inode = (entry.identity.device, entry.identity.inode);
        if entry.is_linked
            && let Some(first) = self.links.get(&inode)
        {
            return linkat(
                &*self.root.upper,
                first,
                &*place.upper,
                name,
                AtFlags::empty(),
            )
            .map_err(fail);
        }
        let file = create(place, name).map_err(fail)?;
        if let Some(source) = source {
            content::copy(source, file.as_fd(), entry.identity.size).map_err(fail)?;
            for (name, value) in &entry.attributes {
                fsetxattr(&file, &name[..], value, XattrFlags::empty()).map_err(fail)?;
            }
        }
        let owner = Owner {
            uid: entry.uid,
            gid: entry.gid,
        };
        set_owner_and_mode(&file, owner, entry.mode).map_err(fail)?;
        futimens(&file, &entry_times(entry)).map_err(fail)?;
        if entry.is_linked {
            self.links.insert(inode, place.path.join(name));
        }
        Ok(())
    }

    /// Make the file `name` of `place` from `entry`, with the content that `reader` gives.
    pub(crate) fn put_stream(
        &mut self,
        place: &Place,
        name: &OsStr,
        entry: &Entry,
        reader: &mut dyn std::io::Read,
    ) -> Result<(), BuildError> {
        self.clear(place, name)?;
        let fail = |errno| BuildError::io("write", place.shown(name), errno);
        let mut file = std::fs::File::from(create(place, name).map_err(fail)?);
        std::io::copy(reader, &mut file).map_err(|source| BuildError::Io {
            action: "write",
            path: place.shown(name),
            source,
        })?;
        for (attribute, value) in &entry.attributes {
            fsetxattr(&file, &attribute[..], value, XattrFlags::empty()).map_err(fail)?;
        }
        set_owner_and_mode(&file, New::like(entry).owner, entry.mode).map_err(fail)?;
        futimens(&file, &entry_times(entry)).map_err(fail)
    }

    /// Make the file `name` of `place` with the content `bytes`.
    pub(crate) fn put_bytes(
        &mut self,
        place: &Place,
        name: &OsStr,
        bytes: &[u8],
        new: New,
    ) -> Result<(), BuildError> {
        use std::io::Write;
        self.clear(place, name)?;
        let fail = |errno| BuildError::io("write", place.shown(name), errno);
        let mut file = std::fs::File::from(create(place, name).map_err(fail)?);
        file.write_all(bytes)
            .map_err(|e| fail(Errno::from_io_error(&e).unwrap_or(Errno::IO)))?;
        set_owner_and_mode(&file, new.owner, new.mode).map_err(fail)?;
        futimens(&file, &self.times_of_new(new)).map_err(fail)
    }

    /// Make sure that a file can be created as `name` of `place`.
    fn clear(&self, place: &Place, name: &OsStr) -> Result<(), BuildError> {
        let fail = |errno| BuildError::io("write", place.shown(name), errno);
        match existing(place, name).map_err(fail)? {
            Existing::Upper(FileType::Directory) | Existing::Lower(FileType::Directory) => {
                Err(BuildError::InTheWay {
                    path: place.shown(name),
                    problem: "cannot replace a directory with a file",
                })
            }
            Existing::Upper(_) => unlinkat(&*place.upper, name, AtFlags::empty()).map_err(fail),
            Existing::Nothing | Existing::Lower(_) => Ok(()),
        }
    }

    /// Link `name` of `place` to the file `target` of this layer, as a tar's hard link asks;
    /// false when this layer has no such file.
    pub(crate) fn link(
        &self,
        place: &Place,
        name: &OsStr,
        target: &Path,
    ) -> Result<bool, BuildError> {
        self.clear(place, name)?;
        match linkat(
            &*self.root.upper,
            target,
            &*place.upper,
            name,
            AtFlags::empty(),
        ) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(BuildError::io("link", place.shown(name), errno)),
        }
    }

    /// Set the times of all directories that were written into. The draft is complete.
    pub(crate) fn finish(self) -> Result<(), BuildError> {
        // A later word about a directory replaces an earlier one.
        for (path, times) in &self.times {
            let result = if path.as_os_str().is_empty() {
                futimens(&*self.root.upper, times)
            } else {
                utimensat(&*self.root.upper, path, times, AtFlags::SYMLINK_NOFOLLOW)
            };
            result.map_err(|errno| {
                BuildError::io("set the times of", Path::new("/").join(path), errno)
            })?;
        }
        Ok(())
    }
}

fn open_directory(parent: BorrowedFd<'_>, path: &Path, access: OFlags) -> Result<OwnedFd, Errno> {
    use rustix::fs::{ResolveFlags, openat2};
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    openat2(
        parent,
        path,
        access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
    )
}

fn existing(place: &Place, name: &OsStr) -> Result<Existing, Errno> {
    let look = |directory: &OwnedFd| match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    };
    if let Some(file_type) = look(&place.upper)? {
        return Ok(Existing::Upper(file_type));
    }
    match &place.lower {
        Some(lower) => Ok(look(lower)?.map_or(Existing::Nothing, Existing::Lower)),
        None => Ok(Existing::Nothing),
    }
}

fn create(place: &Place, name: &OsStr) -> Result<OwnedFd, Errno> {
    openat(
        &*place.upper,
        name,
        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::RUSR | Mode::WUSR,
    )
}

/// Owner first: changing it clears the set-user-id bits.
fn set_owner_and_mode(file: &impl AsFd, owner: Owner, mode: u32) -> Result<(), Errno> {
    fchown(
        file,
        Some(Uid::from_raw(owner.uid)),
        Some(Gid::from_raw(owner.gid)),
    )?;
    fchmod(file, Mode::from_raw_mode(mode))
}

/// Both times at `nanoseconds` after 1970.
fn times_at(nanoseconds: i64) -> Timestamps {
    const SECOND: i64 = 1_000_000_000;
    let time = Timespec {
        tv_sec: nanoseconds.div_euclid(SECOND),
        tv_nsec: nanoseconds.rem_euclid(SECOND),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn entry_times(entry: &Entry) -> Timestamps {
    times_at(entry.identity.mtime)
}

fn times_of(stat: &Stat) -> Timestamps {
    times_at(Identity::of(stat).mtime)
}
