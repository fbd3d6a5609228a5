//! Who the build is to a git server: secrets and the agent that it was given, under BuildKit's names.

use std::ffi::OsString;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hoist_core::percent;

use super::{
    super::Supplier,
    GitRemote, Transport,
    repository::{DIRECTORY, KNOWN_HOSTS},
};
use crate::{error::BuildError, secret::SshAgent};

/// The agent that git uses.
const AGENT: &str = "default";

/// Why a repository is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trust<'a> {
    /// The user or the Dockerfile names it.
    Named,
    /// A repository on this host names it, as a submodule.
    Submodule(&'a str),
}

/// The value of the header `Authorization` for a repository on the web.
///
/// `GIT_AUTH_HEADER.<host>` and `GIT_AUTH_TOKEN.<host>` go to that host. `GIT_AUTH_HEADER` and
/// `GIT_AUTH_TOKEN` say no host: they go where the build names a repository, over TLS, and to no
/// other host that such a repository points to.
pub(super) fn header(
    supplier: &Supplier<'_>,
    remote: &GitRemote,
    trust: Trust<'_>,
) -> Option<String> {
    if !matches!(remote.transport, Transport::Http | Transport::Https) {
        return None;
    }
    if let Some(user) = &remote.user {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        return Some(basic(&percent::decode(name), &percent::decode(password)));
    }
    let named = |suffix: &str| {
        let header = supplier.secret(&format!("GIT_AUTH_HEADER{suffix}"));
        header.or_else(|| {
            let token = supplier.secret(&format!("GIT_AUTH_TOKEN{suffix}"))?;
            Some(basic(b"x-access-token", token.as_bytes()))
        })
    };
    let own = named(&format!(".{}", remote.host));
    let may_be_any = remote.transport == Transport::Https
        && match trust {
            Trust::Named => true,
            Trust::Submodule(host) => host == remote.host,
        };
    own.or_else(|| may_be_any.then(|| named("")).flatten())
        // A header is one line.
        .filter(|header| !header.contains(|c: char| c.is_control()))
}

fn basic(user: &[u8], password: &[u8]) -> String {
    let pair = [user, b":", password].concat();
    format!("basic {}", BASE64_STANDARD.encode(pair))
}

/// The agent that has the keys for `remote`.
pub(super) fn agent<'a>(
    supplier: &Supplier<'a>,
    remote: &GitRemote,
) -> Result<&'a SshAgent, BuildError> {
    let mut agents = supplier.agents.iter();
    agents
        .find(|agent| agent.id == AGENT)
        .ok_or_else(|| BuildError::Git {
            remote: remote.url.clone(),
            problem: "the build was given no SSH agent \"default\"".to_owned(),
            hints: vec!["build with --ssh default".to_owned()],
        })
}

/// How git calls ssh: no configuration, no questions, keys of the agent only. The key of a host that
/// is new is remembered, and one that differs is refused.
pub(super) fn ssh_command(supplier: &Supplier<'_>) -> Result<OsString, BuildError> {
    supplier.directory(DIRECTORY)?;
    let own = supplier.engine.settings().root.join(KNOWN_HOSTS);
    let users = supplier.access.git.known_hosts.iter();
    let mut files = String::new();
    for file in std::iter::once(&own).chain(users) {
        let text = file
            .to_str()
            .filter(|text| !text.contains(['\'', '"', '\n', '%', '$', '\\']));
        if let Some(text) = text {
            files.push_str(&format!(" \"{text}\""));
        }
    }
    Ok(OsString::from(format!(
        "ssh -F /dev/null -o BatchMode=yes -o IdentityFile=none -o StrictHostKeyChecking=accept-new \
         -o 'UserKnownHostsFile={}'",
        files.trim_start()
    )))
}

/// What helps with what git says.
pub(super) fn hints(remote: &GitRemote, said: &str) -> Vec<String> {
    let host = &remote.host;
    let table = [
        (
            ["could not read Username", "Authentication failed", "returned error: 403"],
            format!(
                "the repository is not there, or not for everybody: give a token, --secret id=GIT_AUTH_TOKEN.{host},env=…"
            ),
        ),
        (
            ["Permission denied (publickey", "no mutual signature", "Permission denied, please"],
            "the agent has no key that the server takes: ssh-add, and build with --ssh default"
                .to_owned(),
        ),
        (
            ["Host key verification failed", "HOST IDENTIFICATION HAS CHANGED", "host key for"],
            format!("the server is not the one that was known as {host}: check its key, then ssh-keygen -R {host}"),
        ),
        (
            ["unable to update url base from redirection", "returned error: 301", "returned error: 302"],
            "the repository has moved: name its new address; a redirect is not followed with credentials"
                .to_owned(),
        ),
        (
            ["cannot run ssh", "ssh: not found", "ssh: command not found"],
            "install ssh: apt-get install openssh-client".to_owned(),
        ),
        (
            ["Could not resolve host", "Connection refused", "Failed to connect"],
            "check the address, the network, and whether a proxy has to be set (HTTPS_PROXY)".to_owned(),
        ),
    ];
    let fits = |words: &[&str]| words.iter().any(|word| said.contains(word));
    table
        .into_iter()
        .filter(|(words, _)| fits(words))
        .map(|(_, hint)| hint)
        .take(1)
        .collect()
}
