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
mod objects;
mod pack;

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use hoist_core::Digester;
use rustix::fs::OFlags;
use sha1::{Digest as _, Sha1};

use self::objects::{Kind, Objects};
use crate::tree::{self, Entry, Root};

/// How deep symbolic references may lead on, and directories lie in each other.
const DEEPEST: usize = 256;

/// The longest file of the repository that is read whole, in bytes: its list of references.
const LARGEST: u64 = 64 << 20;

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
        let parsed = (kind == Kind::Commit).then(|| parse_commit(&content));
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
                .find(|(found, mode, _)| found == name.as_bytes() && *mode == DIRECTORY);
            match found {
                Some((_, _, id)) => tree = id,
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
        for (name, mode, id) in self.entries(tree)? {
            let path = path.join(std::ffi::OsStr::from_bytes(&name));
            match mode {
                DIRECTORY => self.list(&id, &path, found, depth)?,
                SUBMODULE => {}
                mode => {
                    found.insert(path, Committed { mode, id });
                }
            }
        }
        Ok(())
    }

    fn entries(&self, tree: &[u8]) -> Result<Vec<(Vec<u8>, u32, Vec<u8>)>, Unreadable> {
        let (kind, content) = self.objects.read(tree)?;
        let entries = (kind == Kind::Tree).then(|| parse_tree(&content, tree.len()));
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

/// The length of ids in repositories of either kind, in bytes.
const SHA1: usize = 20;
const SHA256: usize = 32;

/// What `.git` is: the directory itself, or a file that names it.
fn git_directory(path: &Path) -> Result<PathBuf, Unreadable> {
    if path.is_dir() {
        return Ok(path.to_owned());
    }
    let line = read_line(path).map_err(|error| Unreadable::new(path, error))?;
    let place = line.strip_prefix("gitdir: ");
    let place = place.ok_or_else(|| Unreadable::new(path, "it does not name a directory"))?;
    Ok(path.parent().unwrap_or(Path::new("/")).join(place))
}

/// The commit that HEAD means, in hexadecimal digits; `None` when there is none yet.
fn head(private: &Path, shared: &Path) -> Result<Option<String>, Unreadable> {
    let path = private.join("HEAD");
    let mut text = read_line(&path).map_err(|error| Unreadable::new(&path, error))?;
    for _ in 0..DEEPEST {
        let Some(name) = text.strip_prefix("ref: ") else {
            let is_id = !from_hex(&text).is_empty();
            return match is_id {
                true => Ok(Some(text)),
                false => Err(Unreadable::new(&path, format!("HEAD leads to {text:?}"))),
            };
        };
        let name = name.trim();
        if !name.starts_with("refs/") || name.split('/').any(|part| part == "..") {
            return Err(Unreadable::new(&path, format!("HEAD leads to {name:?}")));
        }
        let loose = [private, shared].map(|directory| directory.join(name));
        match loose.iter().find_map(|path| read_line(path).ok()) {
            Some(found) => text = found,
            None => return packed(&shared.join("packed-refs"), name),
        }
    }
    Err(Unreadable::new(&path, "references lead in a circle"))
}

/// The reference `name` in the list at `path`.
fn packed(path: &Path, name: &str) -> Result<Option<String>, Unreadable> {
    let mut text = Vec::new();
    match File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Unreadable::new(path, error)),
    }
    let found = text.split(|byte| *byte == b'\n').find_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        let (id, found) = line.trim_end().split_once(' ')?;
        (found == name && !from_hex(id).is_empty()).then(|| id.to_owned())
    });
    Ok(found)
}

/// The first line of a short file.
fn read_line(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(4096).read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// The bytes of an id; none when `text` is no id.
fn from_hex(text: &str) -> Vec<u8> {
    let is_long_enough = [SHA1 * 2, SHA256 * 2].contains(&text.len());
    let digits = text.as_bytes().as_chunks::<2>().0.iter();
    let bytes = digits.map(|pair| {
        let text = std::str::from_utf8(pair).ok()?;
        let is_hex = pair.iter().all(u8::is_ascii_hexdigit);
        is_hex.then(|| u8::from_str_radix(text, 16).ok()).flatten()
    });
    match bytes.collect::<Option<Vec<u8>>>() {
        Some(bytes) if is_long_enough => bytes,
        _ => Vec::new(),
    }
}

fn to_hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The tree of a commit, and when it was committed.
fn parse_commit(content: &[u8]) -> Option<(Vec<u8>, i64)> {
    let mut lines = content.split(|byte| *byte == b'\n');
    let tree = std::str::from_utf8(lines.next()?.strip_prefix(b"tree ")?).ok()?;
    let committer = lines
        .take_while(|line| !line.is_empty())
        .find_map(|line| line.strip_prefix(b"committer "))?;
    // `Name <address> 1700000000 +0100`
    let mut words = committer.rsplit(|byte| *byte == b' ');
    let time = std::str::from_utf8(words.nth(1)?).ok()?.parse().ok()?;
    let tree = from_hex(tree);
    (!tree.is_empty()).then_some((tree, time))
}

/// Name, mode and id of each entry of a tree.
fn parse_tree(mut content: &[u8], id_length: usize) -> Option<Vec<(Vec<u8>, u32, Vec<u8>)>> {
    let mut entries = Vec::new();
    while !content.is_empty() {
        let space = content.iter().position(|byte| *byte == b' ')?;
        let mode = std::str::from_utf8(&content[..space]).ok()?;
        let mode = u32::from_str_radix(mode, 8).ok()?;
        content = &content[space + 1..];
        let end = content.iter().position(|byte| *byte == 0)?;
        let name = &content[..end];
        let id = content[end + 1..].get(..id_length)?;
        if name.is_empty() || name == b".." || name.contains(&b'/') {
            return None;
        }
        entries.push((name.to_vec(), mode, id.to_vec()));
        content = &content[end + 1 + id_length..];
    }
    Some(entries)
}

#[cfg(test)]
mod tests;
