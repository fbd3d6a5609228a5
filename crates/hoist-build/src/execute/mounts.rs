//! `RUN --mount`: files of the context, of stages and images, cache directories, memory.
//!
//! What a step may only look at is mounted from where it lies when that shows no more than it
//! should; everything else is copied first into a draft that nobody commits, so that the step may
//! write to it and sees no ignored file.

use std::{
    ffi::OsStr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use hoist_core::{Digest, spec::Mount};
use hoist_store::LayerDraft;
use hoist_sys::lock::Lock;

use super::{
    Worker,
    agent::Forward,
    copy::{self, Item, Job},
    draft::Draft,
    open_directory,
    private::PrivateFiles,
    step::At,
};
use crate::{
    error::BuildError,
    key::chain,
    plan::{CopyAction, CopyFrom, CopyOptions, MountAction, MountSource, RunAction},
    sources::{Place, Source, gather},
    tree::{Root, below},
};

/// The mounts of one step, with what must live as long as it runs.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    list: Vec<Mount>,
    /// Variables of secrets.
    variables: Vec<String>,
    drafts: Vec<LayerDraft>,
    locks: Vec<Lock>,
    /// Before the files: a socket is closed before it is removed.
    agents: Vec<Forward>,
    private: Option<PrivateFiles>,
}

impl Mounts {
    /// The mounts, in the order in which they are made.
    pub(super) fn list(&self) -> Vec<Mount> {
        self.list.clone()
    }

    /// `NAME=value` of what is mounted as variables.
    pub(super) fn variables(&self) -> Vec<String> {
        self.variables.clone()
    }

    /// The place for what nobody else may see, and how many files there are already.
    pub(super) fn private(&mut self, run: &Path) -> Result<(&PrivateFiles, usize), BuildError> {
        let number = self.list.len();
        let files = match self.private.take() {
            Some(files) => files,
            None => PrivateFiles::make(run)?,
        };
        Ok((self.private.insert(files), number))
    }

    /// Set a variable of the step.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.variables.push(format!("{name}={value}"));
    }

    /// Keep `agent` as long as the step runs.
    pub(super) fn forward(&mut self, agent: Forward) {
        self.agents.push(agent);
    }

    /// Keep `lock` as long as the step runs.
    pub(super) fn hold(&mut self, lock: Lock) {
        self.locks.push(lock);
    }

    /// Show `source` at `destination`.
    pub(super) fn bind(&mut self, source: PathBuf, destination: &str, read_only: bool) {
        let mut options = vec!["bind".to_owned(), "rprivate".to_owned()];
        if read_only {
            options.push("ro".to_owned());
        }
        self.list.push(Mount {
            destination: PathBuf::from(destination),
            kind: "bind".to_owned(),
            source: Some(source),
            options,
        });
    }
}

/// The copy that a bind mount of `path` amounts to.
pub(crate) fn as_copy(from: &CopyFrom, path: &str) -> CopyAction {
    CopyAction {
        from: from.clone(),
        sources: vec![path.to_owned()],
        remotes: Vec::new(),
        inline: Vec::new(),
        destination: "/".to_owned(),
        chown: None,
        chmod: None,
        exclude: Vec::new(),
        options: CopyOptions::default(),
    }
}

