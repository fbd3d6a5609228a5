//! A directory in overlay form to its deterministic archive, whose digest names the layer.
//!
//! The same tree gives the same bytes, whoever made it and wherever it lies:
//!
//! * parents before children, the entries of a directory in the order of their bytes;
//! * owners as numbers, modification times in whole seconds, no other times, no user names;
//! * of several names of one inode the first is the file and the others are hard links to it;
//! * extended attributes as pax records, without those of overlayfs;
//! * sockets are left out; holes of sparse files are written as zeros;
//! * the root directory appears only when its owner, mode, attributes or opacity say something,
//!   and then without its time, which every change of its entries would change.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::CStr,
    io::{self, Write},
    path::Path,
};

use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, FileType, Mode, OFlags, Statx, StatxFlags},
};

use crate::{
    archive::{Member, MemberKind, Writer},
    error::{Result, StoreError},
    overlay::{OPAQUE, WHITEOUT},
    walk::{Visit, located, walk},
    xattrs::{self, Attributes},
};

/// What was written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Bytes of the files' content, hard links counted once.
    pub(crate) size: u64,
    /// Bytes of the archive.
    pub(crate) archive_size: u64,
}

/// Why an archive was not written: the tree, or whoever takes the bytes.
pub(crate) enum Failure {
    Tree(StoreError),
    Output(io::Error),
}

/// Whether a tree may change while its archive is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Motion {
    /// It is nobody's any more: a change is an error.
    #[default]
    Still,
    /// Somebody works in it: what vanishes is left out, what becomes shorter is filled with zeros.
    Live,
}

/// How an archive is written, when not as that of a layer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    pub(crate) motion: Motion,
    /// The time of everything but the root, in seconds since 1970, in place of its own.
    pub(crate) time: Option<i64>,
}

/// Write the archive of the tree `root`, which lies at `base`, into `output`.
pub(crate) fn write(
    root: OwnedFd,
    base: &Path,
    output: impl Write,
) -> std::result::Result<Totals, Failure> {
    write_as(root, base, Manner::default(), output)
}

/// [`write`], in a certain manner.
pub(crate) fn write_as(
    root: OwnedFd,
    base: &Path,
    manner: Manner,
    output: impl Write,
) -> std::result::Result<Totals, Failure> {
    let mut tar = LayerTar {
        base,
        manner,
        output: Writer::new(Counted { output, count: 0 }),
        output_error: None,
        links: HashMap::new(),
        attributes: xattrs::Reader::default(),
        buffer: vec![0; 256 * 1024],
        totals: Totals::default(),
    };
    let mut written = tar.root(root.as_fd());
    if written.is_ok() {
        written = walk(root, base, &mut |entry| match tar.entry(entry) {
            Err(error) if manner.motion == Motion::Live && error.is_absent() => {
                // Its other names are no links to it: it never came.
                tar.links.retain(|_, first| first != entry.path);
                Ok(())
            }
            result => result,
        });
    }
    if let Some(error) = tar.output_error {
        return Err(Failure::Output(error));
    }
    written.map_err(Failure::Tree)?;
    let output = tar.output.finish().map_err(Failure::Output)?;
    Ok(Totals {
        archive_size: output.count,
        ..tar.totals
    })
}

/// An output that knows how much went into it.
struct Counted<W> {
    output: W,
    count: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.output.write(bytes)?;
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

struct LayerTar<'a, W> {
    base: &'a Path,
    manner: Manner,
    output: Writer<Counted<W>>,
    /// Set when the output failed: then it is told instead of what stopped the walk.
    output_error: Option<io::Error>,
    /// The first path of every inode that has more than one.
    links: HashMap<(u32, u32, u64), Vec<u8>>,
    attributes: xattrs::Reader,
    buffer: Vec<u8>,
    totals: Totals,
}

