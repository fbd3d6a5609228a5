//! What earlier steps gave: `<root>/cache/build-v1/<key>.json`, one file a step.
//!
//! ```text
//! cache/build-v1/<key>.json     Record: the layer, and the parts of the key
//!                <key>.files    digests of the files of a copied directory, for explanations
//!                trails/<name>  the keys that the last build of a Dockerfile had (explain.rs)
//! cache/context-v1/<name>       digests of context files (context/memory.rs)
//! cache/mounts-v1/<name>/       cache mounts (execute/cache_mount.rs)
//! cache/http-v1/                files of web servers (remote/web.rs)
//! cache/git-v1/                 repositories (remote/git/repository.rs)
//! cache/collected               when it was tidied (collect.rs)
//! ```
//!
//! Everything here may be deleted at any time. A record that cannot be read, or whose parts do not
//! give its name, is as good as none and is written anew.

mod imported;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use hoist_core::{Digest, time::Timestamp};
use hoist_engine::Engine;
use hoist_store::Store;
use hoist_sys::{
    atomic::{self, Durability},
    lock::Lock,
};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
use serde::{Deserialize, Serialize};

use crate::{
    error::BuildError,
    exchange::elsewhere::Elsewhere,
    key::Parts,
    remote::{git, web},
};

/// The directory of the records, below the root.
const DIRECTORY: &str = "cache/build-v1";

/// Where digests of context files are remembered, below the root.
pub(crate) const CONTEXTS: &str = "cache/context-v1";

/// Where cache mounts lie, below the root.
pub(crate) const MOUNTS: &str = "cache/mounts-v1";

/// Written when the cache was looked through, below the root; its time says when.
pub(crate) const COLLECTED: &str = "cache/collected";

/// The result of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// When the step ran.
    pub(crate) created: Timestamp,
    /// The layer; `None` when the step changed nothing.
    pub(crate) layer: Option<Digest>,
    /// Bytes in the layer.
    pub(crate) size: u64,
    /// Files with secrets in the layer that the build allowed (`--allow-secret-in-layer`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) allowed: Vec<PathBuf>,
    /// The key that the same result has by the content of what was copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by_content: Option<Digest>,
    /// What entered the key.
    pub(crate) parts: Parts,
}

/// The records of a store, and the results of the build that is running.
pub(crate) struct Cache<'a> {
    directory: PathBuf,
    store: &'a Store,
    usage: Usage,
    /// What of `allowed` in records this build allows, too.
    allowed: &'a [PathBuf],
    /// Where what is not here may be had.
    elsewhere: &'a Elsewhere<'a>,
    state: Mutex<State>,
    freed: Condvar,
}

/// What a build has to do with the records of other builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Records of earlier builds count; otherwise only what this build has done itself.
    pub(crate) uses_earlier: bool,
    /// What it does is kept for later builds.
    pub(crate) keeps_records: bool,
}

#[derive(Debug, Default)]
struct State {
    done: BTreeMap<Digest, Record>,
    /// Keys whose result is that of this build alone.
    unsound: BTreeSet<Digest>,
    busy: BTreeSet<Digest>,
}

/// What earlier builds have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// It is used.
    Counts,
    /// The step is done anew (`--no-cache-filter`).
    IsIgnored,
}

/// What [`Cache::find`] says.
pub(crate) enum Found<'a> {
    /// The step has been done, by an earlier build or beside this stage.
    Done(Record),
    /// It is to be done, and nobody else in this build does it.
    ToDo(Claim<'a>),
}

/// The right, and the duty, to do a step. Dropped without [`Claim::done`], the next may try.
pub(crate) struct Claim<'a> {
    cache: &'a Cache<'a>,
    key: Digest,
}

