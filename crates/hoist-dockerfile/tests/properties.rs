//! What holds for every input.

use std::collections::{BTreeMap, BTreeSet};

use hoist_core::{Digest, Platform};
use hoist_dockerfile::expand::Expander;
use hoist_dockerfile::expand::instruction::expand;
use hoist_dockerfile::lint::{self, Settings};
use hoist_dockerfile::stages::{Inputs, resolve};
use hoist_dockerfile::{Dockerfile, Source, Span, parse, parse_bytes, render};
use proptest::prelude::*;

/// Text that has a fair chance to be a Dockerfile.
fn dockerfile_like() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        "FROM [a-z$]{1,4}( AS [a-z0-9]{1,3})?",
        "(RUN|CMD|ENTRYPOINT|SHELL) [\\[\\]\",a-z \\\\<'-]{0,20}",
        "(COPY|ADD)( --(from|chown|link|parents|exclude)=?[a-z0-9$\"]{0,4}){0,2} [a-z<'\"$]{0,4} [a-z<\\[]{0,4}",
        "(ENV|LABEL|ARG) [a-z=\"' $\\\\{}:-]{0,20}",
        "(USER|WORKDIR|EXPOSE|VOLUME|STOPSIGNAL|MAINTAINER) [a-z0-9/$ \"{}:-]{0,12}",
        "HEALTHCHECK( --(interval|retries)=[0-9a-z]{0,3})? (CMD|NONE)? ?[a-z\\[\"]{0,5}",
        "ONBUILD (RUN|COPY|ONBUILD|ENV|FROM) [a-z<=$ ]{0,8}",
        "RUN --mount=[a-z=,$\"]{0,24} x",
        "# ?(syntax|escape|check|x)?=?[a-z`\\\\=]{0,4}",
        "(RUN|COPY) <<-?['\"]?E['\"]? ?[/a-z]{0,3}",
        Just("E".to_owned()),
        Just("\tE".to_owned()),
        Just(String::new()),
        "\\PC{0,20}",
    ];
    let joint = prop_oneof![
        Just("\n"),
        Just("\r\n"),
        Just(" \\\n"),
        Just("`\n"),
        Just("\n\n")
    ];
    prop::collection::vec((line, joint), 0..12).prop_map(|lines| {
        lines
            .into_iter()
            .map(|(line, joint)| line + joint)
            .collect()
    })
}

fn check_span(span: Span, source: &Source) {
    let text = source.text();
    assert!(
        span.start <= span.end && span.end <= text.len(),
        "{span:?} of {}",
        text.len()
    );
    assert!(
        text.is_char_boundary(span.start) && text.is_char_boundary(span.end),
        "{span:?}"
    );
}

/// Walks over all that a parse gives.
fn check(dockerfile: &Dockerfile) {
    let source = &dockerfile.source;
    for warning in &dockerfile.warnings {
        check_span(warning.span, source);
        let shown = render(warning, "Dockerfile", source);
        assert!(shown.starts_with("Dockerfile:"));
    }
    let mut end = 0;
    for stage in &dockerfile.stages {
        check_span(stage.span, source);
        check_span(stage.base_span, source);
        assert!(stage.span.start >= end);
        end = stage.span.end;
        for instruction in &stage.instructions {
            check_span(instruction.span, source);
            check_span(instruction.keyword.span, source);
            assert_eq!(
                source.slice(instruction.keyword.span),
                instruction.keyword.as_str()
            );
            assert!(instruction.span.start >= end, "instructions overlap");
            end = instruction.span.end;
            let scope = BTreeMap::from([("a".to_owned(), "b c".to_owned())]);
            let expander = Expander::new(&scope, dockerfile.directives.escape);
            if let Err(error) = expand(&instruction.kind, &expander) {
                check_span(error.span, source);
            }
        }
    }
    check_stages(dockerfile);
    check_lint(dockerfile);
    check_pins(dockerfile);
}

/// Checks, fixes, checks again.
fn check_lint(dockerfile: &Dockerfile) {
    let platform = Platform::host();
    let settings = Settings {
        inputs: inputs(&platform),
        options: None,
        bases: &BTreeMap::new(),
        ignore: None,
    };
    let Ok(report) = lint::check(dockerfile, &settings) else {
        return;
    };
    for finding in &report.findings {
        check_span(finding.diagnostic.span, &dockerfile.source);
        let edits = finding.fix.iter().flat_map(|fix| &fix.edits);
        edits.for_each(|edit| check_span(edit.span, &dockerfile.source));
    }
    let fixed = lint::apply(&dockerfile.source, &report.findings);
    assert!(parse(&fixed).is_ok(), "fixes broke the file:\n{fixed}");
}

const NO_ARGS: &BTreeMap<String, String> = &BTreeMap::new();
const NO_CONTEXTS: &BTreeSet<String> = &BTreeSet::new();

