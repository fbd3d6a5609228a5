//! Which `.dockerignore` counts, and reading it.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use hoist_dockerfile::{Source, ignore::Ignore, render};
use rustix::{fs::OFlags, io::Errno};

use crate::{error::BuildError, tree::Root};

/// The patterns that keep files out of the context, and where they stand.
#[derive(Debug)]
pub(crate) struct IgnoreFile {
    /// How messages call it: `.dockerignore`, `Dockerfile.dockerignore`.
    pub(crate) name: String,
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// How long it is.
    pub(crate) bytes: u64,
    pub(crate) patterns: Ignore,
}

/// The file beside the Dockerfile that is named after it, else the context's own.
pub(super) fn load(
    root: &Root,
    context: &Path,
    dockerfile: Option<&Path>,
) -> Result<Option<IgnoreFile>, BuildError> {
    if let Some(dockerfile) = dockerfile {
        let mut name = dockerfile.as_os_str().to_owned();
        name.push(".dockerignore");
        let path = PathBuf::from(name);
        match std::fs::read(&path) {
            Ok(bytes) => return parse(path, &bytes).map(Some),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                let action = "read";
                return Err(BuildError::Io {
                    action,
                    path,
                    source,
                });
            }
        }
    }
    let name = Path::new(".dockerignore");
    let path = context.join(name);
    let real = match root.follow(name) {
        Ok(real) => real,
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(BuildError::io("read", path, errno)),
    };
    let fd = root
        .open(&real, OFlags::RDONLY)
        .map_err(|errno| BuildError::io("read", path.clone(), errno))?;
    let mut bytes = Vec::new();
    std::fs::File::from(fd)
        .read_to_end(&mut bytes)
        .map_err(|source| BuildError::Io {
            action: "read",
            path: path.clone(),
            source,
        })?;
    parse(path, &bytes).map(Some)
}

fn parse(path: PathBuf, bytes: &[u8]) -> Result<IgnoreFile, BuildError> {
    let text = String::from_utf8_lossy(bytes);
    let name = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned();
    match Ignore::parse(&text) {
        Ok(patterns) => Ok(IgnoreFile {
            name,
            path,
            bytes: bytes.len() as u64,
            patterns,
        }),
        Err(diagnostics) => {
            let source = Source::new(&text);
            let rendered = diagnostics
                .iter()
                .map(|found| render(found, &name, &source));
            Err(BuildError::IgnoreFile {
                message: diagnostics
                    .first()
                    .map_or_else(String::new, ToString::to_string),
                rendered: rendered.collect::<Vec<_>>().join("\n"),
                name,
            })
        }
    }
}
