//! Layers: their files, their records, and the blobs that hold their archives.

use std::path::Path;

use hoist_core::{Digest, Digester, error::chain};
use hoist_sys::{atomic, atomic::Durability, tree};

use super::{Check, Depth, Finding, Mode, Outcome, Part, Remedy, quarantine};
use crate::{
    blob::{LayerBlob, write_form},
    drafts::{LayerDraft, list, open},
    entries::TreeEntry,
    error::{Result, StoreError},
    form::LayerForm,
    layer::LayerRecord,
    layer_tar::{self, Failure, Totals},
    layout::{BLOBS, LAYER_RECORD, TREE, digest_of_name},
    names::is_temporary,
    store::write_record,
};

/// What the files of a layer came to.
pub(super) enum Files {
    /// They are right, and this is what the record should say.
    Right(LayerRecord),
    /// They are not; here is what the blob of the layer holds.
    Wrong(String, Option<Unpacked>),
    /// The tar is right, the index over it is not; here is what it should be, beside the record.
    WrongIndex(Vec<u8>, LayerRecord),
    /// They cannot be judged: the blob that could tell is not whole.
    Unknown,
    /// They could not be looked at, for a reason that is none of theirs.
    Unseen(StoreError),
}

/// A layer that was unpacked a second time.
pub(super) struct Unpacked {
    draft: LayerDraft,
    totals: Totals,
    /// The digest of the archive that hoist makes of it.
    digest: Digest,
    own: bool,
}

