//! `COPY`, and `ADD` of what lies in the context: trees, files and inline documents into a draft.
//!
//! Docker's rules: the content of a source directory is copied, not the directory; a file goes
//! into a destination that is a directory or is written with a slash, and otherwise takes its
//! place; directories on the way are made with mode 0755. Symbolic links are copied as links,
//! modes and times are kept, hard links stay hard links.

use std::{
    ffi::{OsStr, OsString},
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{OFlags, fstat},
    io::Errno,
};

use super::{
    archive,
    chmod::Chmod,
    draft::{Draft, New, Owner, Place},
};
use crate::{
    error::BuildError,
    tree::{Entry, Identity, Kind, Ownership, Root, io},
};

/// One source of a copy.
#[derive(Debug)]
pub(crate) enum Item<'a> {
    /// A file or the content of a directory.
    Tree {
        root: &'a Root,
        /// Its last component names the copy of a file.
        name: &'a Path,
        /// Where it lies in `root`.
        start: &'a Path,
        /// What a walk from `start` found.
        entries: &'a [Entry],
    },
    /// A tar archive of the context, whose members are copied.
    Archive { root: &'a Root, path: &'a Path },
    /// A here-document.
    Inline { name: &'a str, content: &'a [u8] },
}

/// What to copy, where to, and what to change on the way.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) items: Vec<Item<'a>>,
    /// Absolute; a slash at its end means a directory.
    pub(crate) destination: &'a str,
    pub(crate) owner: Option<Owner>,
    pub(crate) chmod: Option<&'a Chmod>,
    pub(crate) cancelled: &'a AtomicBool,
}

/// What came of a copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// A file of the context changed after its digest was taken: the layer is what was there, and
    /// is not to be found by that digest.
    pub(crate) source_changed: bool,
}

/// Copy everything that `job` names into `draft`.
pub(crate) fn copy(draft: &mut Draft, job: &Job<'_>) -> Result<Outcome, BuildError> {
    let resolved = draft.resolve(Path::new(job.destination))?;
    let mut copier = Copier {
        draft,
        job,
        outcome: Outcome::default(),
    };
    let is_directory = job.destination.ends_with('/')
        || job.destination.ends_with("/.")
        || copier.draft.is_directory(&resolved);
    copier.check_several(is_directory)?;
    for item in &job.items {
        match item {
            Item::Tree {
                root,
                name,
                start,
                entries,
            } if entries[0].is_directory() => {
                let _ = name;
                copier.tree(root, start, entries, &resolved)?;
            }
            Item::Tree {
                root,
                name,
                start,
                entries,
            } => {
                let name = name.file_name().unwrap_or(OsStr::new("file"));
                let (place, name) = copier.place_of_file(&resolved, is_directory, name)?;
                copier.file(root, start, &entries[0], &place, &name)?;
            }
            Item::Archive { root, path } => {
                let new = New::directory(job.owner.unwrap_or_default());
                copier.draft.directory(&resolved, new)?;
                let owner = job.owner;
                archive::extract(copier.draft, root, path, &resolved, owner, job.cancelled)?;
            }
            Item::Inline { name, content } => {
                let (place, name) =
                    copier.place_of_file(&resolved, is_directory, OsStr::new(name))?;
                let mode = job.chmod.map_or(0o644, |chmod| chmod.apply(0o644, false));
                let new = New {
                    mode,
                    owner: job.owner.unwrap_or_default(),
                    time: None,
                };
                copier.draft.put_bytes(&place, &name, content, new)?;
            }
        }
    }
    Ok(copier.outcome)
}

struct Copier<'a, 'b> {
    draft: &'a mut Draft,
    job: &'a Job<'b>,
    outcome: Outcome,
}

