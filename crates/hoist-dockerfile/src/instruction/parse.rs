//! From a logical line to an instruction: keyword, flags, arguments, and which parser reads them.

use super::{CommandForm, From, Instruction, InstructionKind, Keyword};
use super::{add_copy, argument, healthcheck, onbuild, pairs, run};
use crate::diagnostic::Diagnostic;
use crate::source::{Span, Spanned};
use crate::suggest::did_you_mean;
use crate::syntax::flags::{Flags, Known};
use crate::syntax::heredoc::Heredoc;
use crate::syntax::json::{self, NotStrings};
use crate::syntax::line::Fragment;
use crate::syntax::words::{self, FlagWord};

/// A line cut into keyword, flags and arguments.
#[derive(Debug)]
pub(crate) struct Statement<'l> {
    pub(crate) keyword: Fragment<'l>,
    /// What follows the keyword; the flags' places refer to it.
    pub(crate) rest: Fragment<'l>,
    pub(crate) flags: Vec<FlagWord>,
    pub(crate) args: Fragment<'l>,
}

impl<'l> Statement<'l> {
    pub(crate) fn split(line: Fragment<'l>, escape: char) -> Self {
        let line = line.trim();
        let (keyword, rest) = words::split_first(line.text());
        let rest = line.slice(rest);
        let (flags, at) = words::split_flags(rest.text(), escape);
        Self {
            keyword: line.slice(keyword),
            rest,
            flags,
            args: rest.slice(at..rest.text().len()).trim(),
        }
    }

    /// The keyword, or an error that says which was meant.
    pub(crate) fn known_keyword(&self) -> Result<Keyword, Diagnostic> {
        let word = self.keyword.text();
        Keyword::parse(word).ok_or_else(|| {
            let meant = Keyword::nearest(word).map(|keyword| {
                let name = keyword.as_str();
                let lower = word.chars().any(char::is_lowercase);
                if lower && !word.chars().any(char::is_uppercase) {
                    name.to_ascii_lowercase()
                } else {
                    name.to_owned()
                }
            });
            let shown: String = word.chars().take(100).collect();
            let hint = did_you_mean(meant.as_deref());
            let message = format!("unknown instruction: {shown}{hint}");
            Diagnostic::error("unknown-instruction", message, self.keyword.span())
        })
    }

    /// Whether the arguments are a JSON array of strings (which can start no heredoc).
    pub(crate) fn is_json(&self) -> bool {
        json::string_array(self.args.text()).is_ok()
    }
}

/// What an instruction turned out to be.
#[derive(Debug)]
pub(crate) enum Parsed {
    From(From),
    Other(InstructionKind),
}

/// Everything that a parser of one instruction may look at.
#[derive(Debug)]
pub(crate) struct Request<'a, 'l> {
    pub(crate) keyword: Keyword,
    pub(crate) statement: &'a Statement<'l>,
    pub(crate) heredocs: Vec<Heredoc>,
    pub(crate) escape: char,
    /// The whole instruction.
    pub(crate) span: Span,
    pub(crate) warnings: &'a mut Vec<Diagnostic>,
}

