//! The index of a layer: a file system of names over a tar that stays as it is.
//!
//! An EROFS image of the layer's directories, links, owners and attributes, in which the content of
//! every file is a place in the tar: data of members begin at multiples of 512, and that is the
//! block size of the image; the tar is its second device. The kernel mounts both files together,
//! and nothing is unpacked. The format is described in the kernel's `filesystems/erofs.rst` and
//! `fs/erofs/erofs_fs.h`.
//!
//! ```text
//! 0     nothing                  1024  superblock            1152  slot of the second device: the tar
//! 1536  inodes, a directory before what is in it; each with its attributes, and then
//!         of a file: 8 bytes for its place in the tar (more of them from 1 TiB)
//!         of a short directory or link: its content
//! …     whole blocks: the content of longer directories and links
//! ```
//!
//! [`Index`] takes the members of an archive one after the other, with the meaning that
//! [`unpack`](crate::unpack) gives them: the same names, replacements, whiteouts and refusals, so
//! that both forms of a layer are one tree. What a file system would have to be asked about, or has
//! no place in the image, makes a layer *unfit* ([`Index::unfit`]): it is unpacked. These are sparse
//! files, access control lists, names and links that no file system takes, capabilities of another
//! version than the second, and archives whose names and attributes exceed [`BUDGET`].
//!
//! The same archive gives the same bytes.

mod attributes;
mod directory;
mod format;
mod image;
mod index;
mod resolve;
mod tree;

pub(crate) use index::Index;

/// Bytes of names, links, attributes and inodes that an index may hold in memory: some 200 000
/// entries.
pub(crate) const BUDGET: usize = 40 << 20;

#[cfg(test)]
mod tests;
