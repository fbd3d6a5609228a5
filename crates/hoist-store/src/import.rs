//! Layers from elsewhere: unpacked or indexed in one pass, and named by the digest of their archive
//! as it came.
//!
//! An archive that somebody else made cannot be made again from its files: the order of its
//! entries, its padding and its headers are its own. So the blob that it came in is kept, as it
//! came, for a push that sends the same, and is what [`Store::write_tar`] reads where there is no
//! tar beside an index. A blob without compression is that tar, and lies there only. An archive of
//! hoist's own making needs no blob when it was unpacked; one that comes without compression and is
//! of that form is not kept.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
    os::fd::AsFd,
    path::PathBuf,
};

use hoist_core::{Digest, Digester};
use hoist_sys::{atomic::Durability, tree};

use crate::{
    archive,
    aside::Aside,
    blob::{BlobDraft, LayerBlob, write_form},
    drafts::{LayerDraft, open},
    erofs::Index,
    error::{Result, StoreError},
    form::LayerForm,
    format,
    indexed::write_index,
    layer::{Layer, LayerRecord},
    layer_tar::{self, Failure, Totals},
    layout::{BLOBS, LAYER_RECORD, TAR},
    remove::remove_file,
    store::{Store, write_record},
    unpack::unpack,
};

/// The media type of a layer that no compression made smaller.
pub(crate) const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";
const BUFFER: usize = 128 * 1024;

