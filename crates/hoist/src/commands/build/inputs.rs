//! The context: a directory, what standard input gives, or what lies elsewhere.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use hoist_build::{
    ContextAddress, ContextTrust, RemoteAccess, RemoteContext, UnpackedContext, fetch_context,
    fetch_dockerfile, is_archive, is_remote, unpack_context,
};
use hoist_engine::Engine;

use super::super::interrupt::Interrupt;
use crate::{args::build::BuildFlags, cli::Call, error::CliError};

/// The build argument that keeps `.git` in a context from git.
const KEEP_GIT_DIR: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";

/// How many bytes of standard input tell what it is.
const START: u64 = 512;

/// Where a build reads.
pub(super) enum Context {
    /// A directory that the user named.
    Directory(PathBuf),
    /// An archive or a repository, unpacked, and what the user called it.
    Unpacked(UnpackedContext, String),
    /// A Dockerfile, and a context with nothing in it.
    Dockerfile {
        text: String,
        empty: EmptyContext,
        name: String,
    },
}

/// How what lies elsewhere is fetched.
pub(super) struct Fetching<'a> {
    pub(super) access: &'a RemoteAccess,
    pub(super) trust: ContextTrust<'a>,
    pub(super) interrupt: &'a Interrupt,
}

impl Context {
    /// The context that `path`, the word of the command line, names. What is not a directory here
    /// is unpacked into the data root, with `engine`.
    pub(super) fn find(
        call: &Call<'_>,
        engine: &mut Option<Engine>,
        (path, flags): (&str, &BuildFlags),
        fetching: &Fetching<'_>,
    ) -> Result<Self, CliError> {
        if path != "-" && (Path::new(path).exists() || !is_remote(path)) {
            return Ok(Self::Directory(PathBuf::from(path)));
        }
        if path != "-" {
            let engine = working(call, engine)?;
            let address = ContextAddress {
                text: path,
                keep_git_dir: flags.build_arg.iter().any(|flag| keeps_git_dir(flag)),
            };
            return Self::fetch(engine, address, fetching);
        }
        let mut start = Vec::new();
        io::stdin()
            .lock()
            .take(START)
            .read_to_end(&mut start)
            .map_err(|error| unreadable(&error))?;
        if is_archive(&start) {
            let whole = start.chain(io::stdin());
            let unpacked = unpack_context(working(call, engine)?, whole)?;
            return Ok(Self::Unpacked(unpacked, "-".to_owned()));
        }
        let mut bytes = start;
        io::stdin()
            .read_to_end(&mut bytes)
            .map_err(|error| unreadable(&error))?;
        Ok(Self::Dockerfile {
            text: text(bytes)?,
            empty: EmptyContext::make()?,
            name: "-".to_owned(),
        })
    }

    fn fetch(
        engine: &Engine,
        address: ContextAddress<'_>,
        fetching: &Fetching<'_>,
    ) -> Result<Self, CliError> {
        let Fetching {
            access,
            trust,
            interrupt,
        } = *fetching;
        interrupt.watch()?;
        let name = address.text.to_owned();
        Ok(
            match fetch_context(engine, access, address, trust, interrupt.raised())? {
                RemoteContext::Files(files) => Self::Unpacked(files, name),
                RemoteContext::Dockerfile(text) => Self::Dockerfile {
                    text,
                    empty: EmptyContext::make()?,
                    name,
                },
            },
        )
    }

    /// Its directory.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Directory(path) => path,
            Self::Unpacked(unpacked, _) => unpacked.path(),
            Self::Dockerfile { empty, .. } => &empty.0,
        }
    }

    /// When it was published, in seconds since 1970, as far as that can be told.
    pub(super) fn time(&self) -> Result<Option<i64>, CliError> {
        match self {
            Self::Unpacked(unpacked, _) => Ok(unpacked.time()?),
            Self::Directory(_) | Self::Dockerfile { .. } => Ok(None),
        }
    }

    /// What it is called when its path is made up.
    pub(super) fn label(&self) -> Option<String> {
        match self {
            Self::Directory(_) => None,
            Self::Unpacked(_, name) | Self::Dockerfile { name, .. } => Some(name.clone()),
        }
    }
}

/// The engine, opened when it is needed first.
fn working<'a>(call: &Call<'_>, engine: &'a mut Option<Engine>) -> Result<&'a Engine, CliError> {
    if engine.is_none() {
        *engine = Some(call.working_engine()?);
    }
    Ok(engine.as_ref().expect("opened above"))
}

/// The Dockerfile of `-f https://…`; `None` when `-f` names something else.
pub(super) fn remote_dockerfile(
    call: &Call<'_>,
    engine: &mut Option<Engine>,
    file: Option<&Path>,
    fetching: &Fetching<'_>,
) -> Result<Option<String>, CliError> {
    let url = file.and_then(Path::to_str);
    let is_web = |url: &&str| url.starts_with("http://") || url.starts_with("https://");
    let Some(url) = url.filter(is_web) else {
        return Ok(None);
    };
    let Fetching {
        access,
        trust,
        interrupt,
    } = *fetching;
    let engine = working(call, engine)?;
    interrupt.watch()?;
    Ok(Some(fetch_dockerfile(
        engine,
        access,
        url,
        trust,
        interrupt.raised(),
    )?))
}

/// Whether a `--build-arg` says that `.git` is kept.
fn keeps_git_dir(flag: &str) -> bool {
    let (name, value) = super::argument(flag);
    let is_true = |value: &str| matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True");
    name == KEEP_GIT_DIR && value.as_deref().is_some_and(is_true)
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
        let directory = std::env::temp_dir();
        let mut number = 0_u32;
        loop {
            let name = format!("hoist-empty-context-{}-{number}", std::process::id());
            let path = directory.join(name);
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                // Left by a build that was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(CliError::file("make", &path, &error)),
            }
        }
    }
}

impl Drop for EmptyContext {
    fn drop(&mut self) {
        drop(std::fs::remove_dir(&self.0));
    }
}
