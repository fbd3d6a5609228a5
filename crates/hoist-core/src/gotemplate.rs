//! Go's `text/template`, as far as users of `--format` use it, over JSON values.
//!
//! What there is: fields and chains of fields, variables, pipes and parentheses; `if`, `else if`,
//! `with`, `range` (arrays by position, objects by sorted key), `break`, `continue`; comments and
//! trim markers; all literals of Go; the functions of Go (`and or not eq ne lt le gt ge len index
//! slice print printf println html urlquery`) and of Docker (`json split join title lower upper
//! truncate pad`). What there is not: `define`, `template`, `block`, `call` and `js`, which need
//! more than one template or Go values.
//!
//! Values print as Go prints them: `[a b]`, `map[a:1 b:2]`, `<no value>`. Errors are Go's texts
//! behind Docker's `template parsing error: `.
//!
//! A template of any content and any data ends, without a panic, within bounds of depth, steps and
//! output. The lexer makes tokens, the parser a tree, `eval` walks it, `functions` computes, `print`
//! writes values.

mod eval;
mod functions;
mod lexer;
mod parser;
mod print;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::error::{Describe, Kind};

/// A template, parsed.
#[derive(Debug, Clone)]
pub struct Template {
    source: String,
    nodes: Vec<parser::Node>,
}

/// Why a template cannot be parsed or executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is no template.
    #[error("template parsing error: template: :{line}: {message}")]
    Parse {
        /// The line, from 1.
        line: usize,
        /// What is wrong, in Go's words.
        message: String,
    },
    /// The template does not fit the data.
    #[error(
        "template parsing error: template: :{line}:{column}: executing \"\" at <{at}>: {message}"
    )]
    Execute {
        /// The line, from 1.
        line: usize,
        /// The byte in the line, from 0.
        column: usize,
        /// The part of the template.
        at: String,
        /// What is wrong, in Go's words.
        message: String,
        /// The names that the data has where the template asks for another one.
        known: Vec<String>,
    },
}

impl Describe for TemplateError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Execute { known, .. } if !known.is_empty() => {
                vec![format!("the names here are {}", known.join(", "))]
            }
            _ => Vec::new(),
        }
    }
}

/// What a field that the data does not have stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// An error that names the field (Go's `missingkey=error`), which is what `--format` does.
    #[default]
    Error,
    /// `<no value>`.
    NoValue,
}

/// Computes `.Name argument…` on a value; `None` when the value has no such method.
pub type Method<'m> = &'m dyn Fn(&Value, &str, &[Value]) -> Option<Value>;

/// How a template is executed.
#[derive(Clone, Copy, Default)]
pub struct Options<'m> {
    /// What a missing field stands for.
    pub missing: MissingKey,
    /// Fields with arguments, such as Docker's `{{.Label "key"}}`.
    pub method: Option<Method<'m>>,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}

impl Template {
    /// Parse `source`.
    ///
    /// # Errors
    /// [`TemplateError::Parse`] with the line and Go's words.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        Ok(Self {
            source: source.to_owned(),
            nodes: parser::parse(source)?,
        })
    }

    /// The text for `data`; a field that it does not have is an error.
    ///
    /// # Errors
    /// [`TemplateError::Execute`] with the place and Go's words.
    pub fn render(&self, data: &Value) -> Result<String, TemplateError> {
        self.render_with(data, Options::default())
    }

    /// The text for `data`.
    ///
    /// # Errors
    /// [`TemplateError::Execute`] with the place and Go's words.
    pub fn render_with(&self, data: &Value, options: Options<'_>) -> Result<String, TemplateError> {
        eval::execute(&self.source, &self.nodes, data, options)
    }
}

/// `text` with the two characters `\t` and `\n` as tab and line end: what `ps --format`,
/// `images --format` and other listings do before parsing, since shells pass them on as written.
#[must_use]
pub fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

/// The line (from 1) and the byte in it (from 0) of the byte `at` of `source`.
fn position(source: &str, at: usize) -> (usize, usize) {
    let before = &source.as_bytes()[..at.min(source.len())];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let column = before
        .iter()
        .rev()
        .take_while(|&&byte| byte != b'\n')
        .count();
    (line, column)
}

/// A parse error at the byte `at` of `source`.
fn parse_error(source: &str, at: usize, message: impl Into<String>) -> TemplateError {
    TemplateError::Parse {
        line: position(source, at).0,
        message: message.into(),
    }
}
