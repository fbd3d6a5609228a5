//! The media types of manifests and layers, OCI's and Docker's.

use hoist_core::image::MEDIA_TYPE_MANIFEST;

/// An OCI image index.
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's index.
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's manifest, schema 2.
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// What is accepted as a manifest.
pub(crate) const ACCEPT: &str = concat!(
    "application/vnd.oci.image.index.v1+json, ",
    "application/vnd.docker.distribution.manifest.list.v2+json, ",
    "application/vnd.oci.image.manifest.v1+json, ",
    "application/vnd.docker.distribution.manifest.v2+json"
);

/// Whether it is the type of an index.
pub(crate) fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_LIST)
}

/// Whether it is the type of a manifest of one image.
pub(crate) fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, DOCKER_MANIFEST | MEDIA_TYPE_MANIFEST)
}
