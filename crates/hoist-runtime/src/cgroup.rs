//! The cgroups of a container: limits, accounting, and ending everything in it.
//!
//! One path (`/hoist/<id>`) below every hierarchy:
//!
//! ```text
//! version 2   /sys/fs/cgroup/hoist/<id>
//! version 1   /sys/fs/cgroup/{memory,cpu,pids,devices,freezer[,cpuset]}/hoist/<id>
//! ```
//!
//! A host with the controllers in version 1 and an empty version 2 tree beside counts as version 1.
//! What a host lacks is told by [`Cgroup::unavailable`], and is an error only when a limit needs
//! it. The process enters at birth (`CLONE_INTO_CGROUP`) or by itself, as a single thread, through
//! `tasks`: moving another process makes the kernel wait for all processors, some 15 ms.

mod devices;
mod limits;
mod tree;

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use hoist_core::spec::{Device, Resources};
use rustix::fs::{Mode, OFlags};

use crate::RuntimeError;

pub use tree::Mounts;

/// The cgroups of one container. Dropping it changes nothing on the host; see [`Cgroup::remove`].
#[derive(Debug)]
pub struct Cgroup {
    path: String,
    /// One directory with version 2; one for each controller with version 1.
    groups: Vec<Group>,
    version_2: bool,
    unavailable: Vec<&'static str>,
    restrict_devices: bool,
}

/// A directory of a hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    /// The controller, `""` with version 2.
    controller: &'static str,
    directory: PathBuf,
}

/// The controllers that a container is entered into with version 1; `cpuset` only for a limit, and
/// `cpuacct` not at all: nothing reads it, and each hierarchy costs every start a directory, a
/// move and a mount.
const CONTROLLERS: [&str; 5] = ["memory", "cpu", "pids", "devices", "freezer"];

pub(crate) fn error(path: &Path) -> impl FnOnce(io::Error) -> RuntimeError {
    let path = path.to_owned();
    move |source| RuntimeError::Cgroup { path, source }
}

impl Cgroup {
    /// Makes the cgroups `path` (absolute, `/hoist/<id>`) with the limits of `resources`. With
    /// `devices`, the container's processes will be able to use the default devices and those of
    /// their specification only (set when the container is created).
    ///
    /// Existing cgroups of that name are taken over. After an error nothing is left.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::MissingController`] when a limit has no controller on this host,
    /// [`RuntimeError::Limit`] when the kernel refuses one, [`RuntimeError::MemoryLimitTooSmall`],
    /// [`RuntimeError::Cgroup`] for a file that cannot be made or written.
    pub fn create(path: &str, resources: &Resources, devices: bool) -> Result<Self, RuntimeError> {
        Self::create_in(&Mounts::host(), path, resources, devices)
    }

    /// As [`Cgroup::create`], in hierarchies that are mounted elsewhere.
    ///
    /// # Errors
    ///
    /// As [`Cgroup::create`].
    pub fn create_in(
        mounts: &Mounts,
        path: &str,
        resources: &Resources,
        devices: bool,
    ) -> Result<Self, RuntimeError> {
        tree::check_path(path)?;
        limits::check(resources)?;
        let mut cgroup = Self {
            path: path.to_owned(),
            groups: Vec::new(),
            version_2: mounts.is_version_2(),
            unavailable: Vec::new(),
            restrict_devices: devices,
        };
        let made = cgroup.make(mounts, limits::needs_cpuset(resources));
        if let Err(error) = made.and_then(|()| limits::apply(&mut cgroup, resources)) {
            // The first error is the one to tell.
            let _ = cgroup.remove();
            return Err(error);
        }
        Ok(cgroup)
    }

    /// The existing cgroups `path`.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Cgroup`] (not found) when there are none.
    pub fn open(path: &str) -> Result<Self, RuntimeError> {
        Self::open_in(&Mounts::host(), path)
    }

    /// As [`Cgroup::open`], in hierarchies that are mounted elsewhere.
    ///
    /// # Errors
    ///
    /// As [`Cgroup::open`].
    pub fn open_in(mounts: &Mounts, path: &str) -> Result<Self, RuntimeError> {
        tree::check_path(path)?;
        let mut groups = mounts.groups(path, true);
        groups.retain(|group| group.directory.is_dir());
        if groups.is_empty() {
            return Err(error(Path::new(path))(io::ErrorKind::NotFound.into()));
        }
        Ok(Self {
            path: path.to_owned(),
            groups,
            version_2: mounts.is_version_2(),
            unavailable: Vec::new(),
            restrict_devices: false,
        })
    }

    /// The path below each hierarchy.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What could not be set up since the host lacks it, and no limit needed: controllers by name,
    /// `swap` for a swap limit.
    #[must_use]
    pub fn unavailable(&self) -> &[&'static str] {
        &self.unavailable
    }

