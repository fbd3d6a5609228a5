//! Where everything lies below the root of the store.
//!
//! ```text
//! $HOIST_ROOT/
//!   format.json                     version and features (format.rs)
//!   lock                            the store lock (lock order: below)
//!   blobs/sha256/<hex>              content named by its digest: image configurations, forms of layers
//!   images/<hex>.json               one image: its layers with their sizes, what listings show
//!   manifests/<hex>.json            the manifest of that image, as a registry has it
//!   names/<domain>/<path…>/         one repository
//!     _tags/<tag>                   one reference: which image it means
//!     _digests/<hex>
//!   layers/<hex of the diff id>/    one layer
//!     layer.json                    its size and form, and whether it has reached the disk
//!     tree/                         unpacked: the directory in overlay form
//!     layer.tar layer.erofs         indexed: the archive as it came, and the index over it; and a
//!                                   tree/ (or tree-of-user/) where it could not be mounted once
//!     blobs/<hex>.json              one form of it: its blob, as it came or was compressed
//!   registry/<path…>/               one repository that is served to others (repository.rs)
//!     <name>.json                   what somebody has found out about it (note.rs)
//!   downloads/<hex>[.lock]          a blob on its way; what a killed pull has left of it
//!   quarantine/                     what a repair took out of the store (check/)
//!   drafts/<pid>-<number>/          what one process is making; gone with it
//!     lock                          held as long as that process lives
//!     keeps/<hex>                   layers and images that it relies on: nobody may sweep them
//!     <number>/{tree,work}/         a layer in the making
//! ```
//!
//! A component of a repository's path never begins with `_`, so `_tags` and `_digests` are free.
//!
//! **Locks.** `lock` is held shared by whoever adds something that others may refer to, and
//! exclusively by whoever takes something away. `drafts/*/lock` comes after it. `downloads/*.lock`
//! comes before it, and is only tried by who has it. Reading takes no
//! lock: what is found was whole, and what has just been removed is not found.
//!
//! **Order.** What refers comes last when adding (layers, blob, image, name) and first when
//! removing; so a crash leaves at most things that nothing refers to.

use std::path::{Path, PathBuf};

use hoist_core::{Digest, Reference};

/// Paths below the root of a store.
#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn format(&self) -> PathBuf {
        self.root.join("format.json")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    pub(crate) fn image(&self, id: &Digest) -> PathBuf {
        self.root.join(format!("images/{}.json", id.hex()))
    }

    pub(crate) fn manifests(&self) -> PathBuf {
        self.root.join("manifests")
    }

    /// The manifest of an image.
    pub(crate) fn manifest(&self, id: &Digest) -> PathBuf {
        self.root.join(format!("manifests/{}.json", id.hex()))
    }

    pub(crate) fn names(&self) -> PathBuf {
        self.root.join("names")
    }

    /// The file of a reference; `None` when it has neither tag nor digest.
    pub(crate) fn name(&self, reference: &Reference) -> Option<PathBuf> {
        let repository = self.names().join(reference.domain()).join(reference.path());
        // A digest says more than a tag beside it.
        match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Some(repository.join("_digests").join(digest.hex())),
            (None, Some(tag)) => Some(repository.join("_tags").join(tag)),
            (None, None) => None,
        }
    }

    pub(crate) fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    pub(crate) fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.layers().join(diff_id.hex())
    }

    /// The repositories that are served.
    pub(crate) fn registry(&self) -> PathBuf {
        self.root.join("registry")
    }

    pub(crate) fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(crate) fn drafts(&self) -> PathBuf {
        self.root.join("drafts")
    }

    /// The directories of an empty store.
    pub(crate) fn directories(&self) -> [PathBuf; 5] {
        [
            self.blobs(),
            self.images(),
            self.names(),
            self.layers(),
            self.drafts(),
        ]
    }
}

/// The directory in overlay form within a layer or draft.
pub(crate) const TREE: &str = "tree";
/// The same of an indexed layer that an ordinary user had to unpack.
pub(crate) const USER_TREE: &str = "tree-of-user";
/// The archive of an indexed layer.
pub(crate) const TAR: &str = "layer.tar";
/// The index over it.
pub(crate) const INDEX: &str = "layer.erofs";
/// The working directory of overlayfs within a draft.
pub(crate) const WORK: &str = "work";
/// The records of a layer's forms.
pub(crate) const BLOBS: &str = "blobs";
/// The record within a layer.
pub(crate) const LAYER_RECORD: &str = "layer.json";

/// The digest that a file is named after: `<hex>` or `<hex>.json`.
pub(crate) fn digest_of_name(path: &Path) -> Option<Digest> {
    let name = path.file_name()?.to_str()?;
    Digest::from_hex(name.strip_suffix(".json").unwrap_or(name)).ok()
}
