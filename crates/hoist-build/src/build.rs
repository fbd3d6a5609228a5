//! The build from beginning to end.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use hoist_core::{Platform, Reference, event::BuildEvent};
use hoist_dockerfile::{
    Dockerfile, DockerfileError, Source as Text, parse_bytes,
    stages::{Inputs as StageInputs, resolve},
    suggest::nearest,
};
use hoist_engine::{Engine, EngineError};
use hoist_store::{StoreError, StoredImage};

use crate::{
    cache::{CONTEXTS, Cache},
    check::Checks,
    collect::collect_sometimes,
    context::{Contexts, archive, find_dockerfile},
    emulation,
    error::BuildError,
    excerpt::Listing,
    execute::{Trust, Worker, as_copy},
    explain::Trail,
    export::export,
    plan::{Action, Inputs, MountSource, Plan, plan},
    remote::{Supplier, pin::pin_all},
    request::{BuildRequest, Built, Fetch, NamedContext},
    schedule::{self, Permits},
    sources::{Place, Source, gather},
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
    let contexts = loaded(engine, &request.contexts)?;
    let plan = make_plan(engine, request, &contexts, (&dockerfile, &listing))?;
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
    let cache = Cache::open(engine, !request.no_cache, &request.allowed_secrets);
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
        prepared,
        pinned,
        supplier,
        trust: Trust::of(request),
        cached: AtomicUsize::new(0),
    };
    let result = schedule::run(plan.stages.len(), cancelled, &|position, board, stop| {
        worker.stage(position, board, stop)
    });
    trail.save(&cache);
    checks.image(
        engine,
        &plan,
        result.as_ref().ok().map(|done| &**done),
        events,
    );
    let result = result?;
    let cached = worker.cached.load(Ordering::Relaxed);
    let mut built = export(&worker, request, &result)?;
    built.cached = cached;
    built.warnings = checks.into_warnings();
    collect_sometimes(engine);
    events(BuildEvent::Finished {
        image: built.id,
        names: request
            .tags
            .iter()
            .map(hoist_core::Reference::familiar)
            .collect(),
        duration: started.elapsed(),
    });
    Ok(built)
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
fn loaded(
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

fn make_plan(
    engine: &Engine,
    request: &BuildRequest,
    contexts: &BTreeMap<String, NamedContext>,
    (dockerfile, listing): (&Dockerfile, &Listing),
) -> Result<Plan, BuildError> {
    let build_args = stage_arguments(request);
    let host = Platform::host();
    let inputs = StageInputs {
        target: request.target.as_deref(),
        build_args: &build_args,
        build_platform: &host,
        target_platform: request.platform.as_ref().unwrap_or(&host),
        contexts: &contexts.keys().cloned().collect(),
    };
    let resolution = resolve(dockerfile, &inputs).map_err(|error| listing.language(error))?;
    let known = RefCell::new(BTreeMap::<String, Arc<StoredImage>>::new());
    let images = |name: &str| -> Result<Arc<StoredImage>, BuildError> {
        if let Some(image) = known.borrow().get(name) {
            return Ok(Arc::clone(image));
        }
        let image = Arc::new(find_image(engine, name, request.fetch.as_ref())?);
        known
            .borrow_mut()
            .insert(name.to_owned(), Arc::clone(&image));
        Ok(image)
    };
    let inputs = Inputs {
        listing,
        resolution: &resolution,
        build_args: &build_args,
        network: request.network,
        secrets: &request.secrets,
        contexts,
        surroundings: &request.surroundings,
        can_run: &emulation::can_run,
        agents: &request.agents,
        platform: request.platform.as_ref(),
        images: &images,
    };
    plan(dockerfile, &inputs)
}

/// An image of the store, fetched into it where it is not there and may be.
fn find_image(
    engine: &Engine,
    name: &str,
    fetch: Option<&Fetch>,
) -> Result<StoredImage, BuildError> {
    let store = engine.store();
    let found = store.resolve(name);
    let is_missing = matches!(found, Err(StoreError::NoSuchImage(_)));
    let fetch = fetch.filter(|fetch| fetch.always || is_missing);
    let is_id = name.parse::<hoist_core::Digest>().is_ok();
    let (Some(fetch), Ok(reference), false) = (fetch, Reference::parse(name), is_id) else {
        return stored(engine, name);
    };
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
        Ok(id) => Ok(store.image(&id)?),
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
                    if let MountSource::Bind { from, path } = &mount.source {
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
