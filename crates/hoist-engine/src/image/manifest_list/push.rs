//! A list to a registry: first what its manifests name, then they themselves, then the index.

use std::io::{self, Read};

use hoist_core::{
    Digest, Reference,
    image::{Descriptor, Manifest},
};
use hoist_registry::Registry;

use super::{ListEntry, ManifestList};
use crate::{
    error::EngineError,
    image::{event::Listener, parallel},
    root::Engine,
};

/// A list that was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedList {
    /// The digest of the index.
    pub digest: Digest,
    /// The manifests that had to be put beside it, by what they are called there.
    pub manifests: Vec<Reference>,
}

impl Engine {
    /// Push a list as an index under its name. Manifests from other repositories are copied beside
    /// it, with their blobs: mounted where it is the same registry, through this machine otherwise.
    /// Images of the store are pushed.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] when there is no such list, when an entry does not say what it runs
    /// on, or when an image of it is gone; [`EngineError::Registry`].
    pub fn push_manifest_list(
        &self,
        registry: &Registry,
        name: &Reference,
        events: &Listener,
    ) -> Result<PushedList, EngineError> {
        let list = self.manifest_list(name)?.ok_or_else(|| {
            EngineError::invalid(format!("{name} not found")).with_hint(format!(
                "begin it with: hoist manifest create {} MANIFEST...",
                name.familiar()
            ))
        })?;
        complete(&list)?;
        let mut manifests = Vec::new();
        for entry in &list.entries {
            let target = beside(name, entry.digest)?;
            match entry.image {
                Some(id) => self.send_image(registry, name, entry, &id, events)?,
                None if is_beside(&entry.reference, name) => continue,
                None => self.copy(registry, name, entry)?,
            }
            registry.push_manifest(&target, &entry.media_type, entry.manifest.as_bytes())?;
            manifests.push(target);
        }
        let digest = registry.push_manifest(name, list.media_type(), &list.index()?)?;
        Ok(PushedList { digest, manifests })
    }

    /// The blobs of an image of the store.
    fn send_image(
        &self,
        registry: &Registry,
        name: &Reference,
        entry: &ListEntry,
        id: &Digest,
        events: &Listener,
    ) -> Result<(), EngineError> {
        let gone = || {
            let member = entry.reference.familiar();
            EngineError::invalid(format!(
                "the image of {member} in the list is not here any more"
            ))
            .with_hint(format!(
                "put it into the list again: hoist manifest create --amend {} {member}",
                name.familiar()
            ))
        };
        let image = self.store().image(id).map_err(|_| gone())?;
        let known = self.known_manifest(&image, None)?;
        let manifest = match known {
            Some((bytes, manifest)) if Digest::of(&bytes) == entry.digest => manifest,
            _ => return Err(gone()),
        };
        self.send_blobs(registry, name, &image, &manifest.layers, events)
            .map(drop)
    }

    /// The blobs of a manifest that is elsewhere.
    #[expect(clippy::unused_self, reason = "reads as a step of the push")]
    fn copy(
        &self,
        registry: &Registry,
        name: &Reference,
        entry: &ListEntry,
    ) -> Result<(), EngineError> {
        let Manifest { config, layers, .. } = entry.parsed()?;
        let mut blobs: Vec<Descriptor> = layers;
        blobs.push(config);
        blobs.retain(|blob| !is_kept_elsewhere(&blob.media_type));
        parallel::for_each(&blobs, &|blob, stop| {
            let mut open = || -> io::Result<Box<dyn Read>> {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return Err(io::Error::other("another blob could not be copied"));
                }
                let reader = registry.blob(&entry.reference, blob);
                Ok(Box::new(reader.map_err(io::Error::other)?))
            };
            registry.push_blob(name, blob, &mut open, Some(&entry.reference))?;
            Ok(())
        })
    }
}

/// Every entry of an index says what it runs on.
fn complete(list: &ManifestList) -> Result<(), EngineError> {
    for entry in &list.entries {
        if entry.platform.is_none() {
            let (list, member) = (list.reference.familiar(), entry.reference.familiar());
            return Err(EngineError::invalid(format!(
                "manifest {} must have an OS and Architecture to be pushed to a registry",
                entry.reference
            ))
            .with_hint(format!(
                "say it with: hoist manifest annotate --os linux --arch ARCH {list} {member}"
            )));
        }
    }
    Ok(())
}

/// Layers that their licence binds to where they are: Windows' own.
fn is_kept_elsewhere(media_type: &str) -> bool {
    media_type.contains(".nondistributable.") || media_type.contains(".foreign.")
}

fn is_beside(one: &Reference, other: &Reference) -> bool {
    one.domain() == other.domain() && one.path() == other.path()
}

/// The manifest with this digest in the repository of `name`.
fn beside(name: &Reference, digest: Digest) -> Result<Reference, EngineError> {
    let text = format!("{}/{}@{digest}", name.domain(), name.path());
    Reference::parse_untagged(&text).map_err(|error| EngineError::invalid(error.to_string()))
}
