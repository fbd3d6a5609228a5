//! FROM, directives, and the errors of whole files.

use hoist_dockerfile::{Source, parse, parse_bytes, render};

use super::{errors, parsed, warnings};

#[test]
fn from() {
    let table: &[(&str, &str)] = &[
        ("FROM a", "a - -"),
        ("from a", "a - -"),
        ("FROM a AS b", "a b -"),
        ("FROM a as B", "a b -"),
        ("FROM a As b-1_2.x", "a b-1_2.x -"),
        ("FROM --platform=linux/arm64 a", "a - linux/arm64"),
        (
            "FROM --platform=$BUILDPLATFORM a AS b",
            "a b $BUILDPLATFORM",
        ),
        ("FROM  a:1@sha256:00  AS\tb ", "a:1@sha256:00 b -"),
        ("FROM ${BASE:-a}", "${BASE:-a} - -"),
        ("FROM", "error: FROM requires either one or three arguments"),
        (
            "FROM a b",
            "error: FROM requires either one or three arguments",
        ),
        (
            "FROM a AS",
            "error: FROM requires either one or three arguments",
        ),
        (
            "FROM a is b",
            "error: FROM requires either one or three arguments",
        ),
        (
            "FROM a # b",
            "error: FROM requires either one or three arguments",
        ),
        (
            "FROM a AS 1b",
            "error: invalid name for build stage: \"1b\", name can't start with a number or contain symbols",
        ),
        (
            "FROM a AS b/c",
            "error: invalid name for build stage: \"b/c\", name can't start with a number or contain symbols",
        ),
        (
            "FROM --plaform=x a",
            "error: unknown flag: --plaform (did you mean platform?)",
        ),
        (
            "FROM --platform a",
            "error: missing a value on flag: --platform",
        ),
    ];
    for (text, expected) in table {
        let found = match parse(text) {
            Ok(dockerfile) => {
                let stage = &dockerfile.stages[0];
                let or = |value: &Option<String>| value.clone().unwrap_or("-".to_owned());
                format!("{} {} {}", stage.base, or(&stage.name), or(&stage.platform))
            }
            Err(errors) => format!("error: {}", errors[0].message),
        };
        assert_eq!(&found, expected, "{text}");
    }
}

#[test]
fn stages_know_their_places() {
    let text = "# a\nFROM --platform=p img AS Name\nRUN x\nFROM scratch\n";
    let dockerfile = parsed(text);
    let stage = &dockerfile.stages[0];
    let slice = |span| dockerfile.source.slice(span);
    assert_eq!(slice(stage.span), "FROM --platform=p img AS Name");
    assert_eq!(slice(stage.base_span), "img");
    assert_eq!(slice(stage.name_span.unwrap()), "Name");
    assert_eq!(slice(stage.platform_span.unwrap()), "p");
    assert_eq!(slice(stage.instructions[0].span), "RUN x");
    assert_eq!(dockerfile.stages[1].index, 1);
    assert_eq!(stage.comments[0].as_str(), "a");
}

#[test]
fn directives() {
    let all = parsed(
        "# syntax=docker/dockerfile:1\n#escape = `\n# CHECK=skip=all\nFROM x\nRUN a `\n b\n",
    );
    assert_eq!(all.directives.escape, '`');
    assert_eq!(
        all.directives.syntax.as_ref().unwrap().as_str(),
        "docker/dockerfile:1"
    );
    assert_eq!(all.directives.check.as_ref().unwrap().as_str(), "skip=all");
    assert_eq!(all.stages[0].instructions[0].original, "RUN a  b");

    let escape = |text: &str| parsed(text).directives.escape;
    assert_eq!(escape("\n# escape=`\nFROM x"), '\\', "after a blank line");
    assert_eq!(escape("# hi\n# escape=`\nFROM x"), '\\', "after a comment");
    assert_eq!(
        escape("FROM x\n# escape=`\nRUN y"),
        '\\',
        "after an instruction"
    );
    assert_eq!(
        escape("# unknown=x\n# escape=`\nFROM x"),
        '\\',
        "after an unknown directive"
    );
    assert_eq!(
        escape("#!/usr/bin/env x\n# escape=`\nFROM x"),
        '\\',
        "after a shebang"
    );
    assert_eq!(escape("#\tesCAPE=`\nFROM x"), '`');
    let shebang = parsed("#!/usr/bin/env x\n# check=skip=all\nFROM x");
    assert!(shebang.directives.check.is_some());

    for (text, message) in [
        (
            "# escape=x\nFROM x",
            "invalid escape token 'x' does not match ` or \\",
        ),
        (
            "# escape=`\n# escape=\\\nFROM x",
            "only one escape parser directive can be used",
        ),
        (
            "# check=a\n# check=b\nFROM x",
            "only one check parser directive can be used",
        ),
        (
            "# syntax=my/frontend\nFROM x",
            "unsupported frontend: my/frontend",
        ),
    ] {
        assert_eq!(errors(text)[0].message, message, "{text}");
    }
    for image in [
        "docker/dockerfile",
        "docker.io/docker/dockerfile:1.20@sha256:00",
        "docker/dockerfile-upstream:master",
        "mirror:5000/docker/dockerfile:1-labs",
    ] {
        parsed(&format!("# syntax={image}\nFROM x"));
    }
}

