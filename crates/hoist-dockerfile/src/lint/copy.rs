//! COPY: CopyIgnoredFile, CopyBeforeInstall.

use super::script::{Command, run_commands};
use super::{Checker, Note, Rule};
use crate::glob::clean;
use crate::ignore::Ignore;
use crate::instruction::{Instruction, InstructionKind};
use crate::source::Spanned;

pub(super) const COPY_IGNORED_FILE: Rule = Rule::docker(
    "CopyIgnoredFile",
    "Attempting to Copy file that is excluded by .dockerignore",
);
pub(super) const COPY_BEFORE_INSTALL: Rule = Rule::hoist(
    "CopyBeforeInstall",
    "Dependencies should be installed before the whole context is copied",
);

/// Commands that install what a manifest lists.
const INSTALLERS: [&[&str]; 16] = [
    &["pip", "install"],
    &["pip3", "install"],
    &["uv", "pip", "install"],
    &["uv", "pip", "sync"],
    &["uv", "sync"],
    &["poetry", "install"],
    &["pipenv", "install"],
    &["pipenv", "sync"],
    &["npm", "install"],
    &["npm", "ci"],
    &["yarn", "install"],
    &["pnpm", "install"],
    &["bundle", "install"],
    &["composer", "install"],
    &["go", "mod", "download"],
    &["cargo", "fetch"],
];

/// `sources` are expanded; of a COPY or ADD from the context.
pub(super) fn check_ignored(
    checker: &mut Checker<'_>,
    instruction: &Instruction,
    sources: &[Spanned<String>],
    ignore: &Ignore,
) {
    if ignore.has_exceptions() {
        return;
    }
    let verb = match instruction.kind {
        InstructionKind::Add(_) => "Add",
        _ => "Copy",
    };
    for source in sources {
        let cleaned = clean(source);
        let path = cleaned.trim_start_matches('/');
        if path.is_empty() || path == "." || source.contains("://") {
            continue;
        }
        let Some(decision) = ignore.decision(path).filter(|decision| !decision.negated) else {
            continue;
        };
        let message =
            format!("Attempting to {verb} file \"{path}\" that is excluded by .dockerignore");
        let (line, pattern) = (decision.line, decision.pattern);
        checker.report(
            &instruction.comments,
            Note::new(&COPY_IGNORED_FILE, source.span, message)
                .help(format!("line {line} of .dockerignore says {pattern}")),
        );
    }
}

/// The whole context is copied, and only then dependencies are installed from a list.
pub(super) fn check_order(checker: &mut Checker<'_>, instructions: &[Instruction]) {
    let mut copied: Option<&Instruction> = None;
    for instruction in instructions {
        match &instruction.kind {
            InstructionKind::Copy(copy)
                if copied.is_none() && copy.from.is_none() && copies_everything(&copy.sources) =>
            {
                copied = Some(instruction);
            }
            InstructionKind::Add(add) if copied.is_none() && copies_everything(&add.sources) => {
                copied = Some(instruction);
            }
            InstructionKind::Run(run) => {
                let commands = run_commands(run);
                let Some(installer) = commands.iter().find_map(installer) else {
                    continue;
                };
                let Some(copied) = copied else {
                    return;
                };
                let line = checker.line(instruction.span);
                let message = format!(
                    "the whole context is copied before {installer} in line {line}: every change \
                     of any file installs everything again"
                );
                let note = Note::new(&COPY_BEFORE_INSTALL, copied.span, message).help(format!(
                    "copy the list of dependencies first, run {installer}, then copy the rest"
                ));
                checker.report(&copied.comments, note);
                return;
            }
            _ => {}
        }
    }
}

fn copies_everything(sources: &[Spanned<String>]) -> bool {
    sources
        .iter()
        .any(|source| matches!(clean(source).as_str(), "." | "/"))
}

/// The installer that `command` is, if it takes its list from a file.
fn installer(command: &Command) -> Option<String> {
    let python = ["python", "python3"].iter().find_map(|python| {
        let words = command.bare();
        let module = words.first().is_some_and(|word| word == python)
            && words
                .get(1..4)
                .is_some_and(|rest| rest == ["-m", "pip", "install"]);
        module.then(|| (&words[4..], "pip install".to_owned()))
    });
    let listed = INSTALLERS.iter().find_map(|start| {
        let rest = command.after(start)?;
        Some((rest, start.join(" ")))
    });
    let (rest, name) = python.or(listed)?;
    let from_list = !name.contains("pip install")
        || rest
            .iter()
            .any(|word| word.starts_with("-r") || word.starts_with("--requirement"));
    let whole =
        !matches!(name.as_str(), "npm install") || rest.iter().all(|word| word.starts_with('-'));
    (from_list && whole).then_some(name)
}
