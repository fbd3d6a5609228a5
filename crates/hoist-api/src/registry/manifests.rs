//! `/v2/<name>/manifests/<tag-or-digest>`.

use std::sync::Arc;

use hoist_core::{Digest, reference::is_tag};
use hoist_store::{NewManifest, Repository, RepositoryName, Served, StoreError, Upload};
use hyper::{
    Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION},
};

use super::{
    State,
    answer::{Answer, Asked},
    blobs::{CONTENT_DIGEST, accepted, text},
    blocking,
    body::Body,
    document,
    problem::{Code, Problem},
    receive::receive,
    route::Named,
};

/// The largest manifest, as other registries have it.
const LARGEST: u64 = 4 << 20;
/// The most tags that one request may set.
const TAGS: usize = 64;

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// `GET` and `HEAD`.
pub(super) async fn get(
    state: &Arc<State>,
    name: &RepositoryName,
    named: Named,
    asked: &Asked,
) -> Answer {
    let repository = state.store.repository(name);
    let named = match named {
        Named::Digest(digest) => Ok(digest.stored(Code::ManifestUnknown)?),
        Named::Tag(tag) => Err(tag),
        Named::Neither => return Err(unknown()),
    };
    let found = blocking(move || {
        let digest = match named {
            Ok(digest) => Some(digest),
            Err(tag) => repository.tag(&tag)?,
        };
        let Some(digest) = digest else {
            return Ok(None);
        };
        let opened = repository.open_manifest(&digest)?;
        Ok(opened.map(|(manifest, served)| (digest, manifest, served)))
    });
    let (digest, manifest, Served { file, size }) = found.await?.ok_or_else(unknown)?;
    let body = match asked.is_head() {
        true => Body::nothing(),
        false => Body::file(file, 0, size),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, text(&manifest.media_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(CONTENT_DIGEST, text(&digest.to_string()));
    Ok(response)
}

/// `PUT`, by a tag, or by the digest with any number of tags.
pub(super) async fn put(
    state: &Arc<State>,
    name: &RepositoryName,
    named: Named,
    asked: &mut Asked,
) -> Answer {
    let (expected, tags) = match named {
        Named::Digest(digest) => (Some(digest.storable()?), tags_of(asked)?),
        Named::Tag(tag) => (None, vec![tag]),
        Named::Neither => return Err(not_a_tag()),
    };
    let declared = asked
        .header(CONTENT_LENGTH)
        .and_then(|text| text.parse().ok());
    if declared.is_some_and(|length: u64| length > LARGEST) {
        return Err(too_large());
    }
    let repository = state.store.repository(name);
    let begun = repository.clone();
    let upload = blocking(move || {
        let id = begun.begin_upload()?;
        begun.open_upload(&id, None)
    });
    let upload = upload.await?.ok_or_else(unknown)?;
    let (upload, received) = receive(&mut asked.body, upload, LARGEST).await;
    let upload = upload.ok_or_else(unknown)?;
    if let Err(problem) = received {
        blocking(move || upload.cancel()).await?;
        return Err(match problem.is_status(StatusCode::PAYLOAD_TOO_LARGE) {
            true => too_large(),
            false => problem,
        });
    }
    let sent_as = asked.header(CONTENT_TYPE).map(str::to_owned);
    // One at a time: this is the one place that has much of a request in memory.
    let Ok(turn) = Arc::clone(&state.documents).acquire_owned().await else {
        return Err(Problem::internal("the server is ending".to_owned()));
    };
    let work = Put {
        repository,
        upload,
        expected,
        sent_as,
        tags,
    };
    // The turn goes with the work, which goes on also when its client goes away.
    let working = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work.done()
    });
    match working.await {
        Ok(done) => done.map(|done| created(name, &done)),
        Err(error) => Err(Problem::internal(error.to_string())),
    }
}

/// A manifest that has arrived.
struct Put {
    repository: Repository,
    upload: Upload,
    expected: Option<Digest>,
    sent_as: Option<String>,
    tags: Vec<String>,
}

/// A manifest that was added.
struct Added {
    digest: Digest,
    subject: Option<Digest>,
    tags: Vec<String>,
}

impl Put {
    fn done(self) -> Result<Added, Problem> {
        let digest = self.upload.digest();
        let read = match self.read(&digest) {
            Ok(read) => read,
            Err(problem) => {
                self.upload.cancel()?;
                return Err(problem);
            }
        };
        self.repository.put_manifest(NewManifest {
            content: self.upload,
            manifest: &read.manifest,
            descriptor: &read.descriptor,
            tags: &self.tags,
        })?;
        Ok(Added {
            digest,
            subject: read.manifest.subject,
            tags: match self.expected {
                Some(_) => self.tags,
                None => Vec::new(),
            },
        })
    }

    fn read(&self, digest: &Digest) -> Result<document::Read, Problem> {
        if let Some(expected) = self.expected
            && expected != *digest
        {
            return Err(Problem::from(StoreError::DigestMismatch {
                what: "the manifest".to_owned(),
                expected,
                found: *digest,
            }));
        }
        let size = self.upload.length();
        document::read(self.upload.reader()?, digest, size, self.sent_as.as_deref())
    }
}

/// `DELETE`: a tag, or a manifest with its tags.
pub(super) async fn delete(state: &Arc<State>, name: &RepositoryName, named: Named) -> Answer {
    let repository = state.store.repository(name);
    let deleted = match named {
        Named::Digest(digest) => {
            let digest = digest.stored(Code::ManifestUnknown)?;
            blocking(move || repository.delete_manifest(&digest)).await?
        }
        Named::Tag(tag) => blocking(move || repository.delete_tag(&tag)).await?,
        Named::Neither => false,
    };
    match deleted {
        true => Ok(accepted(StatusCode::ACCEPTED)),
        false => Err(unknown()),
    }
}

/// The tags beside a digest: `?tag=1.0&tag=latest`.
fn tags_of(asked: &Asked) -> Result<Vec<String>, Problem> {
    let tags: Vec<String> = asked.query.all("tag").map(str::to_owned).collect();
    match tags.iter().all(|tag| is_tag(tag)) {
        true if tags.len() <= TAGS => Ok(tags),
        true => Err(Problem::new(
            Code::ManifestInvalid,
            format!("more than {TAGS} tags in one request"),
        )
        .status(StatusCode::URI_TOO_LONG)),
        false => Err(not_a_tag()),
    }
}

fn created(name: &RepositoryName, added: &Added) -> Response<Body> {
    let digest = added.digest;
    let mut response = accepted(StatusCode::CREATED);
    let headers = response.headers_mut();
    headers.insert(LOCATION, text(&format!("/v2/{name}/manifests/{digest}")));
    headers.insert(CONTENT_DIGEST, text(&digest.to_string()));
    if let Some(subject) = added.subject {
        headers.insert(OCI_SUBJECT, text(&subject.to_string()));
    }
    for tag in &added.tags {
        headers.append(OCI_TAG, text(tag));
    }
    response
}

fn unknown() -> Problem {
    Problem::new(Code::ManifestUnknown, "manifest unknown to this repository")
}

fn not_a_tag() -> Problem {
    Problem::new(
        Code::ManifestInvalid,
        "a tag is up to 128 letters, digits, '_', '.' and '-', and starts with none of '.' and '-'",
    )
}

fn too_large() -> Problem {
    Problem::new(Code::ManifestInvalid, "a manifest has at most 4 MiB")
        .status(StatusCode::PAYLOAD_TOO_LARGE)
}
