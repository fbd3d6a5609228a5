//! FROM's `--platform`: RedundantTargetPlatform, FromPlatformFlagConstDisallowed,
//! InvalidBaseImagePlatform.

use hoist_core::Platform;

use super::{Checker, Fix, Note, Rule};
use crate::dockerfile::Stage;
use crate::expand::Expansion;
use crate::source::Span;

pub(super) const REDUNDANT_TARGET_PLATFORM: Rule = Rule::docker(
    "RedundantTargetPlatform",
    "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default \
     behavior",
);
pub(super) const FROM_PLATFORM_FLAG_CONST_DISALLOWED: Rule = Rule::docker(
    "FromPlatformFlagConstDisallowed",
    "FROM --platform flag should not use a constant value",
);

pub(super) const INVALID_BASE_IMAGE_PLATFORM: Rule = Rule::docker(
    "InvalidBaseImagePlatform",
    "Base image platform does not match expected target platform",
);

/// `found` is the platform of the base image, `wanted` the one that FROM or the build asks for.
pub(super) fn check_base(
    checker: &mut Checker<'_>,
    stage: &Stage,
    base: &str,
    (found, wanted): (&Platform, &str),
) {
    let mut parts = wanted.split('/');
    let is_it = parts.next() == Some(found.os.as_str())
        && parts.next() == Some(found.architecture.as_str());
    if is_it {
        return;
    }
    let message = format!(
        "Base image {base} was pulled with platform \"{found}\", expected \"{wanted}\" for current build"
    );
    let note = Note::new(&INVALID_BASE_IMAGE_PLATFORM, stage.base_span, message).help(format!(
        "pull it for that platform: hoist pull --platform {wanted} {base}"
    ));
    checker.report(&stage.comments, note);
}

pub(super) fn check(
    checker: &mut Checker<'_>,
    stage: &Stage,
    platform: &Expansion,
    target_platform: Option<&String>,
) {
    let (Some(written), Some(span)) = (&stage.platform, stage.platform_span) else {
        return;
    };
    let only_target = platform.used.len() == 1 && platform.used.contains("TARGETPLATFORM");
    if only_target && platform.unset.is_empty() && Some(&platform.text) == target_platform {
        let message = format!(
            "Setting platform to predefined {written} in FROM is redundant as this is the default \
             behavior"
        );
        let fix = remove_flag(checker, stage);
        let note = Note::new(&REDUNDANT_TARGET_PLATFORM, span, message).fix(fix);
        checker.report(&stage.comments, note);
    }
    let constant = platform.used.is_empty() && platform.unset.is_empty();
    let name = stage.name.as_deref().unwrap_or_default();
    let named = |part: &str| !part.is_empty() && name.contains(part);
    if constant && !platform.text.split('/').take(2).any(named) {
        let value = &platform.text;
        let message = format!("FROM --platform flag should not use constant value \"{value}\"");
        let note = Note::new(&FROM_PLATFORM_FLAG_CONST_DISALLOWED, span, message).help(
            "pass --platform to the build, use $BUILDPLATFORM, or name the stage after the platform",
        );
        checker.report(&stage.comments, note);
    }
}

fn remove_flag(checker: &Checker<'_>, stage: &Stage) -> Option<Fix> {
    let before = Span::new(stage.span.start, stage.base_span.start);
    let flag = checker.locate_only(before, "--platform")?;
    let span = Span::new(flag.start, stage.base_span.start);
    let text = checker.dockerfile.source.slice(span);
    (!text.contains(['\n', '\\', '`'])).then(|| Fix::replace(span, ""))
}
