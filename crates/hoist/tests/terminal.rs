//! `-t`: containers on a terminal.

use crate::support::Sandbox;

#[test]
fn a_shell_at_a_terminal() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.terminal(&["run", "--rm", "-it", "busybox", "sh"]);
    terminal.expect("#");
    terminal.press("echo $((40 + 2)) $TERM; tty\n");
    terminal.expect("42 xterm");
    terminal.expect("/dev/pts/0");
    terminal.press("exit 3\n");
    assert_eq!(terminal.finish().0, 3);
}

#[test]
fn its_size_is_the_terminals_and_follows_it() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.terminal(&["run", "--rm", "-it", "busybox", "sh"]);
    terminal.expect("#");
    terminal.press("stty size\n");
    terminal.expect("24 80");
    terminal.resize(50, 132);
    terminal.press("until [ \"$(stty size)\" = '50 132' ]; do sleep 0.01; done; echo re''sized\n");
    terminal.expect("resized");
    terminal.press("exit\n");
    assert_eq!(terminal.finish().0, 0);
}

#[test]
fn control_c_is_the_programs_signal() {
    let sandbox = Sandbox::new();
    let script = "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 1 & wait $!; done";
    let mut terminal = sandbox.terminal(&["run", "--rm", "-it", "busybox", "sh", "-c", script]);
    terminal.expect("ready");
    terminal.press("\x03");
    terminal.expect("caught");
    assert_eq!(terminal.finish().0, 7);
}

#[test]
fn exec_at_a_terminal() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&["run", "-d", "--name", "box", "busybox", "sleep", "1000"])
        .ok();
    let mut terminal = sandbox.terminal(&["exec", "-it", "box", "sh"]);
    terminal.expect("#");
    terminal.press("stty size; exit 4\n");
    terminal.expect("24 80");
    assert_eq!(terminal.finish().0, 4);
}

#[test]
fn t_without_a_terminal_is_refused_as_docker_does() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&["run", "--rm", "-it", "busybox", "true"])
        .fails(1)
        .says("TTY");
    // Without -i nothing is read, and the program still has its terminal.
    sandbox
        .hoist(&["run", "--rm", "-t", "busybox", "tty"])
        .ok()
        .prints("/dev/pts/0");
}

#[test]
fn a_terminals_output_is_logged() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&[
            "run", "-d", "-t", "--name", "box", "busybox", "echo", "logged",
        ])
        .ok();
    sandbox.wait_for_state("box", "exited");
    sandbox.hoist(&["logs", "box"]).ok().stdout_is("logged");
}
