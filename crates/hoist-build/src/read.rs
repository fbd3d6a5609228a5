//! The Dockerfile of a build: found, read and parsed.

use std::{
    io,
    path::{Path, PathBuf},
};

use hoist_dockerfile::{Dockerfile, DockerfileError, Source as Text, parse_bytes};

use crate::{
    context::{archive, find_dockerfile},
    error::BuildError,
    excerpt::Listing,
    request::BuildRequest,
};

/// A Dockerfile that was read: its text, what the parser made of it, and where it lies when it is
/// a file.
type Read = (Listing, Result<Dockerfile, BuildError>, Option<PathBuf>);

/// The Dockerfile of `request`.
pub(crate) fn read_dockerfile(request: &BuildRequest) -> Result<Read, BuildError> {
    let (bytes, path) = match &request.dockerfile_text {
        Some(text) => (text.clone().into_bytes(), None),
        None if request.context_label.is_some() => {
            let (bytes, path) =
                archive::read_dockerfile(&request.context, request.dockerfile.as_deref())?;
            (bytes, Some(path))
        }
        None => {
            let path = find_dockerfile(&request.context, request.dockerfile.as_deref());
            (read(&request.context, &path)?, Some(path))
        }
    };
    let name = match &path {
        Some(path) => path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        None => "Dockerfile".to_owned(),
    };
    let listing = Listing {
        name,
        source: Text::from_bytes(&bytes),
    };
    let parsed = parse_bytes(&bytes)
        .map_err(|found| listing.language(DockerfileError::syntax(found, &listing.source)));
    Ok((listing, parsed, path))
}

fn read(context: &Path, path: &Path) -> Result<Vec<u8>, BuildError> {
    let source = match std::fs::read(path) {
        Ok(bytes) => return Ok(bytes),
        Err(error) => error,
    };
    // A context that is not there is the better news.
    if source.kind() == io::ErrorKind::NotFound || source.kind() == io::ErrorKind::NotADirectory {
        match std::fs::metadata(context) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(unusable(context, io::ErrorKind::NotADirectory.into())),
            Err(error) => return Err(unusable(context, error)),
        }
    }
    Err(BuildError::Dockerfile {
        path: path.to_owned(),
        similar: similar_files(path),
        source,
    })
}

fn unusable(context: &Path, source: io::Error) -> BuildError {
    BuildError::Context {
        path: context.to_owned(),
        source,
    }
}

/// Files beside `path` that could be the Dockerfile.
fn similar_files(path: &Path) -> Vec<String> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut names: Vec<String> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            let lower = name.to_lowercase();
            !lower.ends_with("ignore")
                && (lower.contains("dockerfile") || lower.contains("containerfile"))
        })
        .collect();
    names.sort();
    names.truncate(3);
    names
        .iter()
        .map(|name| path.with_file_name(name).display().to_string())
        .collect()
}
