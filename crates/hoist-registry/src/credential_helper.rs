//! `docker-credential-…` programs: the protocol of docker-credential-helpers.

use std::{
    ffi::OsStr,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use crate::{
    credentials::{Credential, Secret},
    error::{RegistryError, Result},
};

/// The user name that stands for an identity token.
const TOKEN_USER: &str = "<token>";
/// What helpers say when they have nothing; the words are part of the protocol.
const NOTHING: [&str; 2] = [
    "credentials not found in native keychain",
    "no credentials server URL",
];

/// A helper program.
#[derive(Debug)]
pub(crate) struct Helper {
    program: String,
    path: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(rename = "ServerURL", default)]
    server: String,
    username: String,
    secret: String,
}

impl Helper {
    /// The helper that is called `name` in the configuration.
    pub(crate) fn new(name: &str, search_path: &OsStr) -> Self {
        let program = format!("docker-credential-{name}");
        // The name comes from a file; it is no way out of the search path.
        let path = (!name.contains('/'))
            .then(|| find(&program, search_path))
            .flatten();
        Self { program, path }
    }

    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    pub(crate) fn get(&self, server: &str) -> Result<Option<Credential>> {
        let Some(output) = self.run("get", server.as_bytes())? else {
            return Ok(None);
        };
        // The error of the parser could quote the secret.
        let entry: Entry = serde_json::from_slice(&output)
            .map_err(|_| self.failure("get", "its answer is not the expected JSON"))?;
        if entry.username == TOKEN_USER {
            return Ok(Some(Credential::IdentityToken(Secret::new(entry.secret))));
        }
        Ok((!entry.username.is_empty()).then(|| Credential::Password {
            username: entry.username,
            password: Secret::new(entry.secret),
        }))
    }

    pub(crate) fn store(
        &self,
        server: &str,
        username: &str,
        credential: &Credential,
    ) -> Result<()> {
        let (username, secret) = match credential {
            Credential::Password { password, .. } => (username, password),
            Credential::IdentityToken(token) | Credential::RegistryToken(token) => {
                (TOKEN_USER, token)
            }
        };
        let entry = Entry {
            server: server.to_owned(),
            username: username.to_owned(),
            secret: secret.reveal().to_owned(),
        };
        let input = serde_json::to_vec(&entry).expect("three texts have a JSON form");
        self.run("store", &input).map(drop)
    }

    pub(crate) fn erase(&self, server: &str) -> Result<()> {
        self.run("erase", server.as_bytes()).map(drop)
    }

    /// Its output; `None` when it has no credential.
    fn run(&self, verb: &'static str, input: &[u8]) -> Result<Option<Vec<u8>>> {
        let failure = |reason: &str| self.failure(verb, reason);
        let path = self
            .path
            .as_ref()
            .ok_or_else(|| failure("executable file not found in the search path"))?;
        let mut child = Command::new(path)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failure(&error.to_string()))?;
        // A program that does not read its input says why on its output.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input));
        let output = child
            .wait_with_output()
            .map_err(|error| failure(&error.to_string()))?;
        if output.status.success() {
            return Ok(Some(output.stdout));
        }
        let said = String::from_utf8_lossy(if output.stdout.trim_ascii().is_empty() {
            &output.stderr
        } else {
            &output.stdout
        });
        let said = said.trim();
        if NOTHING.iter().any(|words| said.contains(words)) {
            return Ok(None);
        }
        let reason = if said.is_empty() {
            output.status.to_string()
        } else {
            said.chars().take(300).collect()
        };
        Err(failure(&reason))
    }

    fn failure(&self, verb: &'static str, reason: &str) -> RegistryError {
        RegistryError::CredentialHelper {
            program: self.program.clone(),
            verb,
            reason: reason.to_owned(),
        }
    }
}

fn find(program: &str, search_path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(search_path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(program))
        .find(|path| {
            path.metadata().is_ok_and(|metadata| {
                metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
            })
        })
}
