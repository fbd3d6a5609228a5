//! Searching Docker Hub, and registries that answer the same question.

use serde::Deserialize;
use ureq::http::Method;

use crate::{
    error::{RegistryError, Result},
    host::HUB,
    registry::Registry,
    retry::retrying,
    url::escape,
    wire::{Request, Response},
};

/// The longest answer that is read.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;

/// A repository that was found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SearchResult {
    /// Its name, as it can be pulled.
    pub name: String,
    /// What it is about.
    #[serde(default)]
    pub description: String,
    /// How many people like it.
    #[serde(default, rename = "star_count")]
    pub stars: u64,
    /// It is one of Docker's own.
    #[serde(default, rename = "is_official")]
    pub official: bool,
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<SearchResult>,
}

impl Registry {
    /// Repositories of `registry` (`docker.io`) that have to do with `term`, at most `limit` of
    /// them (Docker Hub gives up to 100).
    ///
    /// # Errors
    /// [`RegistryError::Malformed`]; a [`RegistryError::Status`] 404 from a registry that cannot
    /// be searched; failures of the wire.
    pub fn search(&self, registry: &str, term: &str, limit: usize) -> Result<Vec<SearchResult>> {
        let question = format!("/v1/search?q={}&n={limit}", escape(term));
        let uri = if registry == HUB {
            format!("https://index.docker.io{question}")
        } else {
            let endpoint = self.endpoint(registry);
            let origin = endpoint.origin(self.wire(), self.options())?;
            let scheme = if origin.https { "https" } else { "http" };
            format!("{scheme}://{}{question}", origin.authority())
        };
        let malformed = |reason: String| RegistryError::Malformed {
            what: format!("the answer of {registry}"),
            reason,
        };
        let uri: ureq::http::Uri = uri
            .parse()
            .map_err(|error: ureq::http::uri::InvalidUri| malformed(error.to_string()))?;
        let bytes = retrying(self.options(), || {
            let mut request = Request::new(Method::GET, uri.clone());
            self.wire()
                .exchange(self.options(), &mut request, None)
                .and_then(Response::checked)?
                .bytes("the answer to a search", MAX_ANSWER)
        })?;
        let answer: Answer =
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        Ok(answer.results.into_iter().take(limit).collect())
    }
}
