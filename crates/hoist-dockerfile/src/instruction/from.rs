//! `FROM [--platform=P] image [AS name]`.

use super::Request;
use crate::diagnostic::Diagnostic;
use crate::source::Spanned;
use crate::syntax::flags::Takes;
use crate::syntax::line::Fragment;
use crate::syntax::words::split_blank;

/// A parsed FROM.
#[derive(Debug)]
pub(crate) struct From {
    pub(crate) base: Spanned<String>,
    pub(crate) name: Option<Spanned<String>>,
    /// The word between base and name, as written.
    pub(crate) as_word: Option<Spanned<String>>,
    pub(crate) platform: Option<Spanned<String>>,
}

impl From {
    pub(crate) fn parse(request: &Request<'_, '_>) -> Result<Self, Diagnostic> {
        let args = split_blank(&request.args());
        let (as_word, name) = match args.as_slice() {
            [_] => (None, None),
            [_, word, name] if word.text().eq_ignore_ascii_case("as") => {
                (Some(word.spanned()), Some(stage_name(name)?))
            }
            _ => return Err(wrong_arguments(request, &args)),
        };
        let flags = request.flags(&[("platform", Takes::Value)])?;
        Ok(Self {
            base: args[0].spanned(),
            name,
            as_word,
            platform: flags.non_empty("platform"),
        })
    }
}

fn wrong_arguments(request: &Request<'_, '_>, args: &[Fragment<'_>]) -> Diagnostic {
    let message = "FROM requires either one or three arguments";
    let Some(extra) = args.get(1) else {
        return request
            .error("from-arguments", message)
            .with_help("write FROM image, or FROM image AS name");
    };
    let help = if args.iter().any(|arg| arg.text().starts_with('#')) {
        "a comment needs a line of its own"
    } else {
        "write FROM image, or FROM image AS name"
    };
    Diagnostic::error("from-arguments", message, extra.span()).with_help(help)
}

/// The name in lower case: `[a-z][a-z0-9-_.]*`.
fn stage_name(name: &Fragment<'_>) -> Result<Spanned<String>, Diagnostic> {
    let lower = name.text().to_lowercase();
    let mut bytes = lower.bytes();
    let valid = bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'));
    if !valid {
        let message = format!(
            "invalid name for build stage: \"{}\", name can't start with a number or contain symbols",
            name.text()
        );
        return Err(Diagnostic::error("stage-name", message, name.span()));
    }
    Ok(Spanned::new(lower, name.span()))
}
