//! Parser directives: `# syntax=`, `# escape=`, `# check=` on the first lines of the file.

use crate::diagnostic::Diagnostic;
use crate::source::{Span, Spanned};

/// The parser directives of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// The frontend that the author asks for (`docker/dockerfile:1`).
    pub syntax: Option<Spanned<String>>,
    /// The character that escapes and continues lines: `\` unless the file says `` ` ``.
    pub escape: char,
    /// The options of the build checks (`skip=JSONArgsRecommended;error=true`).
    pub check: Option<Spanned<String>>,
}

impl Default for Directives {
    fn default() -> Self {
        Self {
            syntax: None,
            escape: '\\',
            check: None,
        }
    }
}

/// Reads directives line by line, as long as there can be any.
///
/// Directives must come before every other comment, blank line or instruction, each at most
/// once; their names ignore case. A comment that looks like one but comes later is a comment.
#[derive(Debug, Default)]
pub(crate) struct DirectiveReader {
    pub(crate) directives: Directives,
    /// No directive can follow.
    closed: bool,
    /// `# escape=` can no longer follow (Docker's parser does not look behind a `#!` line for it).
    escape_closed: bool,
    escape_seen: bool,
    started: bool,
}

impl DirectiveReader {
    /// A line that is no comment was met.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether the comment `line` (from its `#`, which stands at byte `offset`) is a directive.
    pub(crate) fn comment(
        &mut self,
        line: &str,
        offset: usize,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> bool {
        let first = !std::mem::replace(&mut self.started, true);
        if self.closed {
            return false;
        }
        if first && line.starts_with("#!") {
            self.escape_closed = true;
            return false;
        }
        let Some((name, value)) = split(line, offset) else {
            self.closed = true;
            return false;
        };
        let duplicate = match name.as_str() {
            "syntax" => set_once(&mut self.directives.syntax, &value),
            "check" => set_once(&mut self.directives.check, &value),
            "escape" if !self.escape_closed => {
                let duplicate = std::mem::replace(&mut self.escape_seen, true);
                if !duplicate {
                    self.set_escape(&value, diagnostics);
                }
                duplicate
            }
            _ => {
                self.closed = true;
                return false;
            }
        };
        if duplicate {
            let message = format!("only one {name} parser directive can be used");
            diagnostics.push(Diagnostic::error(
                "duplicate-directive",
                message,
                value.span,
            ));
        }
        true
    }

    fn set_escape(&mut self, value: &Spanned<String>, diagnostics: &mut Vec<Diagnostic>) {
        match value.as_str() {
            "\\" => self.directives.escape = '\\',
            "`" => self.directives.escape = '`',
            other => {
                let message = format!("invalid escape token '{other}' does not match ` or \\");
                diagnostics.push(Diagnostic::error("invalid-escape", message, value.span));
            }
        }
    }
}

/// Sets `slot` if it is empty; whether it was not.
fn set_once(slot: &mut Option<Spanned<String>>, value: &Spanned<String>) -> bool {
    let duplicate = slot.is_some();
    if !duplicate {
        *slot = Some(value.clone());
    }
    duplicate
}

/// `# name = value` as lower-cased name and value.
fn split(line: &str, offset: usize) -> Option<(String, Spanned<String>)> {
    let body = line.strip_prefix('#')?.trim_start();
    let (name, value) = body.split_once('=')?;
    let name = name.trim_end();
    let mut letters = name.bytes();
    if !letters.next()?.is_ascii_alphabetic() || !letters.all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let from = offset + line.len() - value.trim_start().len();
    let value = value.trim();
    if value.is_empty() {
        return None;
    }
    let span = Span::new(from, from + value.len());
    Some((
        name.to_ascii_lowercase(),
        Spanned::new(value.to_owned(), span),
    ))
}
