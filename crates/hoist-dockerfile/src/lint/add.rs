//! AddInsteadOfCopy.

use super::{Checker, Fix, Note, Rule};
use crate::instruction::{Add, Instruction, InstructionKind};

pub(super) const ADD_INSTEAD_OF_COPY: Rule = Rule::hoist(
    "AddInsteadOfCopy",
    "COPY should be used where ADD's unpacking and downloading are not needed",
);

const ARCHIVES: [&str; 12] = [
    ".tar", ".gz", ".tgz", ".bz2", ".tbz", ".tbz2", ".xz", ".txz", ".lzma", ".zst", ".tzst", ".z",
];
/// Endings of names that are surely no archives.
const TEXTS: [&str; 20] = [
    ".py", ".txt", ".toml", ".lock", ".json", ".yaml", ".yml", ".cfg", ".conf", ".ini", ".sh",
    ".md", ".js", ".ts", ".html", ".css", ".xml", ".go", ".rs", ".rb",
];

pub(super) fn check(checker: &mut Checker<'_>, instruction: &Instruction) {
    let InstructionKind::Add(add) = &instruction.kind else {
        return;
    };
    if !is_plain(add) {
        return;
    }
    let upper = instruction.keyword.chars().any(char::is_uppercase);
    let copy = if upper { "COPY" } else { "copy" };
    let message = "ADD copies plain files here: COPY does just that";
    let note = Note::new(&ADD_INSTEAD_OF_COPY, instruction.keyword.span, message)
        .help(
            "ADD also unpacks archives and fetches URLs, which surprises when a source becomes one",
        )
        .fix(is_safe(add).then(|| Fix::replace(instruction.keyword.span, copy)));
    checker.report(&instruction.comments, note);
}

/// Whether nothing in the instruction needs ADD.
fn is_plain(add: &Add) -> bool {
    let flags = add.unpack.is_some() || add.checksum.is_some() || add.keep_git_dir.is_some();
    !flags
        && !add.sources.is_empty()
        && add.sources.iter().all(|source| {
            let lower = source.to_lowercase();
            let remote = lower.contains("://") || lower.starts_with("git@");
            let archive = ARCHIVES.iter().any(|ending| lower.ends_with(ending));
            !remote && !archive && !lower.contains('$') && !lower.ends_with('*')
        })
}

/// Whether all sources are surely directories or texts.
fn is_safe(add: &Add) -> bool {
    add.sources.iter().all(|source| {
        matches!(source.as_str(), "." | "./")
            || source.ends_with('/')
            || TEXTS.iter().any(|ending| source.ends_with(ending))
    })
}
