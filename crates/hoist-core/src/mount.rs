//! Mounts of containers: the syntax of `-v`, `--mount` and `--tmpfs`.
//!
//! The rules are those of Docker's command line and of moby's `volume/mounts` parser for Linux.
//! Whether a path exists is not looked at here; [`MountKind::Bind`] says what
//! to do if it does not.

mod csv;
mod long;
mod short;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use csv::fields as csv_fields;
pub use long::parse_mount;
pub use short::{parse_tmpfs, parse_volume};

use crate::{
    digest::Digest,
    error::{Describe, Kind},
    name::NameError,
};

/// One mount that a user asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRequest {
    /// What is mounted.
    #[serde(flatten)]
    pub kind: MountKind,
    /// Where in the container: absolute, without `.`, `..` or doubled slashes, and never `/`.
    pub target: PathBuf,
    /// Mounted read-only.
    #[serde(default)]
    pub read_only: bool,
    /// How mounts made later on either side spread.
    #[serde(default)]
    pub propagation: Propagation,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum MountKind {
    /// A file or directory of the host.
    Bind {
        /// Absolute path on the host.
        source: PathBuf,
        /// Make `source` a directory if it does not exist (`-v`), or fail (`--mount`).
        create_missing: bool,
        /// What becomes of the mounts below `source`.
        #[serde(default)]
        recursion: Recursion,
    },
    /// A volume of hoist's own.
    Volume {
        /// Its name; `None` is a new volume that only its container knows.
        name: Option<String>,
        /// Do not fill an empty volume with what the image has at the target.
        nocopy: bool,
    },
    /// A file system in memory, gone with the container.
    Tmpfs {
        /// The most bytes it holds; `None` is the kernel's default, half of the memory.
        size: Option<u64>,
        /// Permission bits of its root; `None` is 01777.
        mode: Option<u32>,
        /// Other options, in order: `exec`, `noexec`, `uid=1000`, `nr_inodes=10k`, …
        #[serde(default)]
        options: Vec<String>,
    },
    /// The files of an image, read-only.
    Image {
        /// The image as the user named it.
        source: String,
        /// A directory of the image to mount in place of all: relative, without `.` and `..`.
        #[serde(default)]
        subpath: PathBuf,
        /// Which image that is, once it was looked up.
        #[serde(default)]
        image: Option<Digest>,
        /// Diff ids of its layers, lowest first.
        #[serde(default)]
        layers: Vec<Digest>,
    },
}

/// Propagation of a mount (`mount_namespaces(7)`); the default is `rprivate`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// This mount is private, those below it stay as they are.
    Private,
    /// This mount and all below it are private.
    #[default]
    Rprivate,
    /// Mounts appear on both sides.
    Shared,
    /// The same, for all mounts below too.
    Rshared,
    /// Mounts of the host appear in the container only.
    Slave,
    /// The same, for all mounts below too.
    Rslave,
}

impl Propagation {
    /// The word of mount options: `rprivate`, `rslave`, …
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Rprivate => "rprivate",
            Self::Shared => "shared",
            Self::Rshared => "rshared",
            Self::Slave => "slave",
            Self::Rslave => "rslave",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "private" => Self::Private,
            "rprivate" => Self::Rprivate,
            "shared" => Self::Shared,
            "rshared" => Self::Rshared,
            "slave" => Self::Slave,
            "rslave" => Self::Rslave,
            _ => return None,
        })
    }
}

/// What becomes of mounts below the source of a bind mount (`--mount …,bind-recursive=`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recursion {
    /// They come along; read-only applies to them where the kernel can (5.12 and later).
    #[default]
    Enabled,
    /// They stay away.
    Disabled,
    /// They come along and stay writable in a read-only mount.
    Writable,
    /// They come along and must become read-only, or the mount fails.
    Readonly,
}

