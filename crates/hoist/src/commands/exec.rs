//! `exec`: one more process in a running container.

use std::process::ExitCode;

use hoist_engine::container::ExecRequest;

use super::{request, run};
use crate::{args::container::ExecFlags, cli::Call, error::CliError, ui::terminal};

/// `exec [OPTIONS] CONTAINER COMMAND [ARG...]`.
pub(crate) fn exec(
    call: &Call<'_>,
    flags: &ExecFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let Some((name, command)) = words.split_first() else {
        return Err(CliError::invalid("no container given"));
    };
    let attached = !flags.detach;
    if attached && flags.tty && flags.interactive {
        run::require_terminal()?;
    }
    let env = request::environment(&flags.env_file, &flags.env)?;
    let engine = call.engine()?;
    let container = engine.find(name)?;
    let request = ExecRequest {
        command: command.to_vec(),
        env,
        user: flags.user.clone(),
        working_dir: flags.workdir.clone(),
        tty: flags.tty,
        stdin: flags.interactive,
        detach: flags.detach,
        size: flags.tty.then(terminal::console_size).flatten(),
    };
    let raw = (attached && flags.tty && flags.interactive)
        .then(terminal::RawMode::enter)
        .flatten();
    let streams = run::streams(flags.interactive, raw.is_some(), true)?;
    let code = engine.exec(&container, &request, &streams);
    drop(raw);
    Ok(run::exit_code(code?))
}
