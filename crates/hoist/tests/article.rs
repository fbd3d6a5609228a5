//! The tutorial's examples (`examples/article`), each doing what `examples/README.md` says of it.

use std::path::Path;

use crate::support::{Run, Sandbox, free_port, http_get, wait_until};

fn sandbox() -> Sandbox {
    Sandbox::with(&["python:3.11-slim"])
}

fn build(sandbox: &Sandbox, example: &str) -> Run {
    let context = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(example);
    sandbox.hoist(&[
        "build",
        "-t",
        "my-api:1.0",
        context.to_str().expect("a path"),
    ])
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
    build(&sandbox, "article/01-single-stage").ok();
    serves(start(&sandbox, &["--memory=512m", "--cpus=1"]));
    sandbox.hoist(&["stop", "api"]).ok();
    assert_eq!(sandbox.inspect("api", "{{.State.ExitCode}}"), "0");
}

#[test]
fn multi_stage_works_as_root_and_not_as_appuser() {
    let sandbox = sandbox();
    build(&sandbox, "article/02-multi-stage").ok();
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
    build(&sandbox, "article/04-uv")
        .fails(1)
        .says("Dockerfile:9")
        .says("<(");
    build(&sandbox, "article/05-uv-system").ok();
    serves(start(&sandbox, &[]));
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
    serves(start(&sandbox, &[]));
    wait_until("a probe has failed", || {
        sandbox
            .inspect("api", "{{json .State.Health.Log}}")
            .contains("No module named 'requests'")
    });
    assert_ne!(
        sandbox.inspect("api", "{{.State.Health.Status}}"),
        "healthy"
    );
}

#[test]
fn an_ignored_sigterm_ends_in_a_kill() {
    let sandbox = sandbox();
    build(&sandbox, "article/09-graceful").ok();
    let port = start(&sandbox, &[]);
    wait_until("the service answers", || {
        http_get(("127.0.0.1", port), "/").is_some()
    });
    sandbox.hoist(&["stop", "-t", "1", "api"]).ok();
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
