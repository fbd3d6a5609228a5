//! A fresh ext4 file system in a file, mounted as long as the benchmark runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::program::{self, Result, command};
use crate::{debian, workspace};

/// How large the file may become; it is sparse.
const SIZE: u64 = 24 << 30;

/// A mounted file system; unmounted and deleted when dropped.
pub(super) struct Disk {
    file: PathBuf,
    mounted: PathBuf,
}

impl Disk {
    /// Makes and mounts one.
    pub(super) fn make() -> Result<Self> {
        debian::ensure(&[("mkfs.ext4", "e2fsprogs")])?;
        let disk = Self {
            file: workspace::target().join("bench.ext4"),
            mounted: workspace::target().join("bench"),
        };
        // What a run that was cut off may have left.
        disk.take_down();
        fs::create_dir_all(&disk.mounted)?;
        File::create(&disk.file)?.set_len(SIZE)?;
        program::run(command("mkfs.ext4", ["-q", "-F"]).arg(&disk.file))?;
        program::run(
            command("mount", ["-o", "loop"])
                .arg(&disk.file)
                .arg(&disk.mounted),
        )?;
        Ok(disk)
    }

    pub(super) fn path(&self) -> &Path {
        &self.mounted
    }

    fn take_down(&self) {
        // Each of these fails when there is nothing to take down.
        let _ = program::output(command("umount", ["--recursive"]).arg(&self.mounted));
        let _ = fs::remove_file(&self.file);
        let _ = fs::remove_dir(&self.mounted);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.take_down();
    }
}
