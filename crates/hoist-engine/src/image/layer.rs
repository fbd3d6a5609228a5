//! One layer from elsewhere into the store: fetched, verified, inflated and unpacked in one pass.

use std::{
    io::{self, Read},
    time::Duration,
};

use hoist_core::{Digest, image::Descriptor};
use hoist_registry::RegistryError;
use hoist_store::{BlobDraft, StoreError};

use super::event::LayerState;
use crate::{artifact::Artifact, error::EngineError, root::Engine};

/// Between two looks at a blob that another process fetches.
const LOOK: Duration = Duration::from_millis(50);
/// The least that is fetched between two words about it.
const STEP: u64 = 256 * 1024;

/// A layer to fetch.
pub(crate) struct Wanted<'a> {
    pub(crate) blob: &'a Descriptor,
    pub(crate) diff_id: Digest,
}

/// Hears how far a layer is.
pub(crate) type Told<'a> = &'a (dyn Fn(LayerState) + Sync);

impl Engine {
    /// See to it that the store has a layer, out of `origin` where it is not here. What has arrived
    /// of it survives an interruption.
    pub(crate) fn fetch_layer(
        &self,
        origin: &dyn Artifact,
        layer: &Wanted<'_>,
        told: Told<'_>,
        is_stopped: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), EngineError> {
        let store = self.store();
        let draft = loop {
            if store.is_whole_layer(&layer.diff_id)? && store.keep_layer(&layer.diff_id).is_ok() {
                told(LayerState::Present);
                return Ok(());
            }
            if is_stopped() {
                return Err(EngineError::Cancelled);
            }
            match store.try_begin_blob(&layer.blob.digest)? {
                // Whoever had it before may have finished it.
                Some(draft) if !store.is_whole_layer(&layer.diff_id)? => break draft,
                Some(draft) => draft.discard()?,
                None => std::thread::sleep(LOOK),
            }
        };
        let draft = self.sound(draft, layer)?;
        let have = draft.length();
        let rest = Watched {
            blob: origin.blob(layer.blob, have, draft.digester().clone())?,
            total: layer.blob.size,
            done: have,
            announced: have,
            told,
            is_stopped,
        };
        let media_type = &layer.blob.media_type;
        store
            .import_layer(draft, rest, media_type, Some(&layer.diff_id))
            .map_err(of_store)?;
        told(LayerState::Pulled);
        Ok(())
    }

    /// A draft that can be gone on with: one that is longer than the blob is begun again.
    fn sound(&self, draft: BlobDraft, layer: &Wanted<'_>) -> Result<BlobDraft, EngineError> {
        if draft.length() <= layer.blob.size {
            return Ok(draft);
        }
        draft.discard()?;
        self.store()
            .try_begin_blob(&layer.blob.digest)?
            .ok_or(EngineError::Cancelled)
    }
}

/// An error of the store; where the registry is behind it, that one.
fn of_store(error: StoreError) -> EngineError {
    let StoreError::Input { offset, source } = error else {
        return error.into();
    };
    match source.downcast::<RegistryError>() {
        Ok(RegistryError::Cancelled) => EngineError::Cancelled,
        Ok(error) => error.into(),
        Err(source) => StoreError::Input { offset, source }.into(),
    }
}

/// A blob that is told about while it is read.
struct Watched<'a> {
    blob: Box<dyn Read + Send>,
    total: u64,
    done: u64,
    /// How far it was when it was told about; `u64::MAX` once its end was.
    announced: u64,
    told: Told<'a>,
    is_stopped: &'a (dyn Fn() -> bool + Sync),
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.is_stopped)() {
            return Err(io::Error::other("another layer could not be fetched"));
        }
        let count = self.blob.read(buffer)?;
        self.done += count as u64;
        if count == 0 && self.announced != u64::MAX {
            (self.told)(LayerState::Downloaded);
            self.announced = u64::MAX;
        } else if count > 0 && self.done - self.announced >= STEP {
            self.announced = self.done;
            let (done, total) = (self.done, self.total);
            (self.told)(LayerState::Downloading { done, total });
        }
        Ok(count)
    }
}
