//! What a check found, and what became of it.

use std::path::{Path, PathBuf};

use hoist_core::Digest;

/// How far a check looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Records, references and sizes; no content is read.
    Structure,
    /// Everything, byte by byte.
    Content,
}

/// What a check does with what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It tells.
    Look,
    /// It mends what can be mended from what is here, and sets the rest aside.
    Repair,
}

/// What part of a data root a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// `format.json`.
    Format,
    /// A layer: its record and its files.
    Layer,
    /// A blob that holds a layer's archive.
    LayerBlob,
    /// A blob that nothing refers to.
    Blob,
    /// An image: its record and its configuration.
    Image,
    /// The manifest of an image.
    Manifest,
    /// A name of an image.
    Name,
    /// A container.
    Container,
    /// A volume.
    Volume,
    /// A file that hoist did not put where it is.
    File,
}

impl Part {
    /// The word for it: `layer`, `image`, …
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Layer => "layer",
            Self::LayerBlob => "layer-blob",
            Self::Blob => "blob",
            Self::Image => "image",
            Self::Manifest => "manifest",
            Self::Name => "name",
            Self::Container => "container",
            Self::Volume => "volume",
            Self::File => "file",
        }
    }
}

/// What helps against a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// A repair makes it whole from what is here.
    Mend,
    /// A repair sets it aside, and nothing misses it.
    SetAside,
    /// A repair sets it aside; it must come from elsewhere then: by a pull, a load or a build.
    Fetch,
    /// Only the user can say what is right.
    ByHand,
}

/// What became of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was done.
    Open,
    /// It is whole again.
    Mended,
    /// It lies below `quarantine/` now, here.
    SetAside(PathBuf),
    /// There is nothing that could be set aside.
    Missing,
    /// The repair failed, for this reason.
    Failed(String),
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What part of the root it is.
    pub part: Part,
    /// Which one: a digest, a name, a path below the root.
    pub id: String,
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
    /// Images that it touches.
    pub images: Vec<Digest>,
    /// Containers that it touches, by name.
    pub containers: Vec<String>,
    /// What helps.
    pub remedy: Remedy,
    /// What became of it.
    pub outcome: Outcome,
}

impl Finding {
    /// A finding that nothing was done about, and that touches nothing else.
    #[must_use]
    pub fn new(part: Part, id: impl Into<String>, path: &Path, problem: impl Into<String>) -> Self {
        Self {
            part,
            id: id.into(),
            path: path.to_owned(),
            problem: problem.into(),
            images: Vec::new(),
            containers: Vec::new(),
            remedy: Remedy::ByHand,
            outcome: Outcome::Open,
        }
    }

    /// The same with what helps.
    #[must_use]
    pub fn with(mut self, remedy: Remedy) -> Self {
        self.remedy = remedy;
        self
    }

    /// The same with the images that it touches.
    #[must_use]
    pub fn touching(mut self, images: &[Digest]) -> Self {
        self.images = images.to_vec();
        self
    }

    /// Whether the root is sound in this respect now.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        match self.outcome {
            Outcome::Mended => true,
            Outcome::SetAside(_) => matches!(self.remedy, Remedy::SetAside),
            Outcome::Open | Outcome::Missing | Outcome::Failed(_) => false,
        }
    }
}

/// What a check looked at, and what it found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Layers that were looked at.
    pub layers: usize,
    /// Blobs that were looked at.
    pub blobs: usize,
    /// Images that were looked at.
    pub images: usize,
    /// Names that were looked at.
    pub names: usize,
    /// Bytes that were read.
    pub bytes: u64,
    /// What interrupted pulls left for the next attempt, in bytes.
    pub downloads: u64,
    /// Drafts of processes that are gone.
    pub drafts: usize,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

/// What a check is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckStep {
    /// What is looked at.
    pub part: Part,
    /// Which of them, from 1.
    pub number: usize,
    /// How many there are.
    pub total: usize,
    /// Bytes that were read until now.
    pub bytes: u64,
}
