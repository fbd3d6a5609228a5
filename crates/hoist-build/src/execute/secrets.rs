//! Secrets and agents on their way into a step, and the watch that none stays in a layer.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use hoist_dockerfile::lint::is_secret;

use super::{Worker, agent::Forward, mounts::Mounts, open_directory};
use crate::{
    error::BuildError,
    plan::{MountAction, MountSource},
    request::BuildRequest,
    secret::{
        Secret, SshAgent,
        redact::Redactor,
        scan::{Finding, Scanner},
    },
    tree::{Ownership, Root},
};

/// The variable that tells programs where the agent listens.
const SSH_AUTH_SOCK: &str = "SSH_AUTH_SOCK";

/// What the build was given in confidence.
#[derive(Debug)]
pub(crate) struct Trust<'a> {
    secrets: &'a [Secret],
    agents: &'a [SshAgent],
    allowed: &'a [PathBuf],
    scanner: Scanner,
    /// Looks for the same values, and for those of build arguments that are named like secrets.
    words: Scanner,
    /// Takes secrets, and build arguments that are named like some, out of output.
    pub(crate) redactor: Redactor,
}

impl<'a> Trust<'a> {
    /// What `request` brings along.
    pub(crate) fn of(request: &'a BuildRequest) -> Self {
        let arguments = request.build_args.iter();
        let named_like_secrets = arguments
            .filter(|(name, _)| is_secret(name))
            .filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let mut words = request.secrets.clone();
        words.extend(
            named_like_secrets
                .clone()
                .map(|(name, value)| Secret::new(name, value)),
        );
        let values = named_like_secrets.map(|(_, value)| value);
        Self {
            secrets: &request.secrets,
            agents: &request.agents,
            allowed: &request.allowed_secrets,
            scanner: Scanner::new(&request.secrets),
            words: Scanner::new(&words),
            redactor: Redactor::new(&request.secrets, values),
        }
    }

    /// Look through the new layer at `layer`. The files with secrets that the build allows; one
    /// that it does not allow is an error.
    pub(super) fn check(&self, layer: &Path) -> Result<Vec<PathBuf>, BuildError> {
        let mut allowed = Vec::new();
        for Finding { path, what } in self.findings(layer)? {
            if !self.allows(&path) {
                let what = what.to_string();
                return Err(BuildError::SecretInLayer { what, path });
            }
            allowed.push(path);
        }
        Ok(allowed)
    }

    /// What is found in the tree at `path` that should not be seen by others.
    pub(crate) fn findings(&self, path: &Path) -> Result<Vec<Finding>, BuildError> {
        let root = Root::new(open_directory(path)?, PathBuf::from("/"), Ownership::Kept);
        self.scanner.scan(&root)
    }

    /// True when the value of a secret is in `text`.
    pub(crate) fn is_told_by(&self, text: &str) -> bool {
        self.words.is_in(text.as_bytes())
    }

    /// True when the build allows a secret at `path`.
    pub(crate) fn allows(&self, path: &Path) -> bool {
        self.allowed.iter().any(|known| path.starts_with(known))
    }
}

impl Worker<'_> {
    /// `type=secret`: a file, a variable, or both; nothing when the build has no such secret.
    pub(super) fn secret(
        &self,
        mounts: &mut Mounts,
        mount: &MountAction,
    ) -> Result<(), BuildError> {
        let MountSource::Secret {
            id,
            variable,
            access,
        } = &mount.source
        else {
            return Ok(());
        };
        let mut secrets = self.trust.secrets.iter();
        let Some(secret) = secrets.find(|secret| secret.id() == id) else {
            return Ok(());
        };
        if let Some(name) = variable {
            let value = OsString::from_vec(secret.value().to_vec());
            let value = value.into_string().ok();
            let Some(value) = value.filter(|value| !value.contains('\0')) else {
                return Err(BuildError::Invalid {
                    message: format!("the secret {id} cannot be a variable: it is not text"),
                    hints: vec!["mount it as a file: leave env out".to_owned()],
                });
            };
            mounts.set(name, &value);
        }
        if !mount.target.is_empty() {
            let (files, number) = mounts.private(&self.engine.settings().run)?;
            let path = files.write(&number.to_string(), secret.value(), *access)?;
            mounts.bind(path, &mount.target, true);
        }
        Ok(())
    }

    /// `type=ssh`: a socket that leads to the agent; nothing when the build has no such agent.
    pub(super) fn ssh(&self, mounts: &mut Mounts, mount: &MountAction) -> Result<(), BuildError> {
        let MountSource::Ssh { id, access } = &mount.source else {
            return Ok(());
        };
        let Some(agent) = self.trust.agents.iter().find(|agent| agent.id == *id) else {
            return Ok(());
        };
        let (files, number) = mounts.private(&self.engine.settings().run)?;
        let path = files.path(&number.to_string());
        let forward = Forward::open(&path, *access, &agent.source)?;
        mounts.forward(forward);
        let is_first = !mounts
            .variables()
            .iter()
            .any(|variable| variable.starts_with(SSH_AUTH_SOCK));
        if is_first {
            mounts.set(SSH_AUTH_SOCK, &mount.target);
        }
        mounts.bind(path, &mount.target, true);
        Ok(())
    }
}
