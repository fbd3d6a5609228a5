//! `run`: make a container, start it, and stay with it until it ends.

use std::process::ExitCode;

use hoist_engine::{
    Engine, EngineError,
    attach::{Attachment, Ended, Streams},
    container::{AttachRequest, Created},
};

use super::{create, request};
use crate::{
    args::container::RunFlags,
    cli::Call,
    error::{BROKEN_PIPE, CliError},
    ui::{self, terminal},
};

/// For `--help`.
pub(crate) const EXAMPLES: &str = "
  Try a command in a fresh container, and remove it afterwards:
    hoist run --rm -it debian:bookworm-slim bash

  Run a service in the background, published on port 8000, with 512 MiB of memory:
    hoist run -d --name api -p 8000:8000 -m 512m my-api:1.0

  The same with settings from a file and the working directory mounted:
    hoist run -d --name api -p 8000:8000 --env-file .env -v .:/app my-api:1.0
";

/// `run [OPTIONS] IMAGE [COMMAND] [ARG...]`.
pub(crate) fn run(
    call: &Call<'_>,
    flags: &RunFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let container = &flags.container;
    let request = request::from_flags(container, words)?;
    if !flags.detach && container.tty && container.interactive {
        require_terminal()?;
    }
    let id_file_path = container.cidfile.clone();
    let id_file = id_file_path
        .as_deref()
        .map(create::IdFile::claim)
        .transpose()?;
    let engine = call.working_engine()?;
    let created = create::make(&engine, &request, id_file)?;
    let attach = (!flags.detach).then(|| AttachRequest {
        stdin: container.interactive,
        size: container.tty.then(terminal::console_size).flatten(),
    });
    let attachment = match engine.start(&created.id, attach) {
        Ok(attachment) => attachment,
        Err(error) => {
            give_up(&engine, &created, id_file_path.as_deref());
            return Err(error.into());
        }
    };
    let Some(attachment) = attachment else {
        ui::line(created.id.as_str())?;
        return Ok(ExitCode::SUCCESS);
    };
    let ended = stay(
        attachment,
        container.interactive,
        container.tty,
        flags.sig_proxy,
    )?;
    report(&ended, &created.name, request.limits.memory);
    Ok(exit_code(ended.exit_code))
}

/// Leave nothing of a container that could not be started.
fn give_up(engine: &Engine, created: &Created, id_file: Option<&std::path::Path>) {
    create::undo(engine, created);
    if let Some(path) = id_file {
        drop(std::fs::remove_file(path));
    }
}

/// Docker's check before a terminal is fed.
pub(crate) fn require_terminal() -> Result<(), CliError> {
    if terminal::stdin_is_terminal() {
        return Ok(());
    }
    ui::note("the input device is not a TTY");
    ui::note("hint: leave out -t when the input is a file or a pipe");
    Err(CliError::Said(1))
}

/// Copy between the user and the container until it ends.
pub(crate) fn stay(
    attachment: Attachment,
    stdin: bool,
    tty: bool,
    forward_signals: bool,
) -> Result<Ended, CliError> {
    let raw = (stdin && tty).then(terminal::RawMode::enter).flatten();
    let streams = streams(stdin, raw.is_some(), forward_signals)?;
    let ended = attachment.pump(streams);
    drop(raw);
    ended.map_err(|error| match error {
        // As a program whose reader goes away, but the container does not go with it.
        EngineError::OutputClosed(_) => {
            ui::error(&CliError::from(error).text("hoist"));
            CliError::Said(BROKEN_PIPE)
        }
        other => other.into(),
    })
}

/// The user's standard streams, as descriptors of their own.
pub(crate) fn streams(stdin: bool, tty: bool, forward_signals: bool) -> Result<Streams, CliError> {
    let copy = |fd: std::os::fd::BorrowedFd<'_>| {
        fd.try_clone_to_owned().map_err(|error| {
            CliError::of(
                hoist_core::Kind::Unavailable,
                format!("cannot copy a descriptor: {error}"),
            )
        })
    };
    use std::os::fd::AsFd as _;
    Ok(Streams {
        stdin: if stdin {
            Some(copy(std::io::stdin().as_fd())?)
        } else {
            None
        },
        stdout: copy(std::io::stdout().as_fd())?,
        stderr: copy(std::io::stderr().as_fd())?,
        tty,
        forward_signals,
    })
}

/// What the exit code alone does not tell.
pub(crate) fn report(ended: &Ended, name: &str, memory: Option<u64>) {
    if let Some(line) = ended.status.oom_line(memory) {
        ui::note(&format!("hoist: {name} was {line}"));
    } else if let Some(error) = &ended.status.error {
        ui::note(&format!("hoist: {name}: {error}"));
    }
    if let Some(note) = &ended.status.stop_note {
        ui::note(&format!("hoist: {note}"));
    }
}

/// A container's exit code as this program's own.
pub(crate) fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}
