//! What state a container is in, also when its monitor died without a word.
//!
//! A status that says "running" is true only while the monitor holds the lock beside it. When it
//! does not, the kernel has ended the container with its monitor (parent-death signal), and what
//! is left of it outside, its place on the network and its cgroup, is taken away here.

use std::{fs, io, path::Path};

use hoist_core::{ContainerId, time::Timestamp};
use hoist_runtime::Cgroup;
use hoist_sys::lock::Lock;

use super::Container;
use crate::{
    error::EngineError,
    record::Record,
    request::NetworkMode,
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

    /// A container whose turn the caller has, with nothing in motion any more: it runs, or its
    /// last monitor is gone and what that left is taken away. `None` when it does not exist.
    pub(crate) fn settle(&self, id: &ContainerId) -> Result<Option<Container>, EngineError> {
        let Some(container) = self.container(id)? else {
            return Ok(None);
        };
        let run = self.container_run_dir(id);
        if container.status.state == State::Running || !run.join("lock").exists() {
            return Ok(Some(container));
        }
        // The monitor writes the last words a moment before it lets go; nobody starts another.
        let path = run.join("lock");
        let lock = Lock::exclusive(&path).map_err(EngineError::file("lock", &path))?;
        // Not held while the status is looked at: it would tell of a monitor.
        drop(fs::remove_file(&path));
        drop(lock);
        let Some(container) = self.container(id)? else {
            return Ok(None);
        };
        self.mend(&container)?;
        Ok(Some(container))
    }

    /// Wait until the monitor of a container, which was told to end, is gone.
    pub(crate) fn await_monitor(&self, id: &ContainerId) -> Result<(), EngineError> {
        let path = self.container_run_dir(id).join("lock");
        if path.exists() {
            match Lock::exclusive(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(EngineError::file("lock", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Take away what a monitor that was killed left outside the container's directories, and
    /// write the last words for it. Does nothing for a container that ended in order: that one's
    /// monitor has removed its socket, which it makes before it claims anything.
    fn mend(&self, container: &Container) -> Result<(), EngineError> {
        let record = &container.record;
        let run = self.container_run_dir(&record.id);
        if !run.join("monitor.sock").exists() {
            return Ok(());
        }
        match &container.status.endpoint {
            Some(endpoint) => self.networks().detach(endpoint)?,
            // Killed before it wrote down what it had claimed.
            None if record.network == NetworkMode::Bridge => self.sweep_network()?,
            None => {}
        }
        if let Ok(cgroup) = Cgroup::open(&cgroup_path(&record.id)) {
            cgroup.kill()?;
            cgroup.remove()?;
        }
        let mut status = container.status.clone();
        status.endpoint = None;
        // On a full disk the words of the start stay, which say the same without a live monitor.
        drop(write_json(
            &self.container_dir(&record.id).join("status.json"),
            &status,
        ));
        self.clear_run_dir(&record.id);
        Ok(())
    }

    /// Take away what dead containers and build steps left on the network.
    pub(crate) fn sweep_network(&self) -> Result<(), EngineError> {
        let alive = |id: &ContainerId| self.is_monitored(id) || self.step_runs(id);
        self.networks().sweep(&alive)?;
        Ok(())
    }

    /// A monitor runs this container, or is about to.
    pub(crate) fn is_monitored(&self, id: &ContainerId) -> bool {
        is_held(&self.container_run_dir(id).join("lock")).unwrap_or(true)
    }

    /// Remove the monitor's files; the directory and a turn in it stay.
    ///
    /// The status goes first: from then on the last words beside the record count. The lock goes
    /// last, and the socket, the sign of a monitor that did not end in order, before it.
    pub(crate) fn clear_run_dir(&self, id: &ContainerId) {
        let run = self.container_run_dir(id);
        drop(fs::remove_file(run.join("status.json")));
        let others = fs::read_dir(&run).into_iter().flatten().flatten();
        for entry in others {
            let kept = ["turn", "monitor.sock", "lock"];
            if !kept.iter().any(|name| entry.file_name() == *name) {
                drop(fs::remove_file(entry.path()));
            }
        }
        drop(fs::remove_file(run.join("monitor.sock")));
        drop(fs::remove_file(run.join("lock")));
    }

    /// Remove the live state of a container that is gone, the turn with it. Whoever waits for the
    /// turn makes a new one, and finds no container.
    pub(crate) fn remove_run_dir(&self, id: &ContainerId) {
        self.clear_run_dir(id);
        let run = self.container_run_dir(id);
        drop(fs::remove_file(run.join("turn")));
        // Not empty when somebody has come for a turn just now.
        drop(fs::remove_dir(run));
    }
}

/// Somebody, the monitor, holds the lock. Looking makes no file.
fn is_held(path: &Path) -> Result<bool, EngineError> {
    if !path.exists() {
        return Ok(false);
    }
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
