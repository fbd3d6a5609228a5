//! The commit that a build context is a checkout of, read from the repository's files.
//!
//! No program is run: a repository may come with a context that nobody trusts, and `git` runs what
//! its configuration says. What is read is checked against its bounds, and a repository that
//! cannot be read is as good as none.
//!
//! The context is as the commit has it when each file that the commit has there is in the context
//! with the same content, unless the ignore file leaves it out. What the commit does not know
//! (caches, build results) does not count.

mod delta;
mod head;
mod objects;
mod pack;
mod parse;

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use hoist_core::Digester;
use rustix::fs::{Mode, OFlags};
use sha1::{Digest as _, Sha1};

use self::{
    head::{git_directory, head, read_line},
    objects::{Kind, Objects},
    parse::{TreeEntry, from_hex, to_hex},
};
use crate::tree::{self, Entry, Root};

/// The most files of a commit that are looked at: a repository may name the same directory many
/// times, and so more files than there can be.
const MOST_FILES: usize = 1 << 20;

/// How deep symbolic references may lead on, and directories lie in each other.
const DEEPEST: usize = 256;

/// Why a repository is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    path: PathBuf,
    problem: String,
}

impl Unreadable {
    fn new(path: &Path, problem: impl fmt::Display) -> Self {
        Self {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.problem)
    }
}

/// A directory of a work tree, and the commit that is checked out there.
#[derive(Debug)]
pub(crate) struct Checkout {
    objects: Objects,
    /// The commit, in hexadecimal digits.
    pub(crate) commit: String,
    /// When it was committed, in seconds since 1970.
    pub(crate) time: i64,
    tree: Vec<u8>,
    /// The directory, from the top of the work tree.
    below: PathBuf,
}

/// Whether a directory is as its commit has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Same,
    /// This file is not.
    Differs(PathBuf),
    /// The commit has no file of it.
    Apart,
}

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Committed {
    mode: u32,
    id: Vec<u8>,
}

impl Checkout {
    /// The checkout that the directory `path`, which is absolute and free of links, lies in;
    /// `None` when it lies in none, or nothing was committed yet.
    pub(crate) fn find(path: &Path) -> Result<Option<Self>, Unreadable> {
        let mut ancestors = path.ancestors();
        let Some(top) = ancestors.find(|top| top.join(".git").symlink_metadata().is_ok()) else {
            return Ok(None);
        };
        let private = git_directory(&top.join(".git"))?;
        let shared = match read_line(&private.join("commondir")) {
            Ok(text) => private.join(text),
            Err(_) => private.clone(),
        };
        let Some(commit) = head(&private, &shared)? else {
            return Ok(None);
        };
        let objects = Objects::open(&shared.join("objects"));
        let (kind, content) = objects.read(&from_hex(&commit))?;
        let parsed = (kind == Kind::Commit).then(|| parse::commit(&content));
        let (tree, time) = parsed.flatten().ok_or_else(|| {
            Unreadable::new(
                &shared,
                format!("{commit} is not a commit that can be read"),
            )
        })?;
        Ok(Some(Self {
            objects,
            commit,
            time,
            tree,
            below: path.strip_prefix(top).unwrap_or(path).to_owned(),
        }))
    }

    /// Compare the directory with the commit: `entries` are what it holds below `root`, and
    /// `is_ignored` tells what of the commit is left out of it.
    pub(crate) fn state(
        &self,
        root: &Root,
        entries: &[Entry],
        is_ignored: &dyn Fn(&Path) -> bool,
    ) -> Result<State, Unreadable> {
        let Some(tree) = self.directory()? else {
            return Ok(State::Apart);
        };
        let mut committed = BTreeMap::new();
        self.list(&tree, Path::new(""), &mut committed, DEEPEST)?;
        let here: BTreeMap<&Path, &Entry> = entries
            .iter()
            .map(|entry| (entry.path.as_path(), entry))
            .collect();
        let mut state = State::Apart;
        for (path, committed) in &committed {
            let Some(entry) = here.get(path.as_path()) else {
                if is_ignored(path) {
                    continue;
                }
                return Ok(State::Differs(path.clone()));
            };
            let same = committed.is(root, entry);
            if !same.map_err(|error| Unreadable::new(&root.display(path), error))? {
                return Ok(State::Differs(path.clone()));
            }
            state = State::Same;
        }
        Ok(state)
    }