impl Worker<'_> {
    /// What each mount of `action` brings into the key of the step.
    pub(super) fn mount_digests(
        &self,
        at: At<'_>,
        action: &RunAction,
    ) -> Result<Vec<Option<Digest>>, BuildError> {
        let mounts = action.mounts.iter().enumerate();
        mounts
            .map(|(place, mount)| self.mount_digest(at, place, mount))
            .collect()
    }

    pub(super) fn mount_digest(
        &self,
        at: At<'_>,
        place: usize,
        mount: &MountAction,
    ) -> Result<Option<Digest>, BuildError> {
        match mount.source.reads() {
            Some((CopyFrom::Context | CopyFrom::Named(_), _)) => {
                let sources = self.prepared(at.step.index, place);
                Ok(sources.first().map(|source| source.digest))
            }
            Some((CopyFrom::Other(base), _)) => {
                Ok(Some(chain(&self.layers_of(base, at.board, at.stop)?)))
            }
            None => Ok(None),
        }
    }

    /// Prepare the mounts of `action`, and its script.
    pub(super) fn mounts(&self, at: At<'_>, action: &RunAction) -> Result<Mounts, BuildError> {
        let mut mounts = Mounts::default();
        if let Some((name, content)) = &action.script {
            self.script(&mut mounts, name, content)?;
        }
        for (place, mount) in action.mounts.iter().enumerate() {
            match &mount.source {
                MountSource::Tmpfs { size } => mounts.list.push(tmpfs(mount, *size)),
                MountSource::Cache { .. } => {
                    self.cache_mount(&mut mounts, at, (place, mount))?;
                }
                MountSource::Secret { .. } => self.secret(&mut mounts, mount)?,
                MountSource::Ssh { .. } => self.ssh(&mut mounts, mount)?,
                MountSource::Bind { from, path } => {
                    self.bind_mount(&mut mounts, at, (place, mount), (from, path))?;
                }
            }
        }
        Ok(mounts)
    }

    fn script(&self, mounts: &mut Mounts, name: &str, content: &str) -> Result<(), BuildError> {
        let draft = self.engine.store().begin_layer()?;
        let path = draft.path().join("script");
        let write = || {
            std::fs::write(&path, content)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
        };
        write().map_err(|source| BuildError::Io {
            action: "write",
            path: path.clone(),
            source,
        })?;
        mounts.bind(path, &format!("/dev/pipes/{name}"), true);
        mounts.drafts.push(draft);
        Ok(())
    }

    fn bind_mount(
        &self,
        mounts: &mut Mounts,
        at: At<'_>,
        (place, mount): (usize, &MountAction),
        (from, path): (&CopyFrom, &str),
    ) -> Result<(), BuildError> {
        if self.contexts.of(from).is_some() {
            let context = self.context_of(from);
            if let [source] = self.prepared(at.step.index, place)
                && mount.read_only
                && (context.ignore.is_none() || !source.entries[0].is_directory())
            {
                let base = below(&context.real, &source.start);
                mounts.bind(base, &mount.target, true);
                return Ok(());
            }
        }
        let (draft, shown) = self.with_sources(at, place, (from, path), |root, sources| {
            self.snapshot(at, root, sources)
        })?;
        mounts.bind(shown, &mount.target, mount.read_only);
        mounts.drafts.push(draft);
        Ok(())
    }

    /// Do `work` with the files at `path` of `from`, which are those of the mount at `place`.
    pub(super) fn with_sources<T>(
        &self,
        at: At<'_>,
        place: usize,
        (from, path): (&CopyFrom, &str),
        work: impl FnOnce(&Root, &[Source]) -> Result<T, BuildError>,
    ) -> Result<T, BuildError> {
        let CopyFrom::Other(base) = from else {
            let sources = self.prepared(at.step.index, place);
            return work(&self.context_of(from).root, sources);
        };
        let layers = self.layers_of(base, at.board, at.stop)?;
        let Some(root) = self.tree(&layers)? else {
            return Err(BuildError::MissingSource {
                path: path.to_owned(),
                hints: vec!["scratch has no files".to_owned()],
            });
        };
        let place = Place {
            root: &root,
            context: None,
            cancelled: at.stop,
        };
        let gathered = gather(&as_copy(from, path), place)?;
        work(&root, &gathered)
    }

    /// A copy of `sources` that the step may have to itself, and the path to show of it.
    fn snapshot(
        &self,
        at: At<'_>,
        root: &Root,
        sources: &[Source],
    ) -> Result<(LayerDraft, PathBuf), BuildError> {
        let layer = self.engine.store().begin_layer()?;
        fill(layer.path(), at, root, sources)?;
        let shown = match sources {
            [source] if !source.entries[0].is_directory() => {
                let name = source.name.file_name().unwrap_or(OsStr::new("file"));
                layer.path().join(name)
            }
            _ => layer.path().to_owned(),
        };
        Ok((layer, shown))
    }
}

/// Copy `sources` into the empty `directory`.
pub(super) fn fill(
    directory: &Path,
    at: At<'_>,
    root: &Root,
    sources: &[Source],
) -> Result<(), BuildError> {
    let mut draft = Draft::new(open_directory(directory)?, None, at.stage.time)?;
    let items = sources.iter().map(|source| Item::Tree {
        root,
        name: &source.name,
        start: &source.start,
        entries: &source.entries,
    });
    let job = Job {
        items: items.collect(),
        destination: "/",
        owner: None,
        chmod: None,
        cancelled: at.stop,
    };
    copy::copy(&mut draft, &job)?;
    draft.finish()
}

fn tmpfs(mount: &MountAction, size: Option<u64>) -> Mount {
    let mut options = vec!["nosuid".to_owned(), "nodev".to_owned()];
    options.extend(size.map(|bytes| format!("size={bytes}")));
    Mount {
        destination: PathBuf::from(&mount.target),
        kind: "tmpfs".to_owned(),
        source: None,
        options,
    }
}
