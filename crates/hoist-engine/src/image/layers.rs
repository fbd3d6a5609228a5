//! What each layer of an image brings, and what of it nobody sees.

use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use hoist_core::{Digest, image::Image};
use hoist_store::{EntryKind, TreeEntry};

use super::waste::{Hidden, hidden};
use crate::{error::EngineError, root::Engine};

/// What became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It was not there before.
    Added,
    /// It was there, and is another.
    Changed,
    /// It is not there any more.
    Deleted,
}

impl ChangeKind {
    /// Docker's letter: `A`, `C`, `D`.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Changed => 'C',
            Self::Deleted => 'D',
        }
    }
}

/// A path that a layer touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathChange {
    /// What became of it.
    pub kind: ChangeKind,
    /// From `/`.
    pub path: PathBuf,
    /// Bytes that the layer has for it; of what is deleted, bytes that it had.
    pub bytes: u64,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerReport {
    /// The layer.
    pub diff_id: Digest,
    /// The instruction that made it; empty where the image does not say.
    pub instruction: String,
    /// Bytes of content.
    pub size: u64,
    /// What it does, in the order of the paths. A directory counts when its owner or mode change.
    pub changes: Vec<PathChange>,
    /// Bytes of it that later layers hide.
    pub wasted: u64,
}

impl LayerReport {
    /// How many changes of a kind there are, and their bytes.
    #[must_use]
    pub fn sum(&self, kind: ChangeKind) -> (usize, u64) {
        let of_kind = self.changes.iter().filter(|change| change.kind == kind);
        of_kind.fold((0, 0), |(count, bytes), change| {
            (count + 1, bytes + change.bytes)
        })
    }
}

/// The layers of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayersReport {
    /// The image.
    pub id: Digest,
    /// Bytes of all layers.
    pub size: u64,
    /// The layers, lowest first.
    pub layers: Vec<LayerReport>,
    /// What nobody sees, the most first; layers by their place.
    pub waste: Vec<Hidden>,
}

impl LayersReport {
    /// Bytes that nobody sees.
    #[must_use]
    pub fn wasted(&self) -> u64 {
        self.waste.iter().map(|hidden| hidden.bytes).sum()
    }

    /// Tenths of a per cent of the bytes that somebody sees.
    #[must_use]
    pub fn efficiency(&self) -> u64 {
        let seen = self.size.saturating_sub(self.wasted());
        (seen * 1000).checked_div(self.size).unwrap_or(1000)
    }
}

impl Engine {
    /// What each layer of an image brings.
    ///
    /// # Errors
    /// When there is no such image, or a layer cannot be read.
    pub fn image_layers(&self, text: &str) -> Result<LayersReport, EngineError> {
        let store = self.store();
        let stored = store.image(&store.resolve(text)?)?;
        let mut entries = Vec::with_capacity(stored.layers.len());
        for layer in &stored.layers {
            entries.push(store.layer_entries(&layer.diff_id)?);
        }
        let waste = hidden(&entries);
        let mut instructions = instructions(&stored.image).into_iter();
        let mut merged = Merged::default();
        let mut layers = Vec::with_capacity(stored.layers.len());
        for (index, (layer, entries)) in stored.layers.iter().zip(&entries).enumerate() {
            let hides = waste.iter().filter(|hidden| hidden.written_by == index);
            layers.push(LayerReport {
                diff_id: layer.diff_id,
                instruction: instructions.next().unwrap_or_default(),
                size: layer.size,
                changes: merged.apply(entries),
                wasted: hides.map(|hidden| hidden.bytes).sum(),
            });
        }
        Ok(LayersReport {
            id: stored.id,
            size: stored.size,
            layers,
            waste,
        })
    }
}

/// The instructions that made layers, lowest first.
fn instructions(image: &Image) -> Vec<String> {
    let entries = image.history.iter().filter(|entry| !entry.empty_layer);
    entries
        .map(|entry| {
            let by = entry.created_by.clone().unwrap_or_default();
            if by.is_empty() {
                entry.comment.clone().unwrap_or_default()
            } else {
                by
            }
        })
        .collect()
}

