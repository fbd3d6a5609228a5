//! Logging in and out.

use std::sync::PoisonError;

use ureq::http::Method;

use crate::{
    access::{AccessState, basic, bearer},
    challenge::Challenge,
    credentials::{Credential, Secret, StoredIn, registry_name},
    error::{RegistryError, Result},
    host::Endpoint,
    registry::Registry,
    retry::retrying,
    token::TokenServer,
    wire::{Request, Response},
};

/// A login that the registry has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Where the credential is kept.
    pub stored_in: StoredIn,
    /// The registry gave an identity token, which is kept in place of the password.
    pub identity_token: bool,
}

impl Registry {
    /// Let the registry verify user and password, then keep them.
    ///
    /// # Errors
    /// [`RegistryError::EmptyPassword`] before anybody is asked; [`RegistryError::Unauthorized`]
    /// when the registry refuses; otherwise as any request and as
    /// [`Credentials::store`](crate::Credentials::store). Nothing is kept then.
    pub fn login(&self, registry: &str, username: &str, password: &Secret) -> Result<Login> {
        let registry = registry_name(registry);
        if password.reveal().is_empty() {
            return Err(RegistryError::EmptyPassword {
                registry: registry.to_owned(),
            });
        }
        let endpoint = self.endpoint(registry);
        let credential = Credential::Password {
            username: username.to_owned(),
            password: password.clone(),
        };
        let identity = retrying(self.options(), || {
            self.verify(&endpoint, username, password)
        })?;
        let identity_token = identity.is_some();
        let kept = identity.map_or(credential, Credential::IdentityToken);
        let stored_in = self
            .options()
            .credentials
            .store(registry, username, &kept)?;
        self.forget_user(&endpoint);
        Ok(Login {
            stored_in,
            identity_token,
        })
    }

    /// Forget the credential for a registry; false when there was none.
    ///
    /// # Errors
    /// As [`Credentials::erase`](crate::Credentials::erase).
    pub fn logout(&self, registry: &str) -> Result<bool> {
        let registry = registry_name(registry);
        let erased = self.options().credentials.erase(registry)?;
        self.forget_user(&self.endpoint(registry));
        Ok(erased)
    }

    fn forget_user(&self, endpoint: &Endpoint) {
        *endpoint
            .access
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = AccessState::default();
    }

    /// Ask `/v2/` as that user; an identity token may come of it.
    fn verify(
        &self,
        endpoint: &Endpoint,
        username: &str,
        password: &Secret,
    ) -> Result<Option<Secret>> {
        let response = self.ping(endpoint, None)?;
        if response.status != 401 {
            response.checked()?;
            return Ok(None);
        }
        let headers = response.headers.get_all("www-authenticate").iter();
        let challenge = Challenge::choose(headers.filter_map(|value| value.to_str().ok()));
        let (authorization, identity) = match challenge {
            None => return Err(response.into_failure()),
            Some(Challenge::Basic) => (basic(username, password), None),
            Some(Challenge::Bearer {
                realm,
                service,
                scope,
            }) => {
                let server = TokenServer {
                    registry: self,
                    endpoint,
                    realm: &realm,
                    service: service.as_deref(),
                };
                let credential = Credential::Password {
                    username: username.to_owned(),
                    password: password.clone(),
                };
                let scopes: Vec<_> = scope.into_iter().collect();
                let granted = server.fetch(&scopes, Some(&credential), true)?;
                (bearer(&granted.token), granted.identity)
            }
        };
        let response = self.ping(endpoint, Some(&authorization))?;
        if matches!(response.status, 401 | 403) {
            let reason = match response.into_failure() {
                RegistryError::Status { detail, .. } if !detail.is_empty() => detail,
                _ => "incorrect username or password".to_owned(),
            };
            return Err(RegistryError::Unauthorized {
                registry: endpoint.registry.clone(),
                reason: reason
                    .strip_prefix("unauthorized: ")
                    .map_or(reason.clone(), str::to_owned),
            });
        }
        response.checked()?;
        Ok(identity)
    }

    fn ping(
        &self,
        endpoint: &Endpoint,
        authorization: Option<&ureq::http::HeaderValue>,
    ) -> Result<Response> {
        let uri = endpoint.uri(self.wire(), self.options(), "")?;
        let mut request = Request::new(Method::GET, uri);
        self.wire()
            .exchange(self.options(), &mut request, authorization)
    }
}
