//! `create`: an image and a request become a record.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use hoist_core::{
    ContainerId, env,
    image::{Config, Healthcheck},
    mount::{MountKind, MountRequest, Propagation},
    name,
    signal::Signal,
    time::Timestamp,
};
use hoist_store::StoredImage;
use hoist_sys::lock::Lock;

use crate::{
    error::EngineError,
    record::{MountPoint, Record},
    request::{CreateRequest, NetworkMode},
    root::{Engine, make_dirs, write_json},
    system::{clock, processors, random_bytes},
};

/// The least memory limit: Docker's.
const LEAST_MEMORY: u64 = 6 << 20;
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// A container that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// What the user should know about the request.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Make a container; nothing runs yet.
    ///
    /// # Errors
    /// When the image is unknown, the name is taken, or the request makes no sense. Nothing is left
    /// behind then.
    pub fn create(&self, request: &CreateRequest) -> Result<Created, EngineError> {
        // Whoever removes images waits until the record says that this one is used.
        let hold = self.store().hold()?;
        let image = self.store().image(&self.store().resolve(&request.image)?)?;
        let warnings = self.check(request)?;
        let id = ContainerId::from_random(random_bytes()?);
        let mut record = assemble(id, &image, request)?;
        self.name_volumes(&mut record)?;
        let directory = self.container_dir(&record.id);
        // A sweep takes a directory without a record for a creation that was killed.
        let creating = self.creating(Lock::shared)?;
        let made = self
            .write_record(&record, &directory)
            .and_then(|()| self.claim_name(&mut record, request))
            .and_then(|()| self.make_mount_sources(&record));
        drop((creating, hold));
        self.store().note_used(&image.id);
        if let Err(error) = made {
            self.discard(&record);
            return Err(error);
        }
        Ok(Created {
            id: record.id,
            name: record.name,
            warnings,
        })
    }

    /// The lock that creations share and a sweep has alone.
    pub(crate) fn creating<T>(
        &self,
        take: impl Fn(&Path) -> io::Result<T>,
    ) -> Result<T, EngineError> {
        let path = self.containers_dir().join(".creating");
        let taken = take(&path).or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            fs::create_dir_all(self.containers_dir())?;
            take(&path)
        });
        taken.map_err(EngineError::file("lock", path))
    }

    fn check(&self, request: &CreateRequest) -> Result<Vec<String>, EngineError> {
        let limits = &request.limits;
        if limits.memory.is_some_and(|memory| memory < LEAST_MEMORY) {
            return Err(EngineError::Invalid {
                message: "Minimum memory limit allowed is 6MB".to_owned(),
                hint: Some("give --memory a unit: 512m, 2g".to_owned()),
            });
        }
        let cpus = u64::try_from(processors()).unwrap_or(1);
        if let Some(nano) = limits.nano_cpus
            && (nano > cpus * 1_000_000_000 || nano < 10_000_000)
        {
            return Err(EngineError::invalid(format!(
                "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
            )));
        }
        if let Some(name) = &request.name {
            name::validate_container(name)
                .map_err(|error| EngineError::invalid(error.to_string()))?;
        }
        if let Some(text) = &request.stop_signal {
            text.parse::<Signal>()
                .map_err(|error| EngineError::invalid(error.to_string()))?;
        }
        if let Some(directory) = &request.working_dir
            && !directory.starts_with('/')
        {
            return Err(EngineError::invalid(format!(
                "the working directory '{directory}' is invalid, it needs to be an absolute path"
            )));
        }
        self.check_network(request)
    }

    fn check_network(&self, request: &CreateRequest) -> Result<Vec<String>, EngineError> {
        if self.settings().rootless && request.network == NetworkMode::Bridge {
            return Err(EngineError::Unsupported {
                message: "the bridge network needs root in this version of hoist".to_owned(),
                hint: Some("use --network host, or --network none".to_owned()),
            });
        }
        let mut warnings = Vec::new();
        if !request.ports.is_empty() && request.network != NetworkMode::Bridge {
            warnings.push(format!(
                "Published ports are discarded when using {} network mode",
                request.network.as_str()
            ));
        }
        Ok(warnings)
    }

    fn write_record(&self, record: &Record, directory: &Path) -> Result<(), EngineError> {
        for path in [directory, &directory.join("upper"), &directory.join("work")] {
            fs::create_dir(path).map_err(EngineError::file("make", path))?;
        }
        write_json(&directory.join("record.json"), record)
    }

    /// Claim the asked name, or the first free random one.
    fn claim_name(&self, record: &mut Record, request: &CreateRequest) -> Result<(), EngineError> {
        if request.name.is_some() {
            return self.claim(&record.name, &record.id);
        }
        loop {
            match self.claim(&record.name, &record.id) {
                Err(EngineError::NameTaken { .. }) => {
                    record.name = name::random(random_bytes()?);
                    write_json(&self.container_dir(&record.id).join("record.json"), record)?;
                }
                other => return other,
            }
        }
    }

    fn claim(&self, name: &str, id: &ContainerId) -> Result<(), EngineError> {
        let path = self.name_claim(name);
        loop {
            match symlink(id.as_str(), &path) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    make_dirs(path.parent().unwrap_or(&path))?;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let lock = self.lock_names()?;
                    if let Some(owner) = self.name_owner(name) {
                        drop(lock);
                        let state = self
                            .container(&owner)?
                            .map(|other| other.status.state.as_str());
                        return Err(EngineError::NameTaken {
                            name: name.to_owned(),
                            id: owner.to_string(),
                            state: state.unwrap_or("gone").to_owned(),
                        });
                    }
                    drop(fs::remove_file(&path)); // its container is gone
                }
                Err(error) => return Err(EngineError::file("claim", path)(error)),
            }
        }
    }

    /// Give the name of a container back, unless another one has it by now.
    pub(crate) fn release_name(&self, record: &Record) -> Result<(), EngineError> {
        let claim = self.name_claim(&record.name);
        let is_ours =
            || fs::read_link(&claim).is_ok_and(|id| id.to_str() == Some(record.id.as_str()));
        if !is_ours() {
            return Ok(());
        }
        let lock = self.lock_names()?;
        if is_ours() {
            fs::remove_file(&claim).map_err(EngineError::file("remove", claim))?;
        }
        drop(lock);
        Ok(())
    }

    /// Claims are made without this lock and removed under it: what is looked at under it stays
    /// until it is removed. (No name starts with a dot.)
    fn lock_names(&self) -> Result<Lock, EngineError> {
        let path = self.name_claim(".lock");
        Lock::exclusive(&path).map_err(EngineError::file("lock", path))
    }
}