/// Why a mount is refused; the words are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// `-v ''`.
    #[error("invalid empty volume spec")]
    Empty,
    /// Two colons in a row, or one at the start.
    #[error("invalid spec: {0}: empty section between colons")]
    EmptySection(String),
    /// The parts of `-v` make no sense.
    #[error("invalid volume specification: '{0}'")]
    Specification(String),
    /// The options of `-v` are unknown, or contradict each other.
    #[error("invalid mode: {0}")]
    Mode(String),
    /// The target is not absolute.
    #[error("invalid mount path: '{0}' mount path must be absolute")]
    NotAbsolute(String),
    /// The target is the root of the container.
    #[error("invalid specification: destination can't be '/'")]
    Root,
    /// A source that is neither a path nor a name.
    #[error(transparent)]
    VolumeName(#[from] NameError),
    /// Two mounts at one path.
    #[error("Duplicate mount point: {}", .0.display())]
    Duplicate(PathBuf),
    /// `--mount` is not one line of comma-separated values.
    #[error("{0}")]
    Csv(String),
    /// A word of `--mount` without value.
    #[error("invalid field '{0}' must be a key=value pair")]
    Field(String),
    /// A key that `--mount` does not know.
    #[error("unexpected key '{key}' in '{field}'")]
    Key {
        /// The key.
        key: String,
        /// The whole field.
        field: String,
    },
    /// A value that its key cannot have.
    #[error("invalid value for {key}: {value}")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// `--mount` without a target or type.
    #[error("{0} is required")]
    Required(&'static str),
    /// Options of one type on a mount of another.
    #[error("cannot mix '{options}-*' options with mount type '{kind}'")]
    Mixed {
        /// The prefix of the options.
        options: &'static str,
        /// The type of the mount.
        kind: String,
    },
    /// The parts of `--mount` do not fit together.
    #[error("invalid mount config for type {kind:?}: {reason}")]
    Config {
        /// The type of the mount.
        kind: String,
        /// What does not fit.
        reason: String,
    },
    /// Docker knows it, hoist does not.
    #[error("unsupported mount option: {0}")]
    Unsupported(String),
    /// An option of `--tmpfs` that tmpfs does not know.
    #[error("invalid tmpfs option {0:?}")]
    TmpfsOption(String),
}

impl Describe for MountError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unsupported(_) => Kind::Unsupported,
            _ => Kind::Invalid,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Empty | Self::EmptySection(_) | Self::Specification(_) => {
                "write /host/path:/container/path[:ro], name:/container/path[:ro] or /container/path"
                    .to_owned()
            }
            Self::Mode(_) => {
                "the options are ro or rw, z or Z, nocopy, and one propagation such as rslave"
                    .to_owned()
            }
            Self::NotAbsolute(path) if !path.is_empty() => {
                format!("write /{} for the path in the container", path.trim_start_matches("./"))
            }
            Self::VolumeName(error) => return error.hints(),
            Self::Duplicate(path) => {
                format!("give only one of -v, --mount and --tmpfs for {}", path.display())
            }
            Self::Csv(_) | Self::Field(_) | Self::Key { .. } | Self::Required(_) => {
                "write --mount type=bind,source=/host/path,target=/container/path[,readonly]"
                    .to_owned()
            }
            Self::TmpfsOption(_) => {
                "the options are size=, mode=, uid=, gid=, nr_inodes=, ro, rw, exec, noexec, suid, \
                 nosuid, dev and nodev"
                    .to_owned()
            }
            _ => return Vec::new(),
        };
        vec![hint]
    }
}

/// Refuse two mounts at one target.
///
/// # Errors
/// [`MountError::Duplicate`] with the first path that comes twice.
pub fn check_duplicates(mounts: &[MountRequest]) -> Result<(), MountError> {
    for (index, mount) in mounts.iter().enumerate() {
        if mounts[..index]
            .iter()
            .any(|other| other.target == mount.target)
        {
            return Err(MountError::Duplicate(mount.target.clone()));
        }
    }
    Ok(())
}

/// `path` without `.`, `..`, doubled and trailing slashes, by its text alone (Go's `path.Clean`);
/// `path` is absolute.
fn clean(path: &str) -> PathBuf {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    PathBuf::from(format!("/{}", parts.join("/")))
}

/// A target: absolute, clean, and not the root.
fn parse_target(text: &str) -> Result<PathBuf, MountError> {
    if !text.starts_with('/') || text.contains('\0') {
        return Err(MountError::NotAbsolute(text.to_owned()));
    }
    let target = clean(text);
    if target == Path::new("/") {
        return Err(MountError::Root);
    }
    Ok(target)
}

/// A path of the host: absolute, or relative to `cwd` when it starts with `./` or `../` or is one
/// of the two; `None` for everything else.
fn host_path(text: &str, cwd: &Path) -> Option<PathBuf> {
    if text.starts_with('/') {
        return Some(clean(text));
    }
    if matches!(text, "." | "..") || text.starts_with("./") || text.starts_with("../") {
        let joined = cwd.join(text);
        // A working directory that is not UTF-8 cannot be cleaned as text; the kernel can.
        return Some(joined.to_str().map_or_else(|| joined.clone(), clean));
    }
    None
}

#[cfg(test)]
mod tests;
