//! Servers over HTTP: floor 4 of the house, and the only crate with an event loop.
//!
//! [`registry`] speaks the OCI distribution specification over a store's repositories.
//!
//! The crate reads no environment and prints nothing: where to listen and whom to trust are
//! options, what happens is told as events, and signals are the caller's, who holds a handle to
//! stop or reload a server. Nothing of the event loop exists before a server runs. Work on files,
//! digests and passwords is done on threads beside it, never on the loop.
#![forbid(unsafe_code)]

mod error;
pub mod registry;

pub use error::{ApiError, Result};
