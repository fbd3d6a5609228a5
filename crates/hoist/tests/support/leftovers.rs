//! What a test left behind: mounts, processes, cgroups, interfaces and nf_tables tables.
//!
//! Tests run side by side, so a thing counts as left behind by this one only when it names this one's
//! directory (processes, mounts, and by a hash of it bridges and tables), or when it is new, hoist's, and
//! without an owner (cgroups).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// What of hoist's there was on the machine before the test.
pub(crate) struct Surroundings {
    cgroups: BTreeSet<PathBuf>,
}

/// Something that goes away a moment after its owner has this long.
const PATIENCE: Duration = Duration::from_secs(10);

impl Surroundings {
    /// Takes note of what there is.
    pub(crate) fn look() -> Self {
        Self {
            cgroups: empty_cgroups().into_iter().collect(),
        }
    }

    /// What a test whose files lie in `directory` left behind, one line each. What can be taken away is,
    /// so that one failure is not followed by others.
    pub(crate) fn leftovers(&self, directory: &Path) -> Vec<String> {
        let begun = Instant::now();
        // A test beside this one has a cgroup without a process for a moment; this one's stays so.
        let mut cgroups = empty_cgroups();
        cgroups.retain(|cgroup| !self.cgroups.contains(cgroup));
        loop {
            let mut found = found(directory);
            let empty = empty_cgroups();
            cgroups.retain(|cgroup| empty.contains(cgroup));
            found.extend(cgroups.iter().cloned().map(Leftover::Cgroup));
            if found.is_empty() || begun.elapsed() > PATIENCE {
                let lines: Vec<_> = found.iter().map(Leftover::to_string).collect();
                let names: Vec<_> = found.into_iter().flat_map(Leftover::take_away).collect();
                if !lines.is_empty() {
                    follow_up(directory, &names);
                }
                return lines;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Takes away what shows only when other things are gone, and the cgroups of killed processes.
fn follow_up(directory: &Path, cgroups: &[String]) {
    for _ in 0..50 {
        std::thread::sleep(Duration::from_millis(20));
        for leftover in found(directory) {
            leftover.take_away();
        }
        let empty = empty_cgroups().into_iter();
        for cgroup in empty.filter(|path| cgroups.iter().any(|name| path.ends_with(name))) {
            // It goes with its last process, at the latest when this is tried again.
            let _ = fs::remove_dir(cgroup);
        }
    }
}

/// What names the test's directory.
fn found(directory: &Path) -> Vec<Leftover> {
    let mut found = processes(directory);
    found.extend(mounts(directory));
    found.extend(network(directory));
    found
}

enum Leftover {
    Process { pid: i32, line: String },
    Mount(PathBuf),
    Cgroup(PathBuf),
    Interface(String),
    Table(String),
}

impl std::fmt::Display for Leftover {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process { pid, line } => write!(formatter, "process {pid}: {line}"),
            Self::Mount(path) => write!(formatter, "mount at {}", path.display()),
            Self::Cgroup(path) => write!(formatter, "cgroup {}", path.display()),
            Self::Interface(name) => write!(formatter, "network interface {name}"),
            Self::Table(name) => write!(formatter, "nf_tables table ip {name}"),
        }
    }
}

impl Leftover {
    /// Removes it as well as can be; what cannot be removed was reported. The names of the cgroups that
    /// a killed process was in.
    fn take_away(self) -> Vec<String> {
        match self {
            Self::Process { pid, .. } => {
                let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
                let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
                let hoists = cgroups.lines().filter_map(|line| line.split_once("/hoist"));
                let names = hoists.filter_map(|(_, path)| path.rsplit('/').next());
                return names.map(str::to_owned).collect();
            }
            Self::Mount(path) => {
                let _ = Command::new("umount").arg("--lazy").arg(path).status();
            }
            Self::Cgroup(path) => {
                let _ = fs::remove_dir(path);
            }
            Self::Interface(name) => {
                let _ = Command::new("ip").args(["link", "delete", &name]).status();
            }
            Self::Table(name) => {
                let _ = Command::new("nft")
                    .args(["delete", "table", "ip", &name])
                    .status();
            }
        }
        Vec::new()
    }
}

/// Processes that work on files of the test: by their environment, their arguments, or the mounts that
/// they see (a container's root names its layers).
fn processes(directory: &Path) -> Vec<Leftover> {
    let own = directory.as_os_str().as_encoded_bytes();
    let ours = i32::try_from(std::process::id()).unwrap_or_default();
    let host = fs::read_link("/proc/self/ns/mnt").ok();
    let mut found = Vec::new();
    for pid in pids().filter(|pid| *pid != ours) {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let holds =
            |name: &str| fs::read(process.join(name)).is_ok_and(|bytes| memory_holds(&bytes, own));
        let elsewhere = fs::read_link(process.join("ns/mnt")).ok() != host;
        if holds("environ") || holds("cmdline") || (elsewhere && holds("mountinfo")) {
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            found.push(Leftover::Process { pid, line });
        }
    }
    found
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn memory_holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Mounts of this machine below the test's directory, the innermost first.
fn mounts(directory: &Path) -> Vec<Leftover> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("/proc/self/mountinfo");
    let points = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from);
    let mut points: Vec<PathBuf> = points
        .filter(|point| point.starts_with(directory))
        .collect();
    points.reverse();
    points.into_iter().map(Leftover::Mount).collect()
}

/// What the bridge and the table of a data root are called.
pub(crate) fn network_name(root: &Path) -> String {
    let state = root.join("networks");
    let digest = hoist_core::Digest::of(state.as_os_str().as_encoded_bytes());
    format!("hoist-{}", &digest.hex()[..8])
}

/// The bridge and the table of the test's data root.
fn network(directory: &Path) -> Vec<Leftover> {
    let name = network_name(&directory.join("root"));
    let mut found = Vec::new();
    if Path::new("/sys/class/net").join(&name).exists() {
        found.push(Leftover::Interface(name.clone()));
    }
    let tables = Command::new("nft").args(["list", "tables"]).output();
    let tables = tables.expect("nft (Debian package nftables)").stdout;
    if String::from_utf8_lossy(&tables)
        .lines()
        .any(|line| line == format!("table ip {name}"))
    {
        found.push(Leftover::Table(name));
    }
    found
}

/// hoist's cgroups for containers that have no process in them: no container is alive in those.
fn empty_cgroups() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(hierarchies) = fs::read_dir("/sys/fs/cgroup") else {
        return found;
    };
    let mut tops: Vec<PathBuf> = vec![PathBuf::from("/sys/fs/cgroup")];
    tops.extend(
        hierarchies
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir()),
    );
    for top in tops {
        for parent in subdirectories(&top).filter(|path| name_starts_with(path, "hoist")) {
            for cgroup in subdirectories(&parent) {
                let procs = fs::read_to_string(cgroup.join("cgroup.procs"));
                if procs.is_ok_and(|pids| pids.is_empty()) {
                    found.push(cgroup);
                }
            }
        }
    }
    found
}

fn subdirectories(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
}

fn name_starts_with(path: &Path, start: &str) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(start))
}
