//! The build from beginning to end.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Instant,
};

use hoist_core::{Platform, Reference, event::BuildEvent};
use hoist_engine::Engine;

use crate::{
    cache::{CONTEXTS, Cache, Usage},
    check::Checks,
    context::{Context, Contexts},
    error::BuildError,
    excerpt::Listing,
    exchange::elsewhere::Elsewhere,
    execute::{StageResult, Told, Trust, Worker, as_copy},
    explain::Trail,
    export::export,
    plan::{Action, Plan},
    planning::{Reading, loaded_contexts, make_plan},
    read::read_dockerfile,
    remote::{Supplier, pin::pin_all},
    reproducible::{Times, epoch::tell},
    request::{BuildRequest, Built, Trace},
    schedule::{self, Permits},
    sources::{Place, Source, gather},
    task::Tasks,
};

/// Build an image. `events` is told what happens as it happens, from several threads; once
/// `cancelled` is set the build stops.
///
/// Everything that can be seen to be wrong before the first step runs is told then. A build that
/// fails or is stopped leaves the layers of the steps that it completed in the cache, and nothing
/// else.
///
/// # Errors
/// [`BuildError`]; of an instruction that failed, with its lines ([`BuildError::excerpt`]).
pub fn build(
    engine: &Engine,
    request: &BuildRequest,
    events: &(dyn Fn(BuildEvent) + Sync),
    cancelled: &AtomicBool,
) -> Result<Built, BuildError> {
    let started = Instant::now();
    let (listing, dockerfile, path) = read_dockerfile(request)?;
    let dockerfile = dockerfile?;
    tell_dockerfile(events, &listing, started);
    let tasks = Tasks::new(events);
    let elsewhere = Elsewhere::open(engine, request, &tasks, cancelled)?;
    let planning = Instant::now();
    let supplier = supplier(engine, request, cancelled);
    let reading = Reading {
        dockerfile: &dockerfile,
        listing: &listing,
        path: path.as_deref(),
        contexts: &loaded_contexts(engine, &request.contexts)?,
        elsewhere: &elsewhere,
        supplier,
    };
    let (plan, epoch) = make_plan(engine, request, &reading)?;
    tell_bases(events, &plan, planning);
    tell(epoch.as_ref(), request.timestamps, events);
    let remembered = engine.settings().root.join(CONTEXTS);
    let reading = Instant::now();
    let contexts = Contexts::open(request, &plan, path.as_deref(), (&remembered, supplier))?;
    tell_ignore_file(events, &contexts.main, reading);
    let patterns = contexts.main.patterns();
    let mut checks = Checks::begin(&dockerfile, &listing, request, &plan, patterns, events)?;
    let gathered = gather_all(&plan, &contexts, &listing, cancelled);
    contexts.save();
    let prepared = gathered?;
    let pinned = pin_all(&plan, supplier, &listing, events)?;
    checks.context(&contexts.main, &plan, &prepared, events);
    tell_context(events, &prepared, reading);
    let usage = Usage {
        uses_earlier: !request.no_cache,
        keeps_records: request.trace == Trace::Full,
    };
    let cache = Cache::open(engine, usage, &request.allowed_secrets, &elsewhere);
    let trail = Trail::new(
        &contexts.main.label,
        path.as_deref().unwrap_or(Path::new("-")),
    );
    let worker = Worker {
        engine,
        plan: &plan,
        listing: &listing,
        contexts: &contexts,
        uncached_stages: &request.uncached_stages,
        cache: &cache,
        trail: &trail,
        permits: Permits::default(),
        platform: request.platform.clone().unwrap_or_else(Platform::host),
        events,
        tasks: &tasks,
        elsewhere: &elsewhere,
        prepared,
        pinned,
        supplier,
        trust: Trust::of(request),
        told: Told::default(),
        ran: Mutex::default(),
        times: Times::new(request.timestamps, epoch.map(|epoch| epoch.seconds)),
        made: Mutex::default(),
    };
    let result = run_stages(&worker, cancelled);
    trail.save(&cache);
    let done = result.as_ref().ok().map(|done| &**done);
    checks.image(engine, &plan, done, events);
    let result = result?;
    let mut built = export(&worker, request, &result)?;
    built.cached = worker.cached();
    built.warnings = checks.into_warnings();
    events(BuildEvent::Finished {
        image: built.id,
        names: request.tags.iter().map(Reference::familiar).collect(),
        duration: started.elapsed(),
    });
    worker.send_caches(&request.cache_to, &result, cancelled)?;
    Ok(built)
}

