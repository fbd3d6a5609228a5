//! `logs`: reading what the monitor wrote.
//!
//! A log is a file of JSON lines in Docker's `json-file` form, the newest in `log`, older ones in
//! `log.1`, `log.2`, … (the monitor rotates them).

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader},
    ops::ControlFlow,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use hoist_core::time::Timestamp;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::inotify,
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde::{Deserialize, Serialize};

use super::Container;
use crate::{error::EngineError, root::Engine, status::State};

/// Which part of a log to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Go on with what comes, until the container ends.
    pub follow: bool,
    /// Only the last lines; `None` is all.
    pub tail: Option<usize>,
    /// Only lines from this moment on.
    pub since: Option<Timestamp>,
    /// Only lines before this moment.
    pub until: Option<Timestamp>,
}

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of a log, or the piece of one that was written at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// When it was written.
    pub time: Timestamp,
    /// Where.
    pub stream: LogStream,
    /// The bytes, with the newline if there was one.
    pub text: Vec<u8>,
}

/// A line of the file: Docker's `json-file` form. Bytes that are not UTF-8 are kept
/// in `raw`, in base 64.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LogLine<'a> {
    #[serde(borrow)]
    pub(crate) log: std::borrow::Cow<'a, str>,
    pub(crate) stream: LogStream,
    pub(crate) time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) raw: Option<String>,
}

impl Engine {
    /// Hand the entries that `query` asks for to `each`, oldest first, until it breaks.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn logs(
        &self,
        container: &Container,
        query: &LogQuery,
        each: &mut dyn FnMut(&LogEntry) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let directory = self.container_dir(&container.record.id);
        // Watched before it is read: nothing falls in between.
        let watch = if query.follow {
            Watch::new(&directory, container)?
        } else {
            None
        };
        let mut reader = Reader::open(&directory)?;
        let is_late = |entry: &LogEntry| query.until.is_some_and(|until| entry.time >= until);
        let is_early = |entry: &LogEntry| query.since.is_some_and(|since| entry.time < since);
        let mut each = |entry: &LogEntry| {
            if is_late(entry) {
                return ControlFlow::Break(());
            }
            if is_early(entry) {
                return ControlFlow::Continue(());
            }
            each(entry)
        };
        let told = match query.tail {
            None => reader.each(&mut each)?,
            Some(tail) => reader
                .last(tail, &|entry| !is_late(entry) && !is_early(entry))?
                .iter()
                .try_for_each(&mut each),
        };
        let Some(watch) = watch else { return Ok(()) };
        if told.is_break() {
            return Ok(());
        }
        loop {
            let ended = watch.wait()? || !self.runs_still(container)?;
            if reader.each(&mut each)?.is_break() || ended {
                return Ok(());
            }
        }
    }

    /// The run of the container that was looked at goes on.
    fn runs_still(&self, container: &Container) -> Result<bool, EngineError> {
        let now = self.observe(&container.record)?;
        Ok(now.state == State::Running && now.monitor == container.status.monitor)
    }
}

/// Reads entries, also while the log grows and is rotated: the files in their order, each to its
/// end. A file is known by its inode, whatever it is called by now.
struct Reader {
    directory: PathBuf,
    /// The file that is being read, and those that come after it.
    files: VecDeque<BufReader<File>>,
    line: Vec<u8>,
}

impl Reader {
    /// A reader at the beginning of what there is.
    fn open(directory: &Path) -> Result<Self, EngineError> {
        let mut reader = Self {
            directory: directory.to_owned(),
            files: VecDeque::new(),
            line: Vec::new(),
        };
        reader.files = reader.files_after(None)?;
        Ok(reader)
    }

