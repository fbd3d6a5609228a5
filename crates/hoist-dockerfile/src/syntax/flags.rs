//! The `--flags` of an instruction, checked against what it takes.

use super::line::Fragment;
use super::words::FlagWord;
use crate::diagnostic::Diagnostic;
use crate::source::Spanned;
use crate::suggest::{did_you_mean, nearest};

/// What a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// `--name`, `--name=true` or `--name=false`.
    Bool,
    /// `--name=value`, at most once.
    Value,
    /// `--name=value`, any number of times.
    Values,
}

/// The flags that an instruction knows.
pub(crate) type Known = &'static [(&'static str, Takes)];

/// The flags that were given.
#[derive(Debug)]
pub(crate) struct Flags {
    given: Vec<(&'static str, Spanned<String>)>,
}

impl Flags {
    /// Checks `words` (which stand in `rest`) against `known`.
    pub(crate) fn parse(
        words: &[FlagWord],
        rest: &Fragment<'_>,
        known: Known,
    ) -> Result<Self, Diagnostic> {
        let mut given: Vec<(&'static str, Spanned<String>)> = Vec::new();
        for word in words {
            let span = rest.span_of(word.range.clone());
            let (flag, value) = match word.text.split_once('=') {
                Some((flag, value)) => (flag, Some(value)),
                None => (word.text.as_str(), None),
            };
            let name = flag.strip_prefix("--").unwrap_or(flag);
            let Some(&(name, takes)) = known.iter().find(|(known, _)| *known == name) else {
                let hint = did_you_mean(nearest(name, known.iter().map(|(known, _)| *known)));
                let message = format!("unknown flag: {flag}{hint}");
                return Err(unknown_flag(message, span, known));
            };
            if takes != Takes::Values && given.iter().any(|(other, _)| *other == name) {
                let message = format!("duplicate flag specified: {flag}");
                return Err(Diagnostic::error("duplicate-flag", message, span));
            }
            let value = check_value(flag, value, takes)
                .map_err(|message| Diagnostic::error("flag-value", message, span))?;
            given.push((name, Spanned::new(value, value_span(word, rest))));
        }
        Ok(Self { given })
    }

    /// The value of a flag that is given at most once.
    pub(crate) fn value(&self, name: &str) -> Option<Spanned<String>> {
        self.values(name).into_iter().next()
    }

    /// The value of a flag, without an empty one: for flags whose empty value means none.
    pub(crate) fn non_empty(&self, name: &str) -> Option<Spanned<String>> {
        self.value(name).filter(|value| !value.is_empty())
    }

    /// All values of a flag, in order.
    pub(crate) fn values(&self, name: &str) -> Vec<Spanned<String>> {
        let matching = self.given.iter().filter(|(given, _)| *given == name);
        matching.map(|(_, value)| value.clone()).collect()
    }

    /// The value of a switch, if it was given.
    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        self.value(name).map(|value| value.as_str() == "true")
    }
}

/// Where the value of a flag stands: behind the `=` if nothing was quoted, else the whole flag.
fn value_span(word: &FlagWord, rest: &Fragment<'_>) -> crate::source::Span {
    let written = &rest.text()[word.range.clone()];
    match written.find('=') {
        Some(at) if written == word.text => rest.span_of(word.range.start + at + 1..word.range.end),
        _ => rest.span_of(word.range.clone()),
    }
}

fn check_value(flag: &str, value: Option<&str>, takes: Takes) -> Result<String, String> {
    match (takes, value) {
        (Takes::Bool, None) => Ok("true".to_owned()),
        (Takes::Bool, Some("")) | (Takes::Value | Takes::Values, None) => {
            Err(format!("missing a value on flag: {flag}"))
        }
        (Takes::Bool, Some(value)) => match value.to_ascii_lowercase().as_str() {
            lower @ ("true" | "false") => Ok(lower.to_owned()),
            _ => Err(format!(
                "expecting boolean value for flag {flag}, not: {value}"
            )),
        },
        (Takes::Value | Takes::Values, Some(value)) => Ok(value.to_owned()),
    }
}

fn unknown_flag(message: String, span: crate::source::Span, known: Known) -> Diagnostic {
    let diagnostic = Diagnostic::error("unknown-flag", message, span);
    if known.is_empty() {
        return diagnostic.with_help("this instruction takes no flags");
    }
    let names: Vec<String> = known.iter().map(|(name, _)| format!("--{name}")).collect();
    diagnostic.with_help(format!("this instruction takes {}", names.join(", ")))
}
