//! Blobs on their way into a repository.
//!
//! An upload outlives requests, connections and processes: what has arrived of it lies in a file,
//! and whoever knows its id goes on from there, with any process that serves the store.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, SystemTime},
};

use hoist_core::{Digest, Digester};
use hoist_sys::{lock::Lock, tree};

use super::{Repository, UPLOADS, repositories};
use crate::{
    blob::BlobDraft,
    drafts::list,
    error::{Result, StoreError},
    layout::Layout,
    store::Store,
};

/// How long an upload that nobody writes to is kept.
pub const UPLOAD_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What an upload is called: a random UUID (RFC 9562, version 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId([u8; 16]);

impl UploadId {
    fn random() -> io::Result<Self> {
        let mut bytes = [0; 16];
        let flags = rustix::rand::GetRandomFlags::empty();
        if rustix::rand::getrandom(&mut bytes, flags)? != bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Ok(Self(bytes))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for UploadId {
    type Err = ();

    /// Only the form that [`fmt::Display`] writes.
    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let digits: String = text.chars().filter(|letter| *letter != '-').collect();
        let number = u128::from_str_radix(&digits, 16).map_err(drop)?;
        let id = Self(number.to_be_bytes());
        (id.to_string() == text).then_some(id).ok_or(())
    }
}

/// What a process remembers of an upload between two requests, so that the next one need not read
/// again what has arrived.
#[derive(Debug, Clone)]
pub struct UploadState {
    length: u64,
    digester: Digester,
}

/// An upload that is being written to; nobody else can be. Dropped, it can be opened again.
#[derive(Debug)]
pub struct Upload {
    repository: Repository,
    directory: PathBuf,
    draft: BlobDraft,
}

impl Repository {
    /// Begin an upload.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::File`].
    pub fn begin_upload(&self) -> Result<UploadId> {
        let _hold = self.store.hold()?;
        let uploads = self.make(UPLOADS)?;
        let id = UploadId::random().map_err(StoreError::file("name an upload in", &uploads))?;
        let directory = uploads.join(id.to_string());
        std::fs::create_dir(&directory)
            .map_err(StoreError::file("make the directory", &directory))?;
        let data = directory.join("data");
        std::fs::File::create_new(&data).map_err(StoreError::file("create", &data))?;
        Ok(id)
    }

    /// How many bytes have arrived; none when there is no such upload.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn upload_length(&self, id: &UploadId) -> Result<Option<u64>> {
        let data = self.path(UPLOADS).join(id.to_string()).join("data");
        match std::fs::metadata(&data) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::file("find", &data)(error)),
        }
    }

    /// Write to an upload. Where `known` is of another length than what has arrived, it is read
    /// again. None while somebody else writes to it, or when there is no such upload.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::File`].
    pub fn open_upload(&self, id: &UploadId, known: Option<UploadState>) -> Result<Option<Upload>> {
        let directory = self.path(UPLOADS).join(id.to_string());
        let known = known.map(|state| (state.length, state.digester));
        let draft = BlobDraft::open_existing(&directory.join("data"), known)?;
        Ok(draft.map(|draft| Upload {
            repository: self.clone(),
            directory,
            draft,
        }))
    }

    /// Forget an upload; false when there is no such upload, or somebody writes to it.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::File`].
    pub fn cancel_upload(&self, id: &UploadId) -> Result<bool> {
        remove_if(&self.path(UPLOADS).join(id.to_string()), |_| true)
    }
}

impl Upload {
    /// Bytes that have arrived.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.draft.length()
    }

    /// The digest of what has arrived.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.draft.digester().clone().finish()
    }

    /// What to remember until it is opened again.
    #[must_use]
    pub fn state(&self) -> UploadState {
        UploadState {
            length: self.draft.length(),
            digester: self.draft.digester().clone(),
        }
    }

    /// What has arrived, from the first byte.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn reader(&self) -> Result<impl io::Read + Send + use<>> {
        self.draft.reader()
    }

    /// Make it a blob of its repository. It is on the disk then.
    ///
    /// # Errors
    /// [`StoreError::DigestMismatch`]; [`StoreError::File`]. The upload is gone in any case.
    pub fn finish(mut self, expected: &Digest) -> Result<()> {
        let hold = self.repository.store.hold()?;
        let published = self.publish(expected);
        let linked = published.and_then(|()| self.repository.link(expected));
        drop(hold);
        self.cancel()?;
        linked
    }

    /// Forget it, with what has arrived.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn cancel(self) -> Result<()> {
        // While its lock is held nobody else opens it.
        tree::remove(&self.directory).map_err(StoreError::file("remove", &self.directory))
    }

    /// Move the content to its place among the blobs. The store must be held.
    pub(super) fn publish(&mut self, expected: &Digest) -> Result<()> {
        self.draft.expect(*expected);
        let layout = self.repository.store.layout();
        self.draft.publish(layout, true).map(drop)
    }
}

impl io::Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.draft.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Store {
    /// Forget the uploads of all repositories that nobody has written to for [`UPLOAD_AGE`]; how
    /// many there were.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::File`].
    pub fn expire_uploads(&self) -> Result<usize> {
        let _hold = self.hold()?;
        let expired = uploads(self.layout(), is_expired)?;
        let mut count = 0;
        for directory in expired {
            count += usize::from(remove_if(&directory, is_expired)?);
        }
        Ok(count)
    }
}

/// The directories of the uploads that are `unwanted`.
pub(super) fn uploads(layout: &Layout, unwanted: fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for (_, repository) in repositories(layout)? {
        let uploads = list(&repository.join(UPLOADS))?.into_iter();
        found.extend(uploads.filter(|directory| unwanted(directory)));
    }
    Ok(found)
}

/// Whether nobody has written to an upload for long. One that has no data is only just being made.
pub(super) fn is_expired(directory: &Path) -> bool {
    let data = std::fs::symlink_metadata(directory.join("data"));
    let written = data.and_then(|data| data.modified());
    written.is_ok_and(|written| {
        let age = SystemTime::now().duration_since(written);
        age.is_ok_and(|age| age >= UPLOAD_AGE)
    })
}

/// Whether nobody goes on with an upload. One without data counts, for who was making it was killed: the
/// store lock must be held exclusively.
pub(super) fn is_over(directory: &Path) -> bool {
    !directory.join("data").exists() || is_expired(directory)
}

/// Remove an upload that nobody writes to, if it is `unwanted` then.
pub(super) fn remove_if(directory: &Path, unwanted: fn(&Path) -> bool) -> Result<bool> {
    let path = directory.join("lock");
    let _lock = match Lock::try_exclusive(&path) {
        Ok(Some(lock)) => lock,
        Ok(None) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(StoreError::file("lock", &path)(error)),
    };
    if !unwanted(directory) {
        return Ok(false);
    }
    tree::remove(directory).map_err(StoreError::file("remove", directory))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_and_nothing_else() {
        let id = UploadId::random().unwrap();
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        assert_eq!((text.len(), &text[14..15]), (36, "4"));
        for text in [
            "",
            "..",
            "../../../../../../../../etc/passwd00",
            &text.to_uppercase(),
            &text.replace('-', ""),
            &format!("{text}/x"),
            "+0000000-0000-4000-8000-000000000000",
        ] {
            let has_letters = text.bytes().any(|byte| byte.is_ascii_alphabetic());
            assert!(text.parse::<UploadId>().is_err() || !has_letters, "{text}");
        }
    }
}
