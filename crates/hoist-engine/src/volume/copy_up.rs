//! Filling a new volume with what the image has at its place.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid,
        chownat, fchmod, linkat, mkdirat, mknodat, openat, openat2, readlinkat, statat, symlinkat,
        utimensat,
    },
    io::Errno,
};

use crate::error::EngineError;

/// Copy the directory `target` of the root `view` into the directory `data`: content, owners,
/// modes, times, hard links. Does nothing when the image has no directory there.
pub(super) fn copy_up(view: &OwnedFd, target: &Path, data: &Path) -> Result<(), EngineError> {
    let failed = |error: Errno| EngineError::File {
        action: "fill the volume",
        path: data.to_owned(),
        source: error.into(),
    };
    let relative = target.strip_prefix("/").unwrap_or(target);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let source = match openat2(
        view,
        relative,
        flags,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    ) {
        Ok(source) => source,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let destination = openat(CWD, data, flags, Mode::empty()).map_err(failed)?;
    let mut copy = Copy {
        data: destination.as_fd(),
        linked: HashMap::new(),
    };
    copy.children(source.as_fd(), destination.as_fd(), Path::new(""))
        .map_err(failed)?;
    let stat = rustix::fs::fstat(&source).map_err(failed)?;
    rustix::fs::fchown(
        &destination,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    )
    .map_err(failed)?;
    fchmod(&destination, Mode::from_raw_mode(stat.st_mode)).map_err(failed)
}

/// A copy that is under way.
struct Copy<'a> {
    /// The volume.
    data: BorrowedFd<'a>,
    /// Files with several names: device and inode, and their first name in the volume.
    linked: HashMap<(u64, u64), PathBuf>,
}

impl Copy<'_> {
    /// Copy what is in a directory; `path` is where that lies in the volume.
    fn children(
        &mut self,
        source: BorrowedFd<'_>,
        destination: BorrowedFd<'_>,
        path: &Path,
    ) -> Result<(), Errno> {
        for entry in Dir::read_from(source)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                self.entry((source, destination), name, &path.join(name))?;
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        (source, destination): (BorrowedFd<'_>, BorrowedFd<'_>),
        name: &OsStr,
        path: &Path,
    ) -> Result<(), Errno> {
        let stat = statat(source, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::Directory && stat.st_nlink > 1 {
            let inode = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.linked.get(&inode) {
                return linkat(self.data, first, destination, name, AtFlags::empty());
            }
            self.linked.insert(inode, path.to_owned());
        }
        match kind {
            FileType::Directory => {
                mkdirat(destination, name, Mode::RWXU)?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let from = openat(source, name, flags, Mode::empty())?;
                let to = openat(destination, name, flags, Mode::empty())?;
                self.children(from.as_fd(), to.as_fd(), path)?;
            }
            FileType::RegularFile => {
                let from = openat(
                    source,
                    name,
                    OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                    Mode::empty(),
                )?;
                let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let to = openat(destination, name, create, Mode::RUSR | Mode::WUSR)?;
                io::copy(&mut File::from(from), &mut File::from(to))
                    .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            }
            FileType::Symlink => {
                symlinkat(readlinkat(source, name, Vec::new())?, destination, name)?;
            }
            // Gone with whoever listened; its name must not be linked to.
            FileType::Socket => {
                self.linked.remove(&(stat.st_dev, stat.st_ino));
                return Ok(());
            }
            _ => mknodat(destination, name, kind, mode, stat.st_rdev)?,
        }
        let owner = (
            Some(Uid::from_raw(stat.st_uid)),
            Some(Gid::from_raw(stat.st_gid)),
        );
        chownat(
            destination,
            name,
            owner.0,
            owner.1,
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        if kind != FileType::Symlink {
            rustix::fs::chmodat(destination, name, mode, AtFlags::empty())?;
        }
        let time = |seconds: i64, nanoseconds: u64| Timespec {
            tv_sec: seconds,
            tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
        };
        let times = Timestamps {
            last_access: time(stat.st_atime, stat.st_atime_nsec),
            last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
        };
        utimensat(destination, name, &times, AtFlags::SYMLINK_NOFOLLOW)
    }
}
