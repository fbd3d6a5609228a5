use proptest::prelude::*;

use super::*;

const COMMIT: &str = "0123456789012345678901234567890123456789";

fn shown(text: &str) -> String {
    match GitAddress::parse(text) {
        Ok(address) => {
            let mut shown = address.to_string();
            if let Some(checksum) = &address.checksum {
                shown.push_str(&format!(" = {checksum}"));
            }
            for (name, given) in [
                ("keep", address.keep_git_dir),
                ("submodules", address.submodules),
                ("by commit", address.by_commit.then_some(true)),
            ] {
                if let Some(given) = given {
                    shown.push_str(&format!(" {name}={given}"));
                }
            }
            shown
        }
        Err(NotGit::Other) => "other".to_owned(),
        Err(NotGit::Invalid(reason)) => reason,
    }
}

/// Addresses, and what they are shown as or refused for.
const ADDRESSES: &[(&str, &str)] = &[
    ("https://example.com/", "other"),
    ("https://example.com/foo", "other"),
    ("https://example.com/foo.git", "https://example.com/foo.git"),
    ("HTTPS://Example.com/foo.git", "https://Example.com/foo.git"),
    ("https://h/foo.git#deadbeef", "https://h/foo.git#deadbeef"),
    (
        "https://h/foo.git#release/1.2",
        "https://h/foo.git#release/1.2",
    ),
    ("https://h/foo.git/", "other"),
    ("https://h/foo.git.bar", "other"),
    ("git://example.com/foo", "git://example.com/foo"),
    ("ssh://git@h:22/foo", "ssh://git@h:22/foo"),
    ("github.com/moby/buildkit", "other"),
    ("custom.xyz/moby/buildkit.git", "other"),
    ("https://u:p@h/r.git", "https://h/r.git"),
    (
        "git@github.com:moby/buildkit",
        "git@github.com:moby/buildkit",
    ),
    (
        "https://h/r.git#baz/qux:quux/quuz",
        "https://h/r.git#baz/qux:quux/quuz",
    ),
    ("https://h/r.git#:folder/", "https://h/r.git#:folder"),
    ("https://h/r.git#", "https://h/r.git"),
    ("./.git", "other"),
    (".git", "other"),
    ("a@b", "other"),
    ("file:///srv/r.git", "other"),
    ("ext::sh -c id", "other"),
    (
        "https://h/r.git?ref=v1&subdir=/subdir",
        "https://h/r.git#v1:subdir",
    ),
    ("https://h/r.git?subdir=a%20b#v1", "https://h/r.git#v1:a b"),
    ("https://h/r.git?tag=v1", "https://h/r.git#refs/tags/v1"),
    (
        "https://h/r.git?branch=refs/heads/b",
        "https://h/r.git#refs/heads/b",
    ),
    ("https://h/r.git?ref=a#b", "ref conflicts: \"b\" vs \"a\""),
    (
        "https://h/r.git?ref=a&tag=b",
        "ref conflicts: \"a\" vs \"refs/tags/b\"",
    ),
    (
        "https://h/r.git?tag=a&branch=b",
        "branch conflicts with tag",
    ),
    ("git@h:r?subdir=/s#v1", "git@h:r#v1:s"),
    ("https://h/r.git?mtime=commit", "https://h/r.git"),
    ("https://h/r.git?mtime=x", "invalid mtime value: \"x\""),
    (
        "https://h/r.git?fetch-by-commit&checksum=dead",
        "fetch-by-commit needs a full commit: write checksum= with all of its digits",
    ),
    (
        "https://h/r.git?keep-git-dir&submodules=0",
        "https://h/r.git keep=true submodules=false",
    ),
    (
        "https://h/r.git?keep-git-dir=x",
        "invalid keep-git-dir value: \"x\"",
    ),
    ("https://h/r.git?commit=dead", "https://h/r.git = dead"),
    ("https://h/r.git?invalid=1", "unexpected query \"invalid\""),
    ("https://h/r.git?ref=", "query \"ref\" has no value"),
    (
        "https://h/r.git?ref=a&ref=a",
        "query \"ref\" has multiple values",
    ),
];

#[test]
fn addresses_are_buildkits() {
    let by_commit = format!("https://h/r.git?fetch-by-commit&checksum={COMMIT}#refs/heads/b");
    let pinned = format!("https://h/r.git#refs/heads/b = {COMMIT} by commit=true");
    assert_eq!(shown(&by_commit), pinned);
    for (text, expected) in ADDRESSES {
        assert_eq!(shown(text), *expected, "{text}");
    }
    let context = GitAddress::parse_context("github.com/moby/buildkit?tag=v1").unwrap();
    assert_eq!(
        context.to_string(),
        "https://github.com/moby/buildkit.git#refs/tags/v1"
    );
    assert_eq!(GitAddress::parse_context("./x"), Err(NotGit::Other));
}

#[test]
fn nothing_in_an_address_becomes_an_option_or_leads_elsewhere() {
    for text in [
        "https://h/r.git#--upload-pack=id",
        "https://h/r.git?ref=--exec%3Did",
        "https://h/r.git#a..b",
        "https://h/r.git#a:../../etc",
        "https://h/r.git#:a/../b",
        "https://h/r.git#main:.git/hooks",
        "https://h/r.git?subdir=%2e%2e",
        "https://h/r.git#a b",
        "https://h/r.git#@{u}",
        "https://h/r.git#a*",
        "https://h/r.git?commit=--x",
        "https://h/r.git#x.lock",
        "ssh://-oProxyCommand=id/r",
        "ssh://-l@h/r",
        "git@-oProxyCommand:r",
        "git@h:-r",
        "ssh://h\n/r",
        "https:///r.git",
    ] {
        assert!(
            matches!(GitAddress::parse(text), Err(NotGit::Invalid(_))),
            "{text}: {}",
            shown(text)
        );
    }
}

#[test]
fn submodules_are_found_beside_their_repository() {
    let https = GitRemote::parse("https://u:p@h/group/app.git").unwrap();
    let ssh = GitRemote::parse("git@h:group/app.git").unwrap();
    let table = [
        (&https, "../lib.git", "https://h/group/lib.git"),
        (&https, "./sub", "https://h/group/app.git/sub"),
        (&https, "../../other/lib", "https://h/other/lib"),
        (&https, "git://else/lib", "git://else/lib"),
        (&ssh, "../lib.git", "git@h:group/lib.git"),
        (&ssh, "https://else/lib", "https://else/lib"),
    ];
    for (remote, text, url) in table {
        assert_eq!(remote.submodule(text).unwrap().url, url);
    }
    assert_eq!(
        https.submodule("../x").unwrap().user.as_deref(),
        Some("u:p")
    );
    assert_eq!(https.submodule("https://else/x").unwrap().user, None);
    for bad in [
        "../../../../x",
        "/etc",
        "file:///etc",
        "ext::sh",
        "-x",
        "--upload-pack=x",
    ] {
        assert!(
            matches!(https.submodule(bad), Err(NotGit::Invalid(_))),
            "{bad}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_is_too_much(text in "(https://h/r\\.git|git@h:r|ssh://|)[-#?:&=%./@a-z0-9 \\n]{0,24}") {
        if let Ok(address) = GitAddress::parse_context(&text) {
            prop_assert!(!address.remote.url.starts_with('-'));
            prop_assert!(!address.reference.unwrap_or_default().starts_with('-'));
            prop_assert!(!address.subdirectory.split('/').any(|part| part == ".."));
        }
    }
}
