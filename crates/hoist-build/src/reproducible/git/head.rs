//! Where a repository lies, and the commit that HEAD means there.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{DEEPEST, Unreadable, open, parse::from_hex};

/// The longest list of references that is read, in bytes.
const LARGEST: u64 = 64 << 20;

/// What `.git` is: the directory itself, or a file that names it.
pub(super) fn git_directory(path: &Path) -> Result<PathBuf, Unreadable> {
    if path.is_dir() {
        return Ok(path.to_owned());
    }
    let line = read_line(path).map_err(|error| Unreadable::new(path, error))?;
    let place = line.strip_prefix("gitdir: ");
    let place = place.ok_or_else(|| Unreadable::new(path, "it does not name a directory"))?;
    Ok(path.parent().unwrap_or(Path::new("/")).join(place))
}

/// The commit that HEAD means, in hexadecimal digits; `None` when there is none yet.
pub(super) fn head(private: &Path, shared: &Path) -> Result<Option<String>, Unreadable> {
    let path = private.join("HEAD");
    let mut text = read_line(&path).map_err(|error| Unreadable::new(&path, error))?;
    for _ in 0..DEEPEST {
        let Some(name) = text.strip_prefix("ref: ") else {
            let is_id = !from_hex(&text).is_empty();
            return match is_id {
                true => Ok(Some(text)),
                false => Err(Unreadable::new(&path, format!("HEAD leads to {text:?}"))),
            };
        };
        let name = name.trim();
        if !name.starts_with("refs/") || name.split('/').any(|part| part == "..") {
            return Err(Unreadable::new(&path, format!("HEAD leads to {name:?}")));
        }
        let loose = [private, shared].map(|directory| directory.join(name));
        match loose.iter().find_map(|path| read_line(path).ok()) {
            Some(found) => text = found,
            None => return packed(&shared.join("packed-refs"), name),
        }
    }
    Err(Unreadable::new(&path, "references lead in a circle"))
}

/// The reference `name` in the list at `path`.
fn packed(path: &Path, name: &str) -> Result<Option<String>, Unreadable> {
    let mut text = Vec::new();
    match open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Unreadable::new(path, error)),
    }
    let found = text.split(|byte| *byte == b'\n').find_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        let (id, found) = line.trim_end().split_once(' ')?;
        (found == name && !from_hex(id).is_empty()).then(|| id.to_owned())
    });
    Ok(found)
}

/// The first line of a short file.
pub(super) fn read_line(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.take(4096).read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
