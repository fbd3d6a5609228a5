//! Images out of the store: as a directory, as the archive of their files, as OCI and Docker
//! archives. The same image gives the same bytes.

mod archive;
mod layout;
mod mirror;
mod sink;

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use hoist_core::Digest;
use hoist_engine::Engine;
use hoist_store::write_tree;
use rustix::fs::OFlags;

pub use layout::{ImageArchive, write_image_archive, write_image_layout};

use crate::{
    error::BuildError,
    execute::{
        copy::{self, Item, Job},
        draft::Draft,
        open_directory,
    },
    tree::{Ownership, Root, filter::Filter, walk},
};

/// Time of the directory itself, which no layer has an entry for.
const EARLIEST: i64 = 315_532_800;

/// What becomes of files that are in the directory already, and not in the image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Others {
    /// They stay.
    #[default]
    Stay,
    /// They go: afterwards the directory is what the image is (`mode=delete`).
    Go,
}

/// Write the files of an image into the directory `destination`, which is made if it is not there:
/// all of them belong to whoever runs this. What is there already becomes what `others` says; the
/// image's files replace it where they have the same names. With an `epoch`, in seconds since 1970,
/// all files have that time.
///
/// # Errors
/// [`BuildError::Io`] for what cannot be written or removed, with the path;
/// [`BuildError::Cancelled`].
pub fn write_directory(
    engine: &Engine,
    image: &Digest,
    epoch: Option<i64>,
    (destination, others): (&Path, Others),
    cancelled: &AtomicBool,
) -> Result<(), BuildError> {
    std::fs::create_dir_all(destination).map_err(|source| BuildError::Io {
        action: "make",
        path: destination.to_owned(),
        source,
    })?;
    let layers = engine.store().image(image)?.image.rootfs.diff_ids;
    let view = engine.merged_view(&layers)?;
    let root = Root::new(view, PathBuf::from("/"), Ownership::Root);
    let start = Path::new("");
    let mut entries = walk(&root, start, &Filter::ignoring(None))?;
    if let Some(epoch) = epoch {
        for entry in &mut entries {
            entry.identity.mtime = epoch.saturating_mul(1_000_000_000);
        }
    }
    if others == Others::Go {
        mirror::remove_others(destination, &entries)?;
    }
    let mut draft = Draft::new(open_directory(destination)?, None, EARLIEST)?;
    let job = Job {
        items: vec![Item::Tree {
            root: &root,
            name: start,
            start,
            entries: &entries,
        }],
        destination: "/",
        owner: None,
        chmod: None,
        cancelled,
    };
    copy::copy(&mut draft, &job)?;
    draft.finish()
}

/// Write the files of an image, all layers as one tree, as a tar archive. With an `epoch`, in
/// seconds since 1970, all of them have that time.
///
/// # Errors
/// The store's about files that cannot be read or `output` that fails.
pub fn write_files(
    engine: &Engine,
    image: &Digest,
    epoch: Option<i64>,
    output: impl Write,
) -> Result<(), BuildError> {
    let layers = engine.store().image(image)?.image.rootfs.diff_ids;
    let view = engine.merged_view(&layers)?;
    let name = Path::new("/");
    let root = Root::new(view, name.to_owned(), Ownership::Kept);
    let readable = root
        .open(Path::new(""), OFlags::RDONLY | OFlags::DIRECTORY)
        .map_err(|errno| BuildError::io("open", name, errno))?;
    Ok(write_tree(readable, name, epoch, output)?)
}
