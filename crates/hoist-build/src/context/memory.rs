//! Digests of context files that are remembered from build to build, so that an unchanged context
//! is not read again: what git does with its index.
//!
//! A digest is believed when path, size, both times, inode and device are what they were when the
//! file was read. A file that was changed at about the time when it was read could change again
//! without its times showing it; such a digest is not remembered ("racily clean" in git's words).
//!
//! One file holds what is known of one context: `<root>/cache/context-v1/<digest of its path>`.
//! It is a cache: what cannot be read is ignored and written anew.

use std::{
    collections::HashMap,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use hoist_core::Digest;
use hoist_sys::atomic::{self, Durability};

use crate::tree::Identity;

const MAGIC: &[u8; 16] = b"hoist context 1\n";

/// Builds that an entry survives without being asked for.
const MAX_AGE: u8 = 16;

/// How long the times of a file must lie back for its digest to be remembered: more than the
/// tick by which kernels stamp files.
const SETTLED: i64 = 20_000_000;

/// The same on a file system that stamps whole seconds, or even ones.
const SETTLED_COARSE: i64 = 2_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Remembered {
    identity: Identity,
    digest: Digest,
    /// Builds since it was last asked for.
    age: u8,
}

/// The remembered digests of one context.
#[derive(Debug)]
pub(crate) struct Memory {
    file: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<PathBuf, Remembered>,
    changed: bool,
}

impl Memory {
    /// What is remembered of the context at `context`, from below `directory`.
    pub(crate) fn load(directory: &Path, context: &Path) -> Self {
        let name = Digest::of(context.as_os_str().as_bytes()).hex();
        let file = directory.join(name);
        let mut entries = std::fs::read(&file)
            .ok()
            .and_then(|bytes| decode(&bytes))
            .unwrap_or_default();
        for entry in entries.values_mut() {
            entry.age = entry.age.saturating_add(1);
        }
        let state = Mutex::new(State {
            entries,
            changed: false,
        });
        Self { file, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The digest of the file at `path` below the context, when it is still the same file.
    pub(crate) fn recall(&self, path: &Path, identity: &Identity) -> Option<Digest> {
        let mut state = self.state();
        let entry = state.entries.get_mut(path)?;
        if entry.identity != *identity {
            return None;
        }
        entry.age = 0;
        Some(entry.digest)
    }

    /// Remember the digest of a file that was read just now.
    pub(crate) fn remember(&self, path: &Path, identity: &Identity, digest: Digest) {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_nanos()).ok())
            .unwrap_or(0);
        let mut state = self.state();
        state.changed = true;
        if settled(identity, now) {
            let entry = Remembered {
                identity: *identity,
                digest,
                age: 0,
            };
            state.entries.insert(path.to_owned(), entry);
        } else {
            state.entries.remove(path);
        }
    }

    /// Write what is remembered, when there is anything new. A failure costs the next build some
    /// reading and nothing else, so it is not an error.
    pub(crate) fn save(&self) {
        let mut state = self.state();
        if !state.changed {
            return;
        }
        state.changed = false;
        let bytes = encode(&state.entries);
        drop(state);
        if let Some(directory) = self.file.parent()
            && std::fs::create_dir_all(directory).is_err()
        {
            return;
        }
        let _ = atomic::write(&self.file, &bytes, 0o600, Durability::Volatile);
    }
}

/// True when a change after `now` would show in the times of the file.
fn settled(identity: &Identity, now: i64) -> bool {
    let whole = |time: i64| time % 1_000_000_000 == 0;
    let margin = if whole(identity.mtime) && whole(identity.ctime) {
        SETTLED_COARSE
    } else {
        SETTLED
    };
    identity.ctime.saturating_add(margin) < now
}

/// `MAGIC`, then for each path its length, itself, the identity, the digest and the age; then the
/// digest of it all. Numbers are little-endian.
fn encode(entries: &HashMap<PathBuf, Remembered>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (path, entry) in entries {
        if entry.age > MAX_AGE {
            continue;
        }
        let path = path.as_os_str().as_bytes();
        let Ok(length) = u32::try_from(path.len()) else {
            continue;
        };
        bytes.extend(length.to_le_bytes());
        bytes.extend(path);
        let Identity {
            device,
            inode,
            size,
            mtime,
            ctime,
        } = entry.identity;
        for number in [device, inode, size] {
            bytes.extend(number.to_le_bytes());
        }
        for time in [mtime, ctime] {
            bytes.extend(time.to_le_bytes());
        }
        bytes.extend(entry.digest.as_raw());
        bytes.push(entry.age);
    }
    let digest = Digest::of(&bytes);
    bytes.extend(digest.as_raw());
    bytes
}

fn decode(bytes: &[u8]) -> Option<HashMap<PathBuf, Remembered>> {
    let (content, digest) = bytes.split_last_chunk::<32>()?;
    if Digest::of(content) != Digest::from_raw(*digest) {
        return None;
    }
    let mut rest = content.strip_prefix(MAGIC)?;
    let mut entries = HashMap::new();
    while !rest.is_empty() {
        let length = usize::try_from(u32::from_le_bytes(take(&mut rest)?)).ok()?;
        let (path, after) = rest.split_at_checked(length)?;
        rest = after;
        let entry = Remembered {
            identity: Identity {
                device: u64::from_le_bytes(take(&mut rest)?),
                inode: u64::from_le_bytes(take(&mut rest)?),
                size: u64::from_le_bytes(take(&mut rest)?),
                mtime: i64::from_le_bytes(take(&mut rest)?),
                ctime: i64::from_le_bytes(take(&mut rest)?),
            },
            digest: Digest::from_raw(take(&mut rest)?),
            age: take::<1>(&mut rest)?[0],
        };
        let path = std::ffi::OsString::from_vec(path.to_vec());
        entries.insert(PathBuf::from(path), entry);
    }
    Some(entries)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn remembered()(numbers in any::<[u64; 3]>(), times in any::<[i64; 2]>(),
                        raw in any::<[u8; 32]>(), age in 0..=MAX_AGE) -> Remembered {
            Remembered {
                identity: Identity { device: numbers[0], inode: numbers[1], size: numbers[2],
                                     mtime: times[0], ctime: times[1] },
                digest: Digest::from_raw(raw),
                age,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            entries in prop::collection::hash_map("[a-zé/]{1,20}".prop_map(PathBuf::from), remembered(), 0..20),
        ) {
            prop_assert_eq!(decode(&encode(&entries)), Some(entries));
        }

        #[test]
        fn a_damaged_file_is_ignored(at in 0..200_usize, bit in 0..8_u8) {
            let identity = Identity::default();
            let entry = Remembered { identity, digest: Digest::of(b""), age: 0 };
            let mut bytes = encode(&HashMap::from([("a".into(), entry), ("b".into(), entry)]));
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(decode(&bytes), None);
            bytes.truncate(at);
            prop_assert_eq!(decode(&bytes), None);
        }
    }

    #[test]
    fn a_file_changed_while_it_was_read_is_not_remembered() {
        let fine = Identity {
            mtime: 1,
            ctime: 1_000_000_001,
            ..Identity::default()
        };
        assert!(!settled(&fine, 1_010_000_000));
        assert!(settled(&fine, 1_100_000_000));
        let coarse = Identity {
            mtime: 0,
            ctime: 1_000_000_000,
            ..Identity::default()
        };
        assert!(!settled(&coarse, 2_900_000_000));
        assert!(settled(&coarse, 3_100_000_000));
    }

    #[test]
    fn digests_are_recalled_for_the_same_file_and_fade_when_not_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity {
            inode: 7,
            size: 1,
            mtime: 5,
            ctime: 5,
            ..Identity::default()
        };
        let context = Path::new("/context");
        let memory = Memory::load(dir.path(), context);
        memory.remember(Path::new("a"), &identity, Digest::of(b"a"));
        memory.save();
        for _ in 0..=MAX_AGE {
            let memory = Memory::load(dir.path(), context);
            memory.state().changed = true;
            memory.save();
        }
        let memory = Memory::load(dir.path(), context);
        assert_eq!(memory.recall(Path::new("a"), &identity), None);
        memory.remember(Path::new("a"), &identity, Digest::of(b"a"));
        memory.save();
        let memory = Memory::load(dir.path(), context);
        assert_eq!(
            memory.recall(Path::new("a"), &identity),
            Some(Digest::of(b"a"))
        );
        let other = Identity {
            ctime: 6,
            ..identity
        };
        assert_eq!(memory.recall(Path::new("a"), &other), None);
        assert_eq!(
            Memory::load(dir.path(), Path::new("/other")).recall(Path::new("a"), &identity),
            None
        );
    }
}
