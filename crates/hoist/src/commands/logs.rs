//! `logs`: what a container wrote.

use std::{
    io::{self, Write},
    ops::ControlFlow,
    process::ExitCode,
    time::SystemTime,
};

use hoist_core::time::{self, Timestamp};
use hoist_engine::container::{LogEntry, LogQuery, LogStream};

use crate::{args::lifecycle::LogsFlags, cli::Call, error::CliError, ui};

/// `logs [OPTIONS] CONTAINER`.
pub(crate) fn logs(
    call: &Call<'_>,
    flags: &LogsFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let query = query(flags, SystemTime::now().into())?;
    let engine = call.engine()?;
    let container = engine.find(&words[0])?;
    let mut printer = Printer {
        out: ui::buffered(),
        timestamps: flags.timestamps,
        broken: None,
    };
    engine.logs(&container, &query, &mut |entry| {
        printer.entry(entry, query.follow)
    })?;
    printer.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn query(flags: &LogsFlags, now: Timestamp) -> Result<LogQuery, CliError> {
    let moment = |flag: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => time::parse_since(text, now, local_offset())
            .map(Some)
            .map_err(|error| {
                let error = CliError::from(error);
                match error {
                    CliError::Failed(mut failure) => {
                        failure.message =
                            format!("invalid value for {flag:?}: {}", failure.message);
                        CliError::Failed(failure)
                    }
                    other => other,
                }
            }),
    };
    Ok(LogQuery {
        follow: flags.follow,
        // As in Docker, anything that is no number means all of it.
        tail: flags.tail.as_ref().and_then(|text| text.parse().ok()),
        since: moment("since", &flags.since)?,
        until: moment("until", &flags.until)?,
    })
}

/// Seconds east of Greenwich of the zone here; times without a zone are in it.
fn local_offset() -> i32 {
    crate::settings::local_offset_seconds()
}

struct Printer<W> {
    out: W,
    timestamps: bool,
    broken: Option<io::Error>,
}

impl<W: Write> Printer<W> {
    fn entry(&mut self, entry: &LogEntry, flush: bool) -> ControlFlow<()> {
        let stamp = if self.timestamps {
            format!("{} ", entry.time.to_fixed())
        } else {
            String::new()
        };
        let written = match entry.stream {
            LogStream::Stdout => {
                let written = self
                    .out
                    .write_all(stamp.as_bytes())
                    .and_then(|()| self.out.write_all(&entry.text));
                if flush {
                    written.and_then(|()| self.out.flush())
                } else {
                    written
                }
            }
            LogStream::Stderr => self.out.flush().and_then(|()| {
                let mut stderr = io::stderr().lock();
                stderr
                    .write_all(stamp.as_bytes())
                    .and_then(|()| stderr.write_all(&entry.text))
            }),
        };
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.broken = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn finish(mut self) -> Result<(), CliError> {
        let flushed = match self.broken.take() {
            Some(error) => Err(error),
            None => self.out.flush(),
        };
        flushed.map_err(|error| CliError::output(&error))
    }
}
