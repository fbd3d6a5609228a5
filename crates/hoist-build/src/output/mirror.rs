//! `mode=delete`: what is not part of the result goes.

use std::{collections::BTreeSet, fs, io, path::Path};

use crate::{error::BuildError, tree::Entry};

/// Remove from `destination` everything that `entries` have no file of that name for, and what is a
/// file where they have a directory. Links are removed, never followed.
pub(super) fn remove_others(destination: &Path, entries: &[Entry]) -> Result<(), BuildError> {
    let is_root = fs::canonicalize(destination).is_ok_and(|real| real == Path::new("/"));
    if is_root {
        return Err(BuildError::Invalid {
            message: "mode=delete would remove the files of this machine: dest is its root"
                .to_owned(),
            hints: vec!["write into a directory of its own".to_owned()],
        });
    }
    let wanted: BTreeSet<(&Path, bool)> = entries
        .iter()
        .map(|entry| (entry.path.as_path(), entry.is_directory()))
        .collect();
    tidy(destination, Path::new(""), &wanted)
}

fn tidy(
    destination: &Path,
    below: &Path,
    wanted: &BTreeSet<(&Path, bool)>,
) -> Result<(), BuildError> {
    let directory = destination.join(below);
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| BuildError::Io {
            action,
            path,
            source,
        }
    };
    for entry in fs::read_dir(&directory).map_err(failed("list", &directory))? {
        let entry = entry.map_err(failed("list", &directory))?;
        let path = below.join(entry.file_name());
        let place = entry.path();
        let kind = entry.file_type().map_err(failed("read", &place))?;
        if wanted.contains(&(path.as_path(), kind.is_dir())) {
            if kind.is_dir() {
                tidy(destination, &path, wanted)?;
            }
        } else if kind.is_dir() {
            fs::remove_dir_all(&place).map_err(failed("remove", &place))?;
        } else {
            fs::remove_file(&place).map_err(failed("remove", &place))?;
        }
    }
    Ok(())
}
