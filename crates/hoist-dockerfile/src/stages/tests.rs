//! Stages by tables.

use super::*;
use crate::{parse, render};

const NONE: BTreeMap<String, String> = BTreeMap::new();

fn resolve_with(
    text: &str,
    target: Option<&str>,
    build_args: &[(&str, &str)],
    contexts: &[&str],
) -> Result<Resolution, String> {
    let dockerfile = parse(text).unwrap();
    let platform = Platform {
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        variant: None,
    };
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let inputs = Inputs {
        target,
        build_args: &build_args.iter().map(pair).chain(NONE).collect(),
        build_platform: &platform,
        target_platform: &platform,
        contexts: &contexts.iter().map(|name| (*name).to_owned()).collect(),
    };
    resolve(&dockerfile, &inputs).map_err(|error| match error.diagnostics() {
        [] => error.to_string(),
        [first, ..] => render(first, "Dockerfile", &dockerfile.source),
    })
}

fn needed_by(text: &str, target: Option<&str>) -> Vec<usize> {
    resolve_with(text, target, &[], &[]).unwrap().needed
}

fn image(name: &str) -> Origin {
    Origin::Image(name.to_owned())
}

#[test]
fn only_what_the_target_needs() {
    let text = "FROM a AS one\nFROM b AS two\nCOPY --from=one x y\nFROM c AS three\n\
                FROM two\nRUN --mount=from=THREE,target=/x ls\nFROM d AS last\nCOPY --from=1 a b\n";
    assert_eq!(needed_by(text, None), [0, 1, 4]);
    assert_eq!(needed_by(text, Some("one")), [0]);
    assert_eq!(needed_by(text, Some("TWO")), [0, 1]);
    assert_eq!(needed_by(text, Some("3")), [0, 1, 2, 3]);
    assert_eq!(needed_by(text, Some("")), [0, 1, 4]);
}

#[test]
fn bases_are_stages_images_or_nothing() {
    let text = "ARG TAG=3.11\nFROM python:${TAG}-slim AS Builder\nFROM scratch\nFROM builder\n\
                FROM python\nFROM --platform=$BUILDPLATFORM a:$TARGETARCH\n";
    let resolution = resolve_with(text, None, &[], &[]).unwrap();
    let bases: Vec<&Origin> = resolution.stages.iter().map(|stage| &stage.base).collect();
    assert_eq!(
        bases,
        [
            &image("python:3.11-slim"),
            &Origin::Scratch,
            &Origin::Stage(0),
            &image("python"),
            &image("a:amd64")
        ]
    );
    assert_eq!(
        resolution.stages[4].platform.as_deref(),
        Some("linux/amd64")
    );
    assert_eq!(resolution.source("0"), Origin::Stage(0));
    assert_eq!(resolution.source("BUILDER"), Origin::Stage(0));
    assert_eq!(resolution.source("9"), image("9"));
    assert_eq!(resolution.source("busybox"), image("busybox"));
}

#[test]
fn build_arguments_override_defaults() {
    let text = "ARG A=1\nARG B=x$A\nFROM i:$B\n";
    let base = |args: &[(&str, &str)]| {
        resolve_with(text, None, args, &[]).unwrap().stages[0]
            .base_text
            .clone()
    };
    assert_eq!(base(&[]), "i:x1");
    assert_eq!(base(&[("A", "2")]), "i:x2");
    assert_eq!(base(&[("B", "y")]), "i:y");
    let resolution = resolve_with(text, None, &[("TARGETARCH", "arm64")], &[]).unwrap();
    assert_eq!(resolution.global["TARGETARCH"], "arm64");
    assert_eq!(resolution.global["TARGETPLATFORM"], "linux/amd64");
    assert_eq!(resolution.global["TARGETSTAGE"], "default");
}

#[test]
fn an_earlier_stage_of_the_same_name_is_the_base() {
    let resolution = resolve_with("FROM a AS x\nFROM x AS x\nFROM x\n", None, &[], &[]).unwrap();
    assert_eq!(resolution.stages[1].base, Origin::Stage(0));
    assert_eq!(resolution.stages[2].base, Origin::Stage(1));
}

#[test]
fn named_contexts_replace_stages_and_images() {
    let text = "FROM alpine AS one\nCOPY --from=nowhere a b\nFROM alpine:latest\nCOPY --from=one a b\n\
                COPY --from=src a b\n";
    let resolution = resolve_with(text, None, &[], &["one", "alpine", "src"]).unwrap();
    assert!(resolution.stages[0].replaced);
    assert_eq!(resolution.stages[0].base, Origin::Context("one".to_owned()));
    assert_eq!(
        resolution.stages[1].base,
        Origin::Context("alpine".to_owned())
    );
    assert_eq!(resolution.source("src"), Origin::Context("src".to_owned()));
}

#[test]
fn triggers_of_a_base_stage_are_dependencies() {
    let text = "FROM a AS tool\nFROM b AS base\nONBUILD COPY --from=tool x y\nFROM base\n";
    assert_eq!(needed_by(text, None), [0, 1, 2]);
    assert_eq!(needed_by(text, Some("base")), [1]);
}

#[test]
fn errors_show_the_place() {
    let fail = |text| resolve_with(text, None, &[], &[]).unwrap_err();
    insta::assert_snapshot!(fail("ARG V\nFROM $V\n"), @r"
    Dockerfile:2:6
       1 | ARG V
       2 | FROM $V
         |      ^^ base name ($V) should not be blank
         = help: give the ARG before FROM a default, or pass --build-arg
    ");
    insta::assert_snapshot!(fail("FROM a AS x\nCOPY --from=x b c\n"), @r"
    Dockerfile:2:13
       1 | FROM a AS x
       2 | COPY --from=x b c
         |             ^ circular dependency detected on stage: x
    ");
    insta::assert_snapshot!(fail("FROM a AS x\nCOPY --from=y b c\nFROM x AS y\n"), @r"
    Dockerfile:3:6
       1 | FROM a AS x
       2 | COPY --from=y b c
       3 | FROM x AS y
         |      ^ circular dependency detected on stage: x
    ");
    insta::assert_snapshot!(fail("FROM a\nCOPY --from=7 b c\n"), @r"
    Dockerfile:2:13
       1 | FROM a
       2 | COPY --from=7 b c
         |             ^ invalid stage index 7
    ");
    insta::assert_snapshot!(fail("FROM --platform=$TARGETPLATFROM a\n"), @r"
    Dockerfile:1:17
       1 | FROM --platform=$TARGETPLATFROM a
         |                 ^^^^^^^^^^^^^^^ empty platform value from expression $TARGETPLATFROM (did you mean TARGETPLATFORM?)
    ");
    let later = "FROM a AS x\nRUN --mount=from=y,target=/y ls\nFROM b AS y\n";
    let error = resolve_with(later, Some("x"), &[], &[]).unwrap_err();
    assert!(error.contains("cannot copy from stage \"y\""), "{error}");
    assert!(resolve_with(later, None, &[], &[]).is_ok());
    let error = resolve_with("FROM a AS build\n", Some("biuld"), &[], &[]).unwrap_err();
    assert_eq!(
        error,
        "target stage \"biuld\" could not be found (did you mean build?)"
    );
}

#[test]
fn a_long_chain_of_stages_is_walked_without_recursion() {
    let mut text = "FROM a AS s0\n".to_owned();
    for index in 1..20_000 {
        text.push_str(&format!("FROM s{} AS s{index}\n", index - 1));
    }
    assert_eq!(needed_by(&text, None).len(), 20_000);
}
