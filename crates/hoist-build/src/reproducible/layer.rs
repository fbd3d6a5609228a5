//! A layer whose step has ended, before its digest is taken.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, OFlags, Timespec, Timestamps as FileTimes, unlinkat, utimensat},
    io::Errno,
};

use super::{
    Times,
    rules::{RULES, Rule},
};
use crate::{
    error::BuildError,
    execute::open_directory,
    tree::{Entry, Kind, Ownership, Root, filter::Filter, walk},
};

const SECOND: i64 = 1_000_000_000;

/// Which times of a layer become the epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Those after it. Of two files the one that was older stays older, or becomes as old: `make`
    /// finds nothing to do that it would not have found before.
    #[default]
    Later,
    /// All of them.
    All,
}

/// What a rule did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) rule: &'static Rule,
    /// Files that it changed.
    pub(crate) files: usize,
}

/// A file as a container sees it: one of the layer, or of those below.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) entry: Entry,
    /// The time that it will have, in nanoseconds since 1970.
    pub(super) time: i64,
    /// Where it is to be opened.
    pub(super) root: &'a Root,
}

/// A layer, and what it lies on.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    fd: OwnedFd,
    root: Root,
    entries: Vec<Entry>,
    below: Option<&'a Root>,
    /// Nanoseconds since 1970.
    limit: i64,
    reach: Reach,
}

/// Bound the times in the layer at `path`, which lies on `below`, and in a reproducible build
/// apply the rules. What each of them did.
pub(crate) fn settle(
    path: &Path,
    below: Option<&Root>,
    times: Times,
    reach: Reach,
) -> Result<Vec<Settled>, BuildError> {
    let Some(limit) = times.limit() else {
        return Ok(Vec::new());
    };
    let mut layer = Layer::open(path, below, limit, reach)?;
    let mut settled = Vec::new();
    if times.is_reproducible() {
        for rule in &RULES {
            let files = rule.apply(&mut layer)?;
            if files > 0 {
                settled.push(Settled { rule, files });
            }
        }
    }
    layer.bound()?;
    Ok(settled)
}

impl<'a> Layer<'a> {
    pub(super) fn open(
        path: &Path,
        below: Option<&'a Root>,
        limit: i64,
        reach: Reach,
    ) -> Result<Self, BuildError> {
        let root = Root::new(open_directory(path)?, PathBuf::from("/"), Ownership::Kept);
        let entries = walk(&root, Path::new(""), &Filter::ignoring(None))?;
        Ok(Self {
            fd: open_directory(path)?,
            root,
            entries,
            below,
            limit: limit.saturating_mul(SECOND),
            reach,
        })
    }

    /// Everything in it but sockets, directories before what they hold.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The time that something of this layer will have which now has `time`; both in nanoseconds
    /// since 1970.
    pub(super) fn bounded(&self, time: i64) -> i64 {
        match self.reach {
            Reach::Later => time.min(self.limit),
            Reach::All => self.limit,
        }
    }

    /// The regular file at `path` as a container sees it.
    pub(super) fn file(&self, path: &Path) -> Result<Option<Seen<'_>>, BuildError> {
        let found = |root: &Root| match root.entry(path) {
            Ok(entry) => Ok(Some(entry)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(BuildError::io("read", root.display(path), errno)),
        };
        let seen = |entry: Entry, time, root| {
            let is_file = entry.kind == Kind::File;
            is_file.then_some(Seen { entry, time, root })
        };
        if let Some(entry) = found(&self.root)? {
            let time = self.bounded(entry.identity.mtime);
            return Ok(seen(entry, time, &self.root));
        }
        let Some(below) = self.below else {
            return Ok(None);
        };
        let entry = found(below)?;
        Ok(entry.and_then(|entry| {
            let time = entry.identity.mtime;
            seen(entry, time, below)
        }))
    }

