//! Addresses of files of web servers: what the file is called, and what may be shown of it.

use std::str::FromStr;

use hoist_core::{Digest, percent};

/// What the file of an address without a path is called, as BuildKit calls it.
const UNNAMED: &str = "__unnamed__";

/// What a file is called whose address has an impossible name.
const IMPOSSIBLE: &str = "download";

/// A file of a web server.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct WebFile {
    pub(super) url: String,
    /// What it must be: `--checksum`.
    pub(super) checksum: Option<Digest>,
    /// An archive is unpacked: `--unpack=true`.
    pub(super) unpack: bool,
}

/// The address may hold a password.
impl std::fmt::Debug for WebFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebFile")
            .field("url", &self.shown())
            .field("checksum", &self.checksum)
            .field("unpack", &self.unpack)
            .finish()
    }
}

/// True for what begins as the address of a web server does.
pub(crate) fn is_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

impl WebFile {
    /// The file at `url`; `checksum` is the value of `--checksum`.
    ///
    /// # Errors
    /// What is wrong with the checksum.
    pub(crate) fn new(url: &str, checksum: Option<&str>, unpack: bool) -> Result<Self, String> {
        let checksum = checksum
            .map(|text| Digest::from_str(text).map_err(|_| format!("invalid checksum {text}")));
        Ok(Self {
            url: url.to_owned(),
            checksum: checksum.transpose()?,
            unpack,
        })
    }

    /// The address without user, password and query.
    pub(crate) fn shown(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let host = rest[..end].rsplit('@').next().unwrap_or_default();
        let path = rest[end..].split(['?', '#']).next().unwrap_or_default();
        format!("{scheme}://{host}{path}")
    }

    /// The name that the file gets in a directory: the last part of the path.
    pub(crate) fn name(&self) -> String {
        let rest = self.url.split_once("://").map_or("", |(_, rest)| rest);
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        let path = path.split_once('/').map_or("", |(_, path)| path);
        let decoded = String::from_utf8_lossy(&percent::decode(path)).into_owned();
        let name = decoded.trim_end_matches('/').rsplit('/').next();
        match name.unwrap_or_default().trim() {
            "" | "." => UNNAMED.to_owned(),
            ".." => IMPOSSIBLE.to_owned(),
            name if name.chars().any(char::is_control) => IMPOSSIBLE.to_owned(),
            name => name.to_owned(),
        }
    }

    /// The host without its port.
    pub(super) fn host(&self) -> &str {
        let rest = self.url.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        match host.strip_prefix('[') {
            Some(address) => address.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_as_the_end_of_its_address() {
        let table = [
            ("http://h/a/b.tar.gz?x=/y#z", "b.tar.gz", "h"),
            ("https://u:p@h:8/a/", "a", "h"),
            ("http://[::1]:8/a%20b", "a b", "::1"),
            ("http://h/a%2F..%2F..%2Fetc%2Fpasswd", "passwd", "h"),
            ("http://h/%2e%2e", "download", "h"),
            ("http://h/..", "download", "h"),
            ("http://h/a%00b", "download", "h"),
            ("http://h/%0a", "__unnamed__", "h"),
            ("http://h", "__unnamed__", "h"),
            ("http://h/?q", "__unnamed__", "h"),
        ];
        for (url, name, host) in table {
            let file = WebFile::new(url, None, false).unwrap();
            assert_eq!((file.name().as_str(), file.host()), (name, host), "{url}");
        }
        let file = WebFile::new("https://u:p@h/x?sig=y", None, false).unwrap();
        assert_eq!(file.shown(), "https://h/x");
        assert!(!format!("{file:?}").contains("p@") && !format!("{file:?}").contains("sig"));
        assert!(WebFile::new("http://h/x", Some("sha256:0"), false).is_err());
    }
}
