//! What a commit holds, before any of it is written: the list of its tree, looked at with suspicion.

use super::address::GitAddress;
use crate::error::BuildError;

/// The mode of a submodule in a tree.
const GITLINK: &str = "160000";

/// The most submodules that a repository may have, those of its submodules included.
pub(super) const MAX_SUBMODULES: usize = 256;

/// A submodule as the tree has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gitlink {
    /// Below the root of the commit.
    pub(super) path: String,
    pub(super) commit: String,
}

/// Read what `git ls-tree -r -z` says: refuse names that no checkout would write, and find the
/// submodules.
pub(super) fn inspect(list: &[u8]) -> Result<Vec<Gitlink>, String> {
    let mut links = Vec::new();
    for line in list
        .split(|byte| *byte == 0)
        .filter(|line| !line.is_empty())
    {
        let tab = line.iter().position(|byte| *byte == b'\t');
        let Some((entry, path)) = tab.map(|at| (&line[..at], &line[at + 1..])) else {
            return Err("git lists its tree in an unknown form".to_owned());
        };
        if !path.split(|byte| *byte == b'/').all(is_name) {
            let path = String::from_utf8_lossy(path).escape_default().to_string();
            return Err(format!(
                "its tree has the path \"{path}\", which is not written"
            ));
        }
        let entry = String::from_utf8_lossy(entry);
        let mut words = entry.split(' ');
        if words.next() != Some(GITLINK) {
            continue;
        }
        let commit = words.nth(1).unwrap_or_default().to_owned();
        let Ok(path) = String::from_utf8(path.to_vec()) else {
            return Err("the path of a submodule is not text".to_owned());
        };
        links.push(Gitlink { path, commit });
        if links.len() > MAX_SUBMODULES {
            return Err(format!("it has more than {MAX_SUBMODULES} submodules"));
        }
    }
    Ok(links)
}

/// False for what leads elsewhere, or would be taken for a repository.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name != b"." && name != b".." && !name.eq_ignore_ascii_case(b".git")
}

/// The addresses of submodules by path, out of `git config --list -z` on `.gitmodules`; those that
/// are not to be fetched (`update = none`) have none.
pub(super) fn addresses(list: &[u8]) -> Vec<(String, Option<String>)> {
    let mut modules: Vec<(String, [Option<String>; 3])> = Vec::new();
    let text = String::from_utf8_lossy(list);
    for setting in text.split('\0') {
        let (key, value) = setting.split_once('\n').unwrap_or((setting, ""));
        let Some((name, variable)) = key
            .strip_prefix("submodule.")
            .and_then(|rest| rest.rsplit_once('.'))
        else {
            continue;
        };
        let place = match variable {
            "path" => 0,
            "url" => 1,
            "update" => 2,
            _ => continue,
        };
        let at = modules.iter().position(|(known, _)| known == name);
        let at = at.unwrap_or_else(|| {
            modules.push((name.to_owned(), Default::default()));
            modules.len() - 1
        });
        modules[at].1[place] = Some(value.to_owned());
    }
    let found = modules.into_iter().filter_map(|(_, [path, url, update])| {
        let url = url.filter(|_| update.as_deref() != Some("none"));
        Some((path?, url))
    });
    found.collect()
}

/// Which object a reference of `address` means, out of what the server lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    /// The full name of the reference.
    pub(super) reference: String,
    pub(super) commit: String,
}

