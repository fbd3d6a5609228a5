//! An artifact in a directory: an OCI image layout (`image-layout.md`). The directory may come from
//! anybody.
//!
//! ```text
//! blobs/sha256/<digest>    manifest, configuration, layers
//! index.json               the manifests by their tags
//! oci-layout
//! ```
//!
//! Blobs are written beside their place and renamed; the index comes last. What only the manifest
//! that is replaced had needed is removed then. Writers exclude each other by a lock on the directory
//! itself, which leaves nothing in it.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read, Seek as _, Write as _},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use hoist_core::{
    Digest, Digester,
    image::{Descriptor, MEDIA_TYPE_MANIFEST, Manifest},
};
use hoist_registry::Index;
use hoist_sys::atomic::{self, Durability};
use rustix::fs::{FlockOperation, Mode, OFlags};

use super::{Artifact, Placed};
use crate::{
    error::EngineError,
    image::{MEDIA_TYPE_INDEX, TAG, descriptor},
};

/// The longest manifest or index that is read: the registries' limit.
const MAX_MANIFEST: u64 = 4 * 1024 * 1024;
/// How the names of files begin that are being written.
const PARTIAL: &str = ".partial-";
const BUFFER: usize = 256 * 1024;

/// Number of the next temporary file of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// One tag of an image layout in a directory.
#[derive(Debug)]
pub struct LayoutDirectory {
    path: PathBuf,
    tag: String,
    /// The manifest to read, when it is given by its digest.
    digest: Option<Digest>,
    /// Held from the first blob that is put until the manifest is.
    lock: Mutex<Option<OwnedFd>>,
}

impl LayoutDirectory {
    /// The artifact `tag` in the directory `path`. Nothing is read or made yet.
    #[must_use]
    pub fn new(path: PathBuf, tag: String) -> Self {
        Self {
            path,
            tag,
            digest: None,
            lock: Mutex::default(),
        }
    }

    /// The same directory; what is read is the manifest of this digest.
    #[must_use]
    pub fn at(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path.join("blobs/sha256").join(digest.hex())
    }

    /// Keep other writers out, and make the directories that there are not.
    fn begin(&self) -> Result<(), EngineError> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_some() {
            return Ok(());
        }
        let blobs = self.path.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(EngineError::file("make", &blobs))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let failed = |errno: rustix::io::Errno| {
            EngineError::file("lock", &self.path)(io::Error::from(errno))
        };
        let directory = rustix::fs::open(&self.path, flags, Mode::empty()).map_err(failed)?;
        rustix::fs::flock(&directory, FlockOperation::LockExclusive).map_err(failed)?;
        self.sweep();
        *lock = Some(directory);
        Ok(())
    }

    /// Remove what a writer that was killed has left; nobody else writes now. What cannot be removed is
    /// in nobody's way.
    fn sweep(&self) {
        let entries = fs::read_dir(self.path.join("blobs"));
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(PARTIAL.as_bytes()) {
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    fn index(&self) -> Result<Option<Index>, EngineError> {
        let path = self.path.join("index.json");
        let bytes = match document(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(EngineError::file("read", path)(error)),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| malformed(&path, &error.to_string()))
    }

    /// The entry of the index that is meant.
    fn entry(&self, index: &Index) -> Result<Descriptor, EngineError> {
        let mut entries = index.manifests.iter();
        let found = match self.digest {
            Some(digest) => entries.find(|entry| entry.digest == digest),
            None => entries.find(|entry| self.has_tag(entry)),
        };
        found.cloned().ok_or_else(|| {
            let what = match self.digest {
                Some(digest) => digest.to_string(),
                None => format!("tag {:?}", self.tag),
            };
            malformed(&self.path.join("index.json"), &format!("it has no {what}"))
        })
    }

    fn has_tag(&self, entry: &Descriptor) -> bool {
        entry
            .annotations
            .get(TAG)
            .is_some_and(|tag| *tag == self.tag)
    }

    fn manifest_at(&self, entry: &Descriptor) -> Result<Manifest, EngineError> {
        let bytes = super::small_blob(self, entry, MAX_MANIFEST)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| malformed(&self.blob_path(&entry.digest), &error.to_string()))
    }

    /// Blobs of `replaced` that nothing in `index` needs. None at all when it cannot be told.
    fn unneeded(&self, index: &Index, replaced: &[Descriptor]) -> BTreeSet<Digest> {
        let blobs = |entry: &Descriptor| -> Option<Vec<Digest>> {
            let manifest = self.manifest_at(entry).ok()?;
            let layers = manifest.layers.iter().map(|layer| layer.digest);
            let own = [entry.digest, manifest.config.digest];
            Some(layers.chain(own).collect())
        };
        let before = replaced.iter().filter_map(blobs).flatten();
        let mut unneeded: BTreeSet<Digest> = before.collect();
        for entry in &index.manifests {
            match blobs(entry) {
                Some(needed) => unneeded.retain(|digest| !needed.contains(digest)),
                None => return BTreeSet::new(),
            }
        }
        unneeded
    }

    /// Write a file beside its place; `write` gets it.
    fn place(
        &self,
        place: &Path,
        write: impl FnOnce(&mut File) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("blobs/{PARTIAL}{}-{number}", std::process::id());
        let temporary = self.path.join(name);
        let failed = |error| EngineError::file("write", place)(error);
        let mut file = File::create(&temporary).map_err(failed)?;
        let written = write(&mut file).and_then(|()| {
            drop(file);
            fs::rename(&temporary, place).map_err(failed)
        });
        if written.is_err() {
            // It is what failed that is told.
            drop(fs::remove_file(&temporary));
        }
        written
    }
}

