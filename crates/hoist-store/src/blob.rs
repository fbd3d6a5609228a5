//! Blobs of layers: the forms in which registries and archives carry them.
//!
//! A layer may have any number of forms: the blob that it came as, and what it was compressed to
//! for a push. Each is a file below `blobs/` and a small record in the layer's own directory, so
//! that the forms go with the layer and nothing is compressed twice.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
};

use hoist_core::{Digest, Digester};
use hoist_sys::{atomic::Durability, lock::Lock, writeback};
use serde::{Deserialize, Serialize};

use crate::{
    drafts::list,
    error::{Result, StoreError},
    layout::{BLOBS, Layout, TAR, digest_of_name},
    remove::remove_file,
    store::{Store, read_record, write_record},
};

/// One form of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerBlob {
    /// The digest of the blob's bytes.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// What it is, in the words of whoever made it.
    pub media_type: String,
}

/// A blob on its way into the store: written piece by piece, digested meanwhile.
///
/// One that was begun with [`Store::try_begin_blob`] stays where it is when it is dropped, or its
/// process is killed, and the next attempt goes on from there; the others vanish.
#[derive(Debug)]
pub struct BlobDraft {
    path: PathBuf,
    file: File,
    length: u64,
    digester: Digester,
    expected: Option<Digest>,
    /// Of a resumable one: held as long as it is written.
    lock: Option<(PathBuf, Lock)>,
}

impl BlobDraft {
    /// Bytes that are there.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// What has gone through, to verify the rest with.
    #[must_use]
    pub const fn digester(&self) -> &Digester {
        &self.digester
    }

    /// The bytes that are there, from the first; whatever is written afterwards is not among them.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn reader(&self) -> Result<impl Read + Send + use<>> {
        let file = self.file.try_clone();
        Ok(Written {
            file: file.map_err(StoreError::file("open", &self.path))?,
            offset: 0,
            end: self.length,
        })
    }

    /// Open the file `path` to go on with it, and the lock `lock` beside it; none when the file is
    /// not there or somebody else writes to it. What is there is read again unless it is `known`,
    /// by its length.
    pub(crate) fn open_existing(
        path: &Path,
        known: Option<(u64, Digester)>,
    ) -> Result<Option<Self>> {
        let lock_path = path.with_file_name("lock");
        let lock = match Lock::try_exclusive(&lock_path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.map_err(StoreError::file("lock", &lock_path))?,
        };
        let Some(lock) = lock else { return Ok(None) };
        let file = match File::options().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.map_err(StoreError::file("open", path))?,
        };
        let found = file.metadata().map_err(StoreError::file("find", path))?;
        let known = known.filter(|(length, _)| *length == found.len());
        let (length, digester) = known.unwrap_or_default();
        let mut draft = Self {
            path: path.to_owned(),
            file,
            length,
            digester,
            expected: None,
            lock: Some((lock_path, lock)),
        };
        draft.read_again()?;
        Ok(Some(draft))
    }

    /// Digest what is in the file behind what was digested already.
    fn read_again(&mut self) -> Result<()> {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let read = self.file.read_at(&mut buffer, self.length);
            let count = read.map_err(StoreError::file("read", &self.path))?;
            if count == 0 {
                return Ok(());
            }
            self.digester.update(&buffer[..count]);
            self.length += count as u64;
        }
    }

    /// Refuse to become any other blob than this one.
    pub(crate) const fn expect(&mut self, digest: Digest) {
        self.expected = Some(digest);
    }

    /// Drop what is there: its content is not what it should be.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn discard(self) -> Result<()> {
        remove_file(&self.path)
    }

    /// A failed write, with the file.
    pub(crate) fn unwritable(&self, error: io::Error) -> StoreError {
        StoreError::file("write", &self.path)(error)
    }

    /// Move the blob to its place. The store must be held, and what refers to it comes next; whoever
    /// waits for the blob waits until the draft is dropped.
    pub(crate) fn publish(&mut self, layout: &Layout, durable: bool) -> Result<(Digest, u64)> {
        let digest = self.verified()?;
        if durable {
            self.file
                .sync_data()
                .map_err(StoreError::file("sync", &self.path))?;
        }
        self.move_to(&layout.blob(&digest))?;
        Ok((digest, self.length))
    }

    /// Move the blob, which is the tar of a layer, into the layer's directory.
    pub(crate) fn publish_as_tar(&mut self, place: &Path) -> Result<(Digest, u64)> {
        let digest = self.verified()?;
        self.move_to(place)?;
        Ok((digest, self.length))
    }

    fn move_to(&self, place: &Path) -> Result<()> {
        std::fs::rename(&self.path, place).map_err(StoreError::file("create", place))
    }

    /// The digest of the bytes, which is the one that was asked for.
    fn verified(&mut self) -> Result<Digest> {
        let digest = std::mem::take(&mut self.digester).finish();
        if let Some(expected) = self.expected
            && expected != digest
        {
            remove_file(&self.path)?;
            return Err(StoreError::DigestMismatch {
                what: "the blob".to_owned(),
                expected,
                found: digest,
            });
        }
        Ok(digest)
    }
}

