//! Volumes: directories that outlive containers.
//!
//! ```text
//! volumes/<name>/volume.json   when, for whom, labels
//!                _data/        the content
//! ```

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use hoist_core::{
    digest::hex,
    mount::{MountKind, MountRequest, Recursion},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::EngineError,
    record::Record,
    root::{Engine, make_dirs, read_json, write_json},
    system::{clock, random_bytes},
};

mod copy_up;

/// `volume.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The volume's name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Made for one container, without a name of the user's.
    pub anonymous: bool,
    /// Free names and values.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// It has been filled from an image, or was given to a container that did not want that.
    #[serde(default)]
    pub filled: bool,
}

impl Engine {
    /// Where the content of a volume lies.
    #[must_use]
    pub fn volume_data(&self, name: &str) -> PathBuf {
        self.volumes_dir().join(name).join("_data")
    }

    /// All volumes by name.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn volumes(&self) -> Result<Vec<Volume>, EngineError> {
        let directory = self.volumes_dir();
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(EngineError::file("list", directory)(error)),
        };
        let mut volumes = Vec::new();
        for entry in entries {
            let entry = entry.map_err(EngineError::file("list", &directory))?;
            volumes.extend(read_json::<Volume>(&entry.path().join("volume.json"))?);
        }
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(volumes)
    }

    /// Give every volume of a new container its name, check bind sources, and make what is missing.
    pub(crate) fn resolve_volumes(&self, record: &mut Record) -> Result<(), EngineError> {
        for mount in &mut record.mounts {
            match &mut mount.request.kind {
                MountKind::Bind {
                    source,
                    create_missing,
                    ..
                } => bind_source(source, *create_missing)?,
                MountKind::Volume { name, .. } => {
                    if name.is_none() {
                        *name = Some(hex(&random_bytes::<32>()?));
                    }
                    let name = name.as_deref().unwrap_or_default();
                    self.make_volume(name, mount.anonymous)?;
                }
                MountKind::Tmpfs { .. } => {}
            }
        }
        Ok(())
    }

    /// Make a volume unless it exists.
    fn make_volume(&self, name: &str, anonymous: bool) -> Result<(), EngineError> {
        let directory = self.volumes_dir().join(name);
        if directory.join("volume.json").exists() {
            return Ok(());
        }
        make_dirs(&directory.join("_data"))?;
        let created = Timestamp::from(clock());
        let volume = Volume {
            name: name.to_owned(),
            created,
            anonymous,
            labels: BTreeMap::new(),
            filled: false,
        };
        write_json(&directory.join("volume.json"), &volume)
    }

    /// Before a start: bind sources still exist, and new volumes get the image's content.
    pub(crate) fn prepare_volumes(&self, record: &Record) -> Result<(), EngineError> {
        for mount in &record.mounts {
            match &mount.request.kind {
                MountKind::Bind {
                    source,
                    create_missing,
                    ..
                } => bind_source(source, *create_missing)?,
                MountKind::Volume { name, nocopy } => {
                    let name = name.as_deref().unwrap_or_default();
                    self.make_volume(name, mount.anonymous)?;
                    if !nocopy {
                        self.fill_volume(record, name, &mount.request.target)?;
                    }
                }
                MountKind::Tmpfs { .. } => {}
            }
        }
        Ok(())
    }

    /// Copy what the image has at `target` into a volume that nothing has been written to.
    fn fill_volume(&self, record: &Record, name: &str, target: &Path) -> Result<(), EngineError> {
        let path = self.volumes_dir().join(name).join("volume.json");
        let Some(mut volume) = read_json::<Volume>(&path)? else {
            return Ok(());
        };
        if volume.filled {
            return Ok(());
        }
        let data = self.volume_data(name);
        let mut entries = fs::read_dir(&data).map_err(EngineError::file("list", &data))?;
        if entries.next().is_none() {
            let view = self.merged_view(&record.layers)?;
            copy_up::copy_up(&view, target, &data)?;
        }
        volume.filled = true;
        write_json(&path, &volume)
    }

    /// Remove a volume and its content; absent is fine.
    pub(crate) fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        let directory = self.volumes_dir().join(name);
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(EngineError::file("remove", directory)(error))
            }
            _ => Ok(()),
        }
    }
}

fn bind_source(source: &Path, create_missing: bool) -> Result<(), EngineError> {
    match fs::symlink_metadata(source) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && create_missing => {
            make_dirs(source)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(EngineError::Invalid {
            message: format!(
                "invalid mount config for type \"bind\": bind source path does not exist: {}",
                source.display()
            ),
            hint: Some("make it first, or use -v, which makes a directory".to_owned()),
        }),
        Err(error) => Err(EngineError::file("look at", source)(error)),
    }
}

/// Mount options of a bind mount or volume.
pub(crate) fn bind_options(request: &MountRequest) -> Vec<String> {
    let recursive = !matches!(
        request.kind,
        MountKind::Bind {
            recursion: Recursion::Disabled,
            ..
        }
    );
    let mut options = vec![
        if recursive { "rbind" } else { "bind" }.to_owned(),
        request.propagation.as_str().to_owned(),
    ];
    options.push(if request.read_only { "ro" } else { "rw" }.to_owned());
    options
}
