//! Repositories that git makes, read without it.

use std::{fs, os::unix::fs::symlink, process::Command};

use tempfile::TempDir;

use super::*;
use crate::{
    execute::open_directory,
    tree::{Ownership, filter::Filter, walk},
};

/// A work tree with its repository.
struct Work(TempDir);

impl Work {
    fn new(options: &[&str]) -> Self {
        let work = Self(tempfile::tempdir().unwrap());
        work.git(&[&["init", "-q", "-b", "main"], options].concat());
        work
    }

    fn path(&self) -> PathBuf {
        fs::canonicalize(self.0.path()).unwrap()
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.git_at(0, arguments)
    }

    /// Run git, `seconds` after some time.
    fn git_at(&self, seconds: u32, arguments: &[&str]) -> String {
        let date = format!("{} +0130", 1_700_000_000 + seconds);
        let output = Command::new("git")
            .args(["-c", "user.name=A B", "-c", "user.email=a@b"])
            .args(arguments)
            .current_dir(self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_DATE", "1000000000 +0000")
            .env("GIT_COMMITTER_DATE", &date)
            .output()
            .expect("install it: apt-get install git");
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn file(&self, path: &str, content: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn commit(&self, seconds: u32) -> String {
        self.git(&["add", "-A"]);
        self.git_at(seconds, &["commit", "-q", "--allow-empty", "-m", "x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn checkout(&self, below: &str) -> Checkout {
        let found = Checkout::find(&self.path().join(below)).unwrap();
        found.expect("a commit")
    }

    fn state_without(&self, below: &str, ignored: &[&str]) -> State {
        let path = self.path().join(below);
        let root = Root::new(
            open_directory(&path).unwrap(),
            path.clone(),
            Ownership::Root,
        );
        let patterns: Vec<String> = [&["**/.git"], ignored]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect();
        let filter = Filter::ignoring(None).excluding(&patterns).unwrap();
        let entries = walk(&root, Path::new(""), &filter).unwrap();
        let is_ignored = |path: &Path| ignored.iter().any(|known| path.starts_with(known));
        self.checkout(below)
            .state(&root, &entries, &is_ignored)
            .unwrap()
    }

    fn state(&self) -> State {
        self.state_without("", &[])
    }
}

/// A tree that says something: directories, an executable, a link, a name with a space.
fn filled(options: &[&str]) -> Work {
    use std::os::unix::fs::PermissionsExt;
    let work = Work::new(options);
    work.file("app/main.py", "print('hello')\n");
    work.file("app/deep/er/x y", "");
    work.file("run.sh", "#!/bin/sh\n");
    work.file("app.txt", "sorts between\n");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(work.path().join("run.sh"), mode).unwrap();
    symlink("app/main.py", work.path().join("link")).unwrap();
    work
}

#[test]
fn a_commit_is_found_and_compared() {
    for options in [&[][..], &["--object-format=sha256"]] {
        let work = filled(options);
        assert!(Checkout::find(&work.path()).unwrap().is_none());
        let commit = work.commit(7);
        let checkout = work.checkout("");
        assert_eq!((checkout.time, &checkout.commit), (1_700_000_007, &commit));
        assert_eq!(work.state(), State::Same);
        assert_eq!(work.state_without("app", &[]), State::Same);
        // What git does not know does not count.
        work.file("app/__pycache__/main.cpython-311.pyc", "x");
        assert_eq!(work.state(), State::Same);
        work.file("untracked/x", "");
        assert_eq!(work.state_without("untracked", &[]), State::Apart);
    }
}

#[test]
fn every_change_is_seen() {
    use std::os::unix::fs::PermissionsExt;
    type Change = fn(&Path);
    let changes: [(&str, Change); 5] = [
        ("app/main.py", |path| {
            fs::write(path, "print('hellO')\n").unwrap();
        }),
        ("app.txt", |path| fs::remove_file(path).unwrap()),
        ("run.sh", |path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        }),
        ("link", |path| {
            fs::remove_file(path).unwrap();
            symlink("app.txt", path).unwrap();
        }),
        ("app/deep/er/x y", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
    ];
    for (name, change) in changes {
        let work = filled(&[]);
        work.commit(0);
        change(&work.path().join(name));
        assert_eq!(work.state(), State::Differs(name.into()));
        // Staged, it is no more committed than before.
        work.git(&["add", "-A"]);
        assert_eq!(work.state(), State::Differs(name.into()));
    }
}

#[test]
fn what_the_ignore_file_leaves_out_is_not_missed() {
    let work = filled(&[]);
    work.commit(0);
    fs::remove_dir_all(work.path().join("app/deep")).unwrap();
    assert_eq!(work.state(), State::Differs("app/deep/er/x y".into()));
    assert_eq!(work.state_without("", &["app/deep"]), State::Same);
}

#[test]
fn packs_references_and_other_work_trees_are_read() {
    let work = filled(&[]);
    for number in 0..30_u32 {
        // Trees that differ little are kept as differences.
        for file in 0..20 {
            work.file(&format!("many/{file}"), &format!("{file}\n"));
        }
        work.file("many/changing", &number.to_string());
        work.commit(number);
    }
    work.git(&["gc", "-q", "--aggressive", "--prune=now"]);
    let counted = work.git(&["count-objects", "-v"]);
    assert!(counted.contains("count: 0"), "{counted}");
    assert!(work.path().join(".git/packed-refs").exists());
    assert_eq!(work.checkout("").time, 1_700_000_029);
    assert_eq!(work.state(), State::Same);
    assert_eq!(work.state_without("many", &[]), State::Same);

    // A detached HEAD, in a work tree of its own, of an older commit.
    let other = tempfile::tempdir().unwrap();
    let place = other.path().join("tree");
    let place = place.to_str().unwrap();
    work.git(&["worktree", "add", "-q", "--detach", place, "HEAD~9"]);
    let found = Checkout::find(&fs::canonicalize(place).unwrap()).unwrap();
    assert_eq!(found.unwrap().time, 1_700_000_020);

    // A clone that borrows its objects, at depth one, and a bare clone's references.
    let clone = other.path().join("clone");
    let from = work.path();
    work.git(&[
        "clone",
        "-q",
        "--shared",
        from.to_str().unwrap(),
        clone.to_str().unwrap(),
    ]);
    let found = Checkout::find(&fs::canonicalize(&clone).unwrap()).unwrap();
    assert_eq!(found.unwrap().time, 1_700_000_029);
    let shallow = other.path().join("shallow");
    let url = format!("file://{}", from.display());
    work.git(&["clone", "-q", "--depth=1", &url, shallow.to_str().unwrap()]);
    let found = Checkout::find(&fs::canonicalize(&shallow).unwrap()).unwrap();
    assert_eq!(found.unwrap().time, 1_700_000_029);
}

#[test]
fn a_repository_that_is_broken_says_where() {
    let work = filled(&[]);
    let commit = work.commit(0);
    let head = work.path().join(".git/HEAD");
    let problem = || Checkout::find(&work.path()).unwrap_err().to_string();
    for text in ["", "nonsense", "ref: ../../etc/passwd", "ref: refs/../x"] {
        fs::write(&head, text).unwrap();
        assert!(problem().contains("HEAD leads to"), "{text}");
    }
    fs::write(&head, "ref: refs/heads/main").unwrap();
    fs::write(
        work.path().join(".git/refs/heads/main"),
        "ref: refs/heads/main",
    )
    .unwrap();
    assert!(problem().contains("in a circle"));
    fs::write(&head, "0".repeat(40)).unwrap();
    assert!(problem().contains("is not there"));
    fs::write(&head, &commit).unwrap();
    let object = work.path().join(".git/objects").join(&commit[..2]);
    let object = object.join(&commit[2..]);
    fs::set_permissions(&object, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let whole = fs::read(&object).unwrap();
    for at in 0..whole.len() {
        let mut broken = whole.clone();
        broken[at] ^= 0x55;
        fs::write(&object, &broken).unwrap();
        // An answer or an error, and nothing else.
        let _ = Checkout::find(&work.path());
        fs::write(&object, &broken[..at]).unwrap();
        assert!(Checkout::find(&work.path()).is_err());
    }
}

#[test]
fn a_pack_with_flipped_bits_is_an_answer_or_an_error() {
    let work = filled(&[]);
    for number in 0..5_u32 {
        work.file("changing", &number.to_string());
        work.commit(number);
    }
    work.git(&["gc", "-q", "--aggressive", "--prune=now"]);
    let directory = work.path().join(".git/objects/pack");
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(7) {
            let mut broken = whole.clone();
            broken[at] ^= 0xff;
            fs::write(&path, &broken).unwrap();
            if let Ok(Some(checkout)) = Checkout::find(&work.path()) {
                let _ = checkout.directory().map(|tree| {
                    let mut found = BTreeMap::new();
                    tree.map(|tree| checkout.list(&tree, Path::new(""), &mut found, DEEPEST))
                });
            }
        }
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(work.state(), State::Same);
}

#[test]
fn a_repository_of_pipes_and_bombs_is_refused_at_once() {
    let work = filled(&[]);
    work.commit(0);
    // Each directory names the one below many times: more files than anybody has.
    let blob = work.git(&["rev-parse", "HEAD:app.txt"]);
    let mut entry = format!("100644 blob {blob}");
    for count in [4096, 512, 512] {
        let lines = (0..count).map(|name| format!("{entry}\t{name}\n"));
        let list = work.path().join("list");
        fs::write(&list, lines.collect::<String>()).unwrap();
        let command = format!("git mktree < {}", list.display());
        let output = Command::new("sh")
            .args(["-c", &command])
            .current_dir(work.path())
            .output()
            .unwrap();
        let tree = String::from_utf8(output.stdout).unwrap();
        entry = format!("040000 tree {}", tree.trim());
    }
    let tree = entry.rsplit(' ').next().unwrap();
    let commit = work.git(&["commit-tree", "-m", "x", tree]);
    work.git(&["update-ref", "HEAD", &commit]);
    let root = Root::new(
        open_directory(&work.path()).unwrap(),
        work.path(),
        Ownership::Root,
    );
    let state = work.checkout("").state(&root, &[], &|_| true);
    let problem = state.unwrap_err().to_string();
    assert!(problem.contains("too many files"), "{problem}");

    let head = work.path().join(".git/HEAD");
    fs::remove_file(&head).unwrap();
    let mode = Mode::from_raw_mode(0o644);
    let pipe = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &head, pipe, mode, 0).unwrap();
    assert!(Checkout::find(&work.path()).is_err());
}

#[test]
fn objects_that_make_no_sense_are_refused() {
    assert_eq!(parse::tree(b"100644 a\0short", 20), None);
    assert_eq!(parse::tree(b"100644 \0aaaaaaaaaaaaaaaaaaaa", 20), None);
    assert_eq!(parse::tree(b"100644 ..\0aaaaaaaaaaaaaaaaaaaa", 20), None);
    assert_eq!(parse::tree(b"100644 a/b\0aaaaaaaaaaaaaaaaaaaa", 20), None);
    assert_eq!(parse::tree(b"x a\0aaaaaaaaaaaaaaaaaaaa", 20), None);
    assert_eq!(parse::tree(b"", 20), Some(Vec::new()));
    let tree = "0".repeat(40);
    for text in [
        format!("tree {tree}\nauthor x 1 +0000\n\ncommitter x 1 +0000\n"),
        "tree x\ncommitter x 1 +0000\n\n".to_owned(),
        format!("tree {tree}\ncommitter x\n\n"),
        format!("tree {tree}\ncommitter x <y> z +0000\n\n"),
    ] {
        assert_eq!(parse::commit(text.as_bytes()), None, "{text}");
    }
    assert_eq!(from_hex("é".repeat(20).as_str()), Vec::<u8>::new());
}
