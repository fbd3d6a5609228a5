//! What is not on this machine, and may come: the layers of imported caches, and base images of which
//! nothing but the configuration was fetched.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use hoist_core::{
    Describe, Digest, Reference,
    error::chain,
    event::{BuildEvent, Warning},
    image::{Descriptor, Image},
};
use hoist_engine::{
    Engine, EngineError,
    artifact::{AbsentLayer, Artifact},
};
use hoist_store::{Layer, StoredImage};

use super::document::{self, Exported, Offer};
use crate::{
    error::BuildError,
    explain::Position,
    request::{BuildRequest, DescribeImage, DescribedImage},
    task::{Tasks, printable},
};

/// Everything that may be had from elsewhere.
pub(crate) struct Elsewhere<'a> {
    engine: &'a Engine,
    describe: Option<&'a DescribeImage>,
    tasks: &'a Tasks<'a>,
    cancelled: &'a AtomicBool,
    /// In the order in which they were given: the first that has something counts.
    caches: Vec<Imported>,
    state: Mutex<State>,
    /// Held by whoever fetches: others wait for what they need, too.
    turn: Mutex<()>,
}

#[derive(Debug)]
struct Imported {
    artifact: Arc<dyn Artifact>,
    records: BTreeMap<Digest, Exported>,
    trail: BTreeMap<Position, Digest>,
    blobs: BTreeMap<Digest, Descriptor>,
    mounts: BTreeMap<String, Digest>,
}

#[derive(Debug, Default)]
struct State {
    /// Layers that the build counts on and the store has not.
    absent: BTreeSet<Digest>,
    /// Layers that are not to be had.
    lost: BTreeSet<Digest>,
    /// Base images that were only looked at.
    bases: Vec<BaseImage>,
    /// Something was fetched.
    has_fetched: bool,
}

#[derive(Debug)]
struct BaseImage {
    reference: Reference,
    /// All of them, lowest first.
    layers: Vec<Digest>,
    described: DescribedImage,
}

impl Imported {
    fn new(artifact: Arc<dyn Artifact>, offer: Offer) -> Self {
        let Offer { document, blobs } = offer;
        let records = document.records.into_iter();
        let marks = document.trail.into_iter();
        let mounts = document.mounts.into_iter();
        Self {
            artifact,
            // The key is what the parts give, whatever anybody says.
            records: records
                .map(|exported| (exported.record.parts.key(), exported))
                .collect(),
            trail: marks.map(|mark| (mark.position(), mark.key)).collect(),
            blobs,
            mounts: mounts.map(|mount| (mount.id, mount.diff_id)).collect(),
        }
    }
}

