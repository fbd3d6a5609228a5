//! Objects of a repository: each in a file of its own, or many in a pack.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use flate2::read::ZlibDecoder;

use super::{
    Unreadable,
    pack::{Pack, Packed},
    parse::to_hex,
};

/// The largest object that is read, in bytes. Commits and directories are small.
pub(super) const LARGEST: u64 = 64 << 20;

/// How many repositories may borrow from each other, and differences build on each other.
const DEEPEST: usize = 1024;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Commit,
    Tree,
    /// A file, or a tag.
    Other,
}

/// The objects of a repository, and of those that it borrows from.
#[derive(Debug)]
pub(super) struct Objects {
    directories: Vec<PathBuf>,
}

impl Objects {
    /// The objects in `directory`.
    pub(super) fn open(directory: &Path) -> Self {
        let mut directories = vec![directory.to_owned()];
        let mut next = 0;
        while let Some(directory) = directories.get(next).cloned() {
            let list = fs::read_to_string(directory.join("info/alternates")).unwrap_or_default();
            for line in list.lines().filter(|line| !line.starts_with('#')) {
                let place = directory.join(line);
                if !line.is_empty() && directories.len() < DEEPEST && !directories.contains(&place)
                {
                    directories.push(place);
                }
            }
            next += 1;
        }
        Self { directories }
    }

    /// The repository's own directory of objects.
    pub(super) fn path(&self) -> &Path {
        &self.directories[0]
    }

    /// The object `id`.
    pub(super) fn read(&self, id: &[u8]) -> Result<(Kind, Vec<u8>), Unreadable> {
        self.read_at_depth(id, DEEPEST)
    }

    fn read_at_depth(&self, id: &[u8], depth: usize) -> Result<(Kind, Vec<u8>), Unreadable> {
        let name = to_hex(id);
        let Some((start, rest)) = name.split_at_checked(2).filter(|_| depth > 0) else {
            return Err(Unreadable::new(self.path(), "differences lie too deep"));
        };
        for directory in &self.directories {
            let path = directory.join(start).join(rest);
            match loose(&path) {
                Ok(found) => return Ok(found),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Unreadable::new(&path, error)),
            }
        }
        for directory in &self.directories {
            for path in packs(&directory.join("pack")) {
                let failed = |error: io::Error| Unreadable::new(&path, error);
                let Some(offset) = Pack::find(&path, id).map_err(failed)? else {
                    continue;
                };
                return self.packed(&path, offset, id.len(), depth);
            }
        }
        Err(Unreadable::new(
            self.path(),
            format!("object {name} is not there"),
        ))
    }

    /// The object at `offset` of the pack whose index is `path`, put together from the
    /// differences that it is kept as.
    fn packed(
        &self,
        path: &Path,
        offset: u64,
        id_length: usize,
        depth: usize,
    ) -> Result<(Kind, Vec<u8>), Unreadable> {
        let failed = |error: io::Error| Unreadable::new(path, error);
        let pack = Pack::open(path).map_err(failed)?;
        let mut deltas = Vec::new();
        let mut offset = offset;
        let (kind, mut content) = loop {
            if deltas.len() >= depth {
                return Err(Unreadable::new(path, "differences lie too deep"));
            }
            match pack.read(offset, id_length).map_err(failed)? {
                Packed::Whole(kind, content) => break (kind, content),
                Packed::From(base, delta) => {
                    deltas.push(delta);
                    offset = base;
                }
                Packed::FromObject(base, delta) => {
                    deltas.push(delta);
                    break self.read_at_depth(&base, depth - deltas.len())?;
                }
            }
        };
        for delta in deltas.iter().rev() {
            content = super::delta::apply(&content, delta)
                .ok_or_else(|| Unreadable::new(path, "a difference cannot be read"))?;
        }
        Ok((kind, content))
    }
}

/// The indices of the packs in `directory`, in the order of their names.
fn packs(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "idx"))
        .collect();
    paths.sort();
    paths
}

/// An object in a file of its own: `<kind> <size>\0<content>`, compressed.
fn loose(path: &Path) -> io::Result<(Kind, Vec<u8>)> {
    let mut bytes = Vec::new();
    ZlibDecoder::new(File::open(path)?)
        .take(LARGEST)
        .read_to_end(&mut bytes)?;
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let end = bytes.iter().position(|byte| *byte == 0);
    let end = end.ok_or_else(invalid)?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| invalid())?;
    let (kind, size) = head.split_once(' ').ok_or_else(invalid)?;
    let kind = match kind {
        "commit" => Kind::Commit,
        "tree" => Kind::Tree,
        _ => Kind::Other,
    };
    let size: usize = size.parse().map_err(|_| invalid())?;
    bytes.drain(..=end);
    match bytes.len() == size {
        true => Ok((kind, bytes)),
        false => Err(invalid()),
    }
}
