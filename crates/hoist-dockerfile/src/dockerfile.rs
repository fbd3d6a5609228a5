//! A whole Dockerfile: directives, global arguments, stages.

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostic;
use crate::instruction::{Arg, From, Instruction, InstructionKind, Keyword};
use crate::instruction::{Parsed, Request, Statement};
use crate::source::{Source, Span, Spanned};
use crate::syntax::directive::Directives;
use crate::syntax::heredoc::{self, Heredoc};
use crate::syntax::line::{LogicalLine, Reader};

/// So many errors are reported; then the rest of the file is not looked at.
const MAX_ERRORS: usize = 20;

/// A parsed Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// What the first lines say about the file.
    pub directives: Directives,
    /// The arguments declared before the first FROM.
    pub global_args: Vec<Spanned<Arg>>,
    /// The comments above those arguments, by their names; without their `#`.
    pub global_comments: BTreeMap<String, Vec<Spanned<String>>>,
    /// The stages, in order; at least one.
    pub stages: Vec<Stage>,
    /// What Docker accepts and the author may not mean.
    pub warnings: Vec<Diagnostic>,
    /// The text that all spans refer to.
    pub source: Source,
}

/// A build stage: FROM and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its number, from 0.
    pub index: usize,
    /// Its name in lower case.
    pub name: Option<String>,
    /// Image or stage that it starts from, unexpanded.
    pub base: String,
    /// `--platform`, unexpanded.
    pub platform: Option<String>,
    /// The FROM instruction.
    pub span: Span,
    /// The FROM instruction on one line, as written.
    pub from_text: String,
    /// What follows FROM.
    pub instructions: Vec<Instruction>,
    /// The word FROM as written.
    pub keyword: Spanned<String>,
    /// The word AS as written.
    pub as_word: Option<Spanned<String>>,
    /// Where the base stands.
    pub base_span: Span,
    /// Where the name stands.
    pub name_span: Option<Span>,
    /// Where the platform stands.
    pub platform_span: Option<Span>,
    /// The comments above FROM, without their `#`.
    pub comments: Vec<Spanned<String>>,
}

impl Stage {
    /// The stage as people call it: its name, or `stage-N`.
    #[must_use]
    pub fn display_name(&self) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None => format!("stage-{}", self.index),
        }
    }
}

/// Parses a Dockerfile. A byte order mark is skipped, line breaks may be `\n` or `\r\n`.
///
/// # Errors
/// All syntax errors that make sense side by side, in the order of the file; spans refer to
/// [`Source::new`] of `text`.
pub fn parse(text: &str) -> Result<Dockerfile, Vec<Diagnostic>> {
    let source = Source::new(text);
    let mut parser = Parser::new(source.text());
    let mut global_args = Vec::new();
    let mut global_comments = BTreeMap::new();
    let mut stages: Vec<Stage> = Vec::new();
    while let Some(item) = parser.next() {
        let Some(item) = item else { continue };
        match item.parsed {
            Parsed::From(from) => stages.push(item.head.stage(stages.len(), from)),
            Parsed::Other(kind) => match (stages.last_mut(), kind) {
                (Some(stage), kind) => stage.instructions.push(item.head.instruction(kind)),
                (None, InstructionKind::Arg(args)) => {
                    for arg in &args {
                        let comments = item.head.comments.clone();
                        global_comments.insert(arg.name.value.clone(), comments);
                    }
                    global_args.extend(args.into_iter().map(place));
                }
                (None, _) => parser.errors.push(no_stage(item.head.keyword.span)),
            },
        }
    }
    if parser.errors.is_empty() && stages.is_empty() {
        parser
            .errors
            .push(nothing_to_build(&source, !global_args.is_empty()));
    }
    let directives = std::mem::take(&mut parser.reader.directives.directives);
    if let Some(error) = foreign_frontend(&directives) {
        parser.errors.insert(0, error);
    }
    let (mut errors, mut warnings) = (parser.errors, parser.warnings);
    errors.truncate(MAX_ERRORS);
    if !errors.is_empty() {
        return Err(errors);
    }
    warnings.sort_by_key(|warning| warning.span.start);
    Ok(Dockerfile {
        directives,
        global_args,
        global_comments,
        stages,
        warnings,
        source,
    })
}

