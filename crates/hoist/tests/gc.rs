//! What goes and what stays: `prune` with its filters and reasons, `system gc` and its policy.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::support::Sandbox;

/// Builds an image with one layer of its own.
fn build(sandbox: &Sandbox, name: &str, label: &str) -> String {
    fs::create_dir_all(sandbox.path("context")).expect("a directory");
    let dockerfile = format!("FROM busybox\nRUN echo {name} > /name\nLABEL {label}\n");
    sandbox.file("context/Dockerfile", &dockerfile);
    sandbox
        .hoist(&["build", "-q", "-t", name, "context"])
        .ok()
        .text()
        .to_owned()
}

/// Lets an image look as if it was last used so many days ago.
fn unused_for(sandbox: &Sandbox, id: &str, days: u64) {
    let hex = id.strip_prefix("sha256:").expect("a whole id");
    let record = sandbox.root().join(format!("images/{hex}.json"));
    let time = SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60);
    let file = fs::File::open(record).expect("a record");
    file.set_modified(time).expect("a time");
}

/// The names of all images.
fn images(sandbox: &Sandbox) -> String {
    let listed = sandbox
        .hoist(&["images", "--format", "{{.Repository}}:{{.Tag}}"])
        .ok();
    let mut names: Vec<&str> = listed.stdout.lines().collect();
    names.sort_unstable();
    names.join(" ")
}

/// The line of a plan about `what`.
fn line<'a>(plan: &'a str, what: &str) -> &'a str {
    plan.lines()
        .find(|line| line.contains(what))
        .unwrap_or_default()
}

#[test]
fn a_dry_run_says_why_and_removes_nothing() {
    let sandbox = Sandbox::new();
    build(&sandbox, "app:1", "keep=yes");
    build(&sandbox, "app:2", "keep=no");
    sandbox
        .hoist(&["create", "--name", "box", "app:1", "sh"])
        .ok();
    let old = sandbox.inspect("app:2", "{{.Id}}");
    build(&sandbox, "app:2", "keep=other");
    let plan = sandbox
        .hoist(&["image", "prune", "--all", "--dry-run"])
        .ok()
        .stdout;
    assert!(
        line(&plan, "app:1").ends_with("stopped container box uses it"),
        "{plan}"
    );
    assert!(
        line(&plan, "busybox").ends_with("no container uses it"),
        "{plan}"
    );
    assert!(
        line(&plan, &old[7..19]).ends_with("it has no name and no container"),
        "{plan}"
    );
    assert!(plan.contains("Total reclaimable space: "), "{plan}");
    let plan = sandbox.hoist(&["image", "prune", "--dry-run"]).ok().stdout;
    assert!(line(&plan, "busybox").ends_with("it has a name"), "{plan}");
    let plan = sandbox
        .hoist(&["container", "prune", "--dry-run"])
        .ok()
        .stdout;
    assert!(line(&plan, "box").starts_with("goes"), "{plan}");
    let plan = sandbox
        .hoist(&["system", "prune", "--all", "--volumes", "--dry-run"])
        .ok()
        .stdout;
    assert!(
        line(&plan, "app:1").starts_with("goes"),
        "its container goes first: {plan}"
    );
    assert_eq!(images(&sandbox), "<none>:<none> app:1 app:2 busybox:latest");
    sandbox
        .hoist(&["image", "prune", "-f"])
        .ok()
        .prints(&format!("deleted: {old}"));
    assert_eq!(images(&sandbox), "app:1 app:2 busybox:latest");
}

#[test]
fn filters_choose_what_goes() {
    let sandbox = Sandbox::new();
    build(&sandbox, "app:1", "team=red");
    build(&sandbox, "app:2", "team=blue");
    let prune = |filters: &[&str]| {
        let mut words = vec!["image", "prune", "-af"];
        for filter in filters {
            words.extend(["--filter", filter]);
        }
        sandbox.hoist(&words)
    };
    prune(&["until=1h"]).ok();
    prune(&["label=team=green"]).ok();
    prune(&["label!=team", "label=team"]).ok();
    assert_eq!(images(&sandbox), "app:1 app:2 busybox:latest");
    prune(&["label=team=red", "until=0s"])
        .ok()
        .prints("untagged: app:1");
    assert_eq!(images(&sandbox), "app:2 busybox:latest");
    prune(&["label!=team=blue"]).ok();
    assert_eq!(images(&sandbox), "app:2");
    prune(&["until=1h", "until=2h"])
        .fails(1)
        .says("more than one until filter specified");
    prune(&["until=yesterday"]).fails(1).says("yesterday");
    prune(&["colour=red"])
        .fails(1)
        .says("invalid filter 'colour'");
    sandbox
        .hoist(&["create", "--name", "old", "-l", "x=1", "app:2", "sh"])
        .ok();
    sandbox
        .hoist(&["container", "prune", "-f", "--filter", "until=1h"])
        .ok();
    sandbox
        .hoist(&["container", "prune", "-f", "--filter", "label!=x"])
        .ok();
    sandbox.hoist(&["ps", "-aq"]).ok().prints("\n");
    sandbox
        .hoist(&["container", "prune", "-f", "--filter", "label=x=1"])
        .ok();
    sandbox.hoist(&["ps", "-aq"]).ok().stdout_is("");
    sandbox
        .hoist(&["images", "--filter", "until=1h", "-q"])
        .ok()
        .stdout_is("");
    sandbox
        .hoist(&["images", "--filter", "until=0s", "-q"])
        .ok()
        .prints("\n");
}

