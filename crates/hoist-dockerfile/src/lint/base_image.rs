//! UnpinnedBaseImage.

use hoist_core::Reference;

use super::{Checker, Note, Rule};
use crate::dockerfile::Stage;

pub(super) const UNPINNED_BASE_IMAGE: Rule = Rule::hoist(
    "UnpinnedBaseImage",
    "Base images should have a tag other than latest, or a digest",
);

/// `base` is the image of `stage`, expanded.
pub(super) fn check(checker: &mut Checker<'_>, stage: &Stage, base: &str) {
    let Ok(reference) = Reference::parse_untagged(base) else {
        return;
    };
    let message = match (reference.tag(), base.contains('@')) {
        (_, true) => return,
        (None, false) => format!("{base} has no tag: the build takes whatever latest is that day"),
        (Some("latest"), false) => format!("{base} is another image tomorrow"),
        (Some(_), false) => return,
    };
    checker.report(
        &stage.comments,
        Note::new(&UNPINNED_BASE_IMAGE, stage.base_span, message)
            .help("name a version, or better a digest (name:version@sha256:…)"),
    );
}
