//! RUN, CMD, ENTRYPOINT, SHELL, HEALTHCHECK, ONBUILD.

use std::collections::BTreeMap;

use hoist_dockerfile::InstructionKind;
use hoist_dockerfile::expand::Expander;
use hoist_dockerfile::instruction::{Mount, MountKind, Sharing, parse_trigger};

use super::show::show;
use super::{check, parsed, read, warnings};

#[test]
fn shell_and_exec_form() {
    check(&[
        ("RUN echo hi", r#"RUN sh "echo hi""#),
        ("run echo hi", r#"RUN sh "echo hi""#),
        ("RUN   echo   hi  ", r#"RUN sh "echo   hi""#),
        ("RUN\techo", r#"RUN sh "echo""#),
        (r#"RUN ["echo", "hi"]"#, r#"RUN ["echo", "hi"]"#),
        (r#"RUN [ "echo" ]"#, r#"RUN ["echo"]"#),
        ("RUN ['echo']", r#"RUN sh "['echo']""#),
        (r#"RUN ["echo""#, r#"RUN sh "[\"echo\"""#),
        (r#"RUN ["echo"] # x"#, r#"RUN sh "[\"echo\"] # x""#),
        ("RUN [ -f x ] && y", r#"RUN sh "[ -f x ] && y""#),
        (
            "RUN a \\\n && b \\\n # c\n && d",
            r#"RUN sh "a  && b  && d""#,
        ),
        ("RUN", r#"RUN sh """#),
        ("RUN []", "RUN []"),
        ("RUN echo $HOME ${X:-y}", r#"RUN sh "echo $HOME ${X:-y}""#),
        ("CMD run me", r#"CMD sh "run me""#),
        (r#"CMD ["a", "b c"]"#, r#"CMD ["a", "b c"]"#),
        ("CMD []", "CMD []"),
        ("CMD", r#"CMD sh """#),
        (r#"CMD ["a\u0062", "\n"]"#, r#"CMD ["ab", "\n"]"#),
        (r#"ENTRYPOINT ["a"]"#, r#"ENTRYPOINT ["a"]"#),
        ("ENTRYPOINT a b", r#"ENTRYPOINT sh "a b""#),
        ("ENTRYPOINT []", "ENTRYPOINT []"),
        (
            r#"SHELL ["/bin/bash", "-c"]"#,
            r#"SHELL ["/bin/bash", "-c"]"#,
        ),
        (
            "SHELL bash -c",
            "error: SHELL requires the arguments to be in JSON form",
        ),
        ("SHELL []", "error: SHELL requires at least one argument"),
        ("SHELL", "error: SHELL requires at least one argument"),
        (
            "CMD [1]",
            "error: when using JSON array syntax, arrays must be comprised of strings only",
        ),
        (
            r#"RUN ["a", ["b"]]"#,
            "error: when using JSON array syntax, arrays must be comprised of strings only",
        ),
        ("CMD --x y", "error: unknown flag: --x"),
        ("ENTRYPOINT --x y", "error: unknown flag: --x"),
        (r"CMD -- --x y", r#"CMD sh "--x y""#),
    ]);
}

#[test]
fn broken_json_is_noted() {
    let notes = |text| warnings(text);
    assert_eq!(notes("RUN [ -f x ] && y"), Vec::<String>::new());
    assert_eq!(
        notes("CMD ['python', 'app.py']"),
        [
            "InvalidJSONForm: not a valid JSON array (JSON strings take double quotes), so CMD takes it in shell form"
        ]
    );
    assert_eq!(
        notes("ENTRYPOINT [\"a\", \"b\",]"),
        [
            "InvalidJSONForm: not a valid JSON array (a comma must not come last), so ENTRYPOINT takes it in shell form"
        ]
    );
    assert_eq!(
        notes("RUN"),
        ["EmptyRun: RUN without a command runs nothing"]
    );
}

#[test]
fn run_flags() {
    check(&[
        ("RUN --network=none ls", r#"RUN network=None sh "ls""#),
        ("RUN --network=host ls", r#"RUN network=Host sh "ls""#),
        ("RUN --network=default ls", r#"RUN sh "ls""#),
        (
            "RUN --network=bridge ls",
            "error: invalid network mode \"bridge\"",
        ),
        (
            "RUN --security=insecure ls",
            r#"RUN security=Insecure sh "ls""#,
        ),
        ("RUN --security=sandbox ls", r#"RUN sh "ls""#),
        (
            "RUN --security=none ls",
            "error: security \"none\" is not valid",
        ),
        (
            "RUN --device=vendor.com/gpu=all ls",
            r#"RUN device=vendor.com/gpu=all sh "ls""#,
        ),
        (
            "RUN --mount=type=tmpfs,target=/t --network=none ls",
            r#"RUN mount(type=tmpfs,target=/t) network=None sh "ls""#,
        ),
        (
            "RUN --mount type=tmpfs ls",
            "error: missing a value on flag: --mount",
        ),
        (
            "RUN --monut=type=tmpfs ls",
            "error: unknown flag: --monut (did you mean mount?)",
        ),
        (
            "RUN --network=none --network=host ls",
            "error: duplicate flag specified: --network",
        ),
        (
            "RUN \\\n  --network=none \\\n  ls",
            r#"RUN network=None sh "ls""#,
        ),
        ("RUN ls --network=none", r#"RUN sh "ls --network=none""#),
        (
            "RUN --mount=type=cache,target=\"/a b\" [\"ls\"]",
            r#"RUN mount(type=cache,target=/a b) ["ls"]"#,
        ),
    ]);
}

fn mount(text: &str) -> Result<Mount, String> {
    let text = format!("FROM x\nRUN --mount={text} ls\n");
    let dockerfile = hoist_dockerfile::parse(&text).map_err(|errors| errors[0].message.clone())?;
    let InstructionKind::Run(run) = &dockerfile.stages[0].instructions[0].kind else {
        panic!("not a RUN");
    };
    let scope = BTreeMap::from([("DIR".to_owned(), "/dir".to_owned())]);
    let expander = Expander::new(&scope, '\\');
    run.mounts[0]
        .resolve(&expander)
        .map_err(|error| error.message)
}

#[test]
fn mounts_mean_what_docker_means() {
    let bind = mount("target=/x,source=a").unwrap();
    assert_eq!((bind.kind, bind.read_only), (MountKind::Bind, true));
    assert!(!mount("target=/x,rw").unwrap().read_only);
    assert!(mount("type=cache,target=/x,ro").unwrap().read_only);
    let cache =
        mount("type=cache,target=$DIR/c,id=k,sharing=locked,mode=0755,uid=1,gid=2,from=s").unwrap();
    assert_eq!(cache.target.as_deref(), Some("/dir/c"));
    assert_eq!(cache.sharing, Some(Sharing::Locked));
    assert_eq!(
        (cache.mode, cache.uid, cache.gid),
        (Some(0o755), Some(1), Some(2))
    );
    assert_eq!(
        (cache.id.as_deref(), cache.from.as_deref()),
        (Some("k"), Some("s"))
    );
    assert!(!cache.read_only);
    assert_eq!(
        mount("type=tmpfs,target=/x,size=64m").unwrap().size,
        Some(64 << 20)
    );
    let secret = mount("type=secret,id=token,env=TOKEN,required").unwrap();
    assert_eq!(
        (secret.env.as_deref(), secret.required),
        (Some("TOKEN"), true)
    );
    assert!(mount("type=ssh,required=true").unwrap().required);
    assert_eq!(mount("TYPE=Cache,dst=/x").unwrap().kind, MountKind::Cache);
    assert_eq!(
        mount("type=bind,destination=/x,src=b,readonly=false")
            .unwrap()
            .source
            .as_deref(),
        Some("b")
    );
}

#[test]
fn bad_mounts_are_refused_with_dockers_words() {
    for (text, message) in [
        (
            "type=cach,target=/x",
            "unsupported mount type \"cach\" (did you mean cache?)",
        ),
        (
            "type=cache,targt=/x",
            "unexpected key 'targt' in 'targt=/x' (did you mean target?)",
        ),
        (
            "type=cache,target=/x,sharing=open",
            "unsupported sharing value \"open\"",
        ),
        (
            "type=bind,target=/x,sharing=shared",
            "invalid cache sharing set for bind mount",
        ),
        (
            "type=bind,target=/x,mode=0755",
            "mode not allowed for \"bind\" type mounts",
        ),
        (
            "type=tmpfs,target=/x,uid=1",
            "uid not allowed for \"tmpfs\" type mounts",
        ),
        (
            "type=cache,target=/x,size=1m",
            "unexpected key 'size' for mount type 'cache'",
        ),
        (
            "type=tmpfs,target=/x,size=big",
            "invalid value for size: big",
        ),
        (
            "type=cache,required",
            "unexpected key 'required' for mount type 'cache'",
        ),
        (
            "type=secret",
            "invalid secret mount. one of source, target required",
        ),
        (
            "type=secret,id=a,source=b",
            "both source and id can't be set",
        ),
        (
            "type=secret,id=a,from=b",
            "secret mount should not have a from",
        ),
        (
            "type=cache,target",
            "invalid field 'target' must be a key=value pair",
        ),
        ("type=cache,target=/x,mode=9", "invalid value 9 for mode"),
        ("type=cache,target=/x,uid=-1", "invalid value -1 for uid"),
        (
            "type=cache,target=/x,ro=maybe",
            "invalid value for ro: maybe",
        ),
        (
            "from=$DIR,target=/x",
            "'from' doesn't support variable expansion, define alias stage instead",
        ),
        ("type=$NOPE,target=/x", "unsupported mount type \"\""),
    ] {
        assert_eq!(mount(text).unwrap_err(), message, "{text}");
    }
}

#[test]
fn run_heredocs() {
    check(&[
        (
            "RUN <<EOF\necho a\necho b\nEOF",
            r#"RUN sh "echo a\necho b\n""#,
        ),
        ("RUN <<EOF\r\necho a\r\nEOF\r\n", r#"RUN sh "echo a\r\n""#),
        ("RUN <<-EOF\n\techo a\n\tEOF", r#"RUN sh "echo a\n""#),
        (
            "RUN <<-EOF\n\t\techo \\\n\t\t  a\n\tEOF",
            r#"RUN sh "echo \\\n  a\n""#,
        ),
        (
            "RUN <<EOF\n# not a comment\nEOF",
            r##"RUN sh "# not a comment\n""##,
        ),
        (
            "RUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF",
            r##"RUN script EOF "#!/usr/bin/env python3\nprint(1)\n""##,
        ),
        (
            "RUN python3 <<EOF\nprint(1)\nEOF",
            r#"RUN sh "python3 <<EOF\nprint(1)\nEOF""#,
        ),
        (
            "RUN cat <<A && cat <<B\na\nA\nb\nB",
            r#"RUN sh "cat <<A && cat <<B\na\nA\nb\nB""#,
        ),
        (
            "RUN cat <<'EOF'\n$x\nEOF",
            r#"RUN sh "cat <<'EOF'\n$x\nEOF""#,
        ),
        (
            "RUN cat <<-EOF\n\tx\n\tEOF",
            r#"RUN sh "cat <<-EOF\n\tx\nEOF""#,
        ),
        (
            "RUN --network=none <<EOF\nls\nEOF",
            r#"RUN network=None sh "ls\n""#,
        ),
        ("RUN echo a <<<b", r#"RUN sh "echo a <<<b""#),
        (
            "RUN echo \\\n  <<EOF\nx\nEOF",
            r#"RUN sh "echo   <<EOF\nx\nEOF""#,
        ),
        ("RUN <<EOF\nEOF", r#"RUN sh """#),
        ("RUN <<EOF\nls\nEOF\nRUN b", r#"RUN sh "ls\n"; RUN sh "b""#),
        ("RUN <<EOF\nls\n EOF\n", "error: unterminated heredoc"),
        (r#"RUN ["a", "<<EOF"]"#, r#"RUN ["a", "<<EOF"]"#),
        ("CMD cat <<EOF", r#"CMD sh "cat <<EOF""#),
    ]);
}

#[test]
fn healthchecks() {
    check(&[
        ("HEALTHCHECK NONE", "HEALTHCHECK NONE"),
        ("HEALTHCHECK none", "HEALTHCHECK NONE"),
        (
            "HEALTHCHECK CMD curl -f x || exit 1",
            r#"HEALTHCHECK sh "curl -f x || exit 1""#,
        ),
        (r#"HEALTHCHECK cmd ["a", "b"]"#, r#"HEALTHCHECK ["a", "b"]"#),
        (
            "HEALTHCHECK --interval=5m --timeout=3s --start-period=1s --start-interval=500ms --retries=4 \\\n  CMD a",
            r#"HEALTHCHECK interval=300s timeout=3s start-period=1s start-interval=500ms retries=4 sh "a""#,
        ),
        (
            "HEALTHCHECK --interval=0s --retries=0 CMD a",
            r#"HEALTHCHECK sh "a""#,
        ),
        (
            "HEALTHCHECK --interval=1us CMD a",
            "error: Interval \"interval\" cannot be less than 1ms",
        ),
        (
            "HEALTHCHECK --timeout=-1s CMD a",
            "error: Interval \"timeout\" cannot be less than 1ms",
        ),
        (
            "HEALTHCHECK --interval=30 CMD a",
            "error: time: missing unit in duration \"30\"",
        ),
        (
            "HEALTHCHECK --retries=-1 CMD a",
            "error: --retries cannot be negative (-1)",
        ),
        (
            "HEALTHCHECK --retires=1 CMD a",
            "error: unknown flag: --retires (did you mean retries?)",
        ),
        (
            "HEALTHCHECK CMD",
            "error: Missing command after HEALTHCHECK CMD",
        ),
        (
            "HEALTHCHECK CMD []",
            "error: Missing command after HEALTHCHECK CMD",
        ),
        (
            "HEALTHCHECK",
            "error: HEALTHCHECK requires at least one argument",
        ),
        (
            "HEALTHCHECK NONE x",
            "error: HEALTHCHECK NONE takes no arguments",
        ),
        (
            "HEALTHCHECK curl x",
            "error: Unknown type \"CURL\" in HEALTHCHECK (try CMD)",
        ),
    ]);
    assert!(read("HEALTHCHECK --retries=x CMD a").starts_with("error: --retries takes a number"));
}

#[test]
fn triggers() {
    check(&[
        ("ONBUILD RUN ls", r#"ONBUILD "RUN ls" = RUN sh "ls""#),
        (
            "onbuild copy --from=a b c",
            r#"ONBUILD "copy --from=a b c" = COPY from=a ["b"] -> c"#,
        ),
        (
            "ONBUILD RUN <<EOF\nls\nEOF",
            r#"ONBUILD "RUN <<EOF\nls\nEOF" = RUN sh "ls\n""#,
        ),
        ("ONBUILD ENV a=b", r#"ONBUILD "ENV a=b" = ENV ["a=b"]"#),
        (
            "ONBUILD RUN a \\\n  b",
            r#"ONBUILD "RUN a   b" = RUN sh "a   b""#,
        ),
        ("ONBUILD", "error: ONBUILD requires at least one argument"),
        (
            "ONBUILD ONBUILD RUN x",
            "error: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
        ),
        (
            "ONBUILD FROM x",
            "error: FROM isn't allowed as an ONBUILD trigger",
        ),
        (
            "ONBUILD maintainer x",
            "error: MAINTAINER isn't allowed as an ONBUILD trigger",
        ),
        ("ONBUILD FOO x", r#"ONBUILD "FOO x" = ?"#),
    ]);
    assert_eq!(
        warnings("ONBUILD RNU x"),
        [
            "InvalidTrigger: builds from this image will fail: unknown instruction: RNU (did you mean RUN?)"
        ]
    );
    let trigger = parse_trigger("COPY <<a /x\nhello\na").unwrap();
    assert_eq!(show(&trigger.kind), r#"COPY text a="hello\n" [] -> /x"#);
    assert!(parse_trigger("RUN a\nRUN b").is_err());
    assert!(parse_trigger("FROM a").is_err());
    assert!(parse_trigger("").is_err());
}

#[test]
fn the_history_line_is_joined_and_upper_case() {
    let dockerfile = parsed("from x\nrun a \\\n  # note\n  && b\nENV  k=v\n");
    let originals: Vec<&str> = dockerfile.stages[0]
        .instructions
        .iter()
        .map(|i| i.original.as_str())
        .collect();
    assert_eq!(originals, ["RUN a   && b", "ENV  k=v"]);
    assert_eq!(dockerfile.stages[0].from_text, "from x");
}
