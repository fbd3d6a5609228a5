//! Cache mounts that a step wrote nothing to while its layer grew: the program keeps its cache
//! somewhere else, and the image keeps that.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use hoist_core::{
    event::{BuildEvent, Warning},
    units,
};

use super::{Worker, step::At};
use crate::{
    cache::{MOUNTS, Record},
    plan::{MountSource, RunAction},
};

/// A layer that grew by less is not worth a word. In bytes.
const WORTH: u64 = 1_000_000;

/// After so many files a cache counts as written to: the answer is not worth a longer look.
const MOST: usize = 10_000;

/// The kernel's times may lag behind the clock.
const LAG: Duration = Duration::from_millis(50);

/// Where programs keep their caches: below a home directory, and elsewhere.
const OF_HOMES: [&str; 10] = [
    ".cache/pip",
    ".cache/uv",
    ".cache/pypoetry",
    ".cache/go-build",
    ".cache/yarn",
    ".npm",
    ".cargo/registry",
    ".m2",
    ".gradle",
    ".bundle/cache",
];
const ELSEWHERE: [&str; 6] = [
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/cache/apk",
    "var/cache/dnf",
    "go/pkg/mod",
    "usr/local/share/.cache/yarn",
];

impl Worker<'_> {
    /// The targets of the cache mounts of `action` in which nothing has changed since `started`.
    /// `mounts` are the sources and targets of all mounts.
    pub(super) fn idle_caches(
        &self,
        action: &RunAction,
        mounts: &[hoist_core::spec::Mount],
        started: SystemTime,
    ) -> Vec<String> {
        let caches = self.engine.settings().root.join(MOUNTS);
        let since = started.checked_sub(LAG).unwrap_or(started);
        let is_idle = |target: &str| {
            let mut mounts = mounts.iter();
            let mount = mounts.find(|mount| mount.destination == Path::new(target));
            let source = mount.and_then(|mount| mount.source.as_ref());
            source.is_some_and(|source| source.starts_with(&caches) && !has_news(source, since))
        };
        let mounts = action.mounts.iter();
        let writable = mounts
            .filter(|mount| matches!(mount.source, MountSource::Cache { .. }) && !mount.read_only);
        writable
            .map(|mount| mount.target.clone())
            .filter(|target| is_idle(target))
            .collect()
    }

    /// Say of each cache mount in `idle` that it was of no use, when the layer of `record` grew.
    pub(super) fn tell_idle(&self, at: At<'_>, idle: &[String], record: &Record) {
        let Some(layer) = record.layer.filter(|_| record.size >= WORTH) else {
            return;
        };
        let Ok(place) = self.engine.store().layer_place(&layer) else {
            return;
        };
        let found = caches_in(&place);
        for target in idle {
            let hint = match found.first() {
                Some(path) => format!(
                    "the layer has a cache in it: write --mount=type=cache,target=/{}",
                    path.display()
                ),
                None => "the program is told to keep no cache, or keeps it elsewhere: see where, \
                         or leave the mount out"
                    .to_owned(),
            };
            self.emit(BuildEvent::Warning(Warning {
                rule: None,
                message: format!(
                    "nothing was written to the cache mount {target}, while the layer grew by {}",
                    units::human_size(record.size)
                ),
                file: Some(self.listing.name.clone()),
                line: Some(self.listing.line(at.step.span)),
                hints: vec![hint],
            }));
        }
    }
}

/// True when a file below `directory` has changed since `since`, or there are too many to tell.
fn has_news(directory: &Path, since: SystemTime) -> bool {
    let since = since.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.map_or(0, |time| time.as_nanos());
    let mut open = vec![directory.to_owned()];
    let mut seen = 0;
    while let Some(directory) = open.pop() {
        // A directory that cannot be read says nothing.
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else {
                continue;
            };
            seen += 1;
            let (seconds, rest) = (
                found.ctime().unsigned_abs(),
                found.ctime_nsec().unsigned_abs(),
            );
            if u128::from(seconds) * 1_000_000_000 + u128::from(rest) >= since || seen > MOST {
                return true;
            }
            if found.is_dir() {
                open.push(entry.path());
            }
        }
    }
    false
}

/// Caches of known programs in the layer at `layer`, as paths of the image.
fn caches_in(layer: &Path) -> Vec<PathBuf> {
    let mut homes = vec![PathBuf::from("root")];
    let users = fs::read_dir(layer.join("home"))
        .into_iter()
        .flatten()
        .flatten();
    homes.extend(users.map(|user| Path::new("home").join(user.file_name())));
    let of_homes = homes
        .iter()
        .flat_map(|home| OF_HOMES.iter().map(|path| home.join(path)));
    let all = of_homes.chain(ELSEWHERE.iter().map(PathBuf::from));
    all.filter(|path| {
        let entries = fs::read_dir(layer.join(path));
        entries.is_ok_and(|mut entries| entries.next().is_some())
    })
    .collect()
}
