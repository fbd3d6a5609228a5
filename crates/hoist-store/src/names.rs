//! References: the names of images, one file each.

use std::{
    io,
    path::{Path, PathBuf},
};

use hoist_core::{Digest, Reference};
use hoist_sys::atomic::{Durability, TEMPORARY};
use serde::{Deserialize, Serialize};

use crate::{
    drafts::list,
    error::{Result, StoreError},
    layout::digest_of_name,
    store::{Store, read_record, write_record},
};

/// A file below `names/`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Name {
    pub(crate) reference: Reference,
    pub(crate) image: Digest,
    /// What the registry means by it: the digest of a manifest or an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    registry: Option<Digest>,
}

/// What a text that should be an image means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A name.
    Name(Reference, Digest),
    /// An id or the beginning of one.
    Id(Digest),
}

impl Meaning {
    pub(crate) const fn id(&self) -> Digest {
        match self {
            Self::Name(_, id) | Self::Id(id) => *id,
        }
    }
}

impl Store {
    /// Let `reference` mean the image `id`, whatever it meant before.
    ///
    /// # Errors
    /// [`StoreError::NoSuchImage`]; [`StoreError::Untagged`] when the reference has neither a tag
    /// nor a digest; [`StoreError::File`].
    pub fn tag(&self, reference: &Reference, id: &Digest) -> Result<()> {
        self.put_name(reference, id, None)
    }

    /// The same for an image that was pulled or pushed by this name, with the digest that the
    /// registry gave for it.
    ///
    /// # Errors
    /// As [`tag`](Self::tag).
    pub fn tag_as_in_registry(
        &self,
        reference: &Reference,
        id: &Digest,
        digest: &Digest,
    ) -> Result<()> {
        self.put_name(reference, id, Some(*digest))
    }

    /// What the registry meant by this name when its image was pulled or pushed.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Damaged`], [`StoreError::Untagged`].
    pub fn registry_digest(&self, reference: &Reference) -> Result<Option<Digest>> {
        let name = self.read_name(&self.name_path(reference)?)?;
        Ok(name.and_then(|name| name.registry))
    }

    fn put_name(&self, reference: &Reference, id: &Digest, registry: Option<Digest>) -> Result<()> {
        let path = self.name_path(reference)?;
        let hold = self.hold()?;
        if !self.has_image(id)? {
            return Err(StoreError::NoSuchImage(id.to_string()));
        }
        let known =
            |name: Name| name.image == *id && (registry.is_none() || name.registry == registry);
        let before = match self.read_name(&path) {
            // It is written anew.
            Err(StoreError::Damaged { .. }) => None,
            result => result?,
        };
        if before.is_some_and(known) {
            return Ok(());
        }
        let name = Name {
            reference: stored_form(reference),
            image: *id,
            registry,
        };
        let directory = path.parent().unwrap_or(&path);
        std::fs::create_dir_all(directory)
            .map_err(StoreError::file("make the directory", directory))?;
        write_record(&path, &name, Durability::Whole)?;
        drop(hold);
        Ok(())
    }

    /// Take a name away; returns the image that it meant, which stays.
    ///
    /// # Errors
    /// [`StoreError::NoSuchImage`], [`StoreError::Untagged`], [`StoreError::File`].
    pub fn untag(&self, reference: &Reference) -> Result<Digest> {
        let path = self.name_path(reference)?;
        let exclusive = self.exclusive()?;
        let name = self
            .read_name(&path)?
            .ok_or_else(|| StoreError::NoSuchImage(reference.familiar()))?;
        self.remove_name(reference)?;
        drop(exclusive);
        Ok(name.image)
    }

