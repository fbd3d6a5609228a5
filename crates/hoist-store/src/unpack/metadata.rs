//! Owners, modes, attributes and times of unpacked entries.

use hoist_sys::tree;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid},
    io::Errno,
};

use super::{Entry, Unpacker, refused};
use crate::{
    archive::Member,
    error::{Result, StoreError},
    overlay::{OverlayXattrs, overlay_attribute},
    walk::located,
    xattrs,
};

/// `PATH_MAX`.
const LONGEST_PATH: usize = 4096;

impl Unpacker<'_> {
    pub(super) fn metadata_of_open(&self, entry: &Entry<'_>, file: BorrowedFd<'_>) -> Result<()> {
        let member = entry.member;
        let (user, group) = owner(member);
        rustix::fs::fchown(file, Some(user), Some(group))
            .map_err(|error| self.failed(entry, "set the owner of", error))?;
        // After the owner, whose change takes set-id bits and capabilities away.
        rustix::fs::fchmod(file, mode(member))
            .map_err(|error| self.failed(entry, "set the mode of", error))?;
        for (name, value) in attributes(member) {
            self.set(entry, name, xattrs::set_open(file, name, value))?;
        }
        Ok(())
    }

    pub(super) fn attributes_of_entry(&self, entry: &Entry<'_>, parent: &OwnedFd) -> Result<()> {
        for (name, value) in attributes(entry.member) {
            let set = xattrs::set_entry(parent.as_fd(), &entry.name, name, value);
            self.set(entry, name, set)?;
        }
        Ok(())
    }

    pub(super) fn set(
        &self,
        entry: &Entry<'_>,
        name: &[u8],
        result: std::result::Result<(), Errno>,
    ) -> Result<()> {
        match result {
            // A file system without such attributes: Docker unpacks there without them, too.
            Ok(()) | Err(Errno::NOTSUP) => Ok(()),
            Err(Errno::PERM) if self.overlay == OverlayXattrs::User => Ok(()),
            Err(error) => {
                let what = String::from_utf8_lossy(name);
                let reason = format!("cannot set its attribute {what}: {error}");
                match error {
                    Errno::NOSPC | Errno::DQUOT => {
                        Err(self.failed(entry, "set an attribute of", error))
                    }
                    _ => Err(refused(entry.member, &reason)),
                }
            }
        }
    }

    pub(super) fn own(&self, entry: &Entry<'_>, parent: &OwnedFd) -> Result<()> {
        let (user, group) = owner(entry.member);
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(parent, &entry.name, Some(user), Some(group), flags)
            .map_err(|error| self.failed(entry, "set the owner of", error))
    }

    pub(super) fn date(&self, entry: &Entry<'_>, parent: &OwnedFd) -> Result<()> {
        let times = times(entry.member);
        rustix::fs::utimensat(parent, &entry.name, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| self.failed(entry, "date", error))
    }

    pub(super) fn date_directories(self) -> Result<()> {
        for (path, times) in &self.directories {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let dated = tree::open_in_root(self.root, path.as_slice(), flags, Mode::empty())
                .and_then(|directory| Ok(rustix::fs::futimens(directory, times)?));
            match dated.as_ref().map_err(Errno::from_io_error) {
                // A later entry replaced it, or a directory on the way by a link.
                Ok(()) | Err(Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) => {}
                Err(Some(Errno::NAMETOOLONG)) if path.len() < LONGEST_PATH => {}
                Err(_) => dated.map_err(StoreError::file("date", &located(self.base, path)))?,
            }
        }
        Ok(())
    }
}

pub(super) const fn mode(member: &Member) -> Mode {
    Mode::from_raw_mode(member.mode)
}

fn owner(member: &Member) -> (Uid, Gid) {
    (Uid::from_raw(member.user), Gid::from_raw(member.group))
}

fn attributes(member: &Member) -> impl Iterator<Item = (&[u8], &[u8])> {
    let list = member.xattrs.iter();
    list.filter(|(name, _)| overlay_attribute(name).is_none())
        .map(|(name, value)| (name.as_slice(), value.as_slice()))
}

pub(super) fn times(member: &Member) -> Timestamps {
    dated(member.modified, member.nanoseconds)
}

/// Directories that an archive only implies are of 1970.
pub(super) fn no_time() -> Timestamps {
    dated(0, 0)
}

fn dated(seconds: i64, nanoseconds: u32) -> Timestamps {
    let at = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds.into(),
    };
    Timestamps {
        last_access: at,
        last_modification: at,
    }
}
