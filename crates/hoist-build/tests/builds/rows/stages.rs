//! Stages and arguments: rows 17–25.

use std::sync::Arc;

use hoist_build::Fetch;
use hoist_core::{Platform, Reference};

use super::{World, content, read, with_args};

#[test]
fn row_17_from_image_stage_or_scratch() {
    let world = World::new();
    let id = world.engine.store().resolve("base").unwrap();
    let dockerfile = format!(
        "FROM {} AS one\nRUN echo 1 > /1\nFROM One AS two\nRUN echo 2 > /2\nFROM scratch\nCOPY --from=two /1 /2 /\nCOPY --from=0 /1 /one\n",
        id.hex()
    );
    let built = world.dockerfile(&dockerfile).built();
    assert_eq!(read(&world, &built, "one"), "1\n");
    insta::assert_snapshot!(world.files(&built.id, ""), @r#"
    0755 0:0 /
    0644 0:0 1 "1\n"
    0644 0:0 2 "2\n"
    0644 0:0 one "1\n"
    "#);
}

#[test]
fn row_18_from_platform() {
    let world = World::new();
    let ok = world
        .dockerfile("FROM --platform=$BUILDPLATFORM base\nFROM --platform=$TARGETPLATFORM base\n");
    assert!(ok.result.is_ok());
    let error = world
        .dockerfile("FROM --platform=linux/riscv64 base\n")
        .error();
    assert!(error.contains("not for linux/riscv64"), "{error}");
}

#[test]
fn row_20_scopes_of_arguments() {
    let world = World::new();
    let dockerfile = "ARG IMAGE=base\nARG G=global\nFROM $IMAGE AS one\nARG G\nARG L=local\n\
        RUN echo $G $L > /x\nFROM one\nRUN echo [$G] [$L] > /y\n";
    let built = world.dockerfile(dockerfile).built();
    assert_eq!(read(&world, &built, "x"), "global local\n");
    assert_eq!(read(&world, &built, "y"), "[global] [local]\n");
    let built = with_args(&world, dockerfile, &[("G", "given"), ("L", "mine")]).built();
    assert_eq!(read(&world, &built, "x"), "given mine\n");
    // An argument that the stage does not declare is unknown there, and what comes later wins.
    let dockerfile = "ARG G=global\nFROM base\nARG L=arg\nENV L=env\nRUN echo [$G] $L > /x\n";
    assert_eq!(content(&world, dockerfile, "x"), "[] env\n");
}

#[test]
fn row_21_several_arguments_on_a_line() {
    let dockerfile = "FROM base\nARG A=1 B C=\"x y\"\nRUN echo $A [$B] $C > /x\n";
    assert_eq!(content(&World::new(), dockerfile, "x"), "1 [] x y\n");
}

#[test]
fn row_22_proxy_arguments() {
    let world = World::new();
    let dockerfile = "FROM base\nRUN echo $HTTP_PROXY $no_proxy > /x\n";
    let built = with_args(
        &world,
        dockerfile,
        &[("HTTP_PROXY", "p1"), ("no_proxy", "n")],
    )
    .built();
    assert_eq!(read(&world, &built, "x"), "p1 n\n");
    let image = world.engine.store().config(&built.id).unwrap();
    let image = String::from_utf8(image).unwrap();
    assert!(!image.contains("p1"), "{image}");
    // They are no part of the key, unless they are declared.
    let again = with_args(&world, dockerfile, &[("HTTP_PROXY", "p2")]);
    assert_eq!(again.steps(), "cached: RUN echo $HTTP_PROXY $no_proxy > /x");
    let declared = "FROM base\nARG HTTP_PROXY\nRUN echo $HTTP_PROXY > /y\n";
    with_args(&world, declared, &[("HTTP_PROXY", "p1")]).built();
    let again = with_args(&world, declared, &[("HTTP_PROXY", "p2")]);
    assert!(again.steps().starts_with("ran: RUN"), "{}", again.steps());
}

#[test]
fn row_23_platform_arguments() {
    let host = Platform::host();
    let dockerfile = "FROM base\nARG TARGETPLATFORM TARGETOS TARGETARCH BUILDPLATFORM BUILDOS BUILDARCH\n\
        RUN echo $TARGETPLATFORM $TARGETOS $TARGETARCH $BUILDPLATFORM $BUILDOS $BUILDARCH > /x\n";
    let (os, architecture) = (&host.os, &host.architecture);
    assert_eq!(
        content(&World::new(), dockerfile, "x"),
        format!("{host} {os} {architecture} {host} {os} {architecture}\n")
    );
}

#[test]
fn row_24_arguments_of_buildkit() {
    let world = World::new();
    let dockerfile = "FROM base as x\nRUN --mount=type=cache,target=/c cat /proc/sys/kernel/hostname > /x; \
        ls /c > /c.list; touch /c/used\n";
    let built = with_args(
        &world,
        dockerfile,
        &[("BUILDKIT_SANDBOX_HOSTNAME", "forge")],
    )
    .built();
    assert_eq!(read(&world, &built, "x"), "forge\n");
    // Another name space has other caches.
    let args = [
        ("BUILDKIT_CACHE_MOUNT_NS", "team"),
        ("BUILDKIT_SANDBOX_HOSTNAME", "x"),
    ];
    let built = with_args(&world, dockerfile, &args).built();
    assert_eq!(read(&world, &built, "c.list"), "");
    let built = with_args(&world, dockerfile, &[]).built();
    assert_eq!(read(&world, &built, "c.list"), "used\n");
    assert_eq!(read(&world, &built, "x"), "buildkitsandbox\n");
    let skip = [("BUILDKIT_DOCKERFILE_CHECK", "skip=FromAsCasing")];
    let warnings = with_args(&world, dockerfile, &skip).built().warnings;
    assert!(
        !format!("{warnings:?}").contains("FromAsCasing"),
        "{warnings:?}"
    );
    let error = with_args(&world, dockerfile, &[("BUILDKIT_SYNTAX", "example.org/x")]).error();
    assert!(
        error.contains("unsupported frontend: example.org/x"),
        "{error}"
    );
    for harmless in [
        "BUILDKIT_MULTI_PLATFORM",
        "BUILDKIT_BUILD_NAME",
        "BUILDKIT_SYNTAX",
    ] {
        let value = if harmless == "BUILDKIT_SYNTAX" {
            "docker/dockerfile:1"
        } else {
            "1"
        };
        assert!(
            with_args(&world, dockerfile, &[(harmless, value)])
                .result
                .is_ok(),
            "{harmless}"
        );
    }
}

#[test]
fn row_68_images_are_asked_for_again() {
    let world = World::new();
    world.file("Dockerfile", "FROM base\n");
    let mut request = world.request();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    request.fetch = Some(Fetch {
        always: true,
        describe: None,
        image: Arc::new(move |reference: &Reference| {
            seen.lock().unwrap().push(reference.familiar());
            Ok(())
        }),
    });
    assert!(world.build(&request).result.is_ok());
    assert_eq!(*asked.lock().unwrap(), ["base:latest"]);
}
