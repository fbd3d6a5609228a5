//! What refers to an image: signatures, attestations, lists of contents (the specification's
//! "Listing Referrers", with its tag schema for registries that do not have it).

use hoist_core::{Digest, Reference, image::Descriptor};

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
        let name = format!(
            "{}/{}:sha256-{}",
            reference.domain(),
            reference.path(),
            subject.hex()
        );
        let tag =
            Reference::parse(&name).expect("a repository and a tag of the specification's form");
        match self.manifest(&tag) {
            Err(RegistryError::ManifestUnknown(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
            Ok(raw) => match raw.document(&tag)? {
                Document::Index(index) => Ok(index.manifests),
                Document::Manifest(_) => Ok(Vec::new()),
            },
        }
    }
}
