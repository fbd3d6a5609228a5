//! `ARG name[=default] …`.

use super::Request;
use crate::diagnostic::Diagnostic;
use crate::source::Spanned;
use crate::syntax::words::split_words;

/// One build argument, its default unexpanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    /// The name.
    pub name: Spanned<String>,
    /// The default, quotes included.
    pub default: Option<Spanned<String>>,
}

pub(super) fn parse(request: &mut Request<'_, '_>) -> Result<Vec<Arg>, Diagnostic> {
    let args = request.args();
    let words = split_words(args.text(), request.escape);
    if words.is_empty() {
        return Err(request.needs_one());
    }
    request.ignore_flags();
    let mut arguments = Vec::new();
    for word in words {
        let start = word.range.start;
        let (name, default) = match word.text.split_once('=') {
            Some((name, default)) => (name, Some(default)),
            None => (word.text.as_str(), None),
        };
        if name.is_empty() {
            let message = "ARG names can not be blank";
            let span = args.span_of(word.range.clone());
            return Err(Diagnostic::error("blank-name", message, span));
        }
        let equals = start + name.len();
        arguments.push(Arg {
            name: Spanned::new(name.to_owned(), args.span_of(start..equals)),
            default: default.map(|default| {
                Spanned::new(default.to_owned(), args.span_of(equals + 1..word.range.end))
            }),
        });
    }
    Ok(arguments)
}
