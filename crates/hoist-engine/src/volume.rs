//! Volumes: directories that outlive containers.
//!
//! ```text
//! volumes/<name>/volume.json   when, for whom, labels
//!                _data/        the content
//!                lock          held while the volume is made or filled
//!                filling       there while the image's content is copied
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
use hoist_sys::lock::Lock;
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

    /// Give every volume of a new container its name, look whether bind sources are there, and which
    /// images are meant. Makes nothing.
    pub(crate) fn name_volumes(&self, record: &mut Record) -> Result<(), EngineError> {
        for mount in &mut record.mounts {
            match &mut mount.request.kind {
                MountKind::Bind {
                    source,
                    create_missing: false,
                    ..
                } => bind_source(source, false)?,
                MountKind::Volume {
                    name: name @ None, ..
                } => *name = Some(hex(&random_bytes::<32>()?)),
                MountKind::Image {
                    source,
                    subpath,
                    image,
                    layers,
                } => {
                    let id = self.store().resolve(source)?;
                    *layers = self.store().image(&id)?.image.rootfs.diff_ids;
                    *image = Some(id);
                    self.image_directories(layers, subpath)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Make the volumes, and the bind sources that may be made, of a container that exists: from
    /// now on nothing takes them for unused.
    pub(crate) fn make_mount_sources(&self, record: &Record) -> Result<(), EngineError> {
        for mount in &record.mounts {
            match &mount.request.kind {
                MountKind::Bind {
                    source,
                    create_missing,
                    ..
                } => bind_source(source, *create_missing)?,
                MountKind::Volume { name, .. } => {
                    self.make_volume(name.as_deref().unwrap_or_default(), mount.anonymous)?;
                }
                MountKind::Tmpfs { .. } | MountKind::Image { .. } => {}
            }
        }
        Ok(())
    }

    /// Make a volume unless it exists.
    fn make_volume(&self, name: &str, anonymous: bool) -> Result<(), EngineError> {
        if self.volume_file(name).exists() {
            return Ok(());
        }
        make_dirs(&self.volume_data(name))?;
        let lock = self.lock_volume(name)?;
        if !self.volume_file(name).exists() {
            let volume = Volume {
                name: name.to_owned(),
                created: Timestamp::from(clock()),
                anonymous,
                labels: BTreeMap::new(),
                filled: false,
            };
            write_json(&self.volume_file(name), &volume)?;
        }
        drop(lock);
        Ok(())
    }

    fn volume_file(&self, name: &str) -> PathBuf {
        self.volumes_dir().join(name).join("volume.json")
    }

    /// Nobody else makes or fills the volume while the lock is held.
    fn lock_volume(&self, name: &str) -> Result<Lock, EngineError> {
        let path = self.volumes_dir().join(name).join("lock");
        Lock::exclusive(&path).map_err(EngineError::file("lock", path))
    }

    /// Before a start: bind sources still exist, and new volumes get the image's content.
    pub(crate) fn prepare_volumes(&self, record: &Record) -> Result<(), EngineError> {
        self.make_mount_sources(record)?;
        for mount in &record.mounts {
            if let MountKind::Volume {
                name,
                nocopy: false,
            } = &mount.request.kind
            {
                let name = name.as_deref().unwrap_or_default();
                self.fill_volume(record, name, &mount.request.target)?;
            }
        }
        Ok(())
    }

    /// Copy what the image has at `target` into a volume that nothing has been written to.
    ///
    /// Two containers may start with a new volume at once: one fills it and the other waits. A
    /// copy that was killed is made anew, told by its mark.
    fn fill_volume(&self, record: &Record, name: &str, target: &Path) -> Result<(), EngineError> {
        let path = self.volume_file(name);
        let read = || read_json::<Volume>(&path);
        if read()?.is_none_or(|volume| volume.filled) {
            return Ok(());
        }
        let lock = self.lock_volume(name)?;
        let Some(mut volume) = read()?.filter(|volume| !volume.filled) else {
            return Ok(());
        };
        let data = self.volume_data(name);
        let mark = self.volumes_dir().join(name).join("filling");
        if mark.exists() {
            empty(&data)?;
        }
        let mut entries = fs::read_dir(&data).map_err(EngineError::file("list", &data))?;
        if entries.next().is_none() {
            fs::write(&mark, "").map_err(EngineError::file("write", &mark))?;
            let view = self.merged_view(&record.layers)?;
            if let Err(error) = copy_up::copy_up(&view, target, &data) {
                // The next start tries again, from the beginning.
                drop(empty(&data));
                return Err(error);
            }
        }
        volume.filled = true;
        write_json(&path, &volume)?;
        drop(fs::remove_file(&mark));
        drop(lock);
        Ok(())
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

/// Remove what is in a directory, and leave itself.
fn empty(directory: &Path) -> Result<(), EngineError> {
    let failed = EngineError::file("empty", directory);
    let emptied = || -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    emptied().map_err(failed)
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
