//! The manifests of a repository, its tags, and which manifests are about which.

use std::collections::BTreeSet;

use hoist_core::Digest;
use hoist_sys::atomic::Durability;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    MANIFESTS, REFERRERS, RELEASED, Repository, Served, TAGS, Upload, digests_in, set_modified,
};
use crate::{
    drafts::list,
    error::{Result, StoreError},
    names::is_temporary,
    remove::remove_file,
    store::{read_record, write_record},
};

/// What is known about a manifest beside its bytes; a file below `_manifests/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The type that it was pushed as.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
    /// The configuration, layers and other blobs that it names, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<Digest>,
    /// The manifests that it lists, where it is an index, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Digest>,
    /// The manifest that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
}

/// A manifest that is to be added.
#[derive(Debug)]
pub struct NewManifest<'a> {
    /// Its bytes, all of which have arrived.
    pub content: Upload,
    /// What it names.
    pub manifest: &'a Manifest,
    /// Its descriptor, for who asks for the manifests about its subject.
    pub descriptor: &'a Value,
    /// The tags that are to mean it.
    pub tags: &'a [String],
}

impl Repository {
    /// What is known about a manifest; none where the repository does not have it.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Damaged`].
    pub fn manifest(&self, digest: &Digest) -> Result<Option<Manifest>> {
        let path = self.path(MANIFESTS).join(format!("{}.json", digest.hex()));
        match read_record(&path) {
            Err(error) if error.is_absent() => Ok(None),
            result => result.map(Some),
        }
    }

    /// The bytes of a manifest that the repository has.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Damaged`].
    pub fn open_manifest(&self, digest: &Digest) -> Result<Option<(Manifest, Served)>> {
        let Some(manifest) = self.manifest(digest)? else {
            return Ok(None);
        };
        Ok(self.open(digest)?.map(|served| (manifest, served)))
    }

    /// The manifest that a tag means.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Damaged`].
    pub fn tag(&self, tag: &str) -> Result<Option<Digest>> {
        match read_record(&self.path(TAGS).join(tag)) {
            Err(error) if error.is_absent() => Ok(None),
            result => result.map(Some),
        }
    }

