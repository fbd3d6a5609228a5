//! The data root: where everything lies, and the handle on it.
//!
//! ```text
//! $HOIST_ROOT                                   $HOIST_RUN (tmpfs)
//!   containers/<id>/record.json   asked for       containers/<id>/lock         held by the monitor
//!                   status.json   last words                      status.json  live status
//!                   upper/ work/  writable layer                  monitor.sock control and stdio
//!                   log, log.1 …  output                          hosts hostname resolv.conf
//!   containers/.creating          a lock                          turn         held to start, remove
//!   container-names/<name>        → id            steps/<id>/     live state of build steps
//!                   .lock         to remove one   network/        the network's leases
//!   volumes/<name>/volume.json _data/
//!   manifest-lists/<hash>.json    lists to be pushed
//!   networks/                     hoist-network
//!   …                             hoist-store
//! ```
//!
//! A container name is claimed by making a symbolic link to the id, which is atomic and tells who
//! has it. A container exists when its `record.json` does; a directory without one is garbage.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use hoist_core::ContainerId;
use hoist_network::Networks;
use hoist_store::{FormPolicy, Store};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::EngineError;

/// Where the roots are and how hoist runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Persistent data.
    pub root: PathBuf,
    /// Live state, on tmpfs.
    pub run: PathBuf,
    /// This binary, for its hidden commands.
    pub program: PathBuf,
    /// An ordinary user runs it (inside a user namespace where one is needed).
    pub rootless: bool,
    /// How layers that are pulled and loaded are to lie in the store.
    #[serde(default)]
    pub layer_form: FormPolicy,
    /// The roots are the default ones of this user: bridge and table have their plain names.
    pub default_root: bool,
}

/// A handle on a data root.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    store: Store,
}

impl Engine {
    /// Open the data root, making it where it is absent.
    ///
    /// # Errors
    /// When the root cannot be made, or is of a version that this binary does not know.
    pub fn open(settings: Settings) -> Result<Self, EngineError> {
        let store = Store::open(&settings.root)?.with_form(settings.layer_form);
        Ok(Self { settings, store })
    }

    /// Where the roots are.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Images and layers.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The networks of this root.
    pub(crate) fn networks(&self) -> Networks {
        let run = self.settings.run.join("network");
        Networks::open(
            &self.settings.root.join("networks"),
            &run,
            self.settings.default_root,
        )
    }

    pub(crate) fn containers_dir(&self) -> PathBuf {
        self.settings.root.join("containers")
    }

    pub(crate) fn container_dir(&self, id: &ContainerId) -> PathBuf {
        self.containers_dir().join(id.as_str())
    }

    /// A container exists as long as its record does. One without a byte is what a power cut made
    /// of a creation.
    pub(crate) fn exists(&self, id: &ContainerId) -> bool {
        fs::metadata(self.container_dir(id).join("record.json")).is_ok_and(|file| file.len() > 0)
    }

    pub(crate) fn container_run_dir(&self, id: &ContainerId) -> PathBuf {
        self.settings.run.join("containers").join(id.as_str())
    }

    pub(crate) fn name_claim(&self, name: &str) -> PathBuf {
        self.settings.root.join("container-names").join(name)
    }

    pub(crate) fn volumes_dir(&self) -> PathBuf {
        self.settings.root.join("volumes")
    }
}

/// The cgroup of a container below every hierarchy.
pub(crate) fn cgroup_path(id: &ContainerId) -> String {
    format!("/hoist/{id}")
}

/// Read a JSON document; `None` when the file does not exist, or is empty.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, EngineError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(EngineError::file("read", path)(error)),
    };
    // What a power cut makes of a file that was never synced: it was about to be made.
    if bytes.is_empty() {
        return Ok(None);
    }
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(source) => Err(EngineError::Damaged {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Write a JSON document: a temporary file, then a rename. Nothing is synced: what must survive a
/// power cut is synced by who needs it.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), EngineError> {
    let bytes = serde_json::to_vec(value).map_err(|source| EngineError::Damaged {
        path: path.to_owned(),
        source,
    })?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| {
        drop(fs::remove_file(&temporary));
        EngineError::file("write", path)(error)
    })
}

/// Make a directory and those above it.
pub(crate) fn make_dirs(path: &Path) -> Result<(), EngineError> {
    fs::create_dir_all(path).map_err(EngineError::file("make", path))
}
