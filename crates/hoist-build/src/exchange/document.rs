//! What is told about a cache beside its layers: the configuration of the artifact, or a field in the
//! configuration of an image. It may come from anybody.

use std::collections::BTreeMap;

use hoist_core::{
    Digest,
    image::{Descriptor, MEDIA_TYPE_CONFIG, Manifest},
};
use hoist_engine::{
    EngineError,
    artifact::{Artifact, small_blob},
};
use serde::{Deserialize, Serialize};

use crate::{cache::Record, explain::Mark};

/// Media type of the configuration of a cache.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.hoist.cache.v1+json";

/// Docker's type of the configuration of an image.
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// The longest document that is read, and the longest configuration of an image.
const MOST_BYTES: u64 = 32 << 20;

/// The records of steps, and what their layers are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Document {
    /// In the order of their keys.
    pub(crate) records: Vec<Exported>,
    /// Where the steps stood in the Dockerfile.
    pub(crate) trail: Vec<Mark>,
    /// What the layers of the manifest are once they are unpacked, in its order. The configuration of
    /// an image says so itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) diff_ids: Vec<Digest>,
    /// Which of the layers are cache mounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) mounts: Vec<MountLayer>,
}

/// A record, and what lies beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exported {
    #[serde(flatten)]
    pub(crate) record: Record,
    /// The digests of the files of a copied directory, for explanations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) files: Option<String>,
}

/// A cache mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountLayer {
    pub(crate) id: String,
    pub(crate) diff_id: Digest,
}

/// What an artifact has to offer.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    pub(crate) document: Document,
    /// The blobs of its layers by their diff ids.
    pub(crate) blobs: BTreeMap<Digest, Descriptor>,
}

/// Where an image has the document.
#[derive(Deserialize)]
struct ImageWithCache {
    rootfs: RootFs,
    #[serde(rename = "hoist.cache.v1")]
    cache: Option<Document>,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

/// What `artifact` offers; `None` when it is an image without a cache.
pub(super) fn read(artifact: &dyn Artifact) -> Result<Option<Offer>, EngineError> {
    let manifest = artifact.manifest()?;
    let config = &manifest.config;
    let malformed = |what: &str| EngineError::Invalid {
        message: format!("the cache {} is malformed: {what}", artifact.name()),
        hint: None,
    };
    let (document, diff_ids) = match config.media_type.as_str() {
        MEDIA_TYPE => {
            let bytes = small_blob(artifact, config, MOST_BYTES)?;
            let document: Document =
                serde_json::from_slice(&bytes).map_err(|error| malformed(&error.to_string()))?;
            let diff_ids = document.diff_ids.clone();
            (document, diff_ids)
        }
        MEDIA_TYPE_CONFIG | DOCKER_CONFIG => {
            let bytes = small_blob(artifact, config, MOST_BYTES)?;
            let image: ImageWithCache =
                serde_json::from_slice(&bytes).map_err(|error| malformed(&error.to_string()))?;
            let Some(cache) = image.cache else {
                return Ok(None);
            };
            (cache, image.rootfs.diff_ids)
        }
        other => {
            return Err(EngineError::Unsupported {
                message: format!(
                    "{} holds {other}, which is no cache of hoist",
                    artifact.name()
                ),
                hint: None,
            });
        }
    };
    let blobs = blobs(&manifest, &diff_ids).map_err(|what| malformed(&what))?;
    Ok(Some(Offer { document, blobs }))
}

fn blobs(manifest: &Manifest, diff_ids: &[Digest]) -> Result<BTreeMap<Digest, Descriptor>, String> {
    if manifest.layers.len() != diff_ids.len() {
        return Err(format!(
            "its manifest has {} layers, its configuration {}",
            manifest.layers.len(),
            diff_ids.len()
        ));
    }
    let layers = manifest.layers.iter().cloned();
    Ok(diff_ids.iter().copied().zip(layers).collect())
}
