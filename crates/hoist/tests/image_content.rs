//! What is in images: `image layers`, `image diff`, `image mount`, `diff`, mounts of images.

use std::fs;
use std::process::Command;

use crate::support::Sandbox;

const FIRST: &str = "FROM busybox\n\
    RUN dd if=/dev/zero of=/big bs=1k count=100 2>/dev/null && echo one > /etc/a && mkdir /d && echo x > /d/x\n\
    RUN rm /big && chmod 600 /etc/a && rm -r /d && mkdir /d && echo y > /d/y\n\
    LABEL version=1\n";

fn build(sandbox: &Sandbox, name: &str, dockerfile: &str) {
    fs::create_dir_all(sandbox.path("context")).expect("a directory");
    sandbox.file("context/Dockerfile", dockerfile);
    sandbox.hoist(&["build", "-q", "-t", name, "context"]).ok();
}

#[test]
fn layers_say_what_each_brings_and_what_is_wasted() {
    let sandbox = Sandbox::new();
    build(&sandbox, "app:1", FIRST);
    let run = sandbox.hoist(&["image", "layers", "app:1"]).ok();
    let rows: Vec<&str> = run.stdout.lines().collect();
    assert!(
        rows[0].starts_with("LAYER   ") || rows[0].starts_with("LAYER  "),
        "{run}"
    );
    assert!(
        rows[2].contains("4 (102kB)") && rows[2].contains("102kB"),
        "{run}"
    );
    assert!(rows[3].contains("2 (102kB)"), "what it deletes: {run}");
    run.prints("wasted: efficiency").prints("/big the most");
    let listed = sandbox.hoist(&["image", "layers", "--files", "app:1"]).ok();
    listed
        .prints("  A /big  102kB\n")
        .prints("  D /big  102kB\n")
        .prints("  C /etc/a  4B\n")
        .prints("  D /d/x  2B\n")
        .prints("  A /d/y  2B\n");
    let json = sandbox
        .hoist(&["image", "layers", "--format", "json", "app:1"])
        .ok();
    let document: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(
        document["Layers"].as_array().map(Vec::len),
        Some(3),
        "{json}"
    );
    assert_eq!(document["Layers"][1]["Wasted"], 102_406, "{json}");
    assert_eq!(document["Waste"][0]["Example"], "/big", "{json}");
    sandbox
        .hoist(&["image", "layers", "missing"])
        .fails(1)
        .says("No such image");
}

#[test]
fn images_and_containers_are_compared() {
    let sandbox = Sandbox::new();
    build(&sandbox, "app:1", FIRST);
    let second = FIRST
        .replace("echo one", "echo two")
        .replace("version=1", "version=2")
        + "RUN chown 5:6 /d/y && ln -s a /etc/link\nCMD [\"sh\"]\n";
    build(&sandbox, "app:2", &second);
    let run = sandbox.hoist(&["image", "diff", "app:1", "app:2"]).ok();
    run.prints("  Labels version: 1 -> 2\n")
        .prints("  C /etc/a  content\n")
        .prints("  C /d/y  owner 0:0 -> 5:6\n")
        .prints("  A /etc/link  0B\n")
        .prints("1 added (0B), 2 changed, 0 deleted (0B)");
    sandbox
        .hoist(&["image", "diff", "app:2", "app:1"])
        .ok()
        .prints("  D /etc/link");
    sandbox
        .hoist(&["image", "diff", "app:1", "app:1"])
        .ok()
        .stdout_is("No differences");
    let json = sandbox
        .hoist(&["image", "diff", "--format", "json", "busybox", "app:1"])
        .ok();
    let document: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    let paths: Vec<&str> = document["Files"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|file| file["Path"].as_str())
        .collect();
    assert_eq!(paths, ["/d", "/d/y", "/etc/a"], "{json}");
    let script = "echo more >> /etc/a; rm /d/y; mkdir /new";
    sandbox
        .hoist(&["run", "--name", "box", "app:1", "sh", "-c", script])
        .ok();
    sandbox
        .hoist(&["diff", "box"])
        .ok()
        .stdout_is("C /d\nD /d/y\nC /etc\nC /etc/a\nA /new");
    sandbox
        .hoist(&["image", "diff", "app:1", "box"])
        .ok()
        .prints("  C /etc/a  content (4B -> 9B)\n")
        .prints("  D /d/y  2B\n")
        .prints("  A /new  0B\n");
    sandbox
        .hoist(&["image", "diff", "app:1", "nothing"])
        .fails(1)
        .says("No such image: nothing");
    sandbox
        .hoist(&["diff", "nothing"])
        .fails(1)
        .says("No such container: nothing");
}

