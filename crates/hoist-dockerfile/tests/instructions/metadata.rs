//! ENV, LABEL, ARG, EXPOSE, USER, STOPSIGNAL, MAINTAINER; and the expansion of instructions.

use std::collections::BTreeMap;

use hoist_dockerfile::expand::Expander;
use hoist_dockerfile::expand::instruction::expand;

use super::show::show;
use super::{check, parsed, warnings};

#[test]
fn environment_and_labels() {
    check(&[
        ("ENV a=b", r#"ENV ["a=b"]"#),
        ("ENV a=b c=d", r#"ENV ["a=b", "c=d"]"#),
        (
            "ENV a=\"b c\" d='e f' g=h\\ i",
            r#"ENV ["a=\"b c\"", "d='e f'", "g=h\\ i"]"#,
        ),
        ("ENV a b", r#"ENV ["a b"]"#),
        ("ENV a b  c = d", r#"ENV ["a b  c = d"]"#),
        ("ENV a \t b", r#"ENV ["a b"]"#),
        ("ENV a=", r#"ENV ["a="]"#),
        ("ENV a=b=c", r#"ENV ["a=b=c"]"#),
        (
            "ENV a=b \\\n    c=d \\\n    # note\n    e=f",
            r#"ENV ["a=b", "c=d", "e=f"]"#,
        ),
        ("ENV a=$b ${c}=d", r#"ENV ["a=$b", "${c}=d"]"#),
        ("ENV \"a b\"=c", r#"ENV ["\"a b\"=c"]"#),
        ("ENV", "error: ENV requires at least one argument"),
        ("ENV a", "error: ENV must have two arguments"),
        ("ENV =b", "error: ENV names can not be blank"),
        (
            "ENV a=b c",
            "error: Syntax error - can't find = in \"c\". Must be of the form: name=value",
        ),
        (
            "ENV a=b c = d",
            "error: Syntax error - can't find = in \"c\". Must be of the form: name=value",
        ),
        ("ENV --x a=b", "error: unknown flag: --x"),
        (
            "LABEL a=b \"c.d\"=\"e f\"",
            r#"LABEL ["a=b", "\"c.d\"=\"e f\""]"#,
        ),
        ("LABEL a b c", r#"LABEL ["a b c"]"#),
        ("LABEL a=\"one \\\ntwo\"", r#"LABEL ["a=\"one two\""]"#),
        ("LABEL a", "error: LABEL must have two arguments"),
        ("LABEL", "error: LABEL requires at least one argument"),
    ]);
}

#[test]
fn arguments() {
    check(&[
        ("ARG a", r#"ARG ["a"]"#),
        ("ARG a=b", r#"ARG ["a=b"]"#),
        ("ARG a= b=\"c d\" e", r#"ARG ["a=", "b=\"c d\"", "e"]"#),
        ("ARG a=b=c", r#"ARG ["a=b=c"]"#),
        ("ARG", "error: ARG requires at least one argument"),
        ("ARG =b", "error: ARG names can not be blank"),
    ]);
    assert_eq!(
        warnings("ARG --x a"),
        ["IgnoredFlag: ARG takes no flags; --x is ignored"]
    );
    let dockerfile = parsed("ARG a=1 b\nARG c=$a\nFROM x\nARG a\n");
    let globals: Vec<&str> = dockerfile
        .global_args
        .iter()
        .map(|arg| arg.name.as_str())
        .collect();
    assert_eq!(globals, ["a", "b", "c"]);
}

#[test]
fn the_rest() {
    check(&[
        ("EXPOSE 80", r#"EXPOSE ["80"]"#),
        (
            "EXPOSE 80/tcp 8000-8010/udp $PORT",
            r#"EXPOSE ["80/tcp", "8000-8010/udp", "$PORT"]"#,
        ),
        ("EXPOSE", "error: EXPOSE requires at least one argument"),
        ("EXPOSE --x 80", "error: unknown flag: --x"),
        ("USER app", r#"USER "app""#),
        ("USER 1000:1000", r#"USER "1000:1000""#),
        ("USER a b", r#"USER "a b""#),
        ("USER", "error: USER requires exactly one argument"),
        ("STOPSIGNAL SIGINT", r#"STOPSIGNAL "SIGINT""#),
        ("STOPSIGNAL 9", r#"STOPSIGNAL "9""#),
        (
            "STOPSIGNAL",
            "error: STOPSIGNAL requires exactly one argument",
        ),
        ("MAINTAINER Me <me@x.org>", r#"MAINTAINER "Me <me@x.org>""#),
        (
            "MAINTAINER",
            "error: MAINTAINER requires exactly one argument",
        ),
    ]);
}

/// The only instruction of `text`, expanded.
fn expanded(text: &str) -> String {
    let variables = [("a", "old"), ("b", "x y"), ("p", "80 81"), ("u", "me")];
    let scope: BTreeMap<String, String> = variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let dockerfile = parsed(&format!("FROM x\n{text}"));
    match expand(
        &dockerfile.stages[0].instructions[0].kind,
        &Expander::new(&scope, '\\'),
    ) {
        Ok(expanded) => {
            let mut shown = show(&expanded.kind);
            if !expanded.unset.is_empty() {
                shown += &format!(" unset {:?}", expanded.unset);
            }
            shown
        }
        Err(error) => format!(
            "error at {:?}: {error}",
            dockerfile.source.slice(error.span)
        ),
    }
}

#[test]
fn an_instruction_is_expanded_as_a_whole() {
    for (text, expected) in [
        ("ENV a=new b=$a", r#"ENV ["a=new", "b=old"]"#),
        (
            "ENV a=new c=\"$a and $b\"",
            r#"ENV ["a=new", "c=old and x y"]"#,
        ),
        ("ENV $u=1 c='$a'", r#"ENV ["me=1", "c=$a"]"#),
        (
            "ENV a it's",
            "error at \"'s\": failed to process \"it's\": unexpected end of statement while looking for matching single-quote",
        ),
        ("ENV c=$nope", r#"ENV ["c="] unset {"nope"}"#),
        ("LABEL l=\"$a\"", r#"LABEL ["l=old"]"#),
        (
            "COPY --chown=$u --chmod=$a --exclude=$b $a $b",
            r#"COPY chown=me chmod=old exclude=$b ["old"] -> x y"#,
        ),
        (
            "COPY <<EOF $a\n'$a' \\$a\nEOF",
            r#"COPY text EOF="'old' $a\n" [] -> old"#,
        ),
        (
            "COPY <<'EOF' $a\n$a\nEOF",
            r#"COPY raw EOF="$a\n" [] -> old"#,
        ),
        ("ADD --checksum=$a $a b", r#"ADD checksum=old ["old"] -> b"#),
        ("WORKDIR /$a/\\$a", r#"WORKDIR "/old/$a""#),
        ("USER $u:${g:-0}", r#"USER "me:0" unset {"g"}"#),
        ("VOLUME $a $b", r#"VOLUME ["old", "x y"]"#),
        ("EXPOSE $p 90/udp", r#"EXPOSE ["80", "81", "90/udp"]"#),
        ("STOPSIGNAL $a", r#"STOPSIGNAL "old""#),
        ("RUN echo $a", r#"RUN sh "echo $a""#),
        ("CMD echo $a", r#"CMD sh "echo $a""#),
        ("CMD [\"echo\", \"$a\"]", r#"CMD ["echo", "$a"]"#),
        ("ENTRYPOINT $a", r#"ENTRYPOINT sh "$a""#),
        ("SHELL [\"$a\"]", r#"SHELL ["$a"]"#),
        ("HEALTHCHECK CMD $a", r#"HEALTHCHECK sh "$a""#),
        ("ONBUILD ENV x=$a", r#"ONBUILD "ENV x=$a" = ENV ["x=$a"]"#),
        ("MAINTAINER $a", r#"MAINTAINER "$a""#),
        ("ARG x=$a", r#"ARG ["x=$a"]"#),
        (
            "WORKDIR /x/${a",
            "error at \"${a\": failed to process \"/x/${a\": syntax error: missing '}'",
        ),
        (
            "USER ${u:?} ${z:?no user}",
            "error at \"${z:?no user}\": failed to process \"${u:?} ${z:?no user}\": z: no user",
        ),
    ] {
        assert_eq!(expanded(text), expected, "{text}");
    }
}
