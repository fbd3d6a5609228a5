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
//! found is whole. What nothing refers to is swept by [`Store::collect_garbage`]; what was damaged from
//! outside is found, and mended where that is possible, by [`Store::check`].
//!
//! What is served to others by a registry are its [`Repository`]s, over the same blobs.
//!
//! The store knows no containers: who uses an image is told to it by the caller. It touches no mount
//! table, never talks to a registry, and never follows a link that a layer contains.
#![forbid(unsafe_code)]

mod archive;
mod aside;
mod blob;
mod check;
mod compress;
mod discard;
mod drafts;
mod entries;
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
mod note;
mod overlay;
mod remove;
mod repository;
mod source;
mod store;
mod unpack;
mod usage;
mod walk;
mod xattrs;

pub use blob::{BlobDraft, LayerBlob};
pub use check::{
    CheckReport, CheckStep, Depth, Finding, Mode, Outcome, Part, Remedy, check_format,
};
pub use compress::Codec;
pub use drafts::{DigestedLayer, LayerDraft};
pub use entries::{EntryKind, TreeEntry, tree_entries};
pub use error::{Force, Result, StoreError};
pub use form::{FormChoice, FormPolicy, LayerForm};
pub use garbage::{Freed, Sweep};
pub use image::{ImageSummary, StoredImage};
pub use indexed::LayerRoot;
pub use layer::{Layer, write_live_tree, write_tree};
pub use overlay::OverlayXattrs;
pub use remove::{ImageUser, Removal};
pub use repository::{
    Manifest, NewManifest, Repository, RepositoryName, Served, UPLOAD_AGE, Upload, UploadId,
    UploadState,
};
pub use store::{Hold, Store};
pub use usage::{LayerUsage, Usage};
