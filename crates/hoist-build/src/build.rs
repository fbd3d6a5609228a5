//! The build from beginning to end.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Instant,
};

use hoist_core::{Platform, Reference, event::BuildEvent};
use hoist_dockerfile::{
    Dockerfile, DockerfileError, Source as Text, is_own_frontend, parse_bytes,
    stages::{Inputs as StageInputs, resolve},
    suggest::nearest,
};
use hoist_engine::{Engine, EngineError};
use hoist_store::{StoreError, StoredImage};

use crate::{
    cache::{CONTEXTS, Cache, Usage},
    cdi::{self, Edits, Wanted},
    check::Checks,
    context::{Context, Contexts, archive, find_dockerfile},
    emulation,
    error::BuildError,
    excerpt::Listing,
    exchange::elsewhere::Elsewhere,
    execute::{StageResult, Told, Trust, Worker, as_copy},
    explain::Trail,
    export::export,
    plan::{Action, Inputs, Plan, plan},
    remote::{Supplier, pin::pin_all},
    reproducible::{
        Times,
        epoch::{Epoch, Question, choose, tell},
    },
    request::{BuildRequest, Built, NamedContext, Trace},
    schedule::{self, Permits},
    sources::{Place, Source, gather},
    task::Tasks,
};

/// The build argument that names another frontend than `# syntax=` does.
const SYNTAX: &str = "BUILDKIT_SYNTAX";

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
    let reading = Reading {
        dockerfile: &dockerfile,
        listing: &listing,
        path: path.as_deref(),
        contexts: &loaded_contexts(engine, &request.contexts)?,
        elsewhere: &elsewhere,
    };
    let (plan, epoch) = make_plan(engine, request, &reading)?;
    tell_bases(events, &plan, planning);
    tell(epoch.as_ref(), request.timestamps, events);
    let remembered = engine.settings().root.join(CONTEXTS);
    let reading = Instant::now();
    let supplier = request.remote.as_ref().map(|access| Supplier {
        engine,
        access,
        secrets: &request.secrets,
        agents: &request.agents,
        stop: cancelled,
    });
    let contexts = Contexts::open(request, &plan, path.as_deref(), (&remembered, supplier))?;
    tell_ignore_file(events, &contexts.main, reading);
    let patterns = contexts.main.patterns();
    let mut checks = Checks::begin(&dockerfile, &listing, request, &plan, patterns, events)?;
    let gathered = gather_all(&plan, &contexts, &listing, cancelled);
    contexts.save();
    let prepared = gathered?;
    let pinned = pin_all(&plan, supplier, &listing, events)?;
    checks.context(&contexts.main, &plan, &prepared, events);
    events(BuildEvent::PartFinished {
        index: None,
        part: "context",
        duration: reading.elapsed(),
    });
    if !prepared.is_empty() {
        events(scanned(&prepared));
    }
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
    checks.image(
        engine,
        &plan,
        result.as_ref().ok().map(|done| &**done),
        events,
    );
    let result = result?;
    let mut built = export(&worker, request, &result)?;
    built.cached = worker.cached();
    built.warnings = checks.into_warnings();
    events(BuildEvent::Finished {
        image: built.id,
        names: request
            .tags
            .iter()
            .map(hoist_core::Reference::familiar)
            .collect(),
        duration: started.elapsed(),
    });
    worker.send_caches(&request.cache_to, &result, cancelled)?;
    Ok(built)
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

/// A Dockerfile that was read: its text, what the parser made of it, and where it lies when it is
/// a file.
type Read = (Listing, Result<Dockerfile, BuildError>, Option<PathBuf>);