impl Copier<'_, '_> {
    /// Several files cannot all become the file that the destination names.
    fn check_several(&self, is_directory: bool) -> Result<(), BuildError> {
        let is_file = |item: &&Item<'_>| match item {
            Item::Tree { entries, .. } => !entries[0].is_directory(),
            Item::Inline { .. } => true,
            Item::Archive { .. } => false,
        };
        if is_directory || self.job.items.len() < 2 || !self.job.items.iter().any(|i| is_file(&i)) {
            return Ok(());
        }
        Err(BuildError::SeveralSources {
            destination: self.job.destination.to_owned(),
        })
    }

    /// The directory and name that a source file gets.
    fn place_of_file(
        &mut self,
        resolved: &Path,
        is_directory: bool,
        name: &OsStr,
    ) -> Result<(Place, OsString), BuildError> {
        let new = New::directory(self.job.owner.unwrap_or_default());
        if is_directory {
            return Ok((self.draft.directory(resolved, new)?, name.to_owned()));
        }
        let parent = resolved.parent().unwrap_or(Path::new(""));
        let name = resolved.file_name().unwrap_or(name).to_owned();
        Ok((self.draft.directory(parent, new)?, name))
    }

    /// The content of a source directory into `destination`.
    fn tree(
        &mut self,
        root: &Root,
        start: &Path,
        entries: &[Entry],
        destination: &Path,
    ) -> Result<(), BuildError> {
        let top = self.top(&entries[0], destination)?;
        // The places of the directories that the current entry lies in, the outermost first.
        let mut places = vec![top];
        for entry in &entries[1..] {
            self.check_cancelled()?;
            let depth = entry.path.components().count();
            places.truncate(depth);
            let parent = places.last().expect("the top is never removed").clone();
            let name = entry.path.file_name().unwrap_or(OsStr::new("."));
            let path = start.join(&entry.path);
            if entry.is_directory() {
                let new = New::like(&self.changed(entry));
                let (place, created) = self.draft.enter(&parent, name, new)?;
                if !created {
                    self.draft.dress(&place, new)?;
                }
                places.push(place);
            } else {
                self.file(root, &path, entry, &parent, name)?;
            }
        }
        Ok(())
    }

    /// The destination of a tree. One that exists keeps its mode and owner; a new one takes
    /// those of the source directory.
    fn top(&mut self, entry: &Entry, destination: &Path) -> Result<Place, BuildError> {
        let on_the_way = New::directory(self.job.owner.unwrap_or_default());
        let Some(name) = destination.file_name() else {
            return Ok(self.draft.root());
        };
        let parent = destination.parent().unwrap_or(Path::new(""));
        let parent = self.draft.directory(parent, on_the_way)?;
        let new = New::like(&self.changed(entry));
        Ok(self.draft.enter(&parent, name, new)?.0)
    }

    fn file(
        &mut self,
        root: &Root,
        path: &Path,
        entry: &Entry,
        place: &Place,
        name: &OsStr,
    ) -> Result<(), BuildError> {
        self.check_cancelled()?;
        let copy = self.changed(entry);
        if entry.kind != Kind::File {
            return self.draft.put(place, name, &copy, None);
        }
        let source = match root.open(path, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(source) => source,
            Err(Errno::NOENT) if root.ownership() == Ownership::Root => {
                return Err(BuildError::Vanished {
                    path: root.display(path),
                });
            }
            Err(errno) => return Err(io("open", root, path, errno)),
        };
        if root.ownership() == Ownership::Kept {
            return self.draft.put(place, name, &copy, Some(source.as_fd()));
        }
        let identity = || -> Result<Identity, BuildError> {
            let stat = fstat(&source).map_err(|e| io("read", root, path, e))?;
            Ok(Identity::of(&stat))
        };
        let before = identity()?;
        self.draft.put(place, name, &copy, Some(source.as_fd()))?;
        if before != entry.identity || identity()? != before {
            self.outcome.source_changed = true;
        }
        Ok(())
    }

    /// `entry` with the owner and mode that the instruction asks for.
    fn changed(&self, entry: &Entry) -> Entry {
        let mut entry = entry.clone();
        if let Some(owner) = self.job.owner {
            (entry.uid, entry.gid) = (owner.uid, owner.gid);
        }
        if let Some(chmod) = self.job.chmod {
            entry.mode = chmod.apply(entry.mode, entry.is_directory());
        }
        entry
    }

    fn check_cancelled(&self) -> Result<(), BuildError> {
        if self.job.cancelled.load(Ordering::Relaxed) {
            return Err(BuildError::Cancelled);
        }
        Ok(())
    }
}

/// `destination` made absolute against `working_directory`: a slash, or a final `.`, stays to say
/// that it is a directory (BuildKit's `pathRelativeToWorkingDir`).
pub(crate) fn absolute(working_directory: &str, destination: &str) -> String {
    let destination = match destination {
        "" | "." => "./",
        other => other,
    };
    let is_directory = destination.ends_with('/')
        || destination.ends_with("/.")
        || destination.ends_with("/..")
        || destination == "..";
    let joined = if destination.starts_with('/') {
        destination.to_owned()
    } else {
        format!("{working_directory}/{destination}")
    };
    let mut path = PathBuf::from("/");
    path.push(crate::tree::resolve::clean(&joined));
    let mut path = path.to_string_lossy().into_owned();
    if is_directory && !path.ends_with('/') {
        path.push('/');
    }
    path
}
