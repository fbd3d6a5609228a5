//! Containers, images, volumes and networks as operations on one data root: floor 2 of the house.
//!
//! This is the one place where disk (`hoist-store`), wire (`hoist-registry`), network (`hoist-network`) and runtime
//! (`hoist-runtime`) meet. [`Engine`] is a handle on a data root; every operation is a method of
//! it, in a file of its own. A running container is owned by its [`monitor`], a process of its
//! own; everything else is files, locks and one socket per container ([`root`] draws the trees).
//!
//! The engine never prints, never reads the environment and never exits.
#![forbid(unsafe_code)]

pub mod artifact;
pub mod attach;
pub mod container;
pub mod error;
pub mod image;
pub mod monitor;
pub mod record;
pub mod request;
pub mod root;
pub mod rootless;
pub mod status;
pub mod step;
pub mod system;
pub mod volume;

mod host_files;
mod spec;
mod views;
mod wire;

pub use error::EngineError;
pub use record::Record;
pub use request::CreateRequest;
pub use root::{Engine, Settings};
pub use status::{State, Status};
