//! Bytes of an image that nobody sees: what later layers remove, or write again.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use hoist_store::{EntryKind, TreeEntry};

/// Bytes of one layer that a later one hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// The layer that has them, by its place in the list.
    pub written_by: usize,
    /// The layer that removes the files, or has them again.
    pub hidden_by: usize,
    /// The files are in the later layer, too: written again and not removed.
    pub is_written_again: bool,
    /// How many bytes.
    pub bytes: u64,
    /// The largest of the files.
    pub example: PathBuf,
}

/// What later layers hide of earlier ones, the most first.
#[must_use]
pub fn hidden(layers: &[Vec<TreeEntry>]) -> Vec<Hidden> {
    let mut hiding = Hiding::default();
    for (layer, entries) in layers.iter().enumerate() {
        for entry in entries {
            let path = entry.path.as_os_str().as_bytes();
            match entry.kind {
                EntryKind::Whiteout => hiding.remove(path, layer),
                EntryKind::Directory if entry.is_opaque => hiding.remove_below(path, layer),
                EntryKind::Directory => {}
                _ => hiding.hide(path, layer, true),
            }
        }
        let files = entries.iter().filter(|entry| entry.kind == EntryKind::File);
        for file in files {
            let path = file.path.as_os_str().as_bytes().to_vec();
            hiding.seen.insert(path, (layer, file.bytes()));
        }
    }
    let mut found: Vec<Hidden> = hiding
        .sums
        .into_iter()
        .map(|((written_by, hidden_by, is_written_again), sum)| Hidden {
            written_by,
            hidden_by,
            is_written_again,
            bytes: sum.bytes,
            example: Path::new("/").join(OsStr::from_bytes(&sum.example)),
        })
        .filter(|hidden| hidden.bytes > 0)
        .collect();
    found.sort_by_key(|hidden| std::cmp::Reverse(hidden.bytes));
    found
}

#[derive(Default)]
struct Hiding {
    /// Files by path, in the order of bytes, to be found below a directory; with the layer that has
    /// them and their size.
    seen: BTreeMap<Vec<u8>, (usize, u64)>,
    sums: BTreeMap<(usize, usize, bool), Sum>,
}

#[derive(Default)]
struct Sum {
    bytes: u64,
    largest: u64,
    example: Vec<u8>,
}

impl Hiding {
    fn hide(&mut self, path: &[u8], later: usize, is_written_again: bool) {
        let Some((earlier, bytes)) = self.seen.remove(path) else {
            return;
        };
        let sum = self
            .sums
            .entry((earlier, later, is_written_again))
            .or_default();
        sum.bytes += bytes;
        if bytes >= sum.largest {
            sum.largest = bytes;
            sum.example = path.to_vec();
        }
    }

    fn remove(&mut self, path: &[u8], later: usize) {
        self.hide(path, later, false);
        self.remove_below(path, later);
    }

    fn remove_below(&mut self, path: &[u8], later: usize) {
        let start = [path, b"/"].concat();
        let below: Vec<Vec<u8>> = self
            .seen
            .range(start.clone()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&start))
            .cloned()
            .collect();
        for path in below {
            self.hide(&path, later, false);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An entry of a layer: a file of so many bytes, or what the word says.
    pub(in crate::image) fn entry(path: &str, what: &str) -> TreeEntry {
        let kind = match what {
            "deleted" => EntryKind::Whiteout,
            "directory" | "opaque" => EntryKind::Directory,
            _ => EntryKind::File,
        };
        TreeEntry {
            path: path.into(),
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            modified: 0,
            size: what.parse().unwrap_or(0),
            link_of: None,
            is_opaque: what == "opaque",
            xattrs: BTreeMap::new(),
        }
    }

    #[test]
    fn bytes_that_a_later_layer_removes_or_writes_again_are_found() {
        let layers = [
            vec![
                entry("a/1", "10"),
                entry("a/2", "20"),
                entry("ab", "5"),
                entry("b", "7"),
                entry("o", "directory"),
                entry("o/x", "3"),
            ],
            vec![
                entry("a", "deleted"),
                entry("b", "7"),
                entry("nothing", "deleted"),
                entry("o", "opaque"),
                entry("o/y", "1"),
            ],
            vec![entry("b", "deleted"), entry("c", "1")],
        ];
        let found: Vec<_> = hidden(&layers)
            .iter()
            .map(|hidden| {
                format!(
                    "{} {} {} {} {}",
                    hidden.written_by,
                    hidden.hidden_by,
                    hidden.bytes,
                    hidden.is_written_again,
                    hidden.example.display()
                )
            })
            .collect();
        assert_eq!(
            found,
            ["0 1 33 false /a/2", "0 1 7 true /b", "1 2 7 false /b"]
        );
    }
}
