//! Why a server cannot be started. What goes wrong with one request is answered to its client.

use std::{io, net::SocketAddr, path::PathBuf};

use hoist_core::{Describe, Kind};

/// The result of an operation on a server.
pub type Result<T> = std::result::Result<T, ApiError>;

/// Why a server cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The file of users is not one.
    #[error("{place}: {reason}", place = place(path, *line))]
    Users {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1; none when it is about the whole file.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// The certificate or its key cannot be used.
    #[error("{path}: {reason}", path = path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The event loop cannot be started.
    #[error("cannot start the server: {action}")]
    Start {
        /// What was attempted.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

fn place(path: &std::path::Path, line: Option<usize>) -> String {
    match line {
        Some(line) => format!("{}:{line}", path.display()),
        None => path.display().to_string(),
    }
}

impl Describe for ApiError {
    fn kind(&self) -> Kind {
        match self {
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Kind::Conflict
            }
            Self::Listen { .. } | Self::Start { .. } => Kind::Unavailable,
            Self::Users { .. } | Self::Certificate { .. } => Kind::Invalid,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Listen { source, address } => match source.kind() {
                io::ErrorKind::AddrInUse => format!(
                    "Somebody listens on port {} already (`ss -ltnp` shows who); choose another \
                     with --listen, or port 0 for any free one",
                    address.port()
                ),
                io::ErrorKind::PermissionDenied => {
                    "Ports below 1024 are root's: choose a higher one with --listen".to_owned()
                }
                io::ErrorKind::AddrNotAvailable => {
                    "Give an address of this machine (`ip address` lists them), or 0.0.0.0 or [::] \
                     for all of them"
                        .to_owned()
                }
                _ => return Vec::new(),
            },
            Self::Users { .. } => {
                "Add a user with `htpasswd -B FILE NAME` (of apache2-utils); -c makes the file"
                    .to_owned()
            }
            Self::Certificate { .. } => {
                "Give files in PEM form: the certificate, followed by those between it and the \
                 authority, and its key"
                    .to_owned()
            }
            Self::Start { .. } => return Vec::new(),
        };
        vec![hint]
    }
}
