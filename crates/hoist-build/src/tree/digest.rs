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

use super::{Entry, Identity, Kind, Ownership, Root, below, io};
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
            .map(|worker| worker.join().unwrap_or(Err(BuildError::Cancelled)))
            .collect()
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
pub(crate) fn attributes(fd: &impl std::os::fd::AsFd) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Errno> {
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
