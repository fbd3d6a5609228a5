//! An image as one archive: an OCI image layout (image-spec 1.1), and for Docker the
//! `manifest.json` that `docker load` reads beside it.
//!
//! ```text
//! blobs/sha256/<digest>    configuration, manifest, layers (where uncompressed: the digest is the diff id)
//! index.json               the manifest by the image's names
//! manifest.json            for Docker: names, configuration, layers
//! oci-layout
//! ```

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
};

use hoist_core::{Digest, Reference};
use hoist_engine::Engine;
use hoist_store::{Codec, StoreError};
use serde_json::{Value, json};

use super::{
    archive::{Archive, Count},
    sink::{Directory, Sink},
};
use crate::error::BuildError;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What an image archive holds beside the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageArchive {
    /// The names of the image.
    pub names: Vec<Reference>,
    /// Annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
    /// Annotations of the manifest's descriptor in the index.
    pub descriptor_annotations: BTreeMap<String, String>,
    /// Annotations of the index.
    pub index_annotations: BTreeMap<String, String>,
    /// How the layers are compressed; not at all when absent.
    pub compression: Option<Codec>,
    /// Write `manifest.json`, too: what `docker load` of every version reads.
    pub for_docker: bool,
}

/// Write the image `id` as an archive. The digest of its manifest.
///
/// # Errors
/// The store's about the image and its layers; [`BuildError::Io`] when `output` fails.
pub fn write_image_archive(
    engine: &Engine,
    id: &Digest,
    archive: &ImageArchive,
    output: impl Write,
) -> Result<Digest, BuildError> {
    let mut writer = Archive::new(output);
    let digest = write(engine, id, archive, &mut writer)?;
    writer
        .finish()
        .map_err(|error| Failure::Output(error).told())?;
    Ok(digest)
}

/// Write the image `id` into the directory `destination`, which becomes an OCI image layout. Blobs
/// that are there stay; the index comes last, and at once. The digest of the manifest.
///
/// # Errors
/// As [`write_image_archive`].
pub fn write_image_layout(
    engine: &Engine,
    id: &Digest,
    archive: &ImageArchive,
    destination: &Path,
) -> Result<Digest, BuildError> {
    write(engine, id, archive, &mut Directory::new(destination))
}

fn write(
    engine: &Engine,
    id: &Digest,
    archive: &ImageArchive,
    sink: &mut impl Sink,
) -> Result<Digest, BuildError> {
    let config = engine.store().config(id)?;
    let layers = layers(engine, id, archive.compression)?;
    let manifest = manifest(id, &config, &layers, &archive.annotations);
    let manifest = manifest.to_string().into_bytes();
    let digest = Digest::of(&manifest);
    let mut blobs: BTreeMap<Digest, Blob<'_>> = layers
        .iter()
        .map(|layer| (layer.digest, Blob::Layer(layer)))
        .collect();
    blobs.insert(*id, Blob::Bytes(&config));
    blobs.insert(digest, Blob::Bytes(&manifest));
    let mut write = || -> Result<(), Failure> {
        sink.directory("blobs/")?;
        sink.directory("blobs/sha256/")?;
        // Each blob once, in the order of the digests.
        for (digest, blob) in &blobs {
            let path = path(digest);
            match blob {
                Blob::Bytes(bytes) => sink.file(&path, bytes)?,
                Blob::Layer(layer) => {
                    sink.stream(&path, layer.size, |output| layer.write(engine, output))?;
                }
            }
        }
        let layout = json!({ "imageLayoutVersion": "1.0.0" }).to_string();
        if archive.for_docker {
            let order: Vec<Digest> = layers.iter().map(|layer| layer.digest).collect();
            let text = docker_manifest(id, &order, &archive.names).to_string();
            sink.file("manifest.json", text.as_bytes())?;
        }
        sink.file("oci-layout", layout.as_bytes())?;
        let index = index(&digest, manifest.len(), archive);
        sink.file("index.json", index.to_string().as_bytes())?;
        Ok(())
    };
    write().map_err(Failure::told)?;
    Ok(digest)
}