    /// Hand all entries that there are now to `each`, until it breaks.
    fn each(
        &mut self,
        each: &mut dyn FnMut(&LogEntry) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, EngineError> {
        while let Some(entry) = self.next()? {
            if each(&entry).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The last `count` of the entries that there are now and that are `wanted`.
    fn last(
        &mut self,
        count: usize,
        wanted: &dyn Fn(&LogEntry) -> bool,
    ) -> Result<VecDeque<LogEntry>, EngineError> {
        let mut entries = VecDeque::new();
        while let Some(entry) = self.next()? {
            if !wanted(&entry) {
                continue;
            }
            entries.push_back(entry);
            if entries.len() > count {
                entries.pop_front();
            }
        }
        Ok(entries)
    }

    fn next(&mut self) -> Result<Option<LogEntry>, EngineError> {
        loop {
            if self.read_line()? {
                let parsed = parse(&self.line);
                self.line.clear();
                // A torn line is what a full disk or a power cut leaves; the others are still good.
                if parsed.is_some() {
                    return Ok(parsed);
                }
            } else if !self.advance()? {
                return Ok(None);
            }
        }
    }

    /// Read on in the present file; true when a line is complete.
    fn read_line(&mut self) -> Result<bool, EngineError> {
        let Some(file) = self.files.front_mut() else {
            return Ok(false);
        };
        file.read_until(b'\n', &mut self.line)
            .map_err(EngineError::file("read", self.directory.join("log")))?;
        Ok(self.line.ends_with(b"\n"))
    }

    /// The present file has been read to its end: go on with the next one, if there is one.
    fn advance(&mut self) -> Result<bool, EngineError> {
        if self.files.len() < 2 {
            let present = self.files.front().map(inode).transpose()?;
            let later = self.files_after(present)?;
            if later.is_empty() {
                return Ok(false);
            }
            self.files.extend(later);
            if present.is_none() {
                return Ok(true);
            }
            // Written to between the end that was seen and the rotation; from now on it is not.
            if self.read_line()? {
                return Ok(true);
            }
        }
        self.line.clear();
        self.files.pop_front();
        Ok(true)
    }

    /// The files that are newer than the one with this inode, oldest first; all when it has been
    /// rotated out, or none is given.
    fn files_after(&self, present: Option<u64>) -> Result<VecDeque<BufReader<File>>, EngineError> {
        loop {
            let mut files = VecDeque::new();
            let mut inodes = Vec::new();
            for number in 0_u32.. {
                let path = match number {
                    0 => self.directory.join("log"),
                    _ => self.directory.join(format!("log.{number}")),
                };
                let file = match File::open(&path) {
                    Ok(file) => BufReader::with_capacity(1 << 16, file),
                    // Between two renames, or before the first entry, there is no `log`.
                    Err(error) if error.kind() == io::ErrorKind::NotFound && number == 0 => {
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                    Err(error) => return Err(EngineError::file("read", path)(error)),
                };
                let inode = inode(&file)?;
                if present == Some(inode) {
                    break;
                }
                inodes.push(inode);
                files.push_front(file);
            }
            // Renamed while it was looked at: a file was seen twice, or not at all.
            let newest = std::fs::metadata(self.directory.join("log")).map(|file| file.ino());
            let settled = match (newest, inodes.first()) {
                (Ok(newest), Some(first)) => newest == *first || present == Some(newest),
                (Ok(newest), None) => present == Some(newest),
                (Err(_), _) => true,
            };
            if settled {
                return Ok(files);
            }
        }
    }
}

fn inode(file: &BufReader<File>) -> Result<u64, EngineError> {
    let metadata = file.get_ref().metadata();
    Ok(metadata.map_err(EngineError::system("fstat"))?.ino())
}

fn parse(line: &[u8]) -> Option<LogEntry> {
    let line: LogLine<'_> = serde_json::from_slice(line).ok()?;
    Some(LogEntry {
        time: line.time,
        stream: line.stream,
        text: match line.raw {
            Some(raw) => base64::decode(&raw)?,
            None => line.log.into_owned().into_bytes(),
        },
    })
}

/// Wakes up when the log changes or the container ends.
struct Watch {
    changes: OwnedFd,
    monitor: OwnedFd,
}

impl Watch {
    /// `None` when the container does not run: nothing will come.
    fn new(directory: &Path, container: &Container) -> Result<Option<Self>, EngineError> {
        if container.status.state != State::Running {
            return Ok(None);
        }
        let Some(pid) = Pid::from_raw(container.status.monitor) else {
            return Ok(None);
        };
        let monitor = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(monitor) => monitor,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(EngineError::system("pidfd_open")(error)),
        };
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let changes = inotify::init(flags).map_err(EngineError::system("inotify_init"))?;
        // The last status is moved there; a container with --rm moves away.
        let events = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::MOVE_SELF
            | inotify::WatchFlags::DELETE_SELF;
        match inotify::add_watch(&changes, directory, events) {
            Ok(_) => Ok(Some(Self { changes, monitor })),
            // Removed this moment.
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(EngineError::system("inotify_add_watch")(error)),
        }
    }

    /// Wait for a change; true when the monitor is gone.
    fn wait(&self) -> Result<bool, EngineError> {
        let mut fds = [
            PollFd::new(&self.changes, PollFlags::IN),
            PollFd::new(&self.monitor, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(EngineError::system("poll")(error)),
        }
        let ended = !fds[1].revents().is_empty();
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.changes, &mut buffer);
        while reader.next().is_ok() {}
        Ok(ended)
    }
}

/// Base 64 (RFC 4648, with padding): bytes that are not UTF-8 inside of JSON.
pub(crate) mod base64 {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    /// The text for `bytes`.
    pub(crate) fn encode(bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
        for group in bytes.chunks(3) {
            let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for place in 0..4 {
                let digit = bits >> (18 - 6 * place) & 63;
                text.push(if place > group.len() {
                    '='
                } else {
                    char::from(DIGITS[digit as usize])
                });
            }
        }
        text
    }

    /// The bytes of `text`; `None` when it is not such a text.
    pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
        let digits = text.trim_end_matches('=').as_bytes();
        let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
        for group in digits.chunks(4) {
            let mut bits = 0;
            for place in 0..4 {
                let value = match group.get(place) {
                    Some(digit) => DIGITS.iter().position(|known| known == digit)?,
                    None => 0,
                };
                bits = bits << 6 | u32::try_from(value).ok()?;
            }
            let [_, first, second, third] = bits.to_be_bytes();
            bytes.extend(&[first, second, third][..group.len().saturating_sub(1)]);
        }
        Some(bytes)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn known_texts_and_back() {
            for (bytes, text) in [
                (&b""[..], ""),
                (b"f", "Zg=="),
                (b"fo", "Zm8="),
                (b"foo", "Zm9v"),
                (b"\xff\xfe\x00", "//4A"),
            ] {
                assert_eq!(encode(bytes), text);
                assert_eq!(decode(text).as_deref(), Some(bytes));
            }
            let all: Vec<u8> = (0..=255).collect();
            assert_eq!(decode(&encode(&all)), Some(all));
            assert_eq!(decode("a b"), None);
        }
    }
}
