//! Variables: `$name` and `${name…}`, quotes and escapes, as BuildKit's shell lexer reads them.
//!
//! | form | gives |
//! |---|---|
//! | `$v` `${v}` | the value, or nothing |
//! | `${v:-w}` `${v-w}` | the value, or `w` if `v` is unset (with `:`, or empty) |
//! | `${v:+w}` `${v+w}` | `w` if `v` is set (with `:`, and not empty), or nothing |
//! | `${v:?w}` `${v?w}` | the value, or an error saying `w` |
//! | `${v#p}` `${v##p}` | the value without the shortest (longest) prefix that matches `p` |
//! | `${v%p}` `${v%%p}` | the same for suffixes |
//! | `${v/p/r}` `${v//p/r}` | the value with the first (every) match of `p` replaced by `r` |
//!
//! `p` knows `*` and `?`. Inside single quotes nothing is special; inside double quotes `$` is, and
//! the escape character before `"`, `$` and itself.
//!
//! Docker expands the arguments of ADD, COPY, ENV, EXPOSE, FROM, LABEL, STOPSIGNAL, USER, VOLUME
//! and WORKDIR, the defaults of ARG, the options of `RUN --mount` and the bodies of unquoted
//! heredocs of ADD and COPY, and nothing else. [`instruction`] does that for a whole instruction
//! at once, so that every word sees the same values (`ENV a=1 b=$a` takes the old `a`).
//!
//! Work and output are bounded: nesting by [`MAX_DEPTH`], the result by [`Expander::limit`].

pub mod instruction;
mod lexer;
mod pattern;
pub mod scope;

use std::collections::BTreeSet;
use std::fmt;

pub(crate) use lexer::Lexer;
pub use scope::{Scope, StageScope};

/// How deep `${a:-${b:-…}}` may nest.
pub const MAX_DEPTH: usize = 64;

/// The number of bytes that variables may add to a word unless [`Expander::limit`] is set: 128 KiB.
///
/// Linux hands no longer string to a program (`MAX_ARG_STRLEN`).
pub const DEFAULT_LIMIT: usize = 1 << 17;

/// The result of expanding one word, and the names that decided it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expansion {
    /// The text after expansion.
    pub text: String,
    /// The variables that were looked up and set.
    pub used: BTreeSet<String>,
    /// The variables that were looked up and not set.
    pub unset: BTreeSet<String>,
}

/// Why a word cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpandError {
    /// The word.
    pub word: String,
    /// Where in the word the trouble starts, in bytes.
    pub offset: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// `${` or `${v:-…` without `}`.
    MissingBrace,
    /// `${v/…` without the second `/`.
    MissingSlash,
    /// A quote is not closed.
    OpenQuote(char),
    /// `${}`, `${:…}`, `${{…}`.
    BadSubstitution,
    /// `${v^}` and the like.
    UnsupportedModifier(String),
    /// A pattern with an escape that means nothing.
    InvalidPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `${v:?message}` of an unset (or empty) variable.
    Required {
        /// The variable.
        name: String,
        /// The message.
        message: String,
    },
    /// Nested more than [`MAX_DEPTH`] deep.
    TooDeep,
    /// The result, or the work for it, is too large.
    TooLarge,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingBrace => f.write_str("syntax error: missing '}'"),
            Self::MissingSlash => f.write_str("syntax error: missing '/' in ${}"),
            Self::OpenQuote('\'') => {
                f.write_str("unexpected end of statement while looking for matching single-quote")
            }
            Self::OpenQuote(_) => {
                f.write_str("unexpected end of statement while looking for matching double-quote")
            }
            Self::BadSubstitution => f.write_str("syntax error: bad substitution"),
            Self::UnsupportedModifier(modifier) => {
                write!(f, "unsupported modifier ({modifier}) in substitution")
            }
            Self::InvalidPattern { pattern, reason } => {
                write!(f, "invalid pattern ({pattern}) in substitution: {reason}")
            }
            Self::Required { name, message } => write!(f, "{name}: {message}"),
            Self::TooDeep => write!(f, "substitutions nest more than {MAX_DEPTH} deep"),
            Self::TooLarge => f.write_str("the result of the substitution is too large"),
        }
    }
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.word.chars().take(200).collect();
        let dots = if shown.len() < self.word.len() {
            "…"
        } else {
            ""
        };
        write!(f, "failed to process \"{shown}{dots}\": {}", self.problem)
    }
}

impl std::error::Error for ExpandError {}

/// Expands words against one set of variables.
#[derive(Clone, Copy)]
pub struct Expander<'s> {
    scope: &'s dyn Scope,
    escape: char,
    limit: usize,
}

impl fmt::Debug for Expander<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expander")
            .field("escape", &self.escape)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl<'s> Expander<'s> {
    /// Expands with the variables of `scope`; `escape` is the escape character of the file.
    #[must_use]
    pub fn new(scope: &'s dyn Scope, escape: char) -> Self {
        Self {
            scope,
            escape,
            limit: DEFAULT_LIMIT,
        }
    }

    /// The same with another limit for results, in bytes.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Expands `word` and removes its quotes; the result is one word whatever is in it.
    ///
    /// # Errors
    /// [`ExpandError`] says what is wrong and where.
    pub fn word(&self, word: &str) -> Result<Expansion, ExpandError> {
        Lexer::new(word, self.scope, self.escape, self.limit).expansion()
    }

    /// Expands `word`, removes its quotes and splits the result at white space outside quotes
    /// (EXPOSE does so).
    ///
    /// # Errors
    /// [`ExpandError`] says what is wrong and where.
    pub fn words(&self, word: &str) -> Result<Vec<String>, ExpandError> {
        let lexer = Lexer::new(word, self.scope, self.escape, self.limit);
        Ok(lexer.words()?.into_iter().map(|(word, _)| word).collect())
    }

    /// Expands the variables of a heredoc's body and leaves its quotes alone.
    ///
    /// The escape character is `\` whatever the file says.
    ///
    /// # Errors
    /// [`ExpandError`] says what is wrong and where.
    pub fn document(&self, text: &str) -> Result<Expansion, ExpandError> {
        let limit = self.limit.saturating_add(text.len());
        Lexer::new(text, self.scope, '\\', limit)
            .ignoring_quotes()
            .expansion()
    }
}

/// [`Expander::word`], for who needs only the text.
///
/// # Errors
/// [`ExpandError`] says what is wrong and where.
pub fn expand_word(word: &str, scope: &dyn Scope, escape: char) -> Result<String, ExpandError> {
    Ok(Expander::new(scope, escape).word(word)?.text)
}

/// [`Expander::words`].
///
/// # Errors
/// [`ExpandError`] says what is wrong and where.
pub fn expand_words(
    word: &str,
    scope: &dyn Scope,
    escape: char,
) -> Result<Vec<String>, ExpandError> {
    Expander::new(scope, escape).words(word)
}

#[cfg(test)]
mod tests;
