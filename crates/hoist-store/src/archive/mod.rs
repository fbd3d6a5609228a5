//! The tar format, as layers of images use it: POSIX ustar with pax records (`pax(1)`), and on
//! reading also GNU's long names, base-256 numbers and sparse files.
//!
//! [`Member`] is one entry in either direction. Writing is deterministic: the same member gives
//! the same bytes, and a pax header appears only when the ustar fields cannot hold it. Reading
//! trusts nothing: metadata is bounded, numbers are checked, and every complaint names the entry.

mod bomb;
mod read;
mod sparse;
mod write;

use std::collections::BTreeMap;

pub(crate) use read::{Data, Reader, decompressed_layer};
pub(crate) use write::Writer;

/// Everything in a tar comes in blocks of this size.
const BLOCK: usize = 512;

/// How pax records of extended attributes begin (as written by star, GNU tar and Go).
const XATTR_RECORD: &[u8] = b"SCHILY.xattr.";

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberKind {
    File,
    HardLink,
    Symlink,
    CharacterDevice,
    BlockDevice,
    Directory,
    Fifo,
}

impl MemberKind {
    const fn flag(self) -> u8 {
        match self {
            Self::File => b'0',
            Self::HardLink => b'1',
            Self::Symlink => b'2',
            Self::CharacterDevice => b'3',
            Self::BlockDevice => b'4',
            Self::Directory => b'5',
            Self::Fifo => b'6',
        }
    }

    const fn from_flag(flag: u8) -> Option<Self> {
        Some(match flag {
            // '7' is a contiguous file, 'S' a sparse one of GNU tar, NUL a file of ancient times.
            b'0' | b'7' | b'S' | 0 => Self::File,
            b'1' => Self::HardLink,
            b'2' => Self::Symlink,
            b'3' => Self::CharacterDevice,
            b'4' => Self::BlockDevice,
            b'5' => Self::Directory,
            b'6' => Self::Fifo,
            _ => return None,
        })
    }
}

/// One entry of an archive, without its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// As the archive has it; directories end in `/` when written.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: MemberKind,
    /// Permission bits with set-id and sticky bits.
    pub(crate) mode: u32,
    pub(crate) user: u32,
    pub(crate) group: u32,
    /// Whole seconds since 1970.
    pub(crate) modified: i64,
    /// What pax records add to these seconds; never written.
    pub(crate) nanoseconds: u32,
    /// Bytes of data: of the file, holes included.
    pub(crate) size: u64,
    /// Target of a symbolic or hard link.
    pub(crate) link: Vec<u8>,
    /// Major and minor number of a device.
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Member {
    /// An empty member owned by root, dated 1970.
    pub(crate) const fn new(path: Vec<u8>, kind: MemberKind) -> Self {
        Self {
            path,
            kind,
            mode: 0,
            user: 0,
            group: 0,
            modified: 0,
            nanoseconds: 0,
            size: 0,
            link: Vec::new(),
            device: (0, 0),
            xattrs: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests;
