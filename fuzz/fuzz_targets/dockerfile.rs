//! Any bytes as a Dockerfile: parsed, expanded, resolved and rendered, or refused.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use hoist_core::Platform;
use hoist_dockerfile::expand::instruction::expand;
use hoist_dockerfile::expand::{Expander, StageScope};
use hoist_dockerfile::stages::{Inputs, resolve};
use hoist_dockerfile::{Dockerfile, Source, parse_bytes, render};
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
    let inputs = Inputs {
        target: None,
        build_args: &BTreeMap::new(),
        build_platform: &platform,
        target_platform: &platform,
        contexts: &BTreeSet::new(),
    };
    if let Err(error) = resolve(dockerfile, &inputs) {
        assert!(!error.to_string().is_empty());
    }
    let scope = StageScope::new([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
    let expander = Expander::new(&scope, dockerfile.directives.escape);
    for instruction in dockerfile.stages.iter().flat_map(|stage| &stage.instructions) {
        if let Err(error) = expand(&instruction.kind, &expander) {
            let shown = render(&error, "Dockerfile", &dockerfile.source);
            assert!(!shown.contains('\u{1b}'));
        }
    }
}
