//! What went wrong with a request, in the codes of the specification ("Error codes").

use hoist_core::error::chain;
use hoist_store::StoreError;
use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde_json::json;

use super::body::Body;

/// A code of the specification; the last two are Docker's, for what it has no code for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    Unauthorized,
    Unsupported,
    PaginationNumberInvalid,
    Unknown,
}

impl Code {
    const fn text(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Unsupported => "UNSUPPORTED",
            Self::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
            Self::Unknown => "UNKNOWN",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::BlobUnknown
            | Self::BlobUploadUnknown
            | Self::ManifestBlobUnknown
            | Self::ManifestUnknown
            | Self::NameUnknown => StatusCode::NOT_FOUND,
            Self::BlobUploadInvalid
            | Self::DigestInvalid
            | Self::ManifestInvalid
            | Self::NameInvalid
            | Self::SizeInvalid
            | Self::PaginationNumberInvalid => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// An answer that is an error.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: Code,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For the server's own log: clients need not know where its files lie.
    pub(super) trouble: Option<String>,
}

impl Problem {
    /// The status is the code's usual one.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            status: code.status(),
            code,
            message: message.into(),
            headers: Vec::new(),
            trouble: None,
        }
    }

    /// The same with another status.
    #[must_use]
    pub(super) const fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with a header.
    #[must_use]
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Whether it has this status.
    pub(super) fn is_status(&self, status: StatusCode) -> bool {
        self.status == status
    }

    /// Whether what has arrived of an upload is of no use any more: the client sent more than it
    /// announced, or there is no room for the rest.
    pub(super) fn spoils_upload(&self) -> bool {
        self.is_status(StatusCode::PAYLOAD_TOO_LARGE)
            || self.is_status(StatusCode::INSUFFICIENT_STORAGE)
    }

    /// What the client is told.
    #[cfg(test)]
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// A failure that is the server's own.
    pub(super) fn internal(trouble: String) -> Self {
        let mut problem = Self::new(Code::Unknown, "the registry failed; its log says why");
        problem.trouble = Some(trouble);
        problem
    }

    pub(super) fn answer(&self) -> Response<Body> {
        let text = json!({"errors": [{"code": self.code.text(), "message": self.message}]});
        let mut response = Response::new(Body::text(text.to_string()));
        *response.status_mut() = self.status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response.headers_mut().extend(self.headers.clone());
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::DigestMismatch { .. } => Self::new(Code::DigestInvalid, error.to_string()),
            StoreError::NotInRepository { .. } => {
                Self::new(Code::ManifestBlobUnknown, error.to_string())
            }
            StoreError::ReadOnly { .. } => Self::new(Code::Unsupported, "nothing can be pushed"),
            _ if error.is_full_disk() => {
                let mut problem = Self::new(Code::Unknown, "the registry's disk is full")
                    .status(StatusCode::INSUFFICIENT_STORAGE);
                problem.trouble = Some(chain(&error));
                problem
            }
            _ => Self::internal(chain(&error)),
        }
    }
}