impl Artifact for LayoutDirectory {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn manifest(&self) -> Result<Manifest, EngineError> {
        let Some(index) = self.index()? else {
            let path = self.path.join("index.json");
            return Err(EngineError::file("read", path)(
                rustix::io::Errno::NOENT.into(),
            ));
        };
        self.manifest_at(&self.entry(&index)?)
    }

    fn blob(
        &self,
        blob: &Descriptor,
        have: u64,
        digester: Digester,
    ) -> Result<Box<dyn Read + Send>, EngineError> {
        let path = self.blob_path(&blob.digest);
        let open = || {
            let mut file = regular(&path)?;
            file.seek(io::SeekFrom::Start(have))?;
            Ok(file)
        };
        let file = open().map_err(EngineError::file("read", &path))?;
        Ok(Box::new(Verified {
            input: file.take(blob.size.saturating_sub(have)),
            digester: Some(digester),
            expected: blob.digest,
        }))
    }

    fn put_blob(
        &self,
        blob: &Descriptor,
        open: &mut dyn FnMut() -> io::Result<Box<dyn Read>>,
    ) -> Result<Placed, EngineError> {
        self.begin()?;
        let path = self.blob_path(&blob.digest);
        if regular(&path)
            .and_then(|file| file.metadata())
            .is_ok_and(|found| found.len() == blob.size)
        {
            return Ok(Placed::Before);
        }
        self.place(&path, |file| {
            let mut input = open().map_err(super::of_io)?;
            let mut digester = Digester::new();
            let mut buffer = vec![0; BUFFER];
            loop {
                let count = match input.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(super::of_io(error)),
                };
                digester.update(&buffer[..count]);
                file.write_all(&buffer[..count])
                    .map_err(EngineError::file("write", &path))?;
            }
            let found = digester.finish();
            if found == blob.digest {
                return Ok(());
            }
            Err(EngineError::invalid(format!(
                "blob {} has the digest {found}",
                blob.digest
            )))
        })?;
        Ok(Placed::Now)
    }

    fn put_manifest(&self, bytes: &[u8]) -> Result<(), EngineError> {
        let mut entry = descriptor(MEDIA_TYPE_MANIFEST, bytes);
        self.put_blob(&entry, &mut || {
            Ok(Box::new(io::Cursor::new(bytes.to_vec())))
        })?;
        entry.annotations.insert(TAG.to_owned(), self.tag.clone());
        let write = |name: &str, text: &[u8]| {
            let path = self.path.join(name);
            atomic::write(&path, text, 0o644, Durability::Whole)
                .map_err(EngineError::file("write", &path))
        };
        write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        // An index that cannot be read names nothing that could be kept.
        let mut index = self.index().ok().flatten().unwrap_or_else(|| Index {
            schema_version: 2,
            media_type: Some(MEDIA_TYPE_INDEX.to_owned()),
            artifact_type: None,
            manifests: Vec::new(),
            annotations: std::collections::BTreeMap::new(),
        });
        let (replaced, mut kept): (Vec<_>, Vec<_>) = index
            .manifests
            .into_iter()
            .partition(|known| self.has_tag(known));
        kept.push(entry);
        index.manifests = kept;
        let text = serde_json::to_vec(&index)
            .map_err(|error| malformed(&self.path.join("index.json"), &error.to_string()))?;
        write("index.json", &text)?;
        for digest in self.unneeded(&index, &replaced) {
            let path = self.blob_path(&digest);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(EngineError::file("remove", path)(error));
                }
                _ => {}
            }
        }
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

/// Open a file that is one: no device, no pipe that nobody writes to.
fn regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let file = File::options()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "it is not a regular file",
    ))
}