/// Parses a Dockerfile of unknown encoding.
///
/// # Errors
/// As [`parse`]; and bytes that are not UTF-8, with their place. Spans refer to
/// [`Source::from_bytes`].
pub fn parse_bytes(bytes: &[u8]) -> Result<Dockerfile, Vec<Diagnostic>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text),
        Err(error) => {
            let mark = if bytes.starts_with(b"\xef\xbb\xbf") {
                3
            } else {
                0
            };
            let at = error.valid_up_to();
            let byte = bytes.get(at).copied().unwrap_or_default();
            let message = format!("invalid UTF-8: byte 0x{byte:02x}");
            let help = match bytes {
                [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "this is UTF-16; save the file as UTF-8",
                _ => "save the file as UTF-8",
            };
            let span = Span::at(at.saturating_sub(mark));
            Err(vec![
                Diagnostic::error("invalid-utf8", message, span).with_help(help),
            ])
        }
    }
}

/// The instructions of a text that has no FROM.
pub(crate) fn parse_fragment(text: &str) -> Result<Vec<Instruction>, Vec<Diagnostic>> {
    let mut parser = Parser::new(text);
    let mut instructions = Vec::new();
    while let Some(item) = parser.next() {
        let Some(item) = item else { continue };
        match item.parsed {
            Parsed::Other(kind) => instructions.push(item.head.instruction(kind)),
            Parsed::From(_) => parser.errors.push(no_stage(item.head.keyword.span)),
        }
    }
    if parser.errors.is_empty() {
        Ok(instructions)
    } else {
        Err(parser.errors)
    }
}

fn place(arg: Arg) -> Spanned<Arg> {
    let span = arg.name.span;
    let span = arg
        .default
        .as_ref()
        .map_or(span, |default| span.to(default.span));
    Spanned::new(arg, span)
}

fn no_stage(span: Span) -> Diagnostic {
    Diagnostic::error("no-stage", "no build stage in current context", span)
        .with_help("only ARG may come before the first FROM")
}

fn nothing_to_build(source: &Source, has_args: bool) -> Diagnostic {
    let text = source.text();
    let span = Span::at(text.trim_end().len());
    if text.is_empty() {
        let message = "the Dockerfile (Dockerfile) cannot be empty";
        return Diagnostic::error("empty", message, span);
    }
    let message = if has_args {
        "dockerfile contains no stages to build"
    } else {
        "file with no instructions"
    };
    Diagnostic::error("no-instructions", message, span).with_help("start with FROM image")
}

/// Whether `image`, as `# syntax=` and `BUILDKIT_SYNTAX` name it, is a frontend that hoist has
/// built in.
#[must_use]
pub fn is_own_frontend(image: &str) -> bool {
    let image = image.split_whitespace().next().unwrap_or_default();
    let name = image.split('@').next().unwrap_or_default();
    let name = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    };
    let own = ["docker/dockerfile", "docker/dockerfile-upstream"];
    let known = |own: &&str| name == *own || name.ends_with(&format!("/{own}"));
    own.iter().any(known)
}

/// Other frontends than Docker's own are programs that hoist does not run.
fn foreign_frontend(directives: &Directives) -> Option<Diagnostic> {
    let syntax = directives.syntax.as_ref()?;
    if is_own_frontend(syntax) {
        return None;
    }
    let image = syntax.split_whitespace().next().unwrap_or_default();
    let message = format!("unsupported frontend: {image}");
    let help = "a # syntax line names a program that reads the rest of the file; hoist has \
                docker/dockerfile built in and runs no other. Remove the line, or name \
                docker/dockerfile:1";
    Some(Diagnostic::error("foreign-frontend", message, syntax.span).with_help(help))
}

/// What every instruction has.
struct Head {
    span: Span,
    keyword: Spanned<String>,
    original: String,
    text: String,
    comments: Vec<Spanned<String>>,
}

impl Head {
    fn instruction(self, kind: InstructionKind) -> Instruction {
        Instruction {
            kind,
            span: self.span,
            keyword: self.keyword,
            original: self.original,
            comments: self.comments,
        }
    }

    fn stage(self, index: usize, from: From) -> Stage {
        Stage {
            index,
            name_span: from.name.as_ref().map(|name| name.span),
            name: from.name.map(|name| name.value),
            base_span: from.base.span,
            base: from.base.value,
            platform_span: from.platform.as_ref().map(|platform| platform.span),
            platform: from.platform.map(|platform| platform.value),
            span: self.span,
            from_text: self.text,
            instructions: Vec::new(),
            keyword: self.keyword,
            as_word: from.as_word,
            comments: self.comments,
        }
    }
}

