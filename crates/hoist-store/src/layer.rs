//! Finished layers.

use std::{
    io::{Read, Write},
    os::fd::OwnedFd,
    path::Path,
};

use hoist_core::{Digest, Digester};
use hoist_sys::atomic::Durability;
use serde::{Deserialize, Serialize};

use crate::{
    archive,
    drafts::open,
    error::{Result, StoreError},
    form::LayerForm,
    layer_tar::{self, Failure, Manner, Motion, Totals},
    layout::{INDEX, LAYER_RECORD, TAR, TREE},
    store::{Store, read_record, write_record},
};

/// A layer in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The digest of the layer's archive: the deterministic one, or the one that it came as.
    pub diff_id: Digest,
    /// Bytes of content in its files.
    pub size: u64,
}

/// `layer.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    pub(crate) size: u64,
    /// Bytes of its archive; 0 when nobody has counted them.
    #[serde(default)]
    pub(crate) archive_size: u64,
    /// Its archive is not the one that hoist makes of its files: it comes from a blob.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) foreign: bool,
    /// How it lies in its directory.
    #[serde(default, skip_serializing_if = "is_unpacked")]
    pub(crate) form: LayerForm,
    /// The boot in which it was written, until a sync has confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unsynced: Option<String>,
}

impl LayerRecord {
    /// The record of a layer that was written just now.
    pub(crate) fn fresh(store: &Store, size: u64, archive_size: u64) -> Self {
        Self {
            size,
            archive_size,
            foreign: false,
            form: LayerForm::Unpacked,
            unsynced: Some(store.boot().to_owned()),
        }
    }

    pub(crate) fn read(store: &Store, diff_id: &Digest) -> Result<Self> {
        let path = store.layout().layer(diff_id).join(LAYER_RECORD);
        match read_record::<Self>(&path) {
            Ok(record) if store.is_lost(record.unsynced.as_deref()) => {
                Err(StoreError::Unfinished {
                    what: format!("layer {diff_id}"),
                })
            }
            Err(error) if error.is_absent() => Err(StoreError::NoSuchLayer(*diff_id)),
            result => result,
        }
    }

    /// Say that the layer has reached the disk; one that is gone meanwhile needs no word.
    pub(crate) fn confirm(store: &Store, diff_id: &Digest) -> Result<()> {
        let path = store.layout().layer(diff_id).join(LAYER_RECORD);
        let mut record = match Self::read(store, diff_id) {
            Err(StoreError::NoSuchLayer(_)) => return Ok(()),
            result => result?,
        };
        if record.unsynced.take().is_none() {
            return Ok(());
        }
        write_record(&path, &record, Durability::Volatile)
    }
}

impl Store {
    /// A layer by its diff id.
    ///
    /// # Errors
    /// [`StoreError::NoSuchLayer`]; [`StoreError::Unfinished`] when the machine went down before
    /// it had reached the disk. Both are of the kind "not found".
    pub fn layer(&self, diff_id: &Digest) -> Result<Layer> {
        let record = LayerRecord::read(self, diff_id)?;
        Ok(Layer {
            diff_id: *diff_id,
            size: record.size,
        })
    }

