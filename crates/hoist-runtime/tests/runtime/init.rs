//! hoist's own init as the first process.

use crate::harness::Sandbox;

#[test]
fn the_command_is_a_child_and_its_end_is_the_containers() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.shell("test $$ -ne 1 && exit 9");
    request.init = true;
    assert_eq!(sandbox.run(&request).code(), 9);
    let mut request = sandbox.shell("kill -15 $$");
    request.init = true;
    assert_eq!(sandbox.run(&request).code(), 143);
}

#[test]
fn orphans_are_reaped() {
    let sandbox = Sandbox::new();
    // The orphans hold the pipe: after `cat` all of them have ended. From then on none may stay a
    // zombie, however soon the first look comes.
    let mut request = sandbox.shell(
        "(for i in 1 2 3; do (sh -c 'exec true' & exec true); done) | cat; looks=0; \
         while ps -o stat,comm | grep -q '^Z' && test $looks -lt 1000; do looks=$((looks + 1)); done; \
         test $looks -lt 1000 && echo reaped",
    );
    request.init = true;
    assert_eq!(sandbox.run(&request).output, "reaped\n");
}

#[test]
fn signals_are_passed_on() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.shell(
        "trap 'echo term; exit 5' TERM; trap 'echo hup' HUP; echo up; while :; do sleep 0.01; done",
    );
    request.init = true;
    let mut running = sandbox.start(&request);
    let pid = running.started();
    running.wait_for("up");
    hoist_sys::signal::send(pid, 1).unwrap();
    running.wait_for("hup");
    hoist_sys::signal::send(pid, 15).unwrap();
    let finished = running.finish();
    assert!(finished.output.contains("term"), "{finished:?}");
    assert_eq!(finished.code(), 5);
}

#[test]
fn a_command_that_cannot_run_is_told() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.request(&["nothing"]);
    request.init = true;
    let finished = sandbox.run(&request);
    assert_eq!(finished.failure().0, "ContainerCommand(127)");
}