impl Store {
    /// Take in a layer that comes from elsewhere: what is in `draft` already, then what `rest`
    /// delivers, which is written to it on the way. It may be compressed by gzip or zstd, as its
    /// first bytes say; `media_type` is kept for who asks later. Which form it gets is
    /// [`form_choice`](Self::form_choice)'s to say, unless something in it has no place in an index.
    ///
    /// The layer appears when everything was read and is what it should be: the blob's digest the
    /// one that the draft was begun with, the archive's the `expected` one. Where the store has
    /// that layer already, the blob becomes a form of it.
    ///
    /// The archive may be hostile: see [`import_tar`](Self::import_tar).
    ///
    /// # Errors
    /// [`StoreError::DigestMismatch`]: the draft is then gone with its bytes. [`StoreError::Input`]
    /// carries what `rest` reported. [`StoreError::NotIndexed`] where the form that was asked for is
    /// not to be had. Otherwise as [`import_tar`](Self::import_tar); a resumable draft then keeps its
    /// bytes.
    pub fn import_layer(
        &self,
        draft: BlobDraft,
        rest: impl Read,
        media_type: &str,
        expected: Option<&Digest>,
    ) -> Result<Layer> {
        let form = self.next_form()?;
        if form == LayerForm::Indexed {
            // Now, when there is little that a sync would wait for.
            let hold = self.hold()?;
            format::require(self.layout(), format::INDEXED_LAYERS)?;
            drop(hold);
        }
        let layer = self.begin_empty_layer()?;
        let mut input = Kept {
            before: draft.reader()?,
            rest,
            draft,
            unwritten: None,
        };
        let taken = match self.take(&layer, form, &mut input) {
            Ok(taken) => taken,
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
            && *expected != taken.diff_id
        {
            draft.discard()?;
            return Err(StoreError::DigestMismatch {
                what: "the layer".to_owned(),
                expected: *expected,
                found: taken.diff_id,
            });
        }
        let (form, size) = match finish(self, &layer, &taken, &draft) {
            Ok(finished) => finished,
            Err(error) => {
                if is_bad_content(&error) {
                    draft.discard()?;
                }
                return Err(error);
            }
        };
        let own = form == LayerForm::Unpacked
            && taken.is_plain
            && deterministic(layer.path())? == taken.diff_id;
        let record = LayerRecord {
            foreign: !own,
            form,
            ..LayerRecord::fresh(self, size, taken.archive_size)
        };
        // The draft lives until the layer is there: others wait for its lock.
        let blob = (!own).then_some((&mut draft, media_type));
        let layer = self.place(layer, &taken, &record, blob)?;
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
        let draft = self.begin_empty_layer()?;
        let taken = self.take(&draft, LayerForm::Unpacked, &mut input)?;
        if taken.diff_id == *expected {
            return Ok(draft);
        }
        Err(StoreError::DigestMismatch {
            what: "the archive".to_owned(),
            expected: *expected,
            found: taken.diff_id,
        })
    }

    /// Unpack what a blob holds: the draft, the digest of the archive, and how large it is.
    ///
    /// # Errors
    /// As [`import_tar`](Self::import_tar).
    pub(crate) fn unpack_blob(
        &self,
        input: &mut impl Read,
    ) -> Result<(LayerDraft, Digest, Totals)> {
        let draft = self.begin_empty_layer()?;
        let taken = self.take(&draft, LayerForm::Unpacked, input)?;
        let totals = Totals {
            size: taken.content.size(),
            archive_size: taken.archive_size,
        };
        Ok((draft, taken.diff_id, totals))
    }

    /// Read everything that `input` delivers, and make of it what `form` asks for.
    fn take(&self, layer: &LayerDraft, form: LayerForm, input: &mut impl Read) -> Result<Taken> {
        let (decompressed, is_plain) = archive::decompressed_layer(&mut *input)?;
        // An archive that is not compressed is in the draft already.
        let tar = match form {
            LayerForm::Indexed if !is_plain => Some(create_tar(layer)?),
            _ => None,
        };
        let digested = Digested {
            input: decompressed,
            aside: Aside::begin(tar),
        };
        let mut digested = BufReader::with_capacity(BUFFER, digested);
        let mut archive = archive::Reader::new(&mut digested);
        let read = match form {
            LayerForm::Unpacked => {
                layer.make_tree()?;
                let root = open(layer.path())?;
                unpack(
                    &mut archive,
                    root.as_fd(),
                    layer.path(),
                    self.overlay_xattrs(),
                )
                .map(Content::Unpacked)
            }
            LayerForm::Indexed => {
                index(&mut archive).map(|index| Content::Indexed(Box::new(index)))
            }
        };
        let Digested {
            input: decompressed,
            aside,
        } = digested.into_inner();
        drop(decompressed);
        // That the tar could not be written is told in place of what then stopped the reading.
        let (diff_id, length) = aside.finish()?;
        let content = read?;
        // What lies behind the last compressed frame still belongs to the blob.
        io::copy(input, &mut io::sink()).map_err(|source| StoreError::Input {
            offset: length,
            source,
        })?;
        Ok(Taken {
            diff_id,
            archive_size: length,
            content,
            is_plain,
        })
    }

    /// Put a layer, with the blob that it came as, in its place.
    fn place(
        &self,
        layer: LayerDraft,
        taken: &Taken,
        record: &LayerRecord,
        blob: Option<(&mut BlobDraft, &str)>,
    ) -> Result<Layer> {
        let diff_id = &taken.diff_id;
        let session = self.session()?;
        session.keep(diff_id)?;
        let hold = self.hold()?;
        let directory = layer.directory().to_owned();
        let form = match blob {
            Some((draft, media_type)) => {
                let (digest, size) = match record.form {
                    LayerForm::Indexed if taken.is_plain => {
                        draft.publish_as_tar(&directory.join(TAR))?
                    }
                    _ => draft.publish(self.layout(), false)?,
                };
                let form = LayerBlob {
                    digest,
                    size,
                    media_type: media_type.to_owned(),
                };
                write_form(&directory.join(BLOBS), &form, Durability::Volatile)?;
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
                let directory = self.layout().layer(diff_id).join(BLOBS);
                write_form(&directory, &form, Durability::Whole)?;
            }
        }
        Ok(layer)
    }
}

/// What an archive was.
struct Taken {
    diff_id: Digest,
    archive_size: u64,
    content: Content,
    is_plain: bool,
}

/// What was made of an archive.
enum Content {
    /// A tree, with so many bytes in its files.
    Unpacked(u64),
    /// An index, still in memory, over a tar in the directory of the layer or, plain, in the draft.
    Indexed(Box<Index>),
}

impl Content {
    /// Bytes in its files.
    fn size(&self) -> u64 {
        match self {
            Self::Unpacked(size) => *size,
            Self::Indexed(index) => index.size(),
        }
    }
}

/// The index over an archive.
pub(crate) fn index<R: io::BufRead>(archive: &mut archive::Reader<R>) -> Result<Index> {
    let mut index = Index::default();
    while let Some((member, data)) = archive.next()? {
        index.member(&member, &data, archive.offset())?;
    }
    archive.drain()?;
    Ok(index)
}

/// Write the index of a layer, or unpack the tar that can have none; returns the form that the
/// layer has in the end, and its size.
fn finish(
    store: &Store,
    layer: &LayerDraft,
    taken: &Taken,
    draft: &BlobDraft,
) -> Result<(LayerForm, u64)> {
    let tar = layer.directory().join(TAR);
    let form = match &taken.content {
        Content::Unpacked(size) => (LayerForm::Unpacked, *size),
        Content::Indexed(index) if index.unfit().is_none() => {
            write_index(index, taken.archive_size, layer.directory())?;
            return Ok((LayerForm::Indexed, index.size()));
        }
        Content::Indexed(_) => {
            layer.make_tree()?;
            let size = if taken.is_plain {
                store.unpack_tar(draft.reader()?, layer.path(), None)?
            } else {
                let file = File::open(&tar).map_err(StoreError::file("open", &tar))?;
                store.unpack_tar(file, layer.path(), None)?
            };
            remove_file(&tar)?;
            (LayerForm::Unpacked, size)
        }
    };
    tree::remove(layer.work()).map_err(StoreError::file("remove", layer.work()))?;
    Ok(form)
}

fn create_tar(layer: &LayerDraft) -> Result<(File, PathBuf)> {
    let path = layer.directory().join(TAR);
    let file = File::create_new(&path).map_err(StoreError::file("create", &path))?;
    Ok((file, path))
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

/// An input whose bytes are digested, and perhaps written, aside.
struct Digested<R> {
    input: R,
    aside: Aside,
}

impl<R: Read> Read for Digested<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.aside.take(&buffer[..count])?;
        Ok(count)
    }
}