impl<'l> Request<'_, 'l> {
    /// Parses the instruction.
    pub(crate) fn parse(mut self) -> Result<Parsed, Diagnostic> {
        let kind = match self.keyword {
            Keyword::From => return From::parse(&self).map(Parsed::From),
            Keyword::Add => InstructionKind::Add(add_copy::parse_add(&mut self)?),
            Keyword::Copy => InstructionKind::Copy(add_copy::parse_copy(&mut self)?),
            Keyword::Arg => InstructionKind::Arg(argument::parse(&mut self)?),
            Keyword::Env => InstructionKind::Env(pairs::parse(&self)?),
            Keyword::Label => InstructionKind::Label(pairs::parse(&self)?),
            Keyword::Run => InstructionKind::Run(run::parse(&mut self)?),
            Keyword::Healthcheck => InstructionKind::Healthcheck(healthcheck::parse(&mut self)?),
            Keyword::OnBuild => InstructionKind::OnBuild(onbuild::parse(&mut self)?),
            Keyword::Cmd => {
                self.no_flags()?;
                InstructionKind::Cmd(self.command(self.args())?)
            }
            Keyword::Entrypoint => {
                self.no_flags()?;
                InstructionKind::Entrypoint(self.command(self.args())?)
            }
            Keyword::Shell => InstructionKind::Shell(self.shell()?),
            Keyword::Expose => InstructionKind::Expose(self.one_or_more()?),
            Keyword::Volume => InstructionKind::Volume(self.volumes()?),
            Keyword::Workdir => InstructionKind::Workdir(self.exactly_one()?),
            Keyword::User => InstructionKind::User(self.exactly_one()?),
            Keyword::Maintainer => InstructionKind::Maintainer(self.exactly_one()?),
            Keyword::StopSignal => {
                self.ignore_flags();
                InstructionKind::StopSignal(self.single_argument()?)
            }
        };
        Ok(Parsed::Other(kind))
    }

    pub(crate) fn args(&self) -> Fragment<'l> {
        self.statement.args
    }

    /// The flags, checked.
    pub(crate) fn flags(&self, known: Known) -> Result<Flags, Diagnostic> {
        Flags::parse(&self.statement.flags, &self.statement.rest, known)
    }

    pub(crate) fn no_flags(&self) -> Result<(), Diagnostic> {
        self.flags(&[]).map(drop)
    }

    /// Docker reads over the flags of this instruction without a word; hoist says so.
    pub(crate) fn ignore_flags(&mut self) {
        for flag in &self.statement.flags {
            let span = self.statement.rest.span_of(flag.range.clone());
            let message = format!("{} takes no flags; {} is ignored", self.keyword, flag.text);
            self.warnings
                .push(Diagnostic::warning("IgnoredFlag", message, span));
        }
    }

    /// An error about the whole instruction, underlined at its keyword.
    pub(crate) fn error(&self, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, message, self.statement.keyword.span())
    }

    pub(crate) fn needs_one(&self) -> Diagnostic {
        let message = format!("{} requires at least one argument", self.keyword);
        self.error("missing-argument", message)
    }

    /// The arguments as a command: a JSON array of strings, or else a line for the shell.
    pub(crate) fn command(&mut self, args: Fragment<'l>) -> Result<CommandForm, Diagnostic> {
        Ok(match self.json(args)? {
            Some(words) => CommandForm::Exec(words.into_iter().map(|word| word.value).collect()),
            None => CommandForm::Shell(args.text().to_owned()),
        })
    }

    /// The arguments as a list: a JSON array of strings, or else split at blanks.
    pub(crate) fn list(&mut self) -> Result<Vec<Spanned<String>>, Diagnostic> {
        let args = self.args();
        if let Some(words) = self.json(args)? {
            return Ok(words);
        }
        let parts = words::split_blank(&args);
        Ok(parts.iter().map(Fragment::spanned).collect())
    }

    /// The arguments if they are a JSON array of strings; a note if they were meant to be one.
    fn json(&mut self, args: Fragment<'l>) -> Result<Option<Vec<Spanned<String>>>, Diagnostic> {
        match json::string_array(args.text()) {
            Ok(words) => {
                let words = words.into_iter();
                let place = |(value, range)| Spanned::new(value, args.span_of(range));
                Ok(Some(words.map(place).collect()))
            }
            Err(NotStrings::Element { offset }) => {
                let message =
                    "when using JSON array syntax, arrays must be comprised of strings only";
                let span = args.span_of(offset..offset + 1);
                Err(Diagnostic::error("json-element", message, span)
                    .with_help("put every element in double quotes"))
            }
            Err(NotStrings::Invalid { offset, reason }) => {
                self.note_broken_json(&args, offset, reason);
                Ok(None)
            }
            Err(NotStrings::NoArray) => Ok(None),
        }
    }

    fn note_broken_json(&mut self, args: &Fragment<'l>, offset: usize, reason: &str) {
        let text = args.text();
        if !looks_like_json(text) {
            return;
        }
        let end = offset + text[offset..].chars().next().map_or(0, char::len_utf8);
        let message = format!(
            "not a valid JSON array ({reason}), so {} takes it in shell form",
            self.keyword
        );
        let warning = Diagnostic::warning("InvalidJSONForm", message, args.span_of(offset..end));
        self.warnings.push(warning.with_help(
            "the exec form is a JSON array of strings in double quotes: [\"program\", \"argument\"]",
        ));
    }

    fn shell(&mut self) -> Result<Vec<String>, Diagnostic> {
        self.no_flags()?;
        match self.command(self.args())? {
            form if form.is_empty() => Err(self.needs_one()),
            CommandForm::Exec(words) => Ok(words),
            CommandForm::Shell(_) => {
                let message = "SHELL requires the arguments to be in JSON form";
                Err(self
                    .error("shell-form", message)
                    .with_help("write SHELL [\"/bin/bash\", \"-c\"]"))
            }
        }
    }

    fn one_or_more(&mut self) -> Result<Vec<Spanned<String>>, Diagnostic> {
        let parts = words::split_blank(&self.args());
        if parts.is_empty() {
            return Err(self.needs_one());
        }
        self.no_flags()?;
        Ok(parts.iter().map(Fragment::spanned).collect())
    }

    fn volumes(&mut self) -> Result<Vec<Spanned<String>>, Diagnostic> {
        let volumes = self.list()?;
        if volumes.is_empty() {
            return Err(self.needs_one());
        }
        self.no_flags()?;
        let trimmed = volumes
            .into_iter()
            .map(|volume| volume.with(volume.trim().to_owned()));
        let volumes: Vec<_> = trimmed.collect();
        if let Some(blank) = volumes.iter().find(|volume| volume.is_empty()) {
            let message = "VOLUME specified can not be an empty string";
            return Err(Diagnostic::error("empty-volume", message, blank.span));
        }
        Ok(volumes)
    }

    fn exactly_one(&self) -> Result<Spanned<String>, Diagnostic> {
        let argument = self.single_argument()?;
        self.no_flags()?;
        Ok(argument)
    }

    fn single_argument(&self) -> Result<Spanned<String>, Diagnostic> {
        if self.args().text().is_empty() {
            let message = format!("{} requires exactly one argument", self.keyword);
            return Err(self.error("missing-argument", message));
        }
        Ok(self.args().spanned())
    }
}