    /// Remove the file of a name and the directories that are empty then. Needs the store lock
    /// exclusively.
    pub(crate) fn remove_name(&self, reference: &Reference) -> Result<()> {
        let path = self.name_path(reference)?;
        std::fs::remove_file(&path).map_err(StoreError::file("remove", &path))?;
        let names = self.layout().names();
        for directory in path.ancestors().skip(1) {
            if directory == names || std::fs::remove_dir(directory).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// The image that a text means, by Docker's rules: a full id, else a name (with the tag
    /// `latest` where it has none), else the beginning of exactly one id.
    ///
    /// # Errors
    /// [`StoreError::NoSuchImage`] in Docker's words; [`StoreError::Ambiguous`] when several ids
    /// begin so; [`StoreError::Reference`] when the text can be neither.
    pub fn resolve(&self, text: &str) -> Result<Digest> {
        self.meaning(text).map(|meaning| meaning.id())
    }

    pub(crate) fn meaning(&self, text: &str) -> Result<Meaning> {
        if let Ok(id) = text.parse::<Digest>() {
            return match self.has_image(&id)? {
                true => Ok(Meaning::Id(id)),
                false => Err(StoreError::NoSuchImage(text.to_owned())),
            };
        }
        let parsed = Reference::parse(text);
        if let Ok(reference) = &parsed
            && let Some(name) = self.read_name(&self.name_path(reference)?)?
        {
            return Ok(Meaning::Name(name.reference, name.image));
        }
        if let Ok(reference) = &parsed
            && let Some(meaning) = self.pulled_as(reference)?
        {
            return Ok(meaning);
        }
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if !digits.is_empty() && digits.len() <= 64 && digits.bytes().all(hexadecimal) {
            let mut candidates = self.image_ids()?;
            candidates.retain(|id| id.hex().starts_with(digits));
            candidates.sort_unstable();
            match candidates.as_slice() {
                [] => {}
                [id] => return Ok(Meaning::Id(*id)),
                _ => {
                    return Err(StoreError::Ambiguous {
                        prefix: digits.to_owned(),
                        candidates,
                    });
                }
            }
        }
        Err(StoreError::NoSuchImage(parsed?.familiar()))
    }

    /// The image of a reference with a digest that no name here has, but that a name of its
    /// repository had in the registry when it was pulled or pushed.
    fn pulled_as(&self, reference: &Reference) -> Result<Option<Meaning>> {
        let Some(digest) = reference.digest() else {
            return Ok(None);
        };
        for (name, image) in self.names()? {
            let is_repository =
                name.domain() == reference.domain() && name.path() == reference.path();
            if is_repository && self.registry_digest(&name)? == Some(digest) {
                return Ok(Some(Meaning::Id(image)));
            }
        }
        Ok(None)
    }

    /// The names of an image, in the order of their text.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Damaged`].
    pub fn references(&self, id: &Digest) -> Result<Vec<Reference>> {
        let names = self.names()?.into_iter();
        let own = names.filter(|(_, image)| image == id);
        Ok(own.map(|(reference, _)| reference).collect())
    }

    /// All names with the images that they mean, in the order of their text.
    pub(crate) fn names(&self) -> Result<Vec<(Reference, Digest)>> {
        let mut found = Vec::new();
        let mut directories = vec![self.layout().names()];
        while let Some(directory) = directories.pop() {
            for path in list(&directory)? {
                let leaf = path.file_name().unwrap_or_default();
                match leaf.to_str() {
                    Some("_tags" | "_digests") => {
                        for path in list(&path)? {
                            if !is_temporary(&path)
                                && let Some(name) = self.read_name(&path)?
                            {
                                found.push((name.reference, name.image));
                            }
                        }
                    }
                    _ => directories.push(path),
                }
            }
        }
        found.sort_by_cached_key(|(reference, _)| reference.to_string());
        Ok(found)
    }

    /// Whether there is a record of an image.
    pub(crate) fn has_image(&self, id: &Digest) -> Result<bool> {
        let path = self.layout().image(id);
        match rustix::fs::access(&path, rustix::fs::Access::EXISTS) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(StoreError::file("find", &path)(error)),
        }
    }

    fn name_path(&self, reference: &Reference) -> Result<PathBuf> {
        self.layout()
            .name(reference)
            .ok_or_else(|| StoreError::Untagged(reference.familiar()))
    }

    fn read_name(&self, path: &Path) -> Result<Option<Name>> {
        match read_record(path) {
            Ok(name) => Ok(Some(name)),
            Err(StoreError::File { source, .. })
                if matches!(
                    source.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// A reference as it is kept: a tag beside a digest means nothing.
fn stored_form(reference: &Reference) -> Reference {
    let (Some(_), Some(digest)) = (reference.tag(), reference.digest()) else {
        return reference.clone();
    };
    let text = format!("{}/{}@{digest}", reference.domain(), reference.path());
    Reference::parse_untagged(&text).unwrap_or_else(|_| reference.clone())
}

/// Whether a file is what a killed writer left.
pub(crate) fn is_temporary(path: &Path) -> bool {
    digest_of_name(path).is_none()
        && path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes()))
}
