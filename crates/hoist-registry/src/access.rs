//! Who asks: answering the challenges of a registry, and remembering the answers.

use std::{collections::HashMap, sync::PoisonError};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ureq::http::HeaderValue;

use crate::{
    challenge::Challenge,
    credentials::{Credential, Secret},
    error::{RegistryError, Result},
    host::Endpoint,
    registry::Registry,
    token::{Token, TokenServer},
    wire::{Body, Request, Response},
};

/// What a request wants to do, as the scopes of tokens say it. In the order of their text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Access(Vec<String>);

impl Access {
    pub(crate) fn pull(path: &str) -> Self {
        Self(vec![format!("repository:{path}:pull")])
    }

    pub(crate) fn delete(path: &str) -> Self {
        Self(vec![format!("repository:{path}:delete,pull")])
    }

    /// To push to a repository, and to mount blobs of another one.
    pub(crate) fn push(path: &str, from: Option<&str>) -> Self {
        let mut scopes = vec![format!("repository:{path}:pull,push")];
        scopes.extend(from.map(|from| format!("repository:{from}:pull")));
        scopes.sort();
        Self(scopes)
    }

    pub(crate) fn scopes(&self) -> &[String] {
        &self.0
    }
}

/// What is known about the access to a server.
#[derive(Debug, Default)]
pub(crate) struct AccessState {
    challenge: Option<Challenge>,
    tokens: HashMap<Access, Token>,
    /// Read once: a helper program is slow.
    credential: Option<Option<Credential>>,
}

impl Registry {
    /// Send `request` with what the server wants to know, asking it once. An answer of 401 comes
    /// back only when the user may not do this, or when the body was used up in asking.
    pub(crate) fn call(
        &self,
        endpoint: &Endpoint,
        access: &Access,
        request: &mut Request<'_>,
    ) -> Result<Response> {
        let sent = self.known_authorization(endpoint, access)?;
        let response = self
            .wire()
            .exchange(self.options(), request, sent.as_ref())?;
        // Whoever a redirect leads to learns nothing about the user.
        if response.status != 401 || !response.same_origin {
            return Ok(response);
        }
        let headers = response.headers.get_all("www-authenticate").iter();
        let challenge = Challenge::choose(headers.filter_map(|value| value.to_str().ok()));
        let Some(challenge) = challenge else {
            return Ok(response);
        };
        if matches!(request.body, Body::Stream(..)) {
            self.forget_access(endpoint);
            return Ok(response);
        }
        // The connection is free for the next request once the body is read.
        let refusal = response.into_failure();
        let is_basic = challenge == Challenge::Basic;
        let answer = self.answer(endpoint, access, &challenge, sent.as_ref())?;
        let Some(answer) = answer else {
            return Err(rejected(endpoint, refusal));
        };
        let response = self
            .wire()
            .exchange(self.options(), request, Some(&answer))?;
        if response.status == 401 && response.same_origin && is_basic {
            return Err(rejected(endpoint, response.into_failure()));
        }
        Ok(response)
    }

    /// What is sent with a request before anybody asks.
    fn known_authorization(
        &self,
        endpoint: &Endpoint,
        access: &Access,
    ) -> Result<Option<HeaderValue>> {
        let mut state = endpoint
            .access
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match state.challenge.clone() {
            None => Ok(None),
            Some(challenge) => self.authorize(endpoint, &mut state, access, &challenge),
        }
    }

    /// The answer to a challenge; `None` when it is the one that was just refused.
    fn answer(
        &self,
        endpoint: &Endpoint,
        access: &Access,
        challenge: &Challenge,
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>> {
        let mut state = endpoint
            .access
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = state.tokens.get(access)
            && refused.is_some_and(|refused| refused.as_bytes() == bearer(token).as_bytes())
        {
            state.tokens.remove(access);
        }
        let is_basic = *challenge == Challenge::Basic;
        state.challenge = Some(challenge.clone());
        let answer = self.authorize(endpoint, &mut state, access, challenge)?;
        if answer.is_none() {
            return Err(RegistryError::NoCredentials {
                registry: endpoint.registry.clone(),
            });
        }
        Ok(answer.filter(|answer| !is_basic || Some(answer) != refused))
    }

    /// The header for `access`, with a token fetched if none is left. One thread at a time does
    /// so, the others find what it has fetched.
    fn authorize(
        &self,
        endpoint: &Endpoint,
        state: &mut AccessState,
        access: &Access,
        challenge: &Challenge,
    ) -> Result<Option<HeaderValue>> {
        if let Some(token) = state.tokens.get(access).filter(|token| token.is_fresh()) {
            return Ok(Some(bearer(token)));
        }
        let credential = match &state.credential {
            Some(known) => known.clone(),
            None => {
                let found = self.options().credentials.get(&endpoint.registry)?;
                state.credential = Some(found.clone());
                found
            }
        };
        match challenge {
            Challenge::Basic => Ok(match &credential {
                Some(Credential::Password { username, password }) => {
                    Some(basic(username, password))
                }
                _ => None,
            }),
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => {
                let server = TokenServer {
                    registry: self,
                    endpoint,
                    realm,
                    service: service.as_deref(),
                };
                let mut scopes = access.scopes().to_vec();
                if scopes.is_empty() {
                    scopes.extend(scope.iter().cloned());
                }
                let granted = server.fetch(&scopes, credential.as_ref(), false)?;
                let header = bearer(&granted.token);
                state.tokens.insert(access.clone(), granted.token);
                Ok(Some(header))
            }
        }
    }

    /// Forget the tokens for a server: one of them was refused.
    pub(crate) fn forget_access(&self, endpoint: &Endpoint) {
        let mut state = endpoint
            .access
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.tokens.clear();
    }
}

fn rejected(endpoint: &Endpoint, refusal: RegistryError) -> RegistryError {
    let reason = match refusal {
        RegistryError::Status { detail, .. } if !detail.is_empty() => detail,
        _ => "incorrect username or password".to_owned(),
    };
    RegistryError::Unauthorized {
        registry: endpoint.registry.clone(),
        reason: reason
            .strip_prefix("unauthorized: ")
            .map_or(reason.clone(), str::to_owned),
    }
}

/// `Authorization: Basic …`.
pub(crate) fn basic(username: &str, password: &Secret) -> HeaderValue {
    let pair = format!("{username}:{}", password.reveal());
    sensitive(&format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

/// `Authorization: Bearer …`.
pub(crate) fn bearer(token: &Token) -> HeaderValue {
    sensitive(&format!("Bearer {}", token.text.reveal()))
}

fn sensitive(text: &str) -> HeaderValue {
    // Tokens are checked when they come, and base64 is plain text.
    let mut value = HeaderValue::from_str(text).expect("visible characters only");
    value.set_sensitive(true);
    value
}
