//! Pulls from registries that cut, stall, refuse and lie, onto disks that are full, into stores that
//! are damaged: what arrives is right, or nobody sees it. Single requests are tested with
//! `hoist-registry`; this is about whole commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hoist_core::Digest;
use rustix::process::Signal;
use serde_json::json;

use crate::support::registry::{Registry, Users};
use crate::support::scripted::Scripted;
use crate::support::served::{Served, archive, entry, noise, zstd_of_zeros};
use crate::support::{Child, Run, Sandbox, wait_until};

/// Nothing of an image is here, not even a layer.
#[track_caller]
fn nothing_is_here(sandbox: &Sandbox) {
    sandbox.hoist(&["images", "-q"]).ok().stdout_is("");
    for directory in ["layers", "drafts", "blobs/sha256", "names"] {
        let left = entries(&sandbox.root().join(directory));
        assert!(left.is_empty(), "{left:?}");
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

fn begun(sandbox: &Sandbox) -> u64 {
    let sizes = entries(&sandbox.root().join("downloads"))
        .into_iter()
        .filter_map(|path| path.metadata().ok());
    sizes.map(|data| data.len()).sum()
}

/// A pull of what that server has.
fn pull(sandbox: &Sandbox, server: &Scripted) -> Run {
    sandbox.hoist(&["pull", &server.repository("app:1")])
}

#[test]
fn an_image_arrives_through_cuts_refusals_and_failures() {
    let sandbox = Sandbox::with(&[]);
    let image = Served::of(&[archive("noise", &noise(1 << 20)), archive("other", b"x")]);
    let server = image.behind(|image, exchange| {
        let limits = [
            ("Retry-After", "0"),
            ("RateLimit-Limit", "100;w=21600"),
            ("RateLimit-Remaining", "1;w=21600"),
        ];
        let blob = image.blob(exchange).cloned();
        match (exchange.earlier, blob) {
            (0, _) => exchange.reply(429, &limits, b"{}"),
            (2, _) => exchange.reply(503, &[("Retry-After", "0")], b""),
            (_, Some(blob)) => exchange.serve_cut(&blob, 300_000),
            _ => return false,
        }
        true
    });
    pull(&sandbox, &server)
        .ok()
        .says("unexpected status 429 Too Many Requests: trying again in 0.0 seconds")
        .says(&format!(
            "{}: 1 of 100 pulls in 6 hours are left",
            server.address
        ))
        .says("the connection was closed early: trying again")
        .prints("Status: Downloaded newer image");
    let starts = server
        .seen()
        .iter()
        .filter_map(|seen| seen.range_start())
        .count();
    assert!(starts >= 3, "{:?}", server.lines());
    assert_eq!(begun(&sandbox), 0);
}

#[test]
fn a_registry_that_wants_more_patience_says_how_much() {
    let sandbox = Sandbox::with(&[]);
    let server = Served::of(&[]).behind(|_, exchange| {
        let body =
            br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit reached"}]}"#;
        exchange.reply(429, &[("Retry-After", "3600")], body);
        true
    });
    pull(&sandbox, &server)
        .fails(1)
        .says("toomanyrequests: pull rate limit reached")
        .says("hint: try again in 3600 s")
        .says("hint: logged-in users have a higher limit: hoist login");
}

#[test]
fn lies_are_named_and_leave_nothing() {
    let sandbox = Sandbox::with(&[]);
    let layer = archive("file", &noise(100_000));
    let honest = || Served::of(std::slice::from_ref(&layer));
    // Another size.
    let mut image = honest();
    image.manifest["layers"][0]["size"] = json!(99);
    pull(&sandbox, &image.behind(|_, _| false))
        .fails(1)
        .says("expected 99");
    nothing_is_here(&sandbox);
    // Another content, of the same size.
    let server = honest().behind(|image, exchange| {
        let Some(blob) = image.blob(exchange).filter(|blob| blob.len() > 100_000) else {
            return false;
        };
        let mut wrong = blob.clone();
        wrong[600] ^= 1;
        exchange.reply(200, &[], &wrong);
        true
    });
    pull(&sandbox, &server).fails(1).says("digest mismatch");
    nothing_is_here(&sandbox);
    assert_eq!(begun(&sandbox), 0);
    // The right blob of another layer.
    let blob = (layer.clone(), Digest::of(b"another archive"));
    pull(&sandbox, &Served::of_blobs(&[blob]).behind(|_, _| false))
        .fails(1)
        .says("the layer has the digest");
    nothing_is_here(&sandbox);
    // A configuration of another image.
    let mut image = honest();
    image.manifest["layers"] = json!([]);
    pull(&sandbox, &image.behind(|_, _| false))
        .fails(1)
        .says("its manifest has 0 layers, its configuration 1");
    nothing_is_here(&sandbox);
    // A body without an end, and an index with a million entries.
    let entry = format!(
        r#"{{"mediaType":"x","digest":"{}","size":1}},"#,
        Digest::of(b"")
    );
    let start = format!(
        r#"{{"schemaVersion":2,"manifests":[{}"#,
        entry.repeat(1_000_000)
    );
    let server = honest().behind(move |_, exchange| {
        if !exchange.seen.target.contains("/manifests/") {
            return false;
        }
        let kind = "application/vnd.oci.image.index.v1+json";
        exchange.endless(&[("Content-Type", kind)], start.as_bytes());
        true
    });
    pull(&sandbox, &server)
        .fails(1)
        .says("is larger than 4194304 bytes");
    nothing_is_here(&sandbox);
}

#[test]
fn hostile_archives_leave_nothing_anywhere() {
    let sandbox = Sandbox::with(&[]);
    let victim = sandbox.file("victim", "untouched");
    let target = victim.to_str().expect("a path");
    let directory = target.trim_end_matches("victim");
    let table = [
        (entry(b'0', "../../../../escaped", "", b"x"), "has a '..'"),
        (
            [
                entry(b'2', "out", directory, b""),
                entry(b'0', "out/victim", "", b"x"),
            ]
            .concat(),
            "link to nowhere",
        ),
        (
            entry(b'1', "hard", target, b""),
            "is not in the archive before it",
        ),
        (entry(b'Z', "odd", "", b""), "its type 'Z' is not known"),
        (b"no archive at all".repeat(100), "not a readable archive"),
    ];
    for (tar, reason) in table {
        let tar = [tar, vec![0; 4096]].concat();
        let server = Served::of(&[tar]).behind(|_, _| false);
        pull(&sandbox, &server).fails(1).says(reason);
        nothing_is_here(&sandbox);
    }
    assert_eq!(fs::read_to_string(victim).expect("a file"), "untouched");
}

#[test]
fn a_decompression_bomb_is_cut() {
    let sandbox = Sandbox::with(&[]);
    // An empty archive, and after its end 5 GiB of nothing.
    let bomb = zstd_of_zeros(&[0; 1024], 5 << 13);
    assert!(bomb.len() < 200_000);
    let server = Served::of_blobs(&[(bomb, Digest::of(b"?"))]).behind(|_, _| false);
    pull(&sandbox, &server)
        .fails(1)
        .says("a decompression bomb");
    nothing_is_here(&sandbox);
    assert_eq!(begun(&sandbox), 0);
}

#[test]
fn an_interrupted_pull_says_so_and_goes_on_where_it_was() {
    let sandbox = Sandbox::with(&[]);
    let image = Served::of(&[archive("noise", &noise(1 << 20))]);
    let first = image.clone();
    let server = first.behind(|image, exchange| match image.blob(exchange) {
        Some(blob) if blob.len() > 1 << 20 && exchange.seen.range_start().is_none() => {
            exchange.serve_cut(blob, 700_000);
            exchange.stall();
            true
        }
        _ => false,
    });
    let name = server.repository("app:1");
    let running = sandbox.spawn(&["pull", &name]);
    wait_until("most of it has come", || begun(&sandbox) > 600_000);
    running.signal(Signal::INT);
    running
        .finish()
        .fails(130)
        .says("Error: the pull was interrupted\n")
        .says("hint: what has arrived is kept, and the next pull goes on from there");
    sandbox.hoist(&["images", "-q"]).ok().stdout_is("");
    let kept = usize::try_from(begun(&sandbox)).expect("a length");
    assert!(kept > 600_000);
    pull(&sandbox, &server).ok();
    let starts: Vec<_> = server
        .seen()
        .iter()
        .filter_map(|seen| seen.range_start())
        .collect();
    assert_eq!(starts, [kept]);
}

#[test]
fn a_killed_pull_of_many_ranges_goes_on_where_it_was() {
    let sandbox = Sandbox::with(&[]);
    let image = Served::of(&[archive("noise", &noise(36 << 20))]);
    // The fourth range and those after it do not come, at first.
    let opened = Arc::new(AtomicBool::new(false));
    let is_open = Arc::clone(&opened);
    let server = image.behind(move |_, exchange| {
        let is_kept = exchange.seen.range_start() >= Some(12 << 20);
        if is_kept && !is_open.load(Ordering::SeqCst) {
            exchange.stall();
            return true;
        }
        false
    });
    let name = server.repository("app:1");
    let running = sandbox.spawn(&["pull", "-q", &name]);
    wait_until("three ranges have come", || begun(&sandbox) == 12 << 20);
    running.signal(Signal::KILL);
    running.finish().fails(137);
    let before = server.seen().len();
    opened.store(true, Ordering::SeqCst);
    sandbox.hoist(&["pull", "-q", &name]).ok();
    let seen = &server.seen()[before..];
    let mut starts: Vec<_> = seen.iter().filter_map(|seen| seen.range_start()).collect();
    starts.sort_unstable();
    // Less than what is fetched by ranges was left.
    assert_eq!(starts, [12 << 20]);
}

/// A small file system of its own, gone on drop.
struct Small(PathBuf);

impl Small {
    fn mount(path: PathBuf, options: &str) -> Self {
        fs::create_dir_all(&path).expect("a directory");
        let small = Self(path);
        small.run("mount", &["-t", "tmpfs", "-o", options, "tmpfs"]);
        small
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        let status = command.args(arguments).arg(&self.0).status();
        assert!(status.expect("util-linux").success(), "{program}");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.run("umount", &["--lazy"]);
    }
}

#[test]
fn a_full_disk_is_named_and_the_pull_goes_on_when_there_is_room() {
    let sandbox = Sandbox::with(&[]);
    let disk = Small::mount(sandbox.path("disk"), "size=12m");
    let hoist = |words: &[&str]| {
        let mut command = sandbox.command(words);
        command.env("HOIST_ROOT", &disk.0);
        Child::spawn(command).finish()
    };
    let image = Served::of(&[archive("noise", &noise(16 << 20))]);
    let server = image.behind(|_, _| false);
    let name = server.repository("app:1");
    hoist(&["pull", &name])
        .fails(1)
        .says("No space left on device")
        .says("hint: Free some space: `hoist system prune`");
    hoist(&["images", "-q"]).ok().stdout_is("");
    for directory in ["layers", "drafts", "blobs/sha256", "names"] {
        assert!(entries(&disk.0.join(directory)).is_empty(), "{directory}");
    }
    disk.run("mount", &["-o", "remount,size=64m"]);
    hoist(&["pull", &name]).ok();
    assert!(
        server
            .seen()
            .iter()
            .any(|seen| seen.range_start() > Some(1 << 20))
    );
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let sandbox = Sandbox::with(&[]);
    sandbox.hoist(&["images"]).ok();
    let format = sandbox.root().join("format.json");
    let server = Served::of(&[archive("file", b"x")]).behind(|_, _| false);
    let newer = [
        (r#"{"version":99}"#, "format version 99"),
        (r#"{"version":1,"incompatible":["sealed"]}"#, "sealed"),
        (r#"{"version":1,"read_only":["indexed"]}"#, "indexed"),
    ];
    for (text, what) in newer {
        fs::write(&format, text).expect("a file");
        pull(&sandbox, &server).fails(1).says(what);
        assert_eq!(fs::read_to_string(&format).expect("a file"), text);
        assert!(entries(&sandbox.root().join("layers")).is_empty());
    }
    fs::write(&format, r#"{"version":1,"compatible":["tables"]}"#).expect("a file");
    pull(&sandbox, &server).ok();
}

/// Every file of the store below these directories, but those in layers.
fn records(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories: Vec<_> = ["blobs", "images", "manifests", "names", "layers"]
        .map(|name| root.join(name))
        .into();
    while let Some(directory) = directories.pop() {
        for path in entries(&directory) {
            if path.file_name().is_some_and(|name| name == "tree") {
                continue;
            }
            if path.is_dir() {
                directories.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_damaged_store_is_mended_by_pulling_again() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(Users::Anybody);
    let name = registry.name("app:1");
    sandbox.file(
        "app/Dockerfile",
        "FROM busybox\nRUN echo hello > /greeting\nCMD [\"cat\", \"/greeting\"]\n",
    );
    sandbox.hoist(&["build", "-q", "-t", &name, "app"]).ok();
    sandbox.hoist(&["push", &name]).ok();
    let afresh = || {
        sandbox.hoist(&["system", "prune", "--all", "--force"]).ok();
        sandbox.hoist(&["pull", &name]).ok();
    };
    afresh();
    let files = records(&sandbox.root());
    assert!(files.len() >= 9, "{files:#?}");
    let works = |what: &dyn std::fmt::Debug| {
        let pull = sandbox.hoist(&["pull", &name]);
        assert_eq!(pull.code, 0, "{what:?}: {pull}");
        let run = sandbox.hoist(&["run", "--rm", &name]);
        assert_eq!(run.stdout, "hello\n", "{what:?}: {run}");
        sandbox.hoist(&["save", "-o", "saved.tar", &name]).ok();
    };
    for file in &files {
        for damage in [None, Some(""), Some("{\"half\":")] {
            match damage {
                None => fs::remove_file(file).expect("a file"),
                Some(text) => fs::write(file, text).expect("a file"),
            }
            works(&(file, damage));
            assert_eq!(records(&sandbox.root()), files);
        }
    }
    // And the files of the layers.
    for layer in entries(&sandbox.root().join("layers")) {
        let tree = layer.join("tree");
        if tree.exists() {
            fs::remove_dir_all(tree).expect("a tree");
            works(&layer);
        }
        fs::remove_dir_all(&layer).expect("a layer");
        works(&layer);
    }
}
