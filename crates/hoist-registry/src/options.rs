//! What a [`Registry`](crate::Registry) is told when it is made.

use std::{
    collections::BTreeMap,
    fmt,
    num::NonZeroU64,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use crate::{credentials::Credentials, event::RegistryEvent};

/// Receives events, from any thread.
pub(crate) type Listener = Arc<dyn Fn(&RegistryEvent) + Send + Sync>;

/// Settings of a [`Registry`](crate::Registry). The default knows no credentials, no mirrors, no
/// proxies and Mozilla's authorities.
#[derive(Clone)]
pub struct Options {
    /// The `User-Agent` of every request.
    pub user_agent: String,
    /// Who the user is, for which registry.
    pub credentials: Credentials,
    /// The host's bundle of certificate authorities as PEM. Where it is missing or has no
    /// certificate, Mozilla's list is used.
    pub host_authorities: Option<Vec<u8>>,
    /// Directories in Docker's `certs.d` layout, for example `/etc/docker/certs.d`: below each,
    /// `HOST[:PORT]/*.crt` are further authorities for that registry, and `*.cert` with `*.key`
    /// the certificate of the client.
    pub certificates: Vec<PathBuf>,
    /// Registries that may be spoken to without TLS or with any certificate: `host`, `host:port`
    /// or a block of addresses `10.0.0.0/8`. `localhost`, `127.0.0.0/8` and `::1` are always so.
    pub insecure: Vec<String>,
    /// For each registry (`docker.io`, `ghcr.io`, …) the addresses that are asked before it when
    /// pulling, in order: `https://mirror.example[:port][/prefix]`.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Proxies.
    pub proxies: Proxies,
    /// How often and how patiently to try again.
    pub retries: Retries,
    /// How long to wait for an answer.
    pub timeouts: Timeouts,
    /// When a large blob is fetched by several connections.
    pub ranges: Ranges,
    /// Upload blobs in pieces of so many bytes; `None` sends each in one request, which every
    /// registry takes. An upload that was cut goes on from where it was in both.
    pub chunk_size: Option<NonZeroU64>,
    /// Receives what happens, from any thread that uses the registry.
    pub events: Option<Listener>,
    /// Raised by the caller to end all operations with
    /// [`RegistryError::Cancelled`](crate::RegistryError::Cancelled) at their next step.
    pub cancelled: Arc<AtomicBool>,
}

/// Proxies, with the meaning of the usual environment variables, which the caller reads.
#[derive(Clone, Default)]
pub struct Proxies {
    /// `HTTP_PROXY`: for `http` addresses.
    pub http: Option<String>,
    /// `HTTPS_PROXY`: for `https` addresses.
    pub https: Option<String>,
    /// `NO_PROXY`: names, domains, addresses and blocks that are reached directly, separated by
    /// commas. The machine itself always is.
    pub no_proxy: String,
}

/// How often and how patiently to try again.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    /// Attempts in a row without any progress, the first included.
    pub attempts: u32,
    /// The wait before the second attempt; it doubles with each further one.
    pub first_wait: Duration,
    /// The longest wait. A server that asks for a longer one (`Retry-After`) makes the operation
    /// fail at once, with that in its hints.
    pub longest_wait: Duration,
}

/// How long to wait for an answer.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection, handshakes included.
    pub connect: Duration,
    /// For the next bytes, in either direction.
    pub stall: Duration,
    /// For the word that an upload is complete: some registries copy the blob first.
    pub commit: Duration,
}

/// When a large blob is fetched by several connections, and how. What it takes of memory is
/// `length` times `in_all`.
#[derive(Debug, Clone, Copy)]
pub struct Ranges {
    /// Bytes from which on a blob is large.
    pub above: u64,
    /// Bytes that are asked for at once.
    pub length: NonZeroU64,
    /// Connections for one blob; fewer than two mean one for the whole.
    pub at_once: usize,
    /// Connections of this kind for all blobs together. A blob that finds fewer than two left is
    /// fetched by one.
    pub in_all: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            user_agent: concat!("hoist/", env!("CARGO_PKG_VERSION")).to_owned(),
            credentials: Credentials::default(),
            host_authorities: None,
            certificates: Vec::new(),
            insecure: Vec::new(),
            mirrors: BTreeMap::new(),
            proxies: Proxies::default(),
            retries: Retries::default(),
            timeouts: Timeouts::default(),
            ranges: Ranges::default(),
            chunk_size: None,
            events: None,
            cancelled: Arc::default(),
        }
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_mins(1),
        }
    }
}

impl Default for Ranges {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            above: 32 * MIB,
            length: NonZeroU64::new(4 * MIB).expect("not zero"),
            at_once: 4,
            in_all: 6,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            stall: Duration::from_mins(1),
            commit: Duration::from_mins(15),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("certificates", &self.certificates)
            .field("insecure", &self.insecure)
            .field("mirrors", &self.mirrors)
            .field("retries", &self.retries)
            .field("timeouts", &self.timeouts)
            .field("chunk_size", &self.chunk_size)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Proxies {
    /// Without the addresses: they may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies")
            .field("no_proxy", &self.no_proxy)
            .finish_non_exhaustive()
    }
}
