//! Blobs to a registry: not sent at all where it has them, mounted from a neighbour, or uploaded
//! in one request or in pieces, and resumed when the connection breaks.

use std::io::{self, Read};

use hoist_core::{Digest, Reference, image::Descriptor};
use ureq::http::{HeaderValue, Method, Uri};

use crate::{
    access::Access,
    error::{RegistryError, Result},
    event::RegistryEvent,
    host::Endpoint,
    registry::{Registry, push_failure},
    retry::{Attempts, retrying},
    url::{Origin, escape, join, shown, with_query},
    wire::{Body, Request, Response, refused},
};

/// How a blob came to be in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was there already.
    Present,
    /// The registry took it from another repository of its own.
    Mounted,
    /// Its bytes were sent.
    Uploaded,
}

/// Opens the content of a blob, from its first byte; called again to resume.
type Source<'a> = &'a mut dyn FnMut() -> io::Result<Box<dyn Read>>;

impl Registry {
    /// See to it that a repository has a blob.
    ///
    /// `source` opens the content, and is called again when a connection has to be resumed; what
    /// it reads must have the descriptor's digest and size. `mount_from` is another repository of
    /// the same registry that probably has it.
    ///
    /// # Errors
    /// [`RegistryError::PushDenied`]; [`RegistryError::Source`] when the content cannot be read or
    /// is too short; failures of the wire once they have lasted for all attempts.
    pub fn push_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        source: Source<'_>,
        mount_from: Option<&Reference>,
    ) -> Result<Pushed> {
        let endpoint = self.endpoint(reference.domain());
        let mount_from = mount_from
            .filter(|from| from.domain() == reference.domain() && from.path() != reference.path());
        let access = Access::push(reference.path(), mount_from.map(Reference::path));
        let mut upload = Upload {
            registry: self,
            endpoint: &endpoint,
            access,
            reference,
            descriptor,
            content: Content {
                source,
                digest: descriptor.digest,
                size: descriptor.size,
                open: None,
            },
        };
        upload
            .run(mount_from)
            .map_err(|error| push_failure(error, reference))
    }
}

/// One blob on its way.
struct Upload<'a> {
    registry: &'a Registry,
    endpoint: &'a Endpoint,
    access: Access,
    reference: &'a Reference,
    descriptor: &'a Descriptor,
    content: Content<'a>,
}

/// An upload session of the registry.
struct Session {
    location: Uri,
    received: u64,
}

