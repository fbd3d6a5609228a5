//! A registry of images: the OCI distribution specification 1.1 over a store's repositories.
//!
//! A [`Server`] is bound ([`Server::bind`]), which fails where something is wrong with its
//! [`Options`], and then run ([`Server::run`]) until its [`Handle`] stops it. The way of a request:
//!
//! ```text
//! server.rs      accepts, at most so many connections; TLS (tls.rs); slow clients (wire.rs)
//! answer.rs      who asks (users.rs), what for (route.rs), the access line
//! blobs.rs  uploads.rs  manifests.rs  listings.rs      one endpoint of the specification each
//! receive.rs     the body of a request, to a file          body.rs  a file, to the body of an answer
//! problem.rs     what went wrong, in the specification's codes
//! ```
//!
//! Bodies go from the socket to the store and back in pieces of [`PIECE`] bytes, two of which are in
//! memory at a time; a manifest is read from the store when it has arrived. So the memory that the
//! server needs depends on the number of connections and on nothing that clients choose.
//!
//! All state lies in the store, and any number of servers may run over one; a server that is killed
//! loses nothing that it has acknowledged.

mod answer;
mod blobs;
mod body;
mod document;
mod event;
mod listings;
mod manifests;
mod problem;
mod query;
mod range;
mod receive;
mod route;
mod server;
mod stamp;
mod tls;
mod uploads;
mod users;
mod wire;

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use hoist_store::{Store, StoreError, UploadId, UploadState};
use tokio::sync::Semaphore;

pub use self::{
    event::{Event, Exchange},
    server::{Handle, Server},
};
use self::{problem::Problem, tls::Tls, users::Users};

/// Bytes of a body that are read or written at a time.
const PIECE: usize = 32 * 1024;
/// How many uploads a server remembers the digests of; others are read again.
const REMEMBERED: usize = 1024;
/// How many manifests are looked through at a time.
const DOCUMENTS: usize = 1;

/// How a registry is served.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 is any free one.
    pub listen: Vec<SocketAddr>,
    /// The htpasswd file of those who may pull and push; everybody may without one.
    pub users: Option<PathBuf>,
    /// Certificate and key; plain HTTP without.
    pub tls: Option<TlsFiles>,
    /// What clients may do.
    pub access: Access,
}

/// The files of a server's identity, in PEM form.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, and those between it and the authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What clients may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Pull, push and delete.
    Full,
    /// Pull.
    ReadOnly,
}

/// Is told what happens, from any thread.
pub type Report = Arc<dyn Fn(Event) + Send + Sync>;

/// What all requests share.
struct State {
    store: Store,
    access: Access,
    users: Option<Users>,
    tls: Option<Tls>,
    uploads: Mutex<HashMap<UploadId, UploadState>>,
    documents: Arc<Semaphore>,
    report: Report,
}

impl State {
    fn remember(&self, id: UploadId, state: UploadState) {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        if uploads.len() >= REMEMBERED
            && let Some(any) = uploads.keys().next().copied()
        {
            uploads.remove(&any);
        }
        uploads.insert(id, state);
    }

    fn recall(&self, id: &UploadId) -> Option<UploadState> {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.remove(id)
    }

    fn trouble(&self, text: String) {
        (self.report)(Event::Trouble(text));
    }
}

/// Do something with files on a thread beside the event loop.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::result::Result<T, StoreError> + Send + 'static,
) -> std::result::Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Problem::from),
        Err(error) => Err(Problem::internal(error.to_string())),
    }
}
