//! The context: a directory, or what standard input gives.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use hoist_build::{UnpackedContext, is_archive, unpack_context};
use hoist_core::Kind;
use hoist_engine::Engine;

use crate::{cli::Call, error::CliError};

/// How many bytes of standard input tell what it is.
const START: u64 = 512;

/// Where a build reads.
pub(super) enum Context {
    /// A directory that the user named.
    Directory(PathBuf),
    /// `-`: an archive, unpacked.
    Archive(UnpackedContext),
    /// `-`: a Dockerfile, and a context with nothing in it.
    Dockerfile { text: String, empty: EmptyContext },
}

impl Context {
    /// The context that `path`, the word of the command line, names. An archive is unpacked into
    /// the data root, with `engine`.
    pub(super) fn find(
        call: &Call<'_>,
        engine: &mut Option<Engine>,
        path: &str,
    ) -> Result<Self, CliError> {
        let remote = ["http://", "https://", "git://", "git@"];
        if remote.iter().any(|start| path.starts_with(start)) {
            let text = format!(
                "cannot build from {path}: it is neither a directory nor -, an archive on standard input"
            );
            return Err(CliError::of(Kind::Unsupported, text)
                .hint("clone or download it first, then: hoist build DIRECTORY"));
        }
        if path != "-" {
            return Ok(Self::Directory(PathBuf::from(path)));
        }
        let mut start = Vec::new();
        io::stdin()
            .lock()
            .take(START)
            .read_to_end(&mut start)
            .map_err(|error| unreadable(&error))?;
        if is_archive(&start) {
            let whole = start.chain(io::stdin());
            let engine = engine.insert(call.working_engine()?);
            return Ok(Self::Archive(unpack_context(engine, whole)?));
        }
        let mut bytes = start;
        io::stdin()
            .read_to_end(&mut bytes)
            .map_err(|error| unreadable(&error))?;
        Ok(Self::Dockerfile {
            text: text(bytes)?,
            empty: EmptyContext::make()?,
        })
    }

    /// Its directory.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Directory(path) => path,
            Self::Archive(unpacked) => unpacked.path(),
            Self::Dockerfile { empty, .. } => &empty.0,
        }
    }

    /// When it was published, in seconds since 1970, as far as that can be told.
    pub(super) fn time(&self) -> Result<Option<i64>, CliError> {
        match self {
            Self::Archive(unpacked) => Ok(unpacked.newest()?),
            Self::Directory(_) | Self::Dockerfile { .. } => Ok(None),
        }
    }

    /// What it is called when its path is made up.
    pub(super) fn label(&self) -> Option<String> {
        match self {
            Self::Directory(_) => None,
            Self::Archive(_) | Self::Dockerfile { .. } => Some("-".to_owned()),
        }
    }
}

/// The Dockerfile of `-f -`.
pub(in crate::commands) fn read_stdin() -> Result<String, CliError> {
    let mut bytes = Vec::new();
    io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&error))?;
    text(bytes)
}

fn text(bytes: Vec<u8>) -> Result<String, CliError> {
    String::from_utf8(bytes).map_err(|_| {
        CliError::invalid("failed to read dockerfile from STDIN: it is neither text nor an archive")
    })
}

fn unreadable(error: &io::Error) -> CliError {
    CliError::invalid(format!("failed to read from STDIN: {error}"))
}

/// A directory with nothing in it, gone afterwards.
pub(super) struct EmptyContext(PathBuf);

impl EmptyContext {
    fn make() -> Result<Self, CliError> {
        let path = std::env::temp_dir().join(format!("hoist-empty-context-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| CliError::file("make", &path, &error))?;
        Ok(Self(path))
    }
}

impl Drop for EmptyContext {
    fn drop(&mut self) {
        drop(std::fs::remove_dir(&self.0));
    }
}