impl<'a> Cache<'a> {
    /// The records of `engine`'s root.
    pub(crate) fn open(
        engine: &'a Engine,
        usage: Usage,
        allowed: &'a [PathBuf],
        elsewhere: &'a Elsewhere<'a>,
    ) -> Self {
        Self {
            directory: directory(engine),
            store: engine.store(),
            usage,
            allowed,
            elsewhere,
            state: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// True when what earlier builds have left counts: the build was not asked to do everything anew.
    pub(crate) fn counts(&self) -> bool {
        self.usage.uses_earlier
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Look for the result of the step that `key` names. While another stage does the very same
    /// step, wait for it. Earlier builds count if `earlier` says so.
    pub(crate) fn find(&'a self, key: Digest, earlier: Earlier) -> Found<'a> {
        let mut state = self.state();
        loop {
            if let Some(record) = state.done.get(&key) {
                return Found::Done(record.clone());
            }
            if state.busy.insert(key) {
                break;
            }
            state = self
                .freed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        let claim = Claim { cache: self, key };
        let record = match earlier {
            Earlier::Counts => self.earlier(key),
            Earlier::IsIgnored => None,
        };
        match record {
            Some(record) => Found::Done(claim.settle(record)),
            None => Found::ToDo(claim),
        }
    }

    /// The result that `key` has from an earlier build, when its layer is still there. It is kept
    /// from being swept until the build is over.
    fn earlier(&self, key: Digest) -> Option<Record> {
        if !self.usage.uses_earlier {
            return None;
        }
        if let Some(record) = self.read_own(key).filter(|record| self.is_allowed(record))
            && self.keep(&record)
        {
            used(&self.path(key, "json"));
            return Some(record);
        }
        self.imported(key)
    }

    /// True when the build allows the secrets that the layer of `record` is known to hold.
    fn is_allowed(&self, record: &Record) -> bool {
        let is_known = |path: &PathBuf| self.allowed.iter().any(|known| path.starts_with(known));
        record.allowed.iter().all(is_known)
    }

    /// Keep the layer of `record` from being swept; false when it is not here.
    fn keep(&self, record: &Record) -> bool {
        record
            .layer
            .is_none_or(|layer| self.store.keep_layer(&layer).is_ok())
    }

    /// The record of `key`, whether its layer is there or not.
    pub(crate) fn read(&self, key: Digest) -> Option<Record> {
        let imported = || Some(self.elsewhere.record(key)?.record.clone());
        self.read_own(key).or_else(imported)
    }

    fn read_own(&self, key: Digest) -> Option<Record> {
        let bytes = atomic::read(&self.path(key, "json")).ok()?;
        let record: Record = serde_json::from_slice(&bytes).ok()?;
        (record.parts.key() == key).then_some(record)
    }

    /// True when the layer of `record` is still in the store.
    fn has_layer(&self, record: &Record) -> bool {
        record
            .layer
            .is_none_or(|layer| self.store.has_layer(&layer).unwrap_or(false))
    }

    /// Keep `record`. That it cannot be written costs a later build some work and nothing else.
    pub(crate) fn write(&self, record: &Record) {
        let Ok(bytes) = serde_json::to_vec(record) else {
            return;
        };
        self.put(&self.path(record.parts.key(), "json"), &bytes);
    }

    /// Keep a text beside the record of `key`.
    pub(crate) fn write_files(&self, key: Digest, text: &str) {
        self.put(&self.path(key, "files"), text.as_bytes());
    }

    /// The text beside the record of `key`.
    pub(crate) fn read_files(&self, key: Digest) -> Option<String> {
        let own = atomic::read(&self.path(key, "files")).ok();
        own.and_then(|bytes| String::from_utf8(bytes).ok())
            .or_else(|| self.elsewhere.record(key)?.files.clone())
    }

    /// Where the trail `name` lies.
    pub(crate) fn trail(&self, name: &str) -> PathBuf {
        self.directory.join("trails").join(name)
    }

    /// Write a file of the cache; a failure is no error.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        if !self.usage.keeps_records {
            return;
        }
        let write = || atomic::write(path, bytes, 0o600, Durability::Volatile);
        if write().is_err()
            && let Some(parent) = path.parent()
            && std::fs::create_dir_all(parent).is_ok()
        {
            let _ = write();
        }
    }

    fn path(&self, key: Digest, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", key.hex()))
    }
}

impl Claim<'_> {
    /// The step is done: keep its record for later builds, and hand it to whoever waits.
    pub(crate) fn done(self, record: Record) -> Record {
        self.cache.write(&record);
        self.settle(record)
    }

    /// The step is done, but the result is not what the key says: it serves this build only.
    pub(crate) fn done_for_now(self, record: Record) -> Record {
        self.cache.state().unsound.insert(self.key);
        self.settle(record)
    }

    /// The result is known: hand it to whoever waits.
    fn settle(self, record: Record) -> Record {
        self.cache.state().done.insert(self.key, record.clone());
        record
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.cache.state().busy.remove(&self.key);
        self.cache.freed.notify_all();
    }
}

/// Note that a file of the cache was used just now, for [`collect`](crate::collect). On a file system
/// that takes no such note it grows old.
pub(crate) fn used(path: &Path) {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    let _ = utimensat(CWD, path, &times, AtFlags::empty());
}

pub(crate) fn directory(engine: &Engine) -> PathBuf {
    engine.settings().root.join(DIRECTORY)
}

/// How much of the cache is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    /// What no build can use any more: records of layers that are gone.
    Unusable,
    /// Everything but the cache mounts that a step uses right now. The layers themselves are the
    /// store's: they go with the next collection that does not keep [`cached_layers`].
    All,
}

/// Remove files of the build cache; how many bytes they took. Builds that run at the same time
/// are not disturbed: to them a record that is gone is one that never was.
///
/// # Errors
/// [`BuildError::Io`] for what cannot be listed or removed.
pub fn prune_cache(engine: &Engine, prune: Prune) -> Result<u64, BuildError> {
    let mut freed = 0;
    let records = directory(engine);
    for path in list(&records)? {
        let key = path.with_extension("json");
        let is_dead = || match atomic::read(&key)
            .ok()
            .map(|bytes| serde_json::from_slice(&bytes))
        {
            Some(Ok(Record {
                layer: Some(layer), ..
            })) => !engine.store().has_layer(&layer).unwrap_or(true),
            Some(Ok(Record { layer: None, .. })) => false,
            Some(Err(_)) | None => true,
        };
        if path.is_file() && (prune == Prune::All || is_dead()) {
            freed += remove(&path)?;
        }
    }
    let root = &engine.settings().root;
    freed += web::forget(root)?;
    if prune == Prune::All {
        for directory in [records.join("trails"), root.join(CONTEXTS)] {
            for path in list(&directory)? {
                freed += remove(&path)?;
            }
        }
        freed += remove(&root.join(COLLECTED))?;
        freed += remove(&root.join(git::repository::KNOWN_HOSTS))?;
        for path in list(&root.join(web::FILES))? {
            freed += remove(&path)?;
        }
        let repositories = list(&root.join(git::repository::DIRECTORY))?;
        for directory in list(&root.join(MOUNTS))?.into_iter().chain(repositories) {
            if let Ok(Some(lock)) = Lock::try_exclusive(&directory.join("lock")) {
                freed += size_of(&directory);
                remove_tree(&directory)?;
                drop(lock);
            }
        }
    }
    Ok(freed)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BuildError {
    let path = path.to_owned();
    move |source| BuildError::Io {
        action,
        path,
        source,
    }
}

pub(crate) fn list(directory: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed("list", directory)(e)),
    };
    entries
        .map(|entry| {
            entry
                .map(|entry| entry.path())
                .map_err(failed("list", directory))
        })
        .collect()
}

pub(crate) fn remove(path: &Path) -> Result<u64, BuildError> {
    let size = std::fs::symlink_metadata(path).map_or(0, |found| found.len());
    match std::fs::remove_file(path) {
        Ok(()) => Ok(size),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(failed("remove", path)(e)),
    }
}

pub(crate) fn remove_tree(path: &Path) -> Result<(), BuildError> {
    hoist_sys::tree::remove(path).map_err(failed("remove", path))
}

/// Bytes of the files below `path`, as far as they can be looked at.
pub(crate) fn size_of(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => size_of(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The layers that records of earlier builds refer to: what a garbage collection must keep for
/// those builds to stay cached. Sorted, each once.
///
/// # Errors
/// [`BuildError::Io`] when the records cannot be listed; a record that cannot be read is passed
/// over.
pub fn cached_layers(engine: &Engine) -> Result<Vec<Digest>, BuildError> {
    let mut layers = BTreeSet::new();
    for path in list(&directory(engine))? {
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
            && let Ok(bytes) = atomic::read(&path)
            && let Ok(record) = serde_json::from_slice::<Record>(&bytes)
        {
            layers.extend(record.layer);
        }
    }
    Ok(layers.into_iter().collect())
}
