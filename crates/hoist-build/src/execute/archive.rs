//! `ADD` of a tar archive: recognised by its content, unpacked into the draft.

use std::{
    ffi::OsStr,
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::fs::{FileType, OFlags, makedev};
use tar::EntryType;

use super::{
    compression,
    draft::{Draft, New, Owner},
};
use crate::{
    error::BuildError,
    tree::{Attributes, Entry, Identity, Kind, Root, components},
};

/// What a file is to `ADD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Copied as it is.
    Plain,
    /// A tar archive, possibly compressed: unpacked.
    Archive,
}

/// What the file at `path` is to `ADD`: its content says, its name does not.
pub(crate) fn sort(root: &Root, path: &Path) -> Result<Sort, BuildError> {
    let file = open(root, path)?;
    // Damage behind the first member is found when it is unpacked.
    let (_, reader) = compression::reader(file).map_err(|e| trouble(root, path, e))?;
    Ok(if is_tar(reader) {
        Sort::Archive
    } else {
        Sort::Plain
    })
}

fn read_start(file: &mut impl Read, start: &mut [u8]) -> std::io::Result<usize> {
    let mut count = 0;
    while count < start.len() {
        match file.read(&mut start[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(count)
}

/// True when `reader` starts with the header of a tar member.
pub(crate) fn is_tar(mut reader: impl Read) -> bool {
    let mut header = tar::Header::new_old();
    if read_start(&mut reader, header.as_mut_bytes()).is_ok_and(|count| count == 512) {
        let bytes = header.as_bytes();
        let sum: u32 = bytes
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                if (148..156).contains(&at) {
                    32
                } else {
                    u32::from(*byte)
                }
            })
            .sum();
        return bytes[0] != 0 && header.cksum().is_ok_and(|expected| expected == sum);
    }
    false
}

fn open(root: &Root, path: &Path) -> Result<std::fs::File, BuildError> {
    root.open(path, OFlags::RDONLY | OFlags::NONBLOCK)
        .map(std::fs::File::from)
        .map_err(|errno| BuildError::io("open", root.display(path), errno))
}

fn trouble(root: &Root, path: &Path, source: std::io::Error) -> BuildError {
    BuildError::Io {
        action: "read the archive",
        path: root.display(path),
        source,
    }
}

/// Unpack the archive `path` of `root` below `destination`, a resolved path of the layer. All
/// members get `owner` when there is one.
pub(crate) fn extract(
    draft: &mut Draft,
    root: &Root,
    path: &Path,
    destination: &Path,
    owner: Option<Owner>,
    cancelled: &AtomicBool,
) -> Result<(), BuildError> {
    let (_, reader) = compression::reader(open(root, path)?).map_err(|e| trouble(root, path, e))?;
    let mut archive = tar::Archive::new(reader);
    let members = archive.entries().map_err(|e| trouble(root, path, e))?;
    let mut extraction = Extraction {
        draft,
        destination,
        owner,
        archive: root.display(path),
    };
    for member in members {
        if cancelled.load(Ordering::Relaxed) {
            return Err(BuildError::Cancelled);
        }
        let mut member = member.map_err(|e| trouble(root, path, e))?;
        extraction.member(&mut member)?;
    }
    Ok(())
}

/// The time of the newest regular file in the archive `path` of `root`, in seconds since 1970. What
/// is no archive has none.
pub(crate) fn newest(
    root: &Root,
    path: &Path,
    cancelled: &AtomicBool,
) -> Result<Option<i64>, BuildError> {
    if sort(root, path)? == Sort::Plain {
        return Ok(None);
    }
    let trouble = |source: std::io::Error| BuildError::Archive {
        path: root.display(path),
        problem: source.to_string(),
    };
    let (_, reader) = compression::reader(open(root, path)?).map_err(trouble)?;
    let mut archive = tar::Archive::new(reader);
    let mut newest = None;
    for member in archive.entries().map_err(trouble)? {
        if cancelled.load(Ordering::Relaxed) {
            return Err(BuildError::Cancelled);
        }
        let member = member.map_err(trouble)?;
        if member.header().entry_type().is_file() {
            let time = member.header().mtime().map_err(trouble)?;
            newest = newest.max(Some(i64::try_from(time).unwrap_or(i64::MAX)));
        }
    }
    Ok(newest)
}

struct Extraction<'a> {
    draft: &'a mut Draft,
    destination: &'a Path,
    owner: Option<Owner>,
    archive: PathBuf,
}

