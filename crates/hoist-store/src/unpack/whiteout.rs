//! `.wh.` entries: what the layer hides of those below it.

use std::ffi::CString;

use rustix::{
    fd::{AsFd, BorrowedFd},
    fs::{FileType, Mode, OFlags},
    io::Errno,
};

use super::{Entry, Unpacker, refused};
use crate::{
    error::Result,
    overlay::{AUFS, OPAQUE},
    xattrs,
};

impl Unpacker<'_> {
    pub(super) fn whiteout(&mut self, entry: &Entry<'_>, hidden: &[u8]) -> Result<()> {
        let name = entry.name.to_bytes();
        if name == OPAQUE {
            let parent = self.parent_of(entry)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = rustix::fs::openat(&parent, c".", flags, Mode::empty())
                .map_err(|error| self.failed(entry, "open", error))?;
            return self.make_opaque(entry, directory.as_fd());
        }
        if name.starts_with(AUFS) {
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(refused(entry.member, "it deletes no file"));
        }
        let parent = self.parent_of(entry)?;
        let name =
            CString::new(hidden).map_err(|_| refused(entry.member, "its path has a zero byte"))?;
        let made = rustix::fs::mknodat(
            &parent,
            &name,
            FileType::CharacterDevice,
            Mode::empty(),
            rustix::fs::makedev(0, 0),
        );
        match made {
            Ok(()) => Ok(()),
            // A whiteout is about the layers below: what this layer has of that name stays, and
            // if it is a directory, it hides the one below.
            Err(Errno::EXIST) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                match rustix::fs::openat(&parent, &name, flags, Mode::empty()) {
                    Ok(directory) => self.make_opaque(entry, directory.as_fd()),
                    Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
                    Err(error) => Err(self.failed(entry, "open", error)),
                }
            }
            Err(error) => Err(self.failed(entry, "make the whiteout", error)),
        }
    }

    pub(super) fn make_opaque(&self, entry: &Entry<'_>, directory: BorrowedFd<'_>) -> Result<()> {
        xattrs::set_open(directory, self.overlay.opaque().as_bytes(), b"y")
            .map_err(|error| self.failed(entry, "make opaque", error))
    }
}
