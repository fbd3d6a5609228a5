//! Expansion by tables and properties.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn variables() -> BTreeMap<String, String> {
    let pairs = [
        ("foo", "bar"),
        ("empty", ""),
        ("path", "/usr/local/bin"),
        ("file", "archive.tar.gz"),
        ("spaces", " a  b "),
        ("dollar", "$foo"),
        ("glob", "a*c"),
        ("lines", "one\ntwo"),
        ("utf", "héé"),
        ("1", "first"),
        ("_x", "under"),
    ];
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn word(text: &str) -> String {
    match expand_word(text, &variables(), '\\') {
        Ok(value) => value,
        Err(error) => format!("error: {}", error.problem),
    }
}

/// Words and what Docker makes of them.
const FORMS: &[(&str, &str)] = &[
    ("plain", "plain"),
    ("$foo", "bar"),
    ("${foo}", "bar"),
    ("x${foo}y", "xbary"),
    ("$foo.$foo", "bar.bar"),
    ("$fool", ""),
    ("$unset", ""),
    ("$", "$"),
    ("a$", "a$"),
    ("$.x", "$.x"),
    ("$(x)", "$(x)"),
    ("$1", "first"),
    ("$12", ""),
    ("$_x", "under"),
    ("$@", ""),
    ("${@}", ""),
    ("$dollar", "$foo"),
    ("${spaces}", " a  b "),
    // defaults
    ("${unset:-x}", "x"),
    ("${unset-x}", "x"),
    ("${empty:-x}", "x"),
    ("${empty-x}", ""),
    ("${foo:-x}", "bar"),
    ("${unset:-$foo}", "bar"),
    ("${unset:-${empty:-${foo}}}", "bar"),
    ("${unset:-'a b'}", "a b"),
    ("${unset:-\"a $foo\"}", "a bar"),
    (r"${unset:-a\}b}", "a}b"),
    ("${unset:-}", ""),
    ("${unset:--x}", "-x"),
    // alternatives
    ("${foo:+x}", "x"),
    ("${foo+x}", "x"),
    ("${empty:+x}", ""),
    ("${empty+x}", "x"),
    ("${unset:+x}", ""),
    ("${unset+x}", ""),
    ("${foo:+$path}", "/usr/local/bin"),
    // required
    ("${foo:?no}", "bar"),
    ("${empty?no}", ""),
    ("${unset:?must be set}", "error: unset: must be set"),
    ("${unset:?}", "error: unset: is not allowed to be unset"),
    ("${empty:?}", "error: empty: is not allowed to be empty"),
    ("${unset?gone}", "error: unset: gone"),
    // prefixes
    ("${path#*/}", "usr/local/bin"),
    ("${path##*/}", "bin"),
    ("${path#/usr}", "/local/bin"),
    ("${path#nope}", "/usr/local/bin"),
    ("${path#}", "/usr/local/bin"),
    ("${path#?}", "usr/local/bin"),
    ("${path##*}", ""),
    ("${path#*}", "/usr/local/bin"),
    (r"${glob#a\*}", "c"),
    ("${unset#x}", ""),
    ("${lines##*o}", "ne\ntwo"),
    ("${utf#h?}", "é"),
    // suffixes
    ("${file%.*}", "archive.tar"),
    ("${file%%.*}", "archive"),
    ("${file%.gz}", "archive.tar"),
    ("${file%%*}", ""),
    ("${file%*}", "archive.tar.gz"),
    ("${file%nope}", "archive.tar.gz"),
    ("${utf%?}", "hé"),
    ("${foo%$unset}", "bar"),
    // replacing
    ("${file/r/R}", "aRchive.tar.gz"),
    ("${file//r/R}", "aRchive.taR.gz"),
    ("${file/a*r/X}", "X.gz"),
    ("${file//./}", "archivetargz"),
    ("${file/nope/x}", "archive.tar.gz"),
    (r"${path/\/usr/\/opt}", r"\/opt/local/bin"),
    ("${path/\\/usr/.}", "./local/bin"),
    (r"${path//\//-}", "-usr-local-bin"),
    ("${foo//?/x}", "xxx"),
    ("${foo//*/x}", "x"),
    ("${foo//a/$foo}", "bbarr"),
    ("${unset/a/b}", ""),
    ("${utf//é/e}", "hee"),
    // quotes and escapes
    ("'$foo'", "$foo"),
    ("\"$foo\"", "bar"),
    ("'a'\"b\"c", "abc"),
    (r"\$foo", "$foo"),
    (r"\\$foo", r"\bar"),
    (r#""\$foo""#, "$foo"),
    (r#""a\"b""#, "a\"b"),
    (r#""a\nb""#, r"a\nb"),
    (r#""a\\b""#, r"a\b"),
    (r"'a\b'", r"a\b"),
    (r"a\ b", "a b"),
    (r"a\nb", "anb"),
    (r"a\", "a"),
    ("\"it's\"", "it's"),
    ("'say \"x\"'", "say \"x\""),
    ("a << b", "a << b"),
    ("a<b", "a<b"),
    // errors
    ("${", "error: syntax error: missing '}'"),
    ("${foo", "error: syntax error: missing '}'"),
    ("${foo:-x", "error: syntax error: missing '}'"),
    ("${foo:", "error: syntax error: missing '}'"),
    ("${foo/a", "error: syntax error: missing '/' in ${}"),
    ("${foo/a/b", "error: syntax error: missing '}'"),
    ("${}", "error: syntax error: bad substitution"),
    ("${:-x}", "error: syntax error: bad substitution"),
    ("${{foo}}", "error: syntax error: bad substitution"),
    ("${foo^}", "error: unsupported modifier (^) in substitution"),
    (
        "${foo:#x}",
        "error: unsupported modifier (:#) in substitution",
    ),
    (
        "${foo:%x}",
        "error: unsupported modifier (:%) in substitution",
    ),
    (
        "${foo:0:2}",
        "error: unsupported modifier (:0) in substitution",
    ),
    (
        "${foo#\\x}",
        "error: invalid pattern (\\x) in substitution: invalid escape '\\x'",
    ),
    (
        "'x",
        "error: unexpected end of statement while looking for matching single-quote",
    ),
    (
        "\"x",
        "error: unexpected end of statement while looking for matching double-quote",
    ),
    ("\"${foo", "error: syntax error: missing '}'"),
];

#[test]
fn every_form_gives_what_docker_gives() {
    for (text, expected) in FORMS {
        assert_eq!(&word(text), expected, "{text}");
    }
}

#[test]
fn the_escape_character_can_be_a_backtick() {
    let value = |text| expand_word(text, &variables(), '`').unwrap();
    assert_eq!(value("`$foo"), "$foo");
    assert_eq!(value(r"c:\$foo"), r"c:\bar");
    assert_eq!(value("\"a`\"b\""), "a\"b");
}

#[test]
fn words_are_split_after_expansion() {
    let table: &[(&str, &[&str])] = &[
        ("$spaces", &["a", "b"]),
        ("\"$spaces\"", &[" a  b "]),
        ("x$spaces", &["x", "a", "b"]),
        ("80 443", &["80", "443"]),
        ("'80 443'", &["80 443"]),
        (r"80\ 443", &["80 443"]),
        ("$unset", &[]),
        ("\"\"", &[]),
        ("80${unset:-81}90", &["808190"]),
        ("", &[]),
    ];
    for (text, expected) in table {
        assert_eq!(
            &expand_words(text, &variables(), '\\').unwrap(),
            expected,
            "{text}"
        );
    }
}

#[test]
fn a_document_keeps_its_quotes() {
    let scope = variables();
    let expander = Expander::new(&scope, '`');
    let document = |text| expander.document(text).unwrap().text;
    assert_eq!(document("'$foo' \"${foo}\"\n"), "'bar' \"bar\"\n");
    assert_eq!(document(r"\$foo it's"), "$foo it's");
    assert_eq!(document("<<x < y"), "<<x < y");
}

#[test]
fn names_are_reported() {
    let scope = variables();
    let found = Expander::new(&scope, '\\')
        .word("$foo ${nope:-$other} ${path##*/}")
        .unwrap();
    assert_eq!(Vec::from_iter(&found.used), ["foo", "path"]);
    assert_eq!(Vec::from_iter(&found.unset), ["nope", "other"]);
}

#[test]
fn errors_say_where() {
    let error = expand_word("abc ${foo^}", &variables(), '\\').unwrap_err();
    assert_eq!(error.offset, 4);
    insta::assert_snapshot!(error, @r#"failed to process "abc ${foo^}": unsupported modifier (^) in substitution"#);
}

#[test]
fn deep_nesting_and_growth_are_bounded() {
    let deep = format!("{}{}", "${a:-".repeat(100_000), "}".repeat(100_000));
    assert_eq!(
        expand_word(&deep, &(), '\\').unwrap_err().problem,
        Problem::TooDeep
    );
    let nested = format!(
        "{}x{}",
        "${a:-".repeat(MAX_DEPTH - 1),
        "}".repeat(MAX_DEPTH - 1)
    );
    assert_eq!(expand_word(&nested, &(), '\\').unwrap(), "x");

    let scope = BTreeMap::from([("big".to_owned(), "x".repeat(1000))]);
    let expander = Expander::new(&scope, '\\').limit(10_000);
    assert_eq!(expander.word(&"$big".repeat(9)).unwrap().text.len(), 9000);
    let error = expander.word(&"$big".repeat(11)).unwrap_err();
    assert_eq!(error.problem, Problem::TooLarge);
    let error = expander.word("${big//x/1234567890123}").unwrap_err();
    assert_eq!(error.problem, Problem::TooLarge);
}

#[test]
fn a_stage_collects_environment_and_arguments() {
    use crate::instruction::Arg;
    use crate::source::{Span, Spanned};
    let arg = |name: &str, default: Option<&str>| Arg {
        name: Spanned::new(name.to_owned(), Span::at(0)),
        default: default.map(|text| Spanned::new(text.to_owned(), Span::at(0))),
    };
    let global = BTreeMap::from([("TARGETARCH".to_owned(), "amd64".to_owned())]);
    let given = BTreeMap::from([("version".to_owned(), "2".to_owned())]);
    let mut scope = StageScope::new([("PATH".to_owned(), "/bin".to_owned())]);
    for argument in [
        arg("version", Some("1")),
        arg("tag", Some("v$version")),
        arg("TARGETARCH", None),
        arg("nothing", None),
    ] {
        scope.declare(&argument, &given, &global, '\\').unwrap();
    }
    assert_eq!(
        expand_word("$tag-$TARGETARCH:$PATH$nothing", &scope, '\\').unwrap(),
        "v2-amd64:/bin"
    );
    assert!(scope.is_declared("nothing"));
    scope.set("tag", "env");
    assert_eq!(scope.lookup("tag"), Some("env"));
}

/// What the pattern matches, by trying every way.
fn slow_match(pattern: &[u8], value: &[u8]) -> bool {
    match pattern.first() {
        None => value.is_empty(),
        Some(b'*') => (0..=value.len()).any(|at| slow_match(&pattern[1..], &value[at..])),
        Some(b'?') => !value.is_empty() && slow_match(&pattern[1..], &value[1..]),
        Some(c) => value.first() == Some(c) && slow_match(&pattern[1..], &value[1..]),
    }
}

proptest! {
    #[test]
    fn any_word_is_expanded_or_refused(text in "\\PC*", backtick in any::<bool>()) {
        let escape = if backtick { '`' } else { '\\' };
        let _ = Expander::new(&variables(), escape).word(&text);
        let _ = Expander::new(&variables(), escape).words(&text);
        let _ = Expander::new(&variables(), escape).document(&text);
    }

    #[test]
    fn any_tangle_of_operators_is_expanded_or_refused(
        text in "(\\$\\{?(foo|empty|unset|file)?|[:?+#%/}{*'\"\\\\ <-]|x){0,24}"
    ) {
        let _ = Expander::new(&variables(), '\\').word(&text);
        let _ = Expander::new(&variables(), '\\').words(&text);
    }

    #[test]
    fn trimming_agrees_with_trying_every_way(pattern in "[ab*?]{0,6}", value in "[abc]{0,8}") {
        let scope = BTreeMap::from([("v".to_owned(), value.clone())]);
        let get = |op: &str| expand_word(&format!("${{v{op}{pattern}}}"), &scope, '\\').unwrap();
        let fits = |from: usize, to: usize| slow_match(pattern.as_bytes(), &value.as_bytes()[from..to]);
        let count = value.len();
        let shortest = (0..=count).find(|&at| fits(0, at)).unwrap_or(0);
        let longest = (0..=count).rev().find(|&at| fits(0, at)).unwrap_or(0);
        prop_assert_eq!(get("#"), &value[shortest..]);
        prop_assert_eq!(get("##"), &value[longest..]);
        let shortest = (0..=count).rev().find(|&at| fits(at, count)).unwrap_or(count);
        let longest = (0..=count).find(|&at| fits(at, count)).unwrap_or(count);
        prop_assert_eq!(get("%"), &value[..shortest]);
        prop_assert_eq!(get("%%"), &value[..longest]);
        let first = (0..=count).find_map(|from| {
            (from..=count).rev().find(|&to| fits(from, to)).map(|to| (from, to))
        });
        let replaced = match first {
            Some((from, to)) => format!("{}R{}", &value[..from], &value[to..]),
            None => value.clone(),
        };
        if !pattern.is_empty() {
            let text = format!("${{v/{pattern}/R}}");
            prop_assert_eq!(expand_word(&text, &scope, '\\').unwrap(), replaced);
        }
    }
}
