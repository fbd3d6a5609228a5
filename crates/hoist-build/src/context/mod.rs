//! Build contexts: directories, read where they lie, or fetched and unpacked for one build.

pub(crate) mod archive;
mod ignore;
pub(crate) mod listing;
pub(crate) mod memory;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, Mode, OFlags, openat};

use archive::UnpackedContext;
pub(crate) use ignore::IgnoreFile;
use memory::Memory;

use crate::{
    error::BuildError,
    plan::{CopyFrom, Plan},
    remote::{Supplier, unreachable},
    request::{BuildRequest, NamedContext},
    tree::{Ownership, Root},
};

/// A build context that is open.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) root: Root,
    /// Its path without symbolic links.
    pub(crate) real: PathBuf,
    /// What builds of the same context have in common: its path, or what it is called.
    pub(crate) label: PathBuf,
    pub(crate) ignore: Option<IgnoreFile>,
    pub(crate) memory: Memory,
    /// The files, when they were fetched or unpacked for this build: gone with it.
    _fetched: Option<UnpackedContext>,
}

impl Context {
    /// Open the context at `path`. `dockerfile` is where the Dockerfile lies, unless it came as
    /// text: a `<Dockerfile>.dockerignore` beside it goes before the context's own. `cache` is the
    /// directory for what is remembered, under `label` if there is one.
    pub(crate) fn open(
        path: &Path,
        dockerfile: Option<&Path>,
        cache: &Path,
        label: Option<&str>,
    ) -> Result<Self, BuildError> {
        let (root, ignore) = Self::look(path, dockerfile)?;
        let real = std::fs::canonicalize(path).map_err(unusable(path))?;
        let label = label.map_or_else(|| real.clone(), PathBuf::from);
        let memory = Memory::load(cache, &label);
        Ok(Self {
            root,
            real,
            label,
            ignore,
            memory,
            _fetched: None,
        })
    }

    /// The context at the address `text`, fetched.
    fn fetch(supplier: Supplier<'_>, text: &str, cache: &Path) -> Result<Self, BuildError> {
        let files = supplier.context(text)?;
        let context = Self::open(files.path(), None, cache, Some(text))?;
        Ok(Self {
            _fetched: Some(files),
            ..context
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

/// All contexts of a build.
#[derive(Debug)]
pub(crate) struct Contexts {
    pub(crate) main: Context,
    named: BTreeMap<String, Context>,
}

impl Contexts {
    /// The context of `request`, whose Dockerfile lies at `dockerfile` unless it came as text, and
    /// those of its named contexts that `plan` reads. `cache` is the directory for what is
    /// remembered, the supplier fetches what lies elsewhere.
    pub(crate) fn open(
        request: &BuildRequest,
        plan: &Plan,
        dockerfile: Option<&Path>,
        (cache, supplier): (&Path, Option<Supplier<'_>>),
    ) -> Result<Self, BuildError> {
        let label = request.context_label.as_deref();
        let main = Context::open(&request.context, dockerfile, cache, label)?;
        let mut named = BTreeMap::new();
        for name in plan.named_contexts() {
            if named.contains_key(name) {
                continue;
            }
            let context = match request.contexts.get(name) {
                Some(NamedContext::Directory(path)) => Context::open(path, None, cache, None)?,
                Some(NamedContext::Remote(text)) => {
                    let supplier = supplier.ok_or_else(|| unreachable(name))?;
                    Context::fetch(supplier, text, cache)?
                }
                _ => continue,
            };
            named.insert(name.to_owned(), context);
        }
        Ok(Self { main, named })
    }

    /// The context that `from` reads, when it reads one.
    pub(crate) fn of(&self, from: &CopyFrom) -> Option<&Context> {
        match from {
            CopyFrom::Context => Some(&self.main),
            CopyFrom::Named(name) => self.named.get(name),
            CopyFrom::Other(_) => None,
        }
    }

    /// Write what is remembered of them.
    pub(crate) fn save(&self) {
        for context in std::iter::once(&self.main).chain(self.named.values()) {
            context.memory.save();
        }
    }
}

/// The names that a Dockerfile may have when nobody says, the usual one first.
const DOCKERFILES: [&str; 3] = ["Dockerfile", "Containerfile", "dockerfile"];

/// The Dockerfile of a context: the one that is named, or the first in the context that has a
/// usual name.
pub(crate) fn find_dockerfile(context: &Path, named: Option<&Path>) -> PathBuf {
    if let Some(named) = named {
        return named.to_owned();
    }
    let mut usual = DOCKERFILES.iter().map(|name| context.join(name));
    usual
        .find(|path| path.symlink_metadata().is_ok())
        .unwrap_or_else(|| context.join(DOCKERFILES[0]))
}

fn unusable(path: &Path) -> impl Fn(std::io::Error) -> BuildError {
    |source| BuildError::Context {
        path: path.to_owned(),
        source,
    }
}
