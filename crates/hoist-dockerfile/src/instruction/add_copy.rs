//! `ADD` and `COPY`.

use super::Request;
use crate::diagnostic::Diagnostic;
use crate::expand::expand_word;
use crate::source::{Span, Spanned};
use crate::syntax::flags::Takes;
use crate::syntax::heredoc::{self, Heredoc};

/// `COPY [flags] source… destination`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Paths and patterns in the build context or in `from`.
    pub sources: Vec<Spanned<String>>,
    /// Files whose content is in the Dockerfile.
    pub files: Vec<InlineFile>,
    /// The last argument.
    pub destination: Spanned<String>,
    /// `--from`: a stage, an image or a named context. Never expanded.
    pub from: Option<Spanned<String>>,
    /// `--chown`.
    pub chown: Option<Spanned<String>>,
    /// `--chmod`.
    pub chmod: Option<Spanned<String>>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, in order. Never expanded.
    pub exclude: Vec<Spanned<String>>,
}

/// `ADD [flags] source… destination`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// Paths, patterns, URLs and git repositories.
    pub sources: Vec<Spanned<String>>,
    /// Files whose content is in the Dockerfile.
    pub files: Vec<InlineFile>,
    /// The last argument.
    pub destination: Spanned<String>,
    /// `--chown`.
    pub chown: Option<Spanned<String>>,
    /// `--chmod`.
    pub chmod: Option<Spanned<String>>,
    /// `--link`.
    pub link: bool,
    /// `--checksum`: of a remote file (`sha256:…`), or the commit of a git source.
    pub checksum: Option<Spanned<String>>,
    /// `--keep-git-dir`, if given.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`, if given; without it local archives are unpacked and remote ones are not.
    pub unpack: Option<bool>,
    /// `--exclude`, in order. Never expanded.
    pub exclude: Vec<Spanned<String>>,
}

/// A file written in the Dockerfile as a heredoc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineFile {
    /// Its name: the delimiter.
    pub name: String,
    /// Its content, leading tabs already removed if the word was `<<-`.
    pub content: String,
    /// Whether variables in the content are expanded.
    pub expand: bool,
    /// Where the `<<` word stands.
    pub span: Span,
}

struct Paths {
    sources: Vec<Spanned<String>>,
    files: Vec<InlineFile>,
    destination: Spanned<String>,
}

pub(super) fn parse_copy(request: &mut Request<'_, '_>) -> Result<Copy, Diagnostic> {
    let args = arguments(request)?;
    let flags = request.flags(&[
        ("chown", Takes::Value),
        ("from", Takes::Value),
        ("chmod", Takes::Value),
        ("link", Takes::Bool),
        ("exclude", Takes::Values),
        ("parents", Takes::Bool),
    ])?;
    let from = flags.non_empty("from");
    if let Some(from) = &from {
        check_from(from, request.escape)?;
    }
    let paths = paths(request, args)?;
    Ok(Copy {
        sources: paths.sources,
        files: paths.files,
        destination: paths.destination,
        from,
        chown: flags.non_empty("chown"),
        chmod: flags.non_empty("chmod"),
        link: flags.switch("link") == Some(true),
        parents: flags.switch("parents") == Some(true),
        exclude: flags.values("exclude"),
    })
}

pub(super) fn parse_add(request: &mut Request<'_, '_>) -> Result<Add, Diagnostic> {
    let args = arguments(request)?;
    let flags = request.flags(&[
        ("chown", Takes::Value),
        ("chmod", Takes::Value),
        ("link", Takes::Bool),
        ("keep-git-dir", Takes::Bool),
        ("checksum", Takes::Value),
        ("unpack", Takes::Bool),
        ("exclude", Takes::Values),
    ])?;
    let paths = paths(request, args)?;
    Ok(Add {
        sources: paths.sources,
        files: paths.files,
        destination: paths.destination,
        chown: flags.non_empty("chown"),
        chmod: flags.non_empty("chmod"),
        link: flags.switch("link") == Some(true),
        checksum: flags.non_empty("checksum"),
        keep_git_dir: flags.switch("keep-git-dir"),
        unpack: flags.switch("unpack"),
        exclude: flags.values("exclude"),
    })
}

fn arguments(request: &mut Request<'_, '_>) -> Result<Vec<Spanned<String>>, Diagnostic> {
    let args = request.list()?;
    if args.len() < 2 {
        let message = format!(
            "{} requires at least two arguments, but only one was provided. \
             Destination could not be determined",
            request.keyword
        );
        let error = request.error("missing-destination", message);
        let help = format!("write {} source destination", request.keyword);
        return Err(error.with_help(help));
    }
    Ok(args)
}

/// Splits the destination off and tells paths from inline files.
fn paths(request: &Request<'_, '_>, mut args: Vec<Spanned<String>>) -> Result<Paths, Diagnostic> {
    let Some(destination) = args.pop() else {
        return Err(request.needs_one());
    };
    if heredoc::parse(&destination).is_some() {
        let message = format!(
            "{} cannot accept a heredoc as a destination",
            request.keyword
        );
        return Err(Diagnostic::error(
            "heredoc-destination",
            message,
            destination.span,
        ));
    }
    let mut sources = Vec::new();
    let mut files = Vec::new();
    for argument in args {
        match heredoc::parse(&argument) {
            Some(word) => files.push(InlineFile {
                content: content(&request.heredocs, &word.name, word.strip_tabs),
                name: word.name,
                expand: word.expand,
                span: argument.span,
            }),
            None => sources.push(argument),
        }
    }
    Ok(Paths {
        sources,
        files,
        destination,
    })
}

/// The body of the heredoc `name`; the last one counts if two share a name.
fn content(heredocs: &[Heredoc], name: &str, strip_tabs: bool) -> String {
    let found = heredocs.iter().rev().find(|heredoc| heredoc.name == name);
    found.map_or_else(String::new, |heredoc| {
        let mut heredoc = heredoc.clone();
        heredoc.strip_tabs = strip_tabs;
        heredoc.text()
    })
}

fn check_from(from: &Spanned<String>, escape: char) -> Result<(), Diagnostic> {
    if expand_word(from, &(), escape).is_ok_and(|expanded| expanded == from.value) {
        return Ok(());
    }
    let message = "variable expansion is not supported for --from, define a new stage with FROM \
                   using ARG from global scope as a workaround";
    Err(Diagnostic::error("from-expansion", message, from.span))
}
