//! How this user speaks to registries.
//!
//! | from | what |
//! |---|---|
//! | `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json` | credentials and their helper programs |
//! | `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, or in small letters | proxies |
//! | `SSL_CERT_FILE`, else the bundle of the distribution | certificate authorities |
//! | `/etc/docker/certs.d`, `/etc/containers/certs.d`, `~/.config/docker/certs.d` | authorities and client certificates of single registries |
//! | `/etc/docker/daemon.json` | `insecure-registries` and `registry-mirrors` |
//! | `$HOIST_REGISTRIES`, else `/etc/hoist/registries.json` | the same as `insecure` and `mirrors`, the latter for any registry |

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use hoist_registry::{Credentials, Options, Proxies};
use serde::{Deserialize, de::DeserializeOwned};

use crate::error::CliError;

const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What of Docker's `daemon.json` is about registries.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Daemon {
    insecure_registries: Vec<String>,
    registry_mirrors: Vec<String>,
}

/// `registries.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Registries {
    insecure: Vec<String>,
    mirrors: BTreeMap<String, Vec<String>>,
}

/// The options of a registry client, as the environment and the files of this machine have them.
///
/// # Errors
/// When a file cannot be read or is malformed.
pub(crate) fn options() -> Result<Options, CliError> {
    let daemon: Daemon = read(Path::new("/etc/docker/daemon.json"))?;
    let own = variable("HOIST_REGISTRIES").map_or_else(
        || PathBuf::from("/etc/hoist/registries.json"),
        PathBuf::from,
    );
    let mut registries: Registries = read(&own)?;
    registries.insecure.extend(daemon.insecure_registries);
    if !daemon.registry_mirrors.is_empty() {
        let hub = registries.mirrors.entry("docker.io".to_owned());
        hub.or_default().extend(daemon.registry_mirrors);
    }
    Ok(Options {
        credentials: credentials(),
        host_authorities: authorities(),
        certificates: certificates(),
        insecure: registries.insecure,
        mirrors: registries.mirrors,
        proxies: proxies(),
        ..Options::default()
    })
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn home() -> Option<PathBuf> {
    variable("HOME").map(PathBuf::from)
}

fn credentials() -> Credentials {
    let directory = variable("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| home().map(|home| home.join(".docker")));
    match directory {
        Some(directory) => {
            let path = env::var_os("PATH").unwrap_or_default();
            Credentials::file(directory.join("config.json"), path)
        }
        None => Credentials::default(),
    }
}

/// The first bundle that there is. One that cannot be read is as good as none: the client has a
/// list of its own.
pub(super) fn authorities() -> Option<Vec<u8>> {
    let named = variable("SSL_CERT_FILE").map(PathBuf::from);
    let usual = BUNDLES.iter().map(PathBuf::from);
    named
        .into_iter()
        .chain(usual)
        .find_map(|path| fs::read(path).ok())
}

fn certificates() -> Vec<PathBuf> {
    let system = ["/etc/docker/certs.d", "/etc/containers/certs.d"];
    let mut directories: Vec<_> = system.iter().map(PathBuf::from).collect();
    directories.extend(home().map(|home| home.join(".config/docker/certs.d")));
    directories
}

pub(super) fn proxies() -> Proxies {
    let either = |name: &str| {
        let found = variable(name).or_else(|| variable(&name.to_ascii_lowercase()));
        found.map(|value| value.to_string_lossy().into_owned())
    };
    Proxies {
        http: either("HTTP_PROXY"),
        https: either("HTTPS_PROXY"),
        no_proxy: either("NO_PROXY").unwrap_or_default(),
    }
}

fn read<T: DeserializeOwned + Default>(path: &Path) -> Result<T, CliError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(T::default()),
        Err(error) => return Err(CliError::file("read", path, &error)),
    };
    serde_json::from_slice(&text)
        .map_err(|error| CliError::invalid(format!("{} is malformed: {error}", path.display())))
}
