//! Base images pinned to what they are now: `FROM python:3.12-slim@sha256:…`.

use std::collections::BTreeMap;

use hoist_core::{Digest, Reference};

use super::{Finding, Fix, Rule, apply};
use crate::{
    diagnostic::Diagnostic,
    dockerfile::{Dockerfile, Stage},
    source::Span,
    stages::{Origin, Resolution},
};

/// The rule that `--fix` answers for with a digest.
const PINNED: Rule = super::base_image::UNPINNED_BASE_IMAGE;

/// An image that a FROM names without a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpinned {
    /// The image, with its tag.
    pub reference: Reference,
    /// Where the name stands.
    pub span: Span,
    /// The name holds variables, or is written over several lines: a digest behind it would not
    /// do.
    pub is_composed: bool,
}

/// The images that stages of `dockerfile` start from by a name without a digest, each once.
#[must_use]
pub fn unpinned(dockerfile: &Dockerfile, resolution: &Resolution) -> Vec<Unpinned> {
    let stages = dockerfile.stages.iter();
    let mut found: Vec<Unpinned> = Vec::new();
    for one in stages.filter_map(|stage| of_stage(dockerfile, resolution, stage)) {
        if !found
            .iter()
            .any(|known| known.reference == one.reference && !one.is_composed)
        {
            found.push(one);
        }
    }
    found
}

fn of_stage(dockerfile: &Dockerfile, resolution: &Resolution, stage: &Stage) -> Option<Unpinned> {
    let Origin::Image(name) = &resolution.stages[stage.index].base else {
        return None;
    };
    let reference = Reference::parse(name).ok()?;
    let written = dockerfile.source.slice(stage.base_span);
    (reference.digest().is_none()).then(|| Unpinned {
        reference,
        span: stage.base_span,
        is_composed: written != name || written.contains(['$', '\\', '`', '"', '\'', '\n']),
    })
}

/// The text of `dockerfile` with the digests of `pins` behind the names that they are for. Nothing
/// else changes.
#[must_use]
pub fn pin(
    dockerfile: &Dockerfile,
    resolution: &Resolution,
    pins: &BTreeMap<Reference, Digest>,
) -> String {
    let stages = dockerfile.stages.iter();
    let findings: Vec<Finding> = stages
        .filter_map(|stage| of_stage(dockerfile, resolution, stage))
        .filter(|found| !found.is_composed)
        .filter_map(|found| {
            let digest = pins.get(&found.reference)?;
            let diagnostic = Diagnostic::warning(PINNED.name, "", found.span);
            Some(Finding {
                rule: &PINNED,
                diagnostic,
                fix: Some(Fix::insert(found.span.end, &format!("@{digest}"))),
            })
        })
        .collect();
    apply(&dockerfile.source, &findings)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hoist_core::Platform;

    use super::*;
    use crate::{
        parse,
        stages::{Inputs, resolve},
    };

    fn pinned(text: &str) -> (String, Vec<String>) {
        let dockerfile = parse(text).unwrap();
        let platform = Platform {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            variant: None,
        };
        let inputs = Inputs {
            target: None,
            build_args: &BTreeMap::new(),
            build_platform: &platform,
            target_platform: &platform,
            contexts: &BTreeSet::new(),
        };
        let resolution = resolve(&dockerfile, &inputs).unwrap();
        let found = unpinned(&dockerfile, &resolution);
        let pins = found
            .iter()
            .map(|one| (one.reference.clone(), Digest::of(b"x")));
        let text = pin(&dockerfile, &resolution, &pins.collect());
        let text = text.replace(&Digest::of(b"x").to_string(), "D");
        let composed = found.iter().filter(|one| one.is_composed);
        (text, composed.map(|one| one.reference.familiar()).collect())
    }

    #[test]
    fn names_get_their_digest_and_nothing_else_changes() {
        let text = "ARG V=1\nFROM  python:3 as a # x\r\nFROM a\nFROM python:3\nFROM scratch\n\
                    FROM b:$V\nFROM c@sha256:0000000000000000000000000000000000000000000000000000000000000000\n\
                    FROM --platform=linux/amd64 x.org/d AS e";
        let (text, composed) = pinned(&text.replace(" # x", ""));
        insta::assert_snapshot!(text.replace('\r', "<CR>"), @r"
        ARG V=1
        FROM  python:3@D as a<CR>
        FROM a
        FROM python:3@D
        FROM scratch
        FROM b:$V
        FROM c@sha256:0000000000000000000000000000000000000000000000000000000000000000
        FROM --platform=linux/amd64 x.org/d@D AS e
        ");
        assert_eq!(composed, ["b:1"]);
        assert_eq!(pinned(&text).0, text, "once is enough");
    }
}