#[test]
fn files_without_stages() {
    for (text, message) in [
        ("", "the Dockerfile (Dockerfile) cannot be empty"),
        ("\u{feff}", "the Dockerfile (Dockerfile) cannot be empty"),
        ("\n\n", "file with no instructions"),
        ("# only\n", "file with no instructions"),
        ("ARG a\n", "dockerfile contains no stages to build"),
        ("RUN a\nFROM x\n", "no build stage in current context"),
        ("ENV a=b\n", "no build stage in current context"),
    ] {
        assert_eq!(errors(text)[0].message, message, "{text:?}");
    }
}

#[test]
fn unknown_instructions_are_explained() {
    for (text, message) in [
        (
            "FROM x\nCOPPY a b",
            "unknown instruction: COPPY (did you mean COPY?)",
        ),
        (
            "FROM x\nrnu a",
            "unknown instruction: rnu (did you mean run?)",
        ),
        ("FROM x\nFOOBARBAZ", "unknown instruction: FOOBARBAZ"),
        ("FROM x\n&& a", "unknown instruction: &&"),
        ("{}", "unknown instruction: {}"),
        ("\\", "unknown instruction: "),
    ] {
        assert_eq!(errors(text)[0].message, message, "{text:?}");
    }
}

fn shown(text: &str) -> String {
    let source = Source::new(text);
    errors(text)
        .iter()
        .map(|error| render(error, "Dockerfile", &source))
        .collect()
}

#[test]
fn all_errors_are_shown_in_order() {
    insta::assert_snapshot!(shown("FROM busybox\nWORKDIR /app\nCOPPY . .\nCOPY --form=a b c\nRUN a \\\n  && b\n&& c\n"), @r"
    Dockerfile:3:1
       1 | FROM busybox
       2 | WORKDIR /app
       3 | COPPY . .
         | ^^^^^ unknown instruction: COPPY (did you mean COPY?)
       4 | COPY --form=a b c
       5 | RUN a \
    Dockerfile:4:6
       2 | WORKDIR /app
       3 | COPPY . .
       4 | COPY --form=a b c
         |      ^^^^^^^^ unknown flag: --form (did you mean from?)
       5 | RUN a \
       6 |   && b
         = help: this instruction takes --chown, --from, --chmod, --link, --exclude, --parents
    Dockerfile:7:1
       5 | RUN a \
       6 |   && b
       7 | && c
         | ^^ unknown instruction: &&
         = help: to continue the line above, end it with \
    ");
}

#[test]
fn an_error_inside_a_continued_line_is_found() {
    insta::assert_snapshot!(shown("FROM x\nENV a=b \\\n    # note\n    c \\\n    d=e\n"), @r#"
    Dockerfile:4:5
       2 | ENV a=b \
       3 |     # note
       4 |     c \
         |     ^ Syntax error - can't find = in "c". Must be of the form: name=value
       5 |     d=e
         = help: put a value with spaces in double quotes: name="a b"
    "#);
    insta::assert_snapshot!(shown("FROM x\nRUN cat <<EOF \\\n  | sh\nhello\n"), @r"
    Dockerfile:2:9
       1 | FROM x
       2 | RUN cat <<EOF \
         |         ^^^^^ unterminated heredoc
       3 |   | sh
       4 | hello
         = help: no line below is just `EOF`
    ");
}

#[test]
fn blank_lines_inside_instructions_are_noted() {
    assert_eq!(
        warnings("RUN a \\\n\n  && b"),
        ["NoEmptyContinuation: Empty continuation line"]
    );
    assert_eq!(warnings("RUN a \\\n  # fine\n  && b"), Vec::<String>::new());
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    for (bytes, expected) in [
        (
            &b"FROM x\nRUN \xff\n"[..],
            "Dockerfile:2:5: invalid UTF-8: byte 0xff",
        ),
        (
            b"\xef\xbb\xbfFROM \xc3",
            "Dockerfile:1:6: invalid UTF-8: byte 0xc3",
        ),
        (b"\xff\xfeF\0", "Dockerfile:1:1: invalid UTF-8: byte 0xff"),
    ] {
        let error = &parse_bytes(bytes).unwrap_err()[0];
        let position = Source::from_bytes(bytes).position(error.span.start);
        assert_eq!(format!("Dockerfile:{position}: {error}"), expected);
    }
    assert!(parse_bytes(b"\xef\xbb\xbfFROM x\r\nRUN y\r\n").is_ok());
}

#[test]
fn too_many_errors_are_not_all_listed() {
    assert_eq!(
        errors(&format!("FROM x\n{}", "NOPE\n".repeat(1000))).len(),
        20
    );
}

#[test]
fn control_characters_of_the_file_are_not_in_messages() {
    for text in [
        "FROM x\n\u{1b}[31mRED a",
        "FROM x\nENV a=b \u{7}c",
        "FROM x AS \u{1b}",
    ] {
        let shown = shown(text);
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
        assert!(!errors(text)[0].to_string().contains(['\u{1b}', '\u{7}']));
    }
}
