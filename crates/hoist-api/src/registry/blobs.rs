//! `/v2/<name>/blobs/<digest>`.

use std::sync::Arc;

use hoist_store::{RepositoryName, Served};
use hyper::{
    Response, StatusCode,
    header::{
        ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, RANGE,
    },
};

use super::{
    Access, State,
    answer::{Answer, Asked},
    blocking,
    body::Body,
    problem::{Code, Problem},
    range::{Wanted, wanted},
    route::Algorithm,
};

/// The digest of what is answered.
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// `GET` and `HEAD`.
pub(super) async fn get(
    state: &Arc<State>,
    name: &RepositoryName,
    digest: Algorithm,
    asked: &Asked,
) -> Answer {
    let digest = digest.stored(Code::BlobUnknown)?;
    let repository = state.store.repository(name);
    // Who only asks whether it is there may be about to push what names it.
    let may_push = asked.is_head() && state.access == Access::Full;
    let found = blocking(move || match may_push {
        true => repository.wanted_blob(&digest),
        false => repository.blob(&digest),
    });
    let Served { file, size } = found.await?.ok_or_else(unknown)?;
    let mut response = Response::new(Body::nothing());
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(CONTENT_DIGEST, text(&digest.to_string()));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if asked.is_head() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
        return Ok(response);
    }
    let (offset, length) = match wanted(asked.header(RANGE), size) {
        Wanted::Whole => (0, size),
        Wanted::Part(first, last) => {
            headers.insert(CONTENT_RANGE, text(&format!("bytes {first}-{last}/{size}")));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            (first, last - first + 1)
        }
        Wanted::Nothing => {
            let problem = Problem::new(Code::SizeInvalid, format!("the blob has {size} bytes"));
            return Err(problem
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(CONTENT_RANGE, text(&format!("bytes */{size}"))));
        }
    };
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(length));
    *response.body_mut() = Body::file(file, offset, length);
    Ok(response)
}

/// `DELETE`.
pub(super) async fn delete(state: &Arc<State>, name: &RepositoryName, digest: Algorithm) -> Answer {
    let digest = digest.stored(Code::BlobUnknown)?;
    let repository = state.store.repository(name);
    if !blocking(move || repository.delete_blob(&digest)).await? {
        return Err(unknown());
    }
    Ok(accepted(StatusCode::ACCEPTED))
}

fn unknown() -> Problem {
    Problem::new(Code::BlobUnknown, "blob unknown to this repository")
}

/// An answer without a body.
pub(super) fn accepted(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::nothing());
    *response.status_mut() = status;
    response
}

/// The value of a header, of text that is known to be printable.
pub(super) fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}
