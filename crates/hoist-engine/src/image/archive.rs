//! The tar of an image archive, or a directory of the same files, by the names of its files. Either
//! may come from anybody.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek as _},
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::{Component, Path},
    sync::Arc,
};

use hoist_core::image::{MEDIA_TYPE_LAYER_GZIP, MEDIA_TYPE_LAYER_TAR};
use hoist_registry::LayerReader;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use serde::de::DeserializeOwned;

use crate::{error::EngineError, root::Engine};

/// The longest document that is read.
const MAX_DOCUMENT: u64 = 8 * 1024 * 1024;
/// Links to links that are followed.
const MAX_LINKS: usize = 8;

/// An archive that can be read at any place.
pub(super) enum Archive {
    Tar {
        file: Arc<File>,
        entries: BTreeMap<String, Entry>,
    },
    Directory(OwnedFd),
}

pub(super) enum Entry {
    File { offset: u64, size: u64 },
    Link(String),
}

impl Archive {
    /// Look through an archive. One that is compressed, or that comes through a pipe, is first
    /// written to a file without a name in the data root.
    pub(super) fn open(engine: &Engine, mut input: File) -> Result<Self, EngineError> {
        let start = input.stream_position().ok();
        let mut magic = [0; 4];
        let is_plain = start.is_some_and(|start| {
            matches!(input.read_at(&mut magic, start), Ok(count) if count < 4 || !is_compressed(magic))
        });
        let file = if is_plain {
            input
        } else {
            spool(engine, input)?
        };
        let entries = entries(&file)?;
        Ok(Self::Tar {
            file: Arc::new(file),
            entries,
        })
    }

    /// The files of a directory.
    pub(super) fn directory(path: &Path) -> Result<Self, EngineError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| EngineError::file("open", path)(error.into()))?;
        Ok(Self::Directory(fd))
    }

    /// Whether a file of this name is in it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A file, as a stream that stands on its own.
    pub(super) fn file(&self, name: &str) -> Result<Section, EngineError> {
        self.find(name)
            .ok_or_else(|| malformed(&format!("{name:?} is missing")))
    }

    /// A small file.
    pub(super) fn bytes(&self, name: &str) -> Result<Vec<u8>, EngineError> {
        let mut section = self.file(name)?;
        if section.end - section.offset > MAX_DOCUMENT {
            return Err(malformed(&format!("{name:?} is too long")));
        }
        let mut bytes = Vec::new();
        section.read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// A small file of JSON.
    pub(super) fn document<T: DeserializeOwned>(&self, name: &str) -> Result<T, EngineError> {
        serde_json::from_slice(&self.bytes(name)?)
            .map_err(|error| malformed(&format!("{name:?}: {error}")))
    }

    fn find(&self, name: &str) -> Option<Section> {
        let (file, entries) = match self {
            Self::Tar { file, entries } => (file, entries),
            Self::Directory(fd) => return find_in(fd, name),
        };
        let mut name = name.to_owned();
        for _ in 0..MAX_LINKS {
            match entries.get(&name)? {
                Entry::File { offset, size } => {
                    return Some(Section {
                        file: Arc::clone(file),
                        offset: *offset,
                        end: offset.saturating_add(*size),
                    });
                }
                Entry::Link(target) => name.clone_from(target),
            }
        }
        None
    }
}

/// A file below a directory, which no link leads to.
fn find_in(directory: &OwnedFd, name: &str) -> Option<Section> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = openat2(directory, name, flags, Mode::empty(), within).ok()?;
    let file = File::from(file);
    let found = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some(Section {
        file: Arc::new(file),
        offset: 0,
        end: found.len(),
    })
}

pub(super) fn malformed(what: &str) -> EngineError {
    EngineError::invalid(format!("the archive is malformed: {what}"))
}

fn failed(error: io::Error) -> EngineError {
    EngineError::system("reading the archive")(error)
}

const fn is_compressed(magic: [u8; 4]) -> bool {
    matches!(magic, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd])
}

fn spool(engine: &Engine, input: File) -> Result<File, EngineError> {
    let root = &engine.settings().root;
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = rustix::fs::open(root, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|error| EngineError::file("make a file in", root)(error.into()))?;
    let mut file = File::from(file);
    let mut reader = LayerReader::new(input).map_err(failed)?;
    io::copy(&mut reader, &mut file).map_err(failed)?;
    file.rewind().map_err(failed)?;
    Ok(file)
}

fn entries(file: &File) -> Result<BTreeMap<String, Entry>, EngineError> {
    let mut found = BTreeMap::new();
    let mut archive = tar::Archive::new(file);
    let wrong = |error: io::Error| malformed(&error.to_string());
    for entry in archive.entries_with_seek().map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let path = entry.path().map_err(wrong)?;
        let Some(name) = clean(Path::new(""), &path) else {
            continue;
        };
        let kind = entry.header().entry_type();
        if kind.is_symlink() || kind.is_hard_link() {
            let link = entry.link_name().map_err(wrong)?;
            // A hard link's target is a path in the archive, a symbolic one's starts beside it.
            let base = if kind.is_symlink() {
                path.parent().unwrap_or(Path::new(""))
            } else {
                Path::new("")
            };
            if let Some(target) = link.and_then(|link| clean(base, &link)) {
                found.insert(name, Entry::Link(target));
            }
        } else if kind.is_file() || kind.is_contiguous() {
            let offset = entry.raw_file_position();
            let size = entry.size();
            found.insert(name, Entry::File { offset, size });
        }
    }
    Ok(found)
}

/// `path`, seen from `base`, without `.` and `..`; `None` when it leads out of the archive.
fn clean(base: &Path, path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for component in base.components().chain(path.components()) {
        match component {
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::ParentDir => drop(parts.pop()?),
            Component::RootDir => parts.clear(),
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Some(parts.join("/"))
}

/// A file in the archive.
pub(super) struct Section {
    file: Arc<File>,
    offset: u64,
    end: u64,
}

impl Section {
    /// The media type of a layer that begins so.
    pub(super) fn layer_type(&self) -> &'static str {
        let mut magic = [0; 4];
        match self.file.read_at(&mut magic, self.offset) {
            Ok(4) if magic.starts_with(&[0x1f, 0x8b]) => MEDIA_TYPE_LAYER_GZIP,
            Ok(4) if is_compressed(magic) => "application/vnd.oci.image.layer.v1.tar+zstd",
            _ => MEDIA_TYPE_LAYER_TAR,
        }
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..most], self.offset)?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_archive() {
        let table = [
            ("", "./manifest.json", Some("manifest.json")),
            ("", "/blobs/sha256/aa", Some("blobs/sha256/aa")),
            ("one", "../two/layer.tar", Some("two/layer.tar")),
            ("one", "../../layer.tar", None),
        ];
        for (base, path, expected) in table {
            let cleaned = clean(Path::new(base), Path::new(path));
            assert_eq!(cleaned.as_deref(), expected, "{base} {path}");
        }
    }
}
