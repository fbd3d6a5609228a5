//! Locks between processes: `flock(2)` on a file, held as long as the guard lives.
//!
//! The kernel lets go when the last descriptor is closed, so that the lock of a killed process is
//! free at once and nothing has to be swept. Two guards of one process on the same file exclude
//! each other like those of two processes: never ask for a lock while the same thread holds it.
//! A child that is forked while the guard lives shares it until it executes another program.

use std::{io, path::Path};

use rustix::{
    fd::OwnedFd,
    fs::{FlockOperation, Mode, OFlags},
    io::Errno,
};

/// A held lock; dropping it lets go.
#[derive(Debug)]
#[must_use = "the lock is held only as long as this value lives"]
pub struct Lock(OwnedFd);

/// The descriptor that is the lock, to be handed to another program: that one holds it then.
impl From<Lock> for OwnedFd {
    fn from(lock: Lock) -> Self {
        lock.0
    }
}

impl Lock {
    /// Wait until nobody holds `path` exclusively. The file is made when absent.
    ///
    /// # Errors
    /// What `open(2)` and `flock(2)` report.
    pub fn shared(path: &Path) -> io::Result<Self> {
        wait(path, FlockOperation::LockShared)
    }

    /// Wait until nobody holds `path` at all. The file is made when absent.
    ///
    /// # Errors
    /// What `open(2)` and `flock(2)` report.
    pub fn exclusive(path: &Path) -> io::Result<Self> {
        wait(path, FlockOperation::LockExclusive)
    }

    /// A shared lock, or `None` when somebody holds `path` exclusively.
    ///
    /// # Errors
    /// What `open(2)` and `flock(2)` report.
    pub fn try_shared(path: &Path) -> io::Result<Option<Self>> {
        attempt(path, FlockOperation::NonBlockingLockShared)
    }

    /// An exclusive lock, or `None` when somebody holds `path`.
    ///
    /// # Errors
    /// What `open(2)` and `flock(2)` report.
    pub fn try_exclusive(path: &Path) -> io::Result<Option<Self>> {
        attempt(path, FlockOperation::NonBlockingLockExclusive)
    }
}

fn attempt(path: &Path, operation: FlockOperation) -> io::Result<Option<Lock>> {
    match wait(path, operation) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn wait(path: &Path, operation: FlockOperation) -> io::Result<Lock> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    loop {
        let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
        match rustix::fs::flock(&file, operation) {
            Ok(()) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        // Whoever held it before may have removed the file: then the name means another one now.
        if rustix::fs::fstat(&file)?.st_nlink > 0 {
            return Ok(Lock(file));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_and_a_writer_is_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        let first = Lock::shared(&path).unwrap();
        let second = Lock::try_shared(&path).unwrap().expect("shared twice");
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        drop((first, second));
        let writer = Lock::exclusive(&path).unwrap();
        assert!(Lock::try_shared(&path).unwrap().is_none());
        drop(writer);
        assert!(Lock::try_shared(&path).unwrap().is_some());
    }

    #[test]
    fn a_waiter_is_not_fooled_by_a_removed_lock_file() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        let first = Lock::exclusive(&path).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| Lock::exclusive(&path).unwrap());
            std::fs::remove_file(&path).unwrap();
            drop(first);
            let held = waiter.join().unwrap();
            assert!(Lock::try_exclusive(&path).unwrap().is_none());
            drop(held);
        });
    }
}
