//! Everything that can go wrong in a build.
//!
//! Errors that arise far from the Dockerfile do not know its lines; whoever runs an instruction
//! wraps them with [`BuildError::At`], which carries the excerpt.

use std::{io, path::PathBuf};

use hoist_core::{Describe, Kind, Reference};
use hoist_dockerfile::DockerfileError;
use hoist_engine::EngineError;
use hoist_registry::{Broken, RegistryError};
use hoist_store::StoreError;
use rustix::io::Errno;

/// Why an image was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A system call on a path failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: `read`, `write`, `open`, …
        action: &'static str,
        /// On which path: of the host, or of the image when it starts there.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The build context is not a directory that can be read.
    #[error("cannot use {} as build context", path.display())]
    Context {
        /// What was given.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The Dockerfile cannot be read.
    #[error("failed to read dockerfile {}", path.display())]
    Dockerfile {
        /// Where it was looked for.
        path: PathBuf,
        /// Files nearby that look like one.
        similar: Vec<String>,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// The Dockerfile cannot be understood, or `--target` names none of its stages.
    #[error("{error}")]
    Language {
        /// What is wrong.
        #[source]
        error: DockerfileError,
        /// All problems, each with file, line, column, excerpt, caret and help; empty when none
        /// has a place.
        rendered: String,
    },
    /// The ignore file cannot be understood.
    #[error("{name}: {message}")]
    IgnoreFile {
        /// Which file.
        name: String,
        /// The first problem.
        message: String,
        /// All of them, each with place and excerpt.
        rendered: String,
    },
    /// An instruction failed; the error says why.
    #[error("{error}")]
    At {
        /// The lines of the Dockerfile around the instruction, which is marked.
        excerpt: String,
        /// What went wrong.
        #[source]
        error: Box<Self>,
    },
    /// An instruction makes no sense.
    #[error("{message}")]
    Invalid {
        /// What is wrong, in Docker's words where it has some.
        message: String,
        /// What to do.
        hints: Vec<String>,
    },
    /// Part of the language that is not there yet.
    #[error("{what} is not supported yet")]
    Unsupported {
        /// The instruction, flag or form.
        what: String,
        /// What to write instead.
        hints: Vec<String>,
    },
    /// An image of FROM, `COPY --from` or `--mount=from` is not in the store.
    #[error("{reference}: image not found")]
    BaseImage {
        /// The image.
        reference: String,
        /// Images or stages with names like it.
        similar: Vec<String>,
    },
    /// An image of FROM, `COPY --from` or `--mount=from` is neither in the store nor to be had.
    #[error("{reference}: image not found here, and it cannot be pulled")]
    Fetch {
        /// The image.
        reference: String,
        /// Images or stages with names like it.
        similar: Vec<String>,
        /// Why it cannot be pulled.
        source: Box<EngineError>,
    },
    /// An image of FROM or `COPY --from` is for another platform.
    #[error("{reference} is for {found}, not for {wanted}")]
    Platform {
        /// The image.
        reference: String,
        /// What the image runs on.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// A source of COPY or ADD is not there.
    #[error("\"{path}\": not found")]
    MissingSource {
        /// The source, from the root of the context or image.
        path: String,
        /// Why it is not seen although it exists, or what looks like it.
        hints: Vec<String>,
    },
    /// A source of COPY or ADD went away during the build.
    #[error("{} disappeared while it was being copied", path.display())]
    Vanished {
        /// The file.
        path: PathBuf,
    },
    /// The destination has something of another kind where a file or directory goes.
    #[error("{problem}: {}", path.display())]
    InTheWay {
        /// In the image.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// Several sources, and a destination that is not a directory.
    #[error(
        "when using COPY with more than one source file, the destination must be a directory \
         and end with a /: {destination}"
    )]
    SeveralSources {
        /// In the image.
        destination: String,
    },
    /// A name in `--chown`, USER or WORKDIR's owner that the image does not know.
    #[error("no {what} {name} in {file} of the image")]
    UnknownOwner {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// Where it was looked for.
        file: &'static str,
        /// The names that there are.
        known: Vec<String>,
    },
    /// An archive of ADD, or one that is imported, is damaged or hostile.
    #[error("cannot unpack {}: {problem}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The command of a RUN ended with another exit code than 0.
    #[error("process {command:?} did not complete successfully: exit code: {code}")]
    Step {
        /// Program and arguments, joined by spaces.
        command: String,
        /// Its exit code: 128 and the signal's number when a signal ended it.
        code: i32,
        /// It was killed because memory ran out.
        oom_killed: bool,
        /// The last lines of its output.
        tail: Vec<String>,
        /// What mistake the output points to.
        hints: Vec<String>,
    },
    /// A new layer holds what must not be in an image.
    #[error("{what} is in the new layer: {}", path.display())]
    SecretInLayer {
        /// What was found: `the secret token`, `a private key`, …
        what: String,
        /// Where, in the image.
        path: PathBuf,
    },
    /// The agent of `--ssh` does not answer.
    #[error("cannot reach the SSH agent at {}", socket.display())]
    Agent {
        /// Where it should listen.
        socket: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A layer of an imported cache is not to be had: the steps that made it are to be done again. No
    /// build ends with it.
    #[error("a layer of the imported cache is not to be had")]
    CacheLost,
    /// The cache of the build could not be written where `--cache-to` wants it.
    #[error("cannot export the cache to {target}")]
    CacheExport {
        /// The directory, or the name in a registry.
        target: String,
        /// Why not.
        source: Box<Self>,
    },
    /// A file of a web server cannot be fetched.
    #[error("cannot fetch {url}")]
    Download {
        /// The address, without user, password and query.
        url: String,
        /// Why not.
        source: Box<RegistryError>,
    },
    /// What was fetched is not what the Dockerfile says.
    #[error("checksum mismatch for {what}: expected {expected}, got {actual}")]
    Checksum {
        /// The address.
        what: String,
        /// A digest, or a commit.
        expected: String,
        /// What came.
        actual: String,
    },
    /// A git repository cannot be fetched, or is not wanted as it is.
    #[error("cannot fetch the git repository {remote}: {problem}")]
    Git {
        /// The address, without user and password.
        remote: String,
        /// Why not, in git's words where it has some.
        problem: String,
        /// What to do.
        hints: Vec<String>,
    },
    /// A program that the build needs cannot be run.
    #[error("cannot run {program}")]
    Program {
        /// Which one.
        program: &'static str,
        /// How to come by it.
        hints: Vec<String>,
        /// Why not.
        source: io::Error,
    },
    /// The user interrupted the build.
    #[error("build cancelled")]
    Cancelled,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine failed.
    #[error(transparent)]
    Engine(Box<EngineError>),
}

impl From<EngineError> for BuildError {
    fn from(error: EngineError) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl BuildError {
    /// A failed system call.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, errno: Errno) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source: errno.into(),
        }
    }

    /// The same failure with the lines of the Dockerfile that it is about; a failure that has
    /// its lines keeps them, and an interruption is about no line.
    pub(crate) fn at(self, excerpt: impl FnOnce() -> String) -> Self {
        match self {
            Self::At { .. } | Self::Language { .. } | Self::Cancelled | Self::CacheLost => self,
            error => Self::At {
                excerpt: excerpt(),
                error: Box::new(error),
            },
        }
    }

    /// The failure itself, without the place.
    #[must_use]
    pub fn innermost(&self) -> &Self {
        match self {
            Self::At { error, .. } => error.innermost(),
            other => other,
        }
    }

    /// The lines of the Dockerfile around the instruction that failed, the instruction marked; of
    /// a syntax error, all problems with their places.
    #[must_use]
    pub fn excerpt(&self) -> Option<&str> {
        match self {
            Self::At { excerpt, .. } => Some(excerpt),
            Self::Language { rendered, .. } if !rendered.is_empty() => Some(rendered),
            Self::IgnoreFile { rendered, .. } => Some(rendered),
            _ => None,
        }
    }

    /// The last lines that the command of a failed RUN wrote.
    #[must_use]
    pub fn output(&self) -> &[String] {
        match self.innermost() {
            Self::Step { tail, .. } => tail,
            _ => &[],
        }
    }
}

impl Describe for BuildError {
    fn kind(&self) -> Kind {
        match self {
            Self::At { error, .. } => error.kind(),
            Self::CacheExport { source, .. } => source.kind(),
            Self::Io { source, .. } | Self::Context { source, .. } => kind_of(source),
            Self::Dockerfile { .. } | Self::BaseImage { .. } | Self::MissingSource { .. } => {
                Kind::NotFound
            }
            Self::Fetch { source, .. } => source.kind(),
            Self::Download { source, .. } => source.kind(),
            Self::Language { error, .. } => error.kind(),
            Self::IgnoreFile { .. }
            | Self::Invalid { .. }
            | Self::InTheWay { .. }
            | Self::SeveralSources { .. }
            | Self::UnknownOwner { .. }
            | Self::SecretInLayer { .. }
            | Self::Checksum { .. }
            | Self::Archive { .. } => Kind::Invalid,
            Self::Unsupported { .. } | Self::Platform { .. } => Kind::Unsupported,
            Self::Vanished { .. }
            | Self::Agent { .. }
            | Self::CacheLost
            | Self::Git { .. }
            | Self::Program { .. } => Kind::Unavailable,
            Self::Step { code, .. } => {
                Kind::ContainerCommand(u8::try_from(*code).unwrap_or(u8::MAX))
            }
            Self::Cancelled => Kind::Cancelled,
            Self::Store(error) => error.kind(),
            Self::Engine(error) => error.kind(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::At { error, .. } => error.hints(),
            Self::CacheExport { source, .. } => export_hints(source),
            Self::Io { source, path, .. } => io_hints(source, path),
            Self::Context { source, path } => context_hints(source, path),
            Self::Dockerfile { similar, path, .. } => dockerfile_hints(similar, path),
            Self::Invalid { hints, .. }
            | Self::Unsupported { hints, .. }
            | Self::MissingSource { hints, .. }
            | Self::Git { hints, .. }
            | Self::Program { hints, .. }
            | Self::Step { hints, .. } => hints.clone(),
            Self::Download { source, url } => download_hints(source, url),
            Self::Checksum { actual, .. } => vec![format!(
                "nothing of it was kept; if the new content is the right one, write --checksum={actual}"
            )],
            // With an excerpt, the help stands in it.
            Self::Language { error, rendered } if rendered.is_empty() => error.hints(),
            Self::BaseImage { similar, reference } => base_image_hints(similar, reference),
            Self::Fetch {
                similar,
                reference,
                source,
            } => {
                let mut hints = base_image_hints(similar, reference);
                hints.extend(source.hints());
                hints
            }
            Self::SeveralSources { destination } => {
                vec![format!("write {destination}/ to copy into a directory")]
            }
            Self::UnknownOwner { known, what, .. } => owner_hints(known, what),
            Self::InTheWay { .. } => {
                vec!["remove it with RUN rm in an earlier step, or copy to another path".to_owned()]
            }
            Self::SecretInLayer { path, .. } => secret_hints(path),
            Self::Agent { .. } => {
                vec!["start one and give it the key: eval $(ssh-agent); ssh-add".to_owned()]
            }
            Self::Store(error) => error.hints(),
            Self::Engine(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

fn kind_of(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput => Kind::Invalid,
        _ => Kind::Unavailable,
    }
}

fn io_hints(source: &io::Error, path: &std::path::Path) -> Vec<String> {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => vec![
            "the disk is full: free space with hoist system prune, or move the data root"
                .to_owned(),
        ],
        io::ErrorKind::PermissionDenied => vec![format!(
            "make {} readable for you, or exclude it with a line in .dockerignore",
            path.display()
        )],
        _ => Vec::new(),
    }
}

fn context_hints(source: &io::Error, path: &std::path::Path) -> Vec<String> {
    match source.kind() {
        io::ErrorKind::NotFound => {
            vec!["the build context is the directory that COPY reads from, usually .".to_owned()]
        }
        io::ErrorKind::NotADirectory => vec![format!(
            "the build context must be a directory; did you mean -f {}?",
            path.display()
        )],
        _ => Vec::new(),
    }
}

fn dockerfile_hints(similar: &[String], path: &std::path::Path) -> Vec<String> {
    match similar {
        [] => vec![format!(
            "name another file with -f, or write {} with at least a FROM instruction",
            path.file_name().unwrap_or_default().display()
        )],
        names => vec![format!("did you mean -f {}?", names.join(" or -f "))],
    }
}

fn download_hints(source: &RegistryError, url: &str) -> Vec<String> {
    let host = url
        .split("://")
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    let host = host
        .unwrap_or_default()
        .split(':')
        .next()
        .unwrap_or_default();
    let hint = match source {
        RegistryError::Status {
            status: 401 | 403, ..
        } => format!(
            "give a token: --secret id=HTTP_AUTH_TOKEN_{host},env=…, or a header: id=HTTP_AUTH_HEADER_{host}"
        ),
        RegistryError::Status {
            status: 404 | 410, ..
        } => "check the address".to_owned(),
        RegistryError::Connection { reason, .. } => match reason {
            Broken::Name | Broken::Refused | Broken::Timeout | Broken::Proxy => {
                "check the address, the network, and whether a proxy has to be set (HTTPS_PROXY); \
                 a file that is here needs none of them when --checksum names it"
                    .to_owned()
            }
            Broken::UnknownAuthority => {
                "name a bundle of authorities that has this one: SSL_CERT_FILE=FILE".to_owned()
            }
            _ => return Vec::new(),
        },
        _ => return Vec::new(),
    };
    vec![hint]
}

fn base_image_hints(similar: &[String], reference: &str) -> Vec<String> {
    let mut hints = Vec::new();
    if let [first, ..] = similar {
        hints.push(format!("did you mean {first}?"));
    }
    if Reference::parse(reference).is_ok() {
        hints.push(format!(
            "without a registry, make it with hoist import FILE {reference}, or hoist build -t {reference}"
        ));
    }
    hints
}

fn export_hints(source: &BuildError) -> Vec<String> {
    let mut hints = source.hints();
    hints.push(
        "the image is built; with ignore-error=true in --cache-to, this would be a warning"
            .to_owned(),
    );
    hints
}

fn secret_hints(path: &std::path::Path) -> Vec<String> {
    let path = path.display();
    vec![
        "whoever has the image can read it, even when a later step removes it: keep it out with a \
         line in .dockerignore, or show it to one step only with RUN --mount=type=secret"
            .to_owned(),
        format!("if it is meant to be there, build with --allow-secret-in-layer {path}"),
    ]
}

fn owner_hints(known: &[String], what: &str) -> Vec<String> {
    let mut hints = vec![format!(
        "use a number, or create the {what} in an earlier step: RUN {}",
        if what == "user" {
            "useradd -m -u 1000 name"
        } else {
            "groupadd -g 1000 name"
        }
    )];
    if !known.is_empty() {
        let shown: Vec<_> = known.iter().take(20).map(String::as_str).collect();
        let dots = if known.len() > 20 { ", …" } else { "" };
        hints.push(format!("the image has: {}{dots}", shown.join(", ")));
    }
    hints
}
