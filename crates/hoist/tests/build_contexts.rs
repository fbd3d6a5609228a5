//! `hoist build` and what it reads: standard input, named contexts, hosts and limits.

use std::process::{Command, Stdio};

use crate::support::Sandbox;

#[test]
fn standard_input_is_a_dockerfile_or_the_whole_context() {
    let sandbox = Sandbox::new();
    let dockerfile = "FROM busybox\nCMD echo from stdin\n";
    sandbox
        .hoist_with_input(&["build", "-t", "one", "-"], dockerfile)
        .ok();
    sandbox
        .hoist(&["run", "--rm", "one"])
        .ok()
        .stdout_is("from stdin");

    sandbox.file(
        "context/Containerfile",
        "FROM busybox\nCOPY data /\nCMD cat /data\n",
    );
    sandbox.file("context/data", "packed\n");
    let mut tar = Command::new("tar")
        .args(["-czf", "-", "-C"])
        .arg(sandbox.path("context"))
        .arg(".")
        .stdout(Stdio::piped())
        .spawn()
        .expect("tar runs");
    let output = tar.stdout.take().expect("the output of tar");
    let status = sandbox
        .command(&["build", "-t", "two", "-"])
        .stdin(output)
        .status()
        .expect("hoist runs");
    assert!(status.success() && tar.wait().expect("tar ends").success());
    sandbox
        .hoist(&["run", "--rm", "two"])
        .ok()
        .stdout_is("packed");
    sandbox
        .hoist(&["build", "-f", "-", "-"])
        .fails(1)
        .says("can't use stdin for both build context and dockerfile");
}

#[test]
fn flags_reach_the_build() {
    let sandbox = Sandbox::new();
    sandbox.file("other/data", "named");
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox\nCOPY --from=other data /data\n\
         RUN grep -q '10.9.8.7.db' /etc/hosts && test $(ulimit -n) = 64\nCMD cat /data\n",
    );
    let context = sandbox.path("context");
    let other = format!("other={}", sandbox.path("other").display());
    let metadata = sandbox.path("metadata");
    let arguments = [
        "build",
        "-t",
        "one",
        "-t",
        "two:x",
        "--build-context",
        &other,
        "--add-host",
        "db:10.9.8.7",
        "--ulimit",
        "nofile=64",
        "--metadata-file",
        metadata.to_str().expect("a path"),
        context.to_str().expect("a path"),
    ];
    sandbox.hoist(&arguments).ok();
    sandbox
        .hoist(&["run", "--rm", "two:x"])
        .ok()
        .stdout_is("named");
    let id = sandbox.inspect("one", "{{.Id}}");
    let text = std::fs::read_to_string(metadata).expect("metadata");
    let metadata: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(metadata["containerimage.config.digest"], id.as_str());
    assert_eq!(
        metadata["image.name"],
        "docker.io/library/one:latest,docker.io/library/two:x"
    );
}
