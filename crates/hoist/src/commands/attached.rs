//! Staying with a container: the user's streams, terminal and signals become its own.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    process::ExitCode,
};

use hoist_core::Kind;
use hoist_engine::{
    EngineError,
    attach::{Attachment, Ended, Stay, Streams},
};

use crate::{
    error::{BROKEN_PIPE, CliError},
    ui::{self, terminal},
};

/// How to stay with a container.
#[derive(Debug)]
pub(super) struct Session<'a> {
    /// The container's name.
    pub(super) name: &'a str,
    /// Feed its standard input.
    pub(super) stdin: bool,
    /// It has a terminal.
    pub(super) tty: bool,
    /// Pass signals on to it.
    pub(super) forward_signals: bool,
    /// Its memory limit in bytes.
    pub(super) memory: Option<u64>,
}

impl Session<'_> {
    /// Copy between the user and the container until it ends or the user detaches; the container's
    /// exit code becomes the command's own.
    pub(super) fn stay(&self, attachment: Attachment) -> Result<ExitCode, CliError> {
        let raw = (self.stdin && self.tty)
            .then(terminal::RawMode::enter)
            .flatten();
        let streams = streams(self.stdin, raw.is_some(), self.forward_signals)?;
        let stay = attachment.pump(streams);
        drop(raw);
        let stay = stay.map_err(|error| match error {
            // As a program whose reader goes away, but the container does not go with it.
            EngineError::OutputClosed(_) => {
                ui::error(&CliError::from(error).text("hoist"));
                CliError::Said(BROKEN_PIPE)
            }
            other => other.into(),
        });
        match stay? {
            Stay::Ended(ended) => {
                self.report(&ended);
                Ok(exit_code(ended.exit_code))
            }
            Stay::Detached => {
                ui::note(&format!("\nhoist: {} goes on running", self.name));
                Ok(ExitCode::SUCCESS)
            }
            Stay::Interrupted(signal) => Ok(exit_code(128 + signal)),
        }
    }

    /// What the exit code alone does not tell.
    fn report(&self, Ended { status, .. }: &Ended) {
        if let Some(line) = status.oom_line(self.memory) {
            ui::note(&format!("hoist: {} was {line}", self.name));
        } else if let Some(error) = &status.error {
            ui::note(&format!("hoist: {}: {error}", self.name));
        }
        if let Some(note) = &status.stop_note {
            ui::note(&format!("hoist: {note}"));
        }
    }
}

/// Docker's check before a terminal is fed.
pub(super) fn require_terminal() -> Result<(), CliError> {
    if terminal::stdin_is_terminal() {
        return Ok(());
    }
    ui::note("the input device is not a TTY");
    ui::note("hint: leave out -t when the input is a file or a pipe");
    Err(CliError::Said(1))
}

/// The user's standard streams, as descriptors of their own; with `tty` input is in raw mode.
pub(super) fn streams(stdin: bool, tty: bool, forward_signals: bool) -> Result<Streams, CliError> {
    Ok(Streams {
        stdin: if stdin {
            Some(copy(io::stdin().as_fd())?)
        } else {
            None
        },
        stdout: copy(io::stdout().as_fd())?,
        stderr: copy(io::stderr().as_fd())?,
        tty,
        forward_signals,
    })
}

fn copy(fd: BorrowedFd<'_>) -> Result<OwnedFd, CliError> {
    fd.try_clone_to_owned().map_err(|error| {
        CliError::of(
            Kind::Unavailable,
            format!("cannot copy a standard stream: {error}"),
        )
    })
}

/// A container's exit code as this program's own.
pub(super) fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}
