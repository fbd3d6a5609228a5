//! Upper and lower case: StageNameCasing, FromAsCasing, ConsistentInstructionCasing.

use super::{Checker, Fix, Note, Rule};
use crate::source::Spanned;

pub(super) const STAGE_NAME_CASING: Rule =
    Rule::docker("StageNameCasing", "Stage names should be lowercase");
pub(super) const FROM_AS_CASING: Rule = Rule::docker(
    "FromAsCasing",
    "The 'as' keyword should match the case of the 'from' keyword",
);
pub(super) const CONSISTENT_INSTRUCTION_CASING: Rule = Rule::docker(
    "ConsistentInstructionCasing",
    "All commands within the Dockerfile should use the same casing (either upper or lower)",
);

pub(super) fn check(checker: &mut Checker<'_>) {
    let dockerfile = checker.dockerfile;
    for stage in &dockerfile.stages {
        if let Some(span) = stage.name_span {
            let written = dockerfile.source.slice(span);
            if written != written.to_lowercase() {
                let message = format!("Stage name '{written}' should be lowercase");
                let fix = Fix::replace(span, &written.to_lowercase());
                let note = Note::new(&STAGE_NAME_CASING, span, message).fix(Some(fix));
                checker.report(&stage.comments, note);
            }
        }
        if let Some(as_word) = &stage.as_word {
            check_as(checker, &stage.comments, &stage.keyword, as_word);
        }
    }
    check_keywords(checker);
}

fn check_as(
    checker: &mut Checker<'_>,
    comments: &[Spanned<String>],
    from: &Spanned<String>,
    as_word: &Spanned<String>,
) {
    let wanted = if is_lower(from) {
        as_word.to_lowercase()
    } else if is_upper(from) {
        as_word.to_uppercase()
    } else {
        return;
    };
    if wanted != as_word.value {
        let message = format!("'{as_word}' and '{from}' keywords' casing do not match");
        let fix = Fix::replace(as_word.span, &wanted);
        checker.report(
            comments,
            Note::new(&FROM_AS_CASING, as_word.span, message).fix(Some(fix)),
        );
    }
}

fn check_keywords(checker: &mut Checker<'_>) {
    let mut keywords: Vec<(&Spanned<String>, &[Spanned<String>])> = Vec::new();
    for stage in &checker.dockerfile.stages {
        keywords.push((&stage.keyword, &stage.comments));
        for instruction in &stage.instructions {
            keywords.push((&instruction.keyword, &instruction.comments));
        }
    }
    let lower = keywords.iter().filter(|(word, _)| is_lower(word)).count();
    let upper = keywords.iter().filter(|(word, _)| is_upper(word)).count();
    let (wanted, convert): (_, fn(&str) -> String) = if lower > upper {
        ("lowercase", str::to_lowercase)
    } else {
        ("uppercase", str::to_uppercase)
    };
    for (word, comments) in keywords {
        let right = convert(word);
        if right != word.value {
            let message = format!(
                "Command '{word}' should match the case of the command majority ({wanted})"
            );
            let note = Note::new(&CONSISTENT_INSTRUCTION_CASING, word.span, message);
            checker.report(comments, note.fix(Some(Fix::replace(word.span, &right))));
        }
    }
}

fn is_lower(word: &str) -> bool {
    word == word.to_lowercase()
}

fn is_upper(word: &str) -> bool {
    word == word.to_uppercase()
}
