//! What earlier steps gave: `<root>/cache/build-v1/<key>.json`, one file a step.
//!
//! ```text
//! cache/build-v1/<key>.json     Record: the layer, and the parts of the key
//!                <key>.files    digests of the files of a copied directory, for explanations
//!                trails/<name>  the keys that the last build of a Dockerfile had (explain.rs)
//! cache/context-v1/<name>       digests of context files (context/memory.rs)
//! cache/mounts-v1/<name>/       cache mounts (execute/mounts.rs)
//! ```
//!
//! Everything here may be deleted at any time. A record that cannot be read, or whose parts do not
//! give its name, is as good as none and is written anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use hoist_core::{Digest, time::Timestamp};
use hoist_engine::Engine;
use hoist_store::Store;
use hoist_sys::atomic::{self, Durability};
use serde::{Deserialize, Serialize};

use crate::{error::BuildError, key::Parts};

/// The directory of the records below the root.
const DIRECTORY: &str = "cache/build-v1";

/// The result of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// When the step ran.
    pub(crate) created: Timestamp,
    /// The layer; `None` when the step changed nothing.
    pub(crate) layer: Option<Digest>,
    /// Bytes in the layer.
    pub(crate) size: u64,
    /// What entered the key.
    pub(crate) parts: Parts,
}

/// The records of a store, and the results of the build that is running.
#[derive(Debug)]
pub(crate) struct Cache<'a> {
    directory: PathBuf,
    store: &'a Store,
    /// Records of earlier builds count; otherwise only what this build has done itself.
    use_earlier: bool,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    done: BTreeMap<Digest, Record>,
    busy: BTreeSet<Digest>,
}

/// What [`Cache::find`] says.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// The step has been done, by an earlier build or beside this stage.
    Done(Record),
    /// It is to be done, and nobody else in this build does it.
    ToDo(Claim<'a>),
}

/// The right, and the duty, to do a step. Dropped without [`Claim::done`], the next may try.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    cache: &'a Cache<'a>,
    key: Digest,
}

impl<'a> Cache<'a> {
    /// The records of `engine`'s root.
    pub(crate) fn open(engine: &'a Engine, use_earlier: bool) -> Self {
        Self {
            directory: directory(engine),
            store: engine.store(),
            use_earlier,
            state: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Look for the result of the step that `key` names. While another stage does the very same
    /// step, wait for it.
    pub(crate) fn find(&'a self, key: Digest) -> Found<'a> {
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
        match self.earlier(key) {
            Some(record) => Found::Done(claim.settle(record)),
            None => Found::ToDo(claim),
        }
    }

    /// The result that `key` has from an earlier build, when its layer is still there. It is kept
    /// from being swept until the build is over.
    fn earlier(&self, key: Digest) -> Option<Record> {
        if !self.use_earlier {
            return None;
        }
        let record = self.read(key)?;
        match record.layer {
            Some(layer) => self.store.keep_layer(&layer).ok().map(|_| record),
            None => Some(record),
        }
    }

    /// The record of `key`, whether its layer is there or not.
    pub(crate) fn read(&self, key: Digest) -> Option<Record> {
        let bytes = atomic::read(&self.path(key, "json")).ok()?;
        let record: Record = serde_json::from_slice(&bytes).ok()?;
        (record.parts.key() == key).then_some(record)
    }

    /// True when the layer of `record` is still in the store.
    pub(crate) fn has_layer(&self, record: &Record) -> bool {
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
        let bytes = atomic::read(&self.path(key, "files")).ok()?;
        String::from_utf8(bytes).ok()
    }

    /// Where the trail `name` lies.
    pub(crate) fn trail(&self, name: &str) -> PathBuf {
        self.directory.join("trails").join(name)
    }

    /// Write a file of the cache; a failure is no error.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
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

    /// The step is done, for this build only.
    pub(crate) fn settle(self, record: Record) -> Record {
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

fn directory(engine: &Engine) -> PathBuf {
    engine.settings().root.join(DIRECTORY)
}

/// The layers that records of earlier builds refer to: what a garbage collection must keep for
/// those builds to stay cached. Sorted, each once.
///
/// # Errors
/// [`BuildError::Io`] when the records cannot be listed; a record that cannot be read is passed
/// over.
pub fn cached_layers(engine: &Engine) -> Result<Vec<Digest>, BuildError> {
    let path = directory(engine);
    let failed = |source| BuildError::Io {
        action: "list",
        path: path.clone(),
        source,
    };
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut layers = BTreeSet::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
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
