//! Images and layers on plain files: floor 1 of the house.
//!
//! A [`Store`] is a directory (its tree is drawn in `layout.rs`). A [`Layer`] is a tree in overlay
//! form named by the digest of its archive (its diff id), and [`Store::open_layer`] gives its root; it
//! begins as a [`LayerDraft`] that somebody fills, or comes out of an archive
//! ([`Store::import_tar`]), or from a registry with the blob that it is there
//! ([`Store::import_layer`]), in one of two forms ([`LayerForm`]). An
//! image is a configuration that names its layers ([`Store::put_image`]); references name images
//! ([`Store::tag`], [`Store::resolve`]).
//!
//! Many processes may use a store at the same time, and each may be killed at any moment: what is
//! found is whole. What nothing refers to is swept by [`Store::collect_garbage`].
//!
//! The store knows no containers: who uses an image is told to it by the caller. It touches no mount
//! table, never talks to a registry, and never follows a link that a layer contains.
#![forbid(unsafe_code)]

mod archive;
mod aside;
mod blob;
mod compress;
mod drafts;
mod erofs;
mod error;
mod form;
mod format;
mod garbage;
mod image;
mod import;
mod indexed;
mod layer;
mod layer_tar;
mod layout;
mod names;
mod overlay;
mod remove;
mod source;
mod store;
mod unpack;
mod usage;
mod walk;
mod xattrs;

pub use blob::{BlobDraft, LayerBlob};
pub use compress::Codec;
pub use drafts::LayerDraft;
pub use error::{Force, Result, StoreError};
pub use form::{FormChoice, FormPolicy, LayerForm};
pub use garbage::{Freed, Sweep};
pub use image::{ImageSummary, StoredImage};
pub use indexed::LayerRoot;
pub use layer::{Layer, write_tree};
pub use overlay::OverlayXattrs;
pub use remove::Removal;
pub use store::{Hold, Store};
pub use usage::{LayerUsage, Usage};
