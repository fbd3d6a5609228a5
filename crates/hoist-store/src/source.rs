//! Where images came from: the manifest of an image as its registry has it, and what a name means
//! there.

use hoist_core::{Digest, Reference};
use hoist_sys::atomic::{self, Durability};

use crate::{
    error::{Result, StoreError},
    store::Store,
};

impl Store {
    /// Keep the manifest under which an image was pulled or pushed, byte for byte: the next push
    /// sends the same.
    ///
    /// # Errors
    /// [`StoreError::NoSuchImage`], [`StoreError::File`].
    pub fn put_manifest(&self, image: &Digest, manifest: &[u8]) -> Result<()> {
        let hold = self.hold()?;
        if !self.has_image(image)? {
            return Err(StoreError::NoSuchImage(image.to_string()));
        }
        let path = self.layout().manifest(image);
        let directory = self.layout().manifests();
        std::fs::create_dir_all(&directory)
            .map_err(StoreError::file("make the directory", &directory))?;
        atomic::write(&path, manifest, 0o644, Durability::Whole)
            .map_err(StoreError::file("write", &path))?;
        drop(hold);
        Ok(())
    }

    /// The manifest under which an image was last pulled or pushed.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn manifest(&self, image: &Digest) -> Result<Option<Vec<u8>>> {
        let path = self.layout().manifest(image);
        match atomic::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::file("read", &path)(error)),
        }
    }

    /// `repository@digest` for every name of the image that a registry knows, once each.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Damaged`].
    pub fn repository_digests(&self, image: &Digest) -> Result<Vec<Reference>> {
        let mut found = Vec::new();
        for (reference, id) in self.names()? {
            let digest = match reference.digest() {
                Some(digest) => Some(digest),
                None => self.registry_digest(&reference)?,
            };
            if let (true, Some(digest)) = (id == *image, digest) {
                let text = format!("{}/{}@{digest}", reference.domain(), reference.path());
                let reference = Reference::parse_untagged(&text)?;
                if !found.contains(&reference) {
                    found.push(reference);
                }
            }
        }
        Ok(found)
    }
}
