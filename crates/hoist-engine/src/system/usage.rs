//! `system df`: what takes space.

use std::{collections::BTreeSet, fs, io, os::unix::fs::MetadataExt, path::Path};

use hoist_core::mount::MountKind;

use crate::{container::Container, error::EngineError, root::Engine, status::State};

/// One row of `system df`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many there are.
    pub total: usize,
    /// How many are in use.
    pub active: usize,
    /// Bytes of all.
    pub size: u64,
    /// Bytes of those that are not in use.
    pub reclaimable: u64,
}

/// What takes space in a data root.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Images, layers that they share counted once.
    pub images: Usage,
    /// Writable layers and logs of containers.
    pub containers: Usage,
    /// Volumes.
    pub volumes: Usage,
    /// Layers that only the build cache holds.
    pub build_cache: Usage,
}

impl Engine {
    /// What takes space.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn disk_usage(&self) -> Result<DiskUsage, EngineError> {
        let (images, build_cache) = self.layer_usage()?;
        Ok(DiskUsage {
            images,
            containers: self.container_usage()?,
            volumes: self.volume_usage()?,
            build_cache,
        })
    }

    /// Images, and the layers that no image has: the build cache's.
    fn layer_usage(&self) -> Result<(Usage, Usage), EngineError> {
        let uses = self.uses()?;
        let stored = self.store().usage()?;
        let active = self
            .store()
            .images()?
            .iter()
            .filter(|image| uses.has(&image.id))
            .count();
        let mut images = Usage {
            total: stored.images,
            active,
            ..Usage::default()
        };
        let mut cache = Usage::default();
        for layer in stored.layers {
            let usage = if layer.images.is_empty() {
                &mut cache
            } else {
                &mut images
            };
            usage.size += layer.size;
            if !layer.images.iter().any(|image| uses.has(image)) {
                usage.reclaimable += layer.size;
            }
            cache.total += usize::from(layer.images.is_empty());
        }
        Ok((images, cache))
    }

    fn container_usage(&self) -> Result<Usage, EngineError> {
        let mut usage = Usage::default();
        for container in self.containers()? {
            let size = directory_size(&self.container_dir(&container.record.id))?;
            usage.total += 1;
            usage.size += size;
            if container.status.state == State::Running {
                usage.active += 1;
            } else {
                usage.reclaimable += size;
            }
        }
        Ok(usage)
    }

    fn volume_usage(&self) -> Result<Usage, EngineError> {
        let used = self.used_volumes()?;
        let mut usage = Usage::default();
        for volume in self.volumes()? {
            let size = self.volume_size(&volume.name)?;
            usage.total += 1;
            usage.size += size;
            if used.contains(&volume.name) {
                usage.active += 1;
            } else {
                usage.reclaimable += size;
            }
        }
        Ok(usage)
    }

    /// Names of the volumes that containers mount.
    pub(crate) fn used_volumes(&self) -> Result<BTreeSet<String>, EngineError> {
        self.used_volumes_without(&[])
    }

    /// Names of the volumes that containers other than `gone` mount.
    pub(crate) fn used_volumes_without(
        &self,
        gone: &[Container],
    ) -> Result<BTreeSet<String>, EngineError> {
        let mut used = BTreeSet::new();
        for container in self.containers()? {
            if gone
                .iter()
                .any(|gone| gone.record.id == container.record.id)
            {
                continue;
            }
            for mount in container.record.mounts {
                if let MountKind::Volume {
                    name: Some(name), ..
                } = mount.request.kind
                {
                    used.insert(name);
                }
            }
        }
        Ok(used)
    }

    /// Bytes of a volume's content.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn volume_size(&self, name: &str) -> Result<u64, EngineError> {
        directory_size(&self.volume_data(name))
    }

    /// Bytes of a container's writable layer.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn writable_size(
        &self,
        container: &crate::container::Container,
    ) -> Result<u64, EngineError> {
        directory_size(&self.container_dir(&container.record.id).join("upper"))
    }
}

/// Bytes of the files below `path`, hard links once; what vanishes meanwhile is not counted.
pub(crate) fn directory_size(path: &Path) -> Result<u64, EngineError> {
    let mut seen = BTreeSet::new();
    let mut pending = vec![path.to_owned()];
    let mut size = 0;
    while let Some(directory) = pending.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // Overlay's own `work` directory is closed to its user.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
            Err(error) => return Err(EngineError::file("list", directory)(error)),
        };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                pending.push(entry.path());
            } else if metadata.nlink() == 1 || seen.insert((metadata.dev(), metadata.ino())) {
                size += metadata.len();
            }
        }
    }
    Ok(size)
}
