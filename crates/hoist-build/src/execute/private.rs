//! Files that one step may see and nobody keeps: secrets, and the sockets of agents.
//!
//! They lie in `<run>/build/<process>-<number>/`, which is memory on every ordinary machine, which
//! only the builder can enter, and nothing of which outlives the step. What a killed build has left
//! there is removed by the next one.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use hoist_sys::lock::Lock;

use crate::error::BuildError;

/// Number of the next directory of this process.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Mode and owner of a file as a step sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Access {
    /// Give `path` this mode and owner.
    pub(super) fn apply(self, path: &Path) -> io::Result<()> {
        fs::set_permissions(path, Permissions::from_mode(self.mode))?;
        if (self.uid, self.gid) != (0, 0) {
            chown(path, Some(self.uid), Some(self.gid))?;
        }
        Ok(())
    }
}

/// The directory of one step, or of a program that the builder runs, removed on drop.
#[derive(Debug)]
pub(crate) struct PrivateFiles {
    directory: PathBuf,
    /// Held while anything of this build lies here.
    _lock: Lock,
}

impl PrivateFiles {
    /// An empty directory below `run`.
    pub(crate) fn make(run: &Path) -> Result<Self, BuildError> {
        let parent = run.join("build");
        let failed = |source| BuildError::Io {
            action: "make",
            path: parent.clone(),
            source,
        };
        fs::create_dir_all(&parent).map_err(failed)?;
        let lock = parent.join("lock");
        if let Some(alone) = Lock::try_exclusive(&lock).map_err(failed)? {
            sweep(&parent).map_err(failed)?;
            drop(alone);
        }
        let lock = Lock::shared(&lock).map_err(failed)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = parent.join(format!("{}-{number}", std::process::id()));
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700).create(&directory).map_err(failed)?;
        Ok(Self {
            directory,
            _lock: lock,
        })
    }

    /// Where a file with this name lies.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Write the file `name`; where it lies.
    pub(super) fn write(
        &self,
        name: &str,
        content: &[u8],
        access: Access,
    ) -> Result<PathBuf, BuildError> {
        let path = self.path(name);
        let write = || {
            let mut options = fs::OpenOptions::new();
            let mut file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)?;
            io::Write::write_all(&mut file, content)?;
            access.apply(&path)
        };
        write().map_err(|source| BuildError::Io {
            action: "write",
            path: path.clone(),
            source,
        })?;
        Ok(path)
    }
}

impl Drop for PrivateFiles {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next build.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Remove what builds that were killed have left; nobody else is at work in `parent`.
fn sweep(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn files_go_with_the_step_and_leftovers_with_the_next_one() {
        let run = tempfile::tempdir().unwrap();
        let left = run.path().join("build/1-0");
        fs::create_dir_all(&left).unwrap();
        let files = PrivateFiles::make(run.path()).unwrap();
        assert!(!left.exists());
        let access = Access {
            mode: 0o440,
            uid: 5,
            gid: 6,
        };
        let path = files.write("0", b"hunter2", access).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!(
            (found.mode() & 0o777, found.uid(), found.gid()),
            (0o440, 5, 6)
        );
        let parent = fs::metadata(path.parent().unwrap()).unwrap();
        assert_eq!(parent.mode() & 0o777, 0o700);
        // A second step at the same time disturbs nothing.
        drop(PrivateFiles::make(run.path()).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"hunter2");
        drop(files);
        assert!(!path.exists());
    }
}
