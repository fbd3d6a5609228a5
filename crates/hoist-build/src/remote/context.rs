//! Contexts that lie elsewhere: `hoist build https://….git#main:app`, `http://host/context.tar.gz`,
//! and those of `--build-context`.

use std::{
    io::{Read, Seek},
    path::Path,
};

use super::{
    Remote, RemoteAccess, Supplier, failed,
    git::{GitAddress, GitSource, NotGit},
    web,
    web_file::{WebFile, is_address},
};
use crate::{
    context::archive::{UnpackedContext, is_archive, unpack_context},
    error::BuildError,
    secret::{Secret, SshAgent},
};

/// The longest Dockerfile that is fetched, in bytes.
const MAX_DOCKERFILE: u64 = 4 << 20;

/// What a file that is no archive is called in the context that it makes, as BuildKit calls it.
const CONTENT: &str = "context";

/// A context that was fetched.
#[derive(Debug)]
pub enum RemoteContext {
    /// Files: of a commit, or of an archive.
    Files(UnpackedContext),
    /// A file that is no archive: the Dockerfile of a build without a context.
    Dockerfile(String),
}

/// A context as the user names it, and what is to be kept of it.
#[derive(Debug, Clone, Copy)]
pub struct ContextAddress<'a> {
    /// The address.
    pub text: &'a str,
    /// Keep `.git` (the build argument `BUILDKIT_CONTEXT_KEEP_GIT_DIR`).
    pub keep_git_dir: bool,
}

/// With whom a context is fetched.
#[derive(Debug, Clone, Copy)]
pub struct ContextTrust<'a> {
    /// Secrets that have credentials for servers.
    pub secrets: &'a [Secret],
    /// The agent for `ssh`.
    pub agents: &'a [SshAgent],
}

impl<'a> ContextTrust<'a> {
    /// Fetches by `access`, until `stop` is set.
    fn supplier(
        self,
        engine: &'a hoist_engine::Engine,
        access: &'a RemoteAccess,
        stop: &'a std::sync::atomic::AtomicBool,
    ) -> Supplier<'a> {
        Supplier {
            engine,
            access,
            secrets: self.secrets,
            agents: self.agents,
            stop,
        }
    }
}

/// True for what names a context elsewhere, unless it names a directory here: an address of the web,
/// or of a git repository.
#[must_use]
pub fn is_remote(text: &str) -> bool {
    is_address(text) || !matches!(GitAddress::parse_context(text), Err(NotGit::Other))
}

/// Fetch a context.
///
/// # Errors
/// [`BuildError::Download`], [`BuildError::Git`] for what cannot be fetched; [`BuildError::Invalid`]
/// for an address that cannot be one. Nothing is left behind but what the cache keeps.
pub fn fetch_context(
    engine: &hoist_engine::Engine,
    access: &RemoteAccess,
    address: ContextAddress<'_>,
    trust: ContextTrust<'_>,
    cancelled: &std::sync::atomic::AtomicBool,
) -> Result<RemoteContext, BuildError> {
    let supplier = trust.supplier(engine, access, cancelled);
    match supplier.files(&address.remote()?)? {
        Fetched::Files(files) => Ok(RemoteContext::Files(files)),
        Fetched::Other(bytes) => dockerfile(address.text, bytes).map(RemoteContext::Dockerfile),
    }
}

/// Fetch a Dockerfile (`-f https://…`).
///
/// # Errors
/// As [`fetch_context`].
pub fn fetch_dockerfile(
    engine: &hoist_engine::Engine,
    access: &RemoteAccess,
    url: &str,
    trust: ContextTrust<'_>,
    cancelled: &std::sync::atomic::AtomicBool,
) -> Result<String, BuildError> {
    let supplier = trust.supplier(engine, access, cancelled);
    dockerfile(url, supplier.read(&file(url)?, MAX_DOCKERFILE)?)
}

fn dockerfile(url: &str, bytes: Vec<u8>) -> Result<String, BuildError> {
    String::from_utf8(bytes).map_err(|_| BuildError::Invalid {
        message: format!("{} is neither text nor an archive", shown(url)),
        hints: vec!["a context is a tar archive, compressed or not, or a Dockerfile".to_owned()],
    })
}

fn shown(url: &str) -> String {
    file(url).map_or_else(|_| "the address".to_owned(), |file| file.shown())
}

fn file(url: &str) -> Result<WebFile, BuildError> {
    WebFile::new(url, None, false).map_err(|message| BuildError::Invalid {
        message,
        hints: Vec::new(),
    })
}

/// What was behind the address of a context.
enum Fetched {
    /// Files: of a commit, or of an archive.
    Files(UnpackedContext),
    /// A file that is no archive.
    Other(Vec<u8>),
}

impl ContextAddress<'_> {
    /// What it is the address of.
    pub(super) fn remote(&self) -> Result<Remote, BuildError> {
        let invalid = |message: String| BuildError::Invalid {
            message: format!("invalid git context: {message}"),
            hints: Vec::new(),
        };
        let parsed = match GitAddress::parse_context(self.text) {
            Ok(parsed) => parsed,
            Err(NotGit::Other) => return file(self.text).map(Remote::File),
            Err(NotGit::Invalid(message)) => return Err(invalid(message)),
        };
        let keep = parsed.keep_git_dir.unwrap_or(self.keep_git_dir);
        let mut source = GitSource::new(parsed, None, None).map_err(invalid)?;
        source.keep_git_dir = keep && source.address.subdirectory.is_empty();
        Ok(Remote::Git(source))
    }
}

impl Supplier<'_> {
    /// The files of a named context.
    pub(crate) fn context(&self, text: &str) -> Result<UnpackedContext, BuildError> {
        let address = ContextAddress {
            text,
            keep_git_dir: false,
        };
        match self.files(&address.remote()?)? {
            Fetched::Files(files) => Ok(files),
            Fetched::Other(bytes) => {
                let draft = self.engine.store().begin_layer()?;
                let path = draft.path().join(CONTENT);
                std::fs::write(&path, bytes).map_err(failed("write", &path))?;
                Ok(UnpackedContext::of(draft, None))
            }
        }
    }

    /// The files of a commit, or of an archive; the content of any other file.
    fn files(&self, remote: &Remote) -> Result<Fetched, BuildError> {
        match remote {
            Remote::Git(source) => {
                let pinned = self.pin_repository(source)?;
                let (draft, time) = self.checkout(source, &pinned.part.1)?;
                Ok(Fetched::Files(UnpackedContext::of(draft, Some(time))))
            }
            Remote::File(file) => self.file(file),
        }
    }

    /// An archive is unpacked, anything else read.
    fn file(&self, file: &WebFile) -> Result<Fetched, BuildError> {
        let brought = self.bring(file, &self.pin_file(file)?)?;
        let mut content = brought.open()?;
        let mut start = [0; 512];
        let read = |error| failed("read", Path::new(&file.name()))(error);
        let mut count = 0;
        while count < start.len() {
            match content.read(&mut start[count..]).map_err(read)? {
                0 => break,
                more => count += more,
            }
        }
        content.rewind().map_err(read)?;
        if is_archive(&start[..count]) {
            let files = unpack_context(self.engine, content)?;
            return Ok(Fetched::Files(files.published(brought.modified)));
        }
        let bytes = web::content(file, content, MAX_DOCKERFILE)?;
        Ok(Fetched::Other(bytes))
    }
}