/// The Dockerfile of `request`.
pub(crate) fn read_dockerfile(request: &BuildRequest) -> Result<Read, BuildError> {
    let (bytes, path) = match &request.dockerfile_text {
        Some(text) => (text.clone().into_bytes(), None),
        None if request.context_label.is_some() => {
            let (bytes, path) =
                archive::read_dockerfile(&request.context, request.dockerfile.as_deref())?;
            (bytes, Some(path))
        }
        None => {
            let path = find_dockerfile(&request.context, request.dockerfile.as_deref());
            (read(&request.context, &path)?, Some(path))
        }
    };
    let name = match &path {
        Some(path) => path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        None => "Dockerfile".to_owned(),
    };
    let listing = Listing {
        name,
        source: Text::from_bytes(&bytes),
    };
    let parsed = parse_bytes(&bytes)
        .map_err(|found| listing.language(DockerfileError::syntax(found, &listing.source)));
    Ok((listing, parsed, path))
}

fn read(context: &Path, path: &Path) -> Result<Vec<u8>, BuildError> {
    let source = match std::fs::read(path) {
        Ok(bytes) => return Ok(bytes),
        Err(error) => error,
    };
    // A context that is not there is the better news.
    if source.kind() == io::ErrorKind::NotFound || source.kind() == io::ErrorKind::NotADirectory {
        match std::fs::metadata(context) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(unusable(context, io::ErrorKind::NotADirectory.into())),
            Err(error) => return Err(unusable(context, error)),
        }
    }
    Err(BuildError::Dockerfile {
        path: path.to_owned(),
        similar: similar_files(path),
        source,
    })
}

fn unusable(context: &Path, source: io::Error) -> BuildError {
    BuildError::Context {
        path: context.to_owned(),
        source,
    }
}

/// Files beside `path` that could be the Dockerfile.
fn similar_files(path: &Path) -> Vec<String> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut names: Vec<String> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            let lower = name.to_lowercase();
            !lower.ends_with("ignore")
                && (lower.contains("dockerfile") || lower.contains("containerfile"))
        })
        .collect();
    names.sort();
    names.truncate(3);
    names
        .iter()
        .map(|name| path.with_file_name(name).display().to_string())
        .collect()
}

/// The build arguments that have a value.
pub(crate) fn stage_arguments(request: &BuildRequest) -> BTreeMap<String, String> {
    let given = request.build_args.iter();
    given
        .filter_map(|(name, value)| Some((name.clone(), value.clone()?)))
        .collect()
}

/// The named contexts, with images of layouts as images of the store.
fn loaded_contexts(
    engine: &Engine,
    contexts: &BTreeMap<String, NamedContext>,
) -> Result<BTreeMap<String, NamedContext>, BuildError> {
    let contexts = contexts.iter().map(|(name, context)| {
        let context = match context {
            NamedContext::Layout(image) => {
                NamedContext::Image(engine.load_layout(image)?.to_string())
            }
            other => other.clone(),
        };
        Ok((name.clone(), context))
    });
    contexts.collect()
}

/// What a plan is made from, beside the request.
#[derive(Clone, Copy)]
struct Reading<'a> {
    dockerfile: &'a Dockerfile,
    listing: &'a Listing,
    /// Where the Dockerfile lies, when it is a file.
    path: Option<&'a Path>,
    contexts: &'a BTreeMap<String, NamedContext>,
    elsewhere: &'a Elsewhere<'a>,
}

