//! What the build cache holds, and what of it goes: by hand, or once a day by age and size.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use hoist_core::{Digest, time::Timestamp};
use hoist_engine::Engine;
use hoist_sys::{
    atomic::{self, Durability},
    lock::Lock,
};

use crate::{
    cache::{self, COLLECTED, MOUNTS, Record},
    error::BuildError,
    remote::{git, web},
};

/// How often builds look through the cache.
const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// What of the cache goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePolicy {
    /// What was not used for so long goes.
    pub max_age: Option<Duration>,
    /// When what is left is larger, what was not used for the longest time goes first. In bytes.
    pub max_bytes: Option<u64>,
    /// Which entries the policy is about.
    pub scope: CacheScope,
}

/// Which entries a policy is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheScope {
    /// Steps whose layer no image has.
    Intermediate,
    /// Everything: other steps and cache mounts, too.
    All,
}

impl CachePolicy {
    /// What builds apply by themselves once a day: what was not used for 30 days goes, and of the
    /// rest what is above 20 GB.
    pub const AUTOMATIC: Self = Self {
        max_age: Some(Duration::from_secs(30 * 24 * 60 * 60)),
        max_bytes: Some(20_000_000_000),
        scope: CacheScope::All,
    };
}

/// One thing that the cache holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEntry {
    /// Its name on disk.
    pub id: String,
    /// The instruction, or what the mount is.
    pub description: String,
    /// Bytes of its layer or files.
    pub size: u64,
    /// When a build used it last.
    pub last_used: SystemTime,
    /// What holds it.
    pub kind: CacheKind,
}

/// What a cache entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheKind {
    /// A step, whose layer is in no image.
    Step,
    /// A step whose layer images have, too: removing it frees nothing.
    SharedStep,
    /// The directory of `RUN --mount=type=cache`.
    Mount,
    /// A file of a web server.
    Download,
    /// A git repository.
    Repository,
}

/// Everything that the cache holds, what was used last first.
///
/// # Errors
/// [`BuildError::Io`] when it cannot be listed; a record that cannot be read is passed over.
pub fn cache_entries(engine: &Engine) -> Result<Vec<CacheEntry>, BuildError> {
    let shared = image_layers(engine)?;
    let mut entries = Vec::new();
    for path in cache::list(&cache::directory(engine))? {
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let Some(record) = read(&path) else { continue };
        let kind = match record.layer {
            Some(layer) if shared.contains(&layer) => CacheKind::SharedStep,
            _ => CacheKind::Step,
        };
        entries.push(CacheEntry {
            id: name(&path),
            description: record.parts.get("instruction").unwrap_or("").to_owned(),
            size: record.size,
            last_used: modified(&path),
            kind,
        });
    }
    for path in cache::list(&engine.settings().root.join(MOUNTS))? {
        entries.push(CacheEntry {
            id: name(&path),
            description: "cache mount".to_owned(),
            size: cache::size_of(&path),
            last_used: modified(&path.join("lock")),
            kind: CacheKind::Mount,
        });
    }
    let root = &engine.settings().root;
    let addresses = web::addresses(root);
    for path in cache::list(&root.join(web::FILES))? {
        let id = name(&path);
        let address = addresses.get(&id).map_or("", String::as_str);
        entries.push(CacheEntry {
            description: format!("file {address}"),
            size: std::fs::metadata(&path).map_or(0, |found| found.len()),
            last_used: modified(&path),
            kind: CacheKind::Download,
            id,
        });
    }
    for path in cache::list(&root.join(git::repository::DIRECTORY))? {
        if !path.is_dir() {
            continue;
        }
        let address = std::fs::read_to_string(path.join("address")).unwrap_or_default();
        entries.push(CacheEntry {
            id: name(&path),
            description: format!("repository {address}"),
            size: cache::size_of(&path),
            last_used: modified(&path.join("lock")),
            kind: CacheKind::Repository,
        });
    }
    entries.sort_by(|a, b| b.last_used.cmp(&a.last_used).then_with(|| a.id.cmp(&b.id)));
    Ok(entries)
}

/// Remove from the cache what `policy` says and what no build can use any more; how many bytes that
/// freed. Images keep their layers, and so do builds that run.
///
/// # Errors
/// [`BuildError::Io`] and the store's for what cannot be listed or removed.
pub fn collect_cache(engine: &Engine, policy: &CachePolicy) -> Result<u64, BuildError> {
    let mut freed = cache::prune_cache(engine, cache::Prune::Unusable)?;
    let entries = cache_entries(engine)?;
    let records = cache::directory(engine);
    for entry in doomed(&entries, policy, SystemTime::now()) {
        let root = &engine.settings().root;
        let directory = match entry.kind {
            CacheKind::Mount => Some(root.join(MOUNTS)),
            CacheKind::Repository => Some(root.join(git::repository::DIRECTORY)),
            CacheKind::Download => {
                freed += cache::remove(&root.join(web::FILES).join(&entry.id))?;
                continue;
            }
            CacheKind::Step | CacheKind::SharedStep => None,
        };
        if let Some(directory) = directory.map(|parent| parent.join(&entry.id)) {
            // One that a build uses right now stays.
            if let Ok(Some(lock)) = Lock::try_exclusive(&directory.join("lock")) {
                cache::remove_tree(&directory)?;
                freed += entry.size;
                drop(lock);
            }
            continue;
        }
        for extension in ["json", "files"] {
            freed += cache::remove(&records.join(format!("{}.{extension}", entry.id)))?;
        }
    }
    let kept = cache::cached_layers(engine)?;
    freed += engine.collect_garbage(&kept)?.bytes;
    Ok(freed)
}

