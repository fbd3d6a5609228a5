//! `kill -9` at any moment leaves a store that the next command reads and mends.
//!
//! The test runs itself as a child that kills itself at a given point, and then looks.

#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::{
    io::Read,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Command,
};

use hoist_core::Digest;
use hoist_store::{FormPolicy, Store};
use support::{Tar, archive_of, image, reference};

const ROOT: &str = "HOIST_STORE_TEST_ROOT";
const POINT: &str = "HOIST_STORE_TEST_POINT";
const WAY: &str = "HOIST_STORE_TEST_WAY";

/// How the layer comes.
const WAYS: [&str; 4] = ["import", "unpacked", "indexed", "indexed gzip"];

fn policy(way: &str) -> FormPolicy {
    way.split(' ').next().unwrap().parse().unwrap_or_default()
}

fn die() -> ! {
    let own = rustix::process::getpid();
    let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    unreachable!("SIGKILL cannot be survived");
}

/// Kills the process when `left` bytes were read.
struct Deadly<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl Read for Deadly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            die();
        }
        let most = buffer.len().min(self.left).min(777);
        let count = self.bytes.read(&mut buffer[..most])?;
        self.left -= count;
        Ok(count)
    }
}

fn archive() -> Vec<u8> {
    let mut tar = Tar::default().directory("dir/");
    for number in 0..20 {
        let data = vec![b'x'; 3000 + number];
        tar = tar.entry(b'0', &format!("dir/file-{number}"), "", &data);
    }
    tar.symlink("dir/link", "/etc/passwd")
        .file(".wh.gone", "")
        .finish()
}

/// What the child does; it dies at `point`, or before it is asked to go on.
fn child(root: &Path, point: &str, way: &str) {
    let mut bytes = archive();
    if way.ends_with("gzip") {
        bytes = support::gzip(&bytes);
    }
    let store = Store::open(root).unwrap().with_form(policy(way));
    let at = |name: &str| {
        if name == point {
            die();
        }
    };
    at("opened");
    let left = point
        .strip_prefix("byte ")
        .map_or(usize::MAX, |text| text.parse().unwrap());
    let left = left.min(bytes.len() + usize::from(left == usize::MAX));
    let deadly = Deadly {
        bytes: &bytes,
        left,
    };
    let layer = match way {
        "import" => store.import_tar(deadly),
        _ => {
            let draft = store.try_begin_blob(&Digest::of(&bytes)).unwrap().unwrap();
            store.import_layer(draft, deadly, "a tar", None)
        }
    };
    let layer = layer.unwrap();
    at("imported");
    let draft = store.begin_layer().unwrap();
    std::fs::write(draft.path().join("half"), "half").unwrap();
    at("drafted");
    let second = draft.commit().unwrap();
    at("committed");
    let id = store.put_image(&image("1", &[&layer, &second])).unwrap();
    at("put");
    store.tag(&reference("app"), &id).unwrap();
    at("tagged");
    store.sync().unwrap();
    at("synced");
    store.remove_image("app", false, &|_| None).unwrap();
    at("removed");
    die();
}

fn check(root: &Path, point: &str, way: &str) {
    let store = Store::open(root).unwrap().with_form(policy(way));
    for summary in store.images().unwrap() {
        let found = store.image(&summary.id).unwrap();
        for layer in &found.layers {
            archive_of(&store, &layer.diff_id);
        }
    }
    for name in support::names(&root.join("layers")) {
        let diff_id = hoist_core::Digest::from_hex(&name).unwrap();
        archive_of(&store, &diff_id);
        store.open_layer(&diff_id).unwrap();
    }
    let has_name = store.resolve("app").is_ok();
    assert_eq!(has_name, matches!(point, "tagged" | "synced"), "{point}");
    store.collect_garbage(&[], &[]).unwrap();
    assert_eq!(
        store.images().unwrap().len(),
        usize::from(has_name),
        "{point}"
    );
    let layers = if has_name { 2 } else { 0 };
    assert_eq!(
        support::names(&root.join("layers")).len(),
        layers,
        "{point}"
    );
    assert_eq!(
        support::names(&root.join("drafts")).len(),
        1,
        "{point}: only our own"
    );
    store.import_tar(archive().as_slice()).unwrap();
}

#[test]
fn a_killed_process_leaves_a_store_that_is_whole() {
    if let Some(root) = std::env::var_os(ROOT) {
        let var = |name| std::env::var(name).unwrap();
        return child(&PathBuf::from(root), &var(POINT), &var(WAY));
    }
    let length = archive().len();
    let mut points: Vec<String> = [
        "opened",
        "imported",
        "drafted",
        "committed",
        "put",
        "tagged",
        "synced",
        "removed",
    ]
    .map(str::to_owned)
    .to_vec();
    for byte in [
        1,
        511,
        512,
        513,
        1024,
        4096,
        length / 2,
        length - 1024,
        length - 1,
    ] {
        points.push(format!("byte {byte}"));
    }
    let ways = WAYS
        .iter()
        .flat_map(|way| points.iter().map(move |point| (way, point)));
    for (way, point) in ways {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("root");
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_killed_process_leaves_a_store_that_is_whole"])
            .env(ROOT, &root)
            .env(POINT, point)
            .env(WAY, way)
            .output()
            .unwrap();
        assert_eq!(output.status.signal(), Some(9), "{way} {point}: {output:?}");
        check(&root, point, way);
    }
}

/// Drafts of a living process are nobody else's garbage.
#[test]
fn living_drafts_are_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("root");
    let store = Store::open(&root).unwrap();
    let draft = store.begin_layer().unwrap();
    std::fs::write(draft.path().join("file"), "x").unwrap();
    Store::open(&root)
        .unwrap()
        .collect_garbage(&[], &[])
        .unwrap();
    let layer = draft.commit().unwrap();
    Store::open(&root)
        .unwrap()
        .collect_garbage(&[], &[])
        .unwrap();
    archive_of(&store, &layer.diff_id);
}