    /// The tree of the directory; `None` when the commit does not have it.
    fn directory(&self) -> Result<Option<Vec<u8>>, Unreadable> {
        let mut tree = self.tree.clone();
        for name in &self.below {
            let entries = self.entries(&tree)?;
            let found = entries
                .into_iter()
                .find(|entry| entry.name == name.as_bytes() && entry.mode == DIRECTORY);
            match found {
                Some(entry) => tree = entry.id,
                None => return Ok(None),
            }
        }
        Ok(Some(tree))
    }

    /// Everything below `tree` but directories and other repositories.
    fn list(
        &self,
        tree: &[u8],
        path: &Path,
        found: &mut BTreeMap<PathBuf, Committed>,
        depth: usize,
    ) -> Result<(), Unreadable> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Unreadable::new(path, "directories lie too deep"));
        };
        for TreeEntry { name, mode, id } in self.entries(tree)? {
            let path = path.join(std::ffi::OsStr::from_bytes(&name));
            match mode {
                DIRECTORY => self.list(&id, &path, found, depth)?,
                SUBMODULE => {}
                _ if found.len() >= MOST_FILES => {
                    return Err(Unreadable::new(&path, "the commit has too many files"));
                }
                mode => {
                    found.insert(path, Committed { mode, id });
                }
            }
        }
        Ok(())
    }

    fn entries(&self, tree: &[u8]) -> Result<Vec<TreeEntry>, Unreadable> {
        let (kind, content) = self.objects.read(tree)?;
        let entries = (kind == Kind::Tree).then(|| parse::tree(&content, tree.len()));
        entries.flatten().ok_or_else(|| {
            let problem = format!("{} is not a tree that can be read", to_hex(tree));
            Unreadable::new(self.objects.path(), problem)
        })
    }
}

/// Modes of entries of trees.
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;
const SUBMODULE: u32 = 0o160_000;
const EXECUTABLE: u32 = 0o100_755;

impl Committed {
    /// True when `entry`, which lies below `root`, is what was committed.
    fn is(&self, root: &Root, entry: &Entry) -> io::Result<bool> {
        match &entry.kind {
            tree::Kind::Symlink(target) => Ok(self.mode == SYMLINK
                && blob_id(&mut &target[..], target.len() as u64, self.id.len())? == self.id),
            tree::Kind::File if self.mode != SYMLINK => {
                let is_executable = entry.mode & 0o100 != 0;
                if is_executable != (self.mode == EXECUTABLE) {
                    return Ok(false);
                }
                let fd = root.open(&entry.path, OFlags::RDONLY | OFlags::NONBLOCK)?;
                let mut file = File::from(fd);
                Ok(blob_id(&mut file, entry.identity.size, self.id.len())? == self.id)
            }
            _ => Ok(false),
        }
    }
}

/// The id that a file of this content has, by SHA-1 or SHA-256 as `length` (in bytes) says.
fn blob_id(content: &mut impl Read, size: u64, length: usize) -> io::Result<Vec<u8>> {
    let head = format!("blob {size}\0");
    let mut buffer = vec![0; 64 << 10];
    let mut each = |update: &mut dyn FnMut(&[u8])| -> io::Result<()> {
        update(head.as_bytes());
        loop {
            match content.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    };
    if length == SHA256 {
        let mut digester = Digester::new();
        each(&mut |bytes| digester.update(bytes))?;
        return Ok(digester.finish().as_raw().to_vec());
    }
    let mut digester = Sha1::new();
    each(&mut |bytes| digester.update(bytes))?;
    Ok(digester.finalize().to_vec())
}

/// Open a file of a repository, which may be anything: nothing waits for the other end of a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// The length of ids in repositories of either kind, in bytes.
const SHA1: usize = 20;
const SHA256: usize = 32;

#[cfg(test)]
mod tests;
