//! The tags of a repository.

use hoist_core::Reference;
use serde::Deserialize;

use crate::{
    access::Access,
    error::{RegistryError, Result},
    host::Endpoint,
    registry::{Head, Registry, pull_failure},
    retry::retrying,
    url::{Origin, join},
    wire::refused,
};

/// The longest page that is read.
const MAX_PAGE: u64 = 4 * 1024 * 1024;
/// Pages that are followed: a registry whose pages never end is cut off.
const MAX_PAGES: usize = 10_000;

#[derive(Deserialize)]
struct Page {
    /// `null` in an empty repository.
    tags: Option<Vec<String>>,
}

impl Registry {
    /// The tags of the reference's repository, in the registry's order.
    ///
    /// # Errors
    /// [`RegistryError::PullDenied`]; a [`RegistryError::Status`] 404 where there is no such
    /// repository; failures of the wire.
    pub fn tags(&self, reference: &Reference) -> Result<Vec<String>> {
        let endpoint = self.endpoint(reference.domain());
        let access = Access::pull(reference.path());
        let mut rest = format!("{}/tags/list?n=1000", reference.path());
        let mut tags = Vec::new();
        for _ in 0..MAX_PAGES {
            let fetched = retrying(self.options(), || {
                self.document(&endpoint, &access, &rest, "application/json", MAX_PAGE)
            })
            .map_err(|error| pull_failure(error, reference))?;
            let page: Page = serde_json::from_slice(&fetched.bytes).map_err(|error| {
                RegistryError::Malformed {
                    what: format!("the list of tags of {}", reference.familiar_name()),
                    reason: error.to_string(),
                }
            })?;
            tags.extend(page.tags.unwrap_or_default());
            match self.next_page(&endpoint, &fetched.response)? {
                Some(next) if next != rest => rest = next,
                _ => return Ok(tags),
            }
        }
        Err(RegistryError::TooLarge {
            what: format!("the list of tags of {}", reference.familiar_name()),
            limit: MAX_PAGE * MAX_PAGES as u64,
        })
    }

    /// The address after `/v2/` in `Link: <address>; rel="next"`.
    pub(crate) fn next_page(&self, endpoint: &Endpoint, head: &Head) -> Result<Option<String>> {
        let Some(link) = head.header("link") else {
            return Ok(None);
        };
        let target = link
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'))
            .filter(|(_, rest)| rest.contains("next"))
            .map(|(target, _)| target);
        let Some(uri) = target.and_then(|target| join(&head.uri, target)) else {
            return Ok(None);
        };
        let own = endpoint.origin(self.wire(), self.options())?;
        if Origin::of(&uri) != Some(own) {
            return Err(refused(&head.uri, &uri, "the next page is at another host"));
        }
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        Ok(path.strip_prefix("/v2/").map(str::to_owned))
    }
}
