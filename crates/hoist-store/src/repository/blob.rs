//! The blobs of a repository.

use std::{
    fs::File,
    io,
    time::{Duration, SystemTime},
};

use hoist_core::Digest;
use hoist_sys::atomic::{self, Durability};

use super::{BLOBS, RELEASED, Repository, modified, set_modified};
use crate::{
    error::{Result, StoreError},
    remove::remove_file,
};

/// How old the time of a link must be for it to be brought up to date.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// A blob or manifest that may be sent.
#[derive(Debug)]
pub struct Served {
    /// Its content, at the first byte.
    pub file: File,
    /// Bytes.
    pub size: u64,
}

impl Repository {
    /// A blob that this repository has.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn blob(&self, digest: &Digest) -> Result<Option<Served>> {
        if modified_if_there(&self.path(BLOBS).join(digest.hex()))?.is_none() {
            return Ok(None);
        }
        self.open(digest)
    }

    /// The same for somebody who may be about to push a manifest that names it: a collection keeps
    /// it for a while.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::File`].
    pub fn wanted_blob(&self, digest: &Digest) -> Result<Option<Served>> {
        let path = self.path(BLOBS).join(digest.hex());
        let Some(time) = modified_if_there(&path)? else {
            return Ok(None);
        };
        if time.elapsed().is_ok_and(|age| age < FRESH) {
            return self.open(digest);
        }
        // A collection may be about to take the link: what it leaves is kept from then on.
        let _hold = self.store.hold()?;
        set_modified(&path, SystemTime::now())?;
        self.blob(digest)
    }

    /// Let this repository have a blob that another one has; false when that does not have it.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::File`].
    pub fn mount_blob(&self, digest: &Digest, from: &Self) -> Result<bool> {
        let _hold = self.store.hold()?;
        if from.blob(digest)?.is_none() {
            return Ok(false);
        }
        self.link(digest)?;
        Ok(true)
    }

    /// Take a blob from this repository; false when it does not have it. Manifests that name it
    /// stay, and cannot be pulled whole any more.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::File`].
    pub fn delete_blob(&self, digest: &Digest) -> Result<bool> {
        let _hold = self.store.hold()?;
        if self.blob(digest)?.is_none() {
            return Ok(false);
        }
        let _turn = self.turn()?;
        remove_file(&self.path(BLOBS).join(digest.hex()))?;
        Ok(true)
    }

    /// Say that this repository has a blob that is in its place. The store must be held.
    pub(super) fn link(&self, digest: &Digest) -> Result<()> {
        let path = self.make(BLOBS)?.join(digest.hex());
        atomic::write(&path, b"", 0o644, Durability::Volatile)
            .map_err(StoreError::file("create", &path))
    }

    /// Say that no manifest of this repository needs a blob any more.
    pub(super) fn release_blob(&self, digest: &Digest) -> Result<()> {
        set_modified(&self.path(BLOBS).join(digest.hex()), RELEASED)
    }

    /// Open a blob of the store; none where it is not there in spite of what refers to it.
    pub(super) fn open(&self, digest: &Digest) -> Result<Option<Served>> {
        let path = self.store.layout().blob(digest);
        let opened = File::open(&path).and_then(|file| {
            let size = file.metadata()?.len();
            Ok(Served { file, size })
        });
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            result => result.map(Some).map_err(StoreError::file("open", &path)),
        }
    }
}

/// The time of a link; none where there is no such file.
fn modified_if_there(path: &std::path::Path) -> Result<Option<SystemTime>> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(Some(modified(path))),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(StoreError::file("find", path)(error)),
    }
}
