//! Signals to `hoist` in the foreground.

use rustix::process::Signal;

use crate::support::Sandbox;

#[test]
fn signals_are_passed_on_to_the_program() {
    let sandbox = Sandbox::new();
    let script = "trap 'echo term; exit 3' TERM; trap 'echo usr1' USR1; echo up; while :; do sleep 0.1 & wait $!; done";
    let mut run = sandbox.spawn(&["run", "--rm", "busybox", "sh", "-c", script]);
    run.wait_for_output("up");
    run.signal(Signal::USR1);
    run.wait_for_output("usr1");
    run.signal(Signal::TERM);
    run.finish().fails(3).prints("term");
    sandbox.hoist(&["ps", "-aq"]).ok().stdout_is("");
}

#[test]
fn control_c_in_a_run_reaches_the_program() {
    let sandbox = Sandbox::new();
    let script = "trap 'echo int; exit 4' INT; echo up; while :; do sleep 0.1 & wait $!; done";
    let mut run = sandbox.spawn(&["run", "--rm", "busybox", "sh", "-c", script]);
    run.wait_for_output("up");
    run.signal(Signal::INT);
    run.finish().fails(4).prints("int");
}

#[test]
fn control_c_in_a_build_leaves_nothing() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox\nRUN echo marker-of-the-step && sleep 1000\n",
    );
    let context = sandbox.path("context");
    let build = [
        "build",
        "--progress=plain",
        "-t",
        "never",
        context.to_str().expect("a path"),
    ];
    let mut command = sandbox.command(&build);
    // Progress goes to standard error; here it is followed on standard output.
    command = shell_joining_outputs(&command);
    let mut build = crate::support::Child::spawn(command);
    build.wait_for_output("marker-of-the-step\n");
    build.signal(Signal::INT);
    let run = build.finish();
    assert_ne!(run.code, 0, "{run}");
    sandbox.hoist(&["images", "-q", "never"]).ok().stdout_is("");
}

/// The same command with standard error joined to standard output.
fn shell_joining_outputs(command: &std::process::Command) -> std::process::Command {
    let mut joined = std::process::Command::new("sh");
    joined
        .args(["-c", "exec \"$@\" 2>&1", "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    joined.env_clear();
    joined.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    joined
}
