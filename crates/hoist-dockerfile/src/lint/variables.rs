//! Variables: UndefinedArgInFrom, InvalidDefaultArgInFrom, UndefinedVar, WorkdirRelativePath,
//! EnvLocalhost.

use std::collections::{BTreeMap, BTreeSet};

use hoist_core::Reference;

use super::{Checker, Note, Rule};
use crate::dockerfile::Stage;
use crate::expand::Expander;
use crate::instruction::{Instruction, KeyValue};
use crate::source::{Span, Spanned};
use crate::suggest::nearest;

pub(super) const UNDEFINED_ARG_IN_FROM: Rule =
    Rule::docker("UndefinedArgInFrom", "FROM command must use declared ARGs");
pub(super) const INVALID_DEFAULT_ARG_IN_FROM: Rule = Rule::docker(
    "InvalidDefaultArgInFrom",
    "Default value for global ARG results in an empty or invalid base image name",
);
pub(super) const UNDEFINED_VAR: Rule = Rule::docker(
    "UndefinedVar",
    "Variables should be defined before their use",
);
pub(super) const WORKDIR_RELATIVE_PATH: Rule = Rule::docker(
    "WorkdirRelativePath",
    "Relative workdir without an absolute workdir declared within the build can have unexpected \
     results if the base image changes",
);
pub(super) const ENV_LOCALHOST: Rule = Rule::hoist(
    "EnvLocalhost",
    "Addresses of other services should not be localhost",
);

/// So many names of one instruction are reported.
const MAX_NAMES: usize = 20;

/// So many names are looked at to guess which one was meant.
const MAX_CANDIDATES: usize = 200;

/// `unset` names of a FROM that no ARG before declares.
pub(super) fn check_from(
    checker: &mut Checker<'_>,
    stage: &Stage,
    unset: &BTreeSet<String>,
    known: &BTreeSet<&str>,
) {
    let unknown = unset.iter().filter(|name| !known.contains(name.as_str()));
    for name in unknown.take(MAX_NAMES) {
        let hint = nearest(name, known.iter().copied().take(MAX_CANDIDATES))
            .map_or_else(String::new, |found| format!(" (did you mean {found}?)"));
        let span = locate_variable(checker, stage.span, name).unwrap_or(stage.base_span);
        let message = format!("FROM argument '{name}' is not declared{hint}");
        checker.report(
            &stage.comments,
            Note::new(&UNDEFINED_ARG_IN_FROM, span, message)
                .help(format!("put ARG {name}=… before the first FROM")),
        );
    }
}

/// Whether the base is an image without any `--build-arg`.
pub(super) fn check_default(
    checker: &mut Checker<'_>,
    stage: &Stage,
    defaults: &BTreeMap<String, String>,
) {
    let expander = Expander::new(defaults, checker.dockerfile.directives.escape);
    let Ok(base) = expander.word(&stage.base) else {
        return;
    };
    if (base.used.is_empty() && base.unset.is_empty()) || Reference::parse(&base.text).is_ok() {
        return;
    }
    let message = format!(
        "Default value for ARG {} results in empty or invalid base image name",
        stage.base
    );
    checker.report(
        &stage.comments,
        Note::new(&INVALID_DEFAULT_ARG_IN_FROM, stage.base_span, message),
    );
}

/// `unset` names of an instruction. Where the base image's variables are unknown only names that
/// resemble a `known` one are reported.
pub(super) fn check_unset(
    checker: &mut Checker<'_>,
    instruction: &Instruction,
    unset: &BTreeSet<String>,
    known: &BTreeSet<&str>,
    base_is_known: bool,
) {
    for name in unset.iter().take(MAX_NAMES) {
        let suggestion = nearest(name, known.iter().copied().take(MAX_CANDIDATES));
        if suggestion.is_none() && !base_is_known {
            continue;
        }
        let hint =
            suggestion.map_or_else(String::new, |found| format!(" (did you mean ${found}?)"));
        let message = format!("Usage of undefined variable '${name}'{hint}");
        let span =
            locate_variable(checker, instruction.span, name).unwrap_or(instruction.keyword.span);
        checker.report(
            &instruction.comments,
            Note::new(&UNDEFINED_VAR, span, message),
        );
    }
}

/// Where `$name` or `${name` stands.
fn locate_variable(checker: &Checker<'_>, span: Span, name: &str) -> Option<Span> {
    let text = checker.dockerfile.source.slice(span);
    for start in [format!("${{{name}"), format!("${name}")] {
        for (at, _) in text.match_indices(start.as_str()) {
            let after = text[at + start.len()..].chars().next();
            if after.is_none_or(|c| !c.is_alphanumeric() && c != '_') {
                let brace = usize::from(start.starts_with("${") && after == Some('}'));
                let end = span.start + at + start.len() + brace;
                return Some(Span::new(span.start + at, end));
            }
        }
    }
    None
}

/// The first WORKDIR of a chain of stages.
pub(super) fn check_workdir(
    checker: &mut Checker<'_>,
    instruction: &Instruction,
    path: &Spanned<String>,
) {
    if path.starts_with('/') {
        return;
    }
    let message = format!(
        "Relative workdir \"{path}\" can have unexpected results if the base image changes"
    );
    checker.report(
        &instruction.comments,
        Note::new(&WORKDIR_RELATIVE_PATH, path.span, message),
    );
}

/// `pairs` of an ENV, expanded.
pub(super) fn check_localhost(
    checker: &mut Checker<'_>,
    instruction: &Instruction,
    pairs: &[KeyValue],
) {
    for pair in pairs {
        let Some(host) = local_host(&pair.key, &pair.value) else {
            continue;
        };
        let message = format!(
            "{} points to {host}: inside a container that is the container itself",
            pair.key
        );
        checker.report(
            &instruction.comments,
            Note::new(&ENV_LOCALHOST, pair.value.span, message).help(
                "use the name of the other service's container, or host.docker.internal for the \
                 host; set it at run time",
            ),
        );
    }
}

/// The local address that a value names as another service's.
fn local_host(key: &str, value: &str) -> Option<&'static str> {
    let authority = value.split_once("://").map(|(_, rest)| {
        let rest = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        rest.rsplit('@').next().unwrap_or(rest)
    });
    let named = key.ends_with("_HOST") || key.ends_with("_ADDR") || key.ends_with("_SERVER");
    let target = match authority {
        Some(authority) => authority,
        None if named => value,
        None => return None,
    };
    ["localhost", "127.0.0.1", "[::1]"]
        .into_iter()
        .find(|host| {
            let after = target.strip_prefix(host);
            after.is_some_and(|after| after.is_empty() || after.starts_with(':'))
        })
}
