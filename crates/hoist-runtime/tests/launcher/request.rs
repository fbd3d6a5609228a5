//! What a test asks of the launcher, as JSON in a file.

use std::path::PathBuf;

use hoist_core::spec::{Resources, Spec};
use serde::{Deserialize, Serialize};

/// One launch.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Request {
    /// What to do.
    pub(crate) action: Action,
    /// The specification; for an exec, only its process and filter count.
    pub(crate) spec: Spec,
    /// The layers below `upper`; without, `upper` is the root itself.
    pub(crate) lower: Vec<PathBuf>,
    /// The writable directory.
    pub(crate) upper: PathBuf,
    /// overlayfs's own directory.
    pub(crate) work: PathBuf,
    /// What to type into the terminal, if the process has one.
    pub(crate) input: String,
    /// A new size for the terminal before typing: rows and columns.
    pub(crate) resize: Option<(u16, u16)>,
    /// The cgroups to make (to open, for an exec).
    pub(crate) cgroup: Option<String>,
    /// Make them in this tree of version 2.
    pub(crate) tree: Option<PathBuf>,
    /// Their limits.
    pub(crate) resources: Resources,
    /// See `Launch::init`.
    pub(crate) init: bool,
    /// See `Launch::die_with_parent`.
    pub(crate) die_with_parent: bool,
    /// Enter a user namespace first, with these maps (inside, outside, count).
    pub(crate) user_namespace: Option<Maps>,
    /// Run from a mount of the launcher's file that is read-only.
    pub(crate) seal: bool,
}

/// Maps of users and groups.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Maps {
    pub(crate) uids: Vec<(u32, u32, u32)>,
    pub(crate) gids: Vec<(u32, u32, u32)>,
}

/// What the launcher does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    /// Start the container, wait for it, remove its cgroups.
    #[default]
    Run,
    /// Make it and drop it.
    Drop,
    /// Run a further process in the container with this process id.
    Exec(i32),
}

/// What the launcher says on its standard output, one JSON document a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// The process exists.
    Created(i32),
    /// The command runs.
    Started(i32),
    /// It ended with this exit code.
    Exited(u8),
    /// Something failed: kind, message with causes, hints.
    Failed(String, String, Vec<String>),
    /// What the cgroups counted: kills for memory, and whether a peak was known.
    Counted(u64, bool),
}
