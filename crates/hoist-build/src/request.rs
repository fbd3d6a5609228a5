//! What a caller asks for, and what it gets.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use hoist_core::{Digest, Platform, Reference, event::Warning, image::Image};
use hoist_engine::{
    EngineError, artifact::Artifact, image::LayoutImage, request::NetworkMode, step::Surroundings,
};

use crate::{
    entitlement::Entitlement,
    exchange::CacheExport,
    remote::RemoteAccess,
    secret::{Secret, SshAgent},
};

/// A build: the flags of `hoist build`.
#[derive(Debug, Clone, Default)]
pub struct BuildRequest {
    /// The directory that COPY reads from.
    pub context: PathBuf,
    /// What the context is called when its path is made up for this build (an unpacked archive):
    /// builds of equal names are compared, and the Dockerfile is read from within it.
    pub context_label: Option<String>,
    /// Further contexts (`--build-context`) by name.
    pub contexts: BTreeMap<String, NamedContext>,
    /// The Dockerfile; `Dockerfile` in the context when absent.
    pub dockerfile: Option<PathBuf>,
    /// The text of the Dockerfile, in place of a file (`-f -`).
    pub dockerfile_text: Option<String>,
    /// Names for the image.
    pub tags: Vec<Reference>,
    /// `--build-arg NAME=value`; `None` for a name whose value the environment lacks.
    pub build_args: Vec<(String, Option<String>)>,
    /// The stage to build, by name or number; the last one when absent.
    pub target: Option<String>,
    /// Labels that are added to the image.
    pub labels: BTreeMap<String, String>,
    /// Caches of builds elsewhere (`--cache-from`); the first that has a step counts.
    pub cache_from: Vec<Arc<dyn Artifact>>,
    /// Where the cache of this build goes (`--cache-to`).
    pub cache_to: Vec<CacheExport>,
    /// Annotations of the image's manifest.
    pub annotations: BTreeMap<String, String>,
    /// Do not use what earlier builds have left in the cache.
    pub no_cache: bool,
    /// The same for stages of these names (`--no-cache-filter`).
    pub uncached_stages: Vec<String>,
    /// Hosts, shared memory and limits of RUN steps.
    pub surroundings: Surroundings,
    /// The network of RUN steps.
    pub network: NetworkMode,
    /// What the Dockerfile may ask for beyond the usual (`--allow`).
    pub allowed: Vec<Entitlement>,
    /// Where devices of `RUN --device` are described, those of later directories counting more:
    /// [`crate::CDI_DIRECTORIES`].
    pub cdi_directories: Vec<PathBuf>,
    /// The platform to build for; that of the machine when absent.
    pub platform: Option<Platform>,
    /// What `RUN --mount=type=secret` may show.
    pub secrets: Vec<Secret>,
    /// What `RUN --mount=type=ssh` may reach.
    pub agents: Vec<SshAgent>,
    /// Files and directories of the image that may hold secrets
    /// (`--allow-secret-in-layer`), absolute.
    pub allowed_secrets: Vec<PathBuf>,
    /// How to come by images that are not in the store; they are missing when absent.
    pub fetch: Option<Fetch>,
    /// How to come by files and repositories that lie elsewhere; nothing is fetched when absent.
    pub remote: Option<RemoteAccess>,
    /// What becomes of the times in what the build makes.
    pub timestamps: Timestamps,
    /// When what the context is was published, in seconds since 1970: its newest file, where it
    /// came as an archive. `None` for a directory.
    pub context_time: Option<i64>,
    /// What the build leaves for others to find.
    pub trace: Trace,
}

/// What becomes of the times in what a build makes. The epoch is that of `SOURCE_DATE_EPOCH`, and
/// image and history have it in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Timestamps {
    /// Files have the times that they were written at.
    #[default]
    Kept,
    /// Files in new layers are not later than the epoch, when there is one (BuildKit's
    /// `rewrite-timestamp=true`).
    Rewritten,
    /// There is an epoch in any case, steps see it, and what package managers take from clock or
    /// chance is undone (`--reproducible`).
    Reproducible,
}

/// What a build leaves for others to find.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Trace {
    /// The image, its names, and the results of steps in the cache.
    #[default]
    Full,
    /// Nothing but layers that nobody refers to: a build that is done to be compared.
    None,
}

/// How a build comes by the images of FROM, `COPY --from` and `--mount=from`.
#[derive(Clone)]
pub struct Fetch {
    /// Also images that are in the store: the registry may have newer ones.
    pub always: bool,
    /// Bring one into the store.
    pub image: FetchImage,
    /// Only look at one: with a cache from elsewhere its layers may turn out not to be needed.
    pub describe: Option<DescribeImage>,
}

/// Brings an image into the store.
pub type FetchImage = Arc<dyn Fn(&Reference) -> Result<(), EngineError> + Send + Sync>;

/// Looks at an image, and fetches nothing but its configuration.
pub type DescribeImage =
    Arc<dyn Fn(&Reference) -> Result<DescribedImage, EngineError> + Send + Sync>;

/// An image that was looked at.
#[derive(Clone)]
pub struct DescribedImage {
    /// Its configuration, byte for byte.
    pub config: Vec<u8>,
    /// Brings all of it into the store; steps run meanwhile, so that it tells nobody how far it is.
    pub pull: Arc<dyn Fn() -> Result<(), EngineError> + Send + Sync>,
}

impl fmt::Debug for DescribedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DescribedImage").finish_non_exhaustive()
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch")
            .field("always", &self.always)
            .finish_non_exhaustive()
    }
}

/// What a named context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// A directory; its `.dockerignore` counts.
    Directory(PathBuf),
    /// An image of the store.
    Image(String),
    /// An address of the web or of a git repository.
    Remote(String),
    /// An image of a directory in OCI's layout.
    Layout(LayoutImage),
}

/// An image that was built.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// The digest of its configuration.
    pub id: Digest,
    /// The layers, lowest first.
    pub layers: Vec<BuiltLayer>,
    /// Steps that the build had.
    pub steps: usize,
    /// How many of them were found in the cache.
    pub cached: usize,
    /// What in the Dockerfile is probably not what was meant.
    pub warnings: Vec<Warning>,
    /// The configuration.
    pub image: Image,
    /// The steps of all stages that the image needed, in the order of their numbers.
    pub trail: Vec<BuiltStep>,
    /// The epoch, in seconds since 1970, when the build had one.
    pub epoch: Option<i64>,
}

impl Built {
    /// Bytes of content in all layers.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }
}

/// One step of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltStep {
    /// Its stage.
    pub stage: String,
    /// The instruction on one line.
    pub instruction: String,
    /// The digest of the archive of its layer; `None` when it changed no file.
    pub diff_id: Option<Digest>,
}

/// One layer of an image that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltLayer {
    /// The digest of its archive.
    pub diff_id: Digest,
    /// Bytes of content in it.
    pub size: u64,
    /// The instruction that made it; `None` for layers of the base image.
    pub instruction: Option<String>,
}

/// An archive that becomes an image: `hoist import`.
#[derive(Debug, Clone, Default)]
pub struct ImportRequest {
    /// The name of the image.
    pub reference: Option<Reference>,
    /// Instructions of a Dockerfile that change the configuration (`--change`).
    pub changes: Vec<String>,
    /// The comment in the history (`--message`); `Imported from -` when absent.
    pub message: Option<String>,
    /// What the image runs on; the machine's own platform when absent.
    pub platform: Option<Platform>,
}
