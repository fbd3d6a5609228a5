//! Artifacts: an OCI manifest with the blobs that it names, in a directory or in a registry.
//!
//! What is no image, a build cache for one, goes the way that images go: the same blobs, verified by
//! the same digests, and never sent where they are already. [`LayoutDirectory`] is a directory in the
//! form of an OCI image layout, [`InRegistry`] a name in a registry; whoever has an [`Artifact`] need
//! not know which.

mod blobs;
mod layout;
mod registry;

pub use blobs::{AbsentLayer, LayerForm, Outgoing};
pub use layout::LayoutDirectory;
pub use registry::InRegistry;

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Read},
};

use hoist_core::{
    Digest, Digester,
    image::{Descriptor, Manifest},
};
use hoist_registry::RegistryError;

use crate::{
    error::EngineError,
    image::{descriptor, manifest},
};

/// A place for one manifest and the blobs that it names. Several threads may use it at once.
pub trait Artifact: fmt::Debug + Send + Sync {
    /// What messages call the place.
    fn name(&self) -> String;

    /// The manifest that is there.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    fn manifest(&self) -> Result<Manifest, EngineError>;

    /// A blob from byte `have` on; what is before it went through `digester`. Never more than the
    /// descriptor's bytes come out, and the end only when the digest of all is right.
    ///
    /// # Errors
    /// When it is not there or cannot be opened; what happens later comes out of the reader.
    fn blob(
        &self,
        blob: &Descriptor,
        have: u64,
        digester: Digester,
    ) -> Result<Box<dyn Read + Send>, EngineError>;

    /// See to it that a blob is there. `open` gives its bytes, from the first one each time, and is
    /// not called where the blob is already.
    ///
    /// # Errors
    /// When the bytes are not what the descriptor says, cannot be read, or cannot be written.
    fn put_blob(
        &self,
        blob: &Descriptor,
        open: &mut dyn FnMut() -> io::Result<Box<dyn Read>>,
    ) -> Result<Placed, EngineError>;

    /// Put the manifest in its place, once everything that it names is there.
    ///
    /// # Errors
    /// When it cannot be written.
    fn put_manifest(&self, bytes: &[u8]) -> Result<(), EngineError>;
}

/// How a blob came to be in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// It was there.
    Before,
    /// Its bytes were written.
    Now,
}

/// A blob of at most `limit` bytes, whole and verified.
///
/// # Errors
/// [`EngineError::Invalid`] for a longer one; otherwise the place's.
pub fn small_blob(
    artifact: &dyn Artifact,
    blob: &Descriptor,
    limit: u64,
) -> Result<Vec<u8>, EngineError> {
    if blob.size > limit {
        return Err(EngineError::invalid(format!(
            "{} of {} has {} bytes; at most {limit} are read",
            blob.media_type,
            artifact.name(),
            blob.size
        )));
    }
    let mut bytes = Vec::new();
    artifact
        .blob(blob, 0, Digester::new())?
        .read_to_end(&mut bytes)
        .map_err(of_io)?;
    Ok(bytes)
}

/// Put a configuration of type `media_type` and the manifest of it and `layers`, which are there
/// already. The digest of the manifest.
///
/// # Errors
/// The place's.
pub fn publish(
    artifact: &dyn Artifact,
    media_type: &str,
    config: &[u8],
    layers: Vec<Descriptor>,
) -> Result<Digest, EngineError> {
    let blob = descriptor(media_type, config);
    let mut open =
        || -> io::Result<Box<dyn Read>> { Ok(Box::new(io::Cursor::new(config.to_vec()))) };
    artifact.put_blob(&blob, &mut open)?;
    let manifest = manifest(blob, layers, BTreeMap::new())?;
    artifact.put_manifest(&manifest)?;
    Ok(Digest::of(&manifest))
}

/// The error that a blob's reader gave; where the registry is behind it, that one.
fn of_io(error: io::Error) -> EngineError {
    match error.downcast::<RegistryError>() {
        Ok(RegistryError::Cancelled) => EngineError::Cancelled,
        Ok(error) => error.into(),
        Err(error) => EngineError::system("reading a blob")(error),
    }
}
