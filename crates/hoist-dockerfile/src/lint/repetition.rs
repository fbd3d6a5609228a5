//! What should be there once: DuplicateStageName, ReservedStageName,
//! MultipleInstructionsDisallowed.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checker, Fix, Note, Rule};
use crate::instruction::{Instruction, Keyword};

pub(super) const DUPLICATE_STAGE_NAME: Rule =
    Rule::docker("DuplicateStageName", "Stage names should be unique");
pub(super) const RESERVED_STAGE_NAME: Rule = Rule::docker(
    "ReservedStageName",
    "Reserved words should not be used as stage names",
);
pub(super) const MULTIPLE_INSTRUCTIONS_DISALLOWED: Rule = Rule::docker(
    "MultipleInstructionsDisallowed",
    "Multiple instructions of the same type should not be used in the same stage",
);

pub(super) fn check_names(checker: &mut Checker<'_>) {
    let mut seen = BTreeSet::new();
    for stage in &checker.dockerfile.stages {
        let (Some(name), Some(span)) = (&stage.name, stage.name_span) else {
            continue;
        };
        if matches!(name.as_str(), "context" | "scratch") {
            let message =
                format!("Stage name should not use the same name as reserved stage \"{name}\"");
            checker.report(
                &stage.comments,
                Note::new(&RESERVED_STAGE_NAME, span, message),
            );
        }
        if !seen.insert(name) {
            let message = format!("Duplicate stage name \"{name}\", stage names should be unique");
            checker.report(
                &stage.comments,
                Note::new(&DUPLICATE_STAGE_NAME, span, message),
            );
        }
    }
}

/// Of several CMD, ENTRYPOINT or HEALTHCHECK in a stage only the last counts.
pub(super) fn check_single(checker: &mut Checker<'_>, instructions: &[Instruction]) {
    let mut earlier: BTreeMap<Keyword, &Instruction> = BTreeMap::new();
    for instruction in instructions {
        let keyword = instruction.kind.keyword();
        if !matches!(
            keyword,
            Keyword::Cmd | Keyword::Entrypoint | Keyword::Healthcheck
        ) {
            continue;
        }
        if let Some(ignored) = earlier.insert(keyword, instruction) {
            let message = format!(
                "Multiple {keyword} instructions should not be used in the same stage because only \
                 the last one will be used"
            );
            let line = checker.line(instruction.span);
            let fix = Fix::remove_lines(&checker.dockerfile.source, ignored.span);
            let note = Note::new(&MULTIPLE_INSTRUCTIONS_DISALLOWED, ignored.span, message)
                .help(format!("line {line} replaces this one"))
                .fix(Some(fix));
            checker.report(&instruction.comments, note);
        }
    }
}
