//! `/v2/<name>/blobs/uploads/`: in one request, in one stream, in pieces, or from a neighbour.

use std::sync::Arc;

use hoist_core::Digest;
use hoist_store::{Repository, RepositoryName, Upload, UploadId};
use hyper::{
    Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, LOCATION, RANGE},
};

use super::{
    State,
    answer::{Answer, Asked},
    blobs::{CONTENT_DIGEST, accepted, text},
    blocking,
    body::Body,
    problem::{Code, Problem},
    range::piece,
    receive::receive,
    route,
};

/// Docker's name for the id of an upload.
const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// `POST`: begin an upload, do all of it, or do without.
pub(super) async fn begin(state: &Arc<State>, name: &RepositoryName, asked: &mut Asked) -> Answer {
    let repository = state.store.repository(name);
    if let Some(algorithm) = asked.query.get("digest-algorithm")
        && algorithm != "sha256"
    {
        return Err(Problem::new(
            Code::Unsupported,
            "content is stored by its sha256 digest only",
        )
        .status(StatusCode::BAD_REQUEST));
    }
    if let Some(digest) = asked.query.get("mount") {
        let digest = route::digest(digest)?.storable()?;
        let from = asked.query.get("from").map(route::name).transpose()?;
        if mount(state, &repository, digest, from).await? {
            return Ok(created(name, &digest));
        }
    } else if let Some(digest) = asked.query.get("digest") {
        let digest = route::digest(digest)?.storable()?;
        return at_once(repository, digest, asked).await;
    }
    let begun = repository.clone();
    let id = blocking(move || begun.begin_upload()).await?;
    let mut response = accepted(StatusCode::ACCEPTED);
    place(&mut response, &repository, &id, 0);
    Ok(response)
}

/// Take a blob from a repository that has it: the one that the client names, else any.
async fn mount(
    state: &Arc<State>,
    to: &Repository,
    digest: Digest,
    from: Option<RepositoryName>,
) -> Result<bool, Problem> {
    let (store, to) = (state.store.clone(), to.clone());
    blocking(move || {
        let from = match from {
            Some(name) => Some(store.repository(&name)),
            None => store.repository_with(&digest)?,
        };
        from.map_or(Ok(false), |from| to.mount_blob(&digest, &from))
    })
    .await
}

/// The whole blob is the body of this very request: it comes at once or not at all.
async fn at_once(repository: Repository, digest: Digest, asked: &mut Asked) -> Answer {
    let name = repository.name().clone();
    let upload = blocking(move || {
        let id = repository.begin_upload()?;
        repository.open_upload(&id, None)
    });
    let upload = upload.await?.ok_or_else(unknown)?;
    let (upload, received) = receive(&mut asked.body, upload, u64::MAX).await;
    let upload = upload.ok_or_else(unknown)?;
    if let Err(problem) = received {
        blocking(move || upload.cancel()).await?;
        return Err(problem);
    }
    blocking(move || upload.finish(&digest)).await?;
    Ok(created(&name, &digest))
}

/// `PATCH`: the next piece, or a stream of unknown length.
pub(super) async fn append(
    state: &Arc<State>,
    name: &RepositoryName,
    id: Option<UploadId>,
    asked: &mut Asked,
) -> Answer {
    let id = id.ok_or_else(unknown)?;
    let repository = state.store.repository(name);
    let upload = open(state, &repository, id).await?;
    let upload = continued(state, &repository, id, upload, asked).await?;
    let mut response = accepted(StatusCode::ACCEPTED);
    place(&mut response, &repository, &id, upload.length());
    state.remember(id, upload.state());
    Ok(response)
}

/// `PUT`: the last piece, which may be empty, and what the whole should be.
pub(super) async fn finish(
    state: &Arc<State>,
    name: &RepositoryName,
    id: Option<UploadId>,
    asked: &mut Asked,
) -> Answer {
    let id = id.ok_or_else(unknown)?;
    let digest = asked
        .query
        .get("digest")
        .ok_or_else(|| Problem::new(Code::DigestInvalid, "the digest of the blob is missing"))?;
    let digest = route::digest(digest)?.storable()?;
    let repository = state.store.repository(name);
    let upload = open(state, &repository, id).await?;
    let upload = continued(state, &repository, id, upload, asked).await?;
    blocking(move || upload.finish(&digest)).await?;
    Ok(created(name, &digest))
}

/// `GET`: how much has arrived.
pub(super) async fn status(
    state: &Arc<State>,
    name: &RepositoryName,
    id: Option<UploadId>,
) -> Answer {
    let id = id.ok_or_else(unknown)?;
    let repository = state.store.repository(name);
    let asked = repository.clone();
    let length = blocking(move || asked.upload_length(&id))
        .await?
        .ok_or_else(unknown)?;
    let mut response = accepted(StatusCode::NO_CONTENT);
    place(&mut response, &repository, &id, length);
    Ok(response)
}

