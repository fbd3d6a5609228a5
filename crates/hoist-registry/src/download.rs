//! A file from a web server into a file here: asked for only when it has changed, resumed when the
//! connection breaks, and never longer than is allowed.

use std::{
    fmt,
    fs::File,
    io::{self, Read, Seek, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hoist_core::{Digest, Digester};
use ureq::http::{HeaderValue, Method, Uri};

use crate::{
    credentials::Secret,
    download_address::{address, header_value},
    error::{RegistryError, Result},
    failure::connection_failure,
    options::Options,
    retry::Attempts,
    wire::{Request, Response, Wire},
};

/// Bytes that are read from the wire at once.
const BUFFER: usize = 128 * 1024;

/// Fetches files. Cheap to clone; the clones share connections.
///
/// Of the [`Options`] the proxies, the host's authorities, retries, timeouts and the caller's flag
/// count; credentials, mirrors and insecure hosts are matters of registries. Certificates are always
/// verified, also those of the machine itself.
#[derive(Clone)]
pub struct Downloader {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    wire: Wire,
}

/// What to fetch.
#[derive(Debug, Clone, Copy)]
pub struct DownloadRequest<'a> {
    /// An `http` or `https` address. User and password in it are sent as basic authentication.
    pub url: &'a str,
    /// The value of the header `Authorization`, before what the address has. It goes to the origin
    /// of the address and, after a redirect, to nobody else.
    pub authorization: Option<&'a Secret>,
    /// What an earlier answer said of itself: where that is still so, nothing is fetched.
    pub known: Option<&'a Validators>,
    /// The longest body that is taken, in bytes.
    pub limit: u64,
    /// Ends this download with [`RegistryError::Cancelled`] once it is raised, as the flag of the
    /// options ends all of them.
    pub stopped: Option<&'a AtomicBool>,
}

/// By what a server recognises a state of a file (RFC 9110, section 8.8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`, with its quotes and `W/`.
    pub etag: Option<String>,
    /// `Last-Modified`, as it came.
    pub last_modified: Option<String>,
}

/// What the server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What was known is still so.
    Unchanged,
    /// The file is here.
    Saved(Downloaded),
}

/// A file that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// The digest of its content.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// By what the server will recognise it.
    pub validators: Validators,
}

impl Validators {
    fn of(response: &Response) -> Self {
        let header = |name| response.header(name).map(str::to_owned);
        Self {
            etag: header("etag").filter(|etag| !etag.is_empty()),
            last_modified: header("last-modified").filter(|time| !time.is_empty()),
        }
    }

    /// True when a server can be asked by them.
    #[must_use]
    pub const fn are_usable(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }

    /// `Last-Modified` in seconds since 1970; `None` when there is none, or none that is a date.
    #[must_use]
    pub fn modified(&self) -> Option<i64> {
        let date = jiff::fmt::rfc2822::parse(self.last_modified.as_deref()?).ok()?;
        Some(date.timestamp().as_second())
    }

    /// The tag, when it promises equality of every byte.
    fn strong_etag(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| !etag.starts_with("W/"))
    }

    /// True when the tags name the same state, in the weak sense.
    fn same_etag(&self, other: &Self) -> bool {
        let opaque = |validators: &Self| {
            let etag = validators.etag.as_deref()?;
            Some(etag.strip_prefix("W/").unwrap_or(etag).to_owned())
        };
        opaque(self).is_some_and(|etag| opaque(other).as_ref() == Some(&etag))
    }
}

impl Downloader {
    /// A client with these options. Nothing is connected to yet.
    ///
    /// # Errors
    /// [`RegistryError::Option`] for a proxy that is malformed.
    pub fn new(options: Options) -> Result<Self> {
        let options = Options {
            // They are about registries of the same names.
            certificates: Vec::new(),
            insecure: Vec::new(),
            events: None,
            ..options
        };
        let wire = Wire::verifying(&options)?;
        Ok(Self {
            inner: Arc::new(Inner { options, wire }),
        })
    }

    /// Fetch a file into `file`, from whose beginning it is written; what was in it is gone, unless
    /// the answer is [`Answer::Unchanged`].
    ///
    /// # Errors
    /// [`RegistryError::Malformed`] for what is no address; [`RegistryError::Status`];
    /// [`RegistryError::TooLarge`]; [`RegistryError::Location`] for a redirect that must not be
    /// followed; failures of the wire. What `file` holds is then of no use.
    pub fn download(&self, request: &DownloadRequest<'_>, file: &mut File) -> Result<Answer> {
        let (uri, own) = address(request.url)?;
        let authorization = match request.authorization {
            Some(secret) => Some(header_value(secret.reveal())?),
            None => own,
        };
        let mut transfer = Transfer {
            downloader: self,
            request,
            uri,
            authorization,
            file,
            digester: Digester::new(),
            offset: 0,
            validators: Validators::default(),
        };
        let mut attempts = Attempts::new(&self.inner.options);
        loop {
            let before = transfer.offset;
            match transfer.attempt() {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    // Only what goes on from where it was has come nearer to its end.
                    if before > 0 && transfer.offset > before {
                        attempts.progressed();
                    }
                    attempts.again(error)?;
                }
            }
        }
    }
}