impl Check<'_> {
    pub(super) fn layers(&mut self) -> Result<()> {
        let named = self.named_by_digest(&self.store.layout().layers())?;
        let total = named.len();
        for (number, (diff_id, path)) in named.iter().enumerate() {
            self.step(Part::Layer, number, total);
            self.layer(diff_id, path)?;
        }
        self.report.layers = total;
        let missing: Vec<Digest> = self
            .owners
            .keys()
            .filter(|layer| !named.iter().any(|(known, _)| known == *layer))
            .copied()
            .collect();
        for layer in missing {
            let path = self.store.layout().layer(&layer);
            self.broken.insert(layer);
            let finding = Finding::new(Part::Layer, layer.to_string(), &path, "it is missing")
                .touching(&self.owners_of(&layer))
                .with(Remedy::Fetch);
            self.found(finding, |_| Ok(Outcome::Missing));
        }
        Ok(())
    }

    fn layer(&mut self, diff_id: &Digest, path: &Path) -> Result<()> {
        let forms = self.forms(diff_id, path)?;
        let files = match self.depth {
            Depth::Structure => self.weigh(diff_id, &forms),
            Depth::Content => match self.compare(diff_id, &forms) {
                Ok(files) => files,
                Err(error) => Files::Unseen(error),
            },
        };
        match files {
            Files::Right(record) => self.record(diff_id, path, (&record, &forms)),
            Files::Wrong(problem, unpacked) => {
                self.wrong_files(diff_id, path, problem, (unpacked, &forms));
            }
            Files::WrongIndex(index, record) => {
                self.wrong_index(diff_id, path, &index);
                self.record(diff_id, path, (&record, &forms));
            }
            Files::Unknown => {
                let problem = "the blob that it came as is missing or damaged, so that it can \
                               neither be verified nor pushed";
                let finding = Finding::new(Part::Layer, diff_id.to_string(), path, problem)
                    .touching(&self.owners_of(diff_id))
                    .with(Remedy::Fetch);
                // It may well be whole, and containers run from it: the next pull brings the blob.
                self.found(finding, |_| Ok(Outcome::Missing));
            }
            Files::Unseen(error) => {
                let problem = format!("it cannot be verified: {}", chain(&error));
                let finding = Finding::new(Part::Layer, diff_id.to_string(), path, problem)
                    .touching(&self.owners_of(diff_id));
                self.report.findings.push(finding);
            }
        }
        Ok(())
    }

    /// The forms of a layer whose blobs are here and whole; the others are found.
    fn forms(&mut self, diff_id: &Digest, path: &Path) -> Result<Vec<LayerBlob>> {
        let directory = path.join(BLOBS);
        let mut forms = Vec::new();
        for record in list(&directory).unwrap_or_default() {
            if is_temporary(&record) {
                continue;
            }
            match self.form(&record) {
                Ok(form) => forms.push(form),
                Err(problem) => {
                    let blob = digest_of_name(&record);
                    let id = blob.map_or_else(
                        || self.below_root(&record),
                        |blob| format!("{blob} of {diff_id}"),
                    );
                    let finding = Finding::new(Part::LayerBlob, id, &record, problem)
                        .touching(&self.owners_of(diff_id))
                        .with(Remedy::SetAside);
                    let damaged = blob.filter(|blob| !matches!(self.blobs.get(blob), Some(None)));
                    self.found(finding, |check| {
                        if let Some(blob) = damaged {
                            check.set_aside(&check.store.layout().blob(&blob))?;
                        }
                        check.set_aside(&record)
                    });
                }
            }
        }
        forms.sort_unstable_by_key(|form| form.digest);
        Ok(forms)
    }

    fn form(&self, path: &Path) -> std::result::Result<LayerBlob, String> {
        let form: LayerBlob = read_exactly(path)?;
        if digest_of_name(path) != Some(form.digest) {
            return Err(format!(
                "it is named after another blob than {}",
                form.digest
            ));
        }
        let blob = self.store.place_of_blob(&form.digest);
        // The tar of an indexed layer is looked at with the layer.
        if blob == self.store.layout().blob(&form.digest)
            && let Some(problem) = self.blob_problem(&form.digest)
        {
            return Err(problem);
        }
        let length = std::fs::metadata(&blob).map_or(0, |stat| stat.len());
        if length != form.size {
            return Err(format!(
                "it says {} bytes, its blob has {length}",
                form.size
            ));
        }
        if !is_layer_type(&form.media_type) {
            return Err(format!("{:?} is no media type of a layer", form.media_type));
        }
        Ok(form)
    }

    /// Compare the sizes, and read nothing.
    fn weigh(&self, diff_id: &Digest, forms: &[LayerBlob]) -> Files {
        let weighed = || -> Result<Files> {
            let record = LayerRecord::read(self.store, diff_id)?;
            if record.form == LayerForm::Indexed {
                return Ok(self.weigh_indexed(diff_id, record));
            }
            let entries = self.store.layer_entries(diff_id)?;
            let size: u64 = entries.iter().map(TreeEntry::bytes).sum();
            if size != record.size {
                let problem = format!(
                    "its files have {size} bytes together, its record says {}",
                    record.size
                );
                return Ok(Files::Wrong(problem, None));
            }
            if record.foreign && forms.is_empty() {
                return Ok(Files::Unknown);
            }
            Ok(Files::Right(record))
        };
        weighed().unwrap_or_else(|error| Files::Wrong(chain(&error), None))
    }

    /// Compare the content: with the digest, or with what the blob holds.
    fn compare(&mut self, diff_id: &Digest, forms: &[LayerBlob]) -> Result<Files> {
        if self.is_indexed(diff_id) {
            return self.compare_indexed(diff_id, forms);
        }
        let tree = self.store.layout().layer(diff_id).join(TREE);
        let read = open(&tree).and_then(|root| self.archive(root, &tree));
        // Something in the tree that cannot be read is something wrong with it.
        let (digest, problem) = match read {
            Ok((digest, totals)) if digest == *diff_id => {
                return Ok(Files::Right(self.expected(totals, true)));
            }
            Ok((digest, _)) => (Some(digest), format!("its files have the digest {digest}")),
            Err(error) => (None, chain(&error)),
        };
        let Some(unpacked) = self.unpack_first(diff_id, forms)? else {
            let foreign = LayerRecord::read(self.store, diff_id).is_ok_and(|record| record.foreign);
            return Ok(if foreign && digest.is_some() {
                Files::Unknown
            } else {
                Files::Wrong(problem, None)
            });
        };
        if digest == Some(unpacked.digest) {
            return Ok(Files::Right(self.expected(unpacked.totals, unpacked.own)));
        }
        let problem = match digest {
            Some(_) => "its files are not those of the archive that it came as".to_owned(),
            None => problem,
        };
        Ok(Files::Wrong(problem, Some(unpacked)))
    }

    /// The digest of the deterministic archive of a tree, and how large it is.
    fn archive(&mut self, root: std::os::fd::OwnedFd, path: &Path) -> Result<(Digest, Totals)> {
        let mut digester = Digester::new();
        let written = layer_tar::write(root, path, &mut digester);
        let totals = written.map_err(|failure| match failure {
            Failure::Tree(error) => error,
            Failure::Output(error) => StoreError::file("digest", path)(error),
        })?;
        self.report.bytes += totals.size;
        Ok((digester.finish(), totals))
    }

    /// Unpack a layer again from the first of its blobs that holds it.
    pub(super) fn unpack_first(
        &mut self,
        diff_id: &Digest,
        forms: &[LayerBlob],
    ) -> Result<Option<Unpacked>> {
        for form in forms {
            let mut input = self.store.open_blob(&form.digest)?;
            let (draft, found, totals) = match self.store.unpack_blob(&mut input) {
                Ok(unpacked) => unpacked,
                Err(
                    StoreError::Archive { .. }
                    | StoreError::Entry { .. }
                    | StoreError::Input { .. },
                ) => continue,
                Err(error) => return Err(error),
            };
            self.report.bytes += totals.archive_size;
            if found != *diff_id {
                continue;
            }
            let path = draft.path().to_owned();
            let (digest, _) = self.archive(open(&path)?, &path)?;
            return Ok(Some(Unpacked {
                draft,
                totals,
                digest,
                own: digest == *diff_id,
            }));
        }
        Ok(None)
    }

    pub(super) fn expected(&self, totals: Totals, own: bool) -> LayerRecord {
        LayerRecord {
            foreign: !own,
            ..LayerRecord::fresh(self.store, totals.size, totals.archive_size)
        }
    }

    /// Compare the record of a layer whose files are right with what it should say.
    fn record(
        &mut self,
        diff_id: &Digest,
        path: &Path,
        (expected, forms): (&LayerRecord, &[LayerBlob]),
    ) {
        let file = path.join(LAYER_RECORD);
        let problem = match read_exactly::<LayerRecord>(&file) {
            Err(problem) => problem,
            Ok(record) if self.store.is_lost(record.unsynced.as_deref()) => {
                "it was not completely written when the machine went down".to_owned()
            }
            Ok(record) => {
                let counted = record.archive_size == 0
                    || expected.archive_size == 0
                    || record.archive_size == expected.archive_size;
                // A layer that is as hoist makes it may have come as a blob, and says so then.
                let foreign = expected.foreign || record.foreign && !forms.is_empty();
                if record.size == expected.size && counted && record.foreign == foreign {
                    return;
                }
                "it says something else than the files of the layer".to_owned()
            }
        };
        let finding = Finding::new(Part::Layer, diff_id.to_string(), &file, problem)
            .touching(&self.owners_of(diff_id));
        if self.depth == Depth::Structure {
            // What the record should say is known only when the files were read.
            self.broken.insert(*diff_id);
            self.report.findings.push(finding.with(Remedy::Mend));
            return;
        }
        self.doubt(diff_id);
        self.found(finding.with(Remedy::Mend), |check| {
            let exclusive = check.store.exclusive()?;
            quarantine::set_aside(check.store.layout(), &file)?;
            write_record(&file, expected, Durability::Whole)?;
            check.store.note_unsynced_layer(*diff_id);
            drop(exclusive);
            Ok(Outcome::Mended)
        });
    }

    fn wrong_files(
        &mut self,
        diff_id: &Digest,
        path: &Path,
        problem: String,
        (unpacked, forms): (Option<Unpacked>, &[LayerBlob]),
    ) {
        let finding = Finding::new(Part::Layer, diff_id.to_string(), path, problem)
            .touching(&self.owners_of(diff_id));
        // Without having read anything, all that is known is that something is wrong.
        if self.depth == Depth::Structure {
            self.broken.insert(*diff_id);
            self.report.findings.push(finding.with(Remedy::Fetch));
            return;
        }
        let Some(unpacked) = unpacked else {
            self.broken.insert(*diff_id);
            self.found(finding.with(Remedy::Fetch), |check| check.set_aside(path));
            return;
        };
        self.doubt(diff_id);
        self.found(finding.with(Remedy::Mend), |check| {
            let record = check.expected(unpacked.totals, unpacked.own);
            check.replace(diff_id, unpacked.draft, &record, forms)
        });
    }

    /// What refers to a layer that waits for its repair is not to blame.
    pub(super) fn doubt(&mut self, diff_id: &Digest) {
        if self.mode == Mode::Look {
            self.broken.insert(*diff_id);
        }
    }

    /// Put a layer that was unpacked again in the place of the damaged one.
    fn replace(
        &self,
        diff_id: &Digest,
        draft: LayerDraft,
        record: &LayerRecord,
        forms: &[LayerBlob],
    ) -> Result<Outcome> {
        tree::remove(draft.work()).map_err(StoreError::file("remove", draft.work()))?;
        let directory = draft.directory().to_owned();
        // The tar of an indexed layer goes with it.
        let is_blob = |form: &&LayerBlob| {
            self.store.place_of_blob(&form.digest) == self.store.layout().blob(&form.digest)
        };
        for form in forms.iter().filter(is_blob) {
            write_form(&directory.join(BLOBS), form, Durability::Volatile)?;
        }
        write_record(&directory.join(LAYER_RECORD), record, Durability::Volatile)?;
        let exclusive = self.store.exclusive()?;
        quarantine::set_aside(self.store.layout(), &self.store.layout().layer(diff_id))?;
        draft.take_place(diff_id)?;
        self.store.note_unsynced_layer(*diff_id);
        drop(exclusive);
        Ok(Outcome::Mended)
    }
}