/// Whether `text`, which is no JSON array, was probably meant to be one.
///
/// `[ -f x ] && y` is a shell command: there `[` is a word of its own, and no comma follows the
/// first operand.
fn looks_like_json(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('[') else {
        return false;
    };
    let trimmed = inner.trim_start();
    let spaced = trimmed.len() != inner.len();
    let Some(quote) = trimmed.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return !spaced && inner.contains(',');
    };
    if !spaced {
        return true;
    }
    let Some((_, after)) = trimmed[1..].split_once(quote) else {
        return false;
    };
    after.trim_start().starts_with(',')
}

impl Instruction {
    /// The instruction on one line with its keyword in upper case.
    pub(crate) fn history_line(statement: &Statement<'_>, line: &Fragment<'_>) -> String {
        let line = line.trim();
        let rest = &line.text()[statement.keyword.text().len()..];
        statement.keyword.text().to_uppercase() + rest
    }
}

#[cfg(test)]
mod tests {
    use super::looks_like_json;

    #[test]
    fn shell_tests_are_not_taken_for_json() {
        for text in [
            "[ -f x ] && y",
            "[ \"$a\" = b ] && c",
            "[ '$a' ]",
            "[[ a ]]",
            "echo [\"a\"]",
            "[",
            "[abc]",
        ] {
            assert!(!looks_like_json(text), "{text}");
        }
        for text in [
            "['a', 'b']",
            "[\"a\", \"b\"",
            "[\"a\" \"b\"]",
            "[ 'a', 'b' ]",
            "[a, b]",
        ] {
            assert!(looks_like_json(text), "{text}");
        }
    }
}