#[test]
fn an_image_is_mounted_and_kept_as_long() {
    let sandbox = Sandbox::new();
    build(&sandbox, "app:1", FIRST);
    let place = sandbox.hoist(&["image", "mount", "app:1"]).ok();
    let place = place.text().to_owned();
    assert_eq!(
        fs::read_to_string(format!("{place}/etc/a")).expect("a file"),
        "one\n"
    );
    assert!(
        fs::write(format!("{place}/x"), "").is_err(),
        "it is read-only"
    );
    sandbox
        .hoist(&["image", "mount", "app:1"])
        .ok()
        .stdout_is(&place);
    sandbox
        .hoist(&["image", "mount"])
        .ok()
        .stdout_is(&format!("app:1 {place}"));
    let id = sandbox.inspect("app:1", "{{.Id}}");
    sandbox
        .hoist(&["rmi", "-f", &id])
        .fails(1)
        .says("image is being used by the mount at");
    sandbox.hoist(&["image", "prune", "-af"]).ok();
    assert!(
        fs::metadata(format!("{place}/etc/a")).is_ok(),
        "it is there"
    );

    fs::create_dir(sandbox.path("a place")).expect("a directory");
    sandbox.hoist(&["image", "mount", "app:1", "a place"]).ok();
    let listed = sandbox.hoist(&["image", "mount"]).ok();
    assert_eq!(listed.stdout.lines().count(), 2, "{listed}");
    let target = sandbox.path("a place").display().to_string();
    sandbox
        .hoist(&["image", "unmount", "a place"])
        .ok()
        .stdout_is(&target);
    sandbox
        .hoist(&["image", "umount", "app:1"])
        .ok()
        .stdout_is(&place);
    sandbox
        .hoist(&["image", "unmount", "app:1"])
        .fails(1)
        .says("is not mounted");
    sandbox
        .hoist(&["image", "mount", "missing"])
        .fails(1)
        .says("No such image");
    sandbox
        .hoist(&["image", "mount", "app:1", "nowhere"])
        .fails(1)
        .says("nowhere");
    sandbox
        .hoist(&["image", "unmount"])
        .fails(1)
        .says("an image or a directory is needed");
    sandbox.hoist(&["rmi", "app:1"]).ok();
}

#[test]
fn a_container_mounts_an_image() {
    let sandbox = Sandbox::new();
    build(
        &sandbox,
        "data:1",
        "FROM scratch\nCOPY Dockerfile /one/two/file\nCOPY Dockerfile /one/two/other\n",
    );
    let mount = |options: &str| format!("type=image,source=data:1,target=/data{options}");
    let run = |options: &str, script: &str| {
        let mount = mount(options);
        sandbox.hoist(&[
            "run", "--rm", "--mount", &mount, "busybox", "sh", "-c", script,
        ])
    };
    run("", "ls /data/one/two; touch /data/x")
        .fails(1)
        .prints("file\nother\n")
        .says("Read-only file system");
    run(",image-subpath=one/two", "ls /data")
        .ok()
        .stdout_is("file\nother");
    run(",image-subpath=one/three", "ls /data")
        .fails(125)
        .says("no directory /one/three");
    run(",image-subpath=one/two/file", "ls /data")
        .fails(125)
        .says("no directory");
    sandbox
        .hoist(&[
            "run",
            "--rm",
            "--mount",
            "type=image,source=none:1,target=/x",
            "busybox",
            "true",
        ])
        .fails(125)
        .says("No such image: none:1");
    let of_container = [
        "create",
        "--name",
        "box",
        "--mount",
        &mount(""),
        "busybox",
        "sh",
    ];
    sandbox.hoist(&of_container).ok();
    sandbox
        .hoist(&["rmi", "data:1"])
        .fails(1)
        .says("container box");
    sandbox.hoist(&["image", "prune", "-af"]).ok();
    sandbox.hoist(&["images", "-q", "data:1"]).ok().prints("\n");
    assert_eq!(
        sandbox.inspect("box", "{{(index .Mounts 0).Type}}"),
        "image"
    );
}

#[test]
fn an_ordinary_user_looks_into_images_too() {
    let sandbox = Sandbox::of_user(&["busybox:latest"]);
    let script = [
        "run",
        "--name",
        "box",
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        "echo 1 > /new; rm /etc/passwd",
    ];
    sandbox.hoist(&script).ok();
    sandbox
        .hoist(&["diff", "box"])
        .ok()
        .stdout_is("C /etc\nD /etc/passwd\nA /new");
    sandbox
        .hoist(&["image", "diff", "busybox", "box"])
        .ok()
        .prints("  A /new  2B\n");
    sandbox
        .hoist(&["image", "layers", "busybox"])
        .ok()
        .prints("in 1 layer");
    sandbox.hoist(&["export", "-o", "box.tar", "box"]).ok();
    let listed = Command::new("tar")
        .arg("tf")
        .arg(sandbox.path("box.tar"))
        .output();
    let listed = String::from_utf8(listed.expect("tar").stdout).expect("text");
    assert!(listed.lines().any(|line| line == "new"), "{listed}");
    assert!(!listed.contains("etc/passwd"), "{listed}");
    sandbox
        .hoist(&["image", "mount", "busybox"])
        .fails(1)
        .says("only root can mount an image")
        .says("hoist export");
    let mount = "type=image,source=busybox,target=/m,image-subpath=bin";
    sandbox
        .hoist(&[
            "run",
            "--rm",
            "--network",
            "none",
            "--mount",
            mount,
            "busybox",
            "ls",
            "/m/sh",
        ])
        .ok()
        .stdout_is("/m/sh");
    sandbox
        .hoist(&["system", "check"])
        .ok()
        .prints("everything is as it should be");
    sandbox
        .hoist(&["system", "check", "--quick"])
        .ok()
        .prints("nothing is missing");
}
