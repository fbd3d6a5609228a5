//! Images into an archive: an OCI layout in a tar, with Docker's `manifest.json` beside its
//! `index.json`, as Docker 25 and later write it. Readers of either form find theirs.
//!
//! The layers are in it without compression. The same images give the same bytes.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use hoist_core::{
    Digest, Platform, Reference,
    image::{Descriptor, MEDIA_TYPE_CONFIG, MEDIA_TYPE_LAYER_TAR, MEDIA_TYPE_MANIFEST},
};
use hoist_store::{StoreError, StoredImage};
use serde_json::{Value, json};

use super::{
    fits_platform,
    push::{descriptor, manifest},
};
use crate::{error::EngineError, root::Engine};

/// Media type of an OCI index.
pub(crate) const MEDIA_TYPE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Annotation with the whole name of an image (containerd).
pub(super) const NAME: &str = "io.containerd.image.name";
/// Annotation with its tag (OCI `annotations.md`).
pub(crate) const TAG: &str = "org.opencontainers.image.ref.name";
const BLOCK: u64 = 512;

/// An image with the names that it has in the archive.
struct Saved {
    image: StoredImage,
    names: Vec<Reference>,
}

impl Engine {
    /// Write images, each by a name or an id, into an archive. A name without a tag means all its
    /// tags; an image that is given by its id has no name in the archive.
    ///
    /// # Errors
    /// When there is no such image, or one is of another platform than `platform`, before anything is
    /// written; [`EngineError::System`] when `output` fails.
    pub fn save(
        &self,
        names: &[String],
        platform: Option<&Platform>,
        output: impl Write,
    ) -> Result<(), EngineError> {
        let images = self.chosen(names)?;
        for saved in &images {
            let name = saved.names.first().map(Reference::familiar);
            let name = name.unwrap_or_else(|| saved.image.id.short());
            fits_platform(&name, &saved.image.image.platform, platform)?;
        }
        let mut archive = Archive {
            output,
            blobs: BTreeSet::new(),
        };
        let mut index = Vec::new();
        let mut list = Vec::new();
        for Saved { image, names } in &images {
            let mut layers = Vec::new();
            for diff_id in &image.image.rootfs.diff_ids {
                let size = archive.layer(self, diff_id)?;
                layers.push(Descriptor {
                    media_type: MEDIA_TYPE_LAYER_TAR.to_owned(),
                    digest: *diff_id,
                    size,
                    platform: None,
                    annotations: std::collections::BTreeMap::new(),
                });
            }
            list.push(json!({
                "Config": blob_path(&image.id),
                "RepoTags": names.iter().map(Reference::familiar).collect::<Vec<_>>(),
                "Layers": layers.iter().map(|layer| blob_path(&layer.digest)).collect::<Vec<_>>(),
            }));
            let config = self.store().config(&image.id)?;
            archive.blob(&config)?;
            let annotations = self.annotations(&image.id)?;
            let bytes = manifest(descriptor(MEDIA_TYPE_CONFIG, &config), layers, annotations)?;
            archive.blob(&bytes)?;
            index.extend(entries(&bytes, image, names));
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MEDIA_TYPE_INDEX,
            "manifests": index,
        });
        archive.document("index.json", &index)?;
        archive.document("manifest.json", &Value::Array(list))?;
        archive.document("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))?;
        archive.finish()
    }

    /// The images that the texts mean, each once, in their order.
    fn chosen(&self, texts: &[String]) -> Result<Vec<Saved>, EngineError> {
        let mut chosen: Vec<Saved> = Vec::new();
        for text in texts {
            for (id, name) in self.meant(text)? {
                let at = chosen.iter().position(|saved| saved.image.id == id);
                let saved = match at {
                    Some(at) => &mut chosen[at],
                    None => {
                        chosen.push(Saved {
                            image: self.store().image(&id)?,
                            names: Vec::new(),
                        });
                        let last = chosen.len() - 1;
                        &mut chosen[last]
                    }
                };
                saved
                    .names
                    .extend(name.filter(|name| !saved.names.contains(name)));
            }
        }
        Ok(chosen)
    }

