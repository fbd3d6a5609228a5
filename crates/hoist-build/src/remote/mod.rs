//! What a build reads from elsewhere: files of web servers and git repositories, for `ADD` and as
//! contexts.
//!
//! Both are first *pinned*, before anything runs: to the digest of the file, or to the commit. The
//! pin goes into the key of the step; what is behind it is brought here only when the step has to
//! run. A file is pinned by a conditional request, and by none at all when `--checksum` names it; a
//! reference of a repository by asking what it points to, and a commit in full by nothing.
//!
//! What was fetched is kept below `cache/`: [`web`] says how files are, [`git`] how repositories
//! are. Whoever is asked may be hostile: names, lengths, redirects, trees and submodules are looked at
//! before they are believed.

pub(crate) mod context;
pub(crate) mod git;
pub(crate) mod pin;
mod published;
pub(crate) mod web;
pub(crate) mod web_file;

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use hoist_engine::Engine;
use hoist_registry::Downloader;

use crate::{
    error::BuildError,
    secret::{Secret, SshAgent},
    tree::{Entry, Root},
};
use git::GitSource;
use web_file::WebFile;

/// The longest file, and the longest pack of a repository, that is fetched, in bytes.
const LONGEST: u64 = 64 << 30;

/// How a build reaches what lies elsewhere.
#[derive(Clone)]
pub struct RemoteAccess {
    /// Fetches files.
    pub downloader: Downloader,
    /// How the machine's git is run.
    pub git: GitProgram,
    /// The longest file that is fetched, in bytes.
    pub limit: u64,
}

/// How the machine's git is run. It sees nothing else of the environment, and no configuration but
/// the builder's.
#[derive(Clone, Default)]
pub struct GitProgram {
    /// Where `git` and `ssh` are looked for: the value of `PATH`.
    pub path: OsString,
    /// Variables that it gets: proxies and certificate authorities.
    pub variables: Vec<(String, OsString)>,
    /// Files in which the user keeps the keys of hosts (`~/.ssh/known_hosts`).
    pub known_hosts: Vec<PathBuf>,
}

impl RemoteAccess {
    /// Access with the usual limit.
    #[must_use]
    pub const fn new(downloader: Downloader, git: GitProgram) -> Self {
        Self {
            downloader,
            git,
            limit: LONGEST,
        }
    }
}

impl fmt::Debug for RemoteAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteAccess")
            .field("git", &self.git)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for GitProgram {
    /// Without the variables: a proxy may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitProgram")
            .field("path", &self.path)
            .field("known_hosts", &self.known_hosts)
            .finish_non_exhaustive()
    }
}

/// A source of `ADD` that is not in the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remote {
    File(WebFile),
    Git(GitSource),
}

/// Such a source, and which argument of the instruction it is, from 0.
#[derive(Debug, Clone)]
pub(crate) struct RemoteArgument {
    pub(crate) argument: usize,
    pub(crate) remote: Remote,
}

/// What a source is in this build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pinned {
    /// What the part of the cache key is called, and its value.
    pub(crate) part: (String, String),
    /// When the file changed last, in seconds since 1970, when it is one and that is known.
    pub(crate) modified: Option<i64>,
}

/// A source that is here, as long as the value lives.
#[derive(Debug)]
pub(crate) struct Stock {
    pub(crate) root: Root,
    /// Its last component names the copy of a file.
    pub(crate) name: PathBuf,
    /// What there is in `root`, below `start`.
    pub(crate) start: PathBuf,
    pub(crate) entries: Vec<Entry>,
    /// An archive to unpack.
    pub(crate) is_archive: bool,
    /// Removes it.
    _draft: hoist_store::LayerDraft,
}

/// Everything that pinning and fetching need.
#[derive(Clone, Copy)]
pub(crate) struct Supplier<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) access: &'a RemoteAccess,
    pub(crate) secrets: &'a [Secret],
    pub(crate) agents: &'a [SshAgent],
    /// Ends what is going on.
    pub(crate) stop: &'a AtomicBool,
}

impl Supplier<'_> {
    /// Find out what `remote` is now.
    pub(crate) fn pin(&self, remote: &Remote) -> Result<Pinned, BuildError> {
        match remote {
            Remote::File(file) => self.pin_file(file),
            Remote::Git(source) => self.pin_repository(source),
        }
    }

    /// Bring here what was pinned, without what `exclude` leaves out.
    pub(crate) fn fetch(
        &self,
        remote: &Remote,
        pinned: &Pinned,
        exclude: &[String],
    ) -> Result<Stock, BuildError> {
        match remote {
            Remote::File(file) => self.fetch_file(file, pinned, exclude),
            Remote::Git(source) => self.fetch_repository(source, pinned, exclude),
        }
    }

    /// The value of a secret, when the build was given one of this id.
    fn secret(&self, id: &str) -> Option<String> {
        let secret = self.secrets.iter().find(|secret| secret.id() == id)?;
        let text = String::from_utf8_lossy(secret.value());
        Some(text.trim().to_owned())
    }

    /// A directory of the cache, below the root; made when it is missing.
    fn directory(&self, name: &str) -> Result<PathBuf, BuildError> {
        let path = self.engine.settings().root.join(name);
        std::fs::create_dir_all(&path).map_err(failed("make", &path))?;
        Ok(path)
    }
}

impl Remote {
    /// The source as messages and histories write it: without user and password.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::File(file) => file.shown(),
            Self::Git(source) => source.address.to_string(),
        }
    }
}

/// The error of a build that may fetch nothing.
pub(crate) fn unreachable(what: &str) -> BuildError {
    BuildError::Invalid {
        message: format!("{what} lies elsewhere, and this build may fetch nothing"),
        hints: Vec::new(),
    }
}

/// An error about a path of this machine.
fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BuildError {
    let path = path.to_owned();
    move |source| BuildError::Io {
        action,
        path,
        source,
    }
}
