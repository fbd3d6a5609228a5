//! Images to and from any OCI registry: floor 1 of the house.
//!
//! A [`Registry`] speaks the OCI distribution specification v1.1 and what Docker's registries
//! expect beside it. It resolves a [`Reference`](hoist_core::Reference) to a [`Resolved`] image,
//! streams blobs out ([`BlobReader`]: verified, resumed) and in ([`Registry::push_blob`]: mounted,
//! skipped, resumed), and turns the streams of layers into plain tars ([`LayerReader`]). A
//! [`Credentials`] store is Docker's `config.json` with its helper programs. What goes on meanwhile
//! is told as [`RegistryEvent`]s.
//!
//! A [`Downloader`] fetches files from web servers of any kind by the same means.
//!
//! A registry is [`Sync`] and cheap to clone; connections and tokens are shared by the clones.
//! Parallelism is the caller's: one blob, one thread.
//!
//! The crate never prints and reads no environment: proxies, search paths and the places of files
//! are [`Options`]. It touches no disk but the credential file and the directories of certificates
//! that it is given. Passwords and tokens are in no message and no [`Debug`] text, and go to no
//! host but the registry's own and the token server that it names.
#![forbid(unsafe_code)]

mod access;
mod blob;
mod challenge;
mod connector;
mod credential_file;
mod credential_helper;
mod credentials;
mod download;
mod download_address;
mod error;
mod event;
mod failure;
mod host;
mod insecure;
mod layer;
mod login;
mod manifest;
mod media_type;
mod mirror;
mod options;
mod parts;
mod platform;
mod proxy;
mod referrers;
mod registry;
mod resolve;
mod retry;
mod search;
mod tags;
mod tls;
mod token;
mod upload;
mod url;
mod wire;

pub use blob::BlobReader;
pub use credentials::{Credential, Credentials, Secret, StoredIn};
pub use download::{Answer, DownloadRequest, Downloaded, Downloader, Validators};
pub use error::{Broken, RegistryError, Result};
pub use event::RegistryEvent;
pub use layer::{Compression, LayerReader};
pub use login::Login;
pub use manifest::{Document, Index, RawManifest};
pub use options::{Options, Proxies, Ranges, Retries, Timeouts};
pub use registry::Registry;
pub use resolve::Resolved;
pub use search::SearchResult;
pub use upload::Pushed;

/// Layers are fetched by several threads.
const _: () = {
    const fn crosses_threads<T: Send>() {}
    const fn is_shared<T: Send + Sync>() {}
    crosses_threads::<BlobReader>();
    crosses_threads::<LayerReader<BlobReader>>();
    is_shared::<Registry>();
    is_shared::<Downloader>();
    is_shared::<RegistryError>();
};
