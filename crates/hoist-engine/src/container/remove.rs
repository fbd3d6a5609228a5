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
    /// When it runs and `force` is not set, somebody else has removed it meanwhile, or its files
    /// cannot be removed.
    pub fn remove(&self, container: &Container, options: RemoveOptions) -> Result<(), EngineError> {
        let id = &container.record.id;
        let turn = self.take_turn(id)?;
        let missing = || EngineError::NoSuchContainer(container.record.name.clone());
        let Some(mut current) = self.settle(id)? else {
            self.remove_run_dir(id);
            return Err(missing());
        };
        if current.status.state == State::Running {
            if !options.force {
                return Err(EngineError::Running {
                    name: current.record.name,
                    reason: "stop the container before removing it, or force its removal",
                });
            }
            self.stop_with(&current, Signal::KILL, Some(Duration::ZERO))?;
            self.await_monitor(id)?;
            current = match self.settle(id)? {
                Some(current) => current,
                // It was to be removed at its end.
                None => {
                    self.remove_run_dir(id);
                    return Ok(());
                }
            };
        }
        let volumes = options.volumes || current.record.auto_remove;
        let removed = self.take_away(&current.record, volumes);
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
        self.release_name(record)?;
        self.remove_run_dir(&record.id);
        if volumes {
            self.remove_own_volumes(record)?;
        }
        remove_tree(&removed)
    }

    /// Remove the volumes that were made for a container alone, except those that another one has
    /// been given by name since.
    fn remove_own_volumes(&self, record: &Record) -> Result<(), EngineError> {
        let own = record.mounts.iter().filter(|mount| mount.anonymous);
        let names: Vec<&String> = own
            .filter_map(|mount| match &mount.request.kind {
                MountKind::Volume { name, .. } => name.as_ref(),
                _ => None,
            })
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let used = self.used_volumes()?;
        for name in names.into_iter().filter(|name| !used.contains(*name)) {
            self.remove_volume(name)?;
        }
        Ok(())
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
