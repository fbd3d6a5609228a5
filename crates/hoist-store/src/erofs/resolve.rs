//! Paths inside the tree, resolved as the kernel does it below a root (`RESOLVE_IN_ROOT`).

use super::tree::{NodeId, NodeKind, ROOT, Tree};

/// The longest name of a file (`NAME_MAX`).
pub(super) const LONGEST_NAME: usize = 255;
/// The longest path and the longest link, without the zero byte (`PATH_MAX`).
pub(super) const LONGEST_PATH: usize = 4095;
/// The most symbolic links on one path, as in the kernel.
const MOST_LINKS: usize = 40;

/// Why a path leads to no directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dead {
    /// Something is not there, or not a directory.
    Missing,
    /// Too many links.
    Loop,
    /// A link has a component that no file can be called.
    LongName,
}

impl Tree {
    /// The directory that `path` leads to, by way of symbolic links.
    pub(super) fn directory(&self, path: &[u8]) -> Result<NodeId, Dead> {
        let mut left: Vec<&[u8]> = path.split(|&byte| byte == b'/').rev().collect();
        let mut here = ROOT;
        let mut links = 0;
        while let Some(name) = left.pop() {
            let NodeKind::Directory { entries, parent } = &self.node(here).kind else {
                return Err(Dead::Missing);
            };
            match name {
                b"" | b"." => continue,
                b".." => {
                    here = *parent;
                    continue;
                }
                name if name.len() > LONGEST_NAME => return Err(Dead::LongName),
                _ => {}
            }
            let found = *entries.get(name).ok_or(Dead::Missing)?;
            let NodeKind::Symlink(target) = &self.node(found).kind else {
                here = found;
                continue;
            };
            links += 1;
            if links > MOST_LINKS {
                return Err(Dead::Loop);
            }
            if target.starts_with(b"/") {
                here = ROOT;
            }
            left.extend(target.split(|&byte| byte == b'/').rev());
        }
        if self.node(here).is_directory() {
            Ok(here)
        } else {
            Err(Dead::Missing)
        }
    }
}
