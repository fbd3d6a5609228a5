//! What state a container is in, also when its monitor died without a word.
//!
//! A status that says "running" is true only while the monitor holds the lock beside it. When it
//! does not, the kernel has ended the container with its monitor (parent-death signal), and what
//! is left of it outside, its place on the network and its cgroup, is taken away here.

use std::{fs, io, path::Path};

use hoist_core::time::Timestamp;
use hoist_runtime::Cgroup;
use hoist_sys::lock::Lock;

use super::Container;
use crate::{
    error::EngineError,
    record::Record,
    root::{Engine, cgroup_path, read_json, write_json},
    status::{State, Status},
};

impl Engine {
    /// The status of a container now.
    pub(crate) fn observe(&self, record: &Record) -> Result<Status, EngineError> {
        let run = self.container_run_dir(&record.id);
        let status = match read_json::<Status>(&run.join("status.json"))? {
            Some(status) => status,
            None => self.last_words(record)?,
        };
        if status.state != State::Running || is_held(&run.join("lock"))? {
            return Ok(status);
        }
        // The monitor may have ended in order between the two looks: its last words are then newer.
        let status = match read_json::<Status>(&run.join("status.json"))? {
            Some(status) => status,
            None => self.last_words(record)?,
        };
        Ok(if status.state == State::Running {
            lost(status)
        } else {
            status
        })
    }

    fn last_words(&self, record: &Record) -> Result<Status, EngineError> {
        let path = self.container_dir(&record.id).join("status.json");
        Ok(read_json(&path)?.unwrap_or_default())
    }

    /// Take away what a container whose monitor died left outside its directories, and write its
    /// last words for it. Does nothing for a container that ended in order.
    pub(crate) fn mend(&self, container: &Container) -> Result<(), EngineError> {
        let id = &container.record.id;
        let run = self.container_run_dir(id);
        let live: Option<Status> = read_json(&run.join("status.json"))?;
        if live.is_none_or(|status| status.state != State::Running) {
            return Ok(());
        }
        if let Some(endpoint) = &container.status.endpoint {
            self.networks().detach(endpoint)?;
        }
        if let Ok(cgroup) = Cgroup::open(&cgroup_path(id)) {
            cgroup.kill()?;
            cgroup.remove()?;
        }
        let mut status = container.status.clone();
        status.endpoint = None;
        write_json(&self.container_dir(id).join("status.json"), &status)?;
        match fs::remove_dir_all(&run) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(EngineError::file("remove", run)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Somebody, the monitor, holds the lock.
fn is_held(path: &Path) -> Result<bool, EngineError> {
    match Lock::try_shared(path) {
        Ok(free) => Ok(free.is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(EngineError::file("lock", path)(error)),
    }
}

/// The status of a container whose monitor is gone.
fn lost(mut status: Status) -> Status {
    status.state = State::Exited;
    status.exit_code = 137;
    status.pid = 0;
    status.monitor = 0;
    status.finished = status.started.or(Some(Timestamp::ZERO));
    status.error = Some("its monitor was killed, and the container with it".to_owned());
    status.health = None;
    status
}
