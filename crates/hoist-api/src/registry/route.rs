//! From the path of a request to what it is about.
//!
//! A repository's name has slashes in it, so the end of the path decides; what is before it must be
//! a name, and by its grammar is no path to anywhere else.

use hoist_core::{Digest, reference::is_tag};
use hoist_store::{RepositoryName, UploadId};

use super::{
    problem::{Code, Problem},
    query::decoded,
};

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// `/v2/`.
    Base,
    /// `/v2/_catalog`.
    Catalog,
    /// `/v2/<name>/tags/list`.
    Tags(RepositoryName),
    /// `/v2/<name>/blobs/uploads/`.
    Uploads(RepositoryName),
    /// `/v2/<name>/blobs/uploads/<id>`; none when it cannot be one.
    Upload(RepositoryName, Option<UploadId>),
    /// `/v2/<name>/blobs/<digest>`.
    Blob(RepositoryName, Algorithm),
    /// `/v2/<name>/manifests/<tag-or-digest>`.
    Manifest(RepositoryName, Named),
    /// `/v2/<name>/referrers/<digest>`.
    Referrers(RepositoryName, Algorithm),
}

/// A well-formed digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// One that content is stored by.
    Sha256(Digest),
    /// Nothing is stored by it.
    Other,
}

/// What a manifest is named by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Named {
    /// Its digest.
    Digest(Algorithm),
    /// A tag.
    Tag(String),
    /// Neither: no manifest can be called so.
    Neither,
}

/// The route of a path; none where there is nothing.
///
/// # Errors
/// `NAME_INVALID`, `DIGEST_INVALID`.
pub(super) fn route(path: &str) -> Result<Option<Route>, Problem> {
    let path = decoded(path);
    let Some(rest) = path.strip_prefix("/v2") else {
        return Ok(None);
    };
    if matches!(rest, "" | "/") {
        return Ok(Some(Route::Base));
    }
    let Some(rest) = rest.strip_prefix('/') else {
        return Ok(None);
    };
    if rest == "_catalog" {
        return Ok(Some(Route::Catalog));
    }
    let parts: Vec<&str> = rest.split('/').collect();
    Ok(Some(match parts.as_slice() {
        [name @ .., "tags", "list"] => Route::Tags(named(name)?),
        [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => {
            Route::Uploads(named(name)?)
        }
        [name @ .., "blobs", "uploads", id] => Route::Upload(named(name)?, id.parse().ok()),
        [name @ .., "blobs", of] => Route::Blob(named(name)?, digest(of)?),
        [name @ .., "manifests", of] => Route::Manifest(named(name)?, reference(of)?),
        [name @ .., "referrers", of] => Route::Referrers(named(name)?, digest(of)?),
        _ => return Ok(None),
    }))
}

fn named(parts: &[&str]) -> Result<RepositoryName, Problem> {
    name(&parts.join("/"))
}

/// The name of a repository.
///
/// # Errors
/// `NAME_INVALID`.
pub(super) fn name(text: &str) -> Result<RepositoryName, Problem> {
    text.parse()
        .map_err(|_| Problem::new(Code::NameInvalid, "invalid repository name"))
}

/// A digest of any algorithm (OCI image specification, "Digests").
///
/// # Errors
/// `DIGEST_INVALID`.
pub(super) fn digest(text: &str) -> Result<Algorithm, Problem> {
    if let Ok(digest) = text.parse() {
        return Ok(Algorithm::Sha256(digest));
    }
    let known = text.split_once(':').filter(|(algorithm, encoded)| {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let separated = algorithm.split(['+', '.', '_', '-']);
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'_' | b'-');
        separated
            .into_iter()
            .all(|part| !part.is_empty() && part.bytes().all(word))
            && !encoded.is_empty()
            && encoded.bytes().all(letter)
    });
    match known {
        Some(("sha256", _)) | None => Err(Problem::new(
            Code::DigestInvalid,
            "invalid digest: expected sha256: and 64 hexadecimal digits",
        )),
        Some(("sha512", encoded))
            if encoded.len() != 128
                || !encoded
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) =>
        {
            Err(Problem::new(
                Code::DigestInvalid,
                "invalid digest: sha512 has 128 hexadecimal digits",
            ))
        }
        Some(_) => Ok(Algorithm::Other),
    }
}

fn reference(text: &str) -> Result<Named, Problem> {
    if text.contains(':') {
        return digest(text).map(Named::Digest);
    }
    Ok(if is_tag(text) {
        Named::Tag(text.to_owned())
    } else {
        Named::Neither
    })
}

