//! Everything that can go wrong between here and a registry.
//!
//! No variant holds a password or a token, and addresses are shown without their query: that of a
//! redirect to a storage service is a credential of its own.

use std::{io, path::PathBuf, time::Duration};

use hoist_core::{Describe, Digest, Kind, Platform};

/// The result of a registry operation.
pub type Result<T> = std::result::Result<T, RegistryError>;

/// Why a registry operation failed. The words are Docker's where Docker has any.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The repository has no such tag or digest.
    #[error("manifest for {0} not found: manifest unknown")]
    ManifestUnknown(String),
    /// The repository has no such blob.
    #[error("blob {digest} of {repository} not found: blob unknown to registry")]
    BlobUnknown {
        /// The repository, in its familiar form.
        repository: String,
        /// The blob.
        digest: Digest,
    },
    /// The registry hides the repository, or has none of that name.
    #[error(
        "pull access denied for {repository}, repository does not exist or may require 'hoist login'"
    )]
    PullDenied {
        /// The repository, in its familiar form.
        repository: String,
        /// Whom to log in to.
        registry: String,
    },
    /// The registry does not take what was sent.
    #[error("denied: requested access to the resource is denied ({repository})")]
    PushDenied {
        /// The repository, in its familiar form.
        repository: String,
        /// Whom to log in to.
        registry: String,
    },
    /// The registry asks for a user and none is known.
    #[error("no basic auth credentials")]
    NoCredentials {
        /// Whom to log in to.
        registry: String,
    },
    /// The registry or its token server refuses the credentials.
    #[error("{registry}: unauthorized: {reason}")]
    Unauthorized {
        /// Whom to log in to.
        registry: String,
        /// The server's words.
        reason: String,
    },
    /// A login with nothing as its password.
    #[error("the password for {registry} is empty")]
    EmptyPassword {
        /// Whom to log in to.
        registry: String,
    },
    /// No entry of an index fits.
    #[error("no matching manifest for {wanted} in the manifest list entries of {reference}")]
    NoMatchingPlatform {
        /// The image, in its familiar form.
        reference: String,
        /// What was asked for.
        wanted: Platform,
        /// What there is.
        available: Vec<Platform>,
    },
    /// The server could not be reached, or the connection broke.
    #[error("{action}: {reason}")]
    Connection {
        /// `Get "https://registry.example/v2/"`.
        action: String,
        /// What broke.
        reason: Broken,
        /// The error of the system, where there is one.
        source: Option<io::Error>,
    },
    /// The server answered with a failure.
    #[error("{action}: {}", status_text(*.status, detail))]
    Status {
        /// `Get "https://registry.example/v2/"`.
        action: String,
        /// The HTTP status.
        status: u16,
        /// The registry's code and words, empty when it gave none.
        detail: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// A redirect or an upload location that must not be followed.
    #[error("{from} points to {to:?}, which is refused: {reason}")]
    Location {
        /// Who sent it, without its query.
        from: String,
        /// Where to, without its query.
        to: String,
        /// Why not.
        reason: &'static str,
    },
    /// The content is not what its name says.
    #[error("{what}: digest mismatch: expected {expected}, got {actual}")]
    DigestMismatch {
        /// `blob of ghcr.io/me/app`, `manifest of python:3`.
        what: String,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// The registry announces another size than the manifest.
    #[error("{what}: the registry announces {announced} bytes, expected {expected}")]
    SizeMismatch {
        /// `blob sha256:… of ghcr.io/me/app`.
        what: String,
        /// From the descriptor.
        expected: u64,
        /// From the server.
        announced: u64,
    },
    /// A document longer than any honest one.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// Which document.
        what: String,
        /// The longest that is read.
        limit: u64,
    },
    /// A document that does not follow its specification.
    #[error("{what} is malformed: {reason}")]
    Malformed {
        /// Which document, from where.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A manifest of a kind that is no image.
    #[error("unsupported media type {media_type:?} of {reference}")]
    UnsupportedMediaType {
        /// The image, in its familiar form.
        reference: String,
        /// The media type.
        media_type: String,
    },
    /// What is to be pushed cannot be read.
    #[error("cannot read the content of {digest} to push it")]
    Source {
        /// The blob.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// What comes cannot be written where it belongs.
    #[error("{action}: cannot keep what comes")]
    Target {
        /// `Get "https://example.com/file"`.
        action: String,
        /// Why.
        source: io::Error,
    },
    /// A credential file cannot be read or written.
    #[error("cannot {action} {path}", path = path.display())]
    CredentialFile {
        /// What was attempted, as a verb.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A credential file has other content than Docker writes.
    #[error("{path} is malformed: {reason}", path = path.display())]
    CredentialFormat {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A credential helper failed.
    #[error("error getting credentials - {program} {verb}: {reason}")]
    CredentialHelper {
        /// `docker-credential-…`.
        program: String,
        /// `get`, `store` or `erase`.
        verb: &'static str,
        /// Its own words, or why it could not be run.
        reason: String,
    },
    /// A directory of certificates cannot be used.
    #[error("certificates in {path}: {reason}", path = path.display())]
    Certificates {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An option that makes no sense.
    #[error("{what} {value:?}: {reason}")]
    Option {
        /// `mirror`, `proxy`, `insecure registry`, `reference`.
        what: &'static str,
        /// The value, without a password.
        value: String,
        /// What is wrong.
        reason: String,
    },
    /// The caller's flag was raised.
    #[error("cancelled")]
    Cancelled,
}

/// How a connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// No address for the name.
    #[error("no such host")]
    Name,
    /// Nothing listens there.
    #[error("connection refused")]
    Refused,
    /// No answer in time.
    #[error("timed out")]
    Timeout,
    /// The other side closed in the middle.
    #[error("the connection was closed early")]
    Closed,
    /// The certificate is past its time.
    #[error("tls: the certificate has expired or is not yet valid")]
    Expired,
    /// Nobody known has signed the certificate.
    #[error("tls: the certificate is signed by an unknown authority")]
    UnknownAuthority,
    /// The certificate is somebody else's.
    #[error("tls: the certificate is not valid for this host")]
    WrongName,
    /// Any other failure of TLS.
    #[error("tls: the handshake failed")]
    Handshake,
    /// A server without TLS.
    #[error("http: server gave HTTP response to HTTPS client")]
    PlainHttp,
    /// The proxy refused.
    #[error("the proxy refused the connection")]
    Proxy,
    /// What came is not HTTP.
    #[error("the answer is not HTTP")]
    Protocol,
    /// Any other failure of the system.
    #[error("the connection failed")]
    System,
}

fn status_text(status: u16, detail: &str) -> String {
    let reason = ureq::http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("");
    match (detail, reason) {
        ("", "") => format!("unexpected status {status}"),
        ("", reason) => format!("unexpected status {status} {reason}"),
        (detail, _) => detail.to_owned(),
    }
}

impl RegistryError {
    /// The registry error inside the error of a [`Read`](io::Read) of this crate.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// As the error of a [`Read`](io::Read).
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match &self {
            Self::Connection { .. } | Self::Status { .. } => io::ErrorKind::ConnectionAborted,
            Self::Cancelled => io::ErrorKind::Other,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, self)
    }

    /// Trying the same again may help.
    pub(crate) const fn is_transient(&self) -> bool {
        match self {
            Self::Connection { reason, .. } => matches!(
                reason,
                Broken::Timeout | Broken::Closed | Broken::Protocol | Broken::System
            ),
            Self::Status { status, .. } => {
                matches!(*status, 408 | 429 | 500 | 502 | 503 | 504)
            }
            _ => false,
        }
    }

    /// How long the server asks to wait.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The HTTP status of a failure.
    pub(crate) const fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

fn login_hint(registry: &str) -> String {
    match registry {
        "docker.io" => "log in with: hoist login".to_owned(),
        registry => format!("log in with: hoist login {registry}"),
    }
}

fn connection_hint(reason: Broken) -> Option<&'static str> {
    Some(match reason {
        Broken::PlainHttp => {
            "the registry has no TLS: name it as an insecure registry if the network between is trusted"
        }
        Broken::UnknownAuthority => {
            "put the certificate of the registry's authority into certs.d/HOST:PORT/ca.crt"
        }
        Broken::WrongName => {
            "use the host name that the certificate is made for (it must be among its subjectAltNames)"
        }
        Broken::Expired => "renew the registry's certificate, and check the clock of this machine",
        Broken::Name => "check the spelling of the registry's name, and the DNS of this machine",
        Broken::Refused => "check that the registry runs, and its port",
        Broken::Timeout => "check the network, and whether a proxy has to be set (HTTPS_PROXY)",
        Broken::Proxy => "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
        Broken::Closed | Broken::Handshake | Broken::Protocol | Broken::System => return None,
    })
}

impl Describe for RegistryError {
    fn kind(&self) -> Kind {
        match self {
            Self::ManifestUnknown(_)
            | Self::BlobUnknown { .. }
            | Self::NoMatchingPlatform { .. }
            | Self::Status { status: 404, .. } => Kind::NotFound,
            Self::PullDenied { .. }
            | Self::PushDenied { .. }
            | Self::NoCredentials { .. }
            | Self::Unauthorized { .. }
            | Self::Status {
                status: 401 | 403, ..
            } => Kind::Unauthorized,
            Self::UnsupportedMediaType { .. } | Self::Status { status: 405, .. } => {
                Kind::Unsupported
            }
            Self::Connection { .. }
            | Self::Status {
                status: 408 | 429 | 500..,
                ..
            }
            | Self::Source { .. }
            | Self::Target { .. }
            | Self::CredentialFile { .. }
            | Self::CredentialHelper { .. } => Kind::Unavailable,
            Self::Cancelled => Kind::Cancelled,
            _ => Kind::Invalid,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::ManifestUnknown(_) => vec!["check the tag".to_owned()],
            Self::PullDenied { registry, .. } => vec![
                "check the spelling of the image's name".to_owned(),
                login_hint(registry),
            ],
            Self::PushDenied { registry, .. } => vec![
                login_hint(registry),
                "push to a repository of your own: hoist tag IMAGE USER/NAME, then push that"
                    .to_owned(),
            ],
            Self::NoCredentials { registry } | Self::Unauthorized { registry, .. } => {
                vec![login_hint(registry)]
            }
            Self::EmptyPassword { .. } => vec![
                "the variable or file that fed --password-stdin has no value: check that it is set and exported"
                    .to_owned(),
            ],
            Self::NoMatchingPlatform { available, .. } if !available.is_empty() => {
                let list: Vec<_> = available.iter().map(ToString::to_string).collect();
                vec![format!("the image is there for: {}", list.join(", "))]
            }
            Self::Connection { reason, .. } => {
                connection_hint(*reason).map(str::to_owned).into_iter().collect()
            }
            Self::Status {
                status: 429,
                retry_after,
                ..
            } => {
                let mut hints = Vec::new();
                if let Some(wait) = retry_after {
                    hints.push(format!("try again in {} s", wait.as_secs()));
                }
                hints.push("logged-in users have a higher limit: hoist login".to_owned());
                hints
            }
            Self::Status { status: 405, .. } => {
                vec!["the registry does not allow this: its settings may switch it on".to_owned()]
            }
            Self::DigestMismatch { .. } | Self::SizeMismatch { .. } => vec![
                "nothing of it was kept; try again, and if it stays so, the registry or a proxy between is damaged"
                    .to_owned(),
            ],
            Self::CredentialHelper { program, .. } => vec![format!(
                "install {program}, or take it out of credsStore and credHelpers in config.json"
            )],
            _ => Vec::new(),
        }
    }
}
