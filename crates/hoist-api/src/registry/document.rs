//! What a manifest says, as far as a registry must know: what it names and what it is about (OCI
//! image specification, "Image Manifest" and "Image Index").

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
};

use hoist_core::Digest;
use hoist_store::Manifest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::{Code, Problem};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The largest descriptor of a manifest about another one, in bytes: lists of them are answers to
/// others. As large are only annotations.
const LARGEST: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    /// Of artifact manifests before version 1.1.
    blobs: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: Option<String>,
    digest: String,
    #[serde(default)]
    urls: Option<Vec<String>>,
}

impl Descriptor {
    /// Whether it is a layer that need not be here, because it may not be given away: clients fetch
    /// it from where it belongs.
    fn is_elsewhere(&self) -> bool {
        let media_type = self.media_type.as_deref().unwrap_or_default();
        let has_place = self.urls.as_ref().is_some_and(|urls| !urls.is_empty());
        has_place || media_type.contains(".nondistributable.") || media_type.contains(".foreign.")
    }
}

/// What is to be known about a manifest, and its descriptor for a list of referrers.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) manifest: Manifest,
    pub(super) descriptor: Value,
}

/// Read a manifest of `size` bytes that was sent as `sent_as`. What it has beside what is looked for
/// is never in memory.
///
/// # Errors
/// `MANIFEST_INVALID`, `DIGEST_INVALID`.
pub(super) fn read(
    content: impl io::Read,
    digest: &Digest,
    size: u64,
    sent_as: Option<&str>,
) -> Result<Read, Problem> {
    let content = io::BufReader::with_capacity(super::PIECE, content);
    let document: Document =
        serde_json::from_reader(content).map_err(|error| match error.io_error_kind() {
            Some(_) => Problem::internal(format!("cannot read a manifest: {error}")),
            None => invalid(&format_args!("malformed manifest: {error}")),
        })?;
    let media_type = media_type(&document, sent_as)?;
    check(&document, &media_type)?;
    let artifact_type = document
        .artifact_type
        .filter(|kind| !kind.is_empty())
        .or_else(|| document.config.as_ref()?.media_type.clone());
    let mut blobs = BTreeSet::new();
    let layers = document.layers.unwrap_or_default().into_iter();
    let layers = layers.chain(document.blobs.unwrap_or_default());
    for blob in document.config.iter().chain(&layers.collect::<Vec<_>>()) {
        if !blob.is_elsewhere() {
            blobs.insert(digest_of(blob)?);
        }
    }
    let listed = document.manifests.unwrap_or_default();
    let manifests: BTreeSet<_> = listed.iter().map(digest_of).collect::<Result<_, _>>()?;
    let subject = document.subject.as_ref().map(digest_of).transpose()?;
    let mut descriptor = json!({
        "mediaType": media_type,
        "digest": digest,
        "size": size,
    });
    if let Some(kind) = artifact_type {
        descriptor["artifactType"] = Value::String(kind);
    }
    if let Some(annotations) = document.annotations {
        let annotations = annotations.into_iter();
        descriptor["annotations"] = annotations
            .map(|(name, value)| (name, Value::String(value)))
            .collect();
    }
    if subject.is_some() && descriptor.to_string().len() > LARGEST {
        return Err(invalid(&format_args!(
            "the annotations of a manifest with a subject have more than {LARGEST} bytes"
        )));
    }
    Ok(Read {
        manifest: Manifest {
            media_type,
            size,
            blobs: blobs.into_iter().collect(),
            manifests: manifests.into_iter().collect(),
            subject,
        },
        descriptor,
    })
}

/// The type that the manifest is given back as: as it was sent, which must be what it says itself.
fn media_type(document: &Document, sent_as: Option<&str>) -> Result<String, Problem> {
    let bare = |text: &str| text.split(';').next().unwrap_or_default().trim().to_owned();
    let own = document.media_type.as_deref();
    let sent = sent_as.filter(|sent| !matches!(bare(sent).as_str(), "" | "application/json"));
    match (sent, own) {
        (Some(sent), Some(own)) if bare(sent) != own => Err(invalid(&format_args!(
            "the manifest was sent as {sent}, and calls itself {own}"
        ))),
        (Some(sent), _) => Ok(sent.to_owned()),
        (None, Some(own)) => Ok(own.to_owned()),
        (None, None) => Err(invalid(
            &"the type of the manifest is missing (Content-Type)",
        )),
    }
}

