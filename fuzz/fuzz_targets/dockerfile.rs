//! Any bytes as a Dockerfile: parsed, expanded, resolved and rendered, or refused.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use hoist_core::Platform;
use hoist_dockerfile::expand::instruction::expand;
use hoist_dockerfile::expand::{Expander, StageScope};
use hoist_dockerfile::lint::{self, Settings};
use hoist_dockerfile::stages::{Inputs, resolve};
use hoist_dockerfile::{Dockerfile, Source, parse, parse_bytes, render};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match parse_bytes(bytes) {
        Ok(dockerfile) => walk(&dockerfile),
        Err(errors) => {
            assert!(!errors.is_empty());
            let source = Source::from_bytes(bytes);
            for error in errors {
                let shown = render(&error, "Dockerfile", &source);
                assert!(!shown.contains('\u{1b}'));
            }
        }
    }
});

fn walk(dockerfile: &Dockerfile) {
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
    if let Err(error) = resolve(dockerfile, &inputs) {
        assert!(!error.to_string().is_empty());
    }
    check(dockerfile, inputs);
    let scope = StageScope::new([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
    let expander = Expander::new(&scope, dockerfile.directives.escape);
    for instruction in dockerfile
        .stages
        .iter()
        .flat_map(|stage| &stage.instructions)
    {
        if let Err(error) = expand(&instruction.kind, &expander) {
            let shown = render(&error, "Dockerfile", &dockerfile.source);
            assert!(!shown.contains('\u{1b}'));
        }
    }
}

/// Checks, fixes, and parses the result.
fn check(dockerfile: &Dockerfile, inputs: Inputs<'_>) {
    let settings = Settings {
        inputs,
        options: None,
        bases: &BTreeMap::new(),
        ignore: None,
    };
    if let Ok(report) = lint::check(dockerfile, &settings) {
        let fixed = lint::apply(&dockerfile.source, &report.findings);
        assert!(parse(&fixed).is_ok(), "fixes broke the file:\n{fixed}");
    }
}
