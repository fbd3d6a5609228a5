//! How builds of this user reach what lies elsewhere: web servers as registries are reached
//! ([`registries`](super::registries)), repositories with the machine's git.
//!
//! | from | what |
//! |---|---|
//! | `PATH` | where `git` and `ssh` are |
//! | `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, `ALL_PROXY`, or in small letters | proxies |
//! | `SSL_CERT_FILE` | certificate authorities, for git too |
//! | `~/.ssh/known_hosts`, `/etc/ssh/ssh_known_hosts` | keys of ssh servers |

use std::{
    env,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use hoist_build::{GitProgram, RemoteAccess};
use hoist_registry::{Downloader, Options};

use crate::error::CliError;

/// Variables of proxies that git reads.
const PROXIES: [&str; 8] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
];

/// What a build may reach, until `cancelled` is raised.
///
/// # Errors
/// When a proxy is malformed.
pub(crate) fn access(cancelled: &Arc<AtomicBool>) -> Result<RemoteAccess, CliError> {
    let options = Options {
        host_authorities: super::registries::authorities(),
        proxies: super::registries::proxies(),
        cancelled: Arc::clone(cancelled),
        ..Options::default()
    };
    Ok(RemoteAccess::new(Downloader::new(options)?, git()))
}

fn git() -> GitProgram {
    let given = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let proxies = PROXIES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), given(name)?)));
    let authorities = given("SSL_CERT_FILE").map(|file| ("GIT_SSL_CAINFO".to_owned(), file));
    let home = given("HOME").map(|home| PathBuf::from(home).join(".ssh/known_hosts"));
    let system = PathBuf::from("/etc/ssh/ssh_known_hosts");
    GitProgram {
        path: env::var_os("PATH").unwrap_or_default(),
        variables: proxies.chain(authorities).collect(),
        known_hosts: home.into_iter().chain([system]).collect(),
    }
}
