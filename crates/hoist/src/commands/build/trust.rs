//! The secrets and agents that the flags name, read from files and the environment.

use std::{
    io::Read,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use hoist_build::{MAX_SECRET_BYTES, Secret, SshAgent};
use hoist_core::Kind;

use crate::{
    args::build::trust::{AgentSource, SecretFrom, SecretSource},
    error::CliError,
    settings,
};

/// The secrets of `--secret`.
pub(super) fn secrets(sources: &[SecretSource]) -> Result<Vec<Secret>, CliError> {
    sources.iter().map(secret).collect()
}

fn secret(source: &SecretSource) -> Result<Secret, CliError> {
    let SecretSource { id, from } = source;
    let value = match from {
        SecretFrom::File(path) => file(id, path)?,
        SecretFrom::Variable(name) => settings::variable(name)
            .ok_or_else(|| {
                let text = format!("secret {id}: the environment has no variable {name}");
                CliError::of(Kind::NotFound, text).hint(format!(
                    "set it first: export {name}=…, or name a file with src="
                ))
            })?
            .into_bytes(),
        SecretFrom::Named => match settings::variable(id) {
            Some(value) => value.into_bytes(),
            None => file(id, Path::new(id))?,
        },
    };
    if value.len() > MAX_SECRET_BYTES {
        return Err(CliError::invalid(format!(
            "secret {id} is too large: {} bytes, at most {MAX_SECRET_BYTES} are possible",
            value.len()
        )));
    }
    Ok(Secret::new(id, value))
}

fn file(id: &str, path: &Path) -> Result<Vec<u8>, CliError> {
    let read = || {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        let most = MAX_SECRET_BYTES as u64 + 1;
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let what = format!("read the secret {id} from");
    read().map_err(|error| CliError::file(&what, path, &error))
}

/// The agents of `--ssh`.
pub(super) fn agents(sources: &[AgentSource]) -> Result<Vec<SshAgent>, CliError> {
    sources.iter().map(agent).collect()
}

fn agent(source: &AgentSource) -> Result<SshAgent, CliError> {
    let AgentSource { id, socket } = source;
    let start = "start an agent and give it the key: eval $(ssh-agent); ssh-add";
    let socket = match socket {
        Some(socket) => socket.clone(),
        None => settings::variable("SSH_AUTH_SOCK")
            .map(PathBuf::from)
            .ok_or_else(|| {
                let text = format!("invalid agent {id}: SSH_AUTH_SOCK is not set");
                CliError::of(Kind::NotFound, text).hint(start)
            })?,
    };
    let found = std::fs::metadata(&socket)
        .map_err(|error| CliError::file("reach the SSH agent at", &socket, &error))?;
    if !found.file_type().is_socket() {
        let text = format!(
            "{} is no socket: this version of hoist forwards to an agent, keys themselves stay with it",
            socket.display()
        );
        return Err(CliError::of(Kind::Unsupported, text).hint(start));
    }
    Ok(SshAgent {
        id: id.clone(),
        socket,
    })
}
