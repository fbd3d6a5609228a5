//! Rows of the feature table of builds that are about the command line; the others are in
//! `crates/hoist-build/tests/builds/rows`. The name of a test begins with the number of its row.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::Sandbox;
use crate::support::registry::{Registry, Users, skopeo};

/// A sandbox with a small context at `c`.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("c/data", "x");
    sandbox.file(
        "c/Dockerfile",
        "FROM busybox\nCOPY data /app/data\nRUN echo made > /made\n",
    );
    sandbox
}

fn read_json(sandbox: &Sandbox, name: &str) -> Value {
    let bytes = fs::read(sandbox.path(name)).expect("a file");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[test]
fn row_69_files_about_the_image() {
    let sandbox = sandbox();
    sandbox
        .hoist(&[
            "build",
            "-q",
            "-t",
            "app:1",
            "--iidfile",
            "id",
            "--metadata-file",
            "m.json",
            "c",
        ])
        .ok();
    let id = fs::read_to_string(sandbox.path("id")).expect("the id");
    assert_eq!(id, sandbox.inspect("app:1", "{{.Id}}"));
    let metadata = read_json(&sandbox, "m.json");
    assert_eq!(metadata["containerimage.config.digest"], id.as_str());
    assert_eq!(metadata["image.name"], "docker.io/library/app:1");
}

#[test]
fn row_69_annotations_go_along_with_a_push() {
    let sandbox = sandbox();
    let registry = Registry::start(Users::Anybody);
    let name = registry.name("app:1");
    let raw = || {
        let text = skopeo(&[
            "inspect",
            "--raw",
            "--tls-verify=false",
            &format!("docker://{name}"),
        ]);
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    sandbox
        .hoist(&[
            "build",
            "-t",
            &name,
            "--annotation",
            "org.a=1",
            "--annotation",
            "manifest:org.b=2",
            "c",
        ])
        .ok();
    sandbox.hoist(&["push", &name]).ok();
    let annotations = raw()["annotations"].clone();
    assert_eq!(
        annotations,
        serde_json::json!({ "org.a": "1", "org.b": "2" })
    );
    // Built and pushed at once, with others: the same image, another manifest.
    let run = sandbox
        .hoist(&[
            "build",
            "--push",
            "-t",
            &name,
            "--annotation",
            "org.c=3",
            "--metadata-file",
            "m.json",
            "c",
        ])
        .ok();
    run.says(&format!("pushed {name}@sha256:"));
    assert_eq!(raw()["annotations"], serde_json::json!({ "org.c": "3" }));
    let digest = skopeo(&[
        "inspect",
        "--tls-verify=false",
        "--format",
        "{{.Digest}}",
        &format!("docker://{name}"),
    ]);
    assert_eq!(
        read_json(&sandbox, "m.json")["containerimage.digest"],
        digest.trim()
    );
    sandbox
        .hoist(&[
            "build",
            "--output",
            &format!("type=registry,name={name},compression=zstd"),
            "c",
        ])
        .ok();
    assert!(raw()["annotations"].is_null());
    let media_type = raw()["layers"][0]["mediaType"].clone();
    assert_eq!(media_type, "application/vnd.oci.image.layer.v1.tar+zstd");
    sandbox
        .hoist(&["build", "--push", "c"])
        .fails(1)
        .says("tag is needed when pushing to registry");
    sandbox
        .hoist(&["build", "--annotation", "index:a=b", "c"])
        .fails(1)
        .says("index annotations not supported for single platform export");
}

#[test]
fn row_71_keys_of_files() {
    let sandbox = sandbox();
    let key = sandbox.path("key");
    let keygen = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(
        keygen
            .expect("install it: apt-get install openssh-client")
            .success()
    );
    sandbox.file(
        "c/Dockerfile",
        "FROM busybox\nRUN --mount=type=ssh,required test -S $SSH_AUTH_SOCK\n",
    );
    sandbox.hoist(&["build", "--ssh", "default=key", "c"]).ok();
    sandbox
        .hoist(&["build", "--no-cache", "--ssh", "default=c/data", "c"])
        .fails(1)
        .says("cannot use the SSH key c/data: it is no private key");
    sandbox
        .hoist(&["build", "--ssh", "default", "c"])
        .fails(1)
        .says("SSH_AUTH_SOCK is not set");
}

#[test]
fn row_72_outputs() {
    let sandbox = sandbox();
    let build = |output: &str| sandbox.hoist(&["build", "-t", "app:1", "-o", output, "c"]);
    build("type=local,dest=out").ok();
    assert_eq!(
        fs::read_to_string(sandbox.path("out/app/data")).expect("a file"),
        "x"
    );
    // What was there stays, or goes.
    fs::write(sandbox.path("out/mine"), "").expect("a file");
    fs::create_dir_all(sandbox.path("out/old/deep")).expect("directories");
    build("type=local,dest=out").ok();
    assert!(sandbox.path("out/mine").exists());
    build("type=local,dest=out,mode=delete").ok();
    assert!(!sandbox.path("out/mine").exists() && !sandbox.path("out/old").exists());
    assert!(sandbox.path("out/app/data").exists());
    build("type=local,dest=/,mode=delete")
        .fails(1)
        .says("dest is its root");
    build("type=local,dest=split,platform-split=true").ok();
    let split = fs::read_dir(sandbox.path("split")).expect("a directory");
    let names: Vec<_> = split
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert!(
        names.len() == 1 && names[0].to_string_lossy().starts_with("linux_"),
        "{names:?}"
    );

    build("type=tar,dest=files.tar").ok();
    build("type=docker,dest=docker.tar").ok();
    build("type=oci,tar=false,dest=layout").ok();
    let config = |place: &str| {
        skopeo(&[
            "inspect",
            "--config",
            "--format",
            "{{.Architecture}}",
            place,
        ])
    };
    let at = |name: &str| sandbox.path(name).display().to_string();
    for place in [
        format!("docker-archive:{}", at("docker.tar")),
        format!("oci:{}:1", at("layout")),
    ] {
        assert!(!config(&place).is_empty(), "{place}");
    }
    // The same again, and another name: what is there is used.
    build("type=oci,tar=false,dest=layout").ok();
    let index = read_json(&sandbox, "layout/index.json");
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(1));
    // An archive on standard output, for who reads on.
    let output = sandbox
        .command(&["build", "-q", "--output", "type=oci,dest=-", "c"])
        .output()
        .expect("hoist runs");
    assert!(output.status.success() && output.stdout.len() > 10_000);
    build("type=cacheonly").ok();
    sandbox.hoist(&["inspect", "app:1"]).fails(1);
    build("type=image,name=other:2").ok();
    sandbox.hoist(&["inspect", "app:1", "other:2"]).ok();
}

#[test]
fn row_73_compression_of_layers() {
    let sandbox = sandbox();
    for (compression, suffix) in [("uncompressed", ""), ("gzip", "+gzip"), ("zstd", "+zstd")] {
        let output = format!(
            "type=oci,dest={compression},tar=false,compression={compression},annotation.org.x=y,annotation-index.i=1,annotation-manifest-descriptor.d=2"
        );
        sandbox.hoist(&["build", "--output", &output, "c"]).ok();
        let index = read_json(&sandbox, &format!("{compression}/index.json"));
        assert_eq!(index["annotations"]["i"], "1");
        assert_eq!(index["manifests"][0]["annotations"]["d"], "2");
        let digest = index["manifests"][0]["digest"].as_str().expect("a digest");
        let hex = digest.strip_prefix("sha256:").expect("a digest");
        let manifest = read_json(&sandbox, &format!("{compression}/blobs/sha256/{hex}"));
        assert_eq!(manifest["annotations"]["org.x"], "y");
        for layer in manifest["layers"].as_array().expect("layers") {
            let media_type = format!("application/vnd.oci.image.layer.v1.tar{suffix}");
            assert_eq!(layer["mediaType"], media_type.as_str());
        }
        skopeo(&[
            "copy",
            &format!("oci:{}", sandbox.path(compression).display()),
            &format!("dir:{}", sandbox.path("copied").display()),
        ]);
    }
    sandbox
        .hoist(&[
            "build",
            "--output",
            "type=oci,dest=x,compression=estargz",
            "c",
        ])
        .fails(125)
        .says("no such compression: estargz");
}

#[test]
fn row_85_progress() {
    let sandbox = sandbox();
    let run = sandbox
        .hoist(&["build", "--progress", "plain", "-t", "app", "c"])
        .ok();
    run.says("#1 [internal] load build definition from Dockerfile\n#1 reading ")
        .says("#2 [internal] load metadata for docker.io/library/busybox:latest\n#2 DONE ")
        .says("#3 [internal] load .dockerignore\n#3 DONE ")
        .says("#4 [internal] load build context\n#4 reading 1 files, 1B done\n")
        .says("#5 [1/3] FROM docker.io/library/busybox:latest\n#5 CACHED\n")
        .says("#6 [2/3] COPY data /app/data\n")
        .says("#7 [3/3] RUN echo made > /made\n")
        .says("#8 exporting to image\n")
        .says("#8 naming to app:latest done\n");
    sandbox
        .hoist(&["build", "--progress", "rawjson", "c"])
        .ok()
        .says("{\"event\":\"step_cached\",\"index\":1}");
    let quiet = sandbox.hoist(&["build", "-q", "c"]).ok();
    assert!(quiet.text().starts_with("sha256:") && quiet.stderr.is_empty());
    sandbox.file("c/Dockerfile", "FROM busybox\nRUN echo before; false\n");
    sandbox
        .hoist(&["build", "c"])
        .fails(1)
        .says("Dockerfile:2")
        .says(">>> RUN echo before; false")
        .says("did not complete successfully: exit code: 1");
}

#[test]
fn row_88_ordinary_users_build() {
    let sandbox = Sandbox::of_user(&["busybox:latest"]);
    sandbox.file("c/data", "x");
    sandbox.file(
        "c/Dockerfile",
        "FROM busybox\nCOPY --chown=1000:1000 data /d\nRUN --network=none test $(stat -c %u /d) = 1000 && id -u > /id\nCMD cat /id\n",
    );
    sandbox.hoist(&["build", "-t", "app", "c"]).ok();
    sandbox
        .hoist(&["run", "--rm", "--network", "none", "app"])
        .ok()
        .stdout_is("0");
    let step = "FROM busybox\nRUN --security=insecure --network=none mkdir /m && mount -t tmpfs x /m && umount /m && grep -q Seccomp:.0 /proc/self/status\n";
    sandbox.file("c/Dockerfile", step);
    sandbox
        .hoist(&["build", "c"])
        .fails(1)
        .says("build with --allow security.insecure to allow it");
    sandbox
        .hoist(&["build", "--allow", "security.insecure", "c"])
        .ok();
}
