//! Each rule on a layer that holds what it is for, and something like it that must stay.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use super::*;
use crate::{
    execute::open_directory,
    reproducible::{
        Times,
        layer::{Reach, settle},
        siphash::{Rounds, siphash},
    },
    request::Timestamps,
    tree::{Ownership, Root},
};

const EPOCH: i64 = 1_700_000_000;

/// The magic number of Python 3.11, and of 3.10, as they stand in files.
const PYTHON_3_11: [u8; 4] = [0xa7, 0x0d, 0x0d, 0x0a];
const PYTHON_3_10: [u8; 4] = [0x6f, 0x0d, 0x0d, 0x0a];

/// A directory with files.
struct Tree(TempDir);

impl Tree {
    fn of(files: &[(&str, &[u8])]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for (path, content) in files {
            tree.write(path, content);
        }
        tree
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn date(&self, path: &str, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let file = fs::File::open(self.0.path().join(path)).unwrap();
        file.set_modified(time).unwrap();
    }

    fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.0.path().join(path)).unwrap()
    }

    fn root(&self) -> Root {
        let fd = open_directory(self.0.path()).unwrap();
        Root::new(fd, "/".into(), Ownership::Kept)
    }

    /// Settle it as a layer on top of `below`: what the rules did.
    fn settle(&self, below: Option<&Self>) -> Vec<(&'static str, usize)> {
        let times = Times::new(Timestamps::Reproducible, Some(EPOCH));
        let below = below.map(Self::root);
        let settled = settle(self.0.path(), below.as_ref(), times, Reach::Later).unwrap();
        settled
            .iter()
            .map(|settled| (settled.rule.name, settled.files))
            .collect()
    }

    fn files(&self) -> Vec<String> {
        let root = self.root();
        let filter = crate::tree::filter::Filter::ignoring(None);
        let entries = crate::tree::walk(&root, Path::new(""), &filter).unwrap();
        let files = entries.iter().filter(|entry| !entry.is_directory());
        files
            .map(|entry| entry.path.display().to_string())
            .collect()
    }
}

/// A layer with `files`, of which only `kept` are left by `rule`.
fn leaves_out(rule: &'static str, files: &[&str], kept: &[&str]) {
    let tree = Tree::of(&[]);
    for file in files.iter().chain(kept) {
        tree.write(file, b"2026-11-26 00:00:00 startup\n");
    }
    assert_eq!(tree.settle(None), [(rule, files.len())]);
    assert_eq!(tree.files(), kept);
}

#[test]
fn apt_log() {
    leaves_out(
        "apt-log",
        &[
            "var/log/apt/eipp.log.xz",
            "var/log/apt/history.log",
            "var/log/apt/term.log",
        ],
        &["srv/var/log/apt/history.log", "var/log/apt/mine.log"],
    );
}

#[test]
fn dpkg_log() {
    leaves_out(
        "dpkg-log",
        &["var/log/alternatives.log", "var/log/dpkg.log"],
        &["var/lib/dpkg/status", "var/log/app.log"],
    );
}

#[test]
fn apt_cache() {
    leaves_out(
        "apt-cache",
        &[
            "var/cache/apt/pkgcache.bin",
            "var/cache/apt/srcpkgcache.bin",
        ],
        &["var/cache/apt/archives/x.deb", "var/lib/apt/lists/x"],
    );
}

#[test]
fn ldconfig_cache() {
    leaves_out(
        "ldconfig-cache",
        &["var/cache/ldconfig/aux-cache"],
        &["etc/ld.so.cache"],
    );
}

#[test]
fn pip_cache() {
    leaves_out(
        "pip-cache",
        &[
            "home/app/.cache/pip/selfcheck/x.json",
            "root/.cache/pip/http-v2/a/b",
            "root/.cache/pip/http/c",
        ],
        &["root/.cache/other/http/x", "root/.cache/pip/wheels/x.whl"],
    );
}

/// A compiled module: magic number, flags, and the eight bytes that name its source.
fn module(magic: [u8; 4], flags: u32, name: [u8; 8]) -> Vec<u8> {
    [&magic[..], &flags.to_le_bytes(), &name, b"code"].concat()
}

fn by_time(seconds: i64, size: usize) -> [u8; 8] {
    let seconds = u32::try_from(seconds).unwrap().to_le_bytes();
    let size = u32::try_from(size).unwrap().to_le_bytes();
    [seconds, size].concat().try_into().unwrap()
}

fn by_hash(magic: [u8; 4], rounds: Rounds, source: &[u8]) -> [u8; 8] {
    let key = (u64::from(u32::from_le_bytes(magic)), 0);
    siphash(rounds, key, source).to_le_bytes()
}

