//! How things are written: JSON form, legacy forms, port specifications, comments.

use super::{Author, Checker, Fix, Note, Rule};
use crate::dockerfile::Stage;
use crate::instruction::{CommandForm, Instruction, InstructionKind, KeyValue, Port};
use crate::source::{Span, Spanned};

pub(super) const NO_EMPTY_CONTINUATION: Rule = Rule::docker(
    "NoEmptyContinuation",
    "Empty continuation lines will become errors in a future release",
);
pub(super) const JSON_ARGS_RECOMMENDED: Rule = Rule::docker(
    "JSONArgsRecommended",
    "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS \
     signals",
);
pub(super) const MAINTAINER_DEPRECATED: Rule = Rule::docker(
    "MaintainerDeprecated",
    "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
);
pub(super) const LEGACY_KEY_VALUE_FORMAT: Rule = Rule::docker(
    "LegacyKeyValueFormat",
    "Legacy key/value format with whitespace separator should not be used",
);
pub(super) const EXPOSE_PROTO_CASING: Rule = Rule::docker(
    "ExposeProtoCasing",
    "Protocol in EXPOSE instruction should be lowercase",
);
pub(super) const EXPOSE_INVALID_FORMAT: Rule = Rule::docker(
    "ExposeInvalidFormat",
    "IP address and host-port mapping should not be used in EXPOSE instruction. This will become \
     an error in a future release",
);
pub(super) const INVALID_DEFINITION_DESCRIPTION: Rule = Rule {
    name: "InvalidDefinitionDescription",
    summary: "Comment for build stage or argument should follow the format: `# <arg/stage name> \
              <description>`",
    author: Author::DockerExperimental,
};
pub(super) const INVALID_JSON_FORM: Rule = Rule::hoist(
    "InvalidJSONForm",
    "What looks like a JSON array should be one, or Docker takes it for a shell command",
);

/// What the parser noted.
pub(super) fn check_warnings(checker: &mut Checker<'_>) {
    for warning in &checker.dockerfile.warnings {
        let source = &checker.dockerfile.source;
        let (rule, fix) = match warning.code {
            "NoEmptyContinuation" => (
                &NO_EMPTY_CONTINUATION,
                Some(Fix::remove_lines(source, warning.span)),
            ),
            "InvalidJSONForm" => (&INVALID_JSON_FORM, None),
            _ => continue,
        };
        let mut note = Note::new(rule, warning.span, warning.message.clone()).fix(fix);
        note.help.clone_from(&warning.help);
        checker.report(&[], note);
    }
}

pub(super) fn check(checker: &mut Checker<'_>, instruction: &Instruction, custom_shell: bool) {
    match &instruction.kind {
        InstructionKind::Cmd(form) | InstructionKind::Entrypoint(form) if !custom_shell => {
            check_json(checker, instruction, form);
        }
        InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => {
            for pair in pairs.iter().filter(|pair| pair.legacy) {
                check_legacy(checker, instruction, pair);
            }
        }
        InstructionKind::Maintainer(author) => check_maintainer(checker, instruction, author),
        InstructionKind::Arg(args) => {
            let names: Vec<&str> = args.iter().map(|arg| arg.name.as_str()).collect();
            check_description(checker, "ARG", &names, &instruction.comments);
        }
        _ => {}
    }
}

fn check_json(checker: &mut Checker<'_>, instruction: &Instruction, form: &CommandForm) {
    let CommandForm::Shell(line) = form else {
        return;
    };
    let keyword = &instruction.keyword;
    let message = format!(
        "JSON arguments recommended for {keyword} to prevent unintended behavior related to OS \
         signals"
    );
    let fix = json_form(line).and_then(|json| {
        let span = checker.locate_only(instruction.span, line)?;
        Some(Fix::replace(span, &json))
    });
    let note = Note::new(&JSON_ARGS_RECOMMENDED, instruction.span, message).help(
        "in shell form a shell is process 1, and it passes no signals on: stopping takes the whole \
         grace period",
    );
    checker.report(&instruction.comments, note.fix(fix));
}

