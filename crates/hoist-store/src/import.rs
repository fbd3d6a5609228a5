//! Layers from elsewhere: unpacked, and named by the digest of their archive as it came.
//!
//! An archive that somebody else made cannot be made again from its files: the order of its
//! entries, its padding and its headers are its own. So the blob that it came in is kept, as it
//! came, and is what [`Store::write_tar`] reads. An archive of hoist's own making needs no such
//! blob; one that comes without compression and is of that form is not kept.

use std::io::{self, BufReader, Read, Write};

use hoist_core::{Digest, Digester};
use hoist_sys::{atomic::Durability, tree};

use crate::{
    archive,
    blob::{BlobDraft, LayerBlob, write_form},
    drafts::{LayerDraft, open},
    error::{Result, StoreError},
    layer::{Layer, LayerRecord},
    layer_tar::{self, Failure},
    layout::{BLOBS, LAYER_RECORD},
    store::{Store, write_record},
    unpack::unpack,
};

/// The media type of a layer that no compression made smaller.
pub(crate) const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";
const BUFFER: usize = 128 * 1024;

impl Store {
    /// Unpack a layer that comes from elsewhere: what is in `draft` already, then what `rest`
    /// delivers, which is written to it on the way. It may be compressed by gzip or zstd, as its
    /// first bytes say; `media_type` is kept for who asks later.
    ///
    /// The layer appears when everything was read and is what it should be: the blob's digest the
    /// one that the draft was begun with, the archive's the `expected` one. Where the store has
    /// that layer already, the blob becomes a form of it.
    ///
    /// The archive may be hostile: see [`import_tar`](Self::import_tar).
    ///
    /// # Errors
    /// [`StoreError::DigestMismatch`]: the draft is then gone with its bytes. [`StoreError::Input`]
    /// carries what `rest` reported. Otherwise as [`import_tar`](Self::import_tar); a resumable
    /// draft then keeps its bytes.
    pub fn import_layer(
        &self,
        draft: BlobDraft,
        rest: impl Read,
        media_type: &str,
        expected: Option<&Digest>,
    ) -> Result<Layer> {
        let layer = self.begin_layer()?;
        let mut input = Kept {
            before: draft.reader()?,
            rest,
            draft,
            unwritten: None,
        };
        let unpacked = match self.unpack_kept(&layer, &mut input) {
            Ok(unpacked) => unpacked,
            Err(error) => {
                if let Some(failure) = input.unwritten {
                    return Err(failure);
                }
                if is_bad_content(&error) {
                    input.draft.discard()?;
                }
                return Err(error);
            }
        };
        let mut draft = input.draft;
        if let Some(expected) = expected
            && *expected != unpacked.diff_id
        {
            draft.discard()?;
            return Err(StoreError::DigestMismatch {
                what: "the layer".to_owned(),
                expected: *expected,
                found: unpacked.diff_id,
            });
        }
        let own = unpacked.is_plain && deterministic(layer.path())? == unpacked.diff_id;
        let record = LayerRecord {
            foreign: !own,
            ..LayerRecord::fresh(self, unpacked.size, unpacked.archive_size)
        };
        // The draft lives until the layer is there: others wait for its lock.
        let blob = (!own).then_some((&mut draft, media_type));
        let layer = self.place(layer, &unpacked.diff_id, &record, blob)?;
        if own {
            draft.discard()?;
        }
        Ok(layer)
    }

    /// Unpack an archive, plain or compressed by gzip or zstd, that becomes no layer: into a draft
    /// whose directory the caller takes. The digest of the archive must be `expected`; where
    /// `input` verifies what it delivers at its end, that is read, too.
    ///
    /// The archive may be hostile: see [`import_tar`](Self::import_tar).
    ///
    /// # Errors
    /// [`StoreError::DigestMismatch`]; otherwise as [`import_tar`](Self::import_tar). Nothing is
    /// left behind.
    pub fn unpack_tree(&self, mut input: impl Read, expected: &Digest) -> Result<LayerDraft> {
        let draft = self.begin_layer()?;
        let unpacked = self.unpack_kept(&draft, &mut input)?;
        if unpacked.diff_id == *expected {
            return Ok(draft);
        }
        Err(StoreError::DigestMismatch {
            what: "the archive".to_owned(),
            expected: *expected,
            found: unpacked.diff_id,
        })
    }

