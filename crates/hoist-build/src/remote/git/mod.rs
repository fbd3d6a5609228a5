//! Git repositories: `ADD https://….git#ref:directory`, and contexts.
//!
//! The machine's git talks to servers and reads objects; it never checks anything out. The files of a
//! commit come as an archive, which goes through the same distrustful hands as any other, and so do
//! those of submodules, each from a repository of its own. What a repository wants to run or to
//! configure is data here.
//!
//! All files carry the time of the commit, so that equal commits give equal files.

pub(crate) mod address;
pub(crate) mod credentials;
mod export;
mod history;
mod program;
pub(crate) mod repository;
mod tree;

use std::path::{Path, PathBuf};

pub(crate) use address::{GitAddress, GitRemote, NotGit, Transport};
use credentials::Trust;
use export::{Trouble, export};
use hoist_store::LayerDraft;
use program::Failure;
use repository::{Repository, Wanted};
use tree::Gitlink;

use super::{Pinned, Stock, Supplier};
use crate::{
    error::BuildError,
    execute::{archive, draft::Draft, open_directory},
    tree::{Ownership, Root, filter::Filter, walk},
};

/// Submodules within submodules that are followed.
const MAX_DEPTH: usize = 8;

/// The archive of a commit while it is unpacked.
const ARCHIVE: &str = "commit.tar";

/// A git repository as a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GitSource {
    pub(crate) address: GitAddress,
    /// `.git` is kept, with the one commit.
    pub(crate) keep_git_dir: bool,
}

/// A commit that is wanted of a repository, and how.
#[derive(Clone, Copy)]
struct Checkout<'a> {
    remote: &'a GitRemote,
    trust: Trust<'a>,
    wanted: Wanted<'a>,
    /// Below the root of the commit; empty for all of it.
    subdirectory: &'a str,
    submodules: bool,
    depth: usize,
}

/// Where commits are unpacked to.
struct Target {
    work: Root,
    draft: Draft,
    /// Submodules that may still come.
    left: usize,
}

impl GitSource {
    /// The repository at `address`; `keep_git_dir` and `checksum` are flags of the instruction.
    ///
    /// # Errors
    /// What contradicts what.
    pub(crate) fn new(
        mut address: GitAddress,
        keep_git_dir: Option<bool>,
        checksum: Option<&str>,
    ) -> Result<Self, String> {
        if let (Some(given), Some(written)) = (keep_git_dir, address.keep_git_dir)
            && given != written
        {
            return Err("inconsistent keep-git-dir configuration".to_owned());
        }
        if let Some(checksum) = checksum {
            address::check_checksum(checksum).map_err(|error| match error {
                NotGit::Invalid(reason) => reason,
                NotGit::Other => format!("invalid checksum {checksum}"),
            })?;
            if let Some(written) = &address.checksum
                && written != checksum
            {
                return Err(format!("checksum mismatch {checksum:?} != {written:?}"));
            }
            address.checksum = Some(checksum.to_owned());
        }
        if let (Some(reference), Some(checksum)) = (&address.reference, &address.checksum)
            && address::is_commit(reference)
            && !reference.starts_with(checksum.as_str())
        {
            return Err(format!(
                "expected checksum to match {checksum}, got {reference}"
            ));
        }
        let keep_git_dir = keep_git_dir.or(address.keep_git_dir).unwrap_or(false);
        Ok(Self {
            keep_git_dir: keep_git_dir && address.subdirectory.is_empty(),
            address,
        })
    }
}

