//! The tutorial's examples (`examples/article`), each doing what `examples/README.md` says of it.

use std::path::{Path, PathBuf};

use crate::support::{Run, Sandbox, free_port, http_get, wait_until};

fn sandbox() -> Sandbox {
    Sandbox::with(&["python:3.11-slim"])
}

fn build(sandbox: &Sandbox, example: &str) -> Run {
    build_with(sandbox, example, &[])
}

fn build_with(sandbox: &Sandbox, example: &str, flags: &[&str]) -> Run {
    let context = directory(example);
    let context = context.to_str().expect("a path");
    sandbox.hoist(&[&["build", "-t", "my-api:1.0"], flags, &[context]].concat())
}

fn directory(example: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(example)
}

/// The files of an example as the context of a sandbox, to be changed; its path.
fn copied(sandbox: &Sandbox, example: &str) -> String {
    let directory = directory(example);
    for entry in std::fs::read_dir(&directory).expect("an example") {
        let name = entry.expect("a file").file_name();
        let text = std::fs::read_to_string(directory.join(&name)).expect("text");
        let name = name.to_str().expect("a name");
        sandbox.file(&format!("context/{name}"), &text);
    }
    sandbox.path("context").display().to_string()
}

/// Runs the built image with flags; the port it is published on.
fn start(sandbox: &Sandbox, flags: &[&str]) -> u16 {
    let port = free_port();
    let publish = format!("{port}:8000");
    let run = [
        &["run", "-d", "--name", "api", "-p", &publish],
        flags,
        &["my-api:1.0"],
    ]
    .concat();
    sandbox.hoist(&run).ok();
    port
}

fn serves(port: u16) {
    wait_until("the service answers", || {
        http_get(("127.0.0.1", port), "/").is_some_and(|answer| answer.contains("Hello, World!"))
    });
}

#[test]
fn the_service_of_the_demo_is_healthy_soon_and_stops_when_asked() {
    let sandbox = sandbox();
    build(&sandbox, "fastapi").ok();
    let port = start(&sandbox, &[]);
    wait_until("it is healthy", || {
        sandbox.inspect("api", "{{.State.Health.Status}}") == "healthy"
    });
    let answer = http_get(("127.0.0.1", port), "/health").expect("an answer");
    assert!(answer.contains("\"status\":\"ok\""), "{answer}");
    sandbox.hoist(&["stop", "api"]).ok();
    assert_eq!(
        sandbox.inspect("api", "{{.State.ExitCode}} {{.Config.User}}"),
        "0 appuser"
    );
}

#[test]
fn single_stage() {
    let sandbox = sandbox();
    // Which step took the time, and how much each of them weighs.
    build_with(&sandbox, "article/01-single-stage", &["--timings"])
        .ok()
        .says("RUN pip install --no-cache-dir -r requirements.txt: mount ")
        .says(" of the base, ")
        .says("MB RUN pip install --no-cache-dir -r requirements.txt");
    serves(start(&sandbox, &["--memory=512m", "--cpus=1"]));
    sandbox.hoist(&["stop", "api"]).ok();
    assert_eq!(sandbox.inspect("api", "{{.State.ExitCode}}"), "0");
}

#[test]
fn multi_stage_works_as_root_and_not_as_appuser() {
    let sandbox = sandbox();
    // What the second stage brings is what the first one installed: nothing was saved.
    build(&sandbox, "article/02-multi-stage")
        .ok()
        .says("'as' and 'FROM' keywords' casing do not match (line 1)")
        .says("MB COPY /root/.local /root/.local");
    serves(start(&sandbox, &[]));
    sandbox.hoist(&["rm", "-f", "api"]).ok();
    build(&sandbox, "article/03-multi-stage-appuser").ok();
    sandbox
        .hoist(&["run", "--rm", "my-api:1.0"])
        .fails(1)
        .says("No module named uvicorn");
}

#[test]
fn uv_fails_with_bash_syntax_and_works_without() {
    let sandbox = sandbox();
    let run = build(&sandbox, "article/04-uv")
        .fails(1)
        .says("Dockerfile:9")
        .says("<(");
    // Before any step runs, too.
    let told = run.stderr.find("[check] BashUnderSh: line 9: ");
    let begun = run.stderr.find("] WORKDIR ").or(run.stderr.find("] COPY "));
    assert!(told.is_some() && told < begun, "{run}");
    build(&sandbox, "article/05-uv-system").ok();
    serves(start(&sandbox, &[]));
}