    /// All tags, in the order of their bytes.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn tags(&self) -> Result<Vec<String>> {
        let mut tags: Vec<String> = list(&self.path(TAGS))?
            .iter()
            .filter(|path| !is_temporary(path))
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect();
        tags.sort_unstable();
        Ok(tags)
    }

    /// Add a manifest, and let its tags mean it. What it names must be here; its subject need not.
    /// Returns its digest. It is on the disk then.
    ///
    /// # Errors
    /// [`StoreError::NotInRepository`] for the first blob or manifest that is missing;
    /// [`StoreError::File`]. The content is gone in any case.
    pub fn put_manifest(&self, new: NewManifest<'_>) -> Result<Digest> {
        let hold = self.store.hold()?;
        let NewManifest {
            mut content,
            manifest,
            descriptor,
            tags,
        } = new;
        let digest = content.digest();
        let added = self.turn().and_then(|_turn| {
            self.check(manifest)?;
            content.publish(&digest)?;
            if let Some(subject) = &manifest.subject {
                let directory = self.make(REFERRERS)?.join(subject.hex());
                std::fs::create_dir_all(&directory)
                    .map_err(StoreError::file("make the directory", &directory))?;
                let path = directory.join(format!("{}.json", digest.hex()));
                write_record(&path, descriptor, Durability::Whole)?;
            }
            let path = self.make(MANIFESTS)?.join(format!("{}.json", digest.hex()));
            write_record(&path, manifest, Durability::Durable)?;
            for tag in tags {
                let path = self.make(TAGS)?.join(tag);
                write_record(&path, &digest, Durability::Durable)?;
            }
            Ok(digest)
        });
        drop(hold);
        content.cancel()?;
        added
    }

    /// Whether everything that a manifest names is here. The store must be held.
    fn check(&self, manifest: &Manifest) -> Result<()> {
        let missing = |what, digest: &Digest| {
            Err(StoreError::NotInRepository {
                what,
                digest: *digest,
                repository: self.name().to_string(),
            })
        };
        for blob in &manifest.blobs {
            if self.blob(blob)?.is_none() {
                return missing("blob", blob);
            }
        }
        for child in &manifest.manifests {
            if !self.has_manifest(child) {
                return missing("manifest", child);
            }
        }
        Ok(())
    }

    /// Take a tag away; false when there is none. A manifest that has lost its last tag so goes
    /// with the next collection, with what only it names, unless an index lists it.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::File`], [`StoreError::Damaged`].
    pub fn delete_tag(&self, tag: &str) -> Result<bool> {
        let _hold = self.store.hold()?;
        if self.tag(tag)?.is_none() {
            return Ok(false);
        }
        let _turn = self.turn()?;
        let Some(digest) = self.tag(tag)? else {
            return Ok(false);
        };
        remove_file(&self.path(TAGS).join(tag))?;
        self.release(vec![digest])?;
        Ok(true)
    }

    /// Take a manifest away, with the tags that mean it; false when there is none. What only it
    /// named or listed, and what was about it, goes with the next collection.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::File`], [`StoreError::Damaged`].
    pub fn delete_manifest(&self, digest: &Digest) -> Result<bool> {
        let _hold = self.store.hold()?;
        if self.manifest(digest)?.is_none() {
            return Ok(false);
        }
        let _turn = self.turn()?;
        let Some(manifest) = self.manifest(digest)? else {
            return Ok(false);
        };
        for (tag, _) in self.meanings()?.iter().filter(|(_, means)| means == digest) {
            remove_file(&self.path(TAGS).join(tag))?;
        }
        let name = format!("{}.json", digest.hex());
        remove_file(&self.path(MANIFESTS).join(&name))?;
        if let Some(subject) = &manifest.subject {
            let about = self.path(REFERRERS).join(subject.hex());
            remove_file(&about.join(&name))?;
        }
        for blob in &manifest.blobs {
            self.release_blob(blob)?;
        }
        let mut useless = manifest.manifests;
        useless.extend(digests_in(&self.path(REFERRERS).join(digest.hex()))?);
        self.release(useless)?;
        Ok(true)
    }

    /// Say that manifests without a tag are of no use any more, nor what they name and list, nor
    /// what is about them. What is needed otherwise is kept by the collection all the same.
    fn release(&self, mut next: Vec<Digest>) -> Result<()> {
        let tagged = self.meanings()?;
        let mut seen: BTreeSet<Digest> = tagged.into_iter().map(|(_, means)| means).collect();
        while let Some(digest) = next.pop() {
            if !seen.insert(digest) {
                continue;
            }
            let Some(manifest) = self.manifest(&digest)? else {
                continue;
            };
            let path = self.path(MANIFESTS).join(format!("{}.json", digest.hex()));
            set_modified(&path, RELEASED)?;
            for blob in &manifest.blobs {
                self.release_blob(blob)?;
            }
            next.extend(manifest.manifests);
            next.extend(digests_in(&self.path(REFERRERS).join(digest.hex()))?);
        }
        Ok(())
    }

    /// The manifests about `subject` whose digests come after `last`, in the order of their digests,
    /// with their descriptors. Each is read when it is asked for: there may be many.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Damaged`].
    pub fn referrers(
        &self,
        subject: &Digest,
        last: Option<Digest>,
    ) -> Result<impl Iterator<Item = Result<(Digest, Value)>> + use<'_>> {
        let directory = self.path(REFERRERS).join(subject.hex());
        let mut digests = digests_in(&directory)?;
        digests.retain(|digest| last.is_none_or(|last| *digest > last));
        let read = move |digest: Digest| {
            let path = directory.join(format!("{}.json", digest.hex()));
            match read_record(&path) {
                // What was about to be pushed, or is just being deleted.
                Ok(_) if !self.has_manifest(&digest) => None,
                Ok(descriptor) => Some(Ok((digest, descriptor))),
                Err(error) if error.is_absent() => None,
                Err(error) => Some(Err(error)),
            }
        };
        Ok(digests.into_iter().filter_map(read))
    }

    fn has_manifest(&self, digest: &Digest) -> bool {
        let path = self.path(MANIFESTS).join(format!("{}.json", digest.hex()));
        path.exists()
    }

    /// All tags with the manifests that they mean.
    fn meanings(&self) -> Result<Vec<(String, Digest)>> {
        let mut meanings = Vec::new();
        for tag in self.tags()? {
            if let Some(digest) = self.tag(&tag)? {
                meanings.push((tag, digest));
            }
        }
        Ok(meanings)
    }
}
