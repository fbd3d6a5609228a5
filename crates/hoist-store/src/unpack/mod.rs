//! An archive to a directory in overlay form. The archive may come from anybody.
//!
//! * Every path is resolved inside the root of the layer by the kernel (`RESOLVE_IN_ROOT`), and the
//!   entry itself is created with `O_EXCL` semantics in its parent, so nothing that the archive
//!   put there before is followed. Paths with `..` are refused.
//! * A hard link names a file inside the same root.
//! * A later entry of the same path replaces the earlier one; a directory is kept and changed.
//! * `.wh.` entries become whiteouts and opaque directories; attributes of overlayfs itself are
//!   dropped, because with them an archive could speak about other layers.
//! * Directories get their times last. Those that the archive only implies are root's, 0755, 1970.

mod metadata;
mod place;
mod whiteout;

use std::{
    collections::BTreeMap,
    ffi::CString,
    fs::File,
    io::{self, BufRead, Write},
    os::unix::fs::FileExt,
    path::Path,
    rc::Rc,
};

use hoist_sys::tree;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, FileType, Mode, OFlags, StatxFlags, Timestamps},
    io::Errno,
};

use crate::{
    archive::{Data, Member, MemberKind, Reader},
    error::{Result, StoreError},
    overlay::{OverlayXattrs, WHITEOUT},
    walk::located,
};
use metadata::{mode, times};
use place::{Found, found};

/// Unpack everything that `archive` holds into the directory `root`, which lies at `base`; returns
/// the bytes of content in its files.
pub(crate) fn unpack<R: BufRead>(
    archive: &mut Reader<R>,
    root: BorrowedFd<'_>,
    base: &Path,
    overlay: OverlayXattrs,
) -> Result<u64> {
    let mut unpacker = Unpacker {
        root,
        base,
        overlay,
        parent: None,
        directories: BTreeMap::new(),
        buffer: vec![0; 128 * 1024],
        size: 0,
    };
    while let Some((member, data)) = archive.next()? {
        unpacker.member(archive, &member, &data)?;
    }
    archive.drain()?;
    let size = unpacker.size;
    unpacker.date_directories()?;
    Ok(size)
}

struct Unpacker<'a> {
    root: BorrowedFd<'a>,
    base: &'a Path,
    overlay: OverlayXattrs,
    /// The directory that the last entry was in: the next one mostly is, too.
    parent: Option<(Vec<u8>, Rc<OwnedFd>)>,
    /// Times that directories get at the end.
    directories: BTreeMap<Vec<u8>, Timestamps>,
    buffer: Vec<u8>,
    size: u64,
}

/// An entry on its way: the member, its clean path, and the last component of that.
struct Entry<'a> {
    member: &'a Member,
    path: Vec<u8>,
    name: CString,
}

impl Entry<'_> {
    fn parent_path(&self) -> &[u8] {
        let length = self.path.len() - self.name.to_bytes().len();
        &self.path[..length.saturating_sub(1)]
    }
}

