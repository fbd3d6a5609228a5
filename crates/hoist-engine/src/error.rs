//! What can go wrong with containers, images, volumes and networks.

use std::{io, path::PathBuf};

use hoist_core::{Describe, Kind, error::chain};
use hoist_network::NetworkError;
use hoist_registry::RegistryError;
use hoist_runtime::RuntimeError;
use hoist_store::StoreError;
use serde::{Deserialize, Serialize};

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No container has that name or id.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// An id prefix fits several containers.
    #[error("multiple containers have ids that start with {prefix:?}: {}", .ids.join(", "))]
    AmbiguousContainer {
        /// What was given.
        prefix: String,
        /// Short ids of the containers that it fits.
        ids: Vec<String>,
    },
    /// The name belongs to another container.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\" ({state}). You have to remove (or rename) that container to be able to reuse that name"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        id: String,
        /// In which state that container is.
        state: String,
    },
    /// The container must run for this.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// The container must not run for this.
    #[error("container {name} is running: {reason}")]
    Running {
        /// Name of the container.
        name: String,
        /// What cannot be done.
        reason: &'static str,
    },
    /// The request makes no sense.
    #[error("{message}")]
    Invalid {
        /// What is wrong with what.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The host cannot do it.
    #[error("{message}")]
    Unsupported {
        /// What cannot be done, and why.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A container process said what went wrong.
    #[error("{}", .0.message)]
    Told(Told),
    /// A file could not be read, written, made or removed.
    #[error("cannot {action} {}", .path.display())]
    File {
        /// The verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A document of hoist's own is damaged.
    #[error("{} is damaged", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and how.
        source: serde_json::Error,
    },
    /// A system call failed.
    #[error("{action} failed")]
    System {
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The monitor ended without a word.
    #[error("the monitor of container {0} ended before the container was started")]
    MonitorLost(String),
    /// The reader of an attached container's output has gone.
    #[error("nobody reads the output any more; container {0} goes on")]
    OutputClosed(String),
    /// The user interrupted the work.
    #[error("cancelled")]
    Cancelled,
    /// Nothing here has the name that was to be pushed. The words are Docker's.
    #[error("An image does not exist locally with the tag: {0}")]
    NotTagged(String),
    /// The registry's error.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The store's error.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The network's error.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The runtime's error.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl EngineError {
    /// For `map_err`: the action and file of an I/O error.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    /// For `map_err`: the action of a failed system call.
    pub(crate) fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System {
            action,
            source: source.into(),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid {
            message: message.into(),
            hint: None,
        }
    }

    /// The same with what to do, where it has room for that.
    #[must_use]
    pub(crate) fn with_hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Invalid { hint, .. } | Self::Unsupported { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }
}

impl Describe for EngineError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchContainer(_) | Self::NotTagged(_) => Kind::NotFound,
            Self::AmbiguousContainer { .. }
            | Self::NameTaken { .. }
            | Self::NotRunning(_)
            | Self::Running { .. } => Kind::Conflict,
            Self::Invalid { .. } => Kind::Invalid,
            Self::Unsupported { .. } => Kind::Unsupported,
            Self::Told(told) => told.kind(),
            Self::File { .. } | Self::System { .. } => Kind::Unavailable,
            Self::Damaged { .. } | Self::MonitorLost(_) => Kind::Internal,
            Self::Cancelled | Self::OutputClosed(_) => Kind::Cancelled,
            Self::Registry(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Network(error) => error.kind(),
            Self::Runtime(error) => error.kind(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoSuchContainer(_) => vec!["hoist ps -a lists all containers".to_owned()],
            Self::NameTaken { name, .. } => {
                vec![format!(
                    "hoist rm -f {name} removes that container; without --name a free name is chosen"
                )]
            }
            Self::OutputClosed(name) => vec![format!(
                "hoist logs -f {name} follows it, hoist stop {name} stops it"
            )],
            Self::NotRunning(name) => vec![format!("hoist start {name} starts it")],
            Self::Running { name, .. } => vec![format!(
                "hoist stop {name} stops it first; hoist rm -f {name} kills and removes it"
            )],
            Self::Invalid { hint, .. } | Self::Unsupported { hint, .. } => {
                hint.iter().cloned().collect()
            }
            Self::Told(told) => told.hints.clone(),
            Self::File { source, path, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                vec![format!(
                    "{} belongs to another user: use the same user as before, or set HOIST_ROOT",
                    path.display()
                )]
            }
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                vec!["hoist system df shows what takes space, hoist system prune frees what nothing uses".to_owned()]
            }
            Self::Damaged { .. } => vec![
                "hoist system check says what else is damaged and whom it touches, and with --repair \
                 mends what can be mended"
                    .to_owned(),
            ],
            Self::NotTagged(name) => vec![format!(
                "hoist images lists what is here; hoist tag IMAGE {name} gives an image that name"
            )],
            Self::Registry(error) => error.hints(),
            Self::Store(error) => error.hints(),
            Self::Network(error) => error.hints(),
            Self::Runtime(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

/// An error as one hoist process tells it to another: kind, text, hints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    kind: String,
    code: u8,
    /// The whole text, causes and all.
    pub message: String,
    /// What to do.
    pub hints: Vec<String>,
}

impl Told {
    /// What to tell about `error`.
    #[must_use]
    pub fn of(error: &EngineError) -> Self {
        let (kind, code) = match error.kind() {
            Kind::NotFound => ("not-found", 0),
            Kind::Conflict => ("conflict", 0),
            Kind::Invalid => ("invalid", 0),
            Kind::Unauthorized => ("unauthorized", 0),
            Kind::Unsupported => ("unsupported", 0),
            Kind::Unavailable => ("unavailable", 0),
            Kind::Cancelled => ("cancelled", 0),
            Kind::ContainerCommand(code) => ("command", code),
            Kind::Internal => ("internal", 0),
        };
        Self {
            kind: kind.to_owned(),
            code,
            message: chain(error),
            hints: error.hints(),
        }
    }

    fn kind(&self) -> Kind {
        match self.kind.as_str() {
            "not-found" => Kind::NotFound,
            "conflict" => Kind::Conflict,
            "invalid" => Kind::Invalid,
            "unauthorized" => Kind::Unauthorized,
            "unsupported" => Kind::Unsupported,
            "unavailable" => Kind::Unavailable,
            "cancelled" => Kind::Cancelled,
            "command" => Kind::ContainerCommand(self.code),
            _ => Kind::Internal,
        }
    }
}
