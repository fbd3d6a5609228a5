//! What package managers leave behind from the clock or from chance, and what becomes of it.
//!
//! A rule is here when a build of one of the usual images differs without it. Each is applied to
//! the layer of every RUN of a reproducible build, and every one that found something is told.
//! Nothing else in a layer is changed.

use hoist_dockerfile::ignore::Ignore;

use super::{bytecode, layer::Layer};
use crate::{
    error::BuildError,
    tree::{Entry, Kind},
};

/// One thing that is undone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// What reports call it, and the documentation.
    pub(crate) name: &'static str,
    /// What became of the files, after their number.
    pub(crate) effect: &'static str,
    action: Action,
}

#[derive(Debug, PartialEq, Eq)]
enum Action {
    /// Files that match are not part of the layer: what the layers below have in their place, if
    /// anything, stays to be seen.
    LeaveOut(&'static [&'static str]),
    /// Compiled Python refers to its source by the time that the source has now.
    Bytecode,
}

const LEFT_OUT: &str = "left out";

/// All rules, in the order in which they are applied.
pub(crate) const RULES: [Rule; 6] = [
    // Each line begins with the time.
    Rule {
        name: "apt-log",
        effect: LEFT_OUT,
        action: Action::LeaveOut(&[
            "var/log/apt/history.log",
            "var/log/apt/term.log",
            "var/log/apt/eipp.log.xz",
        ]),
    },
    // The same, of dpkg and of its update-alternatives.
    Rule {
        name: "dpkg-log",
        effect: LEFT_OUT,
        action: Action::LeaveOut(&["var/log/dpkg.log", "var/log/alternatives.log"]),
    },
    // Memory images with hash tables, made again when apt runs.
    Rule {
        name: "apt-cache",
        effect: LEFT_OUT,
        action: Action::LeaveOut(&[
            "var/cache/apt/pkgcache.bin",
            "var/cache/apt/srcpkgcache.bin",
        ]),
    },
    // Inode numbers and times of change of libraries; ldconfig makes it again.
    Rule {
        name: "ldconfig-cache",
        effect: LEFT_OUT,
        action: Action::LeaveOut(&["var/cache/ldconfig/aux-cache"]),
    },
    // Answers of the index with their Date, and when pip last looked for a newer pip.
    Rule {
        name: "pip-cache",
        effect: LEFT_OUT,
        action: Action::LeaveOut(&[
            "**/.cache/pip/http",
            "**/.cache/pip/http-v2",
            "**/.cache/pip/selfcheck",
        ]),
    },
    Rule {
        name: "python-bytecode",
        effect: "tied to the times that their sources have now",
        action: Action::Bytecode,
    },
];

impl Rule {
    /// Apply the rule to `layer`; how many files it changed.
    pub(super) fn apply(&self, layer: &mut Layer<'_>) -> Result<usize, BuildError> {
        match self.action {
            Action::LeaveOut(patterns) => leave_out(layer, patterns),
            Action::Bytecode => {
                let mut count = 0;
                for entry in layer.entries() {
                    count += usize::from(bytecode::settle(layer, entry)?);
                }
                Ok(count)
            }
        }
    }
}

/// Take the files that match `patterns` out of the layer. Directories stay, and so do the marks
/// of what the step deleted.
fn leave_out(layer: &mut Layer<'_>, patterns: &[&str]) -> Result<usize, BuildError> {
    use std::os::unix::ffi::OsStrExt;
    let patterns =
        Ignore::from_patterns(patterns.iter().copied()).map_err(|message| BuildError::Invalid {
            message,
            hints: Vec::new(),
        })?;
    layer.remove(|entry: &Entry| {
        matches!(entry.kind, Kind::File | Kind::Symlink(_))
            && patterns.is_ignored(entry.path.as_os_str().as_bytes())
    })
}

#[cfg(test)]
mod tests;
