//! Tokens: the distribution project's token specification, by password or (OAuth 2) by identity
//! token.

use std::time::{Duration, Instant};

use serde::Deserialize;
use ureq::http::{Method, Uri};

use crate::{
    access::basic,
    credentials::{Credential, Secret},
    error::{RegistryError, Result},
    host::Endpoint,
    registry::Registry,
    retry::retrying,
    url::{Origin, escape},
    wire::{Body, Request, refused},
};

/// The longest answer of a token server.
const MAX_ANSWER: u64 = 1024 * 1024;
/// The life of a token that does not say (the specification's default).
const DEFAULT_LIFE: Duration = Duration::from_mins(1);
/// A token that ends so soon is not used any more.
const MARGIN: Duration = Duration::from_secs(10);

/// A token for some scopes.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) text: Secret,
    ends: Option<Instant>,
}

impl Token {
    pub(crate) fn is_fresh(&self) -> bool {
        self.ends.is_none_or(|ends| Instant::now() < ends)
    }
}

/// What a token server gives.
pub(crate) struct Granted {
    pub(crate) token: Token,
    /// To be kept instead of the password.
    pub(crate) identity: Option<Secret>,
}

/// Who gives tokens for a registry.
pub(crate) struct TokenServer<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) realm: &'a str,
    pub(crate) service: Option<&'a str>,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
    refresh_token: Option<String>,
}

impl TokenServer<'_> {
    /// A token for `scopes`; anonymous without a credential. `keep` asks for an identity token.
    ///
    /// # Errors
    /// [`RegistryError::Unauthorized`] when the server does not like the credential.
    pub(crate) fn fetch(
        &self,
        scopes: &[String],
        credential: Option<&Credential>,
        keep: bool,
    ) -> Result<Granted> {
        if let Some(Credential::RegistryToken(token)) = credential {
            return Ok(Granted {
                token: Token {
                    text: self.checked(token.reveal())?,
                    ends: None,
                },
                identity: None,
            });
        }
        let realm = self.realm()?;
        let options = self.registry.options();
        let bytes = retrying(options, || {
            let response = match credential {
                Some(Credential::IdentityToken(identity)) => {
                    let form = self.form(scopes, identity);
                    let mut request = Request::new(Method::POST, realm.clone())
                        .header("content-type", "application/x-www-form-urlencoded");
                    request.body = Body::Bytes(form.as_bytes());
                    self.registry.wire().exchange(options, &mut request, None)?
                }
                Some(Credential::Password { username, password }) => {
                    let uri = self.question(&realm, scopes, Some(username), keep)?;
                    let mut request = Request::new(Method::GET, uri);
                    let authorization = basic(username, password);
                    self.registry
                        .wire()
                        .exchange(options, &mut request, Some(&authorization))?
                }
                _ => {
                    let uri = self.question(&realm, scopes, None, false)?;
                    let mut request = Request::new(Method::GET, uri);
                    self.registry.wire().exchange(options, &mut request, None)?
                }
            };
            response
                .checked()?
                .bytes("the answer of the token server", MAX_ANSWER)
        })
        .map_err(|error| self.failure(error, credential))?;
        self.granted(&bytes)
    }

    /// Where tokens come from. Never over plain HTTP, unless the registry itself is.
    fn realm(&self) -> Result<Uri> {
        let registry = self.registry;
        let own = self.endpoint.uri(registry.wire(), registry.options(), "")?;
        let realm: Uri = self
            .realm
            .parse()
            .ok()
            .filter(|uri| Origin::of(uri).is_some())
            .ok_or_else(|| RegistryError::Malformed {
                what: format!("the challenge of {}", self.endpoint.registry),
                reason: format!("{:?} is not the address of a token server", self.realm),
            })?;
        if own.scheme_str() == Some("https") && realm.scheme_str() != Some("https") {
            return Err(refused(&own, &realm, "a token server without TLS"));
        }
        Ok(realm)
    }

    fn question(
        &self,
        realm: &Uri,
        scopes: &[String],
        account: Option<&str>,
        keep: bool,
    ) -> Result<Uri> {
        let mut words = Vec::new();
        let mut add = |name: &str, value: &str| words.push(format!("{name}={}", escape(value)));
        if let Some(account) = account {
            add("account", account);
        }
        if keep {
            add("client_id", "hoist");
            add("offline_token", "true");
        }
        for scope in scopes {
            add("scope", scope);
        }
        if let Some(service) = self.service {
            add("service", service);
        }
        if words.is_empty() {
            return Ok(realm.clone());
        }
        let mark = if realm.query().is_some() { '&' } else { '?' };
        let text = format!("{realm}{mark}{}", words.join("&"));
        text.parse().map_err(|_| RegistryError::Malformed {
            what: format!("the challenge of {}", self.endpoint.registry),
            reason: "its words make no address".to_owned(),
        })
    }

    fn form(&self, scopes: &[String], identity: &Secret) -> String {
        let mut form = format!(
            "grant_type=refresh_token&client_id=hoist&refresh_token={}",
            escape(identity.reveal())
        );
        if let Some(service) = self.service {
            form.push_str(&format!("&service={}", escape(service)));
        }
        if !scopes.is_empty() {
            form.push_str(&format!("&scope={}", escape(&scopes.join(" "))));
        }
        form
    }

    fn granted(&self, bytes: &[u8]) -> Result<Granted> {
        let malformed = |reason: &str| RegistryError::Malformed {
            what: format!(
                "the answer of the token server of {}",
                self.endpoint.registry
            ),
            reason: reason.to_owned(),
        };
        // The error of the parser could quote the token.
        let answer: Answer =
            serde_json::from_slice(bytes).map_err(|_| malformed("not the expected JSON"))?;
        let text = answer
            .token
            .filter(|token| !token.is_empty())
            .or(answer.access_token)
            .filter(|token| !token.is_empty())
            .ok_or_else(|| malformed("it has no token"))?;
        let life = answer.expires_in.map_or(DEFAULT_LIFE, Duration::from_secs);
        Ok(Granted {
            token: Token {
                text: self.checked(&text)?,
                // A life beyond all clocks is none.
                ends: Instant::now().checked_add(life.saturating_sub(MARGIN).max(MARGIN)),
            },
            identity: answer
                .refresh_token
                .filter(|token| !token.is_empty())
                .map(Secret::new),
        })
    }

    /// A token that may stand in a header.
    fn checked(&self, token: &str) -> Result<Secret> {
        if token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Secret::new(token));
        }
        Err(RegistryError::Malformed {
            what: format!("the token for {}", self.endpoint.registry),
            reason: "it has characters that no token has".to_owned(),
        })
    }

    fn failure(&self, error: RegistryError, credential: Option<&Credential>) -> RegistryError {
        let registry = self.endpoint.registry.clone();
        match (error, credential) {
            (
                RegistryError::Status {
                    status: 401 | 403, ..
                },
                None,
            ) => RegistryError::NoCredentials { registry },
            (
                RegistryError::Status {
                    status: 400 | 401 | 403,
                    detail,
                    ..
                },
                Some(_),
            ) => {
                let reason = detail.strip_prefix("unauthorized: ").unwrap_or(&detail);
                let reason = match (reason, credential) {
                    ("", Some(Credential::IdentityToken(_))) => {
                        "the identity token is no longer valid"
                    }
                    ("", _) => "incorrect username or password",
                    (reason, _) => reason,
                };
                RegistryError::Unauthorized {
                    registry,
                    reason: reason.to_owned(),
                }
            }
            (error, _) => error,
        }
    }
}