    /// Open a file of the layer.
    pub(super) fn open_file(&self, path: &Path, access: OFlags) -> Result<OwnedFd, BuildError> {
        self.root
            .open(path, access | OFlags::NONBLOCK)
            .map_err(|errno| BuildError::io("open", self.root.display(path), errno))
    }

    /// Take everything that is `unwanted`, which are not directories, out of the layer; how much
    /// that was.
    pub(super) fn remove(
        &mut self,
        unwanted: impl Fn(&Entry) -> bool,
    ) -> Result<usize, BuildError> {
        let count = self.entries.len();
        let (gone, kept) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(unwanted);
        self.entries = kept;
        let gone: Vec<Entry> = gone;
        for entry in &gone {
            unlinkat(&self.fd, &entry.path, AtFlags::empty())
                .map_err(|errno| BuildError::io("remove", self.root.display(&entry.path), errno))?;
        }
        Ok(count - self.entries.len())
    }

    /// Bound all times. Those of directories are set in any case: what was removed from them has
    /// changed them.
    pub(super) fn bound(&self) -> Result<(), BuildError> {
        for entry in &self.entries {
            let time = self.bounded(entry.identity.mtime);
            if entry.is_whiteout() || time == entry.identity.mtime && !entry.is_directory() {
                continue;
            }
            let path = match entry.path.as_os_str().is_empty() {
                true => Path::new("."),
                false => &entry.path,
            };
            utimensat(
                self.fd.as_fd(),
                path,
                &file_times(time),
                AtFlags::SYMLINK_NOFOLLOW,
            )
            .map_err(|errno| {
                BuildError::io("set the times of", self.root.display(&entry.path), errno)
            })?;
        }
        Ok(())
    }
}

/// Both times of a file at `time`, in nanoseconds since 1970.
fn file_times(time: i64) -> FileTimes {
    let time = Timespec {
        tv_sec: time.div_euclid(SECOND),
        tv_nsec: time.rem_euclid(SECOND),
    };
    FileTimes {
        last_access: time,
        last_modification: time,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt, symlink},
        time::{Duration, SystemTime},
    };

    use super::*;

    fn set(path: &Path, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        fs::File::open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn later_times_become_the_epoch_and_earlier_ones_stay_unless_all_are_reached() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("dir")).unwrap();
        for name in ["dir/old", "dir/new"] {
            fs::write(path(name), name).unwrap();
        }
        symlink("nowhere", path("dir/link")).unwrap();
        let pipe = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path("dir/pipe"), pipe, mode, 0).unwrap();
        set(&path("dir/old"), 500);
        set(&path("dir"), 600);
        let times = || {
            ["dir", "dir/old", "dir/new", "dir/link", "dir/pipe", ""].map(|name| {
                let found = fs::symlink_metadata(path(name)).unwrap();
                (found.mtime(), found.mtime_nsec())
            })
        };
        let bound = |reach| {
            let layer = Layer::open(dir.path(), None, 1000, reach).unwrap();
            layer.bound().unwrap();
            times()
        };
        assert_eq!(
            bound(Reach::Later),
            [
                (600, 0),
                (500, 0),
                (1000, 0),
                (1000, 0),
                (1000, 0),
                (1000, 0)
            ]
        );
        assert_eq!(bound(Reach::All), [(1000, 0); 6]);
    }

    #[test]
    fn a_directory_keeps_its_time_when_something_is_removed_from_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        fs::write(dir.path().join("log/x"), "x").unwrap();
        set(&dir.path().join("log"), 600);
        let mut layer = Layer::open(dir.path(), None, 1000, Reach::Later).unwrap();
        let removed = layer.remove(|entry| entry.path == Path::new("log/x"));
        assert_eq!(removed.unwrap(), 1);
        layer.bound().unwrap();
        assert_eq!(fs::metadata(dir.path().join("log")).unwrap().mtime(), 600);
        assert!(!dir.path().join("log/x").exists());
    }
}