impl Supplier<'_> {
    /// The commit that is meant. Nobody is asked when the address has it in full.
    pub(super) fn pin_repository(&self, source: &GitSource) -> Result<Pinned, BuildError> {
        let address = &source.address;
        let commit = match address.commit() {
            Some(commit) => commit.to_owned(),
            None => {
                let repository = Repository::open(*self, &address.remote, Trust::Named)?;
                resolve(address, &repository)?.commit
            }
        };
        let mut name = format!("commit {address}");
        for (differs, how) in [
            (source.keep_git_dir, " with .git"),
            (address.submodules == Some(false), " without submodules"),
        ] {
            if differs {
                name.push_str(how);
            }
        }
        Ok(Pinned {
            part: (name, commit),
            modified: None,
        })
    }

    /// The files of the commit that was pinned.
    pub(super) fn fetch_repository(
        &self,
        source: &GitSource,
        pinned: &Pinned,
        exclude: &[String],
    ) -> Result<Stock, BuildError> {
        let (draft, _) = self.checkout(source, &pinned.part.1)?;
        let name = PathBuf::from(source.address.to_string());
        let root = Root::new(open_directory(draft.path())?, name, Ownership::Root);
        let invalid = |message| BuildError::Invalid {
            message,
            hints: Vec::new(),
        };
        let filter = Filter::default().excluding(exclude).map_err(invalid)?;
        Ok(Stock {
            entries: walk(&root, Path::new(""), &filter)?,
            root,
            name: PathBuf::new(),
            start: PathBuf::new(),
            is_archive: false,
            _draft: draft,
        })
    }

    /// When the commit that is meant was made, in seconds since 1970.
    pub(super) fn commit_time(&self, source: &GitSource) -> Result<i64, BuildError> {
        let address = &source.address;
        let pinned = self.pin_repository(source)?;
        let commit = &pinned.part.1;
        let full_name = self.full_name(address, commit)?;
        let wanted = Wanted {
            commit,
            reference: full_name.as_deref(),
            exact: address.checksum.is_some(),
        };
        let repository = Repository::open(*self, &address.remote, Trust::Named)?;
        repository.fetch(wanted)?;
        match repository.time(commit) {
            Ok(time) => Ok(time),
            Err(Failure::Fatal(error)) => Err(error),
            Err(Failure::Said(_)) => {
                // What is here may be damaged: once more from the server.
                repository.reset()?;
                repository.fetch(wanted)?;
                let time = repository.time(commit);
                time.map_err(|failure| repository.problem(failure))
            }
        }
    }

    /// The full name of the reference by which `commit` is fetched, when it is not here and has one.
    fn full_name(&self, address: &GitAddress, commit: &str) -> Result<Option<String>, BuildError> {
        match &address.reference {
            Some(name) if address::is_commit(name) || address.by_commit => Ok(None),
            // What it points to was asked when it was pinned, unless the checksum said it.
            _ => {
                let repository = Repository::open(*self, &address.remote, Trust::Named)?;
                match repository.has(commit) {
                    true => Ok(None),
                    false => Ok(Some(resolve(address, &repository)?.reference)),
                }
            }
        }
    }

    /// The files of `commit` in a directory of their own, which is gone with the value, and the
    /// time of the commit.
    pub(super) fn checkout(
        &self,
        source: &GitSource,
        commit: &str,
    ) -> Result<(LayerDraft, i64), BuildError> {
        let address = &source.address;
        let full_name = self.full_name(address, commit)?;
        let draft = self.engine.store().begin_layer()?;
        let checkout = Checkout {
            remote: &address.remote,
            trust: Trust::Named,
            wanted: Wanted {
                commit,
                reference: full_name.as_deref(),
                exact: address.checksum.is_some(),
            },
            subdirectory: &address.subdirectory,
            submodules: address.submodules != Some(false),
            depth: 0,
        };
        let time = self.unpack(checkout, &draft)?;
        if source.keep_git_dir {
            self.keep_history(source, commit, &draft)?;
        }
        settle(draft.path(), time)?;
        Ok((draft, time))
    }

    /// Unpack a commit with its submodules; its time.
    fn unpack(&self, checkout: Checkout<'_>, draft: &LayerDraft) -> Result<i64, BuildError> {
        let name = PathBuf::from(&checkout.remote.url);
        let mut target = Target {
            work: Root::new(open_directory(draft.work())?, name, Ownership::Root),
            draft: Draft::new(open_directory(draft.path())?, None, 0)?,
            left: tree::MAX_SUBMODULES,
        };
        let time = self.unpack_into(checkout, draft.work(), &mut target, Path::new("/"))?;
        target.draft.finish()?;
        Ok(time)
    }

    fn unpack_into(
        &self,
        checkout: Checkout<'_>,
        work: &Path,
        target: &mut Target,
        below: &Path,
    ) -> Result<i64, BuildError> {
        let repository = Repository::open(*self, checkout.remote, checkout.trust)?;
        repository.fetch(checkout.wanted)?;
        let archive = work.join(ARCHIVE);
        let (time, links) = match export(&repository, checkout, &archive) {
            Ok(found) => found,
            Err(Trouble::Refused(error)) => return Err(error),
            Err(Trouble::Git(_)) => {
                // What is here may be damaged: once more from the server.
                repository.reset()?;
                repository.fetch(checkout.wanted)?;
                export(&repository, checkout, &archive).map_err(|trouble| {
                    let (Trouble::Git(error) | Trouble::Refused(error)) = trouble;
                    error
                })?
            }
        };
        // Submodules lock repositories of their own, perhaps this one.
        drop(repository);
        let place = target.draft.resolve(below)?;
        let (draft, stop) = (&mut target.draft, self.stop);
        archive::extract(draft, &target.work, Path::new(ARCHIVE), &place, None, stop)?;
        crate::cache::remove(&archive)?;
        if checkout.submodules {
            for (link, remote) in links {
                self.submodule(checkout, (&link, &remote), work, target, below)?;
            }
        }
        Ok(time)
    }

    fn submodule(
        &self,
        parent: Checkout<'_>,
        (link, remote): (&Gitlink, &GitRemote),
        work: &Path,
        target: &mut Target,
        below: &Path,
    ) -> Result<(), BuildError> {
        target.left = target.left.checked_sub(1).ok_or_else(|| {
            too_many(
                parent.remote,
                &format!("{} submodules", tree::MAX_SUBMODULES),
            )
        })?;
        if parent.depth + 1 > MAX_DEPTH {
            return Err(too_many(
                parent.remote,
                &format!("{MAX_DEPTH} levels of submodules"),
            ));
        }
        let host = match parent.trust {
            Trust::Named => parent.remote.host.as_str(),
            Trust::Submodule(host) => host,
        };
        let checkout = Checkout {
            remote,
            trust: Trust::Submodule(host),
            wanted: Wanted {
                commit: &link.commit,
                reference: None,
                exact: false,
            },
            subdirectory: "",
            depth: parent.depth + 1,
            ..parent
        };
        self.unpack_into(checkout, work, target, &below.join(&link.path))
            .map(drop)
    }
}

fn too_many(remote: &GitRemote, what: &str) -> BuildError {
    BuildError::Git {
        remote: remote.url.clone(),
        problem: format!("it has more than {what}"),
        hints: vec!["leave them out: ?submodules=false".to_owned()],
    }
}

/// Ask what the reference of `address` points to.
fn resolve(
    address: &GitAddress,
    repository: &Repository<'_>,
) -> Result<tree::Resolved, BuildError> {
    let name = address.reference.as_deref();
    let list = match name {
        Some(name) => {
            let peeled = format!("{name}^{{}}");
            repository.list(&[name, &peeled])?
        }
        None => repository.list(&["HEAD"])?,
    };
    tree::choose(address, name, &list)
}

/// Give the directory itself the time of the commit.
fn settle(path: &Path, time: i64) -> Result<(), BuildError> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    let time = Timespec {
        tv_sec: time,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::empty())
        .map_err(|errno| BuildError::io("set the time of", path, errno))
}
