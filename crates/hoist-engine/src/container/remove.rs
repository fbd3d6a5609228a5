//! `rm`: a container and what belongs to it alone is taken away.

use std::{fs, io, time::Duration};

use hoist_core::{mount::MountKind, signal::Signal};

use super::Container;
use crate::{error::EngineError, record::Record, root::Engine, status::State};

/// How to remove a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Kill it first when it runs.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
}

impl Engine {
    /// Remove a container.
    ///
    /// # Errors
    /// When it runs and `force` is not set, or its files cannot be removed.
    pub fn remove(&self, container: &Container, options: RemoveOptions) -> Result<(), EngineError> {
        let turn = self.take_turn(&container.record.id)?;
        let container = &Container {
            record: container.record.clone(),
            status: self.observe(&container.record)?,
        };
        if container.status.state == State::Running {
            if !options.force {
                return Err(EngineError::Running {
                    name: container.record.name.clone(),
                    reason: "stop the container before removing it, or force its removal",
                });
            }
            self.stop_with(container, Signal::KILL, Some(Duration::ZERO))?;
        }
        self.mend(container)?;
        let removed = self.take_away(
            &container.record,
            options.volumes || container.record.auto_remove,
        );
        drop(turn);
        removed
    }

    /// Remove the files of a container that does not run; a second call finds nothing to do.
    ///
    /// The directory is renamed first: from then on the container does not exist, and what a crash
    /// leaves is garbage that the next removal sweeps.
    pub(crate) fn take_away(&self, record: &Record, volumes: bool) -> Result<(), EngineError> {
        let directory = self.container_dir(&record.id);
        let removed = self
            .containers_dir()
            .join(format!(".removed-{}", record.id));
        match fs::rename(&directory, &removed) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(EngineError::file("remove", directory)(error)),
        }
        let claim = self.name_claim(&record.name);
        if fs::read_link(&claim).is_ok_and(|id| id.to_str() == Some(record.id.as_str())) {
            fs::remove_file(&claim).map_err(EngineError::file("remove", claim))?;
        }
        remove_tree(&self.container_run_dir(&record.id))?;
        if volumes {
            for mount in record.mounts.iter().filter(|mount| mount.anonymous) {
                if let MountKind::Volume {
                    name: Some(name), ..
                } = &mount.request.kind
                {
                    self.remove_volume(name)?;
                }
            }
        }
        remove_tree(&removed)
    }

    /// Undo a creation that failed halfway; what cannot be undone is garbage for the next sweep.
    pub(crate) fn discard(&self, record: &Record) {
        drop(self.take_away(record, true));
    }
}

/// Remove a directory and everything in it; absent is fine.
///
/// Overlay's work directory holds one directory without any permission, which its owner may still
/// remove.
pub(crate) fn remove_tree(path: &std::path::Path) -> Result<(), EngineError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(EngineError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}