impl Extraction<'_> {
    fn member<R: Read>(&mut self, member: &mut tar::Entry<'_, R>) -> Result<(), BuildError> {
        let kind = member.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) {
            return Ok(());
        }
        let name = member.path_bytes().into_owned();
        let entry = self.entry(member)?;
        let parts = self.inside(&name)?;
        let Some((last, parents)) = parts.split_last() else {
            return Ok(());
        };
        let parent = self.directory(parents)?;
        let last = OsStr::from_bytes(last);
        match kind {
            EntryType::Directory => {
                // A link to a directory that stands here already is kept, as `tar -h` does: an
                // archive with `lib/` does not replace the `/lib` of a merged system.
                let own = self.resolved(&parts)?;
                if self.draft.is_directory(&own) {
                    let place = self.draft.directory(&own, New::like(&entry))?;
                    self.draft.dress(&place, New::like(&entry))
                } else {
                    self.draft.enter(&parent, last, New::like(&entry)).map(drop)
                }
            }
            EntryType::Link => self.hard_link(member, &parent, last, &name),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => self
                .draft
                .put_stream(&parent, last, &entry, member)
                .map_err(|error| self.located(error)),
            EntryType::Symlink | EntryType::Char | EntryType::Block | EntryType::Fifo => {
                self.draft.put(&parent, last, &entry, None)
            }
            _ => Ok(()),
        }
    }

    fn hard_link<R: Read>(
        &mut self,
        member: &tar::Entry<'_, R>,
        parent: &super::draft::Place,
        last: &OsStr,
        name: &[u8],
    ) -> Result<(), BuildError> {
        let target = member.link_name_bytes().unwrap_or_default().into_owned();
        let parts = self.inside(&target)?;
        let resolved = self.resolved(&parts)?;
        if self.draft.link(parent, last, &resolved)? {
            return Ok(());
        }
        Err(self.malformed(format!(
            "the hard link {} leads to {}, which does not come before it",
            String::from_utf8_lossy(name),
            String::from_utf8_lossy(&target)
        )))
    }

    /// The components of a name, which must not lead out of the destination.
    fn inside(&self, name: &[u8]) -> Result<Vec<Vec<u8>>, BuildError> {
        let parts = components(name);
        if parts.iter().any(|part| part == b"..") {
            let name = String::from_utf8_lossy(name);
            return Err(self.malformed(format!("the member {name} leads out of the destination")));
        }
        Ok(parts)
    }

    fn resolved(&self, parts: &[Vec<u8>]) -> Result<PathBuf, BuildError> {
        let below: PathBuf = parts.iter().map(|part| OsStr::from_bytes(part)).collect();
        let path = Path::new("/").join(self.destination).join(below);
        self.draft.resolve(&path)
    }

    fn directory(&mut self, parents: &[Vec<u8>]) -> Result<super::draft::Place, BuildError> {
        let path = self.resolved(parents)?;
        let new = New::directory(self.owner.unwrap_or_default());
        self.draft.directory(&path, new)
    }

    /// What `member` is, in the terms of a walk.
    fn entry<R: Read>(&self, member: &mut tar::Entry<'_, R>) -> Result<Entry, BuildError> {
        let size = member.size();
        let link = member.link_name_bytes().unwrap_or_default().into_owned();
        let attributes = self.attributes(member)?;
        let header = member.header();
        let fields = header.as_old();
        let number = |field: &[u8], result: std::io::Result<u64>| {
            // Some writers leave out what is zero.
            if field.iter().all(|byte| matches!(byte, 0 | b' ')) {
                return Ok(0);
            }
            result.map_err(|e| self.malformed(format!("a header is malformed: {e}")))
        };
        let id = |field: &[u8], result| {
            number(field, result).and_then(|id| {
                u32::try_from(id).map_err(|_| self.malformed(format!("the id {id} is too large")))
            })
        };
        let device = || {
            let major = header.device_major().ok().flatten().unwrap_or(0);
            makedev(major, header.device_minor().ok().flatten().unwrap_or(0))
        };
        let special = |file_type, device| Kind::Special { file_type, device };
        let kind = match header.entry_type() {
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(link),
            EntryType::Char => special(FileType::CharacterDevice, device()),
            EntryType::Block => special(FileType::BlockDevice, device()),
            EntryType::Fifo => special(FileType::Fifo, 0),
            _ => Kind::File,
        };
        let seconds = i64::try_from(number(&fields.mtime, header.mtime())?).unwrap_or(0);
        let mode = header.mode().map_err(|e| self.malformed(e.to_string()))? & 0o7777;
        let owner = match self.owner {
            Some(owner) => owner,
            None => Owner {
                uid: id(&fields.uid, header.uid())?,
                gid: id(&fields.gid, header.gid())?,
            },
        };
        Ok(Entry {
            path: PathBuf::new(),
            kind,
            mode,
            uid: owner.uid,
            gid: owner.gid,
            is_linked: false,
            identity: Identity {
                size,
                mtime: seconds.saturating_mul(1_000_000_000),
                ..Identity::default()
            },
            attributes,
            digest: None,
        })
    }

    /// The extended attributes of the member's pax records, those that copies keep.
    fn attributes<R: Read>(
        &self,
        member: &mut tar::Entry<'_, R>,
    ) -> Result<Attributes, BuildError> {
        let malformed = |e: std::io::Error| self.malformed(e.to_string());
        let Some(records) = member.pax_extensions().map_err(malformed)? else {
            return Ok(Vec::new());
        };
        let mut attributes = Vec::new();
        for record in records {
            let record = record.map_err(malformed)?;
            let Some(name) = record.key_bytes().strip_prefix(b"SCHILY.xattr.") else {
                continue;
            };
            if name == b"security.capability" || name.starts_with(b"user.") {
                attributes.push((name.to_vec(), record.value_bytes().to_vec()));
            }
        }
        Ok(attributes)
    }

    fn malformed(&self, problem: String) -> BuildError {
        BuildError::Archive {
            path: self.archive.clone(),
            problem,
        }
    }

    /// A failure to read the archive surfaces while a member is written: say which archive.
    fn located(&self, error: BuildError) -> BuildError {
        match error {
            BuildError::Io { source, .. } if source.raw_os_error().is_none() => {
                self.malformed(source.to_string())
            }
            other => other,
        }
    }
}