    /// Unpack everything that `input` delivers.
    pub(crate) fn unpack_kept(
        &self,
        layer: &LayerDraft,
        input: &mut impl Read,
    ) -> Result<Unpacked> {
        let (decompressed, is_plain) = archive::decompressed_layer(&mut *input)?;
        let mut digested = BufReader::with_capacity(
            BUFFER,
            Digested {
                input: decompressed,
                digester: Digester::new(),
                length: 0,
            },
        );
        let root = open(layer.path())?;
        let root = std::os::fd::AsFd::as_fd(&root);
        let mut archive = archive::Reader::new(&mut digested);
        let size = unpack(&mut archive, root, layer.path(), self.overlay_xattrs())?;
        let Digested {
            input: decompressed,
            digester,
            length,
        } = digested.into_inner();
        drop(decompressed);
        // What lies behind the last compressed frame still belongs to the blob.
        io::copy(input, &mut io::sink()).map_err(|source| StoreError::Input {
            offset: length,
            source,
        })?;
        Ok(Unpacked {
            diff_id: digester.finish(),
            archive_size: length,
            size,
            is_plain,
        })
    }

    /// Put an unpacked layer, with the blob that it came as, in its place.
    fn place(
        &self,
        layer: LayerDraft,
        diff_id: &Digest,
        record: &LayerRecord,
        blob: Option<(&mut BlobDraft, &str)>,
    ) -> Result<Layer> {
        tree::remove(layer.work()).map_err(StoreError::file("remove", layer.work()))?;
        let session = self.session()?;
        session.keep(diff_id)?;
        let hold = self.hold()?;
        let directory = layer.path().parent().unwrap_or(layer.path()).to_owned();
        let form = match blob {
            Some((draft, media_type)) => {
                let (digest, size) = draft.publish(self.layout(), false)?;
                let form = LayerBlob {
                    digest,
                    size,
                    media_type: media_type.to_owned(),
                };
                write_form(&directory.join(BLOBS), &form)?;
                Some(form)
            }
            None => None,
        };
        write_record(&directory.join(LAYER_RECORD), record, Durability::Volatile)?;
        let layer = layer.settle(diff_id, hold)?;
        if let Some(form) = form {
            // Where the layer was here already, the blob is one more form of it.
            let known = self.layer_blobs(diff_id);
            if !known.is_ok_and(|known| known.contains(&form)) {
                write_form(&self.layout().layer(diff_id).join(BLOBS), &form)?;
            }
        }
        Ok(layer)
    }
}

/// What an archive was.
pub(crate) struct Unpacked {
    pub(crate) diff_id: Digest,
    pub(crate) archive_size: u64,
    pub(crate) size: u64,
    is_plain: bool,
}

/// Whether bytes are wrong, so that going on from them makes no sense; a broken connection or a
/// full disk leave good ones behind.
fn is_bad_content(error: &StoreError) -> bool {
    match error {
        StoreError::Input { source, .. } => matches!(
            source.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof
        ),
        StoreError::Archive { .. } | StoreError::Entry { .. } => true,
        _ => false,
    }
}

/// The digest of the archive that hoist itself makes of a tree.
fn deterministic(tree: &std::path::Path) -> Result<Digest> {
    let mut digester = Digester::new();
    match layer_tar::write(open(tree)?, tree, &mut digester) {
        Ok(_) => Ok(digester.finish()),
        Err(Failure::Tree(error)) => Err(error),
        Err(Failure::Output(error)) => Err(StoreError::file("digest", tree)(error)),
    }
}

/// A blob that is read and kept at the same time.
struct Kept<B, R> {
    before: B,
    rest: R,
    draft: BlobDraft,
    /// Why the draft could not be written: no failure of what is read.
    unwritten: Option<StoreError>,
}

impl<B: Read, R: Read> Read for Kept<B, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.before.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        let count = self.rest.read(buffer)?;
        if let Err(error) = self.draft.write_all(&buffer[..count]) {
            self.unwritten = Some(self.draft.unwritable(error));
            return Err(io::Error::other("what came cannot be kept"));
        }
        Ok(count)
    }
}

/// An input that knows the digest of what came out of it.
struct Digested<R> {
    input: R,
    digester: Digester,
    length: u64,
}

impl<R: Read> Read for Digested<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.digester.update(&buffer[..count]);
        self.length += count as u64;
        Ok(count)
    }
}