/// `line` as a JSON array, if no shell is needed to run it.
fn json_form(line: &str) -> Option<String> {
    const BUILTINS: [&str; 12] = [
        "exec", "cd", "export", "source", ".", "set", "eval", "trap", "if", "for", "while", "umask",
    ];
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@,+% ".contains(c);
    let first = line.split(' ').next()?;
    if !line.chars().all(plain) || BUILTINS.contains(&first) || first.contains('=') {
        return None;
    }
    let words: Vec<String> = line
        .split_whitespace()
        .map(|word| format!("\"{word}\""))
        .collect();
    (!words.is_empty()).then(|| format!("[{}]", words.join(", ")))
}

fn check_legacy(checker: &mut Checker<'_>, instruction: &Instruction, pair: &KeyValue) {
    let keyword = &instruction.keyword;
    let message = format!(
        "\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format"
    );
    let span = pair.key.span.to(pair.value.span);
    let one_line = !checker.dockerfile.source.slice(span).contains('\n');
    let fix = quoted(&pair.value)
        .filter(|_| one_line && is_plain(&pair.key))
        .map(|value| Fix::replace(span, &format!("{}={value}", pair.key)));
    checker.report(
        &instruction.comments,
        Note::new(&LEGACY_KEY_VALUE_FORMAT, span, message).fix(fix),
    );
}

/// `value` as one word, in double quotes if it needs them; `None` if it has quotes of its own.
fn quoted(value: &str) -> Option<String> {
    if !is_plain(value) {
        return None;
    }
    if !value.contains(char::is_whitespace) {
        return Some(value.to_owned());
    }
    Some(format!("\"{value}\""))
}

/// Whether `text` means the same in the form with `=`: it has no quotes, and nothing escapes.
fn is_plain(text: &str) -> bool {
    !text.contains(['"', '\'', '\\', '`'])
}

fn check_maintainer(
    checker: &mut Checker<'_>,
    instruction: &Instruction,
    author: &Spanned<String>,
) {
    let message = "Maintainer instruction is deprecated in favor of using label";
    let fix = quoted(&format!("{author} ")).map(|_| {
        let label = format!("LABEL org.opencontainers.image.authors=\"{author}\"");
        Fix::replace(instruction.span, &label)
    });
    let plain = !author.contains('$');
    checker.report(
        &instruction.comments,
        Note::new(&MAINTAINER_DEPRECATED, instruction.span, message).fix(fix.filter(|_| plain)),
    );
}

/// The ports of one EXPOSE: as written, and after expansion.
pub(super) fn check_ports(
    checker: &mut Checker<'_>,
    instruction: &Instruction,
    ports: &[Spanned<String>],
) {
    for text in ports {
        let Ok(port) = Port::parse(text) else {
            continue;
        };
        let literal = checker.dockerfile.source.slice(text.span) == text.value;
        let replace = |with: String| literal.then(|| Fix::replace(text.span, &with));
        let span: Span = text.span;
        if port.odd_case {
            let message =
                format!("Defined protocol '{text}' in EXPOSE instruction should be lowercase");
            let fix = replace(text.to_lowercase());
            let note = Note::new(&EXPOSE_PROTO_CASING, span, message).fix(fix);
            checker.report(&instruction.comments, note);
        }
        if port.has_host_part {
            let message = format!(
                "EXPOSE instruction should not define an IP address or host-port mapping, found \
                 '{text}'"
            );
            let container = text.rsplit(':').next().unwrap_or(text).to_owned();
            let note = Note::new(&EXPOSE_INVALID_FORMAT, span, message).fix(replace(container));
            checker.report(&instruction.comments, note);
        }
    }
}

/// A comment right above a named stage or an argument should describe it.
pub(super) fn check_stage_description(checker: &mut Checker<'_>, stage: &Stage) {
    if let Some(name) = &stage.name {
        check_description(checker, "FROM", &[name], &stage.comments);
    }
}

fn check_description(
    checker: &mut Checker<'_>,
    keyword: &str,
    names: &[&str],
    comments: &[Spanned<String>],
) {
    let (Some(last), Some(first)) = (comments.last(), names.first()) else {
        return;
    };
    if names.contains(&last.split(' ').next().unwrap_or_default()) {
        return;
    }
    let example = if names.len() > 1 { "<arg_key>" } else { first };
    let message =
        format!("Comment for {keyword} should follow the format: `# {example} <description>`");
    let note = Note::new(&INVALID_DEFINITION_DESCRIPTION, last.span, message);
    checker.report(comments, note);
}
