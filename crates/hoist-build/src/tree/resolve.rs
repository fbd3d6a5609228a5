//! The source of a `COPY`, turned into paths: wildcards by Go's `filepath.Match`, symbolic links
//! followed, everything within the root.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use hoist_dockerfile::glob;
use rustix::io::Errno;

use super::{Kind, Root, components, io, walk};
use crate::error::BuildError;

/// One file or directory that a source stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The path as matched: its last component names the copy.
    pub(crate) name: PathBuf,
    /// The path after symbolic links: where the content is.
    pub(crate) path: PathBuf,
}

/// `source` cleaned as Docker does it: from the root, `..` never above it.
pub(crate) fn clean(source: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for name in components(source.as_bytes()) {
        if name == b".." {
            path.pop();
        } else {
            path = walk::child(&path, &name);
        }
    }
    path
}

/// What `source` stands for in `root`, in byte order. A source without wildcards that is not
/// there is `Ok` with nothing found, as is a pattern that matches nothing; the caller knows what
/// to say.
pub(crate) fn resolve(root: &Root, source: &str) -> Result<Vec<Found>, BuildError> {
    let path = clean(source);
    if !glob::has_wildcards(source) {
        return match root.follow(&path) {
            Ok(real) => Ok(vec![Found {
                name: path,
                path: real,
            }]),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(Vec::new()),
            Err(e) => Err(io("find", root, &path, e)),
        };
    }
    let mut found = vec![PathBuf::new()];
    for component in components(path.as_os_str().as_bytes()) {
        found = expand(root, &found, &component)?;
    }
    let mut resolved = Vec::new();
    for name in found {
        match root.follow(&name) {
            Ok(path) => resolved.push(Found { name, path }),
            // A dangling link that matches a pattern has no content to copy.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(e) => return Err(io("find", root, &name, e)),
        }
    }
    Ok(resolved)
}

/// Every `directories/component` that is there.
fn expand(
    root: &Root,
    directories: &[PathBuf],
    component: &[u8],
) -> Result<Vec<PathBuf>, BuildError> {
    let pattern = String::from_utf8_lossy(component);
    let mut found = Vec::new();
    for directory in directories {
        // Everything before the first wildcard may be a link; after it, links are not followed.
        let real = match root.follow(directory) {
            Ok(real) => real,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(e) => return Err(io("find", root, directory, e)),
        };
        if !glob::has_wildcards(&pattern) {
            let path = walk::child(&real, &unescape(component));
            match root.entry(&path) {
                Ok(_) => found.push(path),
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(e) => return Err(io("find", root, &path, e)),
            }
            continue;
        }
        match root.entry(&real) {
            Ok(entry) if entry.kind == Kind::Directory => {}
            _ => continue,
        }
        let names = walk::names(root, &real).map_err(|e| io("list", root, &real, e))?;
        for name in names {
            if glob::matches(&pattern, &String::from_utf8_lossy(name.as_bytes())) {
                found.push(real.join(name));
            }
        }
    }
    Ok(found)
}

/// `component` without the backslashes that protect its characters.
fn unescape(component: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(component.len());
    let mut bytes = component.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => plain.extend(bytes.next()),
            byte => plain.push(*byte),
        }
    }
    plain
}

/// `path` as the messages of `COPY` write it: from the root, with a slash.
pub(crate) fn shown(path: &Path) -> String {
    format!("/{}", path.display())
}
