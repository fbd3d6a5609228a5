//! `version`: what this binary is.

use std::process::ExitCode;

use hoist_core::Platform;
use serde_json::{Value, json};

use crate::{args::system::FormatFlags, cli::Call, error::CliError, format, ui};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `version [OPTIONS]`.
pub(crate) fn version(
    _: &Call<'_>,
    flags: &FormatFlags,
    _: &[String],
) -> Result<ExitCode, CliError> {
    let text = match flags.format.as_deref() {
        None | Some("") => plain(),
        format => format::document(&document(), format)?,
    };
    ui::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What `--version` prints.
pub(crate) fn one_line() -> String {
    format!("hoist version {VERSION}")
}

/// Docker's document: client and server are this one binary.
fn document() -> Value {
    let Platform {
        os, architecture, ..
    } = Platform::host();
    let half = json!({
        "Platform": { "Name": "hoist" },
        "Version": VERSION,
        "Os": os,
        "Arch": architecture,
    });
    let mut client = half.clone();
    client["Context"] = json!("default");
    let mut server = half;
    server["Components"] = json!([{
        "Name": "Engine",
        "Version": VERSION,
        "Details": { "Os": os, "Arch": architecture },
    }]);
    json!({ "Client": client, "Server": server })
}

fn plain() -> String {
    let platform = Platform::host();
    format!(
        "Client: hoist\n Version:           {VERSION}\n OS/Arch:           {platform}\n\n\
         Server: none (hoist has no daemon; every command does its own work)\n Engine:\n  \
         Version:          {VERSION}\n  OS/Arch:          {platform}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_and_server_have_dockers_fields() {
        let document = document();
        let text = format::document(
            &document,
            Some("{{.Server.Version}} {{.Client.Version}} {{.Client.Os}}"),
        )
        .unwrap();
        assert_eq!(text, format!("{VERSION} {VERSION} linux\n"));
    }
}
