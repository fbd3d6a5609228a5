//! Image references as Docker normalises them (distribution `reference` grammar).
//!
//! `python` is `docker.io/library/python:latest`; the familiar form takes the defaults away again.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

const DEFAULT_DOMAIN: &str = "docker.io";
const OFFICIAL: &str = "library/";
const DEFAULT_TAG: &str = "latest";

/// A normalised reference: domain, path, and a tag, a digest or both.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid reference format: {text:?}: {reason}")]
pub struct ReferenceError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl crate::Describe for ReferenceError {
    fn kind(&self) -> crate::Kind {
        crate::Kind::Invalid
    }

    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Reference {
    /// Parse and normalise `text`; without tag and digest the tag becomes `latest`.
    ///
    /// # Errors
    /// [`ReferenceError`] with the reason when `text` is not a reference.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let mut reference = Self::parse_untagged(text)?;
        if reference.tag.is_none() && reference.digest.is_none() {
            reference.tag = Some(DEFAULT_TAG.to_owned());
        }
        Ok(reference)
    }

    /// Parse and normalise `text` without adding a default tag.
    ///
    /// # Errors
    /// [`ReferenceError`] with the reason when `text` is not a reference.
    pub fn parse_untagged(text: &str) -> Result<Self, ReferenceError> {
        let error = |reason| ReferenceError {
            text: text.to_owned(),
            reason,
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest
                    .parse()
                    .map_err(|_| error("the digest is not sha256: and 64 hexadecimal digits"))?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let (name, tag) = match rest.rfind(':') {
            Some(colon) if !rest[colon..].contains('/') => {
                (&rest[..colon], Some(&rest[colon + 1..]))
            }
            _ => (rest, None),
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(error(
                "a tag is up to 128 letters, digits, '_', '.' and '-', and starts with none of '.' and '-'",
            ));
        }
        let (domain, path) = split_domain(name);
        if path.is_empty() {
            return Err(error("the repository name is empty"));
        }
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(error("repository name must be lowercase"));
        }
        if !path.split('/').all(is_path_component) {
            return Err(error(
                "a repository name is made of lower-case letters, digits and single separators '.', '_', '__', '-' between them",
            ));
        }
        if !is_domain(&domain) {
            return Err(error("the registry's host name is malformed"));
        }
        if domain.len() + 1 + path.len() > 255 {
            return Err(error(
                "repository name must not be more than 255 characters",
            ));
        }
        Ok(Self {
            domain,
            path,
            tag: tag.map(str::to_owned),
            digest,
        })
    }

    /// The registry's host, with its port: `docker.io`, `localhost:5000`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository's path within the registry: `library/python`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, where there is one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, where there is one.
    #[must_use]
    pub const fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The repository as people write it: `python`, `ghcr.io/owner/name`.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return format!("{}/{}", self.domain, self.path);
        }
        self.path
            .strip_prefix(OFFICIAL)
            .filter(|rest| !rest.contains('/'))
            .unwrap_or(&self.path)
            .to_owned()
    }

    /// The whole reference as people write it: `python:3.11-slim`.
    #[must_use]
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    fn with_suffix(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }
}

fn split_domain(name: &str) -> (String, String) {
    let (domain, rest) = match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, name),
    };
    let domain = if domain == "index.docker.io" {
        DEFAULT_DOMAIN
    } else {
        domain
    };
    if domain == DEFAULT_DOMAIN && !rest.contains('/') && !rest.is_empty() {
        return (domain.to_owned(), format!("{OFFICIAL}{rest}"));
    }
    (domain.to_owned(), rest.to_owned())
}

/// Whether `tag` is one: up to 128 letters, digits, `_`, `.` and `-`, the first of them neither
/// `.` nor `-`.
#[must_use]
pub fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = tag.as_bytes();
    (1..=128).contains(&bytes.len())
        && word(bytes[0])
        && bytes
            .iter()
            .all(|&byte| word(byte) || byte == b'.' || byte == b'-')
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !domain.ends_with(']') => (host, Some(port)),
        _ => (domain, None),
    };
    let port_fits =
        port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let host_fits = match address {
        Some(address) => {
            !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
        }
        None => host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        }),
    };
    port_fits && host_fits
}

/// Whether `text` is the path of a repository in its registry: components of lower-case letters,
/// digits and single separators, up to 255 characters (OCI distribution specification, "Pulling
/// manifests").
#[must_use]
pub fn is_path(text: &str) -> bool {
    text.len() <= 255 && text.split('/').all(is_path_component)
}

fn is_path_component(component: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    if bytes.is_empty() || !word(bytes[0]) || !word(bytes[bytes.len() - 1]) {
        return false;
    }
    bytes
        .split(|&byte| word(byte))
        .filter(|run| !run.is_empty())
        .all(|run| matches!(run, b"." | b"_" | b"__") || run.iter().all(|&byte| byte == b'-'))
}

impl fmt::Display for Reference {
    /// The canonical form, domain and all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffix(format!("{}/{}", self.domain, self.path)))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse_untagged(&text)
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_normalise_as_docker_does() {
        let table = [
            ("python", "docker.io/library/python:latest", "python:latest"),
            (
                "python:3.11-slim",
                "docker.io/library/python:3.11-slim",
                "python:3.11-slim",
            ),
            ("me/app", "docker.io/me/app:latest", "me/app:latest"),
            ("ghcr.io/me/app:1", "ghcr.io/me/app:1", "ghcr.io/me/app:1"),
            (
                "localhost/app",
                "localhost/app:latest",
                "localhost/app:latest",
            ),
            (
                "localhost:5000/app:v2",
                "localhost:5000/app:v2",
                "localhost:5000/app:v2",
            ),
            (
                "index.docker.io/library/x",
                "docker.io/library/x:latest",
                "x:latest",
            ),
            (
                "docker.io/library/a__b-c.d",
                "docker.io/library/a__b-c.d:latest",
                "a__b-c.d:latest",
            ),
            ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
        ];
        for (text, canonical, familiar) in table {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.to_string(), canonical);
            assert_eq!(reference.familiar(), familiar);
            assert_eq!(Reference::parse(canonical).unwrap(), reference);
        }
        let digest = Digest::of(b"");
        let pinned = Reference::parse(&format!("python:3@{digest}")).unwrap();
        assert_eq!((pinned.tag(), pinned.digest()), (Some("3"), Some(digest)));
    }

    #[test]
    fn paths_of_repositories_name_nothing_else() {
        let long = "a".repeat(256);
        for (text, fits) in [
            ("a", true),
            ("me/my-app_1.0/x__y", true),
            (&long[..255], true),
            (&long, false),
            ("", false),
            ("/a", false),
            ("a/", false),
            ("a//b", false),
            ("../a", false),
            ("a/..", false),
            ("a/_tags", false),
            ("A", false),
            ("a%2fb", false),
            ("ä", false),
        ] {
            assert_eq!(is_path(text), fits, "{text}");
        }
    }

    #[test]
    fn malformed_references_are_refused_with_a_reason() {
        let bad = [
            "",
            ":",
            "UPPER",
            "a b",
            "a/",
            "/a",
            "a//b",
            "a:",
            "a:-x",
            "a@sha256:12",
            "a..b",
            "-a",
            "a_-b",
            "http://x/y",
        ];
        for text in bad {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }
}
