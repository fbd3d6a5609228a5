//! Manifests and indexes: fetched, verified, parsed; sent and deleted.

use std::collections::BTreeMap;

use hoist_core::{
    Digest, Reference,
    image::{Descriptor, Manifest},
};
use serde::{Deserialize, Serialize};
use ureq::http::Method;

use crate::{
    access::Access,
    error::{RegistryError, Result},
    host::Endpoint,
    media_type::{self, ACCEPT},
    registry::{Registry, pull_failure, push_failure},
    retry::retrying,
    wire::{Body, Request},
};

/// The longest manifest or index that is read, as the specification recommends.
pub(crate) const MAX_MANIFEST: u64 = 4 * 1024 * 1024;

/// An index: the manifests of one image for several platforms (`image-index.md`; Docker's
/// manifest list has the same form).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// OCI's type of an index, or Docker's of a manifest list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What its manifests are about, where they are no images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests.
    pub manifests: Vec<Descriptor>,
    /// Free names and values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A manifest or an index as it lies in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    /// The digest of the bytes, verified.
    pub digest: Digest,
    /// What it is.
    pub media_type: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The content of a [`RawManifest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Several images.
    Index(Index),
    /// One image.
    Manifest(Manifest),
}

impl RawManifest {
    /// What the bytes say. A document that can be read in two ways is refused (CVE-2021-41190).
    ///
    /// # Errors
    /// [`RegistryError::Malformed`]; [`RegistryError::UnsupportedMediaType`] for anything that is
    /// neither OCI's nor Docker's schema 2. `reference` is for their texts.
    pub fn document(&self, reference: &Reference) -> Result<Document> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shape {
            schema_version: Option<u32>,
            media_type: Option<String>,
            #[serde(default)]
            manifests: serde_json::Value,
            #[serde(default)]
            layers: serde_json::Value,
        }
        let malformed = |reason: String| RegistryError::Malformed {
            what: format!("the manifest of {}", reference.familiar()),
            reason,
        };
        let unsupported = |media_type: &str| RegistryError::UnsupportedMediaType {
            reference: reference.familiar(),
            media_type: media_type.to_owned(),
        };
        let index = media_type::is_index(&self.media_type);
        if !index && !media_type::is_manifest(&self.media_type) {
            return Err(unsupported(&self.media_type));
        }
        let shape: Shape =
            serde_json::from_slice(&self.bytes).map_err(|error| malformed(error.to_string()))?;
        if shape.schema_version != Some(2) {
            return Err(malformed("its schemaVersion is not 2".to_owned()));
        }
        if shape
            .media_type
            .is_some_and(|inner| inner != self.media_type)
        {
            return Err(malformed(format!(
                "its mediaType is not {}, as which it was sent",
                self.media_type
            )));
        }
        if !shape.manifests.is_null() && !shape.layers.is_null() {
            return Err(malformed(
                "it is a manifest and an index at once".to_owned(),
            ));
        }
        let document = if index {
            serde_json::from_slice(&self.bytes).map(Document::Index)
        } else {
            serde_json::from_slice(&self.bytes).map(Document::Manifest)
        };
        document.map_err(|error| malformed(error.to_string()))
    }
}

/// The digest or the tag: what the API calls the `<reference>` of a manifest.
fn name_of(reference: &Reference) -> String {
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) => tag.to_owned(),
        (None, None) => "latest".to_owned(),
    }
}

fn manifest_failure(error: RegistryError, reference: &Reference) -> RegistryError {
    match error.status() {
        Some(404) => RegistryError::ManifestUnknown(reference.familiar()),
        _ => pull_failure(error, reference),
    }
}

impl Registry {
    /// The digest that a reference points to now, without fetching anything (`HEAD`, which Docker
    /// Hub does not count).
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub fn digest(&self, reference: &Reference) -> Result<Digest> {
        let found = self
            .ask_first(reference.domain(), |endpoint| {
                self.head(endpoint, reference)
            })
            .map_err(|error| manifest_failure(error, reference))?;
        // A registry that does not say is asked for the whole.
        match found {
            Some(digest) => Ok(digest),
            None => Ok(self.manifest(reference)?.digest),
        }
    }

    fn head(&self, endpoint: &Endpoint, reference: &Reference) -> Result<Option<Digest>> {
        let path = endpoint.path(reference.path());
        let rest = format!("{path}/manifests/{}", name_of(reference));
        let headers = [("accept", ACCEPT.to_owned())];
        let response = self
            .request(
                endpoint,
                &Access::pull(&path),
                Method::HEAD,
                &rest,
                &headers,
            )?
            .checked()?;
        let told = response.header("docker-content-digest");
        let told = told.and_then(|digest| digest.parse().ok());
        check_digest(reference, reference.digest(), told)?;
        Ok(reference.digest().or(told))
    }

    /// The manifest or index that a reference points to. Its digest is verified against the
    /// reference's, or against the one that the registry tells.
    ///
    /// # Errors
    /// [`RegistryError::ManifestUnknown`], [`RegistryError::PullDenied`],
    /// [`RegistryError::TooLarge`] beyond 4 MiB, [`RegistryError::DigestMismatch`]; failures of
    /// the wire once they have lasted for all attempts.
    pub fn manifest(&self, reference: &Reference) -> Result<RawManifest> {
        self.ask_first(reference.domain(), |endpoint| {
            let path = endpoint.path(reference.path());
            let rest = format!("{path}/manifests/{}", name_of(reference));
            let fetched =
                self.document(endpoint, &Access::pull(&path), &rest, ACCEPT, MAX_MANIFEST)?;
            let digest = Digest::of(&fetched.bytes);
            let told = fetched.response.header("docker-content-digest");
            let told = told.and_then(|digest| digest.parse().ok());
            check_digest(reference, reference.digest().or(told), Some(digest))?;
            let sent_as = fetched.response.header("content-type").unwrap_or_default();
            let sent_as = sent_as.split(';').next().unwrap_or_default().trim();
            Ok(RawManifest {
                digest,
                media_type: media_type_of(sent_as, &fetched.bytes),
                bytes: fetched.bytes,
            })
        })
        .map_err(|error| manifest_failure(error, reference))
    }

    /// Put a manifest or an index under the reference's tag, or without a tag under its digest.
    /// What it refers to must be there already.
    ///
    /// One with a `subject` is found from there: a registry that does not see to that itself gets
    /// the list of referrers under its tag.
    ///
    /// # Errors
    /// [`RegistryError::PushDenied`]; [`RegistryError::DigestMismatch`] when the reference or the
    /// registry names another digest than that of `bytes`; failures of the wire.
    pub fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Digest> {
        let digest = Digest::of(bytes);
        check_digest(reference, reference.digest(), Some(digest))?;
        let endpoint = self.endpoint(reference.domain());
        let path = reference.path();
        let name = reference
            .tag()
            .map_or_else(|| digest.to_string(), str::to_owned);
        let uri = endpoint.uri(
            self.wire(),
            self.options(),
            &format!("{path}/manifests/{name}"),
        )?;
        let sent = retrying(self.options(), || {
            let mut request =
                Request::new(Method::PUT, uri.clone()).header("content-type", media_type);
            request.body = Body::Bytes(bytes);
            let response = self
                .call(&endpoint, &Access::push(path, None), &mut request)?
                .checked()?;
            let told = response.header("docker-content-digest");
            let told = told.and_then(|digest| digest.parse().ok());
            Ok((told, response.header("oci-subject").is_some()))
        });
        let (told, is_listed) = sent.map_err(|error| push_failure(error, reference))?;
        check_digest(reference, told, Some(digest))?;
        if !is_listed {
            self.list_referrer(reference, media_type, bytes)?;
        }
        Ok(digest)
    }

    /// Delete a manifest, and with it the tags that point to it. Of a reference without digest,
    /// the one that its tag points to.
    ///
    /// # Errors
    /// [`RegistryError::ManifestUnknown`]; a [`RegistryError::Status`] 405 where the registry
    /// allows no deletion.
    pub fn delete_manifest(&self, reference: &Reference) -> Result<Digest> {
        let digest = match reference.digest() {
            Some(digest) => digest,
            None => self.digest(reference)?,
        };
        let endpoint = self.endpoint(reference.domain());
        let path = reference.path();
        retrying(self.options(), || {
            let rest = format!("{path}/manifests/{digest}");
            self.request(&endpoint, &Access::delete(path), Method::DELETE, &rest, &[])?
                .checked()
        })
        .map_err(|error| match error.status() {
            Some(404) => RegistryError::ManifestUnknown(reference.familiar()),
            _ => push_failure(error, reference),
        })?;
        Ok(digest)
    }
}

/// The type that it was sent as; where a registry sends a general one, its own word.
fn media_type_of(sent_as: &str, bytes: &[u8]) -> String {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Own {
        media_type: String,
    }
    if media_type::is_index(sent_as) || media_type::is_manifest(sent_as) {
        return sent_as.to_owned();
    }
    if matches!(
        sent_as,
        "" | "application/json" | "application/octet-stream" | "text/plain"
    ) && let Ok(own) = serde_json::from_slice::<Own>(bytes)
    {
        return own.media_type;
    }
    sent_as.to_owned()
}

fn check_digest(
    reference: &Reference,
    expected: Option<Digest>,
    actual: Option<Digest>,
) -> Result<()> {
    match (expected, actual) {
        (Some(expected), Some(actual)) if expected != actual => {
            Err(RegistryError::DigestMismatch {
                what: format!("manifest of {}", reference.familiar()),
                expected,
                actual,
            })
        }
        _ => Ok(()),
    }
}