/// One download, over several connections if need be.
struct Transfer<'a> {
    downloader: &'a Downloader,
    request: &'a DownloadRequest<'a>,
    uri: Uri,
    authorization: Option<HeaderValue>,
    file: &'a mut File,
    digester: Digester,
    /// Bytes that are in the file.
    offset: u64,
    /// Of the state that those bytes are of.
    validators: Validators,
}

impl Transfer<'_> {
    fn attempt(&mut self) -> Result<Answer> {
        let inner = &self.downloader.inner;
        let mut request = self.conditions();
        let response =
            inner
                .wire
                .exchange(&inner.options, &mut request, self.authorization.as_ref())?;
        match response.status {
            304 if self.offset == 0 && self.request.known.is_some() => {
                return Ok(Answer::Unchanged);
            }
            206 if self.offset > 0 && self.goes_on(&response) => {}
            416 if self.offset > 0 => {
                // What is there is not the beginning of anything.
                self.restart(&response.action)?;
                return Err(early(response.action));
            }
            200..=299 => {
                let validators = Validators::of(&response);
                self.restart(&response.action)?;
                let known = self.request.known;
                if known.is_some_and(|known| known.same_etag(&validators)) {
                    // A server that tells states apart and knows no conditions.
                    return Ok(Answer::Unchanged);
                }
                self.validators = validators;
            }
            _ => return Err(response.into_failure()),
        }
        self.receive(response)
    }

    /// The request: for what is missing, or for the whole if it has changed.
    fn conditions(&self) -> Request<'static> {
        let mut request = Request::new(Method::GET, self.uri.clone())
            // The very bytes of the file: their digest is its name.
            .header("accept-encoding", "identity");
        if self.offset > 0 {
            if let Some(etag) = self.validators.strong_etag() {
                request = request
                    .header("range", format!("bytes={}-", self.offset))
                    .header("if-range", etag);
            }
        } else if let Some(known) = self.request.known {
            if let Some(etag) = &known.etag {
                request = request.header("if-none-match", etag);
            }
            if let Some(time) = &known.last_modified {
                request = request.header("if-modified-since", time);
            }
        }
        request
    }

    /// True when the part that comes is the one that is missing, of the same state.
    fn goes_on(&self, response: &Response) -> bool {
        let range = response.header("content-range").unwrap_or_default();
        let first = range
            .strip_prefix("bytes ")
            .and_then(|range| range.split_once('-'));
        first.is_some_and(|(first, _)| first.trim().parse() == Ok(self.offset))
            && self.validators.same_etag(&Validators::of(response))
    }

    fn is_stopped(&self) -> bool {
        let all = &self.downloader.inner.options.cancelled;
        let own = self.request.stopped;
        all.load(Ordering::Relaxed) || own.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    fn restart(&mut self, action: &str) -> Result<()> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(|source| target(action, source))?;
        self.offset = 0;
        self.digester = Digester::new();
        Ok(())
    }

    fn receive(&mut self, response: Response) -> Result<Answer> {
        let action = response.action.clone();
        let limit = self.request.limit;
        let too_large = || RegistryError::TooLarge {
            what: action.clone(),
            limit,
        };
        let end = match response.content_length() {
            Some(length) => {
                let end = self.offset.checked_add(length);
                Some(end.filter(|end| *end <= limit).ok_or_else(too_large)?)
            }
            None => None,
        };
        let mut body = response.into_reader();
        let mut buffer = vec![0; BUFFER];
        loop {
            if self.is_stopped() {
                return Err(RegistryError::Cancelled);
            }
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(connection_failure(action, ureq::Error::from(error))),
            };
            if self.offset + count as u64 > limit {
                return Err(too_large());
            }
            self.file
                .write_all(&buffer[..count])
                .map_err(|source| target(&action, source))?;
            self.digester.update(&buffer[..count]);
            self.offset += count as u64;
        }
        if end.is_some_and(|end| end != self.offset) {
            return Err(early(action));
        }
        Ok(Answer::Saved(Downloaded {
            digest: std::mem::take(&mut self.digester).finish(),
            size: self.offset,
            validators: self.validators.clone(),
        }))
    }
}

fn target(action: &str, source: io::Error) -> RegistryError {
    RegistryError::Target {
        action: action.to_owned(),
        source,
    }
}

fn early(action: String) -> RegistryError {
    let early = io::Error::from(io::ErrorKind::UnexpectedEof);
    connection_failure(action, ureq::Error::from(early))
}

impl fmt::Debug for Downloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Downloader")
            .field("options", &self.inner.options)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_file_is_a_date_or_none() {
        let at = |text: &str| {
            let validators = Validators {
                last_modified: Some(text.to_owned()),
                ..Validators::default()
            };
            validators.modified()
        };
        assert_eq!(at("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(at("yesterday"), None);
        assert_eq!(Validators::default().modified(), None);
    }
}
