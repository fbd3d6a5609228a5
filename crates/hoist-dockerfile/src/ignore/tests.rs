//! `.dockerignore` by tables: the documented rules, and what Docker does beyond them.

use proptest::prelude::*;

use super::*;

/// A file, a path, and whether the path is left out.
const LEFT_OUT: &[(&str, &str, bool)] = &[
    // names
    ("foo", "foo", true),
    ("foo", "foobar", false),
    ("foo", "foo/bar", true),
    ("foo", "foo/bar/baz", true),
    ("foo", "bar/foo", false),
    ("foo/bar", "foo/bar", true),
    ("foo/bar", "foo", false),
    ("foo/bar", "foo/baz", false),
    // slashes and dots
    ("/foo", "foo", true),
    ("foo/", "foo", true),
    ("foo/", "foo/bar", true),
    ("/foo/", "foo", true),
    ("./foo", "foo", true),
    ("foo/./bar", "foo/bar", true),
    ("foo//bar", "foo/bar", true),
    ("foo/../bar", "bar", true),
    ("../foo", "foo", false),
    (".", "foo", false),
    ("/", "foo", false),
    // blanks and comments
    ("  foo  ", "foo", true),
    ("# foo", "foo", false),
    ("#foo", "#foo", false),
    (" #foo", "#foo", true),
    (r"\#foo", "#foo", true),
    ("foo # bar", "foo", false),
    ("", "foo", false),
    ("\u{feff}foo", "foo", true),
    ("foo\r\nbar\r\n", "foo", true),
    // one star
    ("*", "foo", true),
    ("*", "foo/bar", true),
    ("*.pyc", "a.pyc", true),
    ("*.pyc", "src/a.pyc", false),
    ("*/temp*", "somedir/temporary.txt", true),
    ("*/temp*", "somedir/temp", true),
    ("*/temp*", "temp", false),
    ("*/temp*", "a/b/temp", false),
    ("*/*/temp*", "somedir/subdir/temporary.txt", true),
    ("temp?", "tempa", true),
    ("temp?", "temp", false),
    ("temp?", "tempab", false),
    ("*.txt", "a.txt/deep/file", true),
    // two stars
    ("**", "foo/bar", true),
    ("**/*.go", "a.go", true),
    ("**/*.go", "a/b/c.go", true),
    ("**/*.go", "a/b/c.gob", false),
    ("**/foo", "foo", true),
    ("**/foo", "a/foo/b", true),
    ("**/foo/bar", "a/foo/bar", true),
    ("foo/**", "foo", false),
    ("foo/**", "foo/bar", true),
    ("foo/**/bar", "foo/bar", true),
    ("foo/**/bar", "foo/a/b/bar", true),
    ("**/__pycache__", "src/pkg/__pycache__/a.pyc", true),
    ("__pycache__", "src/__pycache__/a.pyc", false),
    ("a/**/*.md", "a/b/c.md", true),
    ("a**", "ab/c", true),
    ("**.log", "x/y.log", true),
    // classes and escapes
    ("[ab].txt", "a.txt", true),
    ("[^ab].txt", "a.txt", false),
    ("[a-c].txt", "b.txt", true),
    ("a[*]", "a*", true),
    (r"a\*", "a*", true),
    (r"a\*", "ab", false),
    ("a.b", "axb", false),
    ("a+b(c)|{d}$", "a+b(c)|{d}$", true),
    ("^a", "^a", true),
    // exceptions
    ("*.md\n!README.md", "README.md", false),
    ("*.md\n!README.md", "other.md", true),
    (
        "*.md\n!README*.md\nREADME-secret.md",
        "README-secret.md",
        true,
    ),
    (
        "*.md\nREADME-secret.md\n!README*.md",
        "README-secret.md",
        false,
    ),
    ("!README.md\n*.md", "README.md", true),
    ("*\n!src", "src", false),
    ("*\n!src", "src/a.py", false),
    ("*\n!src", "other", true),
    ("*\n!src/a.py", "src", true),
    ("*\n!src/a.py", "src/a.py", false),
    ("*\n!src/a.py", "src/b.py", true),
    ("*\n!/src/", "src/a", false),
    ("foo\n!foo/bar\nfoo/bar/baz", "foo/bar/x", false),
    ("foo\n!foo/bar\nfoo/bar/baz", "foo/bar/baz", true),
    ("**/*.pyc\n!keep/*.pyc", "keep/a.pyc", false),
    ("**/*.pyc\n!keep/*.pyc", "a/keep/a.pyc", true),
    ("foo\n! foo/bar", "foo/bar", false),
    ("foo/bar\n!foo", "foo/bar", true),
    ("!foo", "foo", false),
    ("*\n!*/*.md", "docs/a.md", false),
    ("*\n!**/*.md", "docs/deep/a.md", false),
];

