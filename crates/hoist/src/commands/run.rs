//! `run`: make a container, start it, and stay with it until it ends.

use std::process::ExitCode;

use hoist_engine::{
    Engine,
    container::{AttachRequest, Created},
};

use super::{
    attached::{Origin, Session, require_terminal},
    create, request,
};
use crate::{
    args::container::RunFlags,
    cli::Call,
    error::CliError,
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
    create::needed(container, &request).obtain(&engine)?;
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
    let session = Session {
        name: &created.name,
        origin: Some(Origin {
            engine: &engine,
            image: &request.image,
            user: request.user.as_deref(),
        }),
        stdin: container.interactive,
        tty: container.tty,
        forward_signals: flags.sig_proxy,
        memory: request.limits.memory,
    };
    session.stay(attachment)
}

/// Leave nothing of a container that could not be started.
fn give_up(engine: &Engine, created: &Created, id_file: Option<&std::path::Path>) {
    create::undo(engine, created);
    if let Some(path) = id_file {
        drop(std::fs::remove_file(path));
    }
}
