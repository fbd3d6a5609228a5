//! Cache mounts on their way between machines: each a layer of its own in the artifact.
//!
//! A mount goes out under its lock, alone: nobody writes to it meanwhile. It comes in before the first
//! step that uses it, and only where this machine has none of its id.

use std::{
    collections::BTreeSet,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Duration,
};

use hoist_core::{Digest, Digester, error::chain, image::MEDIA_TYPE_LAYER_TAR};
use hoist_engine::{
    EngineError,
    artifact::{AbsentLayer, LayerForm, Outgoing},
    image::PushRequest,
};
use hoist_sys::lock::Lock;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{CacheMounts, elsewhere::warning, send::described};
use crate::{
    cache::MOUNTS,
    error::BuildError,
    execute::{Worker, check, open_directory},
    plan::{Action, MountSource},
    secret::scan::{Finding, What},
};

/// How often whoever waits for a mount looks again.
const TICK: Duration = Duration::from_millis(50);

impl Worker<'_> {
    /// The ids of the cache mounts that `mounts` means, of those that the build has.
    pub(super) fn mounts_to_export(&self, mounts: &CacheMounts) -> Vec<String> {
        let ids = self.mount_ids();
        match mounts {
            CacheMounts::None => Vec::new(),
            CacheMounts::All => ids.into_iter().map(str::to_owned).collect(),
            CacheMounts::Only(wanted) => {
                let mut known = Vec::new();
                for id in wanted {
                    if ids.contains(id.as_str()) {
                        known.push(id.clone());
                    } else {
                        let listed: Vec<&str> = ids.iter().copied().collect();
                        self.emit(warning(&format!(
                            "no step of this build has a cache mount {id:?}, so it is not exported; \
                             there are: {}",
                            listed.join(", ")
                        )));
                    }
                }
                known
            }
        }
    }

    fn mount_ids(&self) -> BTreeSet<&str> {
        let steps = self.plan.stages.iter().flat_map(|stage| stage.steps());
        let mounts = steps.flat_map(|step| match &step.action {
            Action::Run(run) => run.mounts.as_slice(),
            Action::Copy(_) | Action::MakeDirectory { .. } => &[],
        });
        mounts
            .filter_map(|mount| match &mount.source {
                MountSource::Cache { id, .. } => Some(id.as_str()),
                _ => None,
            })
            .collect()
    }

    /// True when this machine has the cache mount `id`.
    pub(super) fn has_mount(&self, id: &str) -> bool {
        self.mount_directory(id).join("data").is_dir()
    }

    /// The cache mount `id`, which is here, as a blob, and the digest of its archive. `None` when it
    /// has to stay here.
    pub(super) fn archive_mount(
        &self,
        id: &str,
        form: LayerForm,
        cancelled: &AtomicBool,
    ) -> Result<Option<(Digest, Outgoing<'static>)>, BuildError> {
        let directory = self.mount_directory(id);
        let _lock = alone(&directory, cancelled)?;
        let data = directory.join("data");
        if let Some(found) = self.may_not_leave(&data)? {
            return self.kept_back(id, found);
        }
        let codec = match form {
            LayerForm::Any => PushRequest::codec("gzip", None),
            LayerForm::Compressed(codec) => Some(codec),
            LayerForm::Plain => None,
        };
        let name = PathBuf::from(format!("cache mount {id}"));
        let store = self.engine.store();
        let (draft, diff_id) = store.archive_tree(open_directory(&data)?, &name, codec)?;
        let media_type = codec.map_or(MEDIA_TYPE_LAYER_TAR, |codec| codec.media_type());
        let digest = draft.digester().clone().finish();
        let blob = described(media_type, digest, draft.length());
        let open = move || -> io::Result<Box<dyn Read>> {
            Ok(Box::new(draft.reader().map_err(io::Error::other)?))
        };
        let open = Box::new(open);
        Ok(Some((diff_id, Outgoing { blob, open })))
    }

    /// What in a cache mount must not go to another machine.
    fn may_not_leave(&self, data: &Path) -> Result<Option<Finding>, BuildError> {
        let findings = self.trust.findings(data)?;
        let is_allowed = |finding: &Finding| self.trust.allows(&finding.path);
        Ok(findings.into_iter().find(|finding| !is_allowed(finding)))
    }

    /// A secret of the build ends the export. Keys and settings may belong to what a package manager
    /// has cached: the mount stays here, and the user hears of it.
    fn kept_back<T>(
        &self,
        id: &str,
        Finding { path, what }: Finding,
    ) -> Result<Option<T>, BuildError> {
        if let What::Secret(_) = what {
            return Err(BuildError::SecretInLayer {
                what: what.to_string(),
                path: PathBuf::from(format!("(cache mount {id}){}", path.display())),
            });
        }
        self.emit(warning(&format!(
            "the cache mount {id} is not exported: {} is in it: {path}; if that may be seen by whoever \
             has the cache, build with --allow-secret-in-layer {path}",
            what,
            path = path.display(),
        )));
        Ok(None)
    }

    /// Where the cache mount `id` lies.
    fn mount_directory(&self, id: &str) -> PathBuf {
        let name = Digest::of(id.as_bytes()).hex();
        self.engine.settings().root.join(MOUNTS).join(name)
    }

    /// Bring the cache mount `id` into `data`, which is not there, when an imported cache has it. The
    /// lock of the mount must be held.
    pub(crate) fn import_mount(&self, id: &str, data: &Path) -> Result<(), BuildError> {
        for absent in self.elsewhere.mounts(id) {
            let name = absent.artifact.name();
            let task = self
                .tasks
                .begin(&format!("importing cache mount {id} from {name}"));
            let error = match self.unpack_mount(&absent, data) {
                Ok(()) => {
                    task.done();
                    return Ok(());
                }
                Err(error) => error,
            };
            let why = chain(&error);
            task.failed(&why);
            if matches!(&error, BuildError::Engine(error) if matches!(**error, EngineError::Cancelled))
            {
                return Err(BuildError::Cancelled);
            }
            self.emit(warning(&format!(
                "the cache mount {id} of the cache {name} is of no use: {why}"
            )));
        }
        Ok(())
    }

    fn unpack_mount(&self, absent: &AbsentLayer, data: &Path) -> Result<(), BuildError> {
        let AbsentLayer {
            artifact,
            blob,
            diff_id,
        } = absent;
        let reader = artifact.blob(blob, 0, Digester::new())?;
        let draft = self.engine.store().unpack_tree(reader, diff_id)?;
        match renameat_with(CWD, draft.path(), CWD, data, RenameFlags::NOREPLACE) {
            // Beside others who share it, somebody was faster.
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(errno) => Err(BuildError::io("make the cache mount", data, errno)),
        }
    }
}

/// The lock of the mount in `directory`, for whoever wants no other at it.
fn alone(directory: &Path, cancelled: &AtomicBool) -> Result<Lock, BuildError> {
    let path = directory.join("lock");
    loop {
        check(cancelled)?;
        let lock = Lock::try_exclusive(&path).map_err(|source| BuildError::Io {
            action: "lock",
            path: path.clone(),
            source,
        })?;
        match lock {
            Some(lock) => return Ok(lock),
            None => std::thread::sleep(TICK),
        }
    }
}
