//! Blobs as streams: verified while they pass, resumed when the connection breaks.

mod open;

use std::{
    fmt,
    io::{self, Read},
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use hoist_core::{Digest, Digester, Reference, image::Descriptor};
use ureq::http::Method;

use crate::{
    access::Access,
    error::{RegistryError, Result},
    event::RegistryEvent,
    failure::connection_failure,
    host::Endpoint,
    registry::{Registry, blob_failure},
    retry::Attempts,
};

/// A blob on its way. Never more than the announced bytes come out of it; the last of them only
/// when the digest of all is right.
///
/// A failed [`read`](Read::read) carries a [`RegistryError`] (see [`RegistryError::of_io`]); what
/// was read before it is then of no use.
pub struct BlobReader {
    registry: Registry,
    reference: Reference,
    digest: Digest,
    size: u64,
    endpoints: Vec<Arc<Endpoint>>,
    /// The one that is asked.
    current: usize,
    body: Option<Box<dyn Read + Send>>,
    action: String,
    offset: u64,
    end: u64,
    /// The body has an end of its own, after which the connection can serve again.
    sized: bool,
    /// `None` for a part, which nobody can verify, and once the verdict is known.
    digester: Option<Digester>,
    /// The verdict, when it is a bad one.
    mismatch: Option<Digest>,
    attempts: u32,
    /// One of the ranges of a blob: the whole in its place is a failure.
    is_range: bool,
    /// No further ranges of this blob: the server does not have them, or nobody wanted them.
    undivided: bool,
}

/// Why nothing could be read.
enum Failure {
    /// The connection.
    Connection(RegistryError),
    /// A range that another thread fetched, after all the attempts that it is worth.
    Range(RegistryError),
}

impl Registry {
    /// Whether a repository has a blob, of the size that the descriptor tells.
    ///
    /// # Errors
    /// [`RegistryError::PullDenied`]; failures of the wire.
    pub fn has_blob(&self, reference: &Reference, descriptor: &Descriptor) -> Result<bool> {
        let endpoint = self.endpoint(reference.domain());
        self.has_blob_as(
            &endpoint,
            reference,
            descriptor,
            &Access::pull(reference.path()),
        )
    }

    pub(crate) fn has_blob_as(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        descriptor: &Descriptor,
        access: &Access,
    ) -> Result<bool> {
        let rest = format!("{}/blobs/{}", reference.path(), descriptor.digest);
        let found = crate::retry::retrying(self.options(), || {
            self.request(endpoint, access, Method::HEAD, &rest, &[])?
                .checked()
        });
        match found {
            Ok(response) => Ok(response
                .content_length()
                .is_none_or(|length| length == descriptor.size)),
            Err(error) if error.status() == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A blob as a stream. Connected to when it is first read from.
    ///
    /// # Errors
    /// None now; those of the wire come out of the reader.
    pub fn blob(&self, reference: &Reference, descriptor: &Descriptor) -> Result<BlobReader> {
        self.resume_blob(reference, descriptor, 0, Digester::new())
    }

    /// The rest of a blob of which the first `have` bytes are there already, and went through
    /// `digester`: the whole is verified.
    ///
    /// # Errors
    /// [`RegistryError::SizeMismatch`] when there is more than the whole.
    pub fn resume_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        have: u64,
        digester: Digester,
    ) -> Result<BlobReader> {
        if have > descriptor.size {
            return Err(RegistryError::SizeMismatch {
                what: format!("the begun download of {}", descriptor.digest),
                expected: descriptor.size,
                announced: have,
            });
        }
        let mut reader = self.reader(reference, descriptor, have..descriptor.size);
        reader.digester = Some(digester);
        reader.undivided = false;
        Ok(reader)
    }

    /// Some bytes of a blob, for those who fetch one by several connections. A part is resumed as a
    /// whole is, but **not verified**: the caller must verify the assembled whole.
    ///
    /// # Errors
    /// [`RegistryError::SizeMismatch`] when the range is not within the blob.
    pub fn blob_part(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        range: Range<u64>,
    ) -> Result<BlobReader> {
        if range.start > range.end || range.end > descriptor.size {
            return Err(RegistryError::SizeMismatch {
                what: format!("the range {range:?} of {}", descriptor.digest),
                expected: descriptor.size,
                announced: range.end,
            });
        }
        Ok(self.reader(reference, descriptor, range))
    }

    fn reader(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        range: Range<u64>,
    ) -> BlobReader {
        BlobReader {
            registry: self.clone(),
            reference: reference.clone(),
            digest: descriptor.digest,
            size: descriptor.size,
            endpoints: self.pull_endpoints(reference.domain()),
            current: 0,
            body: None,
            action: String::new(),
            offset: range.start,
            end: range.end,
            sized: false,
            digester: None,
            mismatch: None,
            attempts: 1,
            is_range: false,
            // Of a part nobody knows that it is large.
            undivided: true,
        }
    }
}

impl BlobReader {
    /// Bytes of the blob that are through, those of an earlier download included.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Everything that is left, in memory: for small blobs.
    ///
    /// # Errors
    /// Those of the wire; [`RegistryError::DigestMismatch`].
    pub fn bytes(mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)
            .map_err(|error| self.failure(error))?;
        Ok(bytes)
    }

    /// What a failed [`read`](Read::read) of this reader means.
    pub(crate) fn failure(&self, error: io::Error) -> RegistryError {
        match error.downcast::<RegistryError>() {
            Ok(error) => error,
            Err(error) => connection_failure(self.action.clone(), ureq::Error::from(error)),
        }
    }

    fn what(&self) -> String {
        format!("blob {} of {}", self.digest, self.reference.familiar_name())
    }

    /// Read on from a body that stands at the offset, opening one as often as is sensible.
    fn advance(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            if self.registry.options().cancelled.load(Ordering::Relaxed) {
                return Err(RegistryError::Cancelled);
            }
            let failure = match self.read_once(buffer) {
                Ok(count) => {
                    self.attempts = 1;
                    return Ok(count);
                }
                Err(error) => error,
            };
            self.body = None;
            match failure {
                Failure::Connection(error) => self.recover(error)?,
                // It was tried often enough, or is no failure of the range's alone.
                Failure::Range(error)
                    if error.is_transient() || matches!(error, RegistryError::Cancelled) =>
                {
                    return Err(blob_failure(error, &self.reference, self.digest));
                }
                Failure::Range(_) => self.undivided = true,
            }
        }
    }

    /// At least one byte.
    fn read_once(&mut self, buffer: &mut [u8]) -> std::result::Result<usize, Failure> {
        if self.body.is_none() {
            self.body = Some(self.open().map_err(Failure::Connection)?);
        }
        let body = self.body.as_mut().expect("opened above");
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let count = loop {
            match body.read(&mut buffer[..length]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        let error = match count {
            Ok(0) => io::Error::from(io::ErrorKind::UnexpectedEof),
            Ok(count) => return Ok(count),
            Err(error) => error,
        };
        Err(match error.downcast::<RegistryError>() {
            Ok(error) => Failure::Range(error),
            Err(error) => Failure::Connection(connection_failure(
                self.action.clone(),
                ureq::Error::from(error),
            )),
        })
    }

    /// After a failure: the next mirror, or the same server after a while.
    fn recover(&mut self, failure: RegistryError) -> Result<()> {
        let endpoint = Arc::clone(&self.endpoints[self.current]);
        if endpoint.mirror.is_some() {
            if matches!(failure, RegistryError::Cancelled) {
                return Err(failure);
            }
            self.registry.mirror_failed(&endpoint, &failure);
            self.current += 1;
            return Ok(());
        }
        let registry = self.registry.clone();
        let mut attempts = Attempts::after(registry.options(), self.attempts);
        attempts
            .again(failure)
            .map_err(|error| blob_failure(error, &self.reference, self.digest))?;
        self.attempts = attempts.made();
        if self.offset > 0 {
            registry.tell(&RegistryEvent::Resuming {
                what: self.what(),
                offset: self.offset,
            });
        }
        Ok(())
    }

    /// The verdict, once all is through.
    fn verify(&mut self) -> Result<()> {
        if let Some(digester) = self.digester.take() {
            let actual = digester.finish();
            self.mismatch = (actual != self.digest).then_some(actual);
        }
        match self.mismatch {
            None => Ok(()),
            Some(actual) => Err(RegistryError::DigestMismatch {
                what: format!("blob of {}", self.reference.familiar_name()),
                expected: self.digest,
                actual,
            }),
        }
    }

    /// Let the connection serve again, when the body ends where it should.
    fn finish_body(&mut self) {
        if let Some(mut body) = self.body.take().filter(|_| self.sized) {
            // There is nothing more; this tells the client so.
            let _ = body.read(&mut [0]);
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.offset == self.end {
            self.verify().map_err(RegistryError::into_io)?;
            return Ok(0);
        }
        let count = self.advance(buffer).map_err(RegistryError::into_io)?;
        self.offset += count as u64;
        if let Some(digester) = &mut self.digester {
            digester.update(&buffer[..count]);
        }
        if self.offset == self.end {
            // Before the last bytes are handed out: a decoder may stop at its own end.
            self.verify().map_err(RegistryError::into_io)?;
            self.finish_body();
        }
        Ok(count)
    }
}

impl fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobReader")
            .field("reference", &self.reference)
            .field("digest", &self.digest)
            .field("size", &self.size)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}
