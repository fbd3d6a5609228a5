//! Expansion of whole instructions: which words are expanded, and which are not.

use std::collections::BTreeSet;

use super::{ExpandError, Expander, Expansion};
use crate::diagnostic::Diagnostic;
use crate::instruction::{Add, Arg, Copy, InlineFile, InstructionKind, KeyValue};
use crate::source::{Span, Spanned};

/// An instruction with its variables replaced, and the names that decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expanded {
    /// The instruction; quotes are gone from what was expanded.
    pub kind: InstructionKind,
    /// The variables that were looked up and set.
    pub used: BTreeSet<String>,
    /// The variables that were looked up and not set.
    pub unset: BTreeSet<String>,
}

/// Expands what Docker expands in `kind`, every word against the same variables.
///
/// Left alone are RUN, CMD, ENTRYPOINT, HEALTHCHECK, SHELL, MAINTAINER and ONBUILD, `--from` and
/// `--exclude`; and ARG, whose defaults depend on one another and on the build's arguments
/// ([`super::StageScope::declare`]). Mounts of RUN are expanded by
/// [`crate::instruction::MountSpec::resolve`].
///
/// # Errors
/// The first word that cannot be expanded, with its place.
pub fn expand(kind: &InstructionKind, expander: &Expander<'_>) -> Result<Expanded, Diagnostic> {
    let mut run = Run {
        expander: *expander,
        used: BTreeSet::new(),
        unset: BTreeSet::new(),
    };
    let kind = match kind {
        InstructionKind::Copy(copy) => InstructionKind::Copy(run.copy(copy)?),
        InstructionKind::Add(add) => InstructionKind::Add(run.add(add)?),
        InstructionKind::Env(pairs) => InstructionKind::Env(run.pairs(pairs)?),
        InstructionKind::Label(pairs) => InstructionKind::Label(run.pairs(pairs)?),
        InstructionKind::Workdir(path) => InstructionKind::Workdir(run.word(path)?),
        InstructionKind::User(user) => InstructionKind::User(run.word(user)?),
        InstructionKind::StopSignal(signal) => InstructionKind::StopSignal(run.word(signal)?),
        InstructionKind::Volume(paths) => InstructionKind::Volume(run.words(paths)?),
        InstructionKind::Expose(ports) => InstructionKind::Expose(run.split(ports)?),
        InstructionKind::Run(_)
        | InstructionKind::Cmd(_)
        | InstructionKind::Entrypoint(_)
        | InstructionKind::Healthcheck(_)
        | InstructionKind::Shell(_)
        | InstructionKind::Arg(_)
        | InstructionKind::OnBuild(_)
        | InstructionKind::Maintainer(_) => kind.clone(),
    };
    Ok(Expanded {
        kind,
        used: run.used,
        unset: run.unset,
    })
}

/// The error of a word as a diagnostic at the word's place.
#[must_use]
pub fn at_place(error: &ExpandError, span: Span) -> Diagnostic {
    let precise = span.len() == error.word.len();
    let span = if precise {
        Span::new(span.start + error.offset, span.end)
    } else {
        span
    };
    Diagnostic::error("expansion", error.to_string(), span)
}

/// The same of the default of an ARG.
#[must_use]
pub fn at_argument(error: &ExpandError, argument: &Arg) -> Diagnostic {
    let default = argument.default.as_ref();
    at_place(error, default.map_or(argument.name.span, |text| text.span))
}

struct Run<'s> {
    expander: Expander<'s>,
    used: BTreeSet<String>,
    unset: BTreeSet<String>,
}

impl Run<'_> {
    fn note(&mut self, expansion: Expansion) -> String {
        self.used.extend(expansion.used);
        self.unset.extend(expansion.unset);
        expansion.text
    }

    fn word(&mut self, word: &Spanned<String>) -> Result<Spanned<String>, Diagnostic> {
        let expansion = self.expander.word(word);
        let expansion = expansion.map_err(|error| at_place(&error, word.span))?;
        Ok(word.with(self.note(expansion)))
    }

    fn words(&mut self, words: &[Spanned<String>]) -> Result<Vec<Spanned<String>>, Diagnostic> {
        words.iter().map(|word| self.word(word)).collect()
    }

    fn optional(
        &mut self,
        word: Option<&Spanned<String>>,
    ) -> Result<Option<Spanned<String>>, Diagnostic> {
        word.map(|word| self.word(word)).transpose()
    }

    /// Each word split again after expansion.
    fn split(&mut self, words: &[Spanned<String>]) -> Result<Vec<Spanned<String>>, Diagnostic> {
        let mut result = Vec::new();
        for word in words {
            self.word(word)?;
            let parts = self.expander.words(word);
            let parts = parts.map_err(|error| at_place(&error, word.span))?;
            result.extend(parts.into_iter().map(|part| word.with(part)));
        }
        Ok(result)
    }

    fn pairs(&mut self, pairs: &[KeyValue]) -> Result<Vec<KeyValue>, Diagnostic> {
        let mut result = Vec::new();
        for pair in pairs {
            result.push(KeyValue {
                key: self.word(&pair.key)?,
                value: self.word(&pair.value)?,
                legacy: pair.legacy,
            });
        }
        Ok(result)
    }

    fn files(&mut self, files: &[InlineFile]) -> Result<Vec<InlineFile>, Diagnostic> {
        let mut result = files.to_vec();
        for file in result.iter_mut().filter(|file| file.expand) {
            let expansion = self.expander.document(&file.content);
            let expansion = expansion.map_err(|error| {
                Diagnostic::error("expansion", error.problem.to_string(), file.span)
                    .with_help("quote the delimiter to keep the text as it is")
            })?;
            file.content = self.note(expansion);
        }
        Ok(result)
    }

    fn copy(&mut self, copy: &Copy) -> Result<Copy, Diagnostic> {
        Ok(Copy {
            chown: self.optional(copy.chown.as_ref())?,
            chmod: self.optional(copy.chmod.as_ref())?,
            sources: self.words(&copy.sources)?,
            destination: self.word(&copy.destination)?,
            files: self.files(&copy.files)?,
            ..copy.clone()
        })
    }

    fn add(&mut self, add: &Add) -> Result<Add, Diagnostic> {
        Ok(Add {
            chown: self.optional(add.chown.as_ref())?,
            chmod: self.optional(add.chmod.as_ref())?,
            checksum: self.optional(add.checksum.as_ref())?,
            sources: self.words(&add.sources)?,
            destination: self.word(&add.destination)?,
            files: self.files(&add.files)?,
            ..add.clone()
        })
    }
}
