//! From a reference to one image for one platform.

use hoist_core::{
    Digest, Platform, Reference,
    image::{Descriptor, Manifest},
};

use crate::{
    error::{RegistryError, Result},
    manifest::{Document, RawManifest},
    platform,
    registry::Registry,
};

/// The longest configuration that is read; real ones have a few kilobytes.
const MAX_CONFIG: u64 = 8 * 1024 * 1024;
/// Indexes within indexes that are followed.
const MAX_DEPTH: usize = 3;

/// What a reference means on a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The digest that the reference points to: of the index, where there is one. This is what
    /// `pull` shows, and what `image@digest` is pinned to.
    pub digest: Digest,
    /// The index, where there is one.
    pub index: Option<RawManifest>,
    /// The manifest of the platform, byte for byte.
    pub raw: RawManifest,
    /// The same, parsed.
    pub manifest: Manifest,
}

impl Registry {
    /// What `reference` means on `platform`: the index, if it is one, and the manifest.
    ///
    /// A manifest that is not in an index is taken whatever it is for: its configuration says so.
    ///
    /// # Errors
    /// [`RegistryError::NoMatchingPlatform`] with what there is; otherwise as
    /// [`manifest`](Self::manifest) and [`RawManifest::document`].
    pub fn resolve(&self, reference: &Reference, platform: &Platform) -> Result<Resolved> {
        let top = self.manifest(reference)?;
        let digest = top.digest;
        let mut index = None;
        let mut raw = top;
        for _ in 0..=MAX_DEPTH {
            match raw.document(reference)? {
                Document::Manifest(manifest) => {
                    return Ok(Resolved {
                        digest,
                        index,
                        raw,
                        manifest,
                    });
                }
                Document::Index(entries) => {
                    let Some(entry) = platform::choose(&entries.manifests, platform) else {
                        return Err(RegistryError::NoMatchingPlatform {
                            reference: reference.familiar(),
                            wanted: platform.clone(),
                            available: platform::available(&entries.manifests),
                        });
                    };
                    let within = self.manifest(&within(reference, entry.digest))?;
                    if index.is_none() {
                        index = Some(raw);
                    }
                    raw = within;
                }
            }
        }
        Err(RegistryError::Malformed {
            what: format!("the index of {}", reference.familiar()),
            reason: "too many indexes within each other".to_owned(),
        })
    }

    /// The configuration of an image, verified: [`Manifest::config`] of a resolved one.
    ///
    /// # Errors
    /// As [`blob`](Self::blob); [`RegistryError::TooLarge`] beyond 8 MiB.
    pub fn config(&self, reference: &Reference, config: &Descriptor) -> Result<Vec<u8>> {
        if config.size > MAX_CONFIG {
            return Err(RegistryError::TooLarge {
                what: format!("the configuration of {}", reference.familiar()),
                limit: MAX_CONFIG,
            });
        }
        self.blob(reference, config)?.bytes()
    }
}

/// The manifest with that digest in the same repository.
pub(crate) fn within(reference: &Reference, digest: Digest) -> Reference {
    Reference::parse_untagged(&format!(
        "{}/{}@{digest}",
        reference.domain(),
        reference.path()
    ))
    .expect("made of the parts of a reference")
}
