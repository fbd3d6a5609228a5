//! `hoist check --fix`: base images get the digest that they have.

use std::fs;

use crate::support::Sandbox;
use crate::support::registry::{Registry, Users, skopeo};

#[test]
fn base_images_are_pinned_to_what_they_are() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(Users::Anybody);
    let (app, other) = (registry.name("app:1"), registry.name("other"));
    sandbox.file(
        "made/Dockerfile",
        "FROM busybox\nRUN echo app > /app\nUSER 1\n",
    );
    sandbox
        .hoist(&["build", "-q", "--push", "-t", &app, "-t", &other, "made"])
        .ok();
    sandbox.hoist(&["rmi", &other]).ok();
    let digest = |name: &str| {
        let place = format!("docker://{name}");
        skopeo(&[
            "inspect",
            "--tls-verify=false",
            "--format",
            "{{.Digest}}",
            &place,
        ])
        .trim()
        .to_owned()
    };
    let text = format!(
        "ARG V=1\nFROM {app} AS a\nFROM {other}\nCOPY --from=a /app /app\nFROM {}\n",
        registry.name("app:$V")
    );
    let path = sandbox.file("c/Dockerfile", &text);
    // One is known here, one the registry is asked for, one cannot be written.
    let run = sandbox.hoist(&["check", "--fix", "c"]).ok();
    run.prints(&format!("+FROM {app}@{} AS a\n", digest(&app)))
        .says(&format!(
            "{app} is not pinned to a digest: its name has variables"
        ));
    let fixed = fs::read_to_string(&path).expect("the file");
    let expected = text
        .replace(&format!("{app} AS"), &format!("{app}@{} AS", digest(&app)))
        .replace(
            &format!("{other}\n"),
            &format!("{other}@{}\n", digest(&other)),
        );
    assert_eq!(fixed, expected);
    // Clean from now on, and what is pinned is found here without the registry.
    sandbox
        .hoist(&["check", "--fix", "c"])
        .ok()
        .stdout_is("Check complete, no warnings found.");
    drop(registry);
    let build = ["build", "--target", "a", "c"];
    sandbox.hoist(&build).ok();
    // Nobody to ask: nothing is pinned, and that is said.
    let path = sandbox.file("c/Dockerfile", "FROM 127.0.0.1:1/x:1\nUSER 1\n");
    sandbox
        .hoist(&["check", "--fix", "c"])
        .ok()
        .says("127.0.0.1:1/x:1 is not pinned to a digest: ")
        .prints("no warnings found");
    let text = fs::read_to_string(path).expect("the file");
    assert_eq!(text, "FROM 127.0.0.1:1/x:1\nUSER 1\n");
}
