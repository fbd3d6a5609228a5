//! `RUN --mount=type=cache`: directories that outlive the build.
//!
//! ```text
//! cache/mounts-v1/<name>/lock    held by the steps that use it
//!                        seed    held while it is made
//!                        data    what is mounted
//! ```
//!
//! One that starts with files (`from=`) is another cache for each content that it may start with,
//! as BuildKit has it.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Duration,
};

use hoist_core::Digest;
use hoist_dockerfile::instruction::Sharing;
use hoist_sys::lock::Lock;

use super::{
    Worker, check,
    mounts::{self, Mounts},
    step::At,
};
use crate::{
    cache::{MOUNTS, used},
    error::BuildError,
    plan::{CopyFrom, MountAction, MountSource},
    sources::Source,
};

/// How often whoever waits for a cache mount looks again.
const TICK: Duration = Duration::from_millis(50);

/// The mode of a cache that says nothing and starts empty.
const MODE: u32 = 0o755;

/// Mode and owner that a mount asks for.
#[derive(Clone, Copy)]
struct Ask {
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

/// What a cache starts with.
#[derive(Clone, Copy)]
enum Start<'a> {
    /// Files of the build.
    Files(&'a CopyFrom, &'a str),
    /// Nothing, unless another machine's cache has one of that name.
    Nothing { id: &'a str },
}

impl Worker<'_> {
    /// Claim the cache of `mount`, which is the step's `place`-th, make it when it is not there,
    /// and mount it.
    pub(super) fn cache_mount(
        &self,
        mounts: &mut Mounts,
        at: At<'_>,
        (place, mount): (usize, &MountAction),
    ) -> Result<(), BuildError> {
        let MountSource::Cache {
            id,
            sharing,
            seed,
            mode,
            uid,
            gid,
        } = &mount.source
        else {
            return Ok(());
        };
        let name = match self.mount_digest(at, place, mount)? {
            Some(digest) => Digest::of(format!("{id}\0{digest}").as_bytes()),
            None => Digest::of(id.as_bytes()),
        };
        let caches = self.engine.settings().root.join(MOUNTS);
        let (directory, lock) = claim(&caches, &name.hex(), *sharing, at.stop)?;
        let data = directory.join("data");
        let ask = Ask {
            mode: *mode,
            uid: *uid,
            gid: *gid,
        };
        if !data.exists() {
            let start = match seed {
                Some((from, path)) => Start::Files(from, path),
                None => Start::Nothing { id },
            };
            self.make_cache(at, &directory, (place, start), ask)?;
        }
        mounts.bind(data, &mount.target, mount.read_only);
        mounts.hold(lock);
        Ok(())
    }

    /// Make the directory that is mounted: beside its place first, so that it is there whole.
    fn make_cache(
        &self,
        at: At<'_>,
        directory: &Path,
        (place, start): (usize, Start<'_>),
        ask: Ask,
    ) -> Result<(), BuildError> {
        let failed = |source| BuildError::Io {
            action: "make the cache mount",
            path: directory.join("data"),
            source,
        };
        let data = directory.join("data");
        // Others that share it may be about to make it, too.
        let _lock = Lock::exclusive(&directory.join("seed")).map_err(failed)?;
        if data.exists() {
            return Ok(());
        }
        if let Start::Nothing { id } = start {
            self.import_mount(id, &data)?;
            if let Ok(found) = std::fs::metadata(&data) {
                let own = (found.mode() & 0o7777, found.uid(), found.gid());
                return grant(&data, own, ask).map_err(failed);
            }
        }
        let draft = directory.join("draft");
        match std::fs::remove_dir_all(&draft) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            _ => std::fs::create_dir(&draft).map_err(failed)?,
        }
        let own = match start {
            Start::Files(from, path) => {
                self.with_sources(at, place, (from, path), |root, sources| {
                    mounts::fill(&draft, at, root, sources)?;
                    Ok(top(sources))
                })?
            }
            Start::Nothing { .. } => (MODE, 0, 0),
        };
        grant(&draft, own, ask).map_err(failed)?;
        std::fs::rename(&draft, &data).map_err(failed)
    }
}

/// Mode and owner of what a cache starts with.
fn top(sources: &[Source]) -> (u32, u32, u32) {
    let top = sources.first().and_then(|source| source.entries.first());
    let top = top.filter(|entry| entry.is_directory());
    top.map_or((MODE, 0, 0), |entry| (entry.mode, entry.uid, entry.gid))
}

/// Give `directory` the mode and owner that are asked for, else those of `own`.
fn grant(directory: &Path, own: (u32, u32, u32), ask: Ask) -> std::io::Result<()> {
    let (mode, uid, gid) = (
        ask.mode.unwrap_or(own.0),
        ask.uid.unwrap_or(own.1),
        ask.gid.unwrap_or(own.2),
    );
    let found = std::fs::metadata(directory)?;
    if (found.uid(), found.gid()) != (uid, gid) {
        chown(directory, Some(uid), Some(gid))?;
    }
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(mode))
}

/// The directory of a cache mount, and the lock on it: shared with others, waited for, or, when
/// it is taken and each is to have its own, the next free one.
fn claim(
    caches: &Path,
    name: &str,
    sharing: Sharing,
    stop: &AtomicBool,
) -> Result<(PathBuf, Lock), BuildError> {
    let mut number = 0;
    loop {
        check(stop)?;
        let directory = match number {
            0 => caches.join(name),
            number => caches.join(format!("{name}-{number}")),
        };
        let path = directory.join("lock");
        let try_lock = || -> std::io::Result<Option<Lock>> {
            std::fs::create_dir_all(&directory)?;
            match sharing {
                Sharing::Shared => Lock::try_shared(&path),
                Sharing::Locked | Sharing::Private => Lock::try_exclusive(&path),
            }
        };
        let lock = try_lock().map_err(|source| BuildError::Io {
            action: "lock",
            path: path.clone(),
            source,
        })?;
        match (lock, sharing) {
            (Some(lock), _) => {
                used(&path);
                return Ok((directory, lock));
            }
            (None, Sharing::Private) => number += 1,
            (None, Sharing::Shared | Sharing::Locked) => std::thread::sleep(TICK),
        }
    }
}