/// Pins every base image: the stages stay what they are, and start from the same images.
fn check_pins(dockerfile: &Dockerfile) {
    let platform = Platform::host();
    let Ok(resolution) = resolve(dockerfile, &inputs(&platform)) else {
        return;
    };
    let images = lint::unpinned(dockerfile, &resolution).into_iter();
    let pins: BTreeMap<_, _> = images
        .map(|image| (image.reference, Digest::of(b"image")))
        .collect();
    let pinned = lint::pin(dockerfile, &resolution, &pins);
    let again = parse(&pinned)
        .unwrap_or_else(|e| panic!("{e:?}\nfrom {:?}\nto {pinned:?}", dockerfile.source.text()));
    assert_eq!(again.stages.len(), dockerfile.stages.len());
    for (before, after) in dockerfile.stages.iter().zip(&again.stages) {
        let name = after.base.split('@').next();
        assert_eq!(name, before.base.split('@').next());
        assert_eq!(
            (&after.name, &after.platform),
            (&before.name, &before.platform)
        );
        let originals = |instructions: &[hoist_dockerfile::Instruction]| {
            let texts = instructions.iter().map(|one| one.original.clone());
            texts.collect::<Vec<_>>()
        };
        assert_eq!(
            originals(&after.instructions),
            originals(&before.instructions)
        );
    }
}

fn inputs(platform: &Platform) -> Inputs<'_> {
    Inputs {
        target: None,
        build_args: NO_ARGS,
        build_platform: platform,
        target_platform: platform,
        contexts: NO_CONTEXTS,
    }
}

fn check_stages(dockerfile: &Dockerfile) {
    let platform = Platform::host();
    match resolve(dockerfile, &inputs(&platform)) {
        Ok(resolution) => {
            for &index in &resolution.needed {
                let dependencies = &resolution.stages[index].dependencies;
                assert!(
                    dependencies
                        .iter()
                        .all(|used| resolution.needed.contains(used))
                );
            }
        }
        Err(error) => {
            for diagnostic in error.diagnostics() {
                check_span(diagnostic.span, &dockerfile.source);
            }
        }
    }
}

fn check_text(text: &str) {
    match parse(text) {
        Ok(dockerfile) => check(&dockerfile),
        Err(errors) => {
            assert!(!errors.is_empty());
            let source = Source::new(text);
            for error in errors {
                check_span(error.span, &source);
                let shown = render(&error, "Dockerfile", &source);
                assert!(!shown.contains('\u{1b}'));
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC*") {
        check_text(&text);
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        match parse_bytes(&bytes) {
            Ok(dockerfile) => check(&dockerfile),
            Err(errors) => {
                let source = Source::from_bytes(&bytes);
                for error in errors {
                    check_span(error.span, &source);
                }
            }
        }
    }

    #[test]
    fn any_dockerfile_is_parsed_or_refused(text in dockerfile_like()) {
        check_text(&text);
    }

    #[test]
    fn the_history_line_means_the_same(text in dockerfile_like()) {
        if let Ok(dockerfile) = parse(&text) {
            let escape = dockerfile.directives.escape;
            for instruction in dockerfile.stages.iter().flat_map(|stage| &stage.instructions) {
                let original = &instruction.original;
                if original.contains("<<") || original.trim_end().ends_with(escape) {
                    continue;
                }
                let again = parse(&format!("# escape={escape}\nFROM x\n{original}\n")).unwrap();
                prop_assert_eq!(&again.stages[0].instructions[0].original, original);
                prop_assert_eq!(
                    again.stages[0].instructions[0].kind.keyword(),
                    instruction.kind.keyword()
                );
            }
        }
    }
}

#[test]
fn large_hostile_files_are_read_in_one_pass() {
    let repeated = |unit: &str| unit.repeat(20_000);
    for text in [
        repeated("\\\n"),
        format!("FROM x\nRUN {}", repeated("a \\\n")),
        format!("FROM x\nRUN {}", repeated("<<a ")),
        format!("FROM x\nRUN {}", repeated("\"<<a ")),
        format!("FROM x\nENV {}", repeated("a=${b:-")),
        format!("FROM x\nENV {}", repeated("a=b ")),
        format!("FROM x\nCMD {}", repeated("[")),
        format!("FROM x\nCMD [{}", repeated("\"a\",")),
        format!("FROM x\nCOPY {}", repeated("--link ")),
        format!("FROM x\nONBUILD {}", repeated("ONBUILD ")),
        format!("FROM x\nRUN --mount={} x", repeated("a,")),
        repeated("# escape=`\n"),
        repeated("# a\n"),
        repeated("FROM x\n"),
        repeated("FROM $a AS b\n"),
        format!("FROM scratch\n{}", repeated("ENV a=$a$a b=$c\n")),
        format!("FROM scratch\nENV {}", repeated("a=$b ")),
        format!("FROM x\nRUN {}", repeated("pip install x;")),
        format!("FROM x\n{}", repeated("HEALTHCHECK CMD curl x\n")),
        format!("FROM x\n{}", repeated("COPY --from=a site-packages b\n")),
        format!("FROM x\n{}", repeated("cmd a\n")),
        repeated("ARG a=$a$a\n") + "FROM x",
    ] {
        check_text(&text);
    }
}
