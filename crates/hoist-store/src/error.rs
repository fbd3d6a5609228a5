//! Everything that can go wrong in the store.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use hoist_core::{Describe, Digest, Kind, reference::ReferenceError};

/// The result of a store operation.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why a store operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A system call on a file of the store failed.
    #[error("cannot {action} {path}", path = path.display())]
    File {
        /// What was attempted, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// No image has that name or id. The text is Docker's.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// A layer is not in the store.
    #[error("layer {0} is not in the store")]
    NoSuchLayer(Digest),
    /// A layer or image was still on its way to the disk when the machine went down.
    #[error("{what} was not completely written when the machine went down")]
    Unfinished {
        /// `layer sha256:…` or `image sha256:…`.
        what: String,
    },
    /// Several images have ids that begin like this.
    #[error("image id {prefix} is ambiguous: it begins {}", list(candidates))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// The images that it could mean.
        candidates: Vec<Digest>,
    },
    /// A text is neither the name nor the id of an image.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A reference that names a repository only.
    #[error("{0} has neither a tag nor a digest")]
    Untagged(String),
    /// The image cannot be removed. The words are Docker's.
    #[error("conflict: unable to {what} ({force}) - {reason}", force = force.words())]
    InUse {
        /// `delete <short id>` or `remove repository reference "<name>"`.
        what: String,
        /// Whether force would have helped.
        force: Force,
        /// Who is in the way.
        reason: String,
    },
    /// The input is not an archive that the store reads.
    #[error("not a readable archive at byte {offset}: {reason}")]
    Archive {
        /// Offset in the uncompressed archive.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The archive could not be read on.
    #[error("cannot read the archive after {offset} bytes")]
    Input {
        /// Bytes of the uncompressed archive that were read.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// An entry of an archive was refused.
    #[error("archive entry {entry:?}: {reason}")]
    Entry {
        /// The path as the archive has it.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An entry of an archive could not be unpacked.
    #[error("archive entry {entry:?}: cannot {action} {path}", path = path.display())]
    Unpack {
        /// The path as the archive has it.
        entry: String,
        /// What was attempted, as a verb.
        action: &'static str,
        /// Where it was to be unpacked.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file cannot be part of a layer.
    #[error("{path} cannot be part of a layer: {reason}", path = path.display())]
    Unrepresentable {
        /// The file, where it lies.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What came is not what was asked for.
    #[error("{what} has the digest {found}, not {expected}")]
    DigestMismatch {
        /// `the blob`, `the layer`.
        what: String,
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// What a manifest names is not in its repository.
    #[error("the {what} {digest} is not in the repository {repository}")]
    NotInRepository {
        /// `blob` or `manifest`.
        what: &'static str,
        /// What is missing.
        digest: Digest,
        /// Where it should be.
        repository: String,
    },
    /// The receiver of an archive stopped taking it.
    #[error("cannot write the archive of layer {layer}")]
    Output {
        /// The layer that was being written.
        layer: Digest,
        /// Why.
        source: io::Error,
    },
    /// A file of the store holds something else than it should.
    #[error("{path} is damaged: {reason}", path = path.display())]
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Layers were to be indexed, where the kernel mounts no such layers.
    #[error("layers cannot be indexed here: {reason}")]
    NotIndexed {
        /// Why.
        reason: String,
    },
    /// The store was made by a newer hoist.
    #[error("the store {root} has {what}, which this hoist does not know", root = root.display())]
    Newer {
        /// The root of the store.
        root: PathBuf,
        /// The version or the features.
        what: String,
    },
    /// The store may be read but not written by this hoist.
    #[error("the store {root} can only be read: it has {what}", root = root.display())]
    ReadOnly {
        /// The root of the store.
        root: PathBuf,
        /// The features that forbid writing.
        what: String,
    },
}

/// Whether a removal that was refused can be forced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// With force it would have been done.
    Needed,
    /// Not even with force.
    Useless,
}

impl Force {
    const fn words(self) -> &'static str {
        match self {
            Self::Needed => "must be forced",
            Self::Useless => "cannot be forced",
        }
    }
}

impl StoreError {
    /// Wrap what a system call on `path` reported.
    pub(crate) fn file<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::File {
            action,
            path: path.to_owned(),
            source: source.into(),
        }
    }

    pub(crate) fn damaged(path: &Path, reason: &dyn fmt::Display) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(crate) const fn is_no_such_image(&self) -> bool {
        matches!(self, Self::NoSuchImage(_))
    }

    /// Whether the failing file is simply not there.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether there was no room left, on the disk or in the user's quota.
    #[must_use]
    pub fn is_full_disk(&self) -> bool {
        let (Self::File { source, .. } | Self::Unpack { source, .. }) = self else {
            return false;
        };
        matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}

impl Describe for StoreError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchImage(_)
            | Self::NoSuchLayer(_)
            | Self::Unfinished { .. }
            | Self::NotInRepository { .. } => Kind::NotFound,
            Self::Ambiguous { .. } | Self::InUse { .. } => Kind::Conflict,
            Self::Reference(_)
            | Self::Untagged(_)
            | Self::Archive { .. }
            | Self::Entry { .. }
            | Self::DigestMismatch { .. }
            | Self::Unrepresentable { .. } => Kind::Invalid,
            Self::Newer { .. } | Self::ReadOnly { .. } | Self::NotIndexed { .. } => {
                Kind::Unsupported
            }
            Self::File { .. }
            | Self::Input { .. }
            | Self::Unpack { .. }
            | Self::Output { .. }
            | Self::Damaged { .. } => Kind::Unavailable,
        }
    }

    fn hints(&self) -> Vec<String> {
        if let Self::File { source, path, .. } = self
            && source.kind() == io::ErrorKind::PermissionDenied
        {
            return vec![format!(
                "{} belongs to another user: use the same user as before, or set HOIST_ROOT to a \
                 directory of your own",
                path.display()
            )];
        }
        let hint = match self {
            _ if self.is_full_disk() => {
                "Free some space: `hoist system prune` removes what no container uses"
            }
            Self::Unpack { action, source, .. }
                if action.contains("owner") && source.kind() == io::ErrorKind::InvalidInput =>
            {
                "That user or group has no number in this user namespace: give yours a range of \
                 65536 subordinate ids in /etc/subuid and /etc/subgid"
            }
            Self::Unfinished { .. } => "Build, import or pull the image again",
            Self::NoSuchLayer(_) => {
                "hoist system check names the images that need it; pull or build them again"
            }
            Self::Ambiguous { .. } => "Give more digits of the id, or a name",
            Self::InUse { force, reason, .. } => match force {
                Force::Needed if reason.contains("repositories") => {
                    "Remove the names one by one, or add --force to remove them all"
                }
                Force::Needed => "Remove the container first, or add --force",
                Force::Useless => "Stop and remove the container first",
            },
            Self::Newer { .. } | Self::ReadOnly { .. } => {
                "Use the hoist that made it, or a newer one; or choose another HOIST_ROOT"
            }
            Self::NotIndexed { .. } => "Leave the form of layers to hoist: unset HOIST_LAYER_FORM",
            Self::Damaged { .. } => {
                "hoist system check says what else is damaged and whom it touches, and with \
                 --repair mends what can be mended"
            }
            Self::Archive { offset: 0, .. } => {
                "Give a tar archive, plain or compressed by gzip or zstd"
            }
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

fn list(digests: &[Digest]) -> String {
    let shorts: Vec<_> = digests.iter().take(5).map(Digest::short).collect();
    let more = if digests.len() > 5 { ", …" } else { "" };
    format!("{}{more}", shorts.join(", "))
}
