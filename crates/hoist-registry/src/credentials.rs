//! Who the user is, for which registry: Docker's `config.json` and its helper programs.

use std::{
    collections::HashMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{credential_file::CredentialFile, credential_helper::Helper, error::Result, host::HUB};

/// The key of Docker Hub in Docker's files.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// A text that no [`Debug`](fmt::Debug) and no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Guard `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What proves who the user is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// User and password, or an access token in its place.
    Password {
        /// The user.
        username: String,
        /// The password.
        password: Secret,
    },
    /// An OAuth 2 refresh token that the registry gave for the password.
    IdentityToken(Secret),
    /// A bearer token that is sent as it is.
    RegistryToken(Secret),
}

/// Where a credential went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredIn {
    /// A file, where it can be read by whoever reads the file.
    File(PathBuf),
    /// A helper program.
    Helper(String),
    /// The memory of this process.
    Memory,
}

/// The credentials of a user. Clones share what they hold.
#[derive(Clone, Default)]
pub struct Credentials {
    file: Option<Arc<CredentialFile>>,
    search_path: OsString,
    memory: Arc<Mutex<HashMap<String, Credential>>>,
}

impl Credentials {
    /// The credentials in Docker's configuration file at `path` (`~/.docker/config.json`), which
    /// need not exist. Helper programs (`docker-credential-…`) are looked for in the directories of
    /// `search_path`, which has the form of the environment's `PATH`.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>, search_path: impl Into<OsString>) -> Self {
        Self {
            file: Some(Arc::new(CredentialFile::new(path.into()))),
            search_path: search_path.into(),
            memory: Arc::default(),
        }
    }

    /// Add a credential that is written nowhere and goes before any other for `registry`.
    #[must_use]
    pub fn with(self, registry: &str, credential: Credential) -> Self {
        self.remember(registry, credential);
        self
    }

    fn remember(&self, registry: &str, credential: Credential) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.insert(server_key(registry), credential);
    }

    /// The credential for a registry, as references name it (`docker.io`, `ghcr.io`,
    /// `localhost:5000`).
    ///
    /// # Errors
    /// [`RegistryError::CredentialFile`](crate::RegistryError::CredentialFile),
    /// [`CredentialFormat`](crate::RegistryError::CredentialFormat) and
    /// [`CredentialHelper`](crate::RegistryError::CredentialHelper).
    pub fn get(&self, registry: &str) -> Result<Option<Credential>> {
        let key = server_key(registry);
        let known = self
            .memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        let (None, Some(file)) = (&known, &self.file) else {
            return Ok(known);
        };
        let config = file.read()?;
        if let Some(name) = config.helper(&key) {
            let helper = Helper::new(&name, &self.search_path);
            if let Some(credential) = helper.get(&key)? {
                return Ok(Some(credential));
            }
        }
        config.credential(&key)
    }

    /// Keep a credential: with the helper program that the file names for the registry, otherwise
    /// in the file, otherwise (without a file) in memory.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn store(
        &self,
        registry: &str,
        username: &str,
        credential: &Credential,
    ) -> Result<StoredIn> {
        let key = server_key(registry);
        let Some(file) = &self.file else {
            self.remember(registry, credential.clone());
            return Ok(StoredIn::Memory);
        };
        let config = file.read()?;
        if let Some(name) = config.helper(&key) {
            let helper = Helper::new(&name, &self.search_path);
            helper.store(&key, username, credential)?;
            file.change(|config| config.set_empty(&key))?;
            return Ok(StoredIn::Helper(helper.program().to_owned()));
        }
        file.change(|config| config.set(&key, username, credential))?;
        Ok(StoredIn::File(file.path().to_owned()))
    }

    /// Forget the credential for a registry; false when there was none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn erase(&self, registry: &str) -> Result<bool> {
        let key = server_key(registry);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut erased = memory.remove(&key).is_some();
        drop(memory);
        let Some(file) = &self.file else {
            return Ok(erased);
        };
        let config = file.read()?;
        if let Some(name) = config.helper(&key) {
            let helper = Helper::new(&name, &self.search_path);
            if helper.get(&key)?.is_some() {
                helper.erase(&key)?;
                erased = true;
            }
        }
        if config.has(&key) {
            file.change(|config| config.remove(&key))?;
            erased = true;
        }
        Ok(erased)
    }

    /// The file that credentials are read from and written to.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

/// How Docker's files name a registry.
fn server_key(registry: &str) -> String {
    match registry_name(registry) {
        HUB => HUB_KEY.to_owned(),
        host => host.to_owned(),
    }
}

/// A registry as references name it, from any way in which people write it.
pub(crate) fn registry_name(text: &str) -> &str {
    match host_of_key(text) {
        "index.docker.io" | "registry-1.docker.io" => HUB,
        host => host,
    }
}

/// `host[:port]` of a key, which old versions wrote as an address.
pub(crate) fn host_of_key(key: &str) -> &str {
    let rest = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    rest.split('/').next().unwrap_or(rest)
}