    /// Moves process `pid` into the cgroups.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Cgroup`].
    pub fn add(&self, pid: i32) -> Result<(), RuntimeError> {
        for group in &self.groups {
            write(&group.directory.join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// The processes in the cgroups, those in cgroups below included.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Cgroup`]; cgroups that are gone have no processes.
    pub fn pids(&self) -> Result<Vec<i32>, RuntimeError> {
        let mut pids = Vec::new();
        // Every process is in each hierarchy; `pids`, `memory` or version 2 are as good as any.
        if let Some(group) = self.groups.first() {
            tree::collect_pids(&group.directory, &mut pids)?;
        }
        Ok(pids)
    }

    /// Kills every process in the cgroups. Returns once all were sent SIGKILL, new ones included.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Cgroup`].
    pub fn kill(&self) -> Result<(), RuntimeError> {
        if self.version_2
            && let Some(group) = self.groups.first()
        {
            let file = group.directory.join("cgroup.kill");
            match write(&file, "1") {
                Ok(()) => return Ok(()),
                // Before Linux 5.14, or gone.
                Err(RuntimeError::Cgroup { source, .. })
                    if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        self.kill_each()
    }

    fn kill_each(&self) -> Result<(), RuntimeError> {
        if self.pids()?.is_empty() {
            return Ok(());
        }
        // Frozen, nobody can fork faster than we kill.
        let freezer = self
            .group("freezer")
            .map(|group| group.directory.join("freezer.state"));
        if let Some(freezer) = &freezer {
            let _ = write(freezer, "FROZEN");
        }
        let killed = self.signal_all();
        if let Some(freezer) = &freezer {
            let _ = write(freezer, "THAWED");
        }
        killed
    }

    fn signal_all(&self) -> Result<(), RuntimeError> {
        let mut signalled = Vec::new();
        loop {
            let mut pids = self.pids()?;
            pids.retain(|pid| !signalled.contains(pid));
            if pids.is_empty() {
                return Ok(());
            }
            for pid in pids {
                if let Some(process) = rustix::process::Pid::from_raw(pid) {
                    // One that is gone by now needs no signal.
                    let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
                }
                signalled.push(pid);
            }
        }
    }

    /// The most memory that was in use at once, in bytes; `None` where the kernel does not say.
    #[must_use]
    pub fn memory_peak(&self) -> Option<u64> {
        let file = if self.version_2 {
            "memory.peak"
        } else {
            "memory.max_usage_in_bytes"
        };
        self.read("memory", file)?.trim().parse().ok()
    }

    /// How many processes the kernel killed for memory.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let file = if self.version_2 {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        let count = |text: String| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("oom_kill "))?;
            line.trim().parse().ok()
        };
        self.read("memory", file).and_then(count).unwrap_or(0)
    }

    /// Removes the cgroups and those that the container made below. They must be empty of
    /// processes, but those that are just ending are waited for. Cgroups that are gone are no
    /// error.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Cgroup`] when there are still processes.
    pub fn remove(&self) -> Result<(), RuntimeError> {
        for group in &self.groups {
            tree::remove(&group.directory, self.version_2)?;
        }
        Ok(())
    }

    /// The directory to be born in (version 2).
    pub(crate) fn birthplace(&self) -> Result<Option<OwnedFd>, RuntimeError> {
        let Some(group) = self.groups.first().filter(|_| self.version_2) else {
            return Ok(None);
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&group.directory, flags, Mode::empty())
            .map(Some)
            .map_err(|source| error(&group.directory)(source.into()))
    }

    /// Moves the calling process, which has a single thread, into the cgroups (version 1).
    pub(crate) fn enter(&self) -> Result<(), (PathBuf, io::Error)> {
        for group in &self.groups {
            let file = group.directory.join("tasks");
            let open = fs::OpenOptions::new().write(true).open(&file);
            open.and_then(|mut tasks| io::Write::write_all(&mut tasks, b"0"))
                .map_err(|error| (file, error))?;
        }
        Ok(())
    }

    pub(crate) fn is_version_2(&self) -> bool {
        self.version_2
    }

    /// Name (empty with version 2) and directory of each hierarchy, for showing them inside.
    pub(crate) fn directories(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        self.groups
            .iter()
            .map(|group| (group.controller, group.directory.as_path()))
    }

    /// Sets the device rules, if the cgroups were made with them.
    pub(crate) fn allow_devices(&self, devices: &[Device]) -> Result<(), RuntimeError> {
        if !self.restrict_devices {
            return Ok(());
        }
        match self.group("devices") {
            Some(group) if self.version_2 => devices::attach(&group.directory, devices),
            Some(group) => devices::write(&group.directory, devices),
            None => Ok(()),
        }
    }

    fn make(&mut self, mounts: &Mounts, cpuset: bool) -> Result<(), RuntimeError> {
        self.groups = mounts.groups(&self.path, cpuset);
        if self.version_2 {
            tree::enable_controllers(mounts, &self.path)?;
        }
        for group in &self.groups {
            tree::make_directory(mounts, group, &self.path)?;
        }
        self.unavailable = CONTROLLERS
            .into_iter()
            .filter(|controller| self.group(controller).is_none())
            .collect();
        Ok(())
    }

    /// The directory in which `controller` has its files; with version 2, whether it is enabled is
    /// seen by its files.
    fn group(&self, controller: &str) -> Option<&Group> {
        if !self.version_2 {
            return self
                .groups
                .iter()
                .find(|group| group.controller == controller);
        }
        let group = self.groups.first()?;
        // Version 2 accounts processor time and freezes everywhere, and filters devices by program.
        let file = match controller {
            "memory" => "memory.max",
            "cpu" => "cpu.max",
            "pids" => "pids.max",
            "cpuset" => "cpuset.cpus",
            _ => return Some(group),
        };
        group.directory.join(file).exists().then_some(group)
    }

    fn read(&self, controller: &str, file: &str) -> Option<String> {
        let group = self.group(controller)?;
        fs::read_to_string(group.directory.join(file)).ok()
    }
}

/// Writes one value to a file of the cgroup file system.
fn write(file: &Path, value: &str) -> Result<(), RuntimeError> {
    // Never creates: a file that is missing means that the kernel does not know it.
    let open = fs::OpenOptions::new().write(true).open(file);
    open.and_then(|mut handle| io::Write::write_all(&mut handle, value.as_bytes()))
        .map_err(error(file))
}

#[cfg(test)]
mod tests;