impl<W: Write> LayerTar<'_, W> {
    fn root(&mut self, root: BorrowedFd<'_>) -> Result<()> {
        let failed = StoreError::file("inspect", self.base);
        let stat = rustix::fs::statx(root, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
            .map_err(failed)?;
        let attributes = self.attributes.of_open(root);
        let attributes = self.checked(attributes, b"")?;
        let mut member = Member::new(b"./".to_vec(), MemberKind::Directory);
        self.set_metadata(&mut member, &stat);
        member.modified = 0;
        member.xattrs = attributes.list;
        let plain = member.mode == 0o755 && member.user == 0 && member.group == 0;
        if !plain || !member.xattrs.is_empty() {
            self.put(&member)?;
        }
        if attributes.opaque {
            self.put(&Member::new(OPAQUE.to_vec(), MemberKind::File))?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Visit<'_>) -> Result<()> {
        if entry.name.to_bytes().starts_with(WHITEOUT) {
            return Err(self.unrepresentable(
                entry.path,
                "in archives of layers, a name that begins with .wh. means a deleted file",
            ));
        }
        let stat = entry.stat;
        let is_whiteout = entry.kind == FileType::CharacterDevice
            && (stat.stx_rdev_major, stat.stx_rdev_minor) == (0, 0);
        // Before hard links: overlayfs makes its whiteouts links of one inode.
        if is_whiteout {
            return self.whiteout(entry.path);
        }
        let kind = match entry.kind {
            FileType::Directory => return self.directory(entry),
            FileType::RegularFile => MemberKind::File,
            FileType::Symlink => MemberKind::Symlink,
            FileType::CharacterDevice => MemberKind::CharacterDevice,
            FileType::BlockDevice => MemberKind::BlockDevice,
            FileType::Fifo => MemberKind::Fifo,
            _ => return Ok(()),
        };
        if stat.stx_nlink > 1 {
            let inode = (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino);
            if let Some(first) = self.links.get(&inode) {
                let mut member = Member::new(entry.path.to_vec(), MemberKind::HardLink);
                member.link.clone_from(first);
                self.set_metadata(&mut member, stat);
                return self.put(&member);
            }
            self.links.insert(inode, entry.path.to_vec());
        }
        let mut member = Member::new(entry.path.to_vec(), kind);
        self.set_metadata(&mut member, stat);
        if kind == MemberKind::File {
            return self.file(entry, member);
        }
        let attributes = self.attributes.of_entry(entry.parent, entry.name);
        member.xattrs = self.checked(attributes, entry.path)?.list;
        if kind == MemberKind::Symlink {
            member.link = rustix::fs::readlinkat(entry.parent, entry.name, Vec::new())
                .map_err(StoreError::file("read", &located(self.base, entry.path)))?
                .into_bytes();
        } else if kind != MemberKind::Fifo {
            member.device = (stat.stx_rdev_major, stat.stx_rdev_minor);
        }
        self.put(&member)
    }

    fn whiteout(&mut self, path: &[u8]) -> Result<()> {
        let at = path
            .iter()
            .rposition(|&byte| byte == b'/')
            .map_or(0, |at| at + 1);
        let (parent, name) = path.split_at(at);
        self.put(&Member::new(
            [parent, WHITEOUT, name].concat(),
            MemberKind::File,
        ))
    }

    fn directory(&mut self, entry: &Visit<'_>) -> Result<()> {
        let attributes = match entry.directory {
            Some(directory) => self.attributes.of_open(directory),
            None => self.attributes.of_entry(entry.parent, entry.name),
        };
        let attributes = self.checked(attributes, entry.path)?;
        let mut member = Member::new([entry.path, b"/"].concat(), MemberKind::Directory);
        self.set_metadata(&mut member, entry.stat);
        member.xattrs = attributes.list;
        self.put(&member)?;
        if attributes.opaque {
            let path = [entry.path, b"/", OPAQUE].concat();
            self.put(&Member::new(path, MemberKind::File))?;
        }
        Ok(())
    }

    fn file(&mut self, entry: &Visit<'_>, mut member: Member) -> Result<()> {
        let file = self.open(entry.parent, entry.name, entry.path)?;
        let attributes = self.attributes.of_open(file.as_fd());
        member.xattrs = self.checked(attributes, entry.path)?.list;
        member.size = entry.stat.stx_size;
        self.put(&member)?;
        let mut rest = member.size;
        while rest > 0 {
            let most = usize::try_from(rest)
                .unwrap_or(usize::MAX)
                .min(self.buffer.len());
            let count = match rustix::io::read(&file, &mut self.buffer[..most]) {
                Err(rustix::io::Errno::INTR) => continue,
                result => {
                    result.map_err(StoreError::file("read", &located(self.base, entry.path)))?
                }
            };
            let count = match (count, self.manner.motion) {
                (0, Motion::Still) => {
                    let reason = "it became shorter while it was read";
                    return Err(self.unrepresentable(entry.path, reason));
                }
                (0, Motion::Live) => {
                    self.buffer[..most].fill(0);
                    most
                }
                (count, _) => count,
            };
            rest -= count as u64;
            let written = self.output.data(&self.buffer[..count]);
            self.taken(written)?;
        }
        self.totals.size += member.size;
        let padded = self.output.pad(member.size);
        self.taken(padded)
    }

    fn open(&self, parent: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::openat(parent, name, flags, Mode::empty())
            .map_err(StoreError::file("open", &located(self.base, path)))
    }

    fn set_metadata(&self, member: &mut Member, stat: &Statx) {
        member.mode = u32::from(stat.stx_mode) & 0o7777;
        member.user = stat.stx_uid;
        member.group = stat.stx_gid;
        member.modified = self.manner.time.unwrap_or(stat.stx_mtime.tv_sec);
    }

    fn put(&mut self, member: &Member) -> Result<()> {
        let written = self.output.member(member);
        self.taken(written)
    }

    /// Remember that the output failed and stop the walk.
    fn taken(&mut self, written: io::Result<()>) -> Result<()> {
        written.map_err(|error| {
            let stop = StoreError::file("archive", self.base)(io::Error::from(error.kind()));
            self.output_error = Some(error);
            stop
        })
    }

    /// The attributes that go into the archive; those that would change its meaning are refused.
    fn checked(&self, attributes: io::Result<Attributes>, path: &[u8]) -> Result<Attributes> {
        let attributes = attributes.map_err(StoreError::file(
            "read the extended attributes of",
            &located(self.base, path),
        ))?;
        if attributes.foreign {
            return Err(self.unrepresentable(
                path,
                "it refers to another layer (overlay.redirect or overlay.metacopy); \
                 mount with redirect_dir=off and metacopy=off",
            ));
        }
        if attributes.list.keys().any(|name| name.contains(&b'=')) {
            return Err(self.unrepresentable(path, "the name of an extended attribute has a '='"));
        }
        Ok(attributes)
    }

    fn unrepresentable(&self, path: &[u8], reason: &str) -> StoreError {
        StoreError::Unrepresentable {
            path: located(self.base, path),
            reason: reason.to_owned(),
        }
    }
}

/// Extended attributes by name.
pub(crate) type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;
