//! The servers that one registry is made of: its mirrors, and itself.

use std::sync::{Mutex, PoisonError};

use ureq::http::{Method, Uri};

use crate::{
    access::AccessState,
    error::{RegistryError, Result},
    mirror::Mirror,
    options::Options,
    url::Origin,
    wire::{Request, Wire},
};

/// Docker Hub, as references name it.
pub(crate) const HUB: &str = "docker.io";
/// Where Docker Hub's registry answers.
const HUB_HOST: &str = "registry-1.docker.io";

/// A server that speaks the distribution API.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Whom users log in to: `docker.io`, `localhost:5000`.
    pub(crate) registry: String,
    /// `host[:port]` of the API.
    authority: String,
    /// In front of the paths of repositories; of mirrors only.
    prefix: String,
    /// The address of the mirror, as it was written; `None` for the registry itself.
    pub(crate) mirror: Option<String>,
    /// With TLS or without; unknown until an insecure registry was asked.
    https: Mutex<Option<bool>>,
    /// Challenge and tokens.
    pub(crate) access: Mutex<AccessState>,
}

impl Endpoint {
    /// The registry itself.
    pub(crate) fn of_registry(registry: &str, wire: &Wire) -> Self {
        let authority = if registry == HUB { HUB_HOST } else { registry };
        let https = if wire.is_insecure(authority) {
            None
        } else {
            Some(true)
        };
        Self {
            registry: registry.to_owned(),
            authority: authority.to_owned(),
            prefix: String::new(),
            mirror: None,
            https: Mutex::new(https),
            access: Mutex::default(),
        }
    }

    /// A mirror, whose scheme was written down by the user.
    pub(crate) fn of_mirror(mirror: &Mirror) -> Self {
        let authority = mirror.origin.authority();
        Self {
            registry: authority.clone(),
            authority,
            prefix: mirror.prefix.clone(),
            mirror: Some(mirror.text.clone()),
            https: Mutex::new(Some(mirror.origin.https)),
            access: Mutex::default(),
        }
    }

    /// The path of a repository on this server.
    pub(crate) fn path(&self, repository: &str) -> String {
        if self.prefix.is_empty() {
            repository.to_owned()
        } else {
            format!("{}/{repository}", self.prefix)
        }
    }

    /// The address of `rest` below `/v2/`.
    ///
    /// # Errors
    /// As the first request to an insecure registry.
    pub(crate) fn uri(&self, wire: &Wire, options: &Options, rest: &str) -> Result<Uri> {
        let scheme = if self.https(wire, options)? {
            "https"
        } else {
            "http"
        };
        address(scheme, &self.authority, rest)
    }

    /// Whether the server speaks TLS. An insecure one is asked, with TLS first.
    fn https(&self, wire: &Wire, options: &Options) -> Result<bool> {
        let mut known = self.https.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(https) = *known {
            return Ok(https);
        }
        let ask = |scheme| {
            let uri = address(scheme, &self.authority, "")?;
            wire.exchange(options, &mut Request::new(Method::GET, uri), None)
        };
        let https = match ask("https") {
            Ok(_) => true,
            Err(error @ RegistryError::Connection { .. }) => match ask("http") {
                Ok(_) => false,
                // Where there is TLS, and it fails, plain text fails with nothing to learn.
                Err(_) if speaks_tls(&error) => return Err(error),
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error),
        };
        *known = Some(https);
        Ok(https)
    }

    /// The origin of the server, once it is known.
    pub(crate) fn origin(&self, wire: &Wire, options: &Options) -> Result<Origin> {
        let uri = self.uri(wire, options, "")?;
        Ok(Origin::of(&uri).expect("an address with scheme and host"))
    }
}

/// The failure of something that answers with TLS.
fn speaks_tls(error: &RegistryError) -> bool {
    use crate::error::Broken;
    matches!(
        error,
        RegistryError::Connection {
            reason: Broken::Expired | Broken::UnknownAuthority | Broken::WrongName,
            ..
        }
    )
}

fn address(scheme: &str, authority: &str, rest: &str) -> Result<Uri> {
    format!("{scheme}://{authority}/v2/{rest}").parse().map_err(
        |error: ureq::http::uri::InvalidUri| RegistryError::Option {
            what: "registry",
            value: authority.to_owned(),
            reason: error.to_string(),
        },
    )
}
