//! The trees themselves: where they are mounted, making and removing directories in them.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{CONTROLLERS, Group, error, write};
use crate::RuntimeError;

/// Where the hierarchies are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mounts {
    /// One tree of version 2 at this directory.
    Version2(PathBuf),
    /// Trees of version 1, each in a directory of this one that is named after its controller.
    Version1(PathBuf),
}

/// File system type of version 2 (`CGROUP2_SUPER_MAGIC`).
const MAGIC: u64 = 0x6367_7270;
const ROOT: &str = "/sys/fs/cgroup";

impl Mounts {
    /// Those of the host, at `/sys/fs/cgroup`.
    #[must_use]
    pub fn host() -> Self {
        match rustix::fs::statfs(ROOT) {
            Ok(stat) if stat.f_type.cast_unsigned() == MAGIC => Self::Version2(ROOT.into()),
            _ => Self::Version1(ROOT.into()),
        }
    }

    pub(super) fn is_version_2(&self) -> bool {
        matches!(self, Self::Version2(_))
    }

    /// The directories of the cgroup `path` in every hierarchy that this host has.
    pub(super) fn groups(&self, path: &str, cpuset: bool) -> Vec<Group> {
        let relative = path.trim_start_matches('/');
        match self {
            Self::Version2(root) => {
                vec![Group {
                    controller: "",
                    directory: root.join(relative),
                }]
            }
            Self::Version1(root) => CONTROLLERS
                .into_iter()
                .chain(cpuset.then_some("cpuset"))
                .filter(|controller| root.join(controller).join("tasks").exists())
                .map(|controller| Group {
                    controller,
                    directory: root.join(controller).join(relative),
                })
                .collect(),
        }
    }

    fn root_of(&self, group: &Group) -> PathBuf {
        match self {
            Self::Version2(root) => root.clone(),
            Self::Version1(root) => root.join(group.controller),
        }
    }
}

/// Paths come from configuration: they must not climb out of the tree.
pub(super) fn check_path(path: &str) -> Result<(), RuntimeError> {
    let normal = Path::new(path)
        .components()
        .all(|component| matches!(component, Component::RootDir | Component::Normal(_)));
    if path.starts_with('/') && path.len() > 1 && normal && !path.contains('\0') {
        return Ok(());
    }
    Err(RuntimeError::Invalid {
        field: format!("cgroup path {path:?}"),
        reason: "it must be absolute, below the root, and without '..'".to_owned(),
    })
}

/// Makes the directory of `group` and those above it.
pub(super) fn make_directory(
    mounts: &Mounts,
    group: &Group,
    path: &str,
) -> Result<(), RuntimeError> {
    let mut directory = mounts.root_of(group);
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let parent = directory.clone();
        directory.push(name);
        match fs::create_dir(&directory) {
            Ok(()) if group.controller == "cpuset" => inherit_cpuset(&parent, &directory)?,
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(error(&directory)(source)),
        }
    }
    Ok(())
}

/// A new cpuset of version 1 is empty, and nothing can enter it.
fn inherit_cpuset(parent: &Path, child: &Path) -> Result<(), RuntimeError> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let value = fs::read_to_string(parent.join(file)).map_err(error(&parent.join(file)))?;
        write(&child.join(file), value.trim())?;
    }
    Ok(())
}

/// Passes the controllers on from the root to the parent of `path` (version 2). Those that cannot
/// be passed on are missed later, by the limits that need them.
pub(super) fn enable_controllers(mounts: &Mounts, path: &str) -> Result<(), RuntimeError> {
    let Mounts::Version2(root) = mounts else {
        return Ok(());
    };
    let mut directory = root.clone();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        match fs::create_dir(&directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(error(&directory)(source)),
        }
        let read = |file: &str| fs::read_to_string(directory.join(file)).unwrap_or_default();
        let (offered, passed) = (read("cgroup.controllers"), read("cgroup.subtree_control"));
        for controller in ["memory", "cpu", "pids", "cpuset"] {
            let listed = |list: &str| list.split_whitespace().any(|word| word == controller);
            if listed(&offered) && !listed(&passed) {
                // Refused where processes live beside (the rule against inner processes).
                let _ = write(
                    &directory.join("cgroup.subtree_control"),
                    &format!("+{controller}"),
                );
            }
        }
        directory.push(name);
    }
    Ok(())
}

pub(super) fn collect_pids(directory: &Path, pids: &mut Vec<i32>) -> Result<(), RuntimeError> {
    match fs::read_to_string(directory.join("cgroup.procs")) {
        Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
        // Gone, or a threaded cgroup of version 2, whose parent lists the processes.
        Err(error) if is_gone(&error) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(source) => return Err(error(&directory.join("cgroup.procs"))(source)),
    }
    for child in children(directory)? {
        collect_pids(&child, pids)?;
    }
    Ok(())
}

fn children(directory: &Path) -> Result<Vec<PathBuf>, RuntimeError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(source) => return Err(error(directory)(source)),
    };
    Ok(entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect())
}

fn is_gone(error: &io::Error) -> bool {
    const ENODEV: i32 = 19;
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ENODEV)
}

/// Removes a directory and those below. A process that is ending keeps it busy for a moment: that
/// is waited for, two seconds at most.
pub(super) fn remove(directory: &Path, version_2: bool) -> Result<(), RuntimeError> {
    for _ in 0..1000 {
        match fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            Err(source) => return Err(error(directory)(source)),
        }
        for child in children(directory)? {
            remove(&child, version_2)?;
        }
        wait_for_change(directory, version_2);
    }
    Err(error(directory)(io::ErrorKind::ResourceBusy.into()))
}

/// Until the kernel reports a change of the cgroup's population (version 2), two milliseconds at
/// most; version 1 has no such report.
fn wait_for_change(directory: &Path, version_2: bool) {
    let limit = Duration::from_millis(2);
    if version_2
        && let Ok(events) = fs::File::open(directory.join("cgroup.events"))
        && let Ok(limit) = Timespec::try_from(limit)
    {
        // What wakes us does not matter: the directory is tried again.
        let _ = poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&limit));
        return;
    }
    std::thread::sleep(limit);
}
