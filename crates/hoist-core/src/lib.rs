//! The vocabulary of hoist: pure values, floor 0 of the house.
//!
//! Names, ids, digests, the documents of the OCI specifications, units, the kinds of errors and
//! the events of long operations live here. Nothing in this crate reads a file, a clock or the
//! environment; everything can be tested without a machine around it.
#![forbid(unsafe_code)]

pub mod digest;
pub mod duration;
pub mod env;
pub mod error;
pub mod event;
pub mod gotemplate;
pub mod health;
pub mod id;
pub mod image;
pub mod mount;
pub mod name;
pub mod pattern;
pub mod percent;
pub mod platform;
pub mod port;
pub mod reference;
pub mod signal;
pub mod spec;
pub mod table;
pub mod time;
pub mod units;

pub use digest::{Digest, Digester};
pub use error::{Describe, Kind};
pub use id::ContainerId;
pub use platform::Platform;
pub use reference::Reference;
