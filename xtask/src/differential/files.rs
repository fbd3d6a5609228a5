//! Two directory trees, file by file: kind, mode, owner, target of links, content. Times differ by
//! nature.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::program::Result;

/// Files whose content holds the time at which they were made: only their names are compared.
const UNSTEADY: [&str; 8] = [
    ".pyc",
    "/RECORD",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dpkg/status-old",
    "etc/passwd-",
    "etc/shadow",
    "etc/shadow-",
    "var/log/apt/history.log",
];

/// What is different about the files in `ours` (of hoist) and `theirs` (of Docker).
pub(super) fn compare(ours: &Path, theirs: &Path) -> Result<Vec<String>> {
    let (ours, theirs) = (tree(ours)?, tree(theirs)?);
    let mut differences = Vec::new();
    for (path, (place, found)) in &ours {
        match theirs.get(path) {
            None => differences.push(format!("/{} is hoist's alone", path.display())),
            Some((other, expected)) => {
                let ours = described(path, place, found)?;
                let theirs = described(path, other, expected)?;
                if ours != theirs {
                    let path = path.display();
                    differences.push(format!("/{path}: hoist {ours}, Docker {theirs}"));
                }
            }
        }
    }
    let missing = theirs.keys().filter(|path| !ours.contains_key(*path));
    differences.extend(missing.map(|path| format!("/{} is Docker's alone", path.display())));
    Ok(differences)
}

/// Everything below `root`, by its path from there.
fn tree(root: &Path) -> Result<BTreeMap<PathBuf, (PathBuf, Metadata)>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let metadata = fs::symlink_metadata(&path)?;
            if metadata.is_dir() {
                open.push(path.clone());
            }
            let below = path.strip_prefix(root)?.to_owned();
            found.insert(below, (path, metadata));
        }
    }
    Ok(found)
}

/// `file 0644 0:0 12 bytes 3f…`.
fn described(path: &Path, place: &Path, found: &Metadata) -> Result<String> {
    let kind = found.file_type();
    let name = if kind.is_dir() {
        "directory"
    } else if kind.is_symlink() {
        "link"
    } else if kind.is_fifo() {
        "pipe"
    } else if kind.is_char_device() || kind.is_block_device() {
        "device"
    } else {
        "file"
    };
    let (mode, uid, gid) = (found.mode() & 0o7777, found.uid(), found.gid());
    let mut text = format!("{name} {mode:04o} {uid}:{gid}");
    let is_unsteady = UNSTEADY
        .iter()
        .any(|end| path.to_string_lossy().ends_with(end));
    if kind.is_symlink() {
        text.push_str(&format!(" to {}", fs::read_link(place)?.display()));
    } else if kind.is_file() && !is_unsteady {
        let content = Sha256::digest(fs::read(place)?);
        let short: String = content
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        text.push_str(&format!(" {} bytes {short}", found.len()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_compared_by_everything_but_time() {
        let place = std::env::temp_dir().join(format!("hoist-differential-{}", std::process::id()));
        let (ours, theirs) = (place.join("ours"), place.join("theirs"));
        for root in [&ours, &theirs] {
            fs::create_dir_all(root.join("d")).unwrap();
            fs::write(root.join("same"), "1").unwrap();
            fs::write(root.join("x.pyc"), root.to_string_lossy().as_bytes()).unwrap();
            std::os::unix::fs::symlink("same", root.join("link")).unwrap();
        }
        assert_eq!(compare(&ours, &theirs).unwrap(), [""; 0]);
        fs::write(ours.join("d/content"), "1").unwrap();
        fs::write(theirs.join("d/content"), "2").unwrap();
        fs::write(ours.join("mine"), "").unwrap();
        fs::write(theirs.join("yours"), "").unwrap();
        let found = compare(&ours, &theirs).unwrap();
        fs::remove_dir_all(&place).unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[0].starts_with("/d/content: hoist file 0644"),
            "{found:?}"
        );
        assert_eq!(
            found[1..],
            ["/mine is hoist's alone", "/yours is Docker's alone"]
        );
    }
}
