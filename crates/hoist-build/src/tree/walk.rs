//! The list of everything below a path, in a fixed order.

use std::{
    ffi::{OsStr, OsString},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, RawDir, openat},
    io::Errno,
};

use super::{
    Entry, Root,
    filter::{Choice, Filter, State},
    io,
};
use crate::error::BuildError;

/// Everything below `start`, and `start` itself first: parents before their content, names in
/// byte order. Sockets are left out. Empty when `filter` keeps nothing.
pub(crate) fn walk(
    root: &Root,
    start: &Path,
    filter: &Filter<'_>,
) -> Result<Vec<Entry>, BuildError> {
    let first = root.entry(start).map_err(|e| io("read", root, start, e))?;
    let is_directory = first.is_directory();
    let (choice, state) = filter.begin(start);
    if choice == Choice::Skip || choice == Choice::Descend && !is_directory {
        return Ok(Vec::new());
    }
    let mut walker = Walker {
        root,
        filter,
        entries: vec![first],
        buffer: Vec::with_capacity(32 << 10),
    };
    if is_directory {
        let fd = root
            .open(start, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(|e| io("open", root, start, e))?;
        walker.directory(&fd, start, Path::new(""), &state)?;
    }
    if choice == Choice::Descend && walker.entries.len() == 1 {
        walker.entries.clear();
    }
    Ok(walker.entries)
}

struct Walker<'a> {
    root: &'a Root,
    filter: &'a Filter<'a>,
    entries: Vec<Entry>,
    buffer: Vec<u8>,
}

impl Walker<'_> {
    fn directory(
        &mut self,
        fd: &OwnedFd,
        root: &Path,
        start: &Path,
        above: &State,
    ) -> Result<(), BuildError> {
        let names = self.names(fd).map_err(|e| io("list", self.root, root, e))?;
        for name in names {
            let below_root = root.join(&name);
            let below_start = start.join(&name);
            let read = Entry::read(fd.as_fd(), &name, below_start.clone(), self.root.ownership);
            let entry = match read {
                Ok(entry) => entry,
                // Gone since it was listed: as if the walk had come a moment later.
                Err(Errno::NOENT) => continue,
                Err(e) => return Err(io("read", self.root, &below_root, e)),
            };
            let is_directory = entry.is_directory();
            let asked = self
                .filter
                .ask(&below_root, &below_start, is_directory, above);
            let (choice, state) = asked;
            if choice != Choice::Keep && !(choice == Choice::Descend && is_directory)
                || entry.is_socket()
            {
                continue;
            }
            self.entries.push(entry);
            if is_directory {
                let count = self.entries.len();
                let child = openat(
                    fd,
                    &name,
                    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                    Mode::empty(),
                )
                .map_err(|e| io("open", self.root, &below_root, e))?;
                self.directory(&child, &below_root, &below_start, &state)?;
                if choice == Choice::Descend && self.entries.len() == count {
                    self.entries.pop();
                }
            }
        }
        Ok(())
    }

    /// The names in a directory, in byte order.
    fn names(&mut self, fd: &OwnedFd) -> Result<Vec<OsString>, Errno> {
        let mut names = list(fd, self.buffer.spare_capacity_mut())?;
        names.sort_unstable();
        Ok(names)
    }
}

fn list(fd: &OwnedFd, buffer: &mut [MaybeUninit<u8>]) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    let mut directory = RawDir::new(fd, buffer);
    while let Some(entry) = directory.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    Ok(names)
}

/// The names in the directory `path` of `root`, in byte order.
pub(crate) fn names(root: &Root, path: &Path) -> Result<Vec<OsString>, Errno> {
    let fd = root.open(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let mut buffer: Vec<u8> = Vec::with_capacity(32 << 10);
    let mut names = list(&fd, buffer.spare_capacity_mut())?;
    names.sort_unstable();
    Ok(names)
}

/// `path` with `name` at its end.
pub(super) fn child(path: &Path, name: &[u8]) -> PathBuf {
    path.join(OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hoist_dockerfile::ignore::Ignore;

    use super::{super::Ownership, *};

    #[test]
    fn a_walk_is_ordered_and_keeps_directories_only_for_what_they_hold() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b/keep/x", "b/skip/y", "a.txt", "empty/none/z", "a/1"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let root = Root::new(
            fs::File::open(dir.path()).unwrap().into(),
            dir.path().to_owned(),
            Ownership::Root,
        );
        let ignore = Ignore::parse("b\n!b/keep\nempty\n!empty/other\n").unwrap();
        let filter = Filter::ignoring(Some(&ignore));
        let entries = walk(&root, Path::new(""), &filter).unwrap();
        let paths: Vec<_> = entries.iter().map(|e| e.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["", "a", "a/1", "a.txt", "b", "b/keep", "b/keep/x"]);
        assert!(
            walk(&root, Path::new("b/skip"), &filter)
                .unwrap()
                .is_empty()
        );
        let below = walk(&root, Path::new("b/keep"), &filter).unwrap();
        assert_eq!(below.len(), 2);
        assert_eq!(below[1].path, Path::new("x"));
        assert_eq!((below[1].uid, below[1].identity.size), (0, 8));
        let parents = Filter::default().only("*/skip").unwrap();
        let entries = walk(&root, Path::new(""), &parents).unwrap();
        let paths: Vec<_> = entries.iter().map(|e| e.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["", "b", "b/skip", "b/skip/y"]);
    }
}
