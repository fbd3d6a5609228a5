//! The file format: rows 1–15.

use hoist_build::{call, check};
use hoist_dockerfile::lint::{Author, RULES};

use super::{World, content, with_args};

#[test]
fn row_01_comments_and_continuations() {
    let dockerfile = "# a comment\n\n   FROM base\n  # indented\nRUN echo one \\\n# inside\n\n  two \\\n   three > /x\n";
    assert_eq!(content(&World::new(), dockerfile, "x"), "one two three\n");
}

#[test]
fn row_02_syntax_directive() {
    let world = World::new();
    for own in [
        "docker/dockerfile:1",
        "docker/dockerfile-upstream:master",
        "docker.io/docker/dockerfile:1.20-labs",
    ] {
        let built = world.dockerfile(&format!("# syntax={own}\nFROM base\n"));
        assert!(built.result.is_ok(), "{own}");
    }
    let error = world
        .dockerfile("# syntax=example.org/front:1\nFROM base\n")
        .error();
    assert!(
        error.contains("unsupported frontend: example.org/front:1"),
        "{error}"
    );
}

#[test]
fn row_03_escape_directive() {
    let dockerfile = "# Escape=`\nFROM base\nRUN echo a `\n  'b\\c' > /x\n";
    assert_eq!(content(&World::new(), dockerfile, "x"), "a b\\c\n");
}

#[test]
fn row_04_check_directive() {
    let world = World::new();
    let warned = world.dockerfile("FROM base as x\n").built().warnings;
    let is_casing = |rule: &Option<String>| rule.as_deref() == Some("FromAsCasing");
    assert!(warned.iter().any(|warning| is_casing(&warning.rule)));
    let quiet = world.dockerfile("# check=skip=FromAsCasing\nFROM base as x\n");
    let warnings = quiet.built().warnings;
    assert!(!warnings.iter().any(|warning| is_casing(&warning.rule)));
    let error = world.dockerfile("# check=error=true\nFROM base as x\nRUN touch /ran\n");
    assert!(error.steps().is_empty());
    assert!(
        error
            .error()
            .contains("lint violation found for rules: FromAsCasing")
    );
}

#[test]
fn row_05_directives_stand_first_and_once() {
    let world = World::new();
    // Behind a blank line it is a comment.
    let dockerfile = "\n# escape=`\nFROM base\nRUN echo a \\\n  b > /x\n";
    assert_eq!(content(&world, dockerfile, "x"), "a b\n");
    let error = world
        .dockerfile("# escape=`\n# escape=`\nFROM base\n")
        .error();
    assert!(
        error.contains("only one escape parser directive can be used"),
        "{error}"
    );
}

#[test]
fn row_06_run_here_documents() {
    let world = World::new();
    let dockerfile = "FROM base\nRUN <<EOF\necho one > /1\necho two > /2\nEOF\n\
        RUN <<EOF\n#!/bin/busybox sh\necho $0 > /3\nEOF\n\
        RUN cat <<A > /4 && cat <<-B >> /4\nfirst\nA\n\tsecond\nB\n\
        RUN <<'EOF' sh\nX=kept; echo $X > /5\nEOF\n";
    let built = world.dockerfile(dockerfile).built();
    let all: Vec<_> = ["1", "2", "3", "4", "5"]
        .map(|name| super::read(&world, &built, name))
        .into();
    assert_eq!(
        all,
        [
            "one\n",
            "two\n",
            "/dev/pipes/EOF\n",
            "first\nsecond\n",
            "kept\n"
        ]
    );
}