struct Item {
    head: Head,
    parsed: Parsed,
}

struct Parser<'s> {
    reader: Reader<'s>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl<'s> Parser<'s> {
    fn new(text: &'s str) -> Self {
        Self {
            reader: Reader::new(text),
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The next instruction: `None` at the end, `Some(None)` for one that is wrong.
    fn next(&mut self) -> Option<Option<Item>> {
        if self.errors.len() >= MAX_ERRORS {
            return None;
        }
        let line = self.reader.next_line(&mut self.errors)?;
        self.note_blank_lines(&line);
        let fragment = line.fragment();
        let escape = self.reader.escape();
        let statement = Statement::split(fragment, escape);
        let keyword = statement.known_keyword();
        let heredocs = match &keyword {
            Ok(keyword) => self.heredocs(*keyword, &statement, &line)?,
            Err(_) => Vec::new(),
        };
        let mut span = line.span;
        if let Some(last) = heredocs.last() {
            let terminator = self.reader.read_since(last.content.span.end);
            span.end = last.content.span.end + terminator.trim_end_matches(['\r', '\n']).len();
        }
        let parsed = keyword
            .map_err(|error| explain_unknown(error, &statement))
            .and_then(|keyword| {
                Request {
                    keyword,
                    statement: &statement,
                    heredocs,
                    escape,
                    span,
                    warnings: &mut self.warnings,
                }
                .parse()
            });
        match parsed {
            Ok(parsed) => Some(Some(Item {
                head: Head {
                    span,
                    keyword: statement.keyword.spanned(),
                    original: Instruction::history_line(&statement, &fragment),
                    text: fragment.trim().text().to_owned(),
                    comments: line.comments.clone(),
                },
                parsed,
            })),
            Err(error) => {
                self.errors.push(error);
                Some(None)
            }
        }
    }

    fn note_blank_lines(&mut self, line: &LogicalLine) {
        if let Some(span) = line.blank_lines.first() {
            let message = "Empty continuation line";
            let warning = Diagnostic::warning("NoEmptyContinuation", message, *span);
            self.warnings.push(warning.with_help(
                "empty continuation lines will become errors in a future release of Docker; \
                 remove the line, or make it a comment",
            ));
        }
    }

    /// Reads the bodies of the heredocs that the line starts; `None` if one does not end.
    fn heredocs(
        &mut self,
        keyword: Keyword,
        statement: &Statement<'_>,
        line: &LogicalLine,
    ) -> Option<Vec<Heredoc>> {
        let takes_heredocs = if keyword == Keyword::OnBuild {
            let inner = Statement::split(statement.args, self.reader.escape());
            let inner_keyword = Keyword::parse(inner.keyword.text());
            inner_keyword.is_some_and(Keyword::takes_heredocs) && !inner.is_json()
        } else {
            keyword.takes_heredocs() && !statement.is_json()
        };
        let mut heredocs = Vec::new();
        if !takes_heredocs {
            return Some(heredocs);
        }
        for word in heredoc::find(&line.text) {
            let span = line.span_of(word.at..word.at + word.length);
            let Some(content) = self.reader.heredoc_body(&word.name, word.strip_tabs) else {
                let message = "unterminated heredoc";
                let help = format!("no line below is just `{}`", word.name);
                let error = Diagnostic::error("unterminated-heredoc", message, span);
                self.errors.push(error.with_help(help));
                return None;
            };
            heredocs.push(Heredoc {
                name: word.name,
                content,
                strip_tabs: word.strip_tabs,
                expand: word.expand,
                span,
            });
        }
        Some(heredocs)
    }
}

/// Adds what the author may have forgotten.
fn explain_unknown(error: Diagnostic, statement: &Statement<'_>) -> Diagnostic {
    if error.message.ends_with("?)") {
        return error;
    }
    let word = statement.keyword.text();
    if word.starts_with(['&', '|', '-', '"', '\'']) {
        return error.with_help("to continue the line above, end it with \\");
    }
    if word.starts_with("//") {
        return error.with_help("comments start with #");
    }
    error
}
