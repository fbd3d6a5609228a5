//! Addresses of files as people type them: user and password apart, and everything escaped that an
//! address cannot hold.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hoist_core::percent;
use ureq::http::{HeaderValue, Uri};

use crate::{
    error::{RegistryError, Result},
    url::Origin,
};

/// The address without user and password, and these as a header.
pub(crate) fn address(url: &str) -> Result<(Uri, Option<HeaderValue>)> {
    let malformed = |reason: &str| RegistryError::Malformed {
        what: format!("address {}", without_password(url)),
        reason: reason.to_owned(),
    };
    if url.chars().any(char::is_control) {
        return Err(malformed("it has control characters"));
    }
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| malformed("not an http or https address"))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    let text = format!("{scheme}://{host}{slash}{}", encoded(path));
    let uri: Uri = text
        .parse()
        .map_err(|error: ureq::http::uri::InvalidUri| malformed(&error.to_string()))?;
    Origin::of(&uri).ok_or_else(|| malformed("not an http or https address"))?;
    let authorization = user.map(|user| {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        let pair = [&percent::decode(name)[..], b":", &percent::decode(password)].concat();
        header_value(&format!("Basic {}", BASE64_STANDARD.encode(pair)))
    });
    Ok((uri, authorization.transpose()?))
}

/// What a browser would make of a path that was typed: everything that an address cannot hold as
/// `%xx`.
fn encoded(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_graphic()
            && !matches!(
                byte,
                b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
            )
        {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn without_password(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let host = rest[..end].rsplit('@').next().unwrap_or_default();
            let path = rest[end..].split(['?', '#']).next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}

/// A credential as the value of a header.
pub(crate) fn header_value(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text.trim()).map_err(|_| RegistryError::Malformed {
        what: "the header Authorization".to_owned(),
        reason: "it has characters that no header can have".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_they_are_typed() {
        let table = [
            ("http://h/a b/é?q=1#f", "http://h/a%20b/%C3%A9?q=1", None),
            ("https://h", "https://h/", None),
            ("https://h?x=1", "https://h/?x=1", None),
            (
                "http://me:p%40ss@h:8/x",
                "http://h:8/x",
                Some("Basic bWU6cEBzcw=="),
            ),
        ];
        for (url, shown, authorization) in table {
            let (uri, own) = address(url).unwrap();
            assert_eq!(uri.to_string(), shown);
            let own = own.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(own, authorization);
        }
        for bad in ["ftp://h/x", "h/x", "http:///x", "http://h\n/x", "http://"] {
            assert!(address(bad).is_err(), "{bad}");
        }
        let error = address("ftp://me:secret@h/x").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
