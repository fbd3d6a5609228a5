//! The output of a command: told as it comes, and its end remembered.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, OwnedFd},
};

use hoist_core::event::Stream;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};

use crate::error::BuildError;

/// Lines that are remembered.
const LINES: usize = 20;

/// The most bytes of a line that are remembered.
const WIDTH: usize = 1000;

/// The reading ends of a command's standard output and error.
#[derive(Debug)]
pub(super) struct Output {
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// The writing ends, for the command.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

impl Output {
    /// Two pipes.
    pub(super) fn new() -> Result<(Self, Ends), BuildError> {
        let pipe = || {
            pipe_with(PipeFlags::CLOEXEC)
                .map_err(|errno| BuildError::io("make a pipe for", "the step's output", errno))
        };
        let (stdout, out) = pipe()?;
        let (stderr, err) = pipe()?;
        let ends = Ends {
            stdout: out,
            stderr: err,
        };
        Ok((Self { stdout, stderr }, ends))
    }

    /// Read until both ends are closed; `each` is told every piece. The last lines.
    pub(super) fn read(self, each: &dyn Fn(Stream, &[u8])) -> Vec<String> {
        let mut tail = Tail::default();
        let mut open = vec![(Stream::Stdout, self.stdout), (Stream::Stderr, self.stderr)];
        let mut buffer = vec![0; 32 << 10];
        while !open.is_empty() {
            let mut polled: Vec<_> = open
                .iter()
                .map(|(_, fd)| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN))
                .collect();
            match poll(&mut polled, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(_) => break,
            }
            let ready: Vec<_> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
            let mut ready = ready.into_iter();
            open.retain(|(stream, fd)| {
                if ready.next() != Some(true) {
                    return true;
                }
                match rustix::io::read(fd, &mut buffer[..]) {
                    Ok(0) => false,
                    Ok(count) => {
                        tail.push(&buffer[..count]);
                        each(*stream, &buffer[..count]);
                        true
                    }
                    Err(Errno::INTR | Errno::AGAIN) => true,
                    Err(_) => false,
                }
            });
        }
        tail.lines()
    }
}

/// The last lines of what was pushed.
#[derive(Debug, Default)]
struct Tail {
    lines: VecDeque<Vec<u8>>,
    /// The last line has no line break yet.
    is_open: bool,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !self.is_open {
                self.lines.push_back(Vec::new());
                if self.lines.len() > LINES {
                    self.lines.pop_front();
                }
            }
            self.is_open = !piece.ends_with(b"\n");
            if let Some(line) = self.lines.back_mut() {
                let room = WIDTH.saturating_sub(line.len());
                line.extend(&piece[..piece.len().min(room)]);
            }
        }
    }

    fn lines(self) -> Vec<String> {
        let text = |line: Vec<u8>| {
            // What a progress bar wrote over is gone from the terminal, too.
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.rsplit('\r').next().unwrap_or_default().to_owned()
        };
        self.lines.into_iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_lines_are_remembered_and_all_bytes_told() {
        let (output, ends) = Output::new().unwrap();
        let mut out = std::fs::File::from(ends.stdout);
        for number in 0..30 {
            writeln!(out, "line {number}").unwrap();
        }
        write!(out, "10%\r100%").unwrap();
        drop((out, ends.stderr));
        let told = std::sync::Mutex::new(Vec::new());
        let tail = output.read(&|stream, bytes| {
            assert_eq!(stream, Stream::Stdout);
            told.lock().unwrap().extend_from_slice(bytes);
        });
        assert_eq!(tail.len(), LINES);
        assert_eq!(tail[0], "line 11");
        assert_eq!(tail[19], "100%");
        assert!(told.into_inner().unwrap().starts_with(b"line 0\n"));
    }
}