/// Tidy up when that was not done for a day: images by the policy of the data root
/// ([`Engine::gc_policy`]), then the cache by [`CachePolicy::AUTOMATIC`]. For commands that add to it,
/// when their work is done.
///
/// # Errors
/// When the policy cannot be read, and what [`collect_cache`] says. Tomorrow is another day: no
/// command should fail for it.
pub fn collect_daily(engine: &Engine) -> Result<(), BuildError> {
    let stamp = engine.settings().root.join(COLLECTED);
    let is_recent = std::fs::metadata(&stamp)
        .and_then(|found| found.modified())
        .is_ok_and(|time| time.elapsed().is_ok_and(|age| age < INTERVAL));
    if is_recent {
        return Ok(());
    }
    let failed = |source| BuildError::Io {
        action: "write",
        path: stamp.clone(),
        source,
    };
    if let Some(directory) = stamp.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    atomic::write(&stamp, b"", 0o600, Durability::Volatile).map_err(failed)?;
    let policy = engine.gc_policy()?;
    engine.collect_images(&policy, &cache::cached_layers(engine)?)?;
    collect_cache(engine, &CachePolicy::AUTOMATIC)?;
    Ok(())
}

/// The entries that go. `entries` are sorted, what was used last first.
fn doomed<'a>(
    entries: &'a [CacheEntry],
    policy: &CachePolicy,
    now: SystemTime,
) -> Vec<&'a CacheEntry> {
    let mut kept_bytes = 0_u64;
    let mut gone = Vec::new();
    for entry in entries {
        if policy.scope == CacheScope::Intermediate && entry.kind != CacheKind::Step {
            continue;
        }
        let age = now.duration_since(entry.last_used).unwrap_or_default();
        let is_old = policy.max_age.is_some_and(|most| age >= most);
        kept_bytes = kept_bytes.saturating_add(entry.reclaimable());
        let is_too_much = match (policy.max_bytes, policy.max_age) {
            (Some(most), _) => kept_bytes > most,
            // Without any limit all of it goes.
            (None, None) => true,
            (None, Some(_)) => false,
        };
        if is_old || is_too_much {
            kept_bytes = kept_bytes.saturating_sub(entry.reclaimable());
            gone.push(entry);
        }
    }
    gone
}

fn image_layers(engine: &Engine) -> Result<BTreeSet<Digest>, BuildError> {
    let layers = engine.store().usage()?.layers.into_iter();
    let shared = layers.filter(|layer| !layer.images.is_empty());
    Ok(shared.map(|layer| layer.diff_id).collect())
}

fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&atomic::read(path).ok()?).ok()
}

fn name(path: &Path) -> String {
    let stem: PathBuf = path.file_stem().unwrap_or_default().into();
    stem.display().to_string()
}

fn modified(path: &Path) -> SystemTime {
    let found = std::fs::metadata(path).and_then(|found| found.modified());
    found.unwrap_or(SystemTime::UNIX_EPOCH)
}

impl CacheEntry {
    /// When a build used it last.
    #[must_use]
    pub fn last_used(&self) -> Timestamp {
        Timestamp::from(self.last_used)
    }

    /// Bytes that are free when it is gone.
    #[must_use]
    pub fn reclaimable(&self) -> u64 {
        match self.kind {
            CacheKind::Step | CacheKind::Mount | CacheKind::Download | CacheKind::Repository => {
                self.size
            }
            CacheKind::SharedStep => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_goes_and_then_what_is_too_much() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let entry = |id: &str, age: u64, size: u64, kind: CacheKind| CacheEntry {
            id: id.to_owned(),
            description: String::new(),
            size,
            last_used: now - Duration::from_secs(age),
            kind,
        };
        let entries = [
            entry("new", 1, 10, CacheKind::Step),
            entry("shared", 2, 100, CacheKind::SharedStep),
            entry("mount", 3, 10, CacheKind::Mount),
            entry("old", 50, 10, CacheKind::Step),
        ];
        let policy = |age: Option<u64>, max_bytes: Option<u64>, scope| CachePolicy {
            max_age: age.map(Duration::from_secs),
            max_bytes,
            scope,
        };
        use CacheScope::{All, Intermediate};
        let table = [
            (policy(None, None, All), "new shared mount old"),
            (policy(None, None, Intermediate), "new old"),
            (policy(Some(50), None, All), "old"),
            (policy(Some(3), None, Intermediate), "old"),
            (policy(None, Some(20), All), "old"),
            (policy(None, Some(10), All), "mount old"),
            (policy(Some(3), Some(5), All), "new mount old"),
            (policy(Some(100), Some(1000), All), ""),
        ];
        for (policy, expected) in table {
            let gone: Vec<_> = doomed(&entries, &policy, now)
                .iter()
                .map(|entry| entry.id.as_str())
                .collect();
            assert_eq!(gone.join(" "), expected, "{policy:?}");
        }
    }
}
