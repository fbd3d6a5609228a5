//! The files of a commit as an archive, and where its submodules come from.

use std::{fs::File, path::Path};

use super::{
    super::failed,
    Checkout, GitRemote, NotGit,
    program::Failure,
    repository::Repository,
    tree::{self, Gitlink},
};
use crate::error::BuildError;

/// Why a commit was not exported.
pub(super) enum Trouble {
    /// git cannot read it.
    Git(BuildError),
    /// It is not wanted as it is.
    Refused(BuildError),
}

impl From<BuildError> for Trouble {
    fn from(error: BuildError) -> Self {
        Self::Refused(error)
    }
}

/// Write the files of a commit, or of a directory of it, into the archive at `path`. Its time, and
/// the submodules below with their addresses.
pub(super) fn export(
    repository: &Repository<'_>,
    checkout: Checkout<'_>,
    path: &Path,
) -> Result<(i64, Vec<(Gitlink, GitRemote)>), Trouble> {
    let commit = checkout.wanted.commit;
    let problem = |failure| match repository.problem(failure) {
        error @ BuildError::Git { .. } => Trouble::Git(error),
        error => Trouble::Refused(error),
    };
    let time = repository.time(commit).map_err(problem)?;
    let object = match checkout.subdirectory {
        "" => commit.to_owned(),
        subdirectory => commit_of(repository, checkout, subdirectory, time)?,
    };
    let list = repository.git(&["ls-tree", "-r", "-z", "--full-tree"]);
    let list = list.arg(&object).output().map_err(problem)?;
    let links = tree::inspect(&list).map_err(|problem| BuildError::Git {
        remote: checkout.remote.url.clone(),
        problem,
        hints: Vec::new(),
    })?;
    let file = File::create(path).map_err(failed("make", path))?;
    let archive = repository.git(&["archive", "--format=tar"]).arg(&object);
    archive.write_to(file).map_err(problem)?;
    let links = match checkout.submodules && !links.is_empty() {
        true => with_addresses(repository, checkout, links)?,
        false => Vec::new(),
    };
    Ok((time, links))
}

/// A commit whose whole tree is a directory of another: archives of commits carry a time. The
/// directory is found among trees, so that no link and no `..` leads to it.
fn commit_of(
    repository: &Repository<'_>,
    checkout: Checkout<'_>,
    subdirectory: &str,
    time: i64,
) -> Result<String, BuildError> {
    let commit = checkout.wanted.commit;
    let object = format!("{commit}:{subdirectory}");
    let kind = repository.git(&["cat-file", "-t"]).arg(&object).output();
    if !kind.is_ok_and(|kind| kind.trim_ascii() == b"tree") {
        return Err(BuildError::MissingSource {
            path: subdirectory.to_owned(),
            hints: vec![format!(
                "{} has no such directory at {commit}; links are not followed",
                checkout.remote.url
            )],
        });
    }
    let made = repository
        .git(&["commit-tree", "-m", "", &object])
        .identified(time)
        .output()
        .map_err(|failure| repository.problem(failure))?;
    Ok(String::from_utf8_lossy(&made).trim().to_owned())
}

/// Where the submodules `links` are fetched from.
fn with_addresses(
    repository: &Repository<'_>,
    checkout: Checkout<'_>,
    links: Vec<Gitlink>,
) -> Result<Vec<(Gitlink, GitRemote)>, BuildError> {
    let refused = |path: &str, reason: &str| BuildError::Git {
        remote: checkout.remote.url.clone(),
        problem: format!("its submodule {path:?} cannot be fetched: {reason}"),
        hints: vec!["leave submodules out: ?submodules=false".to_owned()],
    };
    let blob = format!("{}:.gitmodules", checkout.wanted.commit);
    let list = repository.git(&["config", "--no-includes", "--list", "-z", "--blob"]);
    let known = match list.arg(blob).output() {
        Ok(list) => tree::addresses(&list),
        Err(Failure::Fatal(error)) => return Err(error),
        Err(Failure::Said(_)) => Vec::new(),
    };
    let mut found = Vec::new();
    for link in links {
        let full = match checkout.subdirectory {
            "" => link.path.clone(),
            above => format!("{above}/{}", link.path),
        };
        let address = known.iter().find(|(path, _)| *path == full);
        let Some((_, url)) = address else {
            return Err(refused(&full, "no url found in .gitmodules"));
        };
        // `update = none`: it is not wanted.
        let Some(url) = url else { continue };
        let remote = checkout
            .remote
            .submodule(url)
            .map_err(|error| match error {
                NotGit::Invalid(reason) => refused(&full, &format!("{url}: {reason}")),
                NotGit::Other => refused(&full, url),
            })?;
        found.push((link, remote));
    }
    Ok(found)
}