impl Upload<'_> {
    fn run(&mut self, mount_from: Option<&Reference>) -> Result<Pushed> {
        if self.is_present()? {
            return Ok(Pushed::Present);
        }
        let Some(mut session) = self.start(mount_from)? else {
            return Ok(Pushed::Mounted);
        };
        let mut attempts = Attempts::new(self.registry.options());
        let mut reached = 0;
        loop {
            let failure = match self.send_rest(&mut session) {
                Ok(()) => return Ok(Pushed::Uploaded),
                Err(error) => error,
            };
            self.content.open = None;
            self.wait(&mut attempts, failure, &session)?;
            // The word that it had arrived may be what was lost.
            if self.is_present()? {
                return Ok(Pushed::Uploaded);
            }
            session = self.find(session)?;
            if session.received > reached {
                reached = session.received;
                attempts.progressed();
            }
        }
    }

    fn is_present(&self) -> Result<bool> {
        self.registry
            .has_blob_as(self.endpoint, self.reference, self.descriptor, &self.access)
    }

    /// Wait after a failure that may pass; withdraw the session after one that does not.
    fn wait(
        &self,
        attempts: &mut Attempts<'_>,
        failure: RegistryError,
        session: &Session,
    ) -> Result<()> {
        let passes = match &failure {
            // A token may end during a long upload; its successor comes with the next request.
            RegistryError::Status { status: 401, .. } => {
                self.registry.forget_access(self.endpoint);
                attempts.made() == 1
            }
            // The session is lost, or not where it was thought to be.
            RegistryError::Status {
                status: 404 | 416, ..
            } => true,
            RegistryError::Status { detail, .. } => detail.starts_with("blob upload"),
            _ => false,
        };
        let outcome = if passes {
            attempts.insist(failure)
        } else {
            attempts.again(failure)
        };
        outcome.inspect_err(|_| {
            let mut request = Request::new(Method::DELETE, session.location.clone());
            // A session that stays is swept by the registry.
            let _ = self.call(&mut request);
        })
    }

    /// Begin a session, unless the registry mounts the blob.
    fn start(&self, mount_from: Option<&Reference>) -> Result<Option<Session>> {
        let mut rest = format!("{}/blobs/uploads/", self.reference.path());
        if let Some(from) = mount_from {
            let digest = escape(&self.descriptor.digest.to_string());
            rest.push_str(&format!("?mount={digest}&from={}", escape(from.path())));
        }
        retrying(self.registry.options(), || {
            let request =
                self.registry
                    .request(self.endpoint, &self.access, Method::POST, &rest, &[]);
            let response = request?.checked()?;
            if response.status == 201 {
                return Ok(None);
            }
            let location = self.location(&response)?;
            Ok(Some(Session {
                location,
                received: 0,
            }))
        })
    }

    /// Where the session goes on: what the registry has of it, or a new one.
    fn find(&self, session: Session) -> Result<Session> {
        let mut request = Request::new(Method::GET, session.location.clone());
        let known = self
            .call(&mut request)
            .and_then(Response::checked)
            .and_then(|response| {
                Ok(Session {
                    // `0-0` is what the distribution project sends for nothing at all.
                    received: received(&response).filter(|count| *count > 1).unwrap_or(0),
                    location: self.location(&response)?,
                })
            });
        match known {
            Ok(found) if found.received <= self.descriptor.size => {
                self.registry.tell(&RegistryEvent::Resuming {
                    what: format!("upload of {}", self.descriptor.digest),
                    offset: found.received,
                });
                Ok(found)
            }
            Err(error @ (RegistryError::Cancelled | RegistryError::Location { .. })) => Err(error),
            _ => Ok(self.start(None)?.unwrap_or(session)),
        }
    }

    /// Everything that the session lacks, and the final word.
    fn send_rest(&mut self, session: &mut Session) -> Result<()> {
        let size = self.descriptor.size;
        let chunk = self.registry.options().chunk_size;
        if chunk.is_none() && session.received == 0 {
            return self.finish(session, 0..size);
        }
        while session.received < size {
            let length = chunk.map_or(u64::MAX, std::num::NonZeroU64::get);
            let end = size.min(session.received.saturating_add(length));
            self.send_chunk(session, end)?;
        }
        self.finish(session, size..size)
    }

    fn send_chunk(&mut self, session: &mut Session, end: u64) -> Result<()> {
        let start = session.received;
        let request = Request::new(Method::PATCH, session.location.clone())
            .header("content-type", "application/octet-stream")
            .header("content-range", format!("{start}-{}", end - 1));
        let response = self.send(request, start..end)?;
        session.location = self.location(&response)?;
        // What the registry has kept, where it says so.
        let received = received(&response).unwrap_or(end);
        if received <= start || received > end {
            return Err(RegistryError::Malformed {
                what: response.action,
                reason: format!("of the bytes {start} to {end} it claims to have {received}"),
            });
        }
        session.received = received;
        Ok(())
    }

    /// The last request of a session, with these bytes in it.
    fn finish(&mut self, session: &Session, range: std::ops::Range<u64>) -> Result<()> {
        let digest = self.descriptor.digest;
        let uri =
            with_query(&session.location, "digest", &digest.to_string()).ok_or_else(|| {
                RegistryError::Malformed {
                    what: shown(&session.location),
                    reason: "not an address to upload to".to_owned(),
                }
            })?;
        let request =
            Request::new(Method::PUT, uri).header("content-type", "application/octet-stream");
        let response = self.send(request, range)?;
        let told = response
            .header("docker-content-digest")
            .and_then(|digest| digest.parse().ok());
        match told {
            Some(actual) if actual != digest => Err(RegistryError::DigestMismatch {
                what: format!("uploaded blob of {}", self.reference.familiar_name()),
                expected: digest,
                actual,
            }),
            _ => Ok(()),
        }
    }

    /// A request with bytes of the content.
    fn send(&mut self, request: Request<'_>, range: std::ops::Range<u64>) -> Result<Response> {
        let authorized = self.is_own(&request.uri)?;
        let mut reader = self.content.part(&range)?;
        let mut request = Request {
            method: request.method,
            uri: request.uri,
            headers: request.headers,
            body: Body::Stream(&mut reader, range.end - range.start),
        };
        let result = if authorized {
            self.registry
                .call(self.endpoint, &self.access, &mut request)
        } else {
            self.registry
                .wire()
                .exchange(self.registry.options(), &mut request, None)
        };
        if let Some(source) = reader.failure.take() {
            return Err(RegistryError::Source {
                digest: self.descriptor.digest,
                source,
            });
        }
        let open = reader.into_open();
        let response = result?.checked()?;
        self.content.open = open;
        Ok(response)
    }

    fn call(&self, request: &mut Request<'_>) -> Result<Response> {
        if self.is_own(&request.uri)? {
            return self.registry.call(self.endpoint, &self.access, request);
        }
        self.registry
            .wire()
            .exchange(self.registry.options(), request, None::<&HeaderValue>)
    }

    /// Whether an upload location is the registry's own; another one learns nothing of the user.
    fn is_own(&self, location: &Uri) -> Result<bool> {
        let own = self
            .endpoint
            .origin(self.registry.wire(), self.registry.options())?;
        Ok(Origin::of(location).as_ref() == Some(&own))
    }

    fn location(&self, response: &Response) -> Result<Uri> {
        let location = response.header("location").unwrap_or_default();
        let uri = join(&response.uri, location).ok_or_else(|| RegistryError::Malformed {
            what: response.action.clone(),
            reason: "it names no Location to upload to".to_owned(),
        })?;
        if response.uri.scheme_str() == Some("https") && uri.scheme_str() != Some("https") {
            return Err(refused(
                &response.uri,
                &uri,
                "it leads from https to http; a proxy before the registry should send X-Forwarded-Proto",
            ));
        }
        Ok(uri)
    }
}

