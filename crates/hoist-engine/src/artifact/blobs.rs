//! Layers of the store as blobs of artifacts, and back.

use std::{
    fmt,
    io::{self, Read},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use hoist_core::{
    Digest,
    image::{Descriptor, MEDIA_TYPE_LAYER_TAR},
};
use hoist_store::Codec;

use super::{Artifact, Placed};
use crate::{
    error::EngineError,
    image::{ImageEvent, Listener, Wanted, parallel},
    root::Engine,
};

/// In which form a layer is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LayerForm {
    /// In any compressed form that it has; gzip where it has none.
    #[default]
    Any,
    /// In this compression.
    Compressed(Codec),
    /// As a plain tar.
    Plain,
}

/// A layer that an artifact has and the store has not.
#[derive(Debug, Clone)]
pub struct AbsentLayer {
    /// Where it is.
    pub artifact: Arc<dyn Artifact>,
    /// The blob that it is there.
    pub blob: Descriptor,
    /// What the store will call it.
    pub diff_id: Digest,
}

/// A blob on its way to an artifact.
pub struct Outgoing<'a> {
    /// What it is.
    pub blob: Descriptor,
    /// Its bytes, from the first one.
    pub open: Box<dyn Fn() -> io::Result<Box<dyn Read>> + Send + Sync + 'a>,
}

impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("blob", &self.blob)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Fetch layers into the store, several at the same time, each verified as a blob and as a layer.
    /// Those that cannot be had are returned, with why.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`] once `cancelled` is set.
    pub fn fetch_layers(
        &self,
        layers: &[AbsentLayer],
        cancelled: &AtomicBool,
    ) -> Result<Vec<(Digest, EngineError)>, EngineError> {
        let failures = Mutex::new(Vec::new());
        parallel::for_each(layers, &|layer, _| {
            let is_stopped = || cancelled.load(Ordering::Relaxed);
            let wanted = Wanted {
                blob: &layer.blob,
                diff_id: layer.diff_id,
            };
            match self.fetch_layer(&*layer.artifact, &wanted, &|_| {}, &is_stopped) {
                Err(EngineError::Cancelled) => Err(EngineError::Cancelled),
                Err(_) if is_stopped() => Err(EngineError::Cancelled),
                Err(error) => {
                    let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                    failures.push((layer.diff_id, error));
                    Ok(())
                }
                Ok(()) => Ok(()),
            }
        })?;
        Ok(failures
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner))
    }

    /// The blob that a layer of the store is in this form, compressed now if it has none.
    ///
    /// # Errors
    /// The store's.
    pub fn layer_descriptor(
        &self,
        diff_id: &Digest,
        form: LayerForm,
    ) -> Result<Descriptor, EngineError> {
        let silent: Listener = Arc::new(|_: &ImageEvent| {});
        match form {
            LayerForm::Any => self.form(*diff_id, None, &silent),
            LayerForm::Compressed(codec) => self.form(*diff_id, Some(codec), &silent),
            LayerForm::Plain => Ok(Descriptor {
                media_type: MEDIA_TYPE_LAYER_TAR.to_owned(),
                digest: *diff_id,
                size: self.store().archive_size(diff_id)?,
                platform: None,
                annotations: std::collections::BTreeMap::new(),
            }),
        }
    }

    /// The bytes of what [`layer_descriptor`](Self::layer_descriptor) described. A plain tar is
    /// written to a file without a name first.
    ///
    /// # Errors
    /// The store's.
    pub fn open_layer(
        &self,
        diff_id: &Digest,
        blob: &Descriptor,
    ) -> Result<Box<dyn Read>, EngineError> {
        if blob.digest != *diff_id {
            return Ok(Box::new(self.store().open_blob(&blob.digest)?));
        }
        let mut draft = self.store().begin_blob()?;
        self.store().write_tar(diff_id, &mut draft)?;
        // The file lives as long as it is open.
        Ok(Box::new(draft.reader()?))
    }

    /// Put blobs into an artifact, several at the same time. `told` hears of each that is there.
    ///
    /// # Errors
    /// The first failure; what has not begun then does not begin, and neither does it once
    /// `cancelled` is set.
    pub fn put_blobs(
        &self,
        artifact: &dyn Artifact,
        blobs: &[Outgoing<'_>],
        cancelled: &AtomicBool,
        told: &(dyn Fn(&Descriptor, Placed) + Sync),
    ) -> Result<(), EngineError> {
        parallel::for_each(blobs, &|outgoing, stop| {
            if cancelled.load(Ordering::Relaxed) {
                return Err(EngineError::Cancelled);
            }
            let mut open = || {
                if stop.load(Ordering::Relaxed) {
                    return Err(io::Error::other("another blob could not be sent"));
                }
                (outgoing.open)()
            };
            let placed = artifact.put_blob(&outgoing.blob, &mut open)?;
            told(&outgoing.blob, placed);
            Ok(())
        })
    }

    /// The same for blobs that may as well be left out: those that could not be put are returned,
    /// with why.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`].
    pub fn offer_blobs(
        &self,
        artifact: &dyn Artifact,
        blobs: &[Outgoing<'_>],
        cancelled: &AtomicBool,
        told: &(dyn Fn(&Descriptor, Placed) + Sync),
    ) -> Result<Vec<(Digest, EngineError)>, EngineError> {
        let failures = Mutex::new(Vec::new());
        parallel::for_each(blobs, &|outgoing, _| {
            let one = std::slice::from_ref(outgoing);
            match self.put_blobs(artifact, one, cancelled, told) {
                Err(EngineError::Cancelled) => Err(EngineError::Cancelled),
                Err(_) if cancelled.load(Ordering::Relaxed) => Err(EngineError::Cancelled),
                Err(error) => {
                    let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                    failures.push((outgoing.blob.digest, error));
                    Ok(())
                }
                Ok(()) => Ok(()),
            }
        })?;
        Ok(failures
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner))
    }
}
