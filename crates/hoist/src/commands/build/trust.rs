//! The secrets and agents that the flags name, read from files and the environment.

use std::{
    io::Read,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use hoist_build::{AgentSource, MAX_SECRET_BYTES, Secret, SshAgent, SshKey};
use hoist_core::Kind;

use crate::{
    args::build::trust::{AgentSource as Named, SecretFrom, SecretSource},
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
pub(super) fn agents(sources: &[Named]) -> Result<Vec<SshAgent>, CliError> {
    sources.iter().map(agent).collect()
}

fn agent(named: &Named) -> Result<SshAgent, CliError> {
    let Named { id, paths } = named;
    let source = match paths.as_slice() {
        [] => AgentSource::Socket(from_environment(id)?),
        [path] if is_socket(path)? => AgentSource::Socket(path.clone()),
        paths => {
            let keys = paths.iter().map(|path| key(path));
            AgentSource::Keys(keys.collect::<Result<Vec<_>, _>>()?.into())
        }
    };
    Ok(SshAgent {
        id: id.clone(),
        source,
    })
}

fn from_environment(id: &str) -> Result<PathBuf, CliError> {
    let start = "start an agent and give it the key: eval $(ssh-agent); ssh-add; or name the key: --ssh default=FILE";
    let socket = settings::variable("SSH_AUTH_SOCK").ok_or_else(|| {
        let text = format!("invalid agent {id}: SSH_AUTH_SOCK is not set");
        CliError::of(Kind::NotFound, text).hint(start)
    })?;
    let socket = PathBuf::from(socket);
    if is_socket(&socket)? {
        return Ok(socket);
    }
    let text = format!("{} is no socket of an SSH agent", socket.display());
    Err(CliError::of(Kind::Invalid, text).hint(start))
}

fn is_socket(path: &Path) -> Result<bool, CliError> {
    let found = std::fs::metadata(path)
        .map_err(|error| CliError::file("reach the SSH agent or key at", path, &error))?;
    Ok(found.file_type().is_socket())
}

/// The key in the file at `path`.
fn key(path: &Path) -> Result<SshKey, CliError> {
    let text =
        std::fs::read(path).map_err(|error| CliError::file("read the SSH key", path, &error))?;
    SshKey::parse(&text, &path.display().to_string()).map_err(|reason| {
        let text = format!("cannot use the SSH key {}: {reason}", path.display());
        CliError::of(Kind::Invalid, text)
            .hint("give it to an agent: eval $(ssh-agent); ssh-add FILE; then: --ssh default")
    })
}