/// What is seen of the layers until now, by path.
#[derive(Default)]
struct Merged(BTreeMap<Vec<u8>, Seen>);

struct Seen {
    bytes: u64,
    /// Of a directory, what makes two of them the same.
    directory: Option<(u32, u32, u32)>,
}

impl Merged {
    /// Put a layer on top; says what it changes.
    fn apply(&mut self, entries: &[TreeEntry]) -> Vec<PathChange> {
        let mut gone: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        for entry in entries {
            let path = entry.path.as_os_str().as_bytes();
            let hides_below = match entry.kind {
                EntryKind::Directory => entry.is_opaque,
                _ => true,
            };
            if hides_below {
                self.take_below(path, &mut gone);
            }
            if entry.kind == EntryKind::Whiteout
                && let Some(seen) = self.0.remove(path)
            {
                gone.insert(path.to_vec(), seen.bytes);
            }
        }
        let mut changes = Vec::new();
        for entry in entries {
            if entry.kind == EntryKind::Whiteout {
                continue;
            }
            let path = entry.path.as_os_str().as_bytes().to_vec();
            let is_directory = entry.kind == EntryKind::Directory;
            let seen = Seen {
                bytes: entry.bytes(),
                directory: is_directory.then_some((entry.mode, entry.uid, entry.gid)),
            };
            let was_gone = gone.remove(&path).is_some();
            let same = |before: &Seen| is_directory && before.directory == seen.directory;
            let kind = match self.0.get(&path) {
                Some(before) if same(before) => None,
                Some(_) => Some(ChangeKind::Changed),
                None if was_gone => Some(ChangeKind::Changed),
                None => Some(ChangeKind::Added),
            };
            changes.extend(kind.map(|kind| PathChange {
                kind,
                path: Path::new("/").join(&entry.path),
                bytes: seen.bytes,
            }));
            self.0.insert(path, seen);
        }
        changes.extend(gone.into_iter().map(|(path, bytes)| PathChange {
            kind: ChangeKind::Deleted,
            path: Path::new("/").join(std::ffi::OsStr::from_bytes(&path)),
            bytes,
        }));
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        changes
    }

    fn take_below(&mut self, path: &[u8], gone: &mut BTreeMap<Vec<u8>, u64>) {
        let start = [path, b"/"].concat();
        let below: Vec<Vec<u8>> = self
            .0
            .range(start.clone()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&start))
            .cloned()
            .collect();
        for path in below {
            if let Some(seen) = self.0.remove(&path) {
                gone.insert(path, seen.bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::waste::tests::entry, *};

    #[test]
    fn a_layer_adds_changes_and_deletes() {
        let layers = [
            vec![
                entry("a", "directory"),
                entry("a/1", "10"),
                entry("a/2", "20"),
                entry("b", "7"),
                entry("o", "directory"),
                entry("o/x", "3"),
                entry("o/z", "4"),
            ],
            vec![
                entry("a", "directory"),
                entry("a/1", "11"),
                entry("a/3", "1"),
                entry("b", "deleted"),
                entry("o", "opaque"),
                entry("o/x", "5"),
            ],
            vec![entry("a", "9"), entry("never", "deleted")],
        ];
        let mut merged = Merged::default();
        let told: Vec<_> = layers
            .iter()
            .map(|layer| {
                let changes = merged.apply(layer);
                let words = changes.iter().map(|change| {
                    let path = change.path.display();
                    format!("{}{path}={}", change.kind.letter(), change.bytes)
                });
                words.collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(
            told,
            [
                "A/a=0 A/a/1=10 A/a/2=20 A/b=7 A/o=0 A/o/x=3 A/o/z=4",
                "C/a/1=11 A/a/3=1 D/b=7 C/o/x=5 D/o/z=4",
                "C/a=9 D/a/1=11 D/a/2=20 D/a/3=1"
            ]
        );
    }
}