/// Brings what lies elsewhere, where the build may have it.
fn supplier<'a>(
    engine: &'a Engine,
    request: &'a BuildRequest,
    stop: &'a AtomicBool,
) -> Option<Supplier<'a>> {
    request.remote.as_ref().map(|access| Supplier {
        engine,
        access,
        secrets: &request.secrets,
        agents: &request.agents,
        stop,
    })
}

/// Do all stages, and have the layers of the image here. What was thought to be cached is done again
/// when its layer turns out not to be had, as often as that happens: each time there are fewer.
fn run_stages(worker: &Worker<'_>, cancelled: &AtomicBool) -> Result<Arc<StageResult>, BuildError> {
    loop {
        let count = worker.plan.stages.len();
        let result = schedule::run(count, cancelled, &|position, board, stop| {
            worker.stage(position, board, stop)
        });
        let result = result.and_then(|result| {
            worker.need(&result.layers)?;
            Ok(result)
        });
        match result {
            Err(BuildError::CacheLost) => worker.cache.forget_lost(),
            result => return result,
        }
    }
}

/// `what` was read since `started`.
fn loaded(what: String, bytes: Option<u64>, started: Instant) -> BuildEvent {
    BuildEvent::Loaded {
        what,
        bytes,
        duration: started.elapsed(),
    }
}

fn tell_dockerfile(events: &dyn Fn(BuildEvent), listing: &Listing, started: Instant) {
    let what = format!("build definition from {}", listing.name);
    let bytes = listing.source.text().len() as u64;
    events(loaded(what, Some(bytes), started));
}

/// Each image that a stage of `plan` starts from.
fn tell_bases(events: &dyn Fn(BuildEvent), plan: &Plan, started: Instant) {
    let names = plan
        .stages
        .iter()
        .filter_map(|stage| stage.base_name.as_ref());
    for name in names.collect::<BTreeSet<_>>() {
        events(loaded(format!("metadata for {name}"), None, started));
    }
}

fn tell_ignore_file(events: &dyn Fn(BuildEvent), context: &Context, started: Instant) {
    let file = context.ignore.as_ref();
    let name = file.map_or(".dockerignore", |file| file.name.as_str());
    events(loaded(
        name.to_owned(),
        file.map(|file| file.bytes),
        started,
    ));
}

/// What was found of the context since `started`, which ends the reading.
fn tell_context(
    events: &dyn Fn(BuildEvent),
    prepared: &BTreeMap<(usize, usize), Vec<Source>>,
    started: Instant,
) {
    events(BuildEvent::PartFinished {
        index: None,
        part: "context",
        duration: started.elapsed(),
    });
    if !prepared.is_empty() {
        events(scanned(prepared));
    }
}

/// Find and digest everything that the plan reads from the context, before anything runs.
pub(crate) fn gather_all(
    plan: &Plan,
    contexts: &Contexts,
    listing: &Listing,
    cancelled: &AtomicBool,
) -> Result<BTreeMap<(usize, usize), Vec<Source>>, BuildError> {
    let mut prepared = BTreeMap::new();
    for step in plan.stages.iter().flat_map(|stage| stage.steps()) {
        let mut add = |number: usize, action: &crate::plan::CopyAction| {
            let Some(context) = contexts.of(&action.from) else {
                return Ok(());
            };
            let place = Place {
                root: &context.root,
                context: Some(context),
                cancelled,
            };
            let sources =
                gather(action, place).map_err(|error| error.at(|| listing.excerpt(step.span)))?;
            prepared.insert((step.index, number), sources);
            Ok::<_, BuildError>(())
        };
        match &step.action {
            Action::Copy(copy) => add(0, copy)?,
            Action::Run(run) => {
                for (number, mount) in run.mounts.iter().enumerate() {
                    if let Some((from, path)) = mount.source.reads() {
                        add(number, &as_copy(from, path))?;
                    }
                }
            }
            Action::MakeDirectory { .. } => {}
        }
    }
    Ok(prepared)
}

/// How much of the context the build reads.
fn scanned(prepared: &BTreeMap<(usize, usize), Vec<Source>>) -> BuildEvent {
    let mut seen = BTreeMap::new();
    for source in prepared.values().flatten() {
        for entry in &source.entries {
            let identity = entry.identity;
            if !entry.is_directory() {
                seen.insert((identity.device, identity.inode), identity.size);
            }
        }
    }
    BuildEvent::ContextScanned {
        files: seen.len() as u64,
        bytes: seen.values().sum(),
    }
}
