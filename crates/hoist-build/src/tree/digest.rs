//! The digest of a tree: what it holds, by name, kind, mode, owner and content, but not by time.
//!
//! Two trees with equal digests make equal copies, apart from modification times; that is what
//! Docker's cache compares too.

use std::{
    io::Read,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use hoist_core::{Digest, Digester};
use rustix::{
    fs::{OFlags, fgetxattr, flistxattr, fstat},
    io::Errno,
};

use super::{Attributes, Entry, Identity, Kind, Ownership, Root, below, io};
use crate::{context::memory::Memory, error::BuildError};

/// The digest of `entries`, whose files have theirs.
pub(crate) fn digest(entries: &[Entry]) -> Digest {
    let mut digester = Digester::new();
    let mut field = |bytes: &[u8]| {
        digester.update(&(bytes.len() as u64).to_le_bytes());
        digester.update(bytes);
    };
    for entry in entries {
        field(entry.path.as_os_str().as_bytes());
        match &entry.kind {
            Kind::Directory => field(b"directory"),
            Kind::File => {
                field(b"file");
                let digest = entry.digest.expect("files are digested before their tree");
                field(digest.hex().as_bytes());
            }
            Kind::Symlink(target) => {
                field(b"link");
                field(target);
            }
            Kind::Special { file_type, device } => {
                field(format!("{file_type:?} {device}").as_bytes());
            }
        }
        // The permission bits of a symbolic link mean nothing and differ between file systems.
        let mode = if matches!(entry.kind, Kind::Symlink(_)) {
            0
        } else {
            entry.mode
        };
        field(&mode.to_le_bytes());
        field(&entry.uid.to_le_bytes());
        field(&entry.gid.to_le_bytes());
        for (name, value) in &entry.attributes {
            field(name);
            field(value);
        }
        field(b"");
    }
    digester.finish()
}

/// Digest every file of `entries`, which a walk of `start` found: from `memory` when it knows the
/// file, otherwise by reading, on all processors.
pub(crate) fn read_files(
    root: &Root,
    start: &Path,
    entries: &mut [Entry],
    memory: Option<&Memory>,
    cancelled: &AtomicBool,
) -> Result<(), BuildError> {
    let mut pending = Vec::new();
    for entry in entries.iter_mut().filter(|entry| entry.kind == Kind::File) {
        let path = below(start, &entry.path);
        entry.digest = memory.and_then(|memory| memory.recall(&path, &entry.identity));
        if entry.digest.is_none() {
            pending.push((path, entry));
        }
    }
    if root.ownership() == Ownership::Root && pending.is_empty() {
        return Ok(());
    }
    let bytes: u64 = pending.iter().map(|(_, entry)| entry.identity.size).sum();
    let threads = match std::thread::available_parallelism() {
        Ok(count) if bytes > 1 << 20 || pending.len() > 64 => count.get().min(pending.len()),
        _ => 1,
    };
    let next = AtomicUsize::new(0);
    let work: Vec<Mutex<_>> = pending.into_iter().map(Mutex::new).collect();
    let read = || -> Result<(), BuildError> {
        let mut buffer = vec![0; 256 << 10];
        while let Some(slot) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
            if cancelled.load(Ordering::Relaxed) {
                return Err(BuildError::Cancelled);
            }
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let (path, entry) = &mut *slot;
            read_file(root, path, entry, &mut buffer).map_err(|e| io("read", root, path, e))?;
            if let (Some(memory), Some(digest)) = (memory, entry.digest) {
                memory.remember(path, &entry.identity, digest);
            }
        }
        Ok(())
    };
    if threads <= 1 {
        return read();
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(read)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or(Err(BuildError::Cancelled)))
    })
}

/// Read one file: its digest, and its identity at that moment.
fn read_file(root: &Root, path: &Path, entry: &mut Entry, buffer: &mut [u8]) -> Result<(), Errno> {
    let fd = root.open(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
    if root.ownership() == Ownership::Kept {
        entry.attributes = attributes(&fd)?;
    }
    let mut file = std::fs::File::from(fd);
    entry.identity = Identity::of(&fstat(&file)?);
    let mut digester = Digester::new();
    loop {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(count) => digester.update(&buffer[..count]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Errno::from_io_error(&e).unwrap_or(Errno::IO)),
        }
    }
    entry.digest = Some(digester.finish());
    Ok(())
}