/// Whether a manifest is complete for its type. Types that are unknown here are kept as they are,
/// as long as they are JSON.
fn check(document: &Document, media_type: &str) -> Result<(), Problem> {
    let bare = media_type.split(';').next().unwrap_or_default().trim();
    let is_image = matches!(bare, OCI_MANIFEST | DOCKER_MANIFEST);
    let is_index = matches!(bare, OCI_INDEX | DOCKER_LIST);
    if (is_image || is_index) && document.schema_version != Some(2) {
        return Err(invalid(&"schemaVersion is not 2"));
    }
    if bare.starts_with("application/vnd.docker.distribution.manifest.v1") {
        return Err(invalid(
            &"manifests of schema 1 are not accepted: push it with a newer client",
        ));
    }
    if is_image && (document.config.is_none() || document.layers.is_none()) {
        return Err(invalid(&"an image manifest has a config and layers"));
    }
    if is_image && document.manifests.is_some() {
        return Err(invalid(&"an image manifest lists no manifests"));
    }
    if is_index && document.manifests.is_none() {
        return Err(invalid(&"an index lists manifests"));
    }
    if is_index && (document.config.is_some() || document.layers.is_some()) {
        return Err(invalid(&"an index has no config and no layers"));
    }
    let is_json = bare.starts_with("application/") && bare.ends_with("json");
    if !is_json || !media_type.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(invalid(&format_args!(
            "{media_type:?} is not the type of a manifest"
        )));
    }
    Ok(())
}

fn digest_of(descriptor: &Descriptor) -> Result<Digest, Problem> {
    super::route::digest(&descriptor.digest)?.storable()
}

fn invalid(reason: &dyn fmt::Display) -> Problem {
    Problem::new(Code::ManifestInvalid, reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn said(text: &str, sent_as: Option<&str>) -> String {
        let text = text.replace("HEX", HEX);
        let digest = Digest::of(text.as_bytes());
        let size = text.len() as u64;
        match read(text.as_bytes(), &digest, size, sent_as) {
            Ok(Read { manifest, .. }) => format!(
                "{}: {} blobs, {} manifests, subject {}",
                manifest.media_type,
                manifest.blobs.len(),
                manifest.manifests.len(),
                manifest.subject.is_some()
            ),
            Err(problem) => problem.message().to_owned(),
        }
    }

    #[test]
    fn manifests_say_what_they_name() {
        const IMAGE: &str = r#"{"schemaVersion":2,"config":{"digest":"sha256:HEX"},
            "layers":[{"digest":"sha256:HEX"},{"digest":"sha256:HEX","urls":["https://x"]}],
            "subject":{"digest":"sha256:HEX"}}"#;
        insta::assert_snapshot!(said(IMAGE, Some(OCI_MANIFEST)), @"application/vnd.oci.image.manifest.v1+json: 1 blobs, 0 manifests, subject true");
        insta::assert_snapshot!(said(IMAGE, Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8")), @"application/vnd.oci.image.manifest.v1+json; charset=utf-8: 1 blobs, 0 manifests, subject true");
        insta::assert_snapshot!(said(IMAGE, Some(OCI_INDEX)), @"an index lists manifests");
        insta::assert_snapshot!(said(IMAGE, None), @"the type of the manifest is missing (Content-Type)");
        insta::assert_snapshot!(said(r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:HEX"}],"mediaType":"application/vnd.oci.image.index.v1+json"}"#, Some("application/json")), @"application/vnd.oci.image.index.v1+json: 0 blobs, 1 manifests, subject false");
        insta::assert_snapshot!(said(r#"{"blobs":[{"digest":"sha256:HEX"}]}"#, Some("application/vnd.oci.artifact.manifest.v1+json")), @"application/vnd.oci.artifact.manifest.v1+json: 1 blobs, 0 manifests, subject false");
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_a_reason() {
        let image = Some(OCI_MANIFEST);
        insta::assert_snapshot!(said("", image), @"malformed manifest: EOF while parsing a value at line 1 column 0");
        insta::assert_snapshot!(said("[]", image), @"malformed manifest: invalid length 0, expected struct Document with 9 elements at line 1 column 2");
        insta::assert_snapshot!(said("{}", image), @"schemaVersion is not 2");
        insta::assert_snapshot!(said(r#"{"schemaVersion":2}"#, image), @"an image manifest has a config and layers");
        insta::assert_snapshot!(said(r#"{"schemaVersion":2,"config":{"digest":"sha256:../x"},"layers":[]}"#, image), @"invalid digest: expected sha256: and 64 hexadecimal digits");
        insta::assert_snapshot!(said(r#"{"schemaVersion":2,"mediaType":"text/html"}"#, None), @r#""text/html" is not the type of a manifest"#);
        insta::assert_snapshot!(said(r#"{"schemaVersion":2,"mediaType":"x"}"#, image), @"the manifest was sent as application/vnd.oci.image.manifest.v1+json, and calls itself x");
        insta::assert_snapshot!(said("{}", Some("application/vnd.docker.distribution.manifest.v1+prettyjws")), @"manifests of schema 1 are not accepted: push it with a newer client");
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        insta::assert_snapshot!(said(&deep, image), @"schemaVersion is not 2");
    }
}
