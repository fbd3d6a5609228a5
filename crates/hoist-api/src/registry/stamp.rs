//! Noticing that a file has changed.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// What changes when a file is written or replaced; none while it cannot be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(Option<(u64, u64, u64, i64, i64)>);

impl Stamp {
    pub(super) fn of(path: &Path) -> Self {
        Self(fs::metadata(path).ok().map(|found| {
            (
                found.dev(),
                found.ino(),
                found.size(),
                found.ctime(),
                found.ctime_nsec(),
            )
        }))
    }
}
