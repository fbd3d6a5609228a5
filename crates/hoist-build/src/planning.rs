//! From what was read to the plan: arguments, named contexts, base images, devices, the epoch.

use std::{cell::RefCell, collections::BTreeMap, path::Path, sync::Arc};

use hoist_core::{Platform, Reference};
use hoist_dockerfile::{
    Dockerfile, is_own_frontend,
    stages::{Inputs as StageInputs, resolve},
    suggest::nearest,
};
use hoist_engine::{Engine, EngineError};
use hoist_store::{StoreError, StoredImage};

use crate::{
    cdi::{self, Edits, Wanted},
    emulation,
    error::BuildError,
    excerpt::Listing,
    exchange::elsewhere::Elsewhere,
    plan::{Inputs, Plan, plan},
    remote::Supplier,
    reproducible::epoch::{Epoch, Question, choose},
    request::{BuildRequest, NamedContext},
};

/// The build argument that names another frontend than `# syntax=` does.
const SYNTAX: &str = "BUILDKIT_SYNTAX";

/// The build arguments that have a value.
pub(crate) fn stage_arguments(request: &BuildRequest) -> BTreeMap<String, String> {
    let given = request.build_args.iter();
    given
        .filter_map(|(name, value)| Some((name.clone(), value.clone()?)))
        .collect()
}

/// The named contexts, with images of layouts as images of the store.
pub(crate) fn loaded_contexts(
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
pub(crate) struct Reading<'a> {
    pub(crate) dockerfile: &'a Dockerfile,
    pub(crate) listing: &'a Listing,
    /// Where the Dockerfile lies, when it is a file.
    pub(crate) path: Option<&'a Path>,
    pub(crate) contexts: &'a BTreeMap<String, NamedContext>,
    pub(crate) elsewhere: &'a Elsewhere<'a>,
    /// Brings files and repositories that lie elsewhere, where the build may have them.
    pub(crate) supplier: Option<Supplier<'a>>,
}

/// The plan of a build, and the latest time that it has.
pub(crate) fn make_plan(
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
        supplier,
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
        supplier,
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
