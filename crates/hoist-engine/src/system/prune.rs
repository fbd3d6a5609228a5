//! `system prune`: what nothing uses goes.

use std::{fs, path::Path};

use hoist_core::{ContainerId, Digest};
use hoist_store::Removal;
use hoist_sys::lock::Lock;

use super::{
    plan::{PruneFilter, container_verdict, image_verdict, volume_verdict},
    usage::directory_size,
};
use crate::{
    container::{RemoveOptions, remove_tree},
    error::EngineError,
    root::Engine,
};

/// What to prune. Containers that do not run, images without a name, idle networks and whatever a
/// crash left behind always go.
#[derive(Debug, Clone, Default)]
pub struct PruneRequest {
    /// Also images with a name that no container uses.
    pub all_images: bool,
    /// Also anonymous volumes that no container uses.
    pub volumes: bool,
    /// Layers that the build cache is to keep; the others go.
    pub kept_layers: Vec<Digest>,
    /// Which of them.
    pub filter: PruneFilter,
}

/// What can be pruned alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prunable {
    /// Containers that do not run.
    Containers,
    /// Images without a name, or without a container ([`PruneRequest::all_images`]).
    Images,
}

/// What was pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Containers.
    pub containers: Vec<ContainerId>,
    /// Images and their names.
    pub images: Vec<Removal>,
    /// Volumes.
    pub volumes: Vec<String>,
    /// Networks whose bridge was taken down; it comes back with the next container.
    pub networks: Vec<String>,
    /// Bytes that were freed.
    pub space: u64,
}

impl Engine {
    /// Remove what nothing uses.
    ///
    /// # Errors
    /// When something cannot be removed; what was removed before stays removed.
    pub fn prune(&self, request: &PruneRequest) -> Result<Pruned, EngineError> {
        let mut pruned = Pruned::default();
        self.prune_containers(request, &mut pruned)?;
        if request.volumes {
            self.prune_volumes(&mut pruned)?;
        }
        self.prune_images(request, &mut pruned)?;
        self.prune_network(&mut pruned)?;
        self.sweep()?;
        self.store().empty_quarantine()?;
        Ok(pruned)
    }

    /// Remove what nothing uses, of one kind.
    ///
    /// # Errors
    /// As [`prune`](Self::prune).
    pub fn prune_only(
        &self,
        what: Prunable,
        request: &PruneRequest,
    ) -> Result<Pruned, EngineError> {
        let mut pruned = Pruned::default();
        match what {
            Prunable::Containers => self.prune_containers(request, &mut pruned)?,
            Prunable::Images => self.prune_images(request, &mut pruned)?,
        }
        Ok(pruned)
    }

    fn prune_containers(
        &self,
        request: &PruneRequest,
        pruned: &mut Pruned,
    ) -> Result<(), EngineError> {
        for container in self.containers()? {
            if !container_verdict(&container, request).goes() {
                continue;
            }
            let space = directory_size(&self.container_dir(&container.record.id))?;
            match self.remove(&container, RemoveOptions::default()) {
                Ok(()) => {
                    pruned.space += space;
                    pruned.containers.push(container.record.id);
                }
                // Somebody has started it since, or removed it.
                Err(EngineError::Running { .. } | EngineError::NoSuchContainer(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn prune_volumes(&self, pruned: &mut Pruned) -> Result<(), EngineError> {
        let used = self.used_volumes()?;
        for volume in self
            .volumes()?
            .into_iter()
            .filter(|volume| volume_verdict(volume, used.contains(&volume.name)).goes())
        {
            pruned.space += directory_size(&self.volume_data(&volume.name))?;
            self.remove_volume(&volume.name)?;
            pruned.volumes.push(volume.name);
        }
        Ok(())
    }

    fn prune_images(&self, request: &PruneRequest, pruned: &mut Pruned) -> Result<(), EngineError> {
        let uses = self.uses()?;
        let layers = self.store().usage()?.layers;
        let bytes = |removal: &Removal| match removal {
            Removal::DeletedLayer(id) => layers
                .iter()
                .find(|layer| layer.diff_id == *id)
                .map_or(0, |layer| layer.size),
            _ => 0,
        };
        for summary in self.store().images()? {
            if image_verdict(&summary, &uses, request).goes() {
                let removed = self.remove_unused(&summary.id.to_string(), &request.kept_layers)?;
                pruned.space += removed.iter().map(bytes).sum::<u64>();
                pruned.images.extend(removed);
            }
        }
        pruned.space += self.collect_garbage(&request.kept_layers)?.bytes;
        Ok(())
    }

    fn prune_network(&self, pruned: &mut Pruned) -> Result<(), EngineError> {
        if self.settings().rootless {
            return Ok(());
        }
        self.sweep_network()?;
        if self.networks().remove_idle()? {
            pruned.networks.push("bridge".to_owned());
        }
        Ok(())
    }

    /// Directories of containers that a crash left: removals that did not finish, creations that
    /// never got their record, live state of containers and build steps that are gone.
    fn sweep(&self) -> Result<(), EngineError> {
        // While it is held nobody creates, and a directory without a record is nobody's.
        if let Some(alone) = self.creating(Lock::try_exclusive)? {
            for id in self.container_ids()? {
                if !self.exists(&id) {
                    remove_tree(&self.container_dir(&id))?;
                }
            }
            drop(alone);
        }
        for entry in fs::read_dir(self.containers_dir())
            .into_iter()
            .flatten()
            .flatten()
        {
            if entry.file_name().to_string_lossy().starts_with(".removed-") {
                remove_tree(&entry.path())?;
            }
        }
        for id in ids_in(&self.settings().run.join("containers")) {
            if !self.exists(&id) {
                let turn = self.take_turn(&id)?;
                if self.settle(&id)?.is_none() && !self.is_monitored(&id) {
                    self.remove_run_dir(&id);
                }
                drop(turn);
            }
        }
        self.sweep_steps()
    }
}

/// The ids that entries of a directory are called; none when it cannot be read.
pub(crate) fn ids_in(directory: &Path) -> Vec<ContainerId> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}