#[test]
fn uv_says_what_it_needs_with_bash_and_without_the_substitution() {
    let sandbox = sandbox();
    let context = copied(&sandbox, "article/04-uv");
    let text = std::fs::read_to_string(sandbox.path("context/Dockerfile")).expect("a Dockerfile");
    let run = "RUN uv pip install --no-cache-dir -r ";
    let substituted = format!("{run}<(uv pip compile pyproject.toml)");
    let with_bash = format!("SHELL [\"/bin/bash\", \"-c\"]\n{substituted}");
    let without = format!("RUN uv pip compile pyproject.toml -o list\n{run}list");
    for instructions in [with_bash, without] {
        let text = text.replace(&substituted, &instructions);
        sandbox.file("context/Dockerfile", &text);
        // Before a step runs, and when it has failed.
        let hint = "hint: add --system, or set ENV UV_SYSTEM_PYTHON=1";
        sandbox.hoist(&["check", &context]).fails(1).prints(hint);
        sandbox
            .hoist(&["build", &context])
            .fails(1)
            .says("Dockerfile:10\n")
            .says("hint: uv pip install needs --system (or ENV UV_SYSTEM_PYTHON=1)")
            // Two files to `.`: what the legacy builder refuses.
            .says("COPY pyproject.toml uv.lock .\n")
            .never_says("must be a directory");
    }
}

#[test]
fn a_change_of_the_code_installs_again_only_in_the_wrong_order() {
    let sandbox = sandbox();
    for (example, outcome) in [
        ("article/01-single-stage", "cached"),
        ("article/11-layer-order", "ran   "),
    ] {
        let context = copied(&sandbox, example);
        sandbox.hoist(&["build", &context]).ok();
        sandbox.file("context/main.py", "print('changed')\n");
        sandbox
            .hoist(&["build", "--explain", &context])
            .ok()
            .says("ran     COPY . .: main.py changed\n")
            .says(&format!("{outcome}  RUN pip install "));
    }
}

#[test]
fn environment_defaults_are_overridden() {
    let sandbox = sandbox();
    build(&sandbox, "article/06-env").ok();
    let print = [
        "python",
        "-c",
        "import os; print(os.environ['DATABASE_URL'], os.environ['LOG_LEVEL'])",
    ];
    let run = |flags: &[&str]| {
        sandbox.hoist(&[&["run", "--rm"], flags, &["my-api:1.0"], &print[..]].concat())
    };
    run(&[]).ok().stdout_is("postgresql://localhost/myapp INFO");
    run(&["-e", "LOG_LEVEL=DEBUG"])
        .ok()
        .stdout_is("postgresql://localhost/myapp DEBUG");
    serves(start(&sandbox, &[]));
}

#[test]
fn dotenv_fails_fast_without_its_key() {
    let sandbox = sandbox();
    build(&sandbox, "article/07-dotenv").ok();
    let run = sandbox.hoist(&["run", "--rm", "my-api:1.0"]).fails(1);
    run.says("ValueError: API_KEY environment variable is required");
    serves(start(&sandbox, &["-e", "API_KEY=sk_test"]));
}

#[test]
fn a_health_check_that_cannot_work_says_so() {
    let sandbox = sandbox();
    build(&sandbox, "article/08-healthcheck").ok();
    serves(start(&sandbox, &["--health-retries=1"]));
    wait_until("a probe has failed", || {
        sandbox
            .inspect("api", "{{json .State.Health.Log}}")
            .contains("No module named 'requests'")
    });
    wait_until("it is said why", || {
        let told = sandbox.hoist(&["ps", "--format", "{{.Reason}}"]).ok();
        told.text() == "unhealthy: ModuleNotFoundError: No module named 'requests'"
    });
}

#[test]
fn an_ignored_sigterm_ends_in_a_kill() {
    let sandbox = sandbox();
    build(&sandbox, "article/09-graceful").ok();
    let port = start(&sandbox, &[]);
    wait_until("the service answers", || {
        http_get(("127.0.0.1", port), "/").is_some()
    });
    sandbox
        .hoist(&["stop", "-t", "1", "api"])
        .ok()
        .says("its PID 1 has a handler for it");
    assert_eq!(sandbox.inspect("api", "{{.State.ExitCode}}"), "137");
}

#[test]
fn non_root_and_layer_order() {
    let sandbox = sandbox();
    build(&sandbox, "article/10-nonroot").ok();
    sandbox
        .hoist(&["run", "--rm", "my-api:1.0", "id", "-u"])
        .ok()
        .stdout_is("1000");
    serves(start(&sandbox, &[]));
    sandbox.hoist(&["rm", "-f", "api"]).ok();
    build(&sandbox, "article/11-layer-order").ok();
    serves(start(&sandbox, &[]));
}