#[test]
fn python_bytecode_follows_the_time_of_its_source() {
    let later = EPOCH + 1000;
    let tree = Tree::of(&[("m.py", b"x = 1\n"), ("old.py", b"")]);
    tree.date("m.py", later.unsigned_abs());
    tree.date("old.py", 1000);
    let good = module(PYTHON_3_11, 0, by_time(later, 6));
    let stale = module(PYTHON_3_11, 0, by_time(later - 1, 6));
    let other_size = module(PYTHON_3_11, 0, by_time(later, 7));
    let old = module(PYTHON_3_11, 0, by_time(1000, 0));
    for (path, content) in [
        ("__pycache__/m.cpython-311.pyc", &good),
        ("__pycache__/m.cpython-311.opt-1.pyc", &stale),
        ("__pycache__/m.cpython-311.opt-2.pyc", &other_size),
        ("__pycache__/old.cpython-311.pyc", &old),
        ("__pycache__/none.cpython-311.pyc", &good),
        ("m.pyc", &b"short".to_vec()),
    ] {
        tree.write(path, content);
    }
    assert_eq!(tree.settle(None), [("python-bytecode", 1)]);
    let now = module(PYTHON_3_11, 0, by_time(EPOCH, 6));
    assert_eq!(tree.read("__pycache__/m.cpython-311.pyc"), now);
    // What Python would compile again it still does.
    assert_eq!(tree.read("__pycache__/m.cpython-311.opt-1.pyc"), stale);
    assert_eq!(tree.read("__pycache__/m.cpython-311.opt-2.pyc"), other_size);
    assert_eq!(tree.read("__pycache__/old.cpython-311.pyc"), old);
    assert_eq!(tree.read("__pycache__/none.cpython-311.pyc"), good);
    let time = |path| fs::metadata(tree.0.path().join(path)).unwrap().mtime();
    assert_eq!((time("m.py"), time("old.py")), (EPOCH, 1000));
    assert_eq!(time("__pycache__/m.cpython-311.pyc"), EPOCH);
    // It is settled now.
    assert!(tree.settle(None).is_empty());
}

#[test]
fn python_bytecode_names_its_source_by_time_and_not_by_hash() {
    let source = b"x = 1\n";
    let (new, old) = (PYTHON_3_11, PYTHON_3_10);
    let hash = by_hash(new, Rounds::OneThree, source);
    let unchecked = module(new, 1, hash);
    let wrong = module(new, 3, [7; 8]);
    let tree = Tree::of(&[
        ("m.py", source),
        (
            "__pycache__/m.cpython-310.pyc",
            &module(old, 3, by_hash(old, Rounds::TwoFour, source)),
        ),
        ("__pycache__/m.cpython-311.pyc", &module(new, 3, hash)),
        ("__pycache__/m.cpython-311.opt-1.pyc", &unchecked),
        ("__pycache__/m.cpython-311.opt-2.pyc", &wrong),
    ]);
    assert_eq!(tree.settle(None), [("python-bytecode", 2)]);
    let name = by_time(EPOCH, source.len());
    assert_eq!(
        tree.read("__pycache__/m.cpython-311.pyc"),
        module(new, 0, name)
    );
    assert_eq!(
        tree.read("__pycache__/m.cpython-310.pyc"),
        module(old, 0, name)
    );
    assert_eq!(tree.read("__pycache__/m.cpython-311.opt-1.pyc"), unchecked);
    assert_eq!(tree.read("__pycache__/m.cpython-311.opt-2.pyc"), wrong);
}

#[test]
fn python_bytecode_of_a_source_below_names_the_time_that_it_has_there() {
    let below = Tree::of(&[("lib/m.py", b"x = 1\n")]);
    below.date("lib/m.py", (EPOCH + 50).unsigned_abs());
    let hash = by_hash(PYTHON_3_11, Rounds::OneThree, b"x = 1\n");
    let path = "lib/__pycache__/m.cpython-311.pyc";
    let tree = Tree::of(&[(path, &module(PYTHON_3_11, 3, hash))]);
    assert_eq!(tree.settle(Some(&below)), [("python-bytecode", 1)]);
    // Layers below are as they are, whatever the epoch.
    let expected = module(PYTHON_3_11, 0, by_time(EPOCH + 50, 6));
    assert_eq!(tree.read(path), expected);
}

#[test]
fn what_only_rewrites_times_applies_no_rule() {
    let tree = Tree::of(&[("var/log/dpkg.log", b"x")]);
    let times = Times::new(Timestamps::Rewritten, Some(EPOCH));
    let settled = settle(tree.0.path(), None, times, Reach::Later).unwrap();
    assert!(settled.is_empty());
    assert_eq!(tree.files(), ["var/log/dpkg.log"]);
    let path = tree.0.path().join("var/log/dpkg.log");
    assert_eq!(fs::metadata(path).unwrap().mtime(), EPOCH);
}

#[test]
fn every_rule_is_documented_with_what_it_looks_for() {
    let page = include_str!("../../../../../docs/reproducible.md");
    for rule in &RULES {
        assert!(
            page.contains(&format!("| `{}` |", rule.name)),
            "{}",
            rule.name
        );
        let patterns: &[&str] = match &rule.action {
            Action::LeaveOut(patterns) => patterns,
            Action::Bytecode => &[],
        };
        for pattern in patterns {
            assert!(page.contains(pattern), "{}: {pattern}", rule.name);
        }
    }
}
