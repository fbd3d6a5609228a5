//! Containers: one verb, one file.

mod changes;
mod create;
mod exec;
mod export;
mod find;
mod inspect;
mod logs;
mod observe;
mod remove;
mod start;
mod stop;

pub use create::Created;
pub use exec::ExecRequest;
pub use find::{DamagedContainer, Survey};
pub use logs::{LogEntry, LogQuery, LogStream};
pub use remove::RemoveOptions;
pub use start::AttachRequest;

pub(crate) use exec::{process_environment, resolve_user};
pub(crate) use logs::{LogLine, base64};
pub(crate) use remove::remove_tree;

use crate::{record::Record, status::Status};

/// A container: what was asked for, and how it fares.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// Fixed when it was made.
    pub record: Record,
    /// Its status when it was looked at.
    pub status: Status,
}