#[test]
fn row_07_copy_here_documents() {
    let world = World::new();
    let dockerfile = "FROM base\nARG V=1\nCOPY <<a <<-\"b\" /dir/\nv=$V\na\n\tv=$V\nb\n\
        COPY --chmod=700 --chown=app <<EOF /script\nx\nEOF\n";
    let built = world.dockerfile(dockerfile).built();
    insta::assert_snapshot!(world.files(&built.id, "dir"), @r#"
    0755 0:0 dir/
    0644 0:0 dir/a "v=1\n"
    0644 0:0 dir/b "v=$V\n"
    "#);
    insta::assert_snapshot!(world.files(&built.id, "script"), @r#"0700 1000:1001 script "x\n""#);
}

#[test]
fn row_08_plain_variable_forms() {
    let dockerfile = "FROM base\nENV A=a EMPTY=\n\
        ENV X=\"$A ${A} ${A:-w} ${NO:-w} ${EMPTY:-w} ${EMPTY-w} ${A:+w} ${EMPTY:+w} ${EMPTY+w} \\$A '$A'\"\n\
        RUN echo \"$X\" > /x\n";
    assert_eq!(
        content(&World::new(), dockerfile, "x"),
        "a a a w w  w  w $A 'a'\n"
    );
}

#[test]
fn row_09_required_variables() {
    let world = World::new();
    let dockerfile = "FROM base\nARG V\nENV X=\"${V:?say which}\"\n";
    let error = world.dockerfile(dockerfile).error();
    assert!(error.contains("V: say which"), "{error}");
    assert!(with_args(&world, dockerfile, &[("V", "1")]).result.is_ok());
    let set = world.dockerfile("FROM base\nARG V=\nENV X=${V?unset}\n");
    assert!(set.result.is_ok(), "empty is set");
}

#[test]
fn row_10_pattern_variables() {
    let dockerfile = "FROM base\nENV P=/usr/lib/lib.so.1\n\
        ENV X=\"${P#*/} ${P##*/} ${P%.*} ${P%%.*} ${P/lib/x} ${P//lib/x}\"\nRUN echo \"$X\" > /x\n";
    assert_eq!(
        content(&World::new(), dockerfile, "x"),
        "usr/lib/lib.so.1 lib.so.1 /usr/lib/lib.so /usr/lib/lib /usr/x/lib.so.1 /usr/x/x.so.1\n"
    );
}

#[test]
fn row_11_where_variables_are_expanded() {
    let world = World::new();
    world.file("data", "x");
    let dockerfile = "FROM base\nENV abc=hello N=data\nENV abc=bye def=$abc\n\
        WORKDIR /$N\nCOPY $N ./$def\nLABEL l=$abc\nUSER $N\nVOLUME /$N\nEXPOSE 80/${P:-tcp}\n\
        STOPSIGNAL ${S:-SIGINT}\nCMD echo $abc\n";
    let built = world.dockerfile(dockerfile).built();
    let config = world.engine.store().image(&built.id).unwrap().image.config;
    insta::assert_snapshot!(serde_json::to_string(&config).unwrap(), @r#"{"User":"data","ExposedPorts":{"80/tcp":{}},"Env":["BASE=yes","PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","abc=bye","N=data","def=hello"],"Cmd":["/bin/sh","-c","echo $abc"],"ArgsEscaped":true,"Volumes":{"/data":{}},"WorkingDir":"/data","Labels":{"l":"bye"},"StopSignal":"SIGINT"}"#);
    assert_eq!(super::read(&world, &built, "data/hello"), "x");
}

#[test]
fn row_12_exec_form_is_json_or_else_shell() {
    let world = World::new();
    let cmd = |text: &str| {
        super::config(&world, &format!("FROM base\nCMD {text}\n"))
            .cmd
            .unwrap()
    };
    assert_eq!(cmd("[\"a\", \"b\"]"), ["a", "b"]);
    assert_eq!(cmd("['a', 'b']"), ["/bin/sh", "-c", "['a', 'b']"]);
    let error = world.dockerfile("FROM base\nCMD [\"a\", 1]\n").error();
    assert!(
        error.contains("arrays must be comprised of strings only"),
        "{error}"
    );
    let warned = world
        .dockerfile("FROM base\nCMD ['a', 'b']\n")
        .built()
        .warnings;
    assert!(
        warned
            .iter()
            .any(|warning| warning.rule.as_deref() == Some("InvalidJSONForm")),
        "{warned:?}"
    );
}

#[test]
fn row_13_where_the_dockerfile_is() {
    let world = World::new();
    world.file("Containerfile", "FROM base\nRUN echo container > /x\n");
    let built = world.build(&world.request()).built();
    assert_eq!(super::read(&world, &built, "x"), "container\n");
    world.file("Dockerfile", "FROM base\nRUN echo docker > /x\n");
    let built = world.build(&world.request()).built();
    assert_eq!(super::read(&world, &built, "x"), "docker\n");
    let mut request = world.request();
    request.dockerfile_text = Some("FROM base\nRUN echo text > /x\n".to_owned());
    let built = world.build(&request).built();
    assert_eq!(super::read(&world, &built, "x"), "text\n");
}

/// Docker's rules, as `docs.docker.com/reference/build-checks` lists them.
const DOCKERS: [&str; 22] = [
    "ConsistentInstructionCasing",
    "CopyIgnoredFile",
    "DuplicateStageName",
    "ExposeInvalidFormat",
    "ExposeProtoCasing",
    "FromAsCasing",
    "FromPlatformFlagConstDisallowed",
    "InvalidBaseImagePlatform",
    "InvalidDefaultArgInFrom",
    "InvalidDefinitionDescription",
    "JSONArgsRecommended",
    "LegacyKeyValueFormat",
    "MaintainerDeprecated",
    "MultipleInstructionsDisallowed",
    "NoEmptyContinuation",
    "RedundantTargetPlatform",
    "ReservedStageName",
    "SecretsUsedInArgOrEnv",
    "StageNameCasing",
    "UndefinedArgInFrom",
    "UndefinedVar",
    "WorkdirRelativePath",
];

#[test]
fn row_14_build_checks() {
    let page = include_str!("../../../../../docs/checks.md");
    let rules: Vec<_> = RULES.iter().chain(check::RULES).collect();
    for name in DOCKERS {
        let rule = rules.iter().find(|rule| rule.name == name);
        let rule = rule.unwrap_or_else(|| panic!("{name} is not there"));
        assert_ne!(rule.author, Author::Hoist, "{name}");
        assert!(
            page.contains(&format!("### {name}\n")),
            "{name} is not in docs/checks.md"
        );
    }
    let others = rules
        .iter()
        .filter(|rule| rule.author != Author::Hoist && !DOCKERS.contains(&rule.name));
    let others: Vec<_> = others.map(|rule| rule.name).collect();
    assert!(others.is_empty(), "Docker has no rules {others:?}");
}

#[test]
fn row_15_outline_and_targets() {
    let world = World::new();
    world.file(
        "Dockerfile",
        "# VERSION to make\nARG VERSION=1\n# one makes it\nFROM base AS one\nARG VERSION\n\
         RUN --mount=type=secret,id=token,required x\nFROM base\n",
    );
    let mut request = world.request();
    let targets = call::targets(&request).unwrap().content;
    let names: Vec<_> = targets
        .iter()
        .map(|target| (target.name.as_deref(), target.is_default))
        .collect();
    assert_eq!(names, [(Some("one"), false), (None, true)]);
    assert!(
        call::outline(&request)
            .unwrap()
            .content
            .arguments
            .is_empty()
    );
    request.target = Some("one".to_owned());
    let outline = call::outline(&request).unwrap().content;
    assert_eq!(outline.description.as_deref(), Some("makes it"));
    let argument = &outline.arguments[0];
    assert_eq!(
        (argument.name.as_str(), argument.value.as_deref()),
        ("VERSION", Some("1"))
    );
    assert!(outline.secrets[0].is_required);
    request.target = Some("two".to_owned());
    assert!(call::outline(&request).is_err());
}
