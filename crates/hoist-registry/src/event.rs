//! What a registry operation tells while it runs.

use std::time::Duration;

/// Something that the user may want to know, and that is no failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryEvent {
    /// An attempt failed; another one follows.
    Retrying {
        /// What is tried: `Get "https://registry.example/v2/…"`.
        action: String,
        /// Why the last attempt failed.
        reason: String,
        /// The number of the coming attempt, from 2.
        attempt: u32,
        /// How long is waited before it.
        after: Duration,
    },
    /// A connection broke in the middle of a blob, which goes on from where it was.
    Resuming {
        /// The blob, and where from: `sha256:… from https://registry.example`.
        what: String,
        /// Bytes that are there already.
        offset: u64,
    },
    /// A mirror was of no use; the next one or the registry itself is asked.
    MirrorFailed {
        /// The mirror's address.
        mirror: String,
        /// Why.
        reason: String,
    },
    /// The registry counts requests.
    RateLimit {
        /// Who counts.
        registry: String,
        /// Requests allowed in the window.
        limit: u64,
        /// Requests left.
        remaining: u64,
        /// The length of the window, where told.
        window: Option<Duration>,
    },
}