#[test]
fn a_container_keeps_its_layers_when_its_image_is_forced_away() {
    let sandbox = Sandbox::new();
    build(&sandbox, "app:1", "x=1");
    sandbox
        .hoist(&["create", "--name", "box", "app:1", "cat", "/name"])
        .ok();
    sandbox
        .hoist(&["rmi", "-f", "app:1"])
        .ok()
        .prints("Untagged: app:1")
        .prints("Deleted: sha256:");
    sandbox.hoist(&["image", "prune", "-af"]).ok();
    sandbox.hoist(&["builder", "prune", "-af"]).ok();
    sandbox
        .hoist(&["start", "-a", "box"])
        .ok()
        .stdout_is("app:1");
    sandbox.hoist(&["system", "check"]).ok();
}

#[test]
fn images_go_by_age_and_size_with_exceptions() {
    let sandbox = Sandbox::new();
    let old = build(&sandbox, "app:old", "x=1");
    let kept = build(&sandbox, "keep/app:1", "x=2");
    let used = build(&sandbox, "app:used", "x=3");
    sandbox
        .hoist(&["create", "--name", "box", "app:used", "sh"])
        .ok();
    for id in [&old, &kept, &used] {
        unused_for(&sandbox, id, 40);
    }
    let gc = |more: &[&str]| sandbox.hoist(&[&["system", "gc"], more].concat());
    gc(&[]).ok().stdout_is("Total reclaimed space: 0B");
    let flags = ["--max-age", "30d", "--keep", "keep/*"];
    let plan = gc(&[&["--dry-run"], flags.as_slice()].concat()).ok().stdout;
    assert!(line(&plan, "app:old").contains("(limit 4 weeks)"), "{plan}");
    assert!(
        line(&plan, "keep/app").ends_with("the policy keeps keep/*"),
        "{plan}"
    );
    assert!(
        line(&plan, "app:used").ends_with("stopped container box uses it"),
        "{plan}"
    );
    assert!(line(&plan, "busybox").starts_with("stays"), "{plan}");
    gc(&flags).ok().prints("Untagged: app:old");
    assert_eq!(images(&sandbox), "app:used busybox:latest keep/app:1");
    let json = gc(&["--dry-run", "--max-size", "1", "--format", "json"]).ok();
    let document: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    let goes = document["Items"].as_array().expect("a list").iter();
    let goes: Vec<_> = goes.filter(|item| item["Goes"] == true).collect();
    assert_eq!(goes.len(), 2, "all but the one in use: {json}");
    gc(&["--max-age", "soon"]).fails(125).says("soon");
}

#[test]
fn the_policy_of_the_root_is_followed_once_a_day() {
    let sandbox = Sandbox::new();
    let old = build(&sandbox, "app:old", "x=1");
    let nameless = build(&sandbox, "app:new", "x=2");
    build(&sandbox, "app:new", "x=3");
    for id in [&old, &nameless] {
        unused_for(&sandbox, id, 40);
    }
    let stamp = sandbox.root().join("cache/collected");
    assert!(stamp.exists(), "the first build has tidied up");
    let policy = sandbox.root().join("gc.json");
    fs::write(&policy, r#"{"maxAge": "30 days"}"#).expect("a policy");
    fs::remove_file(&stamp).expect("the stamp");
    let context = sandbox.path("context");
    let rebuild = ["build", "-t", "app:new", context.to_str().expect("a path")];
    sandbox
        .hoist(&rebuild)
        .ok()
        .says("the daily tidying was left out")
        .says("gc.json is no policy");
    sandbox
        .hoist(&["system", "gc"])
        .fails(1)
        .says("danglingMaxAge");
    assert_eq!(
        images(&sandbox),
        "<none>:<none> app:new app:old busybox:latest"
    );

    fs::write(&policy, r#"{"maxAge": "30d", "keep": ["app:old"]}"#).expect("a policy");
    fs::remove_file(&stamp).expect("the stamp");
    sandbox.hoist(&rebuild).ok();
    assert_eq!(images(&sandbox), "app:new app:old busybox:latest");
    fs::write(&policy, r#"{"maxAge": "30d"}"#).expect("a policy");
    sandbox.hoist(&rebuild).ok();
    assert_eq!(
        images(&sandbox),
        "app:new app:old busybox:latest",
        "not twice a day"
    );
    fs::remove_file(&stamp).expect("the stamp");
    sandbox.hoist(&rebuild).ok();
    assert_eq!(images(&sandbox), "app:new busybox:latest");
}

#[test]
fn a_tree_shows_platforms_and_use() {
    let sandbox = Sandbox::new();
    sandbox.hoist(&["create", "--name", "box", "busybox"]).ok();
    let tree = sandbox.hoist(&["images", "--tree"]).ok();
    tree.prints("DISK USAGE")
        .prints("busybox:latest")
        .prints("└─ linux/")
        .prints("U: in use");
    sandbox
        .hoist(&["images", "--tree", "-q"])
        .fails(1)
        .says("--quiet is not yet supported with --tree");
}
