//! Commands, run with a deadline, and what they answered.

use std::io::{Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::DEADLINE;

/// What a finished command answered. The checks return it again, to be chained.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) line: String,
    /// The exit status; 128 + n when a signal ended it, as a shell would say.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// It succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.fails(0)
    }

    /// It ended with this exit status.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit status of {self}");
        self
    }

    /// It wrote exactly this to standard output, but for space at the ends.
    #[track_caller]
    pub(crate) fn stdout_is(self, expected: &str) -> Self {
        assert_eq!(
            self.stdout.trim(),
            expected.trim(),
            "standard output of {self}"
        );
        self
    }

    /// Standard output holds this text.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text),
            "{text:?} is not in the standard output of {self}"
        );
        self
    }

    /// Standard error holds this text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "{text:?} is not in the standard error of {self}"
        );
        self
    }

    /// Neither output holds this text.
    #[track_caller]
    pub(crate) fn never_says(self, text: &str) -> Self {
        let said = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(!said, "{text:?} is in the output of {self}");
        self
    }

    /// Standard output without the space at its ends: an id, or an inspected value.
    pub(crate) fn text(&self) -> &str {
        self.stdout.trim()
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            line,
            code,
            stdout,
            stderr,
        } = self;
        write!(
            formatter,
            "{line}\n[exit {code}]\n[stdout]\n{stdout}\n[stderr]\n{stderr}"
        )
    }
}

/// A command that is running, with its standard streams held.
pub(crate) struct Child {
    line: String,
    child: std::process::Child,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Child {
    /// Starts a command; its standard input stays open until [`Child::close_stdin`].
    #[track_caller]
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut words = vec![command.get_program().to_string_lossy().into_owned()];
        words.extend(
            command
                .get_args()
                .map(|word| word.to_string_lossy().into_owned()),
        );
        let line = words.join(" ");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let stdout = reading(child.stdout.take().expect("stdout is a pipe"));
        let stderr = reading(child.stderr.take().expect("stderr is a pipe"));
        Self {
            line,
            child,
            stdout,
            stderr,
            seen: Vec::new(),
        }
    }

    /// Writes to its standard input.
    #[track_caller]
    pub(crate) fn write(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("standard input is open");
        stdin.write_all(text.as_bytes()).expect("the command reads");
    }

    /// Writes to its standard input; a command that refuses its flags ends without reading it.
    #[track_caller]
    pub(crate) fn offer(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("standard input is open");
        match stdin.write_all(text.as_bytes()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            written => written.expect("the command reads"),
        }
    }

    /// Ends its standard input.
    pub(crate) fn close_stdin(&mut self) {
        self.child.stdin = None;
    }

    /// Sends it a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process id");
        kill_process(pid, signal).expect("the command runs");
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What has been waited for of its standard output, and what came with it.
    pub(crate) fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Waits until its standard output, from the start on, holds this text.
    #[track_caller]
    pub(crate) fn wait_for_output(&mut self, text: &str) {
        let begun = Instant::now();
        while !String::from_utf8_lossy(&self.seen).contains(text) {
            let left = DEADLINE.saturating_sub(begun.elapsed());
            match self.stdout.recv_timeout(left) {
                Ok(bytes) => self.seen.extend(bytes),
                Err(error) => panic!(
                    "{text:?} never came from {} ({error}); what came: {:?}",
                    self.line,
                    String::from_utf8_lossy(&self.seen)
                ),
            }
        }
    }

    /// Ends its input, waits until it ends and closes its outputs, and takes what it answered.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Run {
        self.close_stdin();
        self.end()
    }

    /// As [`Child::finish`], but standard input stays open until the end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Run {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait().expect("a child can be waited for") {
                Some(status) => break status,
                None if begun.elapsed() > DEADLINE => {
                    let _ = self.child.kill();
                    let outputs = self.outputs();
                    panic!("{} did not end; it wrote {outputs:?}", self.line);
                }
                None => thread::sleep(std::time::Duration::from_millis(2)),
            }
        };
        let (stdout, stderr) = self.outputs();
        Run {
            line: std::mem::take(&mut self.line),
            code: code(status),
            stdout,
            stderr,
        }
    }

    /// All that it wrote until both outputs were closed: by it, and by whatever it left running.
    #[track_caller]
    fn outputs(&mut self) -> (String, String) {
        let stdout = rest(&self.line, &self.stdout, std::mem::take(&mut self.seen));
        let stderr = rest(&self.line, &self.stderr, Vec::new());
        (stdout, stderr)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What remains to be read until the end of the stream.
#[track_caller]
fn rest(line: &str, stream: &Receiver<Vec<u8>>, mut seen: Vec<u8>) -> String {
    let begun = Instant::now();
    loop {
        match stream.recv_timeout(DEADLINE.saturating_sub(begun.elapsed())) {
            Ok(bytes) => seen.extend(bytes),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("{line} ended, but something that it started holds its output open")
            }
        }
    }
    String::from_utf8_lossy(&seen).into_owned()
}

/// Reads a stream in a thread, piece by piece.
fn reading(mut stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1)
}
