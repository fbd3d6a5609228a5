//! Names of repositories.

use std::{fmt, str::FromStr};

use hoist_core::{
    Reference,
    reference::{ReferenceError, is_path},
};

/// The name of a repository within its registry: `me/app`. As a path it names a directory below
/// the one that it is joined to, and no other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = ReferenceError;

    fn from_str(text: &str) -> std::result::Result<Self, ReferenceError> {
        if is_path(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(ReferenceError {
            text: text.to_owned(),
            reason: "a repository name is made of lower-case letters, digits and single separators \
                     '.', '_', '__', '-' between them, and has up to 255 characters",
        })
    }
}

impl From<&Reference> for RepositoryName {
    fn from(reference: &Reference) -> Self {
        Self(reference.path().to_owned())
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
