//! Dockerfile to image: floor 3 of the house.
//!
//! [`build`] reads a Dockerfile ([`hoist_dockerfile`]), plans what the target needs, finds what
//! earlier builds have left, does the rest through the engine ([`hoist_engine::Engine::run_step`])
//! and puts the image into the store. [`import`] makes an image of an archive.
//!
//! The way of a build: text → `plan` (pure data; everything that can be refused is refused here)
//! → `sources` (what the context holds, with digests) → `schedule` (stages side by side) →
//! `execute` (each step: key, cache, work, layer) → `export`. A cache key (`key`, `parts`) is a
//! record of named parts, so that `explain` can say which of them changed; `exchange` carries records and layers
//! to other machines and back.
//!
//! [`check`](mod@check) says what is better written otherwise, with a build or without one.
//!
//! The builder never prints, never reads the environment, never touches a mount table, and leaves
//! nothing half-made behind: a layer exists when it is complete, a record when its layer does.
#![forbid(unsafe_code)]

mod build;
mod cache;
pub mod call;
mod cdi;
pub mod check;
mod collect;
mod config;
mod context;
mod emulation;
mod entitlement;
mod error;
mod excerpt;
mod exchange;
mod execute;
mod explain;
mod export;
mod history;
mod import;
mod key;
mod mistakes;
mod output;
mod parts;
mod plan;
mod planning;
mod read;
mod remote;
mod reproducible;
mod request;
mod schedule;
mod secret;
mod size;
mod sources;
mod task;
mod tree;
mod verify;

pub use build::build;
pub use cache::{Prune, cached_layers, prune_cache};
pub use cdi::CDI_DIRECTORIES;
pub use collect::{
    CacheEntry, CacheKind, CachePolicy, CacheScope, cache_entries, collect_cache, collect_daily,
};
pub use context::archive::{UnpackedContext, is_archive, unpack_context};
pub use context::listing::{
    ContextFile, ContextListing, ContextReason, IgnoredFile, PatternLine, list_contexts,
    why_in_context,
};
pub use entitlement::Entitlement;
pub use error::BuildError;
pub use exchange::{CacheExport, CacheMode, CacheMounts, CacheTarget};
pub use import::import;
pub use output::{
    ImageArchive, Others, write_directory, write_files, write_image_archive, write_image_layout,
};
pub use remote::{
    GitProgram, RemoteAccess,
    context::{
        ContextAddress, ContextTrust, RemoteContext, fetch_context, fetch_dockerfile, is_remote,
    },
};
pub use request::{
    BuildRequest, Built, BuiltLayer, BuiltStep, DescribeImage, DescribedImage, Fetch, FetchImage,
    ImportRequest, NamedContext, Timestamps, Trace,
};
pub use secret::{
    AgentSource, MAX_SECRET_BYTES, Secret, SshAgent, SshKey,
    published::{SecretInImage, secrets_in_image},
};
pub use size::{Growth, SizeReport, Waste, size_report};
pub use verify::{Change, ConfigDifference, Difference, StepDifference, Verification, verify};
