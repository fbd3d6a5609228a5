//! `logs`: reading what the monitor wrote.
//!
//! A log is a file of JSON lines in Docker's `json-file` form, the newest in `log`, older ones in
//! `log.1`, `log.2`, … (the monitor rotates them).

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use hoist_core::time::Timestamp;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::inotify,
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

/// A line of the file: Docker's `json-file` form. Bytes that are not UTF-8 are kept in `raw`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LogLine<'a> {
    #[serde(borrow)]
    pub(crate) log: std::borrow::Cow<'a, str>,
    pub(crate) stream: LogStream,
    pub(crate) time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) raw: Option<Vec<u8>>,
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
        let mut reader = Reader {
            path: directory.join("log"),
            input: None,
            line: Vec::new(),
        };
        let watch = if query.follow {
            Watch::new(&directory, container)?
        } else {
            None
        };
        let mut wanted = self.history(&directory, query, &mut reader)?;
        wanted.retain(|entry| fits(entry, query));
        if let Some(tail) = query.tail {
            wanted.drain(..wanted.len().saturating_sub(tail));
        }
        for entry in &wanted {
            if each(entry).is_break() {
                return Ok(());
            }
        }
        drop(wanted);
        let Some(watch) = watch else { return Ok(()) };
        loop {
            let ended = watch.wait()?;
            while let Some(entry) = reader.next()? {
                let late = query.until.is_some_and(|until| entry.time >= until);
                if late || (fits(&entry, query) && each(&entry).is_break()) {
                    return Ok(());
                }
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// Everything that is in the log now; `reader` is left at its end.
    fn history(
        &self,
        directory: &Path,
        query: &LogQuery,
        reader: &mut Reader,
    ) -> Result<Vec<LogEntry>, EngineError> {
        let mut entries = Vec::new();
        if query.tail == Some(0) {
            reader.skip_to_end()?;
            return Ok(entries);
        }
        let older = (1..)
            .map(|number| directory.join(format!("log.{number}")))
            .take_while(|path| path.exists());
        for path in older.collect::<Vec<_>>().into_iter().rev() {
            let mut old = Reader {
                path,
                input: None,
                line: Vec::new(),
            };
            while let Some(entry) = old.next()? {
                keep(&mut entries, entry, query.tail);
            }
        }
        while let Some(entry) = reader.next()? {
            keep(&mut entries, entry, query.tail);
        }
        Ok(entries)
    }
}

/// Add an entry, holding no more than twice the lines that are wanted.
fn keep(entries: &mut Vec<LogEntry>, entry: LogEntry, tail: Option<usize>) {
    entries.push(entry);
    if let Some(tail) = tail
        && entries.len() > 2 * tail + 1024
    {
        entries.drain(..entries.len() - tail);
    }
}

fn fits(entry: &LogEntry, query: &LogQuery) -> bool {
    query.since.is_none_or(|since| entry.time >= since)
        && query.until.is_none_or(|until| entry.time < until)
}

/// Reads entries from one file, also while it grows and is rotated away.
struct Reader {
    path: PathBuf,
    input: Option<BufReader<File>>,
    line: Vec<u8>,
}

impl Reader {
    fn next(&mut self) -> Result<Option<LogEntry>, EngineError> {
        loop {
            let path = self.path.clone();
            let Some(input) = self.open()? else {
                return Ok(None);
            };
            let mut piece = Vec::new();
            input
                .read_until(b'\n', &mut piece)
                .map_err(EngineError::file("read", path))?;
            self.line.append(&mut piece);
            if !self.line.ends_with(b"\n") {
                if self.was_rotated()? {
                    self.input = None;
                    self.line.clear();
                    continue;
                }
                return Ok(None);
            }
            let parsed = serde_json::from_slice::<LogLine<'_>>(&self.line).map(|line| LogEntry {
                time: line.time,
                stream: line.stream,
                text: line
                    .raw
                    .unwrap_or_else(|| line.log.into_owned().into_bytes()),
            });
            self.line.clear();
            // A torn line is what a power cut leaves; the others are still good.
            if let Ok(entry) = parsed {
                return Ok(Some(entry));
            }
        }
    }

    fn open(&mut self) -> Result<Option<&mut BufReader<File>>, EngineError> {
        if self.input.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.input = Some(BufReader::with_capacity(1 << 16, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(EngineError::file("read", &self.path)(error)),
            }
        }
        Ok(self.input.as_mut())
    }

    /// The path names another file now than the one that is open.
    fn was_rotated(&self) -> Result<bool, EngineError> {
        use std::os::unix::fs::MetadataExt;
        let Some(input) = &self.input else {
            return Ok(false);
        };
        let error = |error| EngineError::file("read", &self.path)(error);
        let open = input.get_ref().metadata().map_err(error)?;
        match std::fs::metadata(&self.path) {
            Ok(named) => Ok(named.ino() != open.ino()),
            Err(_) => Ok(false),
        }
    }

    fn skip_to_end(&mut self) -> Result<(), EngineError> {
        use std::io::{Seek, SeekFrom};
        let path = self.path.clone();
        if let Some(input) = self.open()? {
            input
                .seek(SeekFrom::End(0))
                .map_err(EngineError::file("read", path))?;
        }
        Ok(())
    }
}

/// Wakes up when the log changes or the monitor ends.
struct Watch {
    changes: std::os::fd::OwnedFd,
    monitor: std::os::fd::OwnedFd,
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
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(EngineError::system("pidfd_open")(error)),
        };
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let changes = inotify::init(flags).map_err(EngineError::system("inotify_init"))?;
        let events = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&changes, directory, events)
            .map_err(EngineError::system("inotify_add_watch"))?;
        Ok(Some(Self { changes, monitor }))
    }

    /// Wait for a change; true when the monitor has ended.
    fn wait(&self) -> Result<bool, EngineError> {
        let mut fds = [
            PollFd::new(&self.changes, PollFlags::IN),
            PollFd::new(&self.monitor, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(EngineError::system("poll")(error)),
        }
        let ended = !fds[1].revents().is_empty();
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.changes, &mut buffer);
        while reader.next().is_ok() {}
        Ok(ended)
    }
}
