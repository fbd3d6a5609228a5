//! What the tests share: a registry that plays a script, real ones, and clients for them.
#![allow(dead_code, reason = "each test binary uses some of it")]
#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

pub(crate) mod debian;
pub(crate) mod scripted;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use hoist_core::{Digest, Reference, image::Descriptor};
use hoist_registry::{Credential, Options, Registry, RegistryEvent, Retries, Secret, Timeouts};

/// Events, as they came.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<Vec<RegistryEvent>>>);

impl Events {
    pub(crate) fn all(&self) -> Vec<RegistryEvent> {
        self.0.lock().unwrap().clone()
    }
}

/// Options of an impatient client that keeps its events.
pub(crate) fn options() -> (Options, Events) {
    let events = Events::default();
    let keep = events.clone();
    let options = Options {
        retries: Retries {
            attempts: 4,
            first_wait: Duration::from_millis(2),
            longest_wait: Duration::from_secs(5),
        },
        timeouts: Timeouts {
            stall: Duration::from_secs(20),
            ..Timeouts::default()
        },
        events: Some(Arc::new(move |event: &RegistryEvent| {
            keep.0.lock().unwrap().push(event.clone());
        })),
        ..Options::default()
    };
    (options, events)
}

pub(crate) fn client() -> (Registry, Events) {
    let (options, events) = options();
    (Registry::new(options).unwrap(), events)
}

pub(crate) fn password(username: &str, password: &str) -> Credential {
    Credential::Password {
        username: username.to_owned(),
        password: Secret::new(password),
    }
}

pub(crate) fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

/// Bytes that repeat nowhere soon.
pub(crate) fn content(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes.push(state.to_le_bytes()[1]);
    }
    bytes
}

pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        platform: None,
        annotations: Default::default(),
    }
}

pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
