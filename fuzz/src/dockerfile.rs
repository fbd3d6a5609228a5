//! Any bytes as a Dockerfile: parsed, expanded, resolved and rendered, or refused.

use std::collections::{BTreeMap, BTreeSet};

use hoist_core::{Digest, Platform};
use hoist_dockerfile::expand::instruction::expand;
use hoist_dockerfile::expand::{Expander, StageScope};
use hoist_dockerfile::lint::{self, Settings};
use hoist_dockerfile::stages::{Inputs, resolve};
use hoist_dockerfile::{Dockerfile, Source, outline, parse, parse_bytes, render};

use crate::signature;

/// Any bytes as a Dockerfile. The signature: its errors by code, or what is in it.
pub(crate) fn run(bytes: &[u8]) -> u64 {
    match parse_bytes(bytes) {
        Ok(dockerfile) => walk(&dockerfile),
        Err(errors) => {
            assert!(!errors.is_empty());
            let source = Source::from_bytes(bytes);
            for error in &errors {
                let shown = render(error, "Dockerfile", &source);
                assert!(!shown.contains('\u{1b}'));
            }
            let codes: BTreeSet<&str> = errors.iter().map(|error| error.code).collect();
            signature(&codes)
        }
    }
}

fn walk(dockerfile: &Dockerfile) -> u64 {
    let platform = Platform {
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        variant: None,
    };
    let (build_args, contexts) = (BTreeMap::new(), BTreeSet::new());
    let inputs = Inputs {
        target: None,
        build_args: &build_args,
        build_platform: &platform,
        target_platform: &platform,
        contexts: &contexts,
    };
    let mut seen = BTreeSet::new();
    match resolve(dockerfile, &inputs) {
        Ok(resolution) => {
            let outline = outline::outline(dockerfile, &resolution, &inputs);
            let images = lint::unpinned(dockerfile, &resolution).into_iter();
            let pins = images.map(|image| (image.reference, Digest::of(b"")));
            let pinned = lint::pin(dockerfile, &resolution, &pins.collect());
            assert!(parse(&pinned).is_ok(), "a digest broke the file:\n{pinned}");
            seen.insert(format!("{} secrets", outline.secrets.len().min(2)));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    seen.extend(check(dockerfile, inputs));
    let scope = StageScope::new([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
    let expander = Expander::new(&scope, dockerfile.directives.escape);
    for instruction in dockerfile
        .stages
        .iter()
        .flat_map(|stage| &stage.instructions)
    {
        seen.insert(instruction.keyword.value.to_ascii_uppercase());
        if let Err(error) = expand(&instruction.kind, &expander) {
            let shown = render(&error, "Dockerfile", &dockerfile.source);
            assert!(!shown.contains('\u{1b}'));
            seen.insert(error.code.to_owned());
        }
    }
    signature(&(seen, dockerfile.stages.len().min(3)))
}

/// Checks, fixes, and parses the result. The rules that found something.
fn check(dockerfile: &Dockerfile, inputs: Inputs<'_>) -> Vec<String> {
    let settings = Settings {
        inputs,
        options: None,
        bases: &BTreeMap::new(),
        ignore: None,
    };
    let Ok(report) = lint::check(dockerfile, &settings) else {
        return Vec::new();
    };
    let fixed = lint::apply(&dockerfile.source, &report.findings);
    assert!(parse(&fixed).is_ok(), "fixes broke the file:\n{fixed}");
    let findings = report.findings.iter();
    findings
        .map(|finding| finding.rule.name.to_owned())
        .collect()
}
