//! An image as one archive: an OCI image layout (image-spec 1.1), and for Docker the
//! `manifest.json` that `docker load` reads beside it.
//!
//! ```text
//! blobs/sha256/<digest>    configuration, manifest, layers (uncompressed: the digest is the diff id)
//! index.json               the manifest by the image's names
//! manifest.json            for Docker: names, configuration, layers
//! oci-layout
//! ```

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use hoist_core::{Digest, Reference};
use hoist_engine::Engine;
use hoist_store::StoreError;
use serde_json::{Value, json};

use super::archive::{Archive, Count};
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
    let store = engine.store();
    let config = store.config(id)?;
    let image = store.image(id)?;
    let mut layers = BTreeMap::new();
    for layer in &image.layers {
        let mut count = Count::default();
        store.write_tar(&layer.diff_id, &mut count)?;
        layers.insert(layer.diff_id, count.0);
    }
    let order: Vec<Digest> = image.layers.iter().map(|layer| layer.diff_id).collect();
    let manifest = manifest(id, &config, &order, &layers, &archive.annotations);
    let manifest = manifest.to_string().into_bytes();
    let digest = Digest::of(&manifest);
    let mut writer = Archive::new(output);
    let mut write = || -> Result<(), Failure> {
        writer.directory("blobs/")?;
        writer.directory("blobs/sha256/")?;
        // Each blob once, in the order of the digests.
        let mut blobs: BTreeMap<Digest, Blob<'_>> = layers
            .iter()
            .map(|(diff_id, size)| (*diff_id, Blob::Layer(*size)))
            .collect();
        blobs.insert(*id, Blob::Bytes(&config));
        blobs.insert(digest, Blob::Bytes(&manifest));
        for (digest, blob) in &blobs {
            let path = path(digest);
            match blob {
                Blob::Bytes(bytes) => writer.file(&path, bytes)?,
                Blob::Layer(size) => writer.stream(&path, *size, |output| {
                    store.write_tar(digest, output).map_err(Failure::from)
                })?,
            }
        }
        let index = index(&digest, manifest.len(), archive);
        writer.file("index.json", index.to_string().as_bytes())?;
        if archive.for_docker {
            let text = docker_manifest(id, &order, &archive.names).to_string();
            writer.file("manifest.json", text.as_bytes())?;
        }
        let layout = json!({ "imageLayoutVersion": "1.0.0" }).to_string();
        writer.file("oci-layout", layout.as_bytes())?;
        Ok(())
    };
    write().map_err(Failure::told)?;
    writer
        .finish()
        .map_err(|error| Failure::Output(error).told())?;
    Ok(digest)
}

/// The content of a blob.
enum Blob<'a> {
    Bytes(&'a [u8]),
    /// The archive of the layer, of this many bytes.
    Layer(u64),
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
    order: &[Digest],
    sizes: &BTreeMap<Digest, u64>,
    annotations: &BTreeMap<String, String>,
) -> Value {
    let layers = order.iter().map(
        |diff_id| json!({ "mediaType": LAYER, "digest": diff_id, "size": sizes.get(diff_id) }),
    );
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
    let entry = |annotations: Value| {
        let mut entry = json!({ "mediaType": MANIFEST, "digest": digest, "size": size });
        if !annotations.is_null() {
            entry["annotations"] = annotations;
        }
        entry
    };
    let named = archive.names.iter().map(|name| {
        entry(json!({
            "io.containerd.image.name": name.to_string(),
            "org.opencontainers.image.ref.name": name.tag().unwrap_or("latest"),
        }))
    });
    let mut manifests: Vec<Value> = named.collect();
    if manifests.is_empty() {
        manifests.push(entry(Value::Null));
    }
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests })
}

fn docker_manifest(id: &Digest, order: &[Digest], names: &[Reference]) -> Value {
    let names: Vec<String> = names.iter().map(Reference::familiar).collect();
    json!([{
        "Config": path(id),
        "RepoTags": if names.is_empty() { Value::Null } else { json!(names) },
        "Layers": order.iter().map(path).collect::<Vec<_>>(),
    }])
}
