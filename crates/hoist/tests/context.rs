//! `hoist context ls` and `context why`.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::support::Sandbox;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with(&[]);
    sandbox.file("c/main.py", "12");
    sandbox.file("c/.git/HEAD", "1");
    sandbox.file("c/docs/x.md", "1");
    sandbox.file("c/docs/keep.md", "123");
    sandbox.file("c/.dockerignore", "# no\n.git\ndocs\n!docs/keep.md\n");
    sandbox
}

#[test]
fn what_a_build_could_read_is_listed() {
    let sandbox = sandbox();
    let run = sandbox.hoist(&["context", "ls", "c"]).ok();
    run.stdout_is("29B  .dockerignore\n 3B  docs/keep.md\n 2B  main.py")
        .says("3 files, 34B of c; the largest: .dockerignore 29B, docs/keep.md 3B, main.py 2B")
        .says("c/.dockerignore leaves out 2 files, 2B");
    sandbox
        .hoist(&["context", "ls", "--ignored", "c"])
        .ok()
        .stdout_is(
            "1B  .git/  (c/.dockerignore:2: .git)\n1B  docs/x.md  (c/.dockerignore:3: docs)",
        );
    let run = sandbox
        .hoist(&[
            "context",
            "ls",
            "--format",
            "json",
            "--build-context",
            "more=c/docs",
            "c",
        ])
        .ok();
    let told: serde_json::Value = serde_json::from_str(run.text()).expect("JSON");
    assert_eq!(told[0]["bytes"], 34);
    assert_eq!(told[0]["ignored"][0]["pattern"], ".git");
    assert_eq!(told[1]["name"], "more");
    assert_eq!(told[1]["files"].as_array().map(Vec::len), Some(2));
    // An ignore file beside the Dockerfile goes before the context's own.
    sandbox.file("other/Containerfile", "FROM scratch\n");
    sandbox.file("other/Containerfile.dockerignore", "*\n!main.py\n");
    sandbox
        .hoist(&["context", "ls", "-q", "-f", "other/Containerfile", "c"])
        .ok()
        .stdout_is("main.py");
    sandbox
        .hoist(&["context", "ls", "none"])
        .fails(1)
        .says("none");
}

#[test]
fn the_line_that_decides_is_named() {
    let sandbox = sandbox();
    let why = |path: &str| {
        let run = sandbox
            .hoist(&["context", "why", "--context", "c", path])
            .ok();
        run.text().to_owned()
    };
    assert_eq!(
        why("main.py"),
        "main.py: included: no line of c/.dockerignore is about it"
    );
    assert_eq!(
        why(".git/HEAD"),
        ".git/HEAD: left out by c/.dockerignore:2: .git, which matches the directory .git"
    );
    assert_eq!(
        why("./docs/keep.md"),
        "./docs/keep.md: included by c/.dockerignore:4: !docs/keep.md, which takes back what \
         c/.dockerignore:3: docs leaves out"
    );
    assert_eq!(
        why("docs/none"),
        "docs/none: left out by c/.dockerignore:3: docs, which matches the directory docs (there is no such file)"
    );
    let real = sandbox.path("c/docs");
    assert!(why(real.to_str().expect("a path")).contains("left out by c/.dockerignore:3: docs"));
    sandbox
        .hoist(&["context", "why", "--context", "c", "../x"])
        .fails(1)
        .says("../x does not lie in the context c");
    let json = sandbox
        .hoist(&[
            "context",
            "why",
            "--context",
            "c",
            "--format",
            "json",
            "docs/x.md",
        ])
        .ok();
    let told: serde_json::Value = serde_json::from_str(json.text()).expect("JSON");
    assert_eq!(told[0]["ignored"], true);
    assert_eq!(told[0]["decided_by"]["line"], 3);
    assert_eq!(told[0]["through"], "docs");
    std::fs::remove_file(sandbox.path("c/.dockerignore")).expect("the file");
    assert_eq!(
        why("docs/x.md"),
        "docs/x.md: included: there is no .dockerignore"
    );
}

#[test]
fn contexts_that_are_daemons_are_none() {
    let sandbox = sandbox();
    let as_docker = |arguments: &[&str]| {
        let mut command: Command = sandbox.command(arguments);
        let output = command.arg0("docker").output().expect("hoist runs");
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(as_docker(&["context", "ls", "-q"]), "default\n");
    assert!(as_docker(&["context", "ls"]).contains("default *   This machine, without a daemon"));
    for verb in ["use", "show", "inspect", "create"] {
        sandbox
            .hoist(&["context", verb])
            .fails(1)
            .says("is about daemons, and there is none");
    }
}
