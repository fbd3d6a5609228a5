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
    fs::{AtFlags, FileType, Gid, Mode, OFlags, StatxFlags, Timespec, Timestamps, Uid},
    io::Errno,
};

use crate::{
    archive::{Data, Member, MemberKind, Reader},
    error::{Result, StoreError},
    overlay::{AUFS, OPAQUE, OverlayXattrs, WHITEOUT, overlay_attribute},
    walk::located,
    xattrs,
};

/// Unpack everything that `archive` holds into the directory `root`, which lies at `base`.
pub(crate) fn unpack<R: BufRead>(
    archive: &mut Reader<R>,
    root: BorrowedFd<'_>,
    base: &Path,
    overlay: OverlayXattrs,
) -> Result<()> {
    let mut unpacker = Unpacker {
        root,
        base,
        overlay,
        parent: None,
        directories: BTreeMap::new(),
        buffer: vec![0; 128 * 1024],
    };
    while let Some((member, data)) = archive.next()? {
        unpacker.member(archive, &member, &data)?;
    }
    archive.drain()?;
    unpacker.date_directories()
}

struct Unpacker<'a> {
    root: BorrowedFd<'a>,
    base: &'a Path,
    overlay: OverlayXattrs,
    /// The directory that the last entry was in: the next one mostly is, too.
    parent: Option<(Vec<u8>, Rc<OwnedFd>)>,
    /// Times that directories get at the end.
    directories: BTreeMap<Vec<u8>, i64>,
    buffer: Vec<u8>,
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
            let found = self.found(entry, &parent)?;
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
            .insert(entry.path.clone(), entry.member.modified);
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
        rustix::fs::futimens(&file, &times(entry.member.modified))
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

    fn whiteout(&mut self, entry: &Entry<'_>, hidden: &[u8]) -> Result<()> {
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

    fn make_opaque(&self, entry: &Entry<'_>, directory: BorrowedFd<'_>) -> Result<()> {
        xattrs::set_open(directory, self.overlay.opaque().as_bytes(), b"y")
            .map_err(|error| self.failed(entry, "make opaque", error))
    }

    /// The directory of an entry, made when the archive did not mention it.
    fn parent_of(&mut self, entry: &Entry<'_>) -> Result<Rc<OwnedFd>> {
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

    fn open_parent(&mut self, entry: &Entry<'_>, path: &[u8]) -> Result<OwnedFd> {
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
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result.map_err(blocked),
        }
        let mut implied = Vec::new();
        let mut holder = open(b"").map_err(blocked)?;
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        for end in ends.map(|(at, _)| at).chain([path.len()]) {
            let prefix = &path[..end];
            holder = match open(prefix) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let made = self.imply(entry, &holder, prefix)?;
                    implied.push((prefix.to_vec(), 0));
                    made
                }
                result => result.map_err(blocked)?,
            };
        }
        self.directories.extend(implied);
        Ok(holder)
    }

    /// Make a directory that the archive needs but does not have.
    fn imply(&self, entry: &Entry<'_>, holder: &OwnedFd, path: &[u8]) -> Result<OwnedFd> {
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
        make().map_err(|error| match error {
            Errno::EXIST => refused(entry.member, "a part of its path is a link to nowhere"),
            error => self.failed(entry, "make the directory of", error),
        })
    }

    fn create<T>(
        &mut self,
        entry: &Entry<'_>,
        parent: &OwnedFd,
        make: impl Fn(&OwnedFd, &CString) -> std::result::Result<T, Errno>,
    ) -> Result<T> {
        self.try_create(entry, parent, make)
            .map_err(|(_, error)| error)
    }

    /// Make a new entry; what has its name gives way.
    fn try_create<T>(
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

    fn found(&self, entry: &Entry<'_>, parent: &OwnedFd) -> Result<Found> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let stat = rustix::fs::statx(parent, &entry.name, flags, StatxFlags::BASIC_STATS)
            .map_err(|error| self.failed(entry, "inspect", error))?;
        let number = (stat.stx_rdev_major, stat.stx_rdev_minor);
        Ok(match FileType::from_raw_mode(stat.stx_mode.into()) {
            FileType::Directory => Found::Directory,
            FileType::CharacterDevice if number == (0, 0) => Found::Whiteout,
            _ => Found::Other,
        })
    }

    /// Remove what an earlier entry left at this path.
    fn clear(&mut self, entry: &Entry<'_>, parent: &OwnedFd) -> Result<()> {
        // It may have been, or led to, the directory that is remembered.
        self.parent = None;
        tree::remove_at(parent.as_fd(), &entry.name)
            .map_err(|error| self.failed(entry, "replace", error))
    }

    fn metadata_of_open(&self, entry: &Entry<'_>, file: BorrowedFd<'_>) -> Result<()> {
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

    fn attributes_of_entry(&self, entry: &Entry<'_>, parent: &OwnedFd) -> Result<()> {
        for (name, value) in attributes(entry.member) {
            let set = xattrs::set_entry(parent.as_fd(), &entry.name, name, value);
            self.set(entry, name, set)?;
        }
        Ok(())
    }

    fn set(
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

    fn own(&self, entry: &Entry<'_>, parent: &OwnedFd) -> Result<()> {
        let (user, group) = owner(entry.member);
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(parent, &entry.name, Some(user), Some(group), flags)
            .map_err(|error| self.failed(entry, "set the owner of", error))
    }

    fn date(&self, entry: &Entry<'_>, parent: &OwnedFd) -> Result<()> {
        let times = times(entry.member.modified);
        rustix::fs::utimensat(parent, &entry.name, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| self.failed(entry, "date", error))
    }

    fn date_directories(self) -> Result<()> {
        for (path, modified) in &self.directories {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let dated = tree::open_in_root(self.root, path.as_slice(), flags, Mode::empty())
                .and_then(|directory| Ok(rustix::fs::futimens(directory, &times(*modified))?));
            match dated.as_ref().map_err(Errno::from_io_error) {
                // A later entry replaced it.
                Ok(()) | Err(Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) => {}
                Err(_) => dated.map_err(StoreError::file("date", &located(self.base, path)))?,
            }
        }
        Ok(())
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

/// What is at a path already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Directory,
    Whiteout,
    Other,
}

fn refused(member: &Member, reason: &str) -> StoreError {
    StoreError::Entry {
        entry: String::from_utf8_lossy(&member.path).into_owned(),
        reason: reason.to_owned(),
    }
}

fn link_reason(member: &Member, reason: &str) -> String {
    let target = String::from_utf8_lossy(&member.link);
    format!("the file {target:?} that it links to {reason}")
}

/// `path` without leading `/`, empty and `.` components.
fn clean(path: &[u8]) -> std::result::Result<Vec<u8>, &'static str> {
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

const fn mode(member: &Member) -> Mode {
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

const fn times(modified: i64) -> Timestamps {
    let at = Timespec {
        tv_sec: modified,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: at,
        last_modification: at,
    }
}
