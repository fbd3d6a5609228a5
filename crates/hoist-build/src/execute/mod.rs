//! Doing the steps: look up, run, copy, commit, and tell.

mod agent;
pub(crate) mod archive;
mod cache_mount;
pub(crate) mod chmod;
mod content;
pub(crate) mod copy;
pub(crate) mod draft;
mod idle_cache;
mod mounts;
mod output;
pub(crate) mod owner;
mod private;
mod run;
mod secrets;
mod stage;
mod step;

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Instant, SystemTime},
};

use hoist_core::{Digest, Platform, event::BuildEvent, time::Timestamp};
use hoist_engine::Engine;
use hoist_store::LayerDraft;
use rustix::fs::{Mode, OFlags, fstat, open};

pub(crate) use mounts::as_copy;
pub(crate) use private::Access;
pub(crate) use secrets::Trust;
pub(crate) use stage::StageResult;

use crate::{
    cache::{Cache, Earlier, Record},
    context::{Context, Contexts},
    error::BuildError,
    excerpt::Listing,
    execute::draft::Draft,
    explain::Trail,
    key::Parts,
    plan::{CopyFrom, Plan, StagePlan},
    schedule::Permits,
    sources::Source,
    tree::{Ownership, Root},
};

/// Everything that the steps of one build share.
pub(crate) struct Worker<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) plan: &'a Plan,
    pub(crate) listing: &'a Listing,
    pub(crate) contexts: &'a Contexts,
    /// Stages for which earlier builds do not count.
    pub(crate) uncached_stages: &'a [String],
    pub(crate) cache: &'a Cache<'a>,
    pub(crate) trail: &'a Trail,
    pub(crate) permits: Permits,
    pub(crate) platform: Platform,
    pub(crate) events: &'a (dyn Fn(BuildEvent) + Sync),
    /// What COPYs and bind mounts read from the context, by step and place in the step.
    pub(crate) prepared: BTreeMap<(usize, usize), Vec<Source>>,
    pub(crate) trust: Trust<'a>,
    /// Steps that were found in the cache.
    pub(crate) cached: AtomicUsize,
}

/// A layer that is being made for a step.
struct Making {
    layer: LayerDraft,
    /// Mode and owner of its root, as they are below.
    root: (u32, u32, u32),
    /// Cache mounts that the command wrote nothing to.
    idle_caches: Vec<String>,
}

impl Worker<'_> {
    fn emit(&self, event: BuildEvent) {
        (self.events)(event);
    }

    /// True when every step was found in the cache.
    pub(crate) fn has_only_found(&self) -> bool {
        self.cached.load(Ordering::Relaxed) == self.plan.total
    }

    /// The context that `from` reads, which is one.
    fn context_of(&self, from: &CopyFrom) -> &Context {
        self.contexts.of(from).unwrap_or(&self.contexts.main)
    }

    fn earlier(&self, stage: &StagePlan) -> Earlier {
        if self.uncached_stages.contains(&stage.name) {
            Earlier::IsIgnored
        } else {
            Earlier::Counts
        }
    }

    /// Do `work`, and tell how long the part of the step took.
    fn timed<T>(&self, index: usize, part: &'static str, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.emit(BuildEvent::PartFinished {
            index: Some(index),
            part,
            duration: started.elapsed(),
        });
        result
    }

    fn note_cached(&self) {
        self.cached.fetch_add(1, Ordering::Relaxed);
    }

    /// The merged view of `layers`; nothing for `scratch`.
    fn view(&self, layers: &[Digest]) -> Result<Option<OwnedFd>, BuildError> {
        if layers.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.engine.merged_view(layers)?))
    }

    /// The merged view of `layers` as a tree to read from.
    fn tree(&self, layers: &[Digest]) -> Result<Option<Root>, BuildError> {
        let view = self.view(layers)?;
        Ok(view.map(|fd| Root::new(fd, PathBuf::from("/"), Ownership::Kept)))
    }

    /// Begin a layer on top of `layers`, and a draft to write into it.
    fn begin(&self, layers: &[Digest], time: i64) -> Result<(Making, Draft), BuildError> {
        let layer = self.engine.store().begin_layer()?;
        let upper = open_directory(layer.path())?;
        let draft = Draft::new(upper, self.view(layers)?, time)?;
        let root = root_of(layer.path())?;
        let making = Making {
            layer,
            root,
            idle_caches: Vec::new(),
        };
        Ok((making, draft))
    }

    /// The layer is complete: give it to the store. Nothing is kept of one that is empty.
    fn commit(&self, index: usize, making: Making, parts: Parts) -> Result<Record, BuildError> {
        let allowed = self.timed(index, "scan", || self.trust.check(making.layer.path()))?;
        let is_empty =
            is_empty(making.layer.path())? && root_of(making.layer.path())? == making.root;
        let created = Timestamp::from(SystemTime::now());
        if is_empty {
            return Ok(Record {
                created,
                layer: None,
                size: 0,
                allowed,
                parts,
            });
        }
        let layer = self.timed(index, "commit", || making.layer.commit())?;
        Ok(Record {
            created,
            layer: Some(layer.diff_id),
            size: layer.size,
            allowed,
            parts,
        })
    }

    /// What was found of the context for the place `place` of the step `index`.
    fn prepared(&self, index: usize, place: usize) -> &[Source] {
        self.prepared
            .get(&(index, place))
            .map_or(&[], Vec::as_slice)
    }
}

pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd, BuildError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).map_err(|errno| BuildError::io("open", path, errno))
}

fn root_of(path: &Path) -> Result<(u32, u32, u32), BuildError> {
    let fd = open_directory(path)?;
    let stat = fstat(&fd).map_err(|errno| BuildError::io("read", path, errno))?;
    Ok((stat.st_mode, stat.st_uid, stat.st_gid))
}

fn is_empty(path: &Path) -> Result<bool, BuildError> {
    let mut entries = std::fs::read_dir(path).map_err(|source| BuildError::Io {
        action: "list",
        path: path.to_owned(),
        source,
    })?;
    Ok(entries.next().is_none())
}

/// Fail with [`BuildError::Cancelled`] once `stop` is set.
fn check(stop: &AtomicBool) -> Result<(), BuildError> {
    if stop.load(Ordering::Relaxed) {
        Err(BuildError::Cancelled)
    } else {
        Ok(())
    }
}
