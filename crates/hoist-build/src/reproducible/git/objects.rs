//! Objects of a repository: each in a file of its own, or many in a pack.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use flate2::read::ZlibDecoder;

use super::{
    Unreadable, open,
    pack::{Pack, Packed},
    parse::to_hex,
};

/// The largest object that is read, in bytes. Commits and directories are small.
pub(super) const LARGEST: u64 = 64 << 20;

/// How many repositories may borrow from each other.
const MOST_DIRECTORIES: usize = 64;

/// How many differences may build on each other; git's own limit is 4095.
const MOST_DELTAS: usize = 4096;

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
            let mut list = String::new();
            if let Ok(file) = open(&directory.join("info/alternates")) {
                // What is no text names no directory.
                let _ = file.take(LARGEST).read_to_string(&mut list);
            }
            for line in list.lines().filter(|line| !line.starts_with('#')) {
                let place = directory.join(line);
                if !line.is_empty()
                    && directories.len() < MOST_DIRECTORIES
                    && !directories.contains(&place)
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
        let mut deltas = Deltas::default();
        let mut wanted = id.to_vec();
        let (kind, mut content) = loop {
            match self.find(&wanted, &mut deltas)? {
                Base::Whole(kind, content) => break (kind, content),
                Base::Object(id) => wanted = id,
            }
        };
        for delta in deltas.all.iter().rev() {
            content = super::delta::apply(&content, delta)
                .ok_or_else(|| Unreadable::new(self.path(), "a difference cannot be read"))?;
        }
        Ok((kind, content))
    }

    fn find(&self, id: &[u8], deltas: &mut Deltas) -> Result<Base, Unreadable> {
        let name = to_hex(id);
        let (start, rest) = name.split_at(name.len().min(2));
        for directory in &self.directories {
            let path = directory.join(start).join(rest);
            match loose(&path) {
                Ok((kind, content)) => return Ok(Base::Whole(kind, content)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Unreadable::new(&path, error)),
            }
        }
        for directory in &self.directories {
            for path in packs(&directory.join("pack")) {
                let failed = |error: io::Error| Unreadable::new(&path, error);
                if let Some(offset) = Pack::find(&path, id).map_err(failed)? {
                    return packed(&path, offset, id.len(), deltas).map_err(failed);
                }
            }
        }
        let problem = format!("object {name} is not there");
        Err(Unreadable::new(self.path(), problem))
    }
}

/// What an object, or a chain of differences, begins with.
enum Base {
    Whole(Kind, Vec<u8>),
    /// The object of this id.
    Object(Vec<u8>),
}

/// The differences that lead to an object, the last one first.
#[derive(Default)]
struct Deltas {
    all: Vec<Vec<u8>>,
    bytes: u64,
}

impl Deltas {
    fn push(&mut self, delta: Vec<u8>) -> io::Result<()> {
        self.bytes += delta.len() as u64;
        self.all.push(delta);
        match self.all.len() <= MOST_DELTAS && self.bytes <= LARGEST {
            true => Ok(()),
            false => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// What the object at `offset` of the pack whose index is `path` begins with, and the differences
/// on the way there.
fn packed(path: &Path, offset: u64, id_length: usize, deltas: &mut Deltas) -> io::Result<Base> {
    let pack = Pack::open(path)?;
    let mut offset = offset;
    loop {
        match pack.read(offset, id_length)? {
            Packed::Whole(kind, content) => return Ok(Base::Whole(kind, content)),
            Packed::From(base, delta) => {
                deltas.push(delta)?;
                offset = base;
            }
            Packed::FromObject(base, delta) => {
                deltas.push(delta)?;
                return Ok(Base::Object(base));
            }
        }
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
    ZlibDecoder::new(open(path)?)
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
