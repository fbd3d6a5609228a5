//! Content discovery: tags, repositories, and what is about a manifest.

use std::sync::Arc;

use hoist_core::Digest;
use hoist_store::{Repository, RepositoryName};
use hyper::{
    Response,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, LINK},
};
use serde_json::{Value, json};

use super::{
    State,
    answer::{Answer, Asked},
    blobs::text,
    blocking,
    body::Body,
    problem::{Code, Problem},
    query::encoded,
    route::Algorithm,
};

/// The most names in one answer.
const MOST: usize = 1000;
/// How many bytes of descriptors one answer has; one more may follow.
const DESCRIPTORS: usize = 64 * 1024;

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// `GET /v2/<name>/tags/list`.
pub(super) async fn tags(state: &Arc<State>, name: &RepositoryName, asked: &Asked) -> Answer {
    let page = Page::of(asked)?;
    let repository = state.store.repository(name);
    let tags = blocking(move || match repository.exists()? {
        true => repository.tags().map(Some),
        false => Ok(None),
    });
    let tags = tags
        .await?
        .ok_or_else(|| Problem::new(Code::NameUnknown, "repository name not known to registry"))?;
    let (tags, next) = page.cut(tags);
    let mut response = json(json!({"name": name.as_str(), "tags": tags}).to_string());
    if let Some(next) = next {
        link(&mut response, &format!("/v2/{name}/tags/list?{next}"));
    }
    Ok(response)
}

/// `GET /v2/_catalog`.
pub(super) async fn catalog(state: &Arc<State>, asked: &Asked) -> Answer {
    let page = Page::of(asked)?;
    let store = state.store.clone();
    let names = blocking(move || store.repositories()).await?;
    let names = names.iter().map(ToString::to_string).collect();
    let (names, next) = page.cut(names);
    let mut response = json(json!({"repositories": names}).to_string());
    if let Some(next) = next {
        link(&mut response, &format!("/v2/_catalog?{next}"));
    }
    Ok(response)
}

/// `GET /v2/<name>/referrers/<digest>`.
pub(super) async fn referrers(
    state: &Arc<State>,
    name: &RepositoryName,
    subject: Algorithm,
    asked: &Asked,
) -> Answer {
    let kind = asked.query.get("artifactType").map(str::to_owned);
    let last = asked.query.get("last").and_then(|text| text.parse().ok());
    let (found, next) = match subject {
        Algorithm::Sha256(subject) => {
            let repository = state.store.repository(name);
            let kind = kind.clone();
            let work = move || descriptors(&repository, &subject, kind.as_deref(), last);
            blocking(work).await?
        }
        // Nothing can be about what cannot be here.
        Algorithm::Other => (Vec::new(), None),
    };
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": found});
    let mut response = json(index.to_string());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(INDEX));
    if kind.is_some() {
        headers.insert(FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    if let (Some(next), Algorithm::Sha256(subject)) = (next, subject) {
        let filter = kind.map_or(String::new(), |kind| {
            format!("&artifactType={}", encoded(&kind))
        });
        let target = format!("/v2/{name}/referrers/{subject}?last={next}{filter}");
        link(&mut response, &target);
    }
    Ok(response)
}

type Descriptors = (Vec<Value>, Option<Digest>);

/// The descriptors behind `last`, as many as one answer takes; the last of them when there may be
/// more.
fn descriptors(
    repository: &Repository,
    subject: &Digest,
    kind: Option<&str>,
    last: Option<Digest>,
) -> Result<Descriptors, hoist_store::StoreError> {
    let mut found = Vec::new();
    let mut length = 0;
    for referrer in repository.referrers(subject, last)? {
        let (digest, descriptor) = referrer?;
        if kind.is_some_and(|kind| descriptor["artifactType"] != kind) {
            continue;
        }
        length += descriptor.to_string().len();
        found.push(descriptor);
        if length > DESCRIPTORS {
            return Ok((found, Some(digest)));
        }
    }
    Ok((found, None))
}

/// Which names of a list are wanted.
struct Page {
    count: usize,
    last: Option<String>,
}

impl Page {
    /// What `n` and `last` say.
    fn of(asked: &Asked) -> Result<Self, Problem> {
        let count = match asked.query.get("n") {
            None => MOST,
            Some(text) => text
                .parse()
                .map_err(|_| Problem::new(Code::PaginationNumberInvalid, "n is not a number"))?,
        };
        Ok(Self {
            count: count.min(MOST),
            last: asked.query.get("last").map(str::to_owned),
        })
    }

    /// The names behind the last one, and the query of those behind these; `names` are sorted.
    fn cut(&self, mut names: Vec<String>) -> (Vec<String>, Option<String>) {
        if let Some(last) = &self.last {
            names.retain(|name| name > last);
        }
        let more = names.len() > self.count;
        names.truncate(self.count);
        let next = match names.last() {
            Some(last) if more => Some(format!("n={}&last={}", self.count, encoded(last))),
            _ => None,
        };
        (names, next)
    }
}

/// An answer of JSON.
pub(super) fn json(text: String) -> Response<Body> {
    let mut response = Response::new(Body::text(text));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// Say where the list goes on (RFC 8288).
fn link(response: &mut Response<Body>, target: &str) {
    let link = text(&format!("<{target}>; rel=\"next\""));
    response.headers_mut().insert(LINK, link);
}
