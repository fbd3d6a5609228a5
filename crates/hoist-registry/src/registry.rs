//! The handle that everything begins with.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use hoist_core::{Digest, Reference};
use ureq::http::Method;

use crate::{
    access::Access,
    error::{RegistryError, Result},
    event::RegistryEvent,
    host::Endpoint,
    mirror::Mirror,
    options::Options,
    parts::Budget,
    retry::retrying,
    wire::{Request, Response, Wire},
};

/// All registries, as one user with one set of options sees them.
///
/// Clones share connections, tokens and what was learnt about the servers. Use one per thread or
/// one by reference, as is convenient.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    wire: Wire,
    mirrors: BTreeMap<String, Vec<Mirror>>,
    endpoints: Mutex<HashMap<String, Arc<Endpoint>>>,
    /// Of ranges, for all blobs together.
    budget: Budget,
}

/// A document of a registry, whole.
pub(crate) struct Fetched {
    pub(crate) response: Head,
    pub(crate) bytes: Vec<u8>,
}

/// What a response said before its body.
pub(crate) struct Head {
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) uri: ureq::http::Uri,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Registry {
    /// A client with these options. Nothing is connected to, and no file is read yet.
    ///
    /// # Errors
    /// [`RegistryError::Option`] for a mirror, proxy or insecure registry that is malformed.
    pub fn new(options: Options) -> Result<Self> {
        let wire = Wire::new(&options)?;
        let mut mirrors = BTreeMap::new();
        for (registry, texts) in &options.mirrors {
            let list: Result<Vec<_>> = texts.iter().map(|text| Mirror::parse(text)).collect();
            mirrors.insert(registry.clone(), list?);
        }
        Ok(Self {
            inner: Arc::new(Inner {
                budget: Budget::new(options.ranges.in_all),
                options,
                wire,
                mirrors,
                endpoints: Mutex::default(),
            }),
        })
    }

    /// The options that the registry was made with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    pub(crate) fn wire(&self) -> &Wire {
        &self.inner.wire
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.inner.budget
    }

    pub(crate) fn tell(&self, event: &RegistryEvent) {
        if let Some(events) = &self.inner.options.events {
            events(event);
        }
    }

    /// The registry's own server.
    pub(crate) fn endpoint(&self, registry: &str) -> Arc<Endpoint> {
        let make = || Endpoint::of_registry(registry, self.wire());
        self.remembered(registry.to_owned(), make)
    }

    /// The servers to pull from: mirrors in their order, then the registry itself.
    pub(crate) fn pull_endpoints(&self, registry: &str) -> Vec<Arc<Endpoint>> {
        let mirrors = self
            .inner
            .mirrors
            .get(registry)
            .map_or(&[][..], Vec::as_slice);
        let mut endpoints: Vec<_> = mirrors
            .iter()
            .map(|mirror| {
                self.remembered(format!("mirror {}", mirror.text), || {
                    Endpoint::of_mirror(mirror)
                })
            })
            .collect();
        endpoints.push(self.endpoint(registry));
        endpoints
    }

    fn remembered(&self, key: String, make: impl FnOnce() -> Endpoint) -> Arc<Endpoint> {
        let endpoints = &self.inner.endpoints;
        if let Some(known) = endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
        {
            return Arc::clone(known);
        }
        // Made without the lock: a block of insecure addresses asks the DNS.
        let made = Arc::new(make());
        let mut endpoints = endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(endpoints.entry(key).or_insert(made))
    }

    /// What the first server that has it answers. A mirror that fails is told and passed over.
    pub(crate) fn ask_first<T>(
        &self,
        registry: &str,
        mut ask: impl FnMut(&Endpoint) -> Result<T>,
    ) -> Result<T> {
        let endpoints = self.pull_endpoints(registry);
        let (itself, mirrors) = endpoints.split_last().expect("the registry itself");
        for mirror in mirrors {
            match ask(mirror) {
                Ok(value) => return Ok(value),
                Err(RegistryError::Cancelled) => return Err(RegistryError::Cancelled),
                Err(error) => self.mirror_failed(mirror, &error),
            }
        }
        retrying(self.options(), || ask(itself))
    }

    pub(crate) fn mirror_failed(&self, mirror: &Endpoint, error: &RegistryError) {
        self.tell(&RegistryEvent::MirrorFailed {
            mirror: mirror.mirror.clone().unwrap_or_default(),
            reason: hoist_core::error::chain(error),
        });
    }

    /// One request below `/v2/`, without a body, with the user's authority.
    pub(crate) fn request(
        &self,
        endpoint: &Endpoint,
        access: &Access,
        method: Method,
        rest: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Response> {
        let uri = endpoint.uri(self.wire(), self.options(), rest)?;
        let mut request = Request::new(method, uri);
        request.headers.extend_from_slice(headers);
        self.call(endpoint, access, &mut request)
    }

    /// One document of at most `limit` bytes.
    pub(crate) fn document(
        &self,
        endpoint: &Endpoint,
        access: &Access,
        rest: &str,
        accept: &str,
        limit: u64,
    ) -> Result<Fetched> {
        let headers = [("accept", accept.to_owned())];
        let response = self
            .request(endpoint, access, Method::GET, rest, &headers)?
            .checked()?;
        let head = Head {
            headers: response.headers.clone(),
            uri: response.uri.clone(),
        };
        let what = response.action.clone();
        let bytes = response.bytes(&what, limit)?;
        Ok(Fetched {
            response: head,
            bytes,
        })
    }
}

/// The words for a failure to read from `reference`'s repository.
pub(crate) fn pull_failure(error: RegistryError, reference: &Reference) -> RegistryError {
    match error.status() {
        Some(401 | 403) => RegistryError::PullDenied {
            repository: reference.familiar_name(),
            registry: reference.domain().to_owned(),
        },
        _ => error,
    }
}

/// The words for a failure to write to `reference`'s repository.
pub(crate) fn push_failure(error: RegistryError, reference: &Reference) -> RegistryError {
    match error.status() {
        Some(401 | 403) => RegistryError::PushDenied {
            repository: reference.familiar_name(),
            registry: reference.domain().to_owned(),
        },
        _ => error,
    }
}

/// The words for a failure to read a blob.
pub(crate) fn blob_failure(
    error: RegistryError,
    reference: &Reference,
    digest: Digest,
) -> RegistryError {
    match error.status() {
        Some(404) => RegistryError::BlobUnknown {
            repository: reference.familiar_name(),
            digest,
        },
        _ => pull_failure(error, reference),
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("options", &self.inner.options)
            .finish_non_exhaustive()
    }
}
