//! `check --fix`: the Dockerfile with every safe fix made, in its place at once.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown},
    path::{Path, PathBuf},
};

use hoist_build::{
    BuildRequest,
    check::{Checked, repair},
};
use hoist_core::Kind;
use hoist_store::Store;

use super::{diff, failure, pin::Pins};
use crate::error::CliError;

/// A byte order mark at the start of a file; not part of the text that was checked.
const MARK: &str = "\u{feff}";

/// Make the fixes and return what they changed, as a diff; nothing when there was nothing to do.
///
/// The file keeps its mode, its owner, its line ends and its byte order mark; it has the old
/// content or the new one, whatever happens.
pub(super) fn fix(
    store: Option<&Store>,
    request: &BuildRequest,
    checked: &Checked,
) -> Result<String, CliError> {
    let Some(path) = checked.path.as_deref().filter(|_| checked.error.is_none()) else {
        return Ok(String::new());
    };
    let mut pins = Pins::new(store);
    let fixed = repair(store, request, checked, &mut |image| pins.digest(image));
    let fixed = fixed.map_err(|error| failure(&error))?;
    pins.tell();
    let text = checked.source.text();
    if fixed == text {
        return Ok(String::new());
    }
    let written = fs::read(path).map_err(|error| CliError::file("read", path, &error))?;
    let content = match written.strip_prefix(MARK.as_bytes()) {
        Some(rest) if rest == text.as_bytes() => format!("{MARK}{fixed}"),
        None if written == text.as_bytes() => fixed.clone(),
        _ => return Err(not_as_read(path)),
    };
    replace(path, content.as_bytes()).map_err(|error| CliError::file("write", path, &error))?;
    Ok(diff::unified(&path.display().to_string(), text, &fixed))
}

fn not_as_read(path: &Path) -> CliError {
    let message = format!(
        "{} has changed since it was checked: it was left as it is",
        path.display()
    );
    CliError::of(Kind::Conflict, message).hint("run hoist check --fix again")
}

/// Put `content` in the place of the file at `path` (of the file that a link leads to), with its
/// mode and owner.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let found = fs::metadata(&path)?;
    let (beside, mut file) = create_beside(&path)?;
    let written = (|| {
        file.write_all(content)?;
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (found.uid(), found.gid()) {
            fchown(&file, Some(found.uid()), Some(found.gid()))?;
        }
        file.set_permissions(found.permissions())?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    })();
    if written.is_err() {
        drop(fs::remove_file(&beside));
    }
    written
}

/// A new file in the directory of `path`.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let process = std::process::id();
    for number in 0..100 {
        let beside = path.with_file_name(format!(".{name}.{process}-{number}"));
        let mut options = OpenOptions::new();
        match options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
        {
            Ok(file) => return Ok((beside, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