/// The record that follows from image and request, without names of new volumes.
fn assemble(
    id: ContainerId,
    image: &StoredImage,
    request: &CreateRequest,
) -> Result<Record, EngineError> {
    let config = merge(&image.image.config, request);
    let name = match &request.name {
        Some(name) => name.clone(),
        None => name::random(random_bytes()?),
    };
    let mounts = mounts(&config, &request.mounts)?;
    let record = Record {
        hostname: request
            .hostname
            .clone()
            .unwrap_or_else(|| id.short().to_owned()),
        id,
        name,
        created: Timestamp::from(clock()),
        image: image.id,
        image_name: request.image.clone(),
        layers: image.image.rootfs.diff_ids.clone(),
        config,
        tty: request.tty,
        stdin_open: request.stdin_open,
        ports: if request.network == NetworkMode::Bridge {
            request.ports.clone()
        } else {
            Vec::new()
        },
        mounts,
        network: request.network,
        limits: request.limits.clone(),
        read_only: request.read_only,
        init: request.init,
        stop_timeout: request.stop_timeout.unwrap_or(DEFAULT_GRACE),
        auto_remove: request.auto_remove,
    };
    if record.args().is_empty() {
        return Err(EngineError::Invalid {
            message: "no command specified".to_owned(),
            hint: Some(format!(
                "the image {} has no CMD and no ENTRYPOINT: write the command after the image",
                request.image
            )),
        });
    }
    Ok(record)
}

/// The image's configuration with the request's changes.
fn merge(image: &Config, request: &CreateRequest) -> Config {
    let mut config = image.clone();
    if let Some(entrypoint) = &request.entrypoint {
        config.entrypoint = Some(entrypoint.clone()).filter(|words| !words.is_empty());
        config.cmd = None;
    }
    if !request.command.is_empty() {
        config.cmd = Some(request.command.clone());
    }
    config.env = env::merge(&image.env, &request.env);
    config.labels.extend(request.labels.clone());
    if let Some(user) = &request.user {
        config.user.clone_from(user);
    }
    if let Some(directory) = &request.working_dir {
        config.working_dir.clone_from(directory);
    }
    if let Some(signal) = &request.stop_signal {
        config.stop_signal.clone_from(signal);
    }
    if let Some(healthcheck) = &request.healthcheck {
        let inherited = config.healthcheck.take().unwrap_or_default();
        config.healthcheck = Some(merge_healthcheck(inherited, healthcheck));
    }
    for port in &request.ports {
        let port = format!("{}/{}", port.container_port, port.protocol);
        config
            .exposed_ports
            .insert(port, hoist_core::image::Empty {});
    }
    config
}

/// The image's health check with what the request says in place of it.
fn merge_healthcheck(image: Healthcheck, request: &Healthcheck) -> Healthcheck {
    let either =
        |asked: Duration, inherited: Duration| if asked.is_zero() { inherited } else { asked };
    Healthcheck {
        test: if request.test.is_empty() {
            image.test
        } else {
            request.test.clone()
        },
        interval: either(request.interval, image.interval),
        timeout: either(request.timeout, image.timeout),
        start_period: either(request.start_period, image.start_period),
        start_interval: either(request.start_interval, image.start_interval),
        retries: if request.retries == 0 {
            image.retries
        } else {
            request.retries
        },
    }
}

/// The request's mounts, then the image's volumes that none of them covers.
fn mounts(config: &Config, requests: &[MountRequest]) -> Result<Vec<MountPoint>, EngineError> {
    let mut targets = BTreeSet::new();
    let mut mounts = Vec::new();
    for request in requests {
        if !targets.insert(request.target.clone()) {
            return Err(EngineError::invalid(format!(
                "Duplicate mount point: {}",
                request.target.display()
            )));
        }
        let anonymous = matches!(&request.kind, MountKind::Volume { name: None, .. });
        mounts.push(MountPoint {
            request: request.clone(),
            anonymous,
        });
    }
    for target in config
        .volumes
        .keys()
        .map(PathBuf::from)
        .filter(|target| !targets.contains(target))
    {
        let kind = MountKind::Volume {
            name: None,
            nocopy: false,
        };
        let request = MountRequest {
            kind,
            target,
            read_only: false,
            propagation: Propagation::default(),
        };
        mounts.push(MountPoint {
            request,
            anonymous: true,
        });
    }
    Ok(mounts)
}
