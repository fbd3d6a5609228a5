//! The build context: a directory, read where it lies.

mod ignore;
pub(crate) mod memory;

use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

pub(crate) use ignore::IgnoreFile;
use memory::Memory;

use crate::{
    error::BuildError,
    tree::{Ownership, Root},
};

/// A build context that is open.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) root: Root,
    /// Its path without symbolic links.
    pub(crate) real: PathBuf,
    pub(crate) ignore: Option<IgnoreFile>,
    pub(crate) memory: Memory,
}

impl Context {
    /// Open the context at `path`. `dockerfile` is where the Dockerfile lies, unless it came as
    /// text: a `<Dockerfile>.dockerignore` beside it goes before the context's own. `cache` is the
    /// directory for what is remembered.
    pub(crate) fn open(
        path: &Path,
        dockerfile: Option<&Path>,
        cache: &Path,
    ) -> Result<Self, BuildError> {
        let (root, ignore) = Self::look(path, dockerfile)?;
        let real = std::fs::canonicalize(path).map_err(unusable(path))?;
        let memory = Memory::load(cache, &real);
        Ok(Self {
            root,
            real,
            ignore,
            memory,
        })
    }

    /// The directory of a context and its ignore file, for who reads no content.
    pub(crate) fn look(
        path: &Path,
        dockerfile: Option<&Path>,
    ) -> Result<(Root, Option<IgnoreFile>), BuildError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty())
            .map_err(|errno| unusable(path)(errno.into()))?;
        let root = Root::new(fd, path.to_owned(), Ownership::Root);
        let ignore = ignore::load(&root, path, dockerfile)?;
        Ok((root, ignore))
    }

    /// The patterns of the ignore file.
    pub(crate) fn patterns(&self) -> Option<&hoist_dockerfile::ignore::Ignore> {
        self.ignore.as_ref().map(|file| &file.patterns)
    }

    /// Why `path`, which exists, is not part of the context.
    pub(crate) fn why_ignored(&self, path: &Path) -> Option<String> {
        use std::os::unix::ffi::OsStrExt;
        let file = self.ignore.as_ref()?;
        let decision = file.patterns.decision(path.as_os_str().as_bytes())?;
        if decision.negated {
            return None;
        }
        Some(format!(
            "{}:{} leaves it out ({}); take it back with a line !{} below",
            file.name,
            decision.line,
            decision.pattern,
            path.display()
        ))
    }
}

fn unusable(path: &Path) -> impl Fn(std::io::Error) -> BuildError {
    |source| BuildError::Context {
        path: path.to_owned(),
        source,
    }
}

/// The Dockerfile of a context: the one that is named, or `Dockerfile` in the context.
pub(crate) fn find_dockerfile(context: &Path, named: Option<&Path>) -> PathBuf {
    named.map_or_else(|| context.join("Dockerfile"), Path::to_owned)
}
