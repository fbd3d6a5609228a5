//! What is left of Docker's `context` where there is no daemon.

use std::process::ExitCode;

use hoist_core::Kind;
use serde_json::json;

use crate::{
    args::context::{ContextListFlags, Form, NoFlags},
    cli::Call,
    error::CliError,
    ui,
};

/// Docker's list of daemons: this machine, under the name that scripts look for.
pub(super) fn list(flags: &ContextListFlags) -> Result<ExitCode, CliError> {
    const ABOUT: &str = "This machine, without a daemon";
    let text = match (flags.quiet, flags.format.unwrap_or_default()) {
        (true, _) => "default\n".to_owned(),
        (false, Form::Json) => {
            let row = json!({
                "Name": "default",
                "Description": ABOUT,
                "DockerEndpoint": "",
                "Current": true,
                "Error": "",
                "ContextType": "hoist",
            });
            format!("{row}\n")
        }
        (false, Form::Text) => format!(
            "NAME        DESCRIPTION                      DOCKER ENDPOINT   ERROR\n\
             default *   {ABOUT}\n"
        ),
    };
    ui::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The verbs of Docker's `context` that have nothing to do here.
pub(crate) fn refuse(call: &Call<'_>, _: &NoFlags, _: &[String]) -> Result<ExitCode, CliError> {
    let text = format!(
        "{} is about daemons, and there is none: every command works on this machine",
        call.path()
    );
    Err(CliError::of(Kind::Unsupported, text)
        .hint("hoist context ls and hoist context why tell what a build reads from its context"))
}