impl Write for BlobDraft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write_at(bytes, self.length)?;
        self.digester.update(&bytes[..count]);
        self.length = writeback::begin(&self.file, self.length, count);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for BlobDraft {
    fn drop(&mut self) {
        match &self.lock {
            // While the lock is held: whoever waits for it sees that it is gone, and makes its own.
            Some((path, _)) => drop(std::fs::remove_file(path)),
            // Published, it is not there any more.
            None => drop(std::fs::remove_file(&self.path)),
        }
    }
}

struct Written {
    file: File,
    offset: u64,
    end: u64,
}

impl Read for Written {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..most], self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

impl Store {
    /// Begin a blob whose digest nobody knows yet. It vanishes unless it becomes a form of a layer.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::File`].
    pub fn begin_blob(&self) -> Result<BlobDraft> {
        let path = self.session()?.free_path();
        let file = open_draft(&path)?;
        Ok(BlobDraft {
            path,
            file,
            length: 0,
            digester: Digester::new(),
            expected: None,
            lock: None,
        })
    }

    /// Begin, or go on with, the blob of this digest; what an earlier attempt has left is in it.
    /// `None` while another process or thread is at it.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::File`].
    pub fn try_begin_blob(&self, digest: &Digest) -> Result<Option<BlobDraft>> {
        let downloads = self.layout().downloads();
        make_directory(&downloads)?;
        let lock_path = downloads.join(format!("{}.lock", digest.hex()));
        let lock = Lock::try_exclusive(&lock_path).map_err(StoreError::file("lock", &lock_path))?;
        let Some(lock) = lock else { return Ok(None) };
        let path = downloads.join(digest.hex());
        let mut draft = BlobDraft {
            file: open_draft(&path)?,
            path,
            length: 0,
            digester: Digester::new(),
            expected: Some(*digest),
            lock: Some((lock_path, lock)),
        };
        draft.read_again()?;
        Ok(Some(draft))
    }

    /// The forms of a layer whose blobs are here.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Damaged`].
    pub fn layer_blobs(&self, diff_id: &Digest) -> Result<Vec<LayerBlob>> {
        let mut blobs = Vec::new();
        for path in list(&self.layout().layer(diff_id).join(BLOBS))? {
            if digest_of_name(&path).is_none() {
                continue;
            }
            let blob: LayerBlob = match read_record(&path) {
                Err(error) if error.is_absent() => continue,
                result => result?,
            };
            let place = self.place_of_blob(&blob.digest);
            if std::fs::metadata(place).is_ok_and(|stat| stat.len() == blob.size) {
                blobs.push(blob);
            }
        }
        blobs.sort_unstable_by_key(|blob| blob.digest);
        Ok(blobs)
    }

    /// Open a blob.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.place_of_blob(digest);
        File::open(&path).map_err(StoreError::file("open", &path))
    }

    /// Where a blob lies: one that came without compression may be the tar of an indexed layer.
    pub(crate) fn place_of_blob(&self, digest: &Digest) -> PathBuf {
        let tar = self.layout().layer(digest).join(TAR);
        if rustix::fs::access(&tar, rustix::fs::Access::EXISTS).is_ok() {
            return tar;
        }
        self.layout().blob(digest)
    }

    /// Make `draft` a form of a layer that is here. The store must be held.
    pub(crate) fn add_form(
        &self,
        diff_id: &Digest,
        mut draft: BlobDraft,
        media_type: &str,
    ) -> Result<LayerBlob> {
        let (digest, size) = draft.publish(self.layout(), true)?;
        let blob = LayerBlob {
            digest,
            size,
            media_type: media_type.to_owned(),
        };
        let directory = self.layout().layer(diff_id).join(BLOBS);
        write_form(&directory, &blob, Durability::Whole)?;
        Ok(blob)
    }
}

/// Record a form in the directory of a layer, or of its draft: that is volatile, as everything of a
/// layer that no sync has confirmed.
pub(crate) fn write_form(directory: &Path, blob: &LayerBlob, durability: Durability) -> Result<()> {
    make_directory(directory)?;
    let path = directory.join(format!("{}.json", blob.digest.hex()));
    write_record(&path, blob, durability)
}

/// The digests of the blobs that a layer has.
pub(crate) fn forms_of(layout: &Layout, diff_id: &Digest) -> Result<Vec<Digest>> {
    let records = list(&layout.layer(diff_id).join(BLOBS))?;
    Ok(records
        .iter()
        .filter_map(|path| digest_of_name(path))
        .collect())
}

/// Remove begun downloads that nobody is at. Needs the store lock exclusively; returns their bytes.
pub(crate) fn sweep_downloads(layout: &Layout) -> Result<u64> {
    let mut bytes = 0;
    for path in list(&layout.downloads())? {
        let mut lock_path = path.clone();
        lock_path.set_extension("lock");
        let lock = Lock::try_exclusive(&lock_path).map_err(StoreError::file("lock", &lock_path))?;
        let Some(lock) = lock else { continue };
        bytes += std::fs::metadata(&path).map_or(0, |stat| stat.len());
        remove_file(&path)?;
        remove_file(&lock_path)?;
        drop(lock);
    }
    Ok(bytes)
}

fn make_directory(path: &Path) -> Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.map_err(StoreError::file("make the directory", path)),
    }
}

fn open_draft(path: &Path) -> Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(StoreError::file("create", path))?;
    file.set_permissions(PermissionsExt::from_mode(0o644))
        .map_err(StoreError::file("set the mode of", path))?;
    Ok(file)
}
