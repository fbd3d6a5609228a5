//! `ENV` and `LABEL`: `name=value …`, and the older `name value`.

use super::Request;
use crate::diagnostic::Diagnostic;
use crate::source::Spanned;
use crate::syntax::words::{Word, split_first, split_words};

/// One name and value of ENV or LABEL, unexpanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The name.
    pub key: Spanned<String>,
    /// The value, quotes included.
    pub value: Spanned<String>,
    /// Written without `=`: everything behind the name is the value.
    pub legacy: bool,
}

pub(super) fn parse(request: &Request<'_, '_>) -> Result<Vec<KeyValue>, Diagnostic> {
    let pairs = split(request);
    request.no_flags()?;
    let pairs = pairs?;
    if pairs.is_empty() {
        return Err(request.needs_one());
    }
    if let Some(blank) = pairs.iter().find(|pair| pair.key.is_empty()) {
        let message = format!("{} names can not be blank", request.keyword);
        let span = blank.key.span.to(blank.value.span);
        return Err(Diagnostic::error("blank-name", message, span));
    }
    Ok(pairs)
}

fn split(request: &Request<'_, '_>) -> Result<Vec<KeyValue>, Diagnostic> {
    let args = request.args();
    let words = split_words(args.text(), request.escape);
    match words.first() {
        Some(first) if !first.text.contains('=') => {
            let (name, value) = split_first(args.text());
            if value.is_empty() {
                let message = format!("{} must have two arguments", request.keyword);
                let help = format!("write {} name=value", request.keyword);
                let error = Diagnostic::error("missing-value", message, args.span());
                return Err(error.with_help(help));
            }
            Ok(vec![KeyValue {
                key: args.slice(name).spanned(),
                value: args.slice(value).spanned(),
                legacy: true,
            }])
        }
        _ => words.iter().map(|word| pair(request, word)).collect(),
    }
}

fn pair(request: &Request<'_, '_>, word: &Word) -> Result<KeyValue, Diagnostic> {
    let args = request.args();
    let Some((key, value)) = word.text.split_once('=') else {
        let shown: String = word.text.chars().take(100).collect();
        let message =
            format!("Syntax error - can't find = in \"{shown}\". Must be of the form: name=value");
        let error = Diagnostic::error("missing-equals", message, args.span_of(word.range.clone()));
        return Err(error.with_help("put a value with spaces in double quotes: name=\"a b\""));
    };
    let start = word.range.start;
    let equals = start + key.len();
    Ok(KeyValue {
        key: Spanned::new(key.to_owned(), args.span_of(start..equals)),
        value: Spanned::new(value.to_owned(), args.span_of(equals + 1..word.range.end)),
        legacy: false,
    })
}
