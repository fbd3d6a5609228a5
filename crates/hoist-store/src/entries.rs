//! What is in a tree, entry by entry: of a layer in overlay form, or of several layers merged.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use hoist_core::Digest;
use rustix::{
    fd::OwnedFd,
    fs::{FileType, Mode, OFlags},
};

use crate::{
    error::{Result, StoreError},
    store::Store,
    walk::{Visit, located, walk},
    xattrs,
};

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// Below the root of the tree, without a leading `/`.
    pub path: PathBuf,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    /// Number of the owner.
    pub uid: u32,
    /// Number of the group.
    pub gid: u32,
    /// Modification time, in whole seconds since 1970.
    pub modified: i64,
    /// Bytes of a file's content; 0 for everything else.
    pub size: u64,
    /// Another name, earlier in the tree, of the same file.
    pub link_of: Option<PathBuf>,
    /// The directory hides the one that lower layers have at its place.
    pub is_opaque: bool,
    /// Extended attributes, without those of overlayfs.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link with its target.
    Symlink(PathBuf),
    /// A character device with its major and minor number.
    CharacterDevice(u32, u32),
    /// A block device with its major and minor number.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// The mark that lower layers' entry of this name is deleted.
    Whiteout,
}

impl TreeEntry {
    /// Bytes that the entry takes: those of a file, counted at its first name only.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        if self.link_of.is_some() { 0 } else { self.size }
    }
}

impl Store {
    /// The entries of a layer: parents before what they hold, names in the order of their bytes.
    ///
    /// # Errors
    /// As [`layer`](Self::layer); [`StoreError::File`] for what cannot be read.
    pub fn layer_entries(&self, diff_id: &Digest) -> Result<Vec<TreeEntry>> {
        self.listed(diff_id, Attributes::All)
    }

    /// [`layer_entries`](Self::layer_entries) for who weighs: without extended attributes, which cost
    /// a system call an entry.
    ///
    /// # Errors
    /// As [`layer_entries`](Self::layer_entries).
    pub fn layer_weights(&self, diff_id: &Digest) -> Result<Vec<TreeEntry>> {
        self.listed(diff_id, Attributes::OfDirectories)
    }

    fn listed(&self, diff_id: &Digest, attributes: Attributes) -> Result<Vec<TreeEntry>> {
        let place = self.layer_place(diff_id)?;
        let root = self.open_layer(diff_id)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(root, ".", flags, Mode::empty())
            .map_err(StoreError::file("open", &place))?;
        entries_of(root, &place, attributes)
    }
}

/// Whose extended attributes are looked at; those of directories say what they hide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attributes {
    All,
    OfDirectories,
}

/// The entries below `root`, in the order of [`Store::layer_entries`]; `name` is what errors call
/// the tree. Somebody may work in it: what vanishes meanwhile is left out.
///
/// # Errors
/// [`StoreError::File`] for what cannot be read, with the path.
pub fn tree_entries(root: OwnedFd, name: &Path) -> Result<Vec<TreeEntry>> {
    entries_of(root, name, Attributes::All)
}

fn entries_of(root: OwnedFd, name: &Path, attributes: Attributes) -> Result<Vec<TreeEntry>> {
    let mut entries = Vec::new();
    let mut reader = xattrs::Reader::default();
    let mut links: HashMap<(u32, u32, u64), PathBuf> = HashMap::new();
    walk(root, name, &mut |visit| {
        let looks = attributes == Attributes::All || visit.directory.is_some();
        let reader = looks.then_some(&mut reader);
        let mut entry = match entry(visit, name, reader) {
            Err(error) if error.is_absent() => return Ok(()),
            entry => entry?,
        };
        let stat = visit.stat;
        if stat.stx_nlink > 1 && !matches!(entry.kind, EntryKind::Directory | EntryKind::Whiteout) {
            let inode = (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino);
            match links.get(&inode) {
                Some(first) => entry.link_of = Some(first.clone()),
                None => drop(links.insert(inode, entry.path.clone())),
            }
        }
        entries.push(entry);
        Ok(())
    })?;
    Ok(entries)
}

fn entry(visit: &Visit<'_>, base: &Path, reader: Option<&mut xattrs::Reader>) -> Result<TreeEntry> {
    let stat = visit.stat;
    let device = (stat.stx_rdev_major, stat.stx_rdev_minor);
    let kind = match visit.kind {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(visit.parent, visit.name, Vec::new())
                .map_err(StoreError::file("read", &located(base, visit.path)))?;
            EntryKind::Symlink(OsString::from_vec(target.into_bytes()).into())
        }
        FileType::CharacterDevice if device == (0, 0) => EntryKind::Whiteout,
        FileType::CharacterDevice => EntryKind::CharacterDevice(device.0, device.1),
        FileType::BlockDevice => EntryKind::BlockDevice(device.0, device.1),
        FileType::Fifo => EntryKind::Fifo,
        _ => EntryKind::Socket,
    };
    let attributes = match reader.filter(|_| kind != EntryKind::Whiteout) {
        None => xattrs::Attributes::default(),
        Some(reader) => {
            let read = match visit.directory {
                Some(directory) => reader.of_open(directory),
                None => reader.of_entry(visit.parent, visit.name),
            };
            read.map_err(StoreError::file(
                "read the extended attributes of",
                &located(base, visit.path),
            ))?
        }
    };
    Ok(TreeEntry {
        path: PathBuf::from(std::ffi::OsStr::from_bytes(visit.path)),
        size: if kind == EntryKind::File {
            stat.stx_size
        } else {
            0
        },
        kind,
        mode: u32::from(stat.stx_mode) & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        modified: stat.stx_mtime.tv_sec,
        link_of: None,
        is_opaque: attributes.opaque,
        xattrs: attributes.list,
    })
}