fn make_plan(
    engine: &Engine,
    request: &BuildRequest,
    reading: &Reading<'_>,
) -> Result<(Plan, Option<Epoch>), BuildError> {
    let Reading {
        dockerfile,
        listing,
        path,
        contexts,
        elsewhere,
    } = *reading;
    let mut build_args = stage_arguments(request);
    if let Some(image) = build_args.get(SYNTAX)
        && !is_own_frontend(image)
    {
        return Err(BuildError::Invalid {
            message: format!("unsupported frontend: {image}"),
            hints: vec![
                "hoist has docker/dockerfile built in and runs no other: leave BUILDKIT_SYNTAX out"
                    .to_owned(),
            ],
        });
    }
    let host = Platform::host();
    let inputs = StageInputs {
        target: request.target.as_deref(),
        build_args: &build_args,
        build_platform: &host,
        target_platform: request.platform.as_ref().unwrap_or(&host),
        contexts: &contexts.keys().cloned().collect(),
    };
    let mut resolution = resolve(dockerfile, &inputs).map_err(|error| listing.language(error))?;
    let known = RefCell::new(BTreeMap::<String, Arc<StoredImage>>::new());
    let images = |name: &str| -> Result<Arc<StoredImage>, BuildError> {
        if let Some(image) = known.borrow().get(name) {
            return Ok(Arc::clone(image));
        }
        let image = Arc::new(find_image(engine, name, request, elsewhere)?);
        known
            .borrow_mut()
            .insert(name.to_owned(), Arc::clone(&image));
        Ok(image)
    };
    let devices = |wanted: &Wanted| -> Result<Option<Edits>, BuildError> {
        let found = cdi::find(&request.cdi_directories, wanted)?;
        Ok(match engine.settings().rootless {
            true => found.map(Edits::with_mounts_only),
            false => found,
        })
    };
    let question = Question {
        engine,
        request,
        dockerfile,
        path,
        listing,
        images: &images,
    };
    let epoch = choose(&question, &mut build_args, &mut resolution)?;
    let inputs = Inputs {
        listing,
        resolution: &resolution,
        build_args: &build_args,
        network: request.network,
        allowed: &request.allowed,
        devices: &devices,
        secrets: &request.secrets,
        contexts,
        surroundings: &request.surroundings,
        can_run: &emulation::can_run,
        agents: &request.agents,
        platform: request.platform.as_ref(),
        images: &images,
    };
    Ok((plan(dockerfile, &inputs)?, epoch))
}

/// An image of the store, fetched into it where it is not there and may be.
fn find_image(
    engine: &Engine,
    name: &str,
    request: &BuildRequest,
    elsewhere: &Elsewhere<'_>,
) -> Result<StoredImage, BuildError> {
    let store = engine.store();
    let found = store.resolve(name);
    let is_missing = matches!(found, Err(StoreError::NoSuchImage(_)));
    let fetch = request.fetch.as_ref();
    let fetch = fetch.filter(|fetch| fetch.always || is_missing);
    let is_id = name.parse::<hoist_core::Digest>().is_ok();
    let (Some(fetch), Ok(reference), false) = (fetch, Reference::parse(name), is_id) else {
        return stored(engine, name);
    };
    // Where looking fails, the pull says why.
    if !request.no_cache
        && let Ok(Some(image)) = elsewhere.describe(&reference)
    {
        return Ok(image);
    }
    match (fetch.image)(&reference) {
        Ok(()) => stored(engine, name),
        Err(EngineError::Cancelled) => Err(EngineError::Cancelled.into()),
        Err(error) => Err(BuildError::Fetch {
            reference: name.to_owned(),
            similar: similar_images(engine, name),
            source: Box::new(error),
        }),
    }
}

fn stored(engine: &Engine, name: &str) -> Result<StoredImage, BuildError> {
    let store = engine.store();
    match store.resolve(name) {
        Ok(id) => {
            let image = store.image(&id)?;
            store.note_used(&id);
            Ok(image)
        }
        Err(StoreError::NoSuchImage(_)) => Err(BuildError::BaseImage {
            reference: name.to_owned(),
            similar: similar_images(engine, name),
        }),
        Err(error) => Err(error.into()),
    }
}

/// Images here that may have been meant.
fn similar_images(engine: &Engine, name: &str) -> Vec<String> {
    let images = engine.store().images().unwrap_or_default();
    let references = images.iter().flat_map(|image| &image.references);
    let names: Vec<String> = references.map(short).collect();
    let repository = name.split(':').next().unwrap_or(name);
    let other_tags = names
        .iter()
        .filter(|known| known.split(':').next() == Some(repository));
    let near = nearest(name, names.iter().map(String::as_str)).map(str::to_owned);
    near.into_iter().chain(other_tags.cloned()).collect()
}

/// A name as a Dockerfile writes it: `latest` goes without saying.
fn short(reference: &hoist_core::Reference) -> String {
    let name = reference.familiar();
    name.strip_suffix(":latest")
        .map(str::to_owned)
        .unwrap_or(name)
}

/// Find and digest everything that the plan reads from the context, before anything runs.
fn gather_all(
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
