//! What can go wrong between a text and a build plan.

use hoist_core::{Describe, Kind};

use crate::diagnostic::Diagnostic;
use crate::source::Source;

/// The error of this crate.
///
/// Parsers return plain [`Diagnostic`]s, which a caller renders with an excerpt; this is the form
/// that travels on to who has no text at hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DockerfileError {
    /// The text is no Dockerfile. Never empty.
    #[error("dockerfile parse error on line {line}: {}", first(.diagnostics))]
    Syntax {
        /// The line of the first error, from 1.
        line: usize,
        /// All errors, in the order of the file.
        diagnostics: Vec<Diagnostic>,
    },
    /// The Dockerfile's stages do not fit together.
    #[error("{}", .diagnostic.message)]
    Stage {
        /// What is wrong and where.
        diagnostic: Box<Diagnostic>,
    },
    /// There is no stage of the name that was asked for.
    #[error("target stage \"{target}\" could not be found{}", crate::suggest::did_you_mean(.suggestion.as_deref()))]
    UnknownTarget {
        /// The name.
        target: String,
        /// A name that is nearly the same.
        suggestion: Option<String>,
        /// The names that there are.
        stages: Vec<String>,
    },
}

fn first(diagnostics: &[Diagnostic]) -> &str {
    diagnostics.first().map_or("", |first| &first.message)
}

impl DockerfileError {
    /// The errors of [`crate::parse`] of `source`.
    #[must_use]
    pub fn syntax(diagnostics: Vec<Diagnostic>, source: &Source) -> Self {
        let start = diagnostics.first().map_or(0, |first| first.span.start);
        Self::Syntax {
            line: source.position(start).line,
            diagnostics,
        }
    }

    /// The findings that have a place in the text.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        match self {
            Self::Syntax { diagnostics, .. } => diagnostics,
            Self::Stage { diagnostic } => std::slice::from_ref(diagnostic),
            Self::UnknownTarget { .. } => &[],
        }
    }
}

impl From<Diagnostic> for DockerfileError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Stage {
            diagnostic: Box::new(diagnostic),
        }
    }
}

impl Describe for DockerfileError {
    fn kind(&self) -> Kind {
        match self {
            Self::Syntax { .. } | Self::Stage { .. } => Kind::Invalid,
            Self::UnknownTarget { .. } => Kind::NotFound,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::UnknownTarget { stages, .. } if stages.is_empty() => {
                vec!["no stage of this Dockerfile has a name; write FROM image AS name".to_owned()]
            }
            Self::UnknownTarget { stages, .. } => {
                vec![format!("the stages are {}", stages.join(", "))]
            }
            _ => self
                .diagnostics()
                .iter()
                .filter_map(|found| found.help.clone())
                .collect(),
        }
    }
}
