//! What is wrong with a text, and where.

use std::fmt;

use crate::source::Span;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Docker accepts it; it may not do what the author means.
    Warning,
    /// The file cannot be used.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One finding in a Dockerfile or a `.dockerignore`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name: `kebab-case` for syntax, Docker's rule names (`StageNameCasing`) for checks.
    pub code: &'static str,
    /// What is wrong, as a fragment without a final period; Docker's words where Docker has them.
    /// Control characters of the file are not in it.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What to write instead, where that is known.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at `span`.
    #[must_use]
    pub fn error(code: &'static str, message: impl Into<String>, span: Span) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: printable(&message.into()),
            span,
            help: None,
        }
    }

    /// A warning at `span`.
    #[must_use]
    pub fn warning(code: &'static str, message: impl Into<String>, span: Span) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message, span)
        }
    }

    /// The same finding with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        let help: String = help.into();
        let lines: Vec<String> = help.lines().map(printable).collect();
        self.help = Some(lines.join("\n"));
        self
    }
}

/// `text` with U+FFFD for the control characters that a quoted part of a file may bring along:
/// messages end up on terminals.
pub(crate) fn printable(text: &str) -> String {
    let replace = |c: char| {
        if c.is_control() && c != '\t' {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(replace).collect()
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