/// Find the reference `name` among `list`: as it stands, then as a branch, then as a tag, whose
/// commit is meant. A checksum may name the commit or the tag itself.
pub(super) fn choose(
    address: &GitAddress,
    name: Option<&str>,
    list: &[(String, String)],
) -> Result<Resolved, BuildError> {
    let find = |name: &str| {
        let mut known = list.iter();
        known
            .find(|(known, _)| known == name)
            .map(|(_, object)| object.as_str())
    };
    let missing = |what: &str| BuildError::Git {
        remote: address.remote.url.clone(),
        problem: format!("repository does not contain ref {what}"),
        hints: vec!["write a branch, a tag, or a commit with all of its digits".to_owned()],
    };
    let (reference, object) = match name {
        None => {
            // `ref: refs/heads/main<tab>HEAD`, and what it points to.
            let target = list
                .iter()
                .find_map(|(name, object)| object.strip_prefix("ref: ").filter(|_| name == "HEAD"));
            let objects = list.iter().filter(|(name, _)| name == "HEAD");
            let mut objects = objects.filter(|(_, object)| !object.starts_with("ref: "));
            let (_, object) = objects.next().ok_or_else(|| missing("HEAD"))?;
            (target.unwrap_or("HEAD").to_owned(), object.as_str())
        }
        Some(name) => {
            let candidates = [
                prefixed("refs/", name),
                prefixed("refs/heads/", name),
                prefixed("refs/tags/", name),
            ];
            let found = candidates
                .into_iter()
                .find_map(|name| find(&name).map(|object| (name, object)));
            found.ok_or_else(|| missing(name))?
        }
    };
    let peeled = find(&format!("{reference}^{{}}"));
    let commit = peeled.unwrap_or(object);
    if !super::address::is_commit(commit) {
        return Err(missing(&reference));
    }
    if let Some(checksum) = &address.checksum
        && !commit.starts_with(checksum.as_str())
        && !object.starts_with(checksum.as_str())
    {
        return Err(BuildError::Checksum {
            what: address.to_string(),
            expected: checksum.clone(),
            actual: commit.to_owned(),
        });
    }
    Ok(Resolved {
        reference,
        commit: commit.to_owned(),
    })
}

fn prefixed(prefix: &str, name: &str) -> String {
    format!("{prefix}{}", name.strip_prefix(prefix).unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn a_tree_with_names_that_no_checkout_writes_is_refused() {
        let line = |path: &str| format!("100644 blob {A}\t{path}\0");
        assert_eq!(inspect(line("a/.gitignore").as_bytes()), Ok(Vec::new()));
        for path in [
            "../x",
            "a/../../x",
            ".git/hooks/post-checkout",
            "a/.GIT/config",
            "a//b",
            "./a",
        ] {
            let error = inspect(line(path).as_bytes()).unwrap_err();
            assert!(error.contains("not written"), "{path}: {error}");
        }
        let list = format!("160000 commit {B}\tvendor/lib\r\0{}", line("x"));
        let links = inspect(list.as_bytes()).unwrap();
        assert_eq!(links[0].path, "vendor/lib\r");
        assert_eq!(links[0].commit, B);
        let many = format!("160000 commit {B}\tx\0").repeat(MAX_SUBMODULES + 1);
        assert!(inspect(many.as_bytes()).is_err());
        assert!(inspect(b"nonsense\0").is_err());
    }

    #[test]
    fn submodules_have_an_address_by_path() {
        let list = "submodule.a.b.path\nvendor/a\0submodule.a.b.url\n../a\0core.x\ny\0\
                    submodule.n.path\nn\0submodule.n.url\nu\0submodule.n.update\nnone\0\
                    submodule.lost.url\nz\0";
        let found = addresses(list.as_bytes());
        let pair = |path: &str, url: Option<&str>| (path.to_owned(), url.map(str::to_owned));
        assert_eq!(found, [pair("vendor/a", Some("../a")), pair("n", None)]);
    }

    #[test]
    fn references_mean_what_they_mean_to_buildkit() {
        let list: Vec<_> = [
            ("HEAD", "ref: refs/heads/main"),
            ("HEAD", A),
            ("refs/heads/main", A),
            ("refs/heads/both", A),
            ("refs/tags/both", B),
            ("refs/tags/v1", B),
            ("refs/tags/v1^{}", A),
            ("refs/pull/7/head", B),
        ]
        .map(|(name, object)| (name.to_owned(), object.to_owned()))
        .to_vec();
        let resolve = |text: &str| {
            let address = GitAddress::parse(&format!("https://h/r.git{text}")).unwrap();
            let name = address.reference.clone();
            match choose(&address, name.as_deref(), &list) {
                Ok(found) => format!("{} {}", found.reference, &found.commit[..1]),
                Err(error) => error.to_string(),
            }
        };
        let table = [
            ("", "refs/heads/main a"),
            ("#main", "refs/heads/main a"),
            ("#both", "refs/heads/both a"),
            ("?tag=both", "refs/tags/both b"),
            ("#v1", "refs/tags/v1 a"),
            ("?commit=bbb#v1", "refs/tags/v1 a"),
            ("#pull/7/head", "refs/pull/7/head b"),
            ("#heads/main", "refs/heads/main a"),
        ];
        for (text, expected) in table {
            assert_eq!(resolve(text), expected, "{text}");
        }
        assert!(resolve("#nope").contains("does not contain ref nope"));
        assert!(resolve("?commit=ccc#v1").contains("ccc"));
    }
}
