//! Writing a container's log: bounded, in Docker's `json-file` form.
//!
//! Ten megabytes a file, three files: `log`, `log.1`, `log.2`. Output becomes an entry at each
//! newline, after 16 KiB without one, and at the end.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::PathBuf,
};

use hoist_core::time::Timestamp;

use crate::container::{LogLine, LogStream, base64};

const MAX_FILE: u64 = 10_000_000;
const MAX_FILES: u32 = 3;
const MAX_PARTIAL: usize = 16 << 10;

/// The log of one container.
pub(super) struct Log {
    path: PathBuf,
    file: Option<File>,
    length: u64,
    partial: [Vec<u8>; 2],
    /// The first thing that went wrong; the container goes on without its log.
    pub(super) error: Option<String>,
    news: bool,
    /// The last write stopped within a line.
    torn: bool,
}

impl Log {
    /// A log at `path`, appended to when it exists; made at the first entry.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            length: 0,
            partial: [Vec::new(), Vec::new()],
            error: None,
            news: false,
            torn: false,
        }
    }

    /// Something went wrong since this was asked last: true once.
    pub(super) const fn take_news(&mut self) -> bool {
        std::mem::replace(&mut self.news, false)
    }

    /// Take output that a stream produced at `now`.
    pub(super) fn write(&mut self, stream: LogStream, mut bytes: &[u8], now: Timestamp) {
        let index = stream as usize;
        let mut text = Vec::new();
        while !bytes.is_empty() {
            let room = MAX_PARTIAL - self.partial[index].len();
            let window = &bytes[..bytes.len().min(room)];
            let newline = window.iter().position(|&byte| byte == b'\n');
            let taken = newline.map_or(window.len(), |at| at + 1);
            self.partial[index].extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if newline.is_some() || self.partial[index].len() == MAX_PARTIAL {
                let entry = std::mem::take(&mut self.partial[index]);
                append(&mut text, stream, &entry, now);
            }
        }
        self.put(&text);
    }

    /// Write what waits for its newline.
    pub(super) fn finish(&mut self, now: Timestamp) {
        for stream in [LogStream::Stdout, LogStream::Stderr] {
            let entry = std::mem::take(&mut self.partial[stream as usize]);
            if !entry.is_empty() {
                let mut text = Vec::new();
                append(&mut text, stream, &entry, now);
                self.put(&text);
            }
        }
    }

    fn put(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        if let Err(error) = self.try_put(text)
            && self.error.is_none()
        {
            self.news = true;
            self.error = Some(format!(
                "output was not logged: cannot write {}: {error}",
                self.path.display()
            ));
        }
    }

    fn try_put(&mut self, text: &[u8]) -> io::Result<()> {
        if self.length + text.len() as u64 > MAX_FILE && self.length > 0 {
            self.rotate()?;
        }
        if self.file.is_none() {
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .open(&self.path)?;
            self.length = file.metadata()?.len();
            self.file = Some(file);
        }
        if let Some(file) = &mut self.file {
            // What is left of a line that did not fit must not spoil the next one.
            if self.torn {
                file.write_all(b"\n")?;
                self.length += 1;
            }
            self.torn = true;
            file.write_all(text)?;
            self.torn = false;
            self.length += text.len() as u64;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..MAX_FILES - 1).rev() {
            match fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, numbered(1))?;
        self.file = None;
        self.length = 0;
        Ok(())
    }
}

fn append(text: &mut Vec<u8>, stream: LogStream, entry: &[u8], now: Timestamp) {
    let log = String::from_utf8_lossy(entry);
    let raw = matches!(log, std::borrow::Cow::Owned(_)).then(|| base64::encode(entry));
    // Writing JSON to memory cannot fail.
    if serde_json::to_writer(
        &mut *text,
        &LogLine {
            log,
            stream,
            time: now,
            raw,
        },
    )
    .is_ok()
    {
        text.push(b'\n');
    }
}
