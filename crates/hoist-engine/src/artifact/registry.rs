//! An artifact under a name in a registry.

use std::io::{self, Read};

use hoist_core::{
    Digester, Platform, Reference,
    image::{Descriptor, MEDIA_TYPE_MANIFEST, Manifest},
};
use hoist_registry::{Pushed, Registry, RegistryError};

use super::{Artifact, Placed};
use crate::error::EngineError;

/// A name in a registry.
#[derive(Debug, Clone)]
pub struct InRegistry {
    registry: Registry,
    reference: Reference,
    platform: Platform,
}

impl InRegistry {
    /// What `reference` means. Nothing is asked yet. Of an index, the manifest for `platform` counts.
    #[must_use]
    pub const fn new(registry: Registry, reference: Reference, platform: Platform) -> Self {
        Self {
            registry,
            reference,
            platform,
        }
    }
}

impl Artifact for InRegistry {
    fn name(&self) -> String {
        self.reference.familiar()
    }

    fn manifest(&self) -> Result<Manifest, EngineError> {
        let resolved = self.registry.resolve(&self.reference, &self.platform);
        Ok(resolved.map_err(told)?.manifest)
    }

    fn blob(
        &self,
        blob: &Descriptor,
        have: u64,
        digester: Digester,
    ) -> Result<Box<dyn Read + Send>, EngineError> {
        let reader = self
            .registry
            .resume_blob(&self.reference, blob, have, digester);
        Ok(Box::new(reader.map_err(told)?))
    }

    fn put_blob(
        &self,
        blob: &Descriptor,
        open: &mut dyn FnMut() -> io::Result<Box<dyn Read>>,
    ) -> Result<Placed, EngineError> {
        let pushed = self.registry.push_blob(&self.reference, blob, open, None);
        Ok(match pushed.map_err(told)? {
            Pushed::Present | Pushed::Mounted => Placed::Before,
            Pushed::Uploaded => Placed::Now,
        })
    }

    fn put_manifest(&self, bytes: &[u8]) -> Result<(), EngineError> {
        self.registry
            .push_manifest(&self.reference, MEDIA_TYPE_MANIFEST, bytes)
            .map(drop)
            .map_err(told)
    }
}

fn told(error: RegistryError) -> EngineError {
    match error {
        RegistryError::Cancelled => EngineError::Cancelled,
        error => error.into(),
    }
}
