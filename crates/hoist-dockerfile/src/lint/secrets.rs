//! SecretsUsedInArgOrEnv.

use super::{Checker, Note, Rule};
use crate::instruction::{Instruction, InstructionKind};
use crate::source::{Span, Spanned};

pub(super) const SECRETS_USED_IN_ARG_OR_ENV: Rule = Rule::docker(
    "SecretsUsedInArgOrEnv",
    "Sensitive data should not be used in the ARG or ENV commands",
);

const SECRET: [&str; 10] = [
    "apikey",
    "auth",
    "credential",
    "credentials",
    "key",
    "password",
    "pword",
    "passwd",
    "secret",
    "token",
];
const HARMLESS: [&str; 3] = ["public", "file", "version"];

/// Whether a variable's name says that its value is secret: the words of Docker's check
/// `SecretsUsedInArgOrEnv`.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let has = |words: &[&str]| {
        let mut parts = name.split('_');
        parts.any(|part| words.contains(&part.to_ascii_lowercase().as_str()))
    };
    has(&SECRET) && !has(&HARMLESS)
}

pub(super) fn check(checker: &mut Checker<'_>, instruction: &Instruction) {
    let (keyword, names): (_, Vec<&Spanned<String>>) = match &instruction.kind {
        InstructionKind::Env(pairs) => ("ENV", pairs.iter().map(|pair| &pair.key).collect()),
        InstructionKind::Arg(args) => ("ARG", args.iter().map(|arg| &arg.name).collect()),
        _ => return,
    };
    for name in names.into_iter().filter(|name| is_secret(name)) {
        let message =
            format!("Do not use ARG or ENV instructions for sensitive data ({keyword} \"{name}\")");
        let span: Span = name.span;
        let id = name.to_ascii_lowercase();
        checker.report(
            &instruction.comments,
            Note::new(&SECRETS_USED_IN_ARG_OR_ENV, span, message).help(format!(
                "everyone who has the image can read it. During the build: RUN \
                 --mount=type=secret,id={id},env={name} …; at run time: -e {name}"
            )),
        );
    }
}
