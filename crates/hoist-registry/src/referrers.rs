//! What refers to an image: signatures, attestations, lists of contents (the specification's
//! "Listing Referrers", with its tag schema for registries that do not have it).

use hoist_core::{Digest, Reference, image::Descriptor};
use serde_json::{Value, json};

use crate::{
    access::Access,
    error::{RegistryError, Result},
    manifest::{Document, Index, MAX_MANIFEST},
    media_type::OCI_INDEX,
    registry::{Registry, pull_failure},
    retry::retrying,
    url::escape,
};

/// Pages that are followed.
const MAX_PAGES: usize = 1000;

impl Registry {
    /// The manifests that name `subject` as theirs; with an `artifact_type`, only those of that
    /// type, as far as the registry can tell.
    ///
    /// # Errors
    /// [`RegistryError::PullDenied`], [`RegistryError::Malformed`]; failures of the wire.
    pub fn referrers(
        &self,
        reference: &Reference,
        subject: Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>> {
        let endpoint = self.endpoint(reference.domain());
        let path = reference.path();
        let mut rest = format!("{path}/referrers/{subject}");
        if let Some(kind) = artifact_type {
            rest.push_str(&format!("?artifactType={}", escape(kind)));
        }
        let mut found = Vec::new();
        for _ in 0..MAX_PAGES {
            let fetched = retrying(self.options(), || {
                self.document(
                    &endpoint,
                    &Access::pull(path),
                    &rest,
                    OCI_INDEX,
                    MAX_MANIFEST,
                )
            });
            let fetched = match fetched {
                Err(error) if error.status() == Some(404) => {
                    return self.referrers_by_tag(reference, subject);
                }
                result => result.map_err(|error| pull_failure(error, reference))?,
            };
            let index: Index = serde_json::from_slice(&fetched.bytes).map_err(|error| {
                RegistryError::Malformed {
                    what: format!("the list of referrers of {subject}"),
                    reason: error.to_string(),
                }
            })?;
            found.extend(index.manifests);
            match self.next_page(&endpoint, &fetched.response)? {
                Some(next) if next != rest => rest = next,
                _ => break,
            }
        }
        Ok(found)
    }

    /// The index under the tag `sha256-…`; none is an empty one.
    fn referrers_by_tag(&self, reference: &Reference, subject: Digest) -> Result<Vec<Descriptor>> {
        let tag = tag_of(reference, subject);
        match self.manifest(&tag) {
            Err(RegistryError::ManifestUnknown(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
            Ok(raw) => match raw.document(&tag)? {
                Document::Index(index) => Ok(index.manifests),
                Document::Manifest(_) => Ok(Vec::new()),
            },
        }
    }

    /// Put a manifest into the index under the tag of its subject, if it has one: "Pushing Manifests
    /// with Subject" where a registry does not know referrers. Two that do so at the same moment may
    /// lose one of the entries; the specification has no remedy.
    pub(crate) fn list_referrer(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<()> {
        let Some((subject, entry)) = referrer(media_type, bytes) else {
            return Ok(());
        };
        let tag = tag_of(reference, subject);
        let mut index = self.listed(&tag)?.unwrap_or_else(
            || json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }),
        );
        let malformed = || RegistryError::Malformed {
            what: format!("the list of referrers {}", tag.familiar()),
            reason: "it is no index".to_owned(),
        };
        let entries = index
            .get_mut("manifests")
            .and_then(Value::as_array_mut)
            .ok_or_else(malformed)?;
        if entries
            .iter()
            .any(|known| known["digest"] == entry["digest"])
        {
            return Ok(());
        }
        entries.push(entry);
        self.push_manifest(&tag, OCI_INDEX, index.to_string().as_bytes())
            .map(drop)
    }

    /// The index under a tag as the registry itself has it, with everything that is in it.
    fn listed(&self, tag: &Reference) -> Result<Option<Value>> {
        let endpoint = self.endpoint(tag.domain());
        let path = tag.path();
        let rest = format!("{path}/manifests/{}", tag.tag().unwrap_or_default());
        let access = Access::push(path, None);
        let fetched = retrying(self.options(), || {
            self.document(&endpoint, &access, &rest, OCI_INDEX, MAX_MANIFEST)
        });
        match fetched {
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(pull_failure(error, tag)),
            Ok(fetched) => match serde_json::from_slice(&fetched.bytes) {
                Ok(index) => Ok(Some(index)),
                Err(error) => Err(RegistryError::Malformed {
                    what: format!("the list of referrers {}", tag.familiar()),
                    reason: error.to_string(),
                }),
            },
        }
    }
}

/// The tag under which the referrers of `subject` are listed.
fn tag_of(reference: &Reference, subject: Digest) -> Reference {
    let (domain, path) = (reference.domain(), reference.path());
    Reference::parse(&format!("{domain}/{path}:sha256-{}", subject.hex()))
        .expect("a repository and a tag of the specification's form")
}

/// The subject of a manifest, and what its list says of the manifest.
fn referrer(media_type: &str, bytes: &[u8]) -> Option<(Digest, Value)> {
    let manifest: Value = serde_json::from_slice(bytes).ok()?;
    let subject = manifest["subject"]["digest"].as_str()?.parse().ok()?;
    let mut entry = json!({
        "mediaType": media_type,
        "size": bytes.len(),
        "digest": Digest::of(bytes),
    });
    // What an image without a type of its own is, its configuration says.
    let kind = [&manifest["artifactType"], &manifest["config"]["mediaType"]]
        .into_iter()
        .find(|kind| kind.as_str().is_some_and(|kind| !kind.is_empty()));
    if let Some(kind) = kind {
        entry["artifactType"] = kind.clone();
    }
    if manifest["annotations"].is_object() {
        entry["annotations"] = manifest["annotations"].clone();
    }
    Some((subject, entry))
}
