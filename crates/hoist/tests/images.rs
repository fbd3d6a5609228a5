//! `images`, `tag`, `rmi`, `history`, `import`, `inspect`, `info` and `version`.

use crate::support::{Sandbox, base_archive};

#[test]
fn images_shows_dockers_columns() {
    let sandbox = Sandbox::new();
    let run = sandbox.hoist(&["images"]).ok();
    let head: Vec<&str> = run
        .stdout
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(
        head,
        ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    );
    let row: Vec<&str> = run
        .stdout
        .lines()
        .nth(1)
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(row[..2], ["busybox", "latest"]);
    let id = sandbox.hoist(&["images", "-q"]).ok();
    assert_eq!(id.text(), row[2]);
    let full = sandbox.hoist(&["images", "-q", "--no-trunc"]).ok();
    assert!(
        full.text().starts_with(&format!("sha256:{}", row[2])),
        "{full}"
    );
    sandbox
        .hoist(&["images", "--format", "{{.Repository}}:{{.Tag}}"])
        .ok()
        .stdout_is("busybox:latest");
    sandbox
        .hoist(&["images", "debian"])
        .ok()
        .never_says("busybox");
}

#[test]
fn tags_come_and_go_and_the_image_with_the_last() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&["tag", "busybox", "registry.example:5000/team/app:1.0"])
        .ok();
    sandbox
        .hoist(&["run", "--rm", "registry.example:5000/team/app:1.0", "true"])
        .ok();
    sandbox
        .hoist(&["rmi", "busybox"])
        .ok()
        .stdout_is("Untagged: busybox:latest");
    let run = sandbox
        .hoist(&["rmi", "registry.example:5000/team/app:1.0"])
        .ok();
    run.prints("Untagged: registry.example:5000/team/app:1.0")
        .prints("Deleted: sha256:");
    sandbox.hoist(&["images", "-aq"]).ok().stdout_is("");
    sandbox
        .hoist(&["tag", "missing", "x"])
        .fails(1)
        .says("missing");
    sandbox.hoist(&["rmi", "missing"]).fails(1).says("missing");
}

#[test]
fn an_image_in_use_is_kept() {
    let sandbox = Sandbox::new();
    sandbox.hoist(&["create", "--name", "box", "busybox"]).ok();
    sandbox.hoist(&["rmi", "busybox"]).fails(1).says("box");
    sandbox.hoist(&["rm", "box"]).ok();
    sandbox.hoist(&["rmi", "busybox"]).ok();
}

#[test]
fn import_makes_an_image_of_an_archive() {
    let sandbox = Sandbox::with(&[]);
    let (archive, _) = base_archive("busybox:latest");
    let archive = archive.to_str().expect("a path");
    let changes = [
        "--change",
        "ENV GREETING=hello",
        "--change",
        "CMD [\"sh\", \"-c\", \"echo $GREETING\"]",
    ];
    let import = [
        &["import"],
        &changes[..],
        &["--message", "from a file", archive, "imported:1"],
    ]
    .concat();
    let run = sandbox.hoist(&import).ok();
    assert!(run.text().starts_with("sha256:"), "{run}");
    sandbox
        .hoist(&["run", "--rm", "imported:1"])
        .ok()
        .stdout_is("hello");
    sandbox
        .hoist(&["history", "imported:1"])
        .ok()
        .prints("from a file");
    assert_eq!(
        sandbox.inspect("imported:1", "{{.Config.Env}}"),
        "[GREETING=hello]"
    );
}

#[test]
fn import_reads_standard_input_and_refuses_what_is_no_archive() {
    let sandbox = Sandbox::with(&[]);
    sandbox
        .hoist_with_input(&["import", "-", "bad:1"], "this is no tar archive")
        .fails(1);
    sandbox
        .hoist(&["import", "/nonexistent.tar", "bad:1"])
        .fails(1)
        .says("/nonexistent.tar");
    sandbox.hoist(&["images", "-aq"]).ok().stdout_is("");
}

#[test]
fn inspect_and_history_tell_what_an_image_is() {
    let sandbox = Sandbox::new();
    let text = sandbox.hoist(&["inspect", "busybox"]).ok().stdout;
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let image = &document[0];
    assert_eq!(image["RepoTags"][0], "busybox:latest");
    assert_eq!(image["Config"]["Cmd"][0], "sh");
    assert_eq!(image["Os"], "linux");
    assert_eq!(image["RootFS"]["Layers"].as_array().map(Vec::len), Some(1));
    assert!(
        image["Config"]["Labels"]["org.hoist.stand-in"].is_string(),
        "{text}"
    );
    let history = sandbox.hoist(&["history", "busybox"]).ok();
    history
        .prints("IMAGE")
        .prints("CREATED BY")
        .prints("SIZE")
        .prints("COMMENT");
}

#[test]
fn info_and_version() {
    let sandbox = Sandbox::new();
    let version = sandbox.hoist(&["--version"]).ok();
    assert!(
        version.text().contains(env!("CARGO_PKG_VERSION")),
        "{version}"
    );
    sandbox
        .hoist(&["version"])
        .ok()
        .prints(env!("CARGO_PKG_VERSION"));
    let info = sandbox.hoist(&["info"]).ok();
    info.prints(sandbox.root().to_str().expect("a path"));
    sandbox
        .hoist(&["info", "--format", "{{.Images}}"])
        .ok()
        .stdout_is("1");
}

#[test]
fn an_empty_store_answers_everything() {
    let sandbox = Sandbox::with(&[]);
    sandbox.hoist(&["images", "-q"]).ok().stdout_is("");
    sandbox.hoist(&["ps", "-aq"]).ok().stdout_is("");
    sandbox.hoist(&["system", "df"]).ok();
    sandbox.hoist(&["system", "prune", "-f"]).ok();
    sandbox.hoist(&["inspect", "x"]).fails(1).says("x");
}
