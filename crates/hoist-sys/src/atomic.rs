//! Small files that appear whole or not at all.
//!
//! A file is written under a temporary name beside its destination and renamed over it, so that a
//! reader, and whoever comes after a crash, finds the old content or the new one and never a mix.
//! A [`claim`] is the same with "only if nobody has that name yet": the kernel decides the winner.
//!
//! A killed writer leaves its temporary file. Such names begin with [`TEMPORARY`]; whoever owns
//! the directory may sweep them while no writer is at work.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, CWD, Mode, OFlags, RenameFlags},
    io::Errno,
};

/// How the name of every temporary file begins.
pub const TEMPORARY: &str = ".tmp-";

/// What a write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The death of any process. After a power cut the file may be empty or missing.
    Volatile,
    /// Also a power cut, in that the file is then the old one or the new one, but never torn.
    Whole,
    /// Also a power cut, in that the file is then the new one: its directory is synced as well.
    Durable,
}

/// The content of a small file, with the fewest system calls: open, read, close.
///
/// # Errors
/// What `open(2)` and `read(2)` report.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    const ROOM: usize = 8192;
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut content = Vec::with_capacity(ROOM);
    loop {
        let room = content.capacity() - content.len();
        let count = match rustix::io::read(&file, rustix::buffer::spare_capacity(&mut content)) {
            Ok(count) => count,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        // A regular file that had no more to fill the room with is at its end.
        if count < room {
            return Ok(content);
        }
        content.reserve(content.len());
    }
}

/// Give `path` the content `bytes` and the permissions `mode`, replacing what was there.
///
/// # Errors
/// What the system calls report; the destination is then as it was, and no temporary file is left.
pub fn write(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    let temporary = Temporary::write(path, bytes, mode, durability)?;
    temporary.publish(path, RenameFlags::empty(), durability)
}

/// Create `path` with the content `bytes`, unless it exists: the claim of a name.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when somebody holds the name; otherwise as [`write`].
pub fn claim(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    let temporary = Temporary::write(path, bytes, mode, durability)?;
    temporary.publish(path, RenameFlags::NOREPLACE, durability)
}

/// A written temporary file, removed on drop unless it was renamed.
struct Temporary(Option<PathBuf>);

impl Temporary {
    fn write(target: &Path, bytes: &[u8], mode: u32, durability: Durability) -> io::Result<Self> {
        let (path, file) = create_beside(target, mode)?;
        let temporary = Self(Some(path));
        let mut file = std::fs::File::from(file);
        file.write_all(bytes)?;
        if durability != Durability::Volatile {
            rustix::fs::fdatasync(file.as_fd())?;
        }
        Ok(temporary)
    }

    fn publish(
        mut self,
        target: &Path,
        flags: RenameFlags,
        durability: Durability,
    ) -> io::Result<()> {
        let Some(path) = self.0.take() else {
            return Ok(());
        };
        if let Err(error) = rename(&path, target, flags) {
            self.0 = Some(path);
            return Err(error.into());
        }
        if durability == Durability::Durable {
            sync_directory(parent_of(target))?;
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // The error that led here is the one worth telling; a sweep takes what stays.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// `renameat2`, and for file systems that know no `RENAME_NOREPLACE`, a link and an unlink.
fn rename(from: &Path, to: &Path, flags: RenameFlags) -> Result<(), Errno> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, flags) {
        Err(Errno::INVAL) if flags == RenameFlags::NOREPLACE => {
            rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty())?;
            rustix::fs::unlink(from)
        }
        result => result,
    }
}

fn create_beside(target: &Path, mode: u32) -> io::Result<(PathBuf, OwnedFd)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{TEMPORARY}{}-{number}", std::process::id());
        let path = parent_of(target).join(name);
        match rustix::fs::open(&path, flags, Mode::from_raw_mode(mode)) {
            Ok(file) => return Ok((path, file)),
            // Another process of the same number, in another pid namespace.
            Err(Errno::EXIST | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Make the entries of a directory survive a power cut.
///
/// # Errors
/// What `open(2)` and `fsync(2)` report.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty())?;
    Ok(rustix::fs::fsync(directory)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_and_leaves_nothing_beside() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        for (content, durability) in [
            (vec![], Durability::Volatile),
            (vec![7; 8191], Durability::Whole),
            (vec![8; 8192], Durability::Durable),
            (vec![9; 100_000], Durability::Volatile),
        ] {
            write(&path, &content, 0o600, durability).unwrap();
            assert_eq!(read(&path).unwrap(), content);
        }
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_of_many_claimants_wins() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("name");
        let winners: Vec<u8> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8_u8)
                .map(|number| {
                    let path = &path;
                    scope.spawn(
                        move || match claim(path, &[number], 0o600, Durability::Volatile) {
                            Ok(()) => Some(number),
                            Err(error) => {
                                assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
                                None
                            }
                        },
                    )
                })
                .collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(winners.len(), 1);
        assert_eq!(read(&path).unwrap(), winners);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_keeps_the_old_content() {
        let home = tempfile::tempdir().unwrap();
        let occupied = home.path().join("directory");
        std::fs::create_dir(&occupied).unwrap();
        assert!(write(&occupied, b"x", 0o600, Durability::Volatile).is_err());
        assert!(
            write(
                &home.path().join("no/where"),
                b"x",
                0o600,
                Durability::Volatile
            )
            .is_err()
        );
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
