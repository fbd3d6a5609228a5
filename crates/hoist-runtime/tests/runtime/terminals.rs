//! Containers with a terminal.

use hoist_core::spec::{ConsoleSize, User};

use crate::harness::Sandbox;

#[test]
fn size_and_resize() {
    let sandbox = Sandbox::new();
    let mut request = sandbox.shell("read line; stty size; tty; echo $line; test -t 1 && echo tty");
    request.spec.process.terminal = true;
    request.spec.process.console_size = Some(ConsoleSize {
        height: 30,
        width: 100,
    });
    request.input = "typed\n".to_owned();
    let output = sandbox.run(&request).output;
    assert_eq!(output, "typed\r\n30 100\r\n/dev/pts/0\r\ntyped\r\ntty\r\n");
    request.resize = Some((40, 120));
    let output = sandbox.run(&request).output;
    assert!(output.contains("40 120\r\n"), "{output}");
}

#[test]
fn job_control_and_console() {
    for init in [false, true] {
        let sandbox = Sandbox::new();
        let mut request = sandbox.request(&["sh", "-i"]);
        request.init = init;
        request.spec.process.terminal = true;
        request.spec.process.user = User {
            uid: 1000,
            gid: 1000,
            ..User::default()
        };
        request.input =
            "echo c >/dev/console; stat -c %u $(tty); echo 4$((2)); exit 3\n".to_owned();
        let finished = sandbox.run(&request);
        assert_eq!(finished.code(), 3, "{finished:?}");
        assert!(
            finished.output.contains("\r\n1000\r\n42\r\n"),
            "{finished:?}"
        );
        assert!(!finished.output.contains("job control"), "{finished:?}");
    }
}