    fn meant(&self, text: &str) -> Result<Vec<(Digest, Option<Reference>)>, EngineError> {
        let store = self.store();
        let parsed = Reference::parse_untagged(text).ok();
        if let Some(wanted) = parsed.filter(|wanted| wanted.digest().is_none()) {
            let mut found = Vec::new();
            for summary in store.images()? {
                for name in summary.references {
                    let fits = name.domain() == wanted.domain()
                        && name.path() == wanted.path()
                        && name.tag().is_some()
                        && (wanted.tag().is_none() || name.tag() == wanted.tag());
                    if fits {
                        found.push((summary.id, Some(name)));
                    }
                }
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
        match store.resolve(text) {
            Err(StoreError::Reference(_)) => Err(StoreError::NoSuchImage(text.to_owned()).into()),
            result => Ok(vec![(result?, None)]),
        }
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The entries of the index about one image: one a name, or one without a name.
fn entries(manifest: &[u8], image: &StoredImage, names: &[Reference]) -> Vec<Descriptor> {
    let mut entry = descriptor(MEDIA_TYPE_MANIFEST, manifest);
    entry.platform = Some(image.image.platform.clone());
    if names.is_empty() {
        return vec![entry];
    }
    let named = names.iter().map(|name| {
        let mut entry = entry.clone();
        let annotations = &mut entry.annotations;
        annotations.insert(NAME.to_owned(), name.to_string());
        if let Some(tag) = name.tag() {
            annotations.insert(TAG.to_owned(), tag.to_owned());
        }
        entry
    });
    named.collect()
}

/// The tar on its way out.
struct Archive<W> {
    output: W,
    /// What is in it already.
    blobs: BTreeSet<Digest>,
}

impl<W: Write> Archive<W> {
    /// A layer's own archive, unless it is in already; returns its length.
    fn layer(&mut self, engine: &Engine, diff_id: &Digest) -> Result<u64, EngineError> {
        let size = engine.store().archive_size(diff_id)?;
        if !self.blobs.insert(*diff_id) {
            return Ok(size);
        }
        self.header(&blob_path(diff_id), size)?;
        let mut counted = Counted {
            output: &mut self.output,
            count: 0,
        };
        engine.store().write_tar(diff_id, &mut counted)?;
        if counted.count != size {
            return Err(EngineError::invalid(format!(
                "layer {diff_id} has {} bytes, its record says {size}",
                counted.count
            )));
        }
        self.pad(size)?;
        Ok(size)
    }

    fn blob(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        let digest = Digest::of(bytes);
        if self.blobs.insert(digest) {
            self.file(&blob_path(&digest), bytes)?;
        }
        Ok(())
    }

    fn document(&mut self, name: &str, document: &Value) -> Result<(), EngineError> {
        self.file(name, document.to_string().as_bytes())
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), EngineError> {
        let size = bytes.len() as u64;
        self.header(name, size)?;
        self.write(bytes)?;
        self.pad(size)
    }

    fn header(&mut self, name: &str, size: u64) -> Result<(), EngineError> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name).map_err(failed)?;
        header.set_size(size);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        self.write(header.as_bytes())
    }

    fn pad(&mut self, size: u64) -> Result<(), EngineError> {
        let rest = usize::try_from(size.next_multiple_of(BLOCK) - size).unwrap_or_default();
        self.write(&[0; 512][..rest])
    }

    fn finish(mut self) -> Result<(), EngineError> {
        self.write(&[0; 1024])?;
        self.output.flush().map_err(failed)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        self.output.write_all(bytes).map_err(failed)
    }
}

fn failed(error: io::Error) -> EngineError {
    EngineError::system("writing the archive")(error)
}

struct Counted<W> {
    output: W,
    count: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.output.write(bytes)?;
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