impl<'a> Elsewhere<'a> {
    /// Read what the caches of `request` offer. One that cannot be read is told about, and is no
    /// failure.
    pub(crate) fn open(
        engine: &'a Engine,
        request: &'a BuildRequest,
        tasks: &'a Tasks<'a>,
        cancelled: &'a AtomicBool,
    ) -> Result<Self, BuildError> {
        let mut caches = Vec::new();
        for artifact in &request.cache_from {
            let name = artifact.name();
            let task = tasks.begin(&format!("importing cache manifest from {name}"));
            match document::read(&**artifact) {
                Ok(Some(offer)) => {
                    let (steps, mounts) =
                        (offer.document.records.len(), offer.document.mounts.len());
                    task.note(&match mounts {
                        0 => format!("{steps} steps"),
                        1 => format!("{steps} steps, 1 cache mount"),
                        mounts => format!("{steps} steps, {mounts} cache mounts"),
                    });
                    task.done();
                    caches.push(Imported::new(Arc::clone(artifact), offer));
                }
                Ok(None) => {
                    task.note("it is an image without a build cache");
                    task.done();
                }
                Err(EngineError::Cancelled) => return Err(BuildError::Cancelled),
                Err(_) if cancelled.load(Ordering::Relaxed) => return Err(BuildError::Cancelled),
                Err(error) => {
                    let why = chain(&error);
                    task.failed(&why);
                    tasks.emit(unusable(&name, &why, error.hints()));
                }
            }
        }
        Ok(Self {
            engine,
            describe: request
                .fetch
                .as_ref()
                .and_then(|fetch| fetch.describe.as_ref()),
            tasks,
            cancelled,
            caches,
            state: Mutex::default(),
            turn: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when there is no imported cache.
    pub(crate) fn is_empty(&self) -> bool {
        self.caches.is_empty()
    }

    /// The record of the step that `key` names.
    pub(crate) fn record(&self, key: Digest) -> Option<&Exported> {
        self.caches.iter().find_map(|cache| cache.records.get(&key))
    }

    /// Which steps stood where when the caches were made.
    pub(crate) fn trail(&self) -> BTreeMap<Position, Digest> {
        let caches = self.caches.iter().rev();
        caches.flat_map(|cache| cache.trail.clone()).collect()
    }

    /// Where the layer `diff_id` may be had.
    pub(crate) fn blobs(&self, diff_id: Digest) -> impl Iterator<Item = AbsentLayer> {
        self.caches.iter().filter_map(move |cache| {
            Some(AbsentLayer {
                artifact: Arc::clone(&cache.artifact),
                blob: cache.blobs.get(&diff_id)?.clone(),
                diff_id,
            })
        })
    }

    /// Where the cache mount `id` may be had.
    pub(crate) fn mounts(&self, id: &str) -> impl Iterator<Item = AbsentLayer> {
        self.caches.iter().filter_map(move |cache| {
            let diff_id = *cache.mounts.get(id)?;
            Some(AbsentLayer {
                artifact: Arc::clone(&cache.artifact),
                blob: cache.blobs.get(&diff_id)?.clone(),
                diff_id,
            })
        })
    }

    /// Count on a layer that is not here; false when it is known not to be had.
    pub(crate) fn expect(&self, layer: Digest) -> bool {
        let mut state = self.state();
        !state.lost.contains(&layer) && {
            state.absent.insert(layer);
            true
        }
    }

    /// True when the layer was counted on, and is not to be had.
    pub(crate) fn is_lost(&self, layer: Digest) -> bool {
        self.state().lost.contains(&layer)
    }

    /// True when something was fetched.
    pub(crate) fn has_fetched(&self) -> bool {
        self.state().has_fetched
    }

    /// An image that is not here, as far as its configuration tells: its layers are pulled when a
    /// step stands on them. `None` where there is no cache that may make them unnecessary.
    pub(crate) fn describe(
        &self,
        reference: &Reference,
    ) -> Result<Option<StoredImage>, EngineError> {
        let Some(describe) = self.describe.filter(|_| !self.is_empty()) else {
            return Ok(None);
        };
        let described = describe(reference)?;
        let Ok(image) = serde_json::from_slice::<Image>(&described.config) else {
            // The pull that follows says what is wrong with it.
            return Ok(None);
        };
        let store = self.engine.store();
        let mut layers = Vec::new();
        let mut absent = Vec::new();
        for diff_id in &image.rootfs.diff_ids {
            layers.push(store.keep_layer(diff_id).unwrap_or_else(|_| {
                absent.push(*diff_id);
                Layer {
                    diff_id: *diff_id,
                    size: 0,
                }
            }));
        }
        if absent.is_empty() {
            // A pull that fetches nothing gives it its name.
            return Ok(None);
        }
        let id = Digest::of(&described.config);
        let mut state = self.state();
        state.absent.extend(absent);
        state.bases.push(BaseImage {
            reference: reference.clone(),
            layers: image.rootfs.diff_ids.clone(),
            described,
        });
        drop(state);
        Ok(Some(StoredImage {
            id,
            image,
            size: 0,
            layers,
        }))
    }

    /// See to it that the store has `layers`. Those that arrived now are added to `arrived`.
    ///
    /// # Errors
    /// [`BuildError::CacheLost`] when one of a cache is not to be had; [`BuildError::Fetch`] for one
    /// of a base image.
    pub(crate) fn need(
        &self,
        layers: &[Digest],
        arrived: &mut Vec<Digest>,
    ) -> Result<(), BuildError> {
        self.check_lost(layers)?;
        if self.wanted(layers).is_empty() {
            return Ok(());
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.pull_bases(layers)?;
        // Whoever had the turn before may have found that they are not to be had.
        self.check_lost(layers)?;
        let wanted = self.wanted(layers);
        if wanted.is_empty() {
            return Ok(());
        }
        self.fetch_all(wanted, arrived)
    }

    /// Fail when one of `layers` was lost, and nobody has made it meanwhile.
    fn check_lost(&self, layers: &[Digest]) -> Result<(), BuildError> {
        let state = self.state();
        let mut lost = layers.iter().filter(|layer| state.lost.contains(layer));
        let store = self.engine.store();
        if lost.any(|layer| store.keep_layer(layer).is_err()) {
            return Err(BuildError::CacheLost);
        }
        Ok(())
    }

    /// Which of `layers` are absent.
    fn wanted(&self, layers: &[Digest]) -> Vec<Digest> {
        let state = self.state();
        let wanted = layers.iter().filter(|layer| state.absent.contains(layer));
        wanted.copied().collect()
    }

    /// Pull the base images that absent layers among `layers` are of.
    fn pull_bases(&self, layers: &[Digest]) -> Result<(), BuildError> {
        while let Some(base) = self.next_base(layers) {
            let BaseImage {
                reference,
                layers,
                described,
            } = base;
            let text = format!("pulling {}", reference.familiar());
            let task = self.tasks.begin(&text);
            match (described.pull)() {
                Ok(()) => task.done(),
                Err(EngineError::Cancelled) => return Err(BuildError::Cancelled),
                Err(error) => {
                    task.failed(&chain(&error));
                    return Err(BuildError::Fetch {
                        reference: reference.familiar(),
                        similar: Vec::new(),
                        source: Box::new(error),
                    });
                }
            }
            let mut state = self.state();
            state.has_fetched = true;
            for layer in layers {
                if self.engine.store().keep_layer(&layer).is_err() {
                    return Err(BuildError::Invalid {
                        message: format!(
                            "{} means another image now than when the build began",
                            reference.familiar()
                        ),
                        hints: vec!["build again".to_owned()],
                    });
                }
                state.absent.remove(&layer);
            }
        }
        Ok(())
    }

    /// The base image to pull for an absent layer among `layers`: the one that they stand on, where
    /// several have that layer.
    fn next_base(&self, layers: &[Digest]) -> Option<BaseImage> {
        let mut state = self.state();
        let is_absent = |layer: &&Digest| state.absent.contains(layer);
        let has = |base: &BaseImage, layer| base.layers.contains(layer);
        let mut absent = layers.iter().filter(is_absent);
        let of_base = absent.find(|layer| state.bases.iter().any(|base| has(base, layer)))?;
        let candidates = state.bases.iter().enumerate();
        let (place, _) = candidates
            .filter(|(_, base)| has(base, of_base))
            .max_by_key(|(_, base)| layers.starts_with(&base.layers))?;
        Some(state.bases.swap_remove(place))
    }

    /// Fetch layers of caches: from the first that has each, and where that fails from the next.
    fn fetch_all(
        &self,
        mut wanted: Vec<Digest>,
        arrived: &mut Vec<Digest>,
    ) -> Result<(), BuildError> {
        let mut task = None;
        for place in 0..self.caches.len() {
            let layers: Vec<AbsentLayer> = wanted
                .iter()
                .filter_map(|layer| self.blobs(*layer).nth(place))
                .collect();
            if layers.is_empty() {
                break;
            }
            task.get_or_insert_with(|| {
                let plural = if layers.len() == 1 { "" } else { "s" };
                let text = format!("fetching {} layer{plural} of the build cache", layers.len());
                self.tasks.begin(&text)
            });
            let failures = match self.engine.fetch_layers(&layers, self.cancelled) {
                Ok(failures) => failures,
                Err(EngineError::Cancelled) => return Err(BuildError::Cancelled),
                Err(error) => return Err(error.into()),
            };
            for (layer, error) in &failures {
                let origin = layers.iter().find(|absent| absent.diff_id == *layer);
                let name = origin.map(|absent| absent.artifact.name());
                self.tasks.emit(warning(&format!(
                    "layer {} of the cache {} is of no use: {}",
                    layer.short(),
                    name.unwrap_or_default(),
                    chain(error)
                )));
            }
            let mut state = self.state();
            for AbsentLayer { diff_id, .. } in layers {
                if failures.iter().all(|(failed, _)| *failed != diff_id) {
                    state.has_fetched = true;
                    state.absent.remove(&diff_id);
                    wanted.retain(|layer| *layer != diff_id);
                    arrived.push(diff_id);
                }
            }
        }
        if let Some(task) = task {
            task.done();
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let mut state = self.state();
        for layer in wanted {
            state.absent.remove(&layer);
            state.lost.insert(layer);
        }
        Err(BuildError::CacheLost)
    }
}

/// A cache that the build goes on without, because of `why`.
fn unusable(name: &str, why: &str, mut hints: Vec<String>) -> BuildEvent {
    if hints.is_empty() {
        hints.push("a build with --cache-to writes it".to_owned());
    }
    BuildEvent::Warning(Warning {
        rule: None,
        message: printable(&format!("the cache {name} is not used: {why}")),
        file: None,
        line: None,
        hints,
    })
}

/// Something about caches that does not end the build.
pub(crate) fn warning(message: &str) -> BuildEvent {
    BuildEvent::Warning(Warning {
        rule: None,
        message: printable(message),
        file: None,
        line: None,
        hints: Vec::new(),
    })
}
