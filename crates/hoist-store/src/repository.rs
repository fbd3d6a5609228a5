//! What a registry serves from this store: repositories, over the same blobs.
//!
//! ```text
//! $HOIST_ROOT/registry/<path…>/       one repository: me/app
//!   _lock                             held by who changes its manifests and tags
//!   _blobs/<hex>                      it has this blob of blobs/sha256: an empty file
//!   _manifests/<hex>.json             it has this manifest: its type, what it names, its subject
//!   _tags/<tag>                       one tag: the digest of the manifest that it means
//!   _referrers/<hex>/<hex>.json       the second manifest has the first as its subject: its descriptor
//!   _uploads/<id>/data                a blob on its way, and what has arrived of it
//!                 lock                held by the request that writes to it
//! ```
//!
//! A component of a repository's path never begins with `_`, so these names are free.
//!
//! A repository has the blobs that were pushed to it or mounted into it, and no others: that the
//! store holds a blob for one of its own images shows it to nobody. Any number of processes may
//! serve one store.
//!
//! **Order.** As everywhere in the store, what refers comes last when adding (blob, link, manifest,
//! tag) and first when removing. Whoever adds holds the store, so that no collection sees half of
//! it; manifests and tags are changed by one at a time, under the repository's lock, which comes
//! after the store's.
//!
//! **Collecting.** A blob is needed as long as a manifest of the repository names it. One that none
//! names is kept for a day since it was last pushed, mounted or asked for (the time of its link),
//! because a push brings the manifest last. A manifest is kept until it is deleted, also without a
//! tag: people pin digests. What a deletion has made useless carries the beginning of time
//! ([`RELEASED`]), and goes with the next collection unless something else needs it or it is pushed
//! again before: a manifest whose last tag was deleted, manifests about one that was deleted
//! (signatures) or that a deleted index listed, and the blobs that all these named.

mod blob;
mod manifest;
mod name;
mod tidy;
mod upload;

use std::{
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use hoist_core::Digest;
use hoist_sys::lock::Lock;

pub(crate) use self::tidy::{Tidying, served};
pub use self::{
    blob::Served,
    manifest::{Manifest, NewManifest},
    name::RepositoryName,
    upload::{UPLOAD_AGE, Upload, UploadId, UploadState},
};
use crate::{
    drafts::list,
    error::{Result, StoreError},
    layout::Layout,
    store::Store,
};

const LOCK: &str = "_lock";
const BLOBS: &str = "_blobs";
const MANIFESTS: &str = "_manifests";
const TAGS: &str = "_tags";
const REFERRERS: &str = "_referrers";
const UPLOADS: &str = "_uploads";

/// The time of what a deletion has made useless.
const RELEASED: SystemTime = SystemTime::UNIX_EPOCH;

/// One repository, whether there is anything in it or not.
#[derive(Debug, Clone)]
pub struct Repository {
    store: Store,
    name: RepositoryName,
    directory: PathBuf,
}

impl Store {
    /// The repository of this name; looks at nothing.
    #[must_use]
    pub fn repository(&self, name: &RepositoryName) -> Repository {
        Repository {
            store: self.clone(),
            name: name.clone(),
            directory: self.layout().registry().join(name.as_str()),
        }
    }

    /// The names of the repositories that have a manifest, in the order of their bytes.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn repositories(&self) -> Result<Vec<RepositoryName>> {
        let mut names = Vec::new();
        for (name, _) in repositories(self.layout())? {
            if self.repository(&name).exists()? {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// A repository that has this blob.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn repository_with(&self, blob: &Digest) -> Result<Option<Repository>> {
        for (name, _) in repositories(self.layout())? {
            let repository = self.repository(&name);
            if repository.blob(blob)?.is_some() {
                return Ok(Some(repository));
            }
        }
        Ok(None)
    }
}

impl Repository {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// Whether it has a manifest.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn exists(&self) -> Result<bool> {
        Ok(!self.digests_in(MANIFESTS)?.is_empty())
    }

    fn path(&self, kind: &str) -> PathBuf {
        self.directory.join(kind)
    }

    /// The digests that the files of one kind are named after, in their order.
    fn digests_in(&self, kind: &str) -> Result<Vec<Digest>> {
        digests_in(&self.path(kind))
    }

    /// The directory of one kind, made when it is absent. The store must be held.
    fn make(&self, kind: &str) -> Result<PathBuf> {
        let path = self.path(kind);
        std::fs::create_dir_all(&path).map_err(StoreError::file("make the directory", &path))?;
        Ok(path)
    }

    /// Wait until nobody else changes manifests and tags. The store must be held.
    fn turn(&self) -> Result<Lock> {
        let path = self.path(LOCK);
        let locked = match Lock::exclusive(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let directory = &self.directory;
                std::fs::create_dir_all(directory)
                    .map_err(StoreError::file("make the directory", directory))?;
                Lock::exclusive(&path)
            }
            locked => locked,
        };
        locked.map_err(StoreError::file("lock", &path))
    }
}

/// All repositories with their directories, also those that hold only blobs, in the order of their
/// names.
fn repositories(layout: &Layout) -> Result<Vec<(RepositoryName, PathBuf)>> {
    let root = layout.registry();
    let mut found = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        let mut is_repository = false;
        for path in list(&directory)? {
            let leaf = path.file_name().unwrap_or_default().as_encoded_bytes();
            if leaf.starts_with(b"_") {
                is_repository = true;
            } else if path.is_dir() {
                directories.push(path);
            }
        }
        let name = directory.strip_prefix(&root).ok().and_then(Path::to_str);
        if let Some(Ok(name)) = name.map(str::parse)
            && is_repository
        {
            found.push((name, directory));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The digests that the files of a directory are named after, in their order.
fn digests_in(directory: &Path) -> Result<Vec<Digest>> {
    let mut digests: Vec<_> = list(directory)?
        .iter()
        .filter_map(|path| crate::layout::digest_of_name(path))
        .collect();
    digests.sort_unstable();
    Ok(digests)
}

/// When a file was last written or asked for; [`RELEASED`] for one that cannot be looked at.
fn modified(path: &Path) -> SystemTime {
    let found = std::fs::symlink_metadata(path).and_then(|found| found.modified());
    found.unwrap_or(RELEASED)
}

/// Give a file this time; one that is gone has none.
fn set_modified(path: &Path, time: SystemTime) -> Result<()> {
    let open = std::fs::File::options().write(true).open(path);
    match open.and_then(|file| file.set_modified(time)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(StoreError::file("set the time of", path)),
    }
}
