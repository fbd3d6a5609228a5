//! `HEALTHCHECK`.

use crate::support::{Sandbox, wait_until};

fn built(health: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file(
        "context/Dockerfile",
        &format!("FROM busybox\n{health}\nCMD [\"sleep\", \"1000\"]\n"),
    );
    let context = sandbox.path("context");
    sandbox
        .hoist(&[
            "build",
            "-q",
            "-t",
            "checked",
            context.to_str().expect("a path"),
        ])
        .ok();
    sandbox
        .hoist(&["run", "-d", "--name", "box", "checked"])
        .ok();
    sandbox
}

fn wait_for_health(sandbox: &Sandbox, health: &str) {
    wait_until(&format!("it is {health}"), || {
        sandbox.inspect("box", "{{.State.Health.Status}}") == health
    });
}

#[test]
fn the_first_probes_do_not_wait_for_the_interval() {
    // The interval is an hour: only an eager first probe can find it healthy.
    let sandbox = built("HEALTHCHECK --interval=1h CMD test -e /ready");
    assert_eq!(
        sandbox.inspect("box", "{{.State.Health.Status}}"),
        "starting"
    );
    sandbox.hoist(&["ps"]).ok().prints("(health: starting)");
    sandbox.hoist(&["exec", "box", "touch", "/ready"]).ok();
    wait_for_health(&sandbox, "healthy");
    sandbox.hoist(&["ps"]).ok().prints("(healthy)");
    assert_eq!(
        sandbox.inspect("box", "{{.State.Health.FailingStreak}}"),
        "0"
    );
}

#[test]
fn a_service_that_breaks_becomes_unhealthy_and_well_again() {
    let health = "HEALTHCHECK --interval=200ms --timeout=5s --retries=2 CMD cat /ok || { echo it is broken; exit 1; }";
    let sandbox = built(health);
    sandbox
        .hoist(&["exec", "box", "sh", "-c", "echo fine > /ok"])
        .ok();
    wait_for_health(&sandbox, "healthy");
    sandbox.hoist(&["exec", "box", "rm", "/ok"]).ok();
    wait_for_health(&sandbox, "unhealthy");
    sandbox.hoist(&["ps"]).ok().prints("unhealthy");
    let log = sandbox.inspect("box", "{{json .State.Health.Log}}");
    assert!(
        log.contains("it is broken") && log.contains("\"ExitCode\":1"),
        "{log}"
    );
    sandbox
        .hoist(&["exec", "box", "sh", "-c", "echo fine > /ok"])
        .ok();
    wait_for_health(&sandbox, "healthy");
}

#[test]
fn a_probe_that_hangs_is_ended_and_counted() {
    let health = "HEALTHCHECK --interval=100ms --timeout=200ms --retries=1 --start-period=0s CMD [ -e /hang ] && sleep 1000 || true";
    let sandbox = built(health);
    wait_for_health(&sandbox, "healthy");
    sandbox.hoist(&["exec", "box", "touch", "/hang"]).ok();
    wait_for_health(&sandbox, "unhealthy");
    let log = sandbox.inspect("box", "{{json .State.Health.Log}}");
    assert!(log.contains("\"ExitCode\":-1"), "{log}");
}

#[test]
fn no_probes_without_a_check_and_with_none() {
    let sandbox = built("HEALTHCHECK NONE");
    assert_eq!(
        sandbox.inspect(
            "box",
            "{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}"
        ),
        "none"
    );
    sandbox.hoist(&["ps"]).ok().never_says("health");
}
