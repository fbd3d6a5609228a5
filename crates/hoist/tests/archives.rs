//! `save` and `load` at their edges: several images, platforms, pipes, archives of bad intent.

use std::fs;
use std::process::Stdio;

use crate::support::{Run, Sandbox};

/// A tar of these files; a name that ends in `@` is a symbolic link to its content.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in files {
        let (name, link) = match name.strip_suffix('@') {
            Some(name) => (name, *content),
            None => (*name, b"".as_slice()),
        };
        let data = if link.is_empty() { *content } else { b"" };
        let mut block = [0_u8; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..108].copy_from_slice(b"0000644\0");
        block[108..124].copy_from_slice(b"0000000\x000000000\0");
        block[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
        block[136..148].copy_from_slice(b"00000000000\0");
        block[156] = if link.is_empty() { b'0' } else { b'2' };
        block[157..157 + link.len()].copy_from_slice(link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&block);
        archive.extend_from_slice(data);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// The digest that `sha256sum` gives.
pub(crate) fn sha256(sandbox: &Sandbox, bytes: &[u8]) -> String {
    let path = sandbox.path("digested");
    fs::write(&path, bytes).expect("a file");
    let output = std::process::Command::new("sha256sum")
        .arg(&path)
        .output()
        .expect("sha256sum");
    let text = String::from_utf8(output.stdout).expect("a digest");
    text.split(' ').next().expect("a digest").to_owned()
}

/// An image's configuration for an architecture, with one layer.
pub(crate) fn config(architecture: &str, diff_id: &str) -> Vec<u8> {
    format!(
        r#"{{"architecture":"{architecture}","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["sha256:{diff_id}"]}}}}"#
    )
    .into_bytes()
}

/// Docker's list of one image.
pub(crate) fn manifest(config: &str, layer: &str) -> Vec<u8> {
    format!(r#"[{{"Config":"{config}","RepoTags":["app:1"],"Layers":["{layer}"]}}]"#).into_bytes()
}

fn load(sandbox: &Sandbox, name: &str, archive: &[u8]) -> Run {
    fs::write(sandbox.path(name), archive).expect("an archive");
    sandbox.hoist(&["load", "-i", name])
}

/// What a load that failed must not have left.
#[track_caller]
fn nothing_is_left(sandbox: &Sandbox) {
    sandbox.hoist(&["images", "-aq"]).ok().stdout_is("");
    sandbox.hoist(&["system", "check"]).ok();
    sandbox.hoist(&["image", "prune", "-f"]).ok();
    for directory in ["layers", "blobs/sha256", "drafts", "manifests"] {
        let left = fs::read_dir(sandbox.root().join(directory))
            .map(|entries| entries.count())
            .unwrap_or(0);
        assert_eq!(left, 0, "{directory}");
    }
}

#[test]
fn several_images_go_through_one_pipe() {
    let sandbox = Sandbox::with(&["busybox:latest", "debian:bookworm-slim"]);
    sandbox
        .hoist(&["tag", "busybox", "team.example/box:1"])
        .ok();
    let mut save = sandbox.command(&[
        "save",
        "busybox",
        "team.example/box",
        "debian:bookworm-slim",
    ]);
    let mut saving = save.stdout(Stdio::piped()).spawn().expect("hoist starts");
    let archive = saving.stdout.take().expect("a pipe");
    let other = Sandbox::with(&[]);
    let loading = other
        .command(&["load"])
        .stdin(Stdio::from(archive))
        .output()
        .expect("hoist starts");
    assert!(saving.wait().expect("an end").success());
    assert!(loading.status.success(), "{loading:?}");
    let said = String::from_utf8(loading.stdout).expect("text");
    for name in [
        "busybox:latest",
        "team.example/box:1",
        "debian:bookworm-slim",
    ] {
        assert!(said.contains(&format!("Loaded image: {name}")), "{said}");
        assert_eq!(
            other.inspect(name, "{{.Id}}"),
            sandbox.inspect(name, "{{.Id}}")
        );
    }
    other.hoist(&["system", "check"]).ok();
}

#[test]
fn platforms_are_chosen_and_refused() {
    let sandbox = Sandbox::new();
    let wrong = [
        "save",
        "--platform",
        "linux/riscv64",
        "-o",
        "x.tar",
        "busybox",
    ];
    sandbox
        .hoist(&wrong)
        .fails(1)
        .says("does not match the specified platform (linux/riscv64)");
    assert!(!sandbox.path("x.tar").exists());
    for command in ["inspect", "history"] {
        sandbox
            .hoist(&["image", command, "--platform", "linux/riscv64", "busybox"])
            .fails(1)
            .says("does not match the specified platform");
    }
    let layer = tar(&[("file", b"content")]);
    let diff_id = sha256(&sandbox, &layer);
    let (one, other) = (config("amd64", &diff_id), config("s390x", &diff_id));
    let manifest = br#"[{"Config":"one.json","RepoTags":["app:one"],"Layers":["layer.tar"]},{"Config":"other.json","RepoTags":["app:other"],"Layers":["layer.tar"]}]"#;
    let archive = tar(&[
        ("one.json", &one),
        ("other.json", &other),
        ("layer.tar", &layer),
        ("manifest.json", manifest),
    ]);
    fs::write(sandbox.path("both.tar"), archive).expect("an archive");
    let load = |platform| sandbox.hoist(&["load", "-i", "both.tar", "--platform", platform]);
    load("linux/s390x")
        .ok()
        .stdout_is("Loaded image: app:other");
    sandbox
        .hoist(&["images", "-q", "app:one"])
        .ok()
        .stdout_is("");
    load("linux/arm64")
        .fails(1)
        .says("no image of the platform linux/arm64");
    sandbox
        .hoist(&["image", "inspect", "--platform", "linux/s390x", "app:other"])
        .ok()
        .prints("s390x");
}

#[test]
fn an_archive_that_lies_leaves_nothing() {
    let sandbox = Sandbox::with(&[]);
    let layer = tar(&[("file", b"content")]);
    let diff_id = sha256(&sandbox, &layer);
    let image = config("amd64", &diff_id);
    let whole = manifest("c.json", "l.tar");
    let other = config("amd64", &"0".repeat(64));
    let traversal = tar(&[("../../outside", b"evil")]);
    let traversal_id = sha256(&sandbox, &traversal);
    let traversal_config = config("amd64", &traversal_id);
    let through_link = manifest("c.json", "link");
    let passwd = b"/etc/passwd".as_slice();
    let up = b"../../../../etc/passwd".as_slice();
    type Files<'a> = Vec<(&'a str, &'a [u8])>;
    let table: Vec<(&str, Files<'_>, &str)> = vec![
        (
            "another layer",
            vec![
                ("c.json", &other),
                ("l.tar", &layer),
                ("manifest.json", &whole),
            ],
            "has the digest",
        ),
        (
            "no layer",
            vec![("c.json", &image), ("manifest.json", &whole)],
            "\"l.tar\" is missing",
        ),
        (
            "no configuration",
            vec![("l.tar", &layer), ("manifest.json", &whole)],
            "\"c.json\" is missing",
        ),
        (
            "a layer that climbs",
            vec![
                ("c.json", &traversal_config),
                ("l.tar", &traversal),
                ("manifest.json", &whole),
            ],
            "outside",
        ),
        (
            "a layer that is a file of the host",
            vec![
                ("c.json", &image),
                ("link@", passwd),
                ("manifest.json", &through_link),
            ],
            "\"link\" is missing",
        ),
        (
            "a layer that leads out of the archive",
            vec![
                ("c.json", &image),
                ("link@", up),
                ("manifest.json", &through_link),
            ],
            "\"link\" is missing",
        ),
        (
            "garbage for a list",
            vec![("manifest.json", b"[{}]")],
            "malformed",
        ),
        (
            "an index of nothing",
            vec![("index.json", b"{")],
            "malformed",
        ),
        ("nothing", vec![], "no archive of images"),
    ];
    for (what, files, says) in table {
        let run = load(&sandbox, "bad.tar", &tar(&files));
        assert_eq!(run.code, 1, "{what}: {run}");
        assert!(run.stderr.contains(says), "{what}: {run}");
        nothing_is_left(&sandbox);
    }
}

#[test]
fn an_archive_that_was_cut_leaves_nothing() {
    let sandbox = Sandbox::with(&[]);
    let layer = tar(&[("file", b"content")]);
    let image = config("amd64", &sha256(&sandbox, &layer));
    let whole = manifest("c.json", "l.tar");
    let good = tar(&[
        ("c.json", &image),
        ("l.tar", &layer),
        ("manifest.json", &whole),
    ]);
    // Cut anywhere, and with a length that the archive does not have.
    for cut in [1, 511, 513, 1700, 2600, 3100] {
        let run = load(&sandbox, "cut.tar", &good[..cut.min(good.len())]);
        assert_eq!(run.code, 1, "cut to {cut}: {run}");
        nothing_is_left(&sandbox);
    }
    let mut lies = good.clone();
    lies[124..136].copy_from_slice(b"77777777777\0");
    assert_eq!(load(&sandbox, "lies.tar", &lies).code, 1);
    nothing_is_left(&sandbox);
    load(&sandbox, "good.tar", &good)
        .ok()
        .stdout_is("Loaded image: app:1");
}

#[test]
fn a_load_that_is_killed_leaves_nothing_half_made() {
    let sandbox = Sandbox::new();
    sandbox.hoist(&["save", "-o", "box.tar", "busybox"]).ok();
    let archive = fs::read(sandbox.path("box.tar")).expect("an archive");
    sandbox.hoist(&["rmi", "busybox"]).ok();
    let mut load = sandbox.command(&["load"]);
    let mut child = load.stdin(Stdio::piped()).spawn().expect("hoist starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut pipe, &archive[..archive.len() / 2]).expect("a write");
    child.kill().expect("a kill");
    child.wait().expect("an end");
    drop(pipe);
    nothing_is_left(&sandbox);
    sandbox.hoist(&["load", "-i", "box.tar"]).ok();
    sandbox.hoist(&["run", "--rm", "busybox", "true"]).ok();
}

#[test]
fn an_export_is_what_the_container_sees() {
    let sandbox = Sandbox::new();
    let script = "echo new > /new; rm /etc/passwd; echo data > /data/file; touch /ready; \
                  while :; do date > /busy; rm -f /busy; done";
    sandbox
        .hoist(&[
            "run",
            "-d",
            "--name",
            "box",
            "-v",
            "vol:/data",
            "busybox",
            "sh",
            "-c",
            script,
        ])
        .ok();
    crate::support::wait_until("it has written", || {
        let ready = sandbox.hoist(&["exec", "box", "test", "-e", "/ready"]);
        ready.code == 0
    });
    sandbox
        .hoist(&["diff", "box"])
        .ok()
        .prints("A /new\n")
        .prints("C /etc\n")
        .prints("D /etc/passwd\n");
    sandbox.hoist(&["export", "-o", "box.tar", "box"]).ok();
    sandbox.hoist(&["rm", "-f", "box"]).ok();
    let archive = sandbox.path("box.tar");
    sandbox
        .hoist(&["import", archive.to_str().expect("a path"), "copy:1"])
        .ok();
    let look = "cat /new; ls /data | wc -l; test -e /etc/passwd || echo gone";
    sandbox
        .hoist(&["run", "--rm", "copy:1", "sh", "-c", look])
        .ok()
        .stdout_is("new\n0\ngone");
    sandbox
        .hoist(&["export", "missing"])
        .fails(1)
        .says("missing");
    sandbox.hoist(&["create", "--name", "idle", "busybox"]).ok();
    let mut terminal = sandbox.terminal(&["export", "idle"]);
    terminal.expect("refusing to save to a terminal");
    sandbox.hoist(&["diff", "idle"]).ok().stdout_is("");
}