impl Unpacker<'_> {
    fn member<R: BufRead>(
        &mut self,
        archive: &mut Reader<R>,
        member: &Member,
        data: &Data,
    ) -> Result<()> {
        let path = clean(&member.path).map_err(|reason| refused(member, reason))?;
        if path.is_empty() {
            return self.root_itself(member);
        }
        let start = path
            .iter()
            .rposition(|&byte| byte == b'/')
            .map_or(0, |at| at + 1);
        let name = CString::new(&path[start..])
            .map_err(|_| refused(member, "its path has a zero byte"))?;
        let entry = Entry { member, path, name };
        if let Some(hidden) = entry.name.to_bytes().strip_prefix(WHITEOUT) {
            return self.whiteout(&entry, hidden);
        }
        match member.kind {
            MemberKind::Directory => self.directory(&entry),
            MemberKind::File => self.file(&entry, archive, data),
            MemberKind::HardLink => self.hard_link(&entry),
            MemberKind::Symlink => self.symlink(&entry),
            MemberKind::CharacterDevice => self.device(&entry, FileType::CharacterDevice),
            MemberKind::BlockDevice => self.device(&entry, FileType::BlockDevice),
            MemberKind::Fifo => self.device(&entry, FileType::Fifo),
        }
    }

    fn root_itself(&self, member: &Member) -> Result<()> {
        if member.kind != MemberKind::Directory {
            return Err(refused(member, "the root of a layer is a directory"));
        }
        let entry = Entry {
            member,
            path: Vec::new(),
            name: CString::default(),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(self.root, c".", flags, Mode::empty())
            .map_err(|error| self.failed(&entry, "open", error))?;
        self.metadata_of_open(&entry, root.as_fd())
    }

    fn directory(&mut self, entry: &Entry<'_>) -> Result<()> {
        let parent = self.parent_of(entry)?;
        let mut opaque = false;
        while let Err(error) = rustix::fs::mkdirat(&parent, &entry.name, Mode::RWXU) {
            if error != Errno::EXIST {
                return Err(self.failed(entry, "make the directory", error));
            }
            let found = found(&parent, &entry.name)
                .map_err(|error| self.failed(entry, "inspect", error))?;
            if found == Found::Directory {
                break;
            }
            opaque |= found == Found::Whiteout;
            self.clear(entry, &parent)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&parent, &entry.name, flags, Mode::empty())
            .map_err(|error| self.failed(entry, "open", error))?;
        self.metadata_of_open(entry, directory.as_fd())?;
        if opaque {
            self.make_opaque(entry, directory.as_fd())?;
        }
        self.directories
            .insert(entry.path.clone(), times(entry.member));
        self.parent = Some((entry.path.clone(), Rc::new(directory)));
        Ok(())
    }

    fn file<R: BufRead>(
        &mut self,
        entry: &Entry<'_>,
        archive: &mut Reader<R>,
        data: &Data,
    ) -> Result<()> {
        let parent = self.parent_of(entry)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self.create(entry, &parent, |parent, name| {
            rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)
        })?;
        let mut file = File::from(file);
        self.size += entry.member.size;
        match data {
            Data::Plain => loop {
                let count = archive.read(&mut self.buffer)?;
                if count == 0 {
                    break;
                }
                file.write_all(&self.buffer[..count])
                    .map_err(|error| self.failed(entry, "write", error))?;
            },
            Data::Sparse(runs) => {
                file.set_len(entry.member.size)
                    .map_err(|error| self.failed(entry, "write", error))?;
                for run in runs {
                    self.run(entry, archive, &file, (run.offset, run.length))?;
                }
            }
        }
        self.metadata_of_open(entry, file.as_fd())?;
        rustix::fs::futimens(&file, &times(entry.member))
            .map_err(|error| self.failed(entry, "date", error))
    }

    fn run<R: BufRead>(
        &mut self,
        entry: &Entry<'_>,
        archive: &mut Reader<R>,
        file: &File,
        (mut offset, mut length): (u64, u64),
    ) -> Result<()> {
        while length > 0 {
            let most = usize::try_from(length)
                .unwrap_or(usize::MAX)
                .min(self.buffer.len());
            let count = archive.read(&mut self.buffer[..most])?;
            file.write_all_at(&self.buffer[..count], offset)
                .map_err(|error| self.failed(entry, "write", error))?;
            offset += count as u64;
            length -= count as u64;
        }
        Ok(())
    }

    fn hard_link(&mut self, entry: &Entry<'_>) -> Result<()> {
        let member = entry.member;
        let target =
            clean(&member.link).map_err(|_| refused(member, &link_reason(member, "has a '..'")))?;
        if target.is_empty() || target == entry.path {
            return Err(refused(member, &link_reason(member, "is not a file")));
        }
        let start = target
            .iter()
            .rposition(|&byte| byte == b'/')
            .map_or(0, |at| at + 1);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let holder = match start {
            0 => c".".to_owned(),
            _ => CString::new(&target[..start - 1])
                .map_err(|_| refused(member, "its link has a zero byte"))?,
        };
        let name = CString::new(&target[start..])
            .map_err(|_| refused(member, "its link has a zero byte"))?;
        let missing = |_| {
            refused(
                member,
                &link_reason(member, "is not in the archive before it"),
            )
        };
        let holder =
            tree::open_in_root(self.root, &holder, flags, Mode::empty()).map_err(missing)?;
        rustix::fs::statx(&holder, &name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE)
            .map_err(|error| missing(error.into()))?;
        let parent = self.parent_of(entry)?;
        self.create(entry, &parent, |parent, new| {
            rustix::fs::linkat(&holder, &name, parent, new, AtFlags::empty())
        })
    }

    fn symlink(&mut self, entry: &Entry<'_>) -> Result<()> {
        let parent = self.parent_of(entry)?;
        let target = CString::new(entry.member.link.as_slice())
            .map_err(|_| refused(entry.member, "its link has a zero byte"))?;
        self.create(entry, &parent, |parent, name| {
            rustix::fs::symlinkat(&target, parent, name)
        })?;
        self.own(entry, &parent)?;
        self.attributes_of_entry(entry, &parent)?;
        self.date(entry, &parent)
    }

    fn device(&mut self, entry: &Entry<'_>, kind: FileType) -> Result<()> {
        let parent = self.parent_of(entry)?;
        let member = entry.member;
        let number = rustix::fs::makedev(member.device.0, member.device.1);
        let made = self.try_create(entry, &parent, |parent, name| {
            rustix::fs::mknodat(parent, name, kind, Mode::empty(), number)
        });
        match made {
            // A user namespace has no devices: the runtime provides those that containers need.
            Err((Errno::PERM, _)) if self.overlay == OverlayXattrs::User => return Ok(()),
            result => result.map_err(|(_, error)| error)?,
        }
        self.own(entry, &parent)?;
        rustix::fs::chmodat(&parent, &entry.name, mode(member), AtFlags::empty())
            .map_err(|error| self.failed(entry, "set the mode of", error))?;
        self.attributes_of_entry(entry, &parent)?;
        self.date(entry, &parent)
    }

    fn failed(
        &self,
        entry: &Entry<'_>,
        action: &'static str,
        source: impl Into<io::Error>,
    ) -> StoreError {
        StoreError::Unpack {
            entry: String::from_utf8_lossy(&entry.member.path).into_owned(),
            action,
            path: located(self.base, &entry.path),
            source: source.into(),
        }
    }
}

pub(crate) fn refused(member: &Member, reason: &str) -> StoreError {
    StoreError::Entry {
        entry: String::from_utf8_lossy(&member.path).into_owned(),
        reason: reason.to_owned(),
    }
}

pub(crate) fn link_reason(member: &Member, reason: &str) -> String {
    let target = String::from_utf8_lossy(&member.link);
    format!("the file {target:?} that it links to {reason}")
}

/// `path` without leading `/`, empty and `.` components.
pub(crate) fn clean(path: &[u8]) -> std::result::Result<Vec<u8>, &'static str> {
    let mut clean = Vec::with_capacity(path.len());
    for component in path.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err("its path has a '..'"),
            component => {
                if !clean.is_empty() {
                    clean.push(b'/');
                }
                clean.extend_from_slice(component);
            }
        }
    }
    Ok(clean)
}
