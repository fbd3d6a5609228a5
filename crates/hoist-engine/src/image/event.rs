//! What is told about images on their way.

use std::sync::Arc;

use hoist_core::{Digest, Reference};

/// Receives what happens, from any thread.
pub type Listener = Arc<dyn Fn(&ImageEvent) + Send + Sync>;

/// A [`Listener`], lent.
pub(crate) type Events<'a> = &'a Listener;

/// Something that happened to an image on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageEvent {
    /// An image is being pulled.
    Pulling(Reference),
    /// An image is being pushed.
    Pushing(Reference),
    /// A layer of it got on.
    Layer {
        /// The layer: by its blob when it is pulled, by its diff id otherwise.
        layer: Digest,
        /// Where it is now.
        state: LayerState,
    },
}

/// Where a layer is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerState {
    /// Its turn will come.
    Waiting,
    /// The store has it.
    Present,
    /// Its blob is being fetched and unpacked.
    Downloading {
        /// Bytes that are here.
        done: u64,
        /// All bytes.
        total: u64,
    },
    /// Its whole blob was fetched.
    Downloaded,
    /// It is in the store.
    Pulled,
    /// It is being compressed.
    Compressing {
        /// Bytes of its archive that went in.
        done: u64,
        /// All bytes; 0 where that is not known.
        total: u64,
    },
    /// Its blob is being sent.
    Pushing {
        /// Bytes that were sent.
        done: u64,
        /// All bytes.
        total: u64,
    },
    /// The registry has its blob now.
    Pushed,
    /// The registry took its blob from another repository of its own.
    Mounted(String),
    /// The registry had its blob already.
    Known,
}

/// How many layers are on their way at the same time.
pub(crate) const PARALLEL: usize = 4;
