//! `--keep-git-dir`: the files of a commit with a `.git` beside them, made here and holding that one
//! commit; nothing of what the server or the repository would configure.

use std::{os::unix::fs::PermissionsExt, path::Path};

use hoist_store::LayerDraft;

use super::{
    super::{Supplier, failed},
    GitSource, Trust,
    program::Git,
    repository::Repository,
    settle,
};
use crate::error::BuildError;

impl Supplier<'_> {
    /// Make `.git` in the files of `commit`, which are in `draft`.
    pub(super) fn keep_history(
        &self,
        source: &GitSource,
        commit: &str,
        draft: &LayerDraft,
    ) -> Result<(), BuildError> {
        let remote = &source.address.remote;
        let repository = Repository::open(*self, remote, Trust::Named)?;
        let directory = draft.path().join(".git");
        let git = |arguments: &[&str]| Git::new(*self, &directory, arguments);
        let problem = |failure| repository.problem(failure);
        git(&["init", "--quiet", "--bare", "--template="])
            .run()
            .map_err(problem)?;
        // A branch keeps its name, and a tag its object.
        let name = match source.address.reference.as_deref() {
            Some(name) if name.starts_with("refs/") => Some(name.to_owned()),
            Some(name) if super::address::is_commit(name) => None,
            Some(name) => Some(format!("refs/heads/{name}")),
            None => None,
        };
        let kept = format!("refs/hoist/{commit}");
        let kind = repository.git(&["cat-file", "-t"]).arg(&kept).output();
        let is_tag = kind.map_err(problem)?.trim_ascii() == b"tag";
        let name = match (is_tag, name) {
            (true, Some(name)) => Some(name.replacen("refs/heads/", "refs/tags/", 1)),
            (_, name) => name,
        };
        let local = format!("file://{}", repository.path().display());
        git(&[
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--depth=1",
            "--",
        ])
        .arg(local)
        .arg(format!(
            "+{kept}:{}",
            name.as_deref().unwrap_or("refs/remotes/origin/HEAD")
        ))
        .reading_here()
        .run()
        .map_err(problem)?;
        let settings = [
            ("core.bare", "false"),
            ("remote.origin.url", remote.url.as_str()),
            ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
        ];
        for (key, value) in settings {
            git(&["config", "--local", key])
                .arg(value)
                .run()
                .map_err(problem)?;
        }
        // A tag has its commit behind it.
        let head = format!("{commit}^{{commit}}");
        git(&["update-ref", "--no-deref", "HEAD", &head])
            .run()
            .map_err(problem)?;
        git(&["read-tree", commit]).run().map_err(problem)?;
        let time = repository.time(commit).map_err(problem)?;
        crate::cache::remove(&directory.join("FETCH_HEAD"))?;
        if directory.join("logs").exists() {
            crate::cache::remove_tree(&directory.join("logs"))?;
        }
        dress(&directory, time)
    }
}

/// Usual modes and the time of the commit for everything that git made at `path`.
fn dress(path: &Path, time: i64) -> Result<(), BuildError> {
    let found = path.symlink_metadata().map_err(failed("read", path))?;
    let mode = if found.is_dir() {
        for entry in crate::cache::list(path)? {
            dress(&entry, time)?;
        }
        0o755
    } else {
        0o644
    };
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).map_err(failed("set the mode of", path))?;
    settle(path, time)
}
