//! Images out of an archive: what `docker save`, `podman save` and skopeo write, Docker's form
//! (`manifest.json`) or OCI's (`index.json`), compressed as a whole or not.

use hoist_core::{
    Digest, Platform, Reference,
    image::{Descriptor, Image, Manifest},
};
use hoist_registry::Index;
use serde::Deserialize;

use super::{
    archive::{Archive, malformed},
    event::{Events, ImageEvent, LayerState, Listener},
    parallel,
    save::{NAME, TAG},
};
use crate::{error::EngineError, root::Engine};

/// Indexes within indexes that are followed.
const MAX_DEPTH: usize = 3;

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The image.
    pub id: Digest,
    /// The names that it had in the archive and has here now.
    pub names: Vec<Reference>,
}

/// An entry of Docker's `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// An image of an archive, before it is one of the store.
pub(super) struct Found {
    config: Vec<u8>,
    /// The paths of its layers in the archive, lowest first.
    layers: Vec<String>,
    pub(super) names: Vec<Reference>,
    manifest: Option<Vec<u8>>,
}

struct Layer {
    path: String,
    diff_id: Digest,
}

impl Engine {
    /// Bring the images of an archive into the store, those for `platform`, or else for this machine's
    /// one, where there are several. The archive may be hostile.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] for what is no archive of images; [`EngineError::Store`] for a layer
    /// that is not what its image says.
    pub fn load(
        &self,
        input: std::fs::File,
        platform: Option<&Platform>,
        events: &Listener,
    ) -> Result<Vec<Loaded>, EngineError> {
        let archive = Archive::open(self, input)?;
        let found = if archive.has("manifest.json") {
            docker_images(&archive)?
        } else if archive.has("index.json") {
            let index: Index = archive.document("index.json")?;
            oci_images(&archive, &index, platform, 0)?
        } else {
            return Err(EngineError::Invalid {
                message: "the archive has neither a manifest.json nor an index.json: it is no archive of images".to_owned(),
                hint: Some(
                    "hoist import FILE NAME makes an image of the tar of a root file system"
                        .to_owned(),
                ),
            });
        };
        let found = of_platform(found, platform)?;
        let loaded = found
            .into_iter()
            .map(|found| self.load_image(&archive, found, events));
        loaded.collect()
    }

    pub(super) fn load_image(
        &self,
        archive: &Archive,
        found: Found,
        events: Events<'_>,
    ) -> Result<Loaded, EngineError> {
        let image: Image = serde_json::from_slice(&found.config)
            .map_err(|error| malformed(&format!("the configuration of an image: {error}")))?;
        let diff_ids = &image.rootfs.diff_ids;
        if diff_ids.len() != found.layers.len() {
            return Err(malformed(&format!(
                "an image has {} layers, its configuration names {}",
                found.layers.len(),
                diff_ids.len()
            )));
        }
        let layers: Vec<Layer> = found
            .layers
            .into_iter()
            .zip(diff_ids)
            .map(|(path, diff_id)| Layer {
                path,
                diff_id: *diff_id,
            })
            .collect();
        parallel::for_each(&layers, &|layer, _| self.load_layer(archive, layer, events))?;
        let store = self.store();
        let id = store.put_config(&found.config)?;
        if let Some(manifest) = &found.manifest {
            store.put_manifest(&id, manifest)?;
        }
        store.sync()?;
        for name in &found.names {
            store.tag(name, &id)?;
        }
        Ok(Loaded {
            id,
            names: found.names,
        })
    }

    fn load_layer(
        &self,
        archive: &Archive,
        layer: &Layer,
        events: Events<'_>,
    ) -> Result<(), EngineError> {
        let store = self.store();
        let state = if store.has_layer(&layer.diff_id)? && store.keep_layer(&layer.diff_id).is_ok()
        {
            LayerState::Present
        } else {
            let section = archive.file(&layer.path)?;
            let media_type = section.layer_type();
            let draft = store.begin_blob()?;
            store.import_layer(draft, section, media_type, Some(&layer.diff_id))?;
            LayerState::Pulled
        };
        events(&ImageEvent::Layer {
            layer: layer.diff_id,
            state,
        });
        Ok(())
    }
}

