//! Where the bytes of an image come from, and which of them nobody sees.

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use hoist_engine::Engine;
use rustix::fs::FileType;

use crate::{
    error::BuildError,
    request::Built,
    tree::{Kind, Ownership, Root, filter::Filter, walk},
};

/// What an image weighs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SizeReport {
    /// Bytes of the base image.
    pub base: u64,
    /// What each new layer adds, the most first.
    pub growth: Vec<Growth>,
    /// Bytes that are in the image and never seen, the most first.
    pub waste: Vec<Waste>,
}

/// A new layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// The instruction that made it.
    pub instruction: String,
    /// Bytes in it.
    pub bytes: u64,
}

/// Bytes of one layer that a later one hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waste {
    /// Who wrote them.
    pub written_by: String,
    /// Who removed the files, or wrote them again.
    pub hidden_by: String,
    /// The files are in the later layer, too: written again and not removed.
    pub is_written_again: bool,
    /// How many bytes.
    pub bytes: u64,
    /// The largest of the files.
    pub example: PathBuf,
}

/// A file or a whiteout of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    File(u64),
    Removed,
}

/// Weigh the new layers of `built`.
///
/// # Errors
/// [`BuildError::Io`] for a layer that cannot be read.
pub fn size_report(engine: &Engine, built: &Built) -> Result<SizeReport, BuildError> {
    let mut layers = Vec::new();
    let mut report = SizeReport::default();
    for layer in &built.layers {
        let Some(instruction) = &layer.instruction else {
            report.base += layer.size;
            continue;
        };
        report.growth.push(Growth {
            instruction: instruction.clone(),
            bytes: layer.size,
        });
        let root = engine.store().open_layer(&layer.diff_id)?;
        let name = PathBuf::from(layer.diff_id.to_string());
        layers.push((instruction.as_str(), list(root, name)?));
    }
    report
        .growth
        .sort_by_key(|growth| std::cmp::Reverse(growth.bytes));
    report.waste = waste(&layers);
    Ok(report)
}

fn list(root: OwnedFd, name: PathBuf) -> Result<Vec<(PathBuf, Found)>, BuildError> {
    let root = Root::new(root, name, Ownership::Kept);
    let entries = walk(&root, Path::new(""), &Filter::ignoring(None))?;
    let found = entries.into_iter().filter_map(|entry| match entry.kind {
        Kind::File => Some((entry.path, Found::File(entry.identity.size))),
        // Overlayfs marks what is deleted with a device of number 0.
        Kind::Special {
            file_type: FileType::CharacterDevice,
            device: 0,
        } => Some((entry.path, Found::Removed)),
        _ => None,
    });
    Ok(found.collect())
}

/// What later layers hide of earlier ones.
fn waste(layers: &[(&str, Vec<(PathBuf, Found)>)]) -> Vec<Waste> {
    // Bytes in order to be found below a directory, with the layer that has them.
    let mut seen: BTreeMap<Vec<u8>, (usize, u64)> = BTreeMap::new();
    let mut sums: BTreeMap<(usize, usize, bool), (u64, u64, PathBuf)> = BTreeMap::new();
    for (later, (_, files)) in layers.iter().enumerate() {
        let mut hide = |path: &[u8], is_written_again: bool, seen: &mut BTreeMap<_, _>| {
            let Some((earlier, bytes)) = seen.remove(path) else {
                return;
            };
            let sum = sums.entry((earlier, later, is_written_again)).or_default();
            sum.0 += bytes;
            if bytes >= sum.1 {
                let name = Path::new(std::ffi::OsStr::from_bytes(path));
                (sum.1, sum.2) = (bytes, Path::new("/").join(name));
            }
        };
        for (path, found) in files {
            let path = path.as_os_str().as_bytes();
            match found {
                Found::File(_) => hide(path, true, &mut seen),
                Found::Removed => {
                    hide(path, false, &mut seen);
                    let start = [path, b"/"].concat();
                    let below = seen.range(start.clone()..);
                    let below: Vec<Vec<u8>> = below
                        .map(|(path, _)| path)
                        .take_while(|path| path.starts_with(&start))
                        .cloned()
                        .collect();
                    for path in below {
                        hide(&path, false, &mut seen);
                    }
                }
            }
        }
        for (path, found) in files {
            if let Found::File(bytes) = found {
                seen.insert(path.as_os_str().as_bytes().to_vec(), (later, *bytes));
            }
        }
    }
    let name = |layer: usize| layers[layer].0.to_owned();
    let mut waste: Vec<Waste> = sums
        .into_iter()
        .filter(|(_, (bytes, ..))| *bytes > 0)
        .map(
            |((earlier, later, is_written_again), (bytes, _, example))| Waste {
                written_by: name(earlier),
                hidden_by: name(later),
                is_written_again,
                bytes,
                example,
            },
        )
        .collect();
    waste.sort_by_key(|waste| std::cmp::Reverse(waste.bytes));
    waste
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_a_later_layer_removes_or_writes_again_are_found() {
        let layer = |files: &[(&str, i64)]| -> Vec<(PathBuf, Found)> {
            let found = |bytes: i64| u64::try_from(bytes).map_or(Found::Removed, Found::File);
            let files = files.iter();
            files
                .map(|(path, bytes)| (path.into(), found(*bytes)))
                .collect()
        };
        let layers = [
            (
                "one",
                layer(&[("a/1", 10), ("a/2", 20), ("ab", 5), ("b", 7)]),
            ),
            ("two", layer(&[("a", -1), ("b", 7), ("nothing", -1)])),
            ("three", layer(&[("b", -1), ("c", 1)])),
        ];
        let found: Vec<_> = waste(&layers)
            .iter()
            .map(|waste| {
                let Waste {
                    written_by,
                    hidden_by,
                    bytes,
                    is_written_again,
                    example,
                } = waste;
                format!(
                    "{written_by} {hidden_by} {bytes} {is_written_again} {}",
                    example.display()
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                "one two 30 false /a/2",
                "one two 7 true /b",
                "two three 7 false /b"
            ]
        );
    }
}