/// `DELETE`.
pub(super) async fn cancel(
    state: &Arc<State>,
    name: &RepositoryName,
    id: Option<UploadId>,
) -> Answer {
    let id = id.ok_or_else(unknown)?;
    state.recall(&id);
    let repository = state.store.repository(name);
    let cancelled = repository.clone();
    match blocking(move || cancelled.cancel_upload(&id)).await? {
        true => Ok(accepted(StatusCode::NO_CONTENT)),
        false => Err(unavailable(repository, id).await),
    }
}

/// Open an upload for this request alone.
async fn open(state: &State, repository: &Repository, id: UploadId) -> Result<Upload, Problem> {
    let known = state.recall(&id);
    let opened = repository.clone();
    if let Some(upload) = blocking(move || opened.open_upload(&id, known)).await? {
        return Ok(upload);
    }
    Err(unavailable(repository.clone(), id).await)
}

/// Why an upload cannot be had: there is none, or somebody else is at it.
async fn unavailable(repository: Repository, id: UploadId) -> Problem {
    match blocking(move || repository.upload_length(&id)).await {
        Ok(None) => unknown(),
        Ok(Some(_)) => Problem::new(
            Code::BlobUploadInvalid,
            "another request writes to this upload",
        )
        .status(StatusCode::CONFLICT),
        Err(problem) => problem,
    }
}

/// Add the body of a request to an upload, if it goes on where the upload ends.
async fn continued(
    state: &State,
    repository: &Repository,
    id: UploadId,
    upload: Upload,
    asked: &mut Asked,
) -> Result<Upload, Problem> {
    let before = upload.length();
    let announced = match asked.header(CONTENT_RANGE) {
        None => None,
        Some(range) => match piece(range) {
            Some((first, last)) if first == before => Some(last - first + 1),
            range => {
                state.remember(id, upload.state());
                return Err(out_of_order(repository, &id, before, range.is_some()));
            }
        },
    };
    let declared: Option<u64> = asked
        .header(CONTENT_LENGTH)
        .and_then(|text| text.parse().ok());
    if let (Some(announced), Some(declared)) = (announced, declared)
        && announced != declared
    {
        state.remember(id, upload.state());
        return Err(Problem::new(
            Code::SizeInvalid,
            format!("the range has {announced} bytes, the body {declared}"),
        ));
    }
    let most = announced.unwrap_or(u64::MAX);
    let (upload, received) = receive(&mut asked.body, upload, most).await;
    let upload = upload.ok_or_else(unknown)?;
    match received {
        Ok(count) if announced.is_none_or(|announced| announced == count) => Ok(upload),
        Ok(count) => {
            blocking(move || upload.cancel()).await?;
            Err(Problem::new(
                Code::SizeInvalid,
                format!("the range has {most} bytes, the body {count}; the upload is cancelled"),
            ))
        }
        Err(problem) if problem.spoils_upload() => {
            blocking(move || upload.cancel()).await?;
            Err(problem)
        }
        // The client is gone: what has arrived stays, and it may go on from there.
        Err(problem) => {
            state.remember(id, upload.state());
            Err(problem)
        }
    }
}

fn out_of_order(repository: &Repository, id: &UploadId, length: u64, is_range: bool) -> Problem {
    let message = match is_range {
        true => format!("the upload goes on at byte {length}"),
        false => "Content-Range is not <first byte>-<last byte>".to_owned(),
    };
    let mut response = accepted(StatusCode::OK);
    place(&mut response, repository, id, length);
    let mut problem =
        Problem::new(Code::BlobUploadInvalid, message).status(StatusCode::RANGE_NOT_SATISFIABLE);
    for (name, value) in response.headers() {
        problem = problem.header(name.clone(), value.clone());
    }
    problem
}

/// Say where an upload goes on.
fn place(response: &mut Response<Body>, repository: &Repository, id: &UploadId, length: u64) {
    let headers = response.headers_mut();
    let location = format!("/v2/{}/blobs/uploads/{id}", repository.name());
    headers.insert(LOCATION, text(&location));
    headers.insert(RANGE, text(&format!("0-{}", length.saturating_sub(1))));
    headers.insert(UPLOAD_UUID, text(&id.to_string()));
}

/// Say where a blob is now.
fn created(name: &RepositoryName, digest: &Digest) -> Response<Body> {
    let mut response = accepted(StatusCode::CREATED);
    let headers = response.headers_mut();
    headers.insert(LOCATION, text(&format!("/v2/{name}/blobs/{digest}")));
    headers.insert(CONTENT_DIGEST, text(&digest.to_string()));
    response
}

fn unknown() -> Problem {
    Problem::new(Code::BlobUploadUnknown, "upload unknown to this repository")
}
