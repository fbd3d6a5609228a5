//! A context that comes as an archive (`build -`): unpacked into a directory of its own.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use hoist_engine::Engine;
use hoist_store::LayerDraft;
use rustix::fs::OFlags;

use super::DOCKERFILES;
use crate::{
    error::BuildError,
    execute::{
        archive::{self, Sort},
        compression::Compression,
        draft::Draft,
        open_directory,
    },
    tree::{Kind, Ownership, Root, filter::Filter, walk},
};

/// The context's archive while it is unpacked.
const ARCHIVE: &str = "context.tar";

/// Time of directories that the archive has no member for: as of new directories in images.
const EARLIEST: i64 = 315_532_800;

/// A context that was unpacked; gone with the value.
#[derive(Debug)]
pub struct UnpackedContext {
    draft: LayerDraft,
    /// Seconds since 1970, when whoever it comes from says so.
    published: Option<i64>,
}

impl UnpackedContext {
    /// The files of `draft`, with the time of [`UnpackedContext::time`] if it is known.
    pub(crate) const fn of(draft: LayerDraft, published: Option<i64>) -> Self {
        Self { draft, published }
    }

    /// The same files, published at another time.
    pub(crate) fn published(self, published: Option<i64>) -> Self {
        Self { published, ..self }
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.draft.path()
    }

    /// When it was published, in seconds since 1970: the time of the commit, or the last change that
    /// a web server names; without one the time of the newest regular file.
    ///
    /// # Errors
    /// [`BuildError::Io`] for what cannot be listed.
    pub fn time(&self) -> Result<Option<i64>, BuildError> {
        if self.published.is_some() {
            return Ok(self.published);
        }
        let path = self.path();
        let root = Root::new(open_directory(path)?, path.to_owned(), Ownership::Root);
        let entries = walk(&root, Path::new(""), &Filter::ignoring(None))?;
        let files = entries.iter().filter(|entry| entry.kind == Kind::File);
        let times = files.map(|entry| entry.identity.mtime.div_euclid(1_000_000_000));
        Ok(times.max())
    }
}

/// True when `start`, the first 512 bytes of something, are those of a tar archive, compressed or
/// not; otherwise it is a Dockerfile.
#[must_use]
pub fn is_archive(start: &[u8]) -> bool {
    Compression::of(start) != Compression::None || archive::is_tar(start)
}

/// Unpack the tar archive, compressed or not, that `reader` gives, to build from it.
///
/// # Errors
/// [`BuildError::Archive`] for one that is damaged or leads out of the directory. Nothing is left
/// behind.
pub fn unpack_context(
    engine: &Engine,
    mut reader: impl Read,
) -> Result<UnpackedContext, BuildError> {
    let draft = engine.store().begin_layer()?;
    let path = draft.work().join(ARCHIVE);
    let failed = |source| BuildError::Io {
        action: "write",
        path: path.clone(),
        source,
    };
    let mut file = std::fs::File::create(&path).map_err(failed)?;
    io::copy(&mut reader, &mut file).map_err(failed)?;
    drop(file);
    let work = Root::new(
        open_directory(draft.work())?,
        PathBuf::from("-"),
        Ownership::Root,
    );
    let name = Path::new(ARCHIVE);
    if archive::sort(&work, name)? == Sort::Plain {
        return Err(BuildError::Archive {
            path: PathBuf::from("-"),
            problem: "it is no tar archive".to_owned(),
        });
    }
    let mut target = Draft::new(open_directory(draft.path())?, None, EARLIEST)?;
    let root = target.resolve(Path::new("/"))?;
    let never = AtomicBool::new(false);
    archive::extract(&mut target, &work, name, &root, None, &never)?;
    target.finish()?;
    std::fs::remove_file(&path).map_err(failed)?;
    Ok(UnpackedContext::of(draft, None))
}

/// The Dockerfile of an unpacked context, whose links do not lead out of it, and where it lies.
pub(crate) fn read_dockerfile(
    context: &Path,
    named: Option<&Path>,
) -> Result<(Vec<u8>, PathBuf), BuildError> {
    let root = Root::new(open_directory(context)?, PathBuf::new(), Ownership::Root);
    let usual = DOCKERFILES.map(Path::new);
    let names = match &named {
        Some(named) => std::slice::from_ref(named),
        None => &usual[..],
    };
    let mut found = names.iter().map(|name| (name, root.follow(name)));
    let (name, real) = found
        .find(|(_, real)| real.is_ok())
        .unwrap_or_else(|| (&names[0], Err(rustix::io::Errno::NOENT)));
    let read = || {
        let fd = root.open(&real?, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let mut bytes = Vec::new();
        std::fs::File::from(fd).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source: io::Error| BuildError::Dockerfile {
        path: (*name).to_owned(),
        similar: Vec::new(),
        source,
    })?;
    Ok((bytes, context.join(name)))
}
