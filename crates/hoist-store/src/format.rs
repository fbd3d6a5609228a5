//! `format.json`: which hoist may read and write a store.
//!
//! A change of the tree that older binaries cannot see is a new feature name, in one of three
//! lists by what a binary that does not know it may still do (as ext4 and git have them). A change
//! of the meaning of `format.json` itself is a new version.

use std::{io, path::Path};

use hoist_sys::atomic::{self, Durability};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Result, StoreError},
    layout::Layout,
};

const VERSION: u32 = 1;

/// Layers may lie here as a tar and an index.
pub(crate) const INDEXED_LAYERS: &str = "indexed-layers";

/// Features that this hoist knows.
const KNOWN: &[&str] = &[INDEXED_LAYERS];

/// The content of `format.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Format {
    version: u32,
    /// Binaries that do not know these may read and write.
    #[serde(default)]
    compatible: Vec<String>,
    /// Binaries that do not know these may read.
    #[serde(default)]
    read_only: Vec<String>,
    /// Binaries that do not know these must keep away.
    #[serde(default)]
    incompatible: Vec<String>,
}

/// What this hoist may do with a store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Write,
    /// Only read, because of these features.
    Read(String),
}

/// Read the format of a store; make the store when there is none.
pub(crate) fn open(layout: &Layout) -> Result<Access> {
    let path = layout.format();
    loop {
        match atomic::read(&path) {
            Ok(content) => return judge(layout.root(), &path, &content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(layout, &path)?,
            Err(error) => return Err(StoreError::file("read", &path)(error)),
        }
    }
}

/// Make the directories, and `format.json` last: where it is, everything is.
fn make(layout: &Layout, path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    // Layers hold other people's set-id programs and secrets: nobody else looks in.
    builder.recursive(true).mode(0o700);
    for directory in layout.directories() {
        builder
            .create(&directory)
            .map_err(StoreError::file("make the directory", &directory))?;
    }
    let content = text(path, Vec::new())?;
    match atomic::claim(path, &content, 0o644, Durability::Whole) {
        // Two processes at once: the other one's is as good.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result.map_err(StoreError::file("create", path)),
    }
}

/// A store that needs these features.
fn text(path: &Path, incompatible: Vec<String>) -> Result<Vec<u8>> {
    let format = Format {
        version: VERSION,
        compatible: Vec::new(),
        read_only: Vec::new(),
        incompatible,
    };
    serde_json::to_vec_pretty(&format).map_err(|error| StoreError::damaged(path, &error))
}

/// What is wrong with the `format.json` of a store, if anything; one of a newer hoist is not wrong.
pub(crate) fn problem(layout: &Layout) -> Result<Option<String>> {
    let path = layout.format();
    let content = match atomic::read(&path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::file("read", &path)(error)),
    };
    match judge(layout.root(), &path, &content) {
        Err(StoreError::Damaged { reason, .. }) => return Ok(Some(reason)),
        // What a newer hoist writes looks as that one likes.
        Err(StoreError::Newer { .. }) | Ok(Access::Read(_)) => return Ok(None),
        Err(error) => return Err(error),
        Ok(Access::Write) => {}
    }
    let format: Format =
        serde_json::from_slice(&content).map_err(|error| StoreError::damaged(&path, &error))?;
    let again =
        serde_json::to_vec_pretty(&format).map_err(|error| StoreError::damaged(&path, &error))?;
    Ok((again != content).then(|| "it is not as hoist writes it".to_owned()))
}

/// Write the format anew, when nobody can say any more what it was: as of a store that needs all
/// features of this hoist, so that no older one takes it for its own.
pub(crate) fn rewrite(layout: &Layout) -> Result<()> {
    let path = layout.format();
    let features = KNOWN.iter().map(|&feature| feature.to_owned()).collect();
    atomic::write(&path, &text(&path, features)?, 0o644, Durability::Durable)
        .map_err(StoreError::file("write", &path))
}

/// Say that binaries that do not know `feature` must keep away, before the first thing that they
/// would not understand is there. The store lock must be held; whoever says it at the same time says
/// the same.
pub(crate) fn require(layout: &Layout, feature: &str) -> Result<()> {
    let path = layout.format();
    let content = atomic::read(&path).map_err(StoreError::file("read", &path))?;
    let damaged = |error: serde_json::Error| StoreError::damaged(&path, &error);
    let mut format: Format = serde_json::from_slice(&content).map_err(damaged)?;
    if format.incompatible.iter().any(|known| known == feature) {
        return Ok(());
    }
    format.incompatible.push(feature.to_owned());
    let content = serde_json::to_vec_pretty(&format).map_err(damaged)?;
    atomic::write(&path, &content, 0o644, Durability::Durable)
        .map_err(StoreError::file("write", &path))
}

fn judge(root: &Path, path: &Path, content: &[u8]) -> Result<Access> {
    /// Readable in every version.
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let damaged = |error: serde_json::Error| StoreError::damaged(path, &error);
    let newer = |what: String| StoreError::Newer {
        root: root.to_owned(),
        what,
    };
    let Version { version } = serde_json::from_slice(content).map_err(damaged)?;
    if version == 0 {
        return Err(StoreError::damaged(path, &"there is no version 0"));
    }
    if version > VERSION {
        return Err(newer(format!(
            "format version {version} (this hoist knows up to {VERSION})"
        )));
    }
    let format: Format = serde_json::from_slice(content).map_err(damaged)?;
    if let Some(features) = unknown(&format.incompatible) {
        return Err(newer(features));
    }
    Ok(match unknown(&format.read_only) {
        Some(features) => Access::Read(features),
        None => Access::Write,
    })
}

fn unknown(features: &[String]) -> Option<String> {
    let unknown: Vec<_> = features
        .iter()
        .filter(|feature| !KNOWN.contains(&feature.as_str()))
        .map(String::as_str)
        .collect();
    match unknown.as_slice() {
        [] => None,
        [one] => Some(format!("the feature {one}")),
        more => Some(format!("the features {}", more.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_made_once_and_newer_ones_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::new(home.path().join("deep/root"));
        assert_eq!(open(&layout).unwrap(), Access::Write);
        assert_eq!(open(&layout).unwrap(), Access::Write);
        let judged = |text: &str| match judge(Path::new("/r"), Path::new("/r/f"), text.as_bytes()) {
            Ok(access) => format!("{access:?}"),
            Err(error) => error.to_string(),
        };
        insta::assert_snapshot!(judged(r#"{"version":1,"compatible":["x"]}"#), @"Write");
        insta::assert_snapshot!(judged(r#"{"version":2,"new":{}}"#), @"the store /r has format version 2 (this hoist knows up to 1), which this hoist does not know");
        insta::assert_snapshot!(judged(r#"{"version":1,"incompatible":["a","b"]}"#), @"the store /r has the features a, b, which this hoist does not know");
        insta::assert_snapshot!(judged(r#"{"version":1,"read_only":["other"]}"#), @r#"Read("the feature other")"#);
        require(&layout, INDEXED_LAYERS).unwrap();
        require(&layout, INDEXED_LAYERS).unwrap();
        let content = std::fs::read_to_string(layout.format()).unwrap();
        assert_eq!(content.matches(INDEXED_LAYERS).count(), 1, "{content}");
        assert_eq!(open(&layout).unwrap(), Access::Write);
        insta::assert_snapshot!(judged(""), @"/r/f is damaged: EOF while parsing a value at line 1 column 0");
    }
}