/// Those of a platform; it is an error when there is none.
fn of_platform(found: Vec<Found>, platform: Option<&Platform>) -> Result<Vec<Found>, EngineError> {
    let Some(wanted) = platform else {
        return Ok(found);
    };
    let mut fitting = Vec::new();
    for found in found {
        let image: Image = serde_json::from_slice(&found.config)
            .map_err(|error| malformed(&format!("the configuration of an image: {error}")))?;
        let of = image.platform;
        if of.os == wanted.os && of.architecture == wanted.architecture {
            fitting.push(found);
        }
    }
    if fitting.is_empty() {
        return Err(EngineError::Unsupported {
            message: format!("the archive has no image of the platform {wanted}"),
            hint: Some("leave out --platform to load what it has".to_owned()),
        });
    }
    Ok(fitting)
}

fn docker_images(archive: &Archive) -> Result<Vec<Found>, EngineError> {
    let entries: Vec<Entry> = archive.document("manifest.json")?;
    let mut found = Vec::new();
    for entry in entries {
        let names = entry.repo_tags.unwrap_or_default();
        let names: Result<Vec<_>, _> = names.iter().map(|name| Reference::parse(name)).collect();
        found.push(Found {
            config: archive.bytes(&entry.config)?,
            layers: entry.layers,
            names: names.map_err(|error| malformed(&error.to_string()))?,
            manifest: None,
        });
    }
    Ok(found)
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A small blob, verified.
fn blob(archive: &Archive, digest: &Digest) -> Result<Vec<u8>, EngineError> {
    let bytes = archive.bytes(&blob_path(digest))?;
    let actual = Digest::of(&bytes);
    if actual == *digest {
        return Ok(bytes);
    }
    Err(malformed(&format!("blob {digest} has the digest {actual}")))
}

pub(super) fn oci_images(
    archive: &Archive,
    index: &Index,
    platform: Option<&Platform>,
    depth: usize,
) -> Result<Vec<Found>, EngineError> {
    if depth > MAX_DEPTH {
        return Err(malformed("too many indexes within each other"));
    }
    let mut found: Vec<Found> = Vec::new();
    for entry in &index.manifests {
        let bytes = blob(archive, &entry.digest)?;
        let mut images = if entry.media_type.contains("index") || entry.media_type.contains("list")
        {
            let index: Index = serde_json::from_slice(&bytes)
                .map_err(|error| malformed(&format!("index {}: {error}", entry.digest)))?;
            let chosen = Index {
                manifests: for_platform(&index.manifests, platform),
                ..index
            };
            oci_images(archive, &chosen, platform, depth + 1)?
        } else {
            vec![oci_image(archive, &entry.digest, bytes)?]
        };
        let name = name_of(entry);
        for image in &mut images {
            image.names.extend(name.clone());
        }
        for image in images {
            let same = found.iter_mut().find(|known| known.config == image.config);
            match same {
                Some(known) => known.names.extend(image.names),
                None => found.push(image),
            }
        }
    }
    Ok(found)
}

fn oci_image(archive: &Archive, digest: &Digest, bytes: Vec<u8>) -> Result<Found, EngineError> {
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .map_err(|error| malformed(&format!("manifest {digest}: {error}")))?;
    Ok(Found {
        config: blob(archive, &manifest.config.digest)?,
        layers: manifest
            .layers
            .iter()
            .map(|layer| blob_path(&layer.digest))
            .collect(),
        names: Vec::new(),
        manifest: Some(bytes),
    })
}

/// The entry of an index that fits the platform; where none was asked for, this machine's, or the
/// first one.
fn for_platform(entries: &[Descriptor], asked: Option<&Platform>) -> Vec<Descriptor> {
    let host = Platform::host();
    let wanted = asked.unwrap_or(&host);
    let fits = |entry: &&Descriptor| {
        entry.platform.as_ref().is_some_and(|platform| {
            platform.os == wanted.os && platform.architecture == wanted.architecture
        })
    };
    let any = asked.is_none().then(|| entries.first()).flatten();
    let chosen = entries.iter().find(fits).or(any);
    chosen.cloned().into_iter().collect()
}

/// The name of an image in an index; a tag alone is none.
fn name_of(entry: &Descriptor) -> Option<Reference> {
    let annotations = &entry.annotations;
    let whole = annotations.get(NAME);
    let short = annotations
        .get(TAG)
        .filter(|text| text.contains(['/', ':']));
    whole
        .or(short)
        .and_then(|text| Reference::parse(text).ok())
        .filter(|name| name.tag().is_some())
}