/// Bytes that the registry has: `Range: 0-last`.
fn received(response: &Response) -> Option<u64> {
    let value = response.header("range")?;
    let value = value.strip_prefix("bytes=").unwrap_or(value);
    let (first, last) = value.split_once('-')?;
    let last: u64 = last.trim().parse().ok()?;
    (first.trim() == "0").then(|| last.saturating_add(1))
}

/// The content of the blob, open at some place.
struct Content<'a> {
    source: Source<'a>,
    digest: Digest,
    size: u64,
    open: Option<(Box<dyn Read>, u64)>,
}

impl Content<'_> {
    /// A reader of these bytes.
    fn part(&mut self, range: &std::ops::Range<u64>) -> Result<Part> {
        if range.is_empty() {
            return Ok(Part::default());
        }
        let failed = |source| RegistryError::Source {
            digest: self.digest,
            source,
        };
        let open = self.open.take().filter(|(_, at)| *at == range.start);
        let (mut reader, at) = match open {
            Some(open) => open,
            None => ((self.source)().map_err(failed)?, 0),
        };
        let skip = range.start - at;
        let skipped = io::copy(&mut reader.by_ref().take(skip), &mut io::sink()).map_err(failed)?;
        if skipped < skip {
            return Err(failed(too_short(skipped, self.size)));
        }
        Ok(Part {
            reader: Some(reader),
            at: range.start,
            end: range.end,
            failure: None,
        })
    }
}

fn too_short(length: u64, size: u64) -> io::Error {
    let text = format!("it ends after {length} of {size} bytes");
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

/// Some bytes of the content. Keeps its own failure apart from those of the wire.
#[derive(Default)]
struct Part {
    reader: Option<Box<dyn Read>>,
    at: u64,
    end: u64,
    failure: Option<io::Error>,
}

impl Part {
    /// The content, where it can be read on from.
    fn into_open(self) -> Option<(Box<dyn Read>, u64)> {
        self.reader.map(|reader| (reader, self.at))
    }
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let Some(reader) = self.reader.as_mut().filter(|_| length > 0) else {
            return Ok(0);
        };
        let result = loop {
            match reader.read(&mut buffer[..length]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) => break Err(too_short(self.at, self.end)),
                result => break result,
            }
        };
        match result {
            Ok(count) => {
                self.at += count as u64;
                Ok(count)
            }
            Err(error) => {
                // The client gets a copy; the error itself is for the caller.
                let copy = io::Error::other("the content could not be read");
                self.failure = Some(error);
                Err(copy)
            }
        }
    }
}