/// A small file.
fn document(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = regular(path)?;
    file.take(MAX_MANIFEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_MANIFEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is longer than any index",
        ));
    }
    Ok(bytes)
}

fn malformed(path: &Path, what: &str) -> EngineError {
    EngineError::invalid(format!("{} is malformed: {what}", path.display()))
}

/// Bytes whose end comes only when their digest is right.
struct Verified<R> {
    input: R,
    /// `None` once it was found to be right.
    digester: Option<Digester>,
    expected: Digest,
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            if let Some(digester) = &mut self.digester {
                digester.update(&buffer[..count]);
            }
            return Ok(count);
        }
        if let Some(digester) = &self.digester {
            let found = digester.clone().finish();
            if found != self.expected {
                let text = format!("blob {} has the digest {found}", self.expected);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            self.digester = None;
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(layout: &LayoutDirectory, bytes: &[u8]) -> Descriptor {
        let blob = descriptor("text/plain", bytes);
        let content = bytes.to_vec();
        let mut open = || Ok(Box::new(io::Cursor::new(content.clone())) as Box<dyn Read>);
        layout.put_blob(&blob, &mut open).unwrap();
        blob
    }

    fn publish(layout: &LayoutDirectory, layers: Vec<Descriptor>) -> Descriptor {
        let config = put(layout, b"{}");
        let bytes =
            crate::image::manifest(config, layers, std::collections::BTreeMap::new()).unwrap();
        layout.put_manifest(&bytes).unwrap();
        descriptor(MEDIA_TYPE_MANIFEST, &bytes)
    }

    #[test]
    fn a_replaced_manifest_takes_what_only_it_needed() {
        let directory = tempfile::tempdir().unwrap();
        let place = |tag: &str| LayoutDirectory::new(directory.path().to_owned(), tag.to_owned());
        let (one, two) = (place("one"), place("two"));
        // A writer was killed.
        fs::create_dir(directory.path().join("blobs")).unwrap();
        fs::write(directory.path().join("blobs/.partial-1-0"), "half").unwrap();
        let (a, b, c) = (put(&one, b"a"), put(&one, b"b"), put(&one, b"c"));
        let first = publish(&one, vec![a.clone(), b.clone()]);
        publish(&two, vec![b.clone()]);
        // Nothing is known of a file that no manifest names.
        publish(&one, vec![c.clone()]);
        let has = |blob: &Descriptor| one.blob_path(&blob.digest).exists();
        assert!(!has(&a) && has(&b) && has(&c) && !has(&first));
        assert_eq!(one.manifest().unwrap().layers, [c]);
        assert_eq!(two.manifest().unwrap().layers, [b]);
        assert!(place("three").manifest().is_err());
        let names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(!directory.path().join("blobs/.partial-1-0").exists());
    }

    #[test]
    fn what_is_not_what_it_says_never_ends_well() {
        let directory = tempfile::tempdir().unwrap();
        let layout = LayoutDirectory::new(directory.path().to_owned(), "latest".to_owned());
        let blob = put(&layout, b"content");
        let read = |blob: &Descriptor, have| {
            let mut digester = Digester::new();
            digester.update(&b"content"[..have]);
            let mut bytes = Vec::new();
            let mut reader = layout.blob(blob, have as u64, digester)?;
            reader
                .read_to_end(&mut bytes)
                .map_err(super::super::of_io)?;
            Ok::<_, EngineError>(bytes)
        };
        assert_eq!(read(&blob, 0).unwrap(), b"content");
        assert_eq!(read(&blob, 3).unwrap(), b"tent");
        for size in [0, 6, 8, u64::MAX] {
            let lie = Descriptor {
                size,
                ..blob.clone()
            };
            assert_eq!(read(&lie, 0).is_ok(), size > 7, "{size}");
        }
        let path = layout.blob_path(&blob.digest);
        fs::write(&path, "another").unwrap();
        assert!(read(&blob, 0).is_err());
        for kind in ["pipe", "link", "directory"] {
            drop(fs::remove_file(&path));
            match kind {
                "pipe" => rustix::fs::mknodat(
                    rustix::fs::CWD,
                    &path,
                    rustix::fs::FileType::Fifo,
                    Mode::RUSR,
                    0,
                )
                .unwrap(),
                "link" => std::os::unix::fs::symlink("/dev/zero", &path).unwrap(),
                _ => fs::create_dir(&path).unwrap(),
            }
            assert!(read(&blob, 0).is_err(), "{kind}");
        }
        fs::write(directory.path().join("index.json"), "[").unwrap();
        assert!(layout.manifest().is_err());
        assert!(
            layout
                .put_blob(&descriptor("x", b"1"), &mut || Ok(Box::new(&b"2"[..])))
                .is_err()
        );
    }
}