#[test]
fn what_docker_leaves_out() {
    for (text, path, expected) in LEFT_OUT {
        let ignore = Ignore::parse(text).unwrap();
        assert_eq!(ignore.is_ignored(path), *expected, "{text:?} on {path}");
    }
}

#[test]
fn the_articles_file_matches_at_the_top_only() {
    let ignore = Ignore::parse(include_str!("../../testdata/dockerignore")).unwrap();
    for path in [
        ".git/config",
        ".env",
        ".venv/bin/python",
        "__pycache__/a.pyc",
        "a.pyc",
    ] {
        assert!(ignore.is_ignored(path), "{path}");
    }
    for path in [
        "src/__pycache__/a.cpython-311.pyc",
        "src/a.pyc",
        "main.py",
        "Dockerfile",
    ] {
        assert!(!ignore.is_ignored(path), "{path}");
    }
}

#[test]
fn the_deciding_line_is_named() {
    let ignore = Ignore::parse("# all but sources\n*\n\n!src\nsrc/*.pyc\n").unwrap();
    let decision = |path: &str| {
        ignore
            .decision(path)
            .map(|d| (d.line, d.pattern, d.negated))
    };
    assert_eq!(decision("README"), Some((2, "*", false)));
    assert_eq!(decision("src"), Some((4, "!src", true)));
    assert_eq!(decision("src/a.py"), Some((4, "!src", true)));
    assert_eq!(decision("src/a.pyc"), Some((5, "src/*.pyc", false)));
    assert_eq!(Ignore::parse("foo").unwrap().decision("bar"), None);
    assert_eq!(ignore.decision("."), None);
}

#[test]
fn directories_without_exceptions_need_no_walk() {
    let ignore = Ignore::parse("*\n!src/app\n!*.md\n!**/keep").unwrap();
    assert!(ignore.may_contain_exception("src"));
    assert!(ignore.may_contain_exception("docs"));
    let ignore = Ignore::parse("*\n!src/app\n!*.md").unwrap();
    assert!(ignore.may_contain_exception("src"));
    assert!(!ignore.may_contain_exception("docs"));
    assert!(!Ignore::parse("foo").unwrap().may_contain_exception("foo"));
}

#[test]
fn malformed_patterns_have_a_place() {
    let text = "ok\n!\n  a[ \n";
    let errors = Ignore::parse(text).unwrap_err();
    let shown: String = errors
        .iter()
        .map(|e| crate::render(e, ".dockerignore", &Source::new(text)))
        .collect();
    insta::assert_snapshot!(shown, @r#"
    .dockerignore:2:1
       1 | ok
       2 | !
         | ^ illegal exclusion pattern: "!"
       3 |   a[
    .dockerignore:3:3
       1 | ok
       2 | !
       3 |   a[
         |   ^^ syntax error in pattern "a["
    "#);
}

#[test]
fn patterns_of_exclude_are_the_same() {
    let ignore = Ignore::from_patterns(["*.txt", "!keep.txt"]).unwrap();
    assert!(ignore.is_ignored("a.txt"));
    assert!(!ignore.is_ignored("keep.txt"));
    assert!(Ignore::from_patterns(["["]).is_err());
}

#[test]
fn names_that_are_not_utf8_are_matched() {
    let ignore = Ignore::parse("*.pyc").unwrap();
    assert!(ignore.is_ignored(b"\xff.pyc"));
    assert!(!ignore.is_ignored(b"\xff.py"));
}

proptest! {
    #[test]
    fn a_walk_and_a_question_agree(
        rules in prop::collection::vec("!?[ab*/?]{1,6}", 0..5),
        path in "[ab]{1,2}(/[ab]{1,2}){0,3}",
    ) {
        if let Ok(ignore) = Ignore::parse(&rules.join("\n")) {
            let mut verdict = Verdict::default();
            for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
                verdict = ignore.enter(&path[..end], &verdict);
            }
            prop_assert_eq!(verdict.ignored, ignore.is_ignored(&path));
            prop_assert_eq!(ignore.reason(&verdict), ignore.decision(&path));
        }
    }

    #[test]
    fn any_file_is_parsed_or_refused(text in "[ab!#*?/\\[\\]\\\\. \n\r-]{0,40}", path in "[ab/.]{1,12}") {
        if let Ok(ignore) = Ignore::parse(&text) {
            let decision = ignore.decision(&path);
            prop_assert_eq!(ignore.is_ignored(&path), decision.is_some_and(|d| !d.negated));
        }
    }

    #[test]
    fn pruned_directories_hold_no_exception(
        rules in prop::collection::vec("!?[ab*/]{1,5}", 1..4),
        directory in "[ab]{1,2}",
        below in "[ab]{1,2}(/[ab]{1,2})?",
    ) {
        if let Ok(ignore) = Ignore::parse(&rules.join("\n"))
            && ignore.is_ignored(&directory)
            && !ignore.may_contain_exception(&directory)
        {
            let path = format!("{directory}/{below}");
            prop_assert!(ignore.is_ignored(&path));
        }
    }
}