/// The content of a blob.
enum Blob<'a> {
    Bytes(&'a [u8]),
    Layer(&'a Layer),
}

/// A layer in the form in which it is written.
struct Layer {
    diff_id: Digest,
    /// Of the bytes that are written.
    digest: Digest,
    size: u64,
    media_type: String,
}

impl Layer {
    fn write(&self, engine: &Engine, mut output: &mut dyn Write) -> Result<(), Failure> {
        let store = engine.store();
        if self.digest == self.diff_id {
            return Ok(store.write_tar(&self.diff_id, output)?);
        }
        let mut file = store.open_blob(&self.digest)?;
        io::copy(&mut file, &mut output)?;
        Ok(())
    }
}

/// The layers of the image in their order; compressed now, once, where they are to be compressed
/// and are not.
fn layers(
    engine: &Engine,
    id: &Digest,
    compression: Option<Codec>,
) -> Result<Vec<Layer>, BuildError> {
    let store = engine.store();
    let mut layers = Vec::new();
    for layer in &store.image(id)?.layers {
        let diff_id = layer.diff_id;
        layers.push(match compression {
            None => {
                let mut count = Count::default();
                store.write_tar(&diff_id, &mut count)?;
                Layer {
                    diff_id,
                    digest: diff_id,
                    size: count.0,
                    media_type: LAYER.to_owned(),
                }
            }
            Some(codec) => {
                let blob = store.compress_layer(&diff_id, codec, &mut |_| {})?;
                Layer {
                    diff_id,
                    digest: blob.digest,
                    size: blob.size,
                    media_type: codec.media_type().to_owned(),
                }
            }
        });
    }
    Ok(layers)
}

/// Why an archive was not written.
enum Failure {
    Output(io::Error),
    Store(StoreError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    fn told(self) -> BuildError {
        match self {
            Self::Output(source) => BuildError::Io {
                action: "write",
                path: "the image archive".into(),
                source,
            },
            Self::Store(error) => error.into(),
        }
    }
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn manifest(
    id: &Digest,
    config: &[u8],
    layers: &[Layer],
    annotations: &BTreeMap<String, String>,
) -> Value {
    let layers = layers.iter().map(|layer| {
        json!({ "mediaType": layer.media_type, "digest": layer.digest, "size": layer.size })
    });
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": id, "size": config.len() },
        "layers": layers.collect::<Vec<_>>(),
    });
    if !annotations.is_empty() {
        manifest["annotations"] = json!(annotations);
    }
    manifest
}

fn index(digest: &Digest, size: usize, archive: &ImageArchive) -> Value {
    let entry = |name: Option<&Reference>| {
        let mut entry = json!({ "mediaType": MANIFEST, "digest": digest, "size": size });
        let mut annotations = BTreeMap::new();
        if let Some(name) = name {
            let tag = name.tag().unwrap_or("latest").to_owned();
            annotations.insert("io.containerd.image.name".to_owned(), name.to_string());
            annotations.insert("org.opencontainers.image.ref.name".to_owned(), tag);
        }
        annotations.extend(archive.descriptor_annotations.clone());
        if !annotations.is_empty() {
            entry["annotations"] = json!(annotations);
        }
        entry
    };
    let mut manifests: Vec<Value> = archive.names.iter().map(|name| entry(Some(name))).collect();
    if manifests.is_empty() {
        manifests.push(entry(None));
    }
    let mut index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    if !archive.index_annotations.is_empty() {
        index["annotations"] = json!(archive.index_annotations);
    }
    index
}

fn docker_manifest(id: &Digest, order: &[Digest], names: &[Reference]) -> Value {
    let names: Vec<String> = names.iter().map(Reference::familiar).collect();
    json!([{
        "Config": path(id),
        "RepoTags": if names.is_empty() { Value::Null } else { json!(names) },
        "Layers": order.iter().map(path).collect::<Vec<_>>(),
    }])
}