    /// Whether the store has a layer, whole: its files, and the blob that it came as.
    ///
    /// # Errors
    /// [`StoreError::File`] when it cannot be told.
    pub fn has_layer(&self, diff_id: &Digest) -> Result<bool> {
        match LayerRecord::read(self, diff_id) {
            Ok(record) if record.foreign => match self.layer_blobs(diff_id) {
                Ok(blobs) => Ok(!blobs.is_empty()),
                Err(StoreError::Damaged { .. }) => Ok(false),
                Err(error) => Err(error),
            },
            Ok(_) => Ok(true),
            Err(
                StoreError::NoSuchLayer(_)
                | StoreError::Unfinished { .. }
                | StoreError::Damaged { .. },
            ) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether nothing of a layer is missing: its record, its files, and where its archive is not of
    /// hoist's making, a blob that holds it. What is in the files is not looked at.
    ///
    /// # Errors
    /// [`StoreError::File`] when it cannot be told.
    pub fn is_whole_layer(&self, diff_id: &Digest) -> Result<bool> {
        let record = match LayerRecord::read(self, diff_id) {
            Err(
                StoreError::NoSuchLayer(_)
                | StoreError::Unfinished { .. }
                | StoreError::Damaged { .. },
            ) => return Ok(false),
            result => result?,
        };
        Ok(self.has_files(diff_id) && (!record.foreign || self.has_blob(diff_id)))
    }

    /// Whether the files of a layer are there: its directory, or its tar in its length and the index.
    pub(crate) fn has_files(&self, diff_id: &Digest) -> bool {
        let directory = self.layout().layer(diff_id);
        match LayerRecord::read(self, diff_id) {
            Ok(record) if record.form == LayerForm::Indexed => {
                let length = |name| std::fs::metadata(directory.join(name)).map(|stat| stat.len());
                length(TAR).is_ok_and(|length| length == record.archive_size)
                    && length(INDEX).is_ok_and(|length| length > 0)
            }
            _ => directory.join(TREE).exists(),
        }
    }

    /// A record of a form that cannot be read is as good as none.
    fn has_blob(&self, diff_id: &Digest) -> bool {
        self.layer_blobs(diff_id)
            .is_ok_and(|blobs| !blobs.is_empty())
    }

    /// Whether a layer's archive is the one that hoist makes of its files: it was built or imported
    /// on this machine, or loaded from an archive of such a layer; not pulled.
    ///
    /// # Errors
    /// As [`layer`](Self::layer).
    pub fn is_made_here(&self, diff_id: &Digest) -> Result<bool> {
        Ok(!LayerRecord::read(self, diff_id)?.foreign)
    }

    /// A layer that nobody may sweep as long as this store value lives: for work that finds a
    /// layer now and names it in an image later.
    ///
    /// # Errors
    /// As [`layer`](Self::layer).
    pub fn keep_layer(&self, diff_id: &Digest) -> Result<Layer> {
        let session = self.session()?;
        let hold = self.hold()?;
        let layer = self.layer(diff_id)?;
        session.keep(diff_id)?;
        drop(hold);
        Ok(layer)
    }

    /// Write the archive of a layer; its digest is the diff id.
    ///
    /// # Errors
    /// [`StoreError::Output`] when `output` fails; [`StoreError::Damaged`] when the directory is
    /// no longer what the layer was; as [`layer`](Self::layer).
    pub fn write_tar(&self, diff_id: &Digest, output: impl Write) -> Result<()> {
        let record = LayerRecord::read(self, diff_id)?;
        if record.form == LayerForm::Indexed {
            let (tar, path) = self.open_tar(diff_id)?;
            return copy_archive(tar, diff_id, &path, output);
        }
        if record.foreign {
            return self.write_foreign_tar(diff_id, output);
        }
        let tree = self.layout().layer(diff_id).join(TREE);
        let root = open(&tree)?;
        let mut digested = Digested {
            output,
            digester: Digester::new(),
        };
        let written = layer_tar::write(root, &tree, &mut digested);
        written.map_err(|failure| match failure {
            Failure::Tree(error) => error,
            Failure::Output(source) => StoreError::Output {
                layer: *diff_id,
                source,
            },
        })?;
        let found = digested.digester.finish();
        if found == *diff_id {
            return Ok(());
        }
        Err(StoreError::damaged(
            &tree,
            &format!("its archive has the digest {found}"),
        ))
    }

    /// Write the archive out of a blob of the layer.
    fn write_foreign_tar(&self, diff_id: &Digest, output: impl Write) -> Result<()> {
        let directory = self.layout().layer(diff_id);
        let blobs = self.layer_blobs(diff_id)?;
        let Some(blob) = blobs.first() else {
            return Err(StoreError::damaged(
                &directory,
                &"the blob that it came as is gone",
            ));
        };
        let (input, _) = archive::decompressed_layer(self.open_blob(&blob.digest)?)?;
        copy_archive(input, diff_id, &self.layout().blob(&blob.digest), output)
    }
}

/// Copy the archive of a layer, which comes from `path`, and see that it is the right one.
fn copy_archive(
    mut input: impl Read,
    diff_id: &Digest,
    path: &Path,
    mut output: impl Write,
) -> Result<()> {
    let mut digester = Digester::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut offset = 0;
    loop {
        let read = input.read(&mut buffer);
        let count = read.map_err(|source| StoreError::Input { offset, source })?;
        if count == 0 {
            break;
        }
        digester.update(&buffer[..count]);
        offset += count as u64;
        let written = output.write_all(&buffer[..count]);
        written.map_err(|source| StoreError::Output {
            layer: *diff_id,
            source,
        })?;
    }
    let found = digester.finish();
    if found == *diff_id {
        return Ok(());
    }
    Err(StoreError::damaged(
        path,
        &format!("the archive in it has the digest {found}"),
    ))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_unpacked(form: &LayerForm) -> bool {
    *form == LayerForm::Unpacked
}

/// An output that knows the digest of what went through.
pub(crate) struct Digested<W> {
    pub(crate) output: W,
    pub(crate) digester: Digester,
}

impl<W: Write> Write for Digested<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.output.write(bytes)?;
        self.digester.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.output.flush()
    }
}

/// Write the archive of any tree, in the form of a layer's: the same tree gives the same bytes.
/// `name` is what errors call the tree; with a `time`, in seconds since 1970, everything has that.
///
/// # Errors
/// [`StoreError::File`] for what cannot be read or written, with the path.
pub fn write_tree(root: OwnedFd, name: &Path, time: Option<i64>, output: impl Write) -> Result<()> {
    let manner = Manner {
        time,
        ..Manner::default()
    };
    of_tree(layer_tar::write_as(root, name, manner, output), name)
}

/// [`write_tree`], for a tree that somebody works in: what vanishes meanwhile is left out, and a file
/// that becomes shorter ends in zeros.
///
/// # Errors
/// As [`write_tree`].
pub fn write_live_tree(root: OwnedFd, name: &Path, output: impl Write) -> Result<()> {
    let manner = Manner {
        motion: Motion::Live,
        ..Manner::default()
    };
    of_tree(layer_tar::write_as(root, name, manner, output), name)
}

fn of_tree(written: std::result::Result<Totals, Failure>, name: &Path) -> Result<()> {
    match written {
        Ok(_) => Ok(()),
        Err(Failure::Tree(error)) => Err(error),
        Err(Failure::Output(error)) => Err(StoreError::file("archive", name)(error)),
    }
}