/// The extended attributes that a copy keeps: file capabilities and the user's own.
pub(crate) fn attributes(fd: &impl std::os::fd::AsFd) -> Result<Attributes, Errno> {
    let mut names = vec![0; 4096];
    let length = match flistxattr(fd, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(Errno::RANGE) => {
            names.resize(64 << 10, 0);
            flistxattr(fd, &mut names[..])?
        }
        Err(e) => return Err(e),
    };
    let mut kept = Vec::new();
    for name in names[..length].split(|byte| *byte == 0) {
        if name != b"security.capability" && !name.starts_with(b"user.") {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        match fgetxattr(fd, name, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                kept.push((name.to_vec(), value));
            }
            Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(e) => return Err(e),
        }
    }
    kept.sort();
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt};

    use proptest::prelude::*;

    use super::*;
    use crate::tree::{filter::Filter, walk};

    /// The digest of a directory with these files (`name` or `directory/name`), made anew.
    fn of(files: &BTreeMap<String, (Vec<u8>, u32)>, memory: Option<&Memory>) -> Digest {
        let dir = tempfile::tempdir().unwrap();
        for (name, (content, mode)) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        of_directory(dir.path(), memory)
    }

    fn of_directory(path: &Path, memory: Option<&Memory>) -> Digest {
        let fd = fs::File::open(path).unwrap().into();
        let root = Root::new(fd, path.to_owned(), Ownership::Root);
        let mut entries = walk(&root, Path::new(""), &Filter::default()).unwrap();
        let cancelled = AtomicBool::new(false);
        read_files(&root, Path::new(""), &mut entries, memory, &cancelled).unwrap();
        digest(&entries)
    }

    fn files() -> impl Strategy<Value = BTreeMap<String, (Vec<u8>, u32)>> {
        let name = "[ab]{1,2}(/[cd]{1,2})?".prop_filter("a file is no directory", |name| {
            name.len() != 1 || !name.contains('/')
        });
        let mode = prop_oneof![Just(0o644_u32), Just(0o755)];
        let content = prop::collection::vec(any::<u8>(), 0..4);
        prop::collection::btree_map(name, (content, mode), 0..5).prop_filter(
            "a name is either a file or a directory",
            |files| {
                files.keys().all(|name| match name.split_once('/') {
                    Some((parent, _)) => !files.contains_key(parent),
                    None => true,
                })
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn equal_trees_and_only_those_have_equal_digests(one in files(), two in files()) {
            prop_assert_eq!(one == two, of(&one, None) == of(&two, None));
            prop_assert_eq!(of(&one, None), of(&one, None));
        }
    }

    #[test]
    fn a_change_is_seen_though_digests_are_remembered() {
        let (dir, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = dir.path().join("file");
        fs::write(&file, "one").unwrap();
        // Long ago, so that it is remembered.
        let past = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        fs::File::open(&file).unwrap().set_modified(past).unwrap();
        let memory = || Memory::load(cache.path(), dir.path());
        let read = || {
            let memory = memory();
            let digest = of_directory(dir.path(), Some(&memory));
            memory.save();
            digest
        };
        let first = read();
        assert_eq!(read(), first);
        // The same size and the same time of modification.
        fs::write(&file, "two").unwrap();
        fs::File::open(&file).unwrap().set_modified(past).unwrap();
        assert_ne!(read(), first);
        fs::write(&file, "one").unwrap();
        assert_eq!(read(), first);
    }

    #[test]
    fn many_files_are_read_by_several_threads() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..200 {
            fs::write(dir.path().join(number.to_string()), number.to_string()).unwrap();
        }
        let first = of_directory(dir.path(), None);
        assert_eq!(of_directory(dir.path(), None), first);
        fs::write(dir.path().join("199"), "x").unwrap();
        assert_ne!(of_directory(dir.path(), None), first);
    }
}
