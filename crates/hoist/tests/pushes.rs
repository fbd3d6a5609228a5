//! What `push` sends, how, and what it does not send: secrets.

use serde_json::Value;

use crate::support::Sandbox;
use crate::support::registry::{Registry, Users, skopeo};

const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n\
    MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n";

/// Builds an image with a private key, which a later step removes, and a file of settings.
fn build_with_secrets(sandbox: &Sandbox, name: &str) {
    sandbox.file("app/id_rsa", KEY);
    sandbox.file("app/.env", "PASSWORD=x\n");
    sandbox.file(
        "app/Dockerfile",
        "FROM busybox\nCOPY id_rsa /root/.ssh/id_rsa\nCOPY .env /app/.env\nRUN rm /root/.ssh/id_rsa\n",
    );
    let allowed = ["/root/.ssh/id_rsa", "/app/.env"]
        .map(|path| ["--allow-secret-in-layer", path])
        .concat();
    sandbox
        .hoist(&[&["build", "-q", "-t", name], &allowed[..], &["app"]].concat())
        .ok();
}

#[test]
fn layers_with_secrets_stay_here_unless_they_may_go() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(Users::Anybody);
    let name = registry.name("app:1");
    build_with_secrets(&sandbox, &name);
    for _ in 0..2 {
        sandbox
            .hoist(&["push", &name])
            .fails(1)
            .says(&format!("{name} is not pushed"))
            .says("\n  /root/.ssh/id_rsa: a private key (layer ")
            .says("made by: COPY id_rsa /root/.ssh/id_rsa)")
            .says("\n  /app/.env: a file of settings and secrets (layer ")
            .says("hint: --allow-secrets pushes it as it is");
    }
    let list = registry.name("app:list");
    let local = format!("127.0.0.1:{}/app:2", crate::support::free_port());
    sandbox.hoist(&["tag", &name, &local]).ok();
    sandbox.hoist(&["manifest", "create", &list, &local]).ok();
    sandbox
        .hoist(&["manifest", "push", &list])
        .fails(1)
        .says("/app/.env");
    sandbox.hoist(&["push", "--allow-secrets", &name]).ok();
    sandbox
        .hoist(&["manifest", "push", "--allow-secrets", &list])
        .ok();
    // What was pulled is somebody else's, and goes on as it came.
    sandbox.hoist(&["manifest", "rm", &list]).ok();
    sandbox.hoist(&["system", "prune", "-af"]).ok();
    sandbox.hoist(&["pull", &name]).ok();
    let other = registry.name("other:1");
    sandbox.hoist(&["tag", &name, &other]).ok();
    sandbox.hoist(&["push", &other]).ok();
}

#[test]
fn a_layer_is_looked_through_once() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(Users::Anybody);
    let name = registry.name("app:1");
    sandbox.file("app/Dockerfile", "FROM busybox\nRUN echo x > /x\n");
    sandbox.hoist(&["build", "-q", "-t", &name, "app"]).ok();
    sandbox.hoist(&["push", &name]).ok();
    let mut notes = Vec::new();
    for layer in std::fs::read_dir(sandbox.root().join("layers")).expect("layers") {
        notes.push(layer.expect("a layer").path().join("secrets.json"));
    }
    assert_eq!(notes.len(), 2);
    // Whatever was noted is believed; what cannot be read is found out again.
    let found = r#"{"rules":1,"found":[{"path":"/noted","what":"a private key"}]}"#;
    std::fs::write(&notes[0], found).expect("a note");
    sandbox.hoist(&["push", &name]).fails(1).says("/noted");
    std::fs::write(&notes[0], "{").expect("a note");
    sandbox.hoist(&["push", &name]).ok();
    let old = found.replace(":1,", ":0,");
    std::fs::write(&notes[0], old).expect("a note");
    sandbox.hoist(&["push", &name]).ok();
}

#[test]
fn every_tag_and_one_platform() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(Users::Anybody);
    let repository = registry.name("app");
    for tag in ["1", "2"] {
        let name = format!("{repository}:{tag}");
        sandbox.hoist(&["tag", "busybox", &name]).ok();
    }
    let push = sandbox.hoist(&["push", "-q", "-a", &repository]).ok();
    push.stdout_is(&format!("{repository}:1\n{repository}:2"));
    let one = format!("{repository}:1");
    sandbox
        .hoist(&["push", "-a", &one])
        .fails(1)
        .says("tag can't be used with --all-tags/-a");
    sandbox
        .hoist(&["push", "--platform", "linux/s390x", &one])
        .fails(1)
        .says(&format!(
            "image with reference {one} was found but does not provide the specified platform (linux/s390x)"
        ));
    let here = hoist_core::Platform::host().to_string();
    sandbox
        .hoist(&["push", "--platform", &here, "--disable-content-trust", &one])
        .ok();
    sandbox.hoist(&["rmi", "-f", "busybox"]).ok();
    sandbox.hoist(&["system", "prune", "-af"]).ok();
    let words = [
        "pull",
        "-q",
        "-a",
        "--disable-content-trust=false",
        &repository,
    ];
    let pull = sandbox.hoist(&words).ok();
    let mut names: Vec<_> = pull.stdout.lines().collect();
    // In the registry's order, which has none.
    names.sort_unstable();
    assert_eq!(names, [one, format!("{repository}:2")]);
}

#[test]
fn a_compression_may_name_its_level() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(Users::Anybody);
    let name = registry.name("app:1");
    sandbox.hoist(&["tag", "busybox", &name]).ok();
    for (wish, kind) in [("zstd:7", "+zstd"), ("gzip:1", "+gzip")] {
        sandbox.hoist(&["push", "--compression", wish, &name]).ok();
        let place = format!("docker://{name}");
        let raw = skopeo(&["inspect", "--tls-verify=false", "--raw", &place]);
        let raw: Value = serde_json::from_str(&raw).expect("JSON");
        let found = raw["layers"][0]["mediaType"].as_str().expect("a type");
        assert!(found.ends_with(kind), "{found}");
    }
    for wish in ["zstd:20", "gzip:0", "gzip:", "lzma:1", "zstd:x"] {
        sandbox
            .hoist(&["push", "--compression", wish, &name])
            .fails(1)
            .says(&format!("no such compression: {wish}"));
    }
}
