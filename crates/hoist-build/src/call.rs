//! What a Dockerfile offers, told in place of a build: its targets, or the outline of one.

use hoist_core::Platform;
use hoist_dockerfile::{
    Source as Text, outline,
    stages::{Inputs, resolve},
};

use crate::{
    error::BuildError, planning::stage_arguments, read::read_dockerfile, request::BuildRequest,
};

/// What [`targets`] and [`outline`](fn@outline) say, and what it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<T> {
    /// What is said.
    pub content: T,
    /// The text of the Dockerfile, which all places refer to.
    pub source: Text,
}

/// The stages that can be built.
///
/// # Errors
/// [`BuildError`] for a Dockerfile that cannot be read or understood.
pub fn targets(request: &BuildRequest) -> Result<Told<Vec<outline::Target>>, BuildError> {
    let (listing, dockerfile, _) = read_dockerfile(request)?;
    Ok(Told {
        content: outline::targets(&dockerfile?),
        source: listing.source,
    })
}

/// What the build of the target can be given.
///
/// # Errors
/// As [`targets`]; stages that do not fit together, or a target that there is not.
pub fn outline(request: &BuildRequest) -> Result<Told<outline::Outline>, BuildError> {
    let (listing, dockerfile, _) = read_dockerfile(request)?;
    let dockerfile = dockerfile?;
    let arguments = stage_arguments(request);
    let host = Platform::host();
    let inputs = Inputs {
        target: request.target.as_deref(),
        build_args: &arguments,
        build_platform: &host,
        target_platform: request.platform.as_ref().unwrap_or(&host),
        contexts: &request.contexts.keys().cloned().collect(),
    };
    let resolution = resolve(&dockerfile, &inputs).map_err(|error| listing.language(error))?;
    Ok(Told {
        content: outline::outline(&dockerfile, &resolution, &inputs),
        source: listing.source,
    })
}