impl Algorithm {
    /// The digest, for those who push.
    ///
    /// # Errors
    /// `UNSUPPORTED`.
    pub(super) fn storable(self) -> Result<Digest, Problem> {
        match self {
            Self::Sha256(digest) => Ok(digest),
            Self::Other => Err(Problem::new(
                Code::Unsupported,
                "content is stored by its sha256 digest only",
            )
            .status(hyper::StatusCode::BAD_REQUEST)),
        }
    }

    /// The digest, for those who pull: there is nothing by another one.
    ///
    /// # Errors
    /// `unknown`.
    pub(super) fn stored(self, unknown: Code) -> Result<Digest, Problem> {
        match self {
            Self::Sha256(digest) => Ok(digest),
            Self::Other => Err(Problem::new(
                unknown,
                "unknown: content is stored by its sha256 digest only",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &str) -> String {
        match route(path) {
            Ok(Some(route)) => format!("{route:?}"),
            Ok(None) => "nothing".to_owned(),
            Err(problem) => format!("{:?}", problem.answer().status()),
        }
    }

    #[test]
    fn paths_name_what_they_end_with() {
        let hex = "ab".repeat(32);
        let digest: Digest = format!("sha256:{hex}").parse().unwrap();
        let app: RepositoryName = "me/app".parse().unwrap();
        let odd: RepositoryName = "blobs/uploads/tags".parse().unwrap();
        let id: UploadId = "00000000-0000-4000-8000-000000000000".parse().unwrap();
        let sha512 = format!("sha512:{}", "0".repeat(128));
        for (path, expected) in [
            ("/v2/".to_owned(), Route::Base),
            ("/v2".to_owned(), Route::Base),
            ("/v2/_catalog".to_owned(), Route::Catalog),
            ("/v2/me/app/tags/list".to_owned(), Route::Tags(app.clone())),
            (
                "/v2/me/app/blobs/uploads/".to_owned(),
                Route::Uploads(app.clone()),
            ),
            (
                "/v2/me/app/blobs/uploads".to_owned(),
                Route::Uploads(app.clone()),
            ),
            (
                format!("/v2/me/app/blobs/uploads/{id}"),
                Route::Upload(app.clone(), Some(id)),
            ),
            (
                "/v2/me/app/blobs/uploads/x".to_owned(),
                Route::Upload(app.clone(), None),
            ),
            (
                format!("/v2/me/app/blobs/{digest}"),
                Route::Blob(app.clone(), Algorithm::Sha256(digest)),
            ),
            (
                format!("/v2/me/app/blobs/sha256%3A{hex}"),
                Route::Blob(app.clone(), Algorithm::Sha256(digest)),
            ),
            (
                format!("/v2/me/app/blobs/{sha512}"),
                Route::Blob(app.clone(), Algorithm::Other),
            ),
            (
                "/v2/me/app/manifests/1.0".to_owned(),
                Route::Manifest(app.clone(), Named::Tag("1.0".to_owned())),
            ),
            (
                "/v2/me/app/manifests/.x".to_owned(),
                Route::Manifest(app.clone(), Named::Neither),
            ),
            (
                format!("/v2/me/app/referrers/{digest}"),
                Route::Referrers(app, Algorithm::Sha256(digest)),
            ),
            (
                "/v2/blobs/uploads/tags/manifests/list".to_owned(),
                Route::Manifest(odd, Named::Tag("list".to_owned())),
            ),
        ] {
            assert_eq!(route(&path).unwrap().as_ref(), Some(&expected), "{path}");
        }
    }

    #[test]
    fn no_path_leads_out_of_the_registry() {
        for (path, expected) in [
            ("/", "nothing"),
            ("/v1/", "nothing"),
            ("/v2x/app/tags/list", "nothing"),
            ("/v2/app", "nothing"),
            ("/v2//tags/list", "400"),
            ("/v2/tags/list", "400"),
            ("/v2/../../etc/tags/list", "400"),
            ("/v2/a/../b/manifests/x", "400"),
            ("/v2/%2e%2e/manifests/x", "400"),
            ("/v2/a%2f..%2fb/manifests/x", "400"),
            ("/v2/a/%00/manifests/x", "400"),
            ("/v2/a\u{fffd}/manifests/x", "400"),
            ("/v2/UPPER/manifests/x", "400"),
            ("/v2/a/_uploads/manifests/x", "400"),
            ("/v2/a/blobs/sha256:..%2f..%2fetc", "nothing"),
            ("/v2/a/manifests/..%2f..%2fx", "nothing"),
            ("/v2/a/blobs/uploads/..%2f..", "nothing"),
            ("/v2/a/blobs/sha256:abc", "400"),
            ("/v2/a/blobs/sha512:abc", "400"),
            ("/v2/a/blobs/x", "400"),
        ] {
            assert_eq!(shown(path), expected, "{path}");
        }
        insta::assert_snapshot!(shown("/v2/a/manifests/.."), @r#"Manifest(RepositoryName("a"), Neither)"#);
    }
}