/// Read a record, which must be byte for byte what hoist writes for what it says.
pub(super) fn read_exactly<T>(path: &Path) -> std::result::Result<T, String>
where
    T: serde::de::DeserializeOwned + serde::Serialize,
{
    let bytes = atomic::read(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let record: T =
        serde_json::from_slice(&bytes).map_err(|error| format!("it is malformed: {error}"))?;
    let mut again = serde_json::to_vec(&record).map_err(|error| error.to_string())?;
    again.push(b'\n');
    if again == bytes {
        Ok(record)
    } else {
        Err("it is not as hoist writes it".to_owned())
    }
}

/// The media types in which layers come: OCI's, Docker's, and those of layers that are not for
/// everybody.
fn is_layer_type(media_type: &str) -> bool {
    let oci = media_type
        .strip_prefix("application/vnd.oci.image.layer.v1.tar")
        .or_else(|| {
            media_type.strip_prefix("application/vnd.oci.image.layer.nondistributable.v1.tar")
        });
    let docker = media_type
        .strip_prefix("application/vnd.docker.image.rootfs.diff.tar")
        .or_else(|| {
            media_type.strip_prefix("application/vnd.docker.image.rootfs.foreign.diff.tar")
        });
    matches!(oci, Some("" | "+gzip" | "+zstd")) || matches!(docker, Some("" | ".gzip" | ".zstd"))
}
