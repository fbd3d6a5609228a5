//! Docker's `config.json` as a store of credentials. What else stands in it stays as it is.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    credentials::{Credential, Secret, host_of_key},
    error::{RegistryError, Result},
};

/// The file.
#[derive(Debug)]
pub(crate) struct CredentialFile {
    path: PathBuf,
}

/// Its content.
pub(crate) struct Config {
    path: PathBuf,
    root: Map<String, Value>,
}

impl CredentialFile {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, action: &'static str) -> impl Fn(io::Error) -> RegistryError {
        let path = self.path.clone();
        move |source| RegistryError::CredentialFile {
            action,
            path: path.clone(),
            source,
        }
    }

    /// The content; that of a file that is not there is empty.
    pub(crate) fn read(&self) -> Result<Config> {
        let bytes = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            result => result.map_err(self.failed("read"))?,
        };
        let root = if bytes.trim_ascii().is_empty() {
            Map::new()
        } else {
            serde_json::from_slice(&bytes).map_err(|error| RegistryError::CredentialFormat {
                path: self.path.clone(),
                // Its own text could quote a piece of the file.
                reason: format!(
                    "not a JSON object (line {}, column {})",
                    error.line(),
                    error.column()
                ),
            })?
        };
        Ok(Config {
            path: self.path.clone(),
            root,
        })
    }

    /// Change the content as one step: nobody reads half of it, and of two changes at the same
    /// time none is lost.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Config)) -> Result<()> {
        let failed = self.failed("write");
        // A link, as people keep their settings elsewhere, stays one.
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let directory = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        if !directory.exists() {
            fs::create_dir_all(&directory).map_err(&failed)?;
            fs::set_permissions(&directory, Permissions::from_mode(0o700)).map_err(&failed)?;
        }
        let lock = File::open(&directory).map_err(&failed)?;
        lock.lock().map_err(&failed)?;
        let mut config = self.read()?;
        change(&mut config);
        let temporary = directory.join(format!(".config.json.{}", std::process::id()));
        let written = write(&temporary, &config.text())
            .and_then(|()| fs::rename(&temporary, &target))
            .and_then(|()| lock.sync_all());
        if written.is_err() {
            // What could not be written is of no use to anybody.
            let _ = fs::remove_file(&temporary);
        }
        written.map_err(failed)
    }
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text)?;
    file.sync_all()
}

impl Config {
    /// The helper program for a registry, without its `docker-credential-`.
    pub(crate) fn helper(&self, key: &str) -> Option<String> {
        let own = self.root.get("credHelpers").and_then(|helpers| {
            let helpers = helpers.as_object()?;
            helpers.get(key).or_else(|| {
                let same = |(name, _): &(&String, &Value)| host_of_key(name) == host_of_key(key);
                helpers.iter().find(same).map(|(_, value)| value)
            })
        });
        let helper = own.or_else(|| self.root.get("credsStore"))?;
        helper
            .as_str()
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
    }

    /// The name of the entry for a registry: the key itself, or an older form of it.
    fn entry(&self, key: &str) -> Option<&str> {
        let auths = self.root.get("auths")?.as_object()?;
        let exact = auths.get_key_value(key).map(|(name, _)| name.as_str());
        exact.or_else(|| {
            let mut names = auths.keys().map(String::as_str);
            names.find(|name| host_of_key(name) == host_of_key(key))
        })
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// The credential that the file itself holds.
    pub(crate) fn credential(&self, key: &str) -> Result<Option<Credential>> {
        let Some(name) = self.entry(key) else {
            return Ok(None);
        };
        let entry = &self.root["auths"][name];
        let text = |field: &str| entry[field].as_str().filter(|text| !text.is_empty());
        if let Some(token) = text("identitytoken") {
            return Ok(Some(Credential::IdentityToken(Secret::new(token))));
        }
        if let Some(token) = text("registrytoken") {
            return Ok(Some(Credential::RegistryToken(Secret::new(token))));
        }
        if let Some(auth) = text("auth") {
            let (username, password) =
                decode(auth).ok_or_else(|| RegistryError::CredentialFormat {
                    path: self.path.clone(),
                    reason: format!("auths.{name:?}.auth is not user:password in base64"),
                })?;
            return Ok(Some(Credential::Password { username, password }));
        }
        Ok(match (text("username"), text("password")) {
            (Some(username), Some(password)) => Some(Credential::Password {
                username: username.to_owned(),
                password: Secret::new(password),
            }),
            _ => None,
        })
    }

    fn auths(&mut self) -> &mut Map<String, Value> {
        let auths = self.root.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        auths.as_object_mut().expect("made an object above")
    }

    pub(crate) fn set(&mut self, key: &str, username: &str, credential: &Credential) {
        let entry = match credential {
            Credential::Password { username, password } => {
                let pair = format!("{username}:{}", password.reveal());
                json!({ "auth": BASE64_STANDARD.encode(pair) })
            }
            Credential::IdentityToken(token) => {
                let user = format!("{username}:");
                json!({ "auth": BASE64_STANDARD.encode(user), "identitytoken": token.reveal() })
            }
            Credential::RegistryToken(token) => json!({ "registrytoken": token.reveal() }),
        };
        self.remove(key);
        self.auths().insert(key.to_owned(), entry);
    }

    /// Say that a helper program knows the registry.
    pub(crate) fn set_empty(&mut self, key: &str) {
        self.remove(key);
        self.auths().insert(key.to_owned(), json!({}));
    }

    pub(crate) fn remove(&mut self, key: &str) {
        while let Some(name) = self.entry(key).map(str::to_owned) {
            self.auths().shift_remove(&name);
        }
    }

    /// With tabs, as Docker writes it.
    fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
        self.root
            .serialize(&mut serializer)
            .expect("JSON values have a JSON form");
        text
    }
}

fn decode(auth: &str) -> Option<(String, Secret)> {
    let bytes = BASE64_STANDARD.decode(auth.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (username, password) = text.split_once(':')?;
    // Docker's own tolerance for what old versions padded.
    let password = password.trim_end_matches('\0');
    (!username.is_empty()).then(|| (username.to_owned(), Secret::new(password)))
}
