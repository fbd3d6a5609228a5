//! What the command line prints and returns when something went wrong.
//!
//! | situation | exit code |
//! |---|---|
//! | a flag that is unknown or has a malformed value (every command, as Docker) | 125 |
//! | too few or too many arguments | 1 |
//! | `run`: anything before the container's command runs | 125 |
//! | the container's command cannot be executed, does not exist | 126, 127 |
//! | the container's command ended by signal n | 128 + n |
//! | anything else | 1 |

use std::{io, process::ExitCode};

use hoist_core::{Describe, Kind, error::chain};

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum CliError {
    /// The flags or arguments are wrong; the text is complete.
    Usage {
        /// What was wrong, and how the command is used.
        text: String,
        /// The exit code.
        code: u8,
    },
    /// The work failed.
    Failed(Failure),
    /// Everything has been said; only the exit code is left.
    Said(u8),
}

/// Work that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Of which kind the error is.
    pub(crate) kind: Kind,
    /// What failed, on what, and why.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hints: Vec<String>,
}

/// The exit code of a program whose reader went away: 128 + SIGPIPE.
pub(crate) const BROKEN_PIPE: u8 = 141;

impl CliError {
    /// Input that makes no sense.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::of(Kind::Invalid, message)
    }

    /// A failure of `kind` without hints.
    pub(crate) fn of(kind: Kind, message: impl Into<String>) -> Self {
        Self::Failed(Failure {
            kind,
            message: message.into(),
            hints: Vec::new(),
        })
    }

    /// The same with one more hint.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Failed(failure) = &mut self {
            failure.hints.push(hint.into());
        }
        self
    }

    /// A file of the user's that could not be read or written.
    pub(crate) fn file(action: &str, path: &std::path::Path, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            io::ErrorKind::AlreadyExists => Kind::Conflict,
            _ => Kind::Unavailable,
        };
        Self::of(kind, format!("cannot {action} {}: {error}", path.display()))
    }

    /// What a write to standard output came to.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::Said(BROKEN_PIPE);
        }
        Self::of(
            Kind::Unavailable,
            format!("cannot write to standard output: {error}"),
        )
    }

    /// The exit code, for a command that returns `failure` when its work fails.
    pub(crate) fn code(&self, failure: u8) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage { code, .. } | Self::Said(code) => *code,
            Self::Failed(Failure {
                kind: Kind::ContainerCommand(code),
                ..
            }) => *code,
            Self::Failed(Failure {
                kind: Kind::Cancelled,
                ..
            }) => 130,
            Self::Failed(_) => failure,
        })
    }

    /// What standard error gets, each line after `prefix` (`hoist` or `Error`); may be empty.
    pub(crate) fn text(&self, prefix: &str) -> String {
        match self {
            Self::Usage { text, .. } => format!("{text}\n"),
            Self::Failed(failure) => failure.text(prefix),
            Self::Said(_) => String::new(),
        }
    }
}

impl Failure {
    /// The failure that `error` is.
    pub(crate) fn from_error<E: Describe>(error: &E) -> Self {
        Self {
            kind: error.kind(),
            message: chain(error),
            hints: error.hints(),
        }
    }

    /// `prefix: message` and a line for each hint.
    pub(crate) fn text(&self, prefix: &str) -> String {
        let mut text = format!("{prefix}: {}\n", self.message.trim_end());
        for hint in &self.hints {
            text.push_str("hint: ");
            text.push_str(hint);
            text.push('\n');
        }
        text
    }
}

impl<E: Describe> From<E> for CliError {
    fn from(error: E) -> Self {
        Self::Failed(Failure::from_error(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_become_dockers_exit_codes() {
        let table = [
            (
                CliError::Usage {
                    text: String::new(),
                    code: 125,
                },
                1,
                125,
            ),
            (CliError::invalid("x"), 125, 125),
            (CliError::invalid("x"), 1, 1),
            (CliError::of(Kind::ContainerCommand(127), "x"), 125, 127),
            (CliError::of(Kind::Cancelled, "x"), 1, 130),
            (CliError::Said(3), 1, 3),
            (
                CliError::output(&io::ErrorKind::BrokenPipe.into()),
                1,
                BROKEN_PIPE,
            ),
        ];
        for (error, failure, code) in table {
            assert_eq!(error.code(failure), ExitCode::from(code), "{error:?}");
        }
    }

    #[test]
    fn a_failure_is_one_line_and_a_line_for_each_hint() {
        let error = CliError::invalid("it is wrong")
            .hint("do this")
            .hint("or that");
        assert_eq!(
            error.text("hoist"),
            "hoist: it is wrong\nhint: do this\nhint: or that\n"
        );
        assert_eq!(CliError::Said(1).text("hoist"), "");
    }
}
