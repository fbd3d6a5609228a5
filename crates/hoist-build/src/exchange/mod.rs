//! The build cache of other machines: `--cache-from` and `--cache-to`.
//!
//! What goes out ([`send`]) is an OCI artifact: the layers of the steps, compressed once as for a
//! push, and a configuration of hoist's own ([`document`]) with the records of the steps, as the
//! cache keeps them (the parts of each key, and the layer), the trail of the build, and the cache
//! mounts that were asked for ([`mounts`]). The inline form is the same document within the
//! configuration of the image.
//!
//! What comes in ([`elsewhere`]) is at first that document alone. A step whose key has a record in it
//! is cached; its layer is fetched when something stands on it: a later step that runs, or the image.
//! A layer that cannot be had, or is not what it should be, is lost: its steps are done again, as if
//! the document had not named it.
//!
//! A cache is believed as far as a base image is: whoever writes it decides what is in the layers.
//! What it cannot do is to be taken for something else than it is: the key of a record is computed
//! from its parts, and every layer is verified twice, as a blob and as an archive.

pub(crate) mod document;
pub(crate) mod elsewhere;
pub(crate) mod mounts;
pub(crate) mod send;

use std::sync::Arc;

use hoist_engine::artifact::{Artifact, LayerForm};

/// One `--cache-to`.
#[derive(Debug, Clone)]
pub struct CacheExport {
    /// Where it goes.
    pub to: CacheTarget,
    /// Which layers go.
    pub mode: CacheMode,
    /// Which cache mounts go.
    pub mounts: CacheMounts,
    /// How layers are compressed.
    pub form: LayerForm,
    /// A failure is a warning.
    pub ignores_errors: bool,
}

/// Where a cache goes.
#[derive(Debug, Clone)]
pub enum CacheTarget {
    /// Into the configuration of the image.
    Inline,
    /// Into an artifact of its own.
    Artifact(Arc<dyn Artifact>),
}

/// Which layers are exported. The records of all steps always are: a step whose layer nothing needs is
/// cached without it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheMode {
    /// Those of the image.
    #[default]
    Min,
    /// Those of all steps.
    Max,
}

/// Which cache mounts are exported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CacheMounts {
    /// None.
    #[default]
    None,
    /// Those of all steps of the build.
    All,
    /// Those of these ids.
    Only(Vec<String>),
}
