//! `start`: run containers that exist, in the background or attached to one.

use std::process::ExitCode;

use hoist_core::Kind;
use hoist_engine::{
    Engine,
    container::{AttachRequest, Container},
};

use super::{
    attached::{Session, require_terminal},
    each,
};
use crate::{args::lifecycle::StartFlags, cli::Call, error::CliError, ui::terminal};

/// `start [OPTIONS] CONTAINER [CONTAINER...]`.
pub(crate) fn start(
    call: &Call<'_>,
    flags: &StartFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let engine = call.working_engine()?;
    if !flags.attach && !flags.interactive {
        return each::container(&engine, words, |container| {
            engine
                .start(&container.record.id, None)
                .map(drop)
                .map_err(CliError::from)
        });
    }
    match words {
        [name] => attached(&engine, &engine.find(name)?, flags.interactive),
        _ => Err(CliError::invalid(
            "you cannot start and attach multiple containers at once",
        )),
    }
}

fn attached(
    engine: &Engine,
    container: &Container,
    interactive: bool,
) -> Result<ExitCode, CliError> {
    let record = &container.record;
    let stdin = interactive && record.stdin_open;
    if stdin && record.tty {
        require_terminal()?;
    }
    let size = record.tty.then(terminal::console_size).flatten();
    let Some(attachment) = engine.start(&record.id, Some(AttachRequest { stdin, size }))? else {
        return Err(CliError::of(
            Kind::Conflict,
            format!("container {} runs already", record.name),
        )
        .hint(format!("hoist logs -f {} follows its output", record.name)));
    };
    let session = Session {
        name: &record.name,
        stdin,
        tty: record.tty,
        forward_signals: true,
        memory: record.limits.memory,
    };
    session.stay(attachment)
}
