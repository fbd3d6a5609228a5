//! COPY, ADD, VOLUME, WORKDIR.

use super::check;

#[test]
fn copy() {
    check(&[
        ("COPY a b", r#"COPY ["a"] -> b"#),
        ("COPY a b c/", r#"COPY ["a", "b"] -> c/"#),
        ("COPY . .", r#"COPY ["."] -> ."#),
        (r#"COPY ["a b", "c d"]"#, r#"COPY ["a b"] -> c d"#),
        ("COPY a* b?c [[]x /d", r#"COPY ["a*", "b?c", "[[]x"] -> /d"#),
        ("COPY \"a b\" c", r#"COPY ["\"a", "b\""] -> c"#),
        ("COPY $src ${dst:-x}", r#"COPY ["$src"] -> ${dst:-x}"#),
        ("COPY --from=build /a /b", r#"COPY from=build ["/a"] -> /b"#),
        ("COPY --from=0 /a /b", r#"COPY from=0 ["/a"] -> /b"#),
        (
            "COPY --from=nginx:1.27@sha256:abc /a /b",
            r#"COPY from=nginx:1.27@sha256:abc ["/a"] -> /b"#,
        ),
        (
            "COPY --chown=1000:1000 --chmod=0755 a b",
            r#"COPY chown=1000:1000 chmod=0755 ["a"] -> b"#,
        ),
        (
            "COPY --chmod=u=rwX,go=rX a b",
            r#"COPY chmod=u=rwX,go=rX ["a"] -> b"#,
        ),
        ("COPY --link a b", r#"COPY link ["a"] -> b"#),
        ("COPY --link=true a b", r#"COPY link ["a"] -> b"#),
        ("COPY --link=FALSE a b", r#"COPY ["a"] -> b"#),
        ("COPY --parents a/./b c", r#"COPY parents ["a/./b"] -> c"#),
        (
            "COPY --exclude=*.txt --exclude=**/x a b",
            r#"COPY exclude=*.txt exclude=**/x ["a"] -> b"#,
        ),
        ("COPY --chown=\"a b\" c d", r#"COPY chown=a b ["c"] -> d"#),
        ("COPY -- --a b", r#"COPY ["--a"] -> b"#),
        ("COPY a \\\n  # why\n  b \\\n  c", r#"COPY ["a", "b"] -> c"#),
        (
            "COPY a",
            "error: COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        (
            "COPY",
            "error: COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        (
            "COPY [\"a\"]",
            "error: COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        (
            "COPY --form=x a b",
            "error: unknown flag: --form (did you mean from?)",
        ),
        ("COPY --checksum=x a b", "error: unknown flag: --checksum"),
        ("COPY --link= a b", "error: missing a value on flag: --link"),
        (
            "COPY --link=yes a b",
            "error: expecting boolean value for flag --link, not: yes",
        ),
        ("COPY --from a b", "error: missing a value on flag: --from"),
        (
            "COPY --from=a --from=b c d",
            "error: duplicate flag specified: --from",
        ),
        (
            "COPY --from=$x a b",
            "error: variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
        ),
        (
            "COPY [1, 2]",
            "error: when using JSON array syntax, arrays must be comprised of strings only",
        ),
    ]);
}

#[test]
fn copy_heredocs() {
    check(&[
        (
            "COPY <<EOF /x\nhello $name\nEOF",
            r#"COPY text EOF="hello $name\n" [] -> /x"#,
        ),
        (
            "COPY <<'EOF' /x\nhello $name\nEOF",
            r#"COPY raw EOF="hello $name\n" [] -> /x"#,
        ),
        (
            "COPY <<\"a.conf\" /x\nhi\na.conf",
            r#"COPY raw a.conf="hi\n" [] -> /x"#,
        ),
        (
            "COPY <<-EOF /x\n\tone\n\t\ttwo\n\tEOF",
            r#"COPY text EOF="one\ntwo\n" [] -> /x"#,
        ),
        (
            "COPY <<a <<b /d/\n1\na\n2\nb",
            r#"COPY text a="1\n" text b="2\n" [] -> /d/"#,
        ),
        (
            "COPY x <<a y /d/\n1\na",
            r#"COPY text a="1\n" ["x", "y"] -> /d/"#,
        ),
        (
            "COPY --chmod=644 <<a /d\n1\na",
            r#"COPY chmod=644 text a="1\n" [] -> /d"#,
        ),
        (
            "COPY a <<EOF\nEOF",
            "error: COPY cannot accept a heredoc as a destination",
        ),
        ("COPY <<EOF /x\nhello\n", "error: unterminated heredoc"),
        (
            "COPY <<EOF /x\n# kept \\\n\n  kept\nEOF",
            r##"COPY text EOF="# kept \\\n\n  kept\n" [] -> /x"##,
        ),
        (
            "ADD <<EOF /x\nhello\nEOF",
            r#"ADD text EOF="hello\n" [] -> /x"#,
        ),
    ]);
}

#[test]
fn add() {
    check(&[
        ("ADD a b", r#"ADD ["a"] -> b"#),
        (r#"ADD ["a b", "c"]"#, r#"ADD ["a b"] -> c"#),
        ("ADD https://x/y.tgz /z", r#"ADD ["https://x/y.tgz"] -> /z"#),
        (
            "ADD --checksum=sha256:ab https://x /z",
            r#"ADD checksum=sha256:ab ["https://x"] -> /z"#,
        ),
        (
            "ADD --keep-git-dir https://x.git#v1:sub /z",
            r#"ADD keep-git-dir=true ["https://x.git#v1:sub"] -> /z"#,
        ),
        (
            "ADD --keep-git-dir=false x /z",
            r#"ADD keep-git-dir=false ["x"] -> /z"#,
        ),
        ("ADD --unpack=true x /z", r#"ADD unpack=true ["x"] -> /z"#),
        (
            "ADD --unpack=false --link x /z",
            r#"ADD link unpack=false ["x"] -> /z"#,
        ),
        (
            "ADD --chown=a --chmod=1 --exclude=x y z",
            r#"ADD chown=a chmod=1 exclude=x ["y"] -> z"#,
        ),
        ("ADD --from=x a b", "error: unknown flag: --from"),
        ("ADD --parents a b", "error: unknown flag: --parents"),
        (
            "ADD a",
            "error: ADD requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
    ]);
}

#[test]
fn volumes_and_directories() {
    check(&[
        ("VOLUME /a", r#"VOLUME ["/a"]"#),
        ("VOLUME /a /b", r#"VOLUME ["/a", "/b"]"#),
        (r#"VOLUME ["/a", "/b c"]"#, r#"VOLUME ["/a", "/b c"]"#),
        (r#"VOLUME [" /a "]"#, r#"VOLUME ["/a"]"#),
        (
            r#"VOLUME ["a", ""]"#,
            "error: VOLUME specified can not be an empty string",
        ),
        ("VOLUME", "error: VOLUME requires at least one argument"),
        ("VOLUME []", "error: VOLUME requires at least one argument"),
        ("VOLUME --x /a", "error: unknown flag: --x"),
        ("WORKDIR /a b", r#"WORKDIR "/a b""#),
        ("WORKDIR \"/a b\"", r#"WORKDIR "\"/a b\"""#),
        ("WORKDIR $x/y", r#"WORKDIR "$x/y""#),
        ("WORKDIR", "error: WORKDIR requires exactly one argument"),
        ("WORKDIR --x y", "error: unknown flag: --x"),
    ]);
}
