//! Doing the steps: look up, run, copy, commit, and tell.

pub(crate) mod agent;
pub(crate) mod archive;
mod cache_mount;
pub(crate) mod chmod;
pub(crate) mod compression;
mod content;
pub(crate) mod copy;
pub(crate) mod draft;
mod idle_cache;
mod mounts;
mod output;
pub(crate) mod owner;
pub(crate) mod private;
mod run;
mod secrets;
mod stage;
mod step;
mod told;

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
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
pub(crate) use told::Told;

use crate::{
    cache::{Cache, Earlier, Record},
    context::{Context, Contexts},
    error::BuildError,
    excerpt::Listing,
    exchange::elsewhere::Elsewhere,
    execute::draft::Draft,
    explain::Trail,
    key::Parts,
    plan::{CopyFrom, Plan, StagePlan},
    remote::{Pinned, Supplier},
    reproducible::{Reach, Times, layer::settle},
    request::BuiltStep,
    schedule::Permits,
    secret::published::note_clean,
    sources::Source,
    task::Tasks,
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
    pub(crate) tasks: &'a Tasks<'a>,
    /// Where what is not here may be had.
    pub(crate) elsewhere: &'a Elsewhere<'a>,
    /// What COPYs and bind mounts read from the context, by step and place in the step.
    pub(crate) prepared: BTreeMap<(usize, usize), Vec<Source>>,
    /// What the sources of ADDs are that lie elsewhere, by step.
    pub(crate) pinned: BTreeMap<usize, Vec<Pinned>>,
    /// Brings them here.
    pub(crate) supplier: Option<Supplier<'a>>,
    pub(crate) trust: Trust<'a>,
    /// What was told, in case steps have to be done again.
    pub(crate) told: Told,
    /// Steps that had to run.
    pub(crate) ran: Mutex<BTreeSet<usize>>,
    pub(crate) times: Times,
    /// What became of the steps, by their numbers.
    pub(crate) made: Mutex<BTreeMap<usize, BuiltStep>>,
}

/// A layer that is being made for a step.
struct Making {
    layer: LayerDraft,
    /// The layers that it lies on.
    below: Vec<Digest>,
    /// Which of its times change.
    reach: Reach,
    /// Mode and owner of its root, as they are below.
    root: (u32, u32, u32),
    /// Cache mounts that the command wrote nothing to.
    idle_caches: Vec<String>,
}

impl Worker<'_> {
    pub(crate) fn emit(&self, event: BuildEvent) {
        self.told.pass(event, self.events);
    }

    fn ran(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.ran.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_ran(&self, index: usize) {
        self.ran().insert(index);
    }

    /// How many steps did not have to run.
    pub(crate) fn cached(&self) -> usize {
        self.plan.total - self.ran().len()
    }

    /// True when every step was found in the cache, and its layer in the store.
    pub(crate) fn has_only_found(&self) -> bool {
        self.ran().is_empty() && !self.elsewhere.has_fetched()
    }

    /// See to it that the store has `layers`.
    pub(crate) fn need(&self, layers: &[Digest]) -> Result<(), BuildError> {
        let mut arrived = Vec::new();
        let result = self.elsewhere.need(layers, &mut arrived);
        if !arrived.is_empty() {
            self.cache.arrived(&arrived);
        }
        result
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

    /// The merged view of `layers`; nothing for `scratch`.
    fn view(&self, layers: &[Digest]) -> Result<Option<OwnedFd>, BuildError> {
        if layers.is_empty() {
            return Ok(None);
        }
        self.need(layers)?;
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
            below: layers.to_vec(),
            reach: Reach::default(),
            root,
            idle_caches: Vec::new(),
        };
        Ok((making, draft))
    }

    /// The layer is complete: give it to the store. Nothing is kept of one that is empty.
    fn commit(&self, index: usize, making: Making, parts: Parts) -> Result<Record, BuildError> {
        self.settle(index, &making)?;
        let path = making.layer.path().to_owned();
        let is_empty = is_empty(&path)? && root_of(&path)? == making.root;
        let created = Timestamp::from(SystemTime::now());
        if is_empty {
            return Ok(Record {
                created,
                layer: None,
                size: 0,
                allowed: Vec::new(),
                by_content: None,
                parts,
            });
        }
        // Both read every file, and neither waits for the other.
        let (allowed, digested) = std::thread::scope(|threads| {
            let scan = || self.timed(index, "scan", || self.trust.check(&path));
            let scan = threads.spawn(scan);
            let digested = self.timed(index, "digest", || making.layer.digest());
            let allowed = scan.join();
            (
                allowed.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                digested,
            )
        });
        let allowed = allowed?;
        let layer = digested?.commit()?;
        if allowed.is_empty() {
            note_clean(self.engine.store(), &layer)?;
        }
        Ok(Record {
            created,
            layer: Some(layer.diff_id),
            size: layer.size,
            allowed,
            by_content: None,
            parts,
        })
    }

    /// Make the layer what it would be at any other time, as far as the build asks for that.
    fn settle(&self, index: usize, making: &Making) -> Result<(), BuildError> {
        if self.times.limit().is_none() {
            return Ok(());
        }
        let below = self.tree(&making.below)?;
        let (times, reach) = (self.times, making.reach);
        for settled in settle(making.layer.path(), below.as_ref(), times, reach)? {
            self.emit(BuildEvent::RuleApplied {
                index,
                rule: settled.rule.name,
                effect: settled.rule.effect,
                files: settled.files,
            });
        }
        Ok(())
    }

    /// What became of the steps, in the order of their numbers.
    pub(crate) fn trail(&self) -> Vec<BuiltStep> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.values().cloned().collect()
    }

    /// What was found of the context for the place `place` of the step `index`.
    fn prepared(&self, index: usize, place: usize) -> &[Source] {
        self.prepared
            .get(&(index, place))
            .map_or(&[], Vec::as_slice)
    }
}

/// What a step reads from elsewhere.
impl Worker<'_> {
    /// What the sources of the step `index` are that lie elsewhere.
    fn pinned(&self, index: usize) -> &[Pinned] {
        self.pinned.get(&index).map_or(&[], Vec::as_slice)
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
pub(crate) fn check(stop: &AtomicBool) -> Result<(), BuildError> {
    if stop.load(Ordering::Relaxed) {
        Err(BuildError::Cancelled)
    } else {
        Ok(())
    }
}
