//! Addresses: origins, relative locations, query words, and how an address is shown.

use ureq::http::Uri;

/// Who answers at an address: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) https: bool,
    /// Lower case; IPv6 in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// The origin of an absolute `http` or `https` address.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let https = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?;
        Some(Self {
            https,
            host: host.to_ascii_lowercase(),
            port: uri.port_u16().unwrap_or(if https { 443 } else { 80 }),
        })
    }

    /// `host`, or `host:port` where the port is not the scheme's own.
    pub(crate) fn authority(&self) -> String {
        match (self.https, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

/// The address that `location`, sent by `base`, points to (RFC 3986, section 5).
pub(crate) fn join(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default().trim();
    let scheme = base.scheme_str()?;
    let authority = base.authority()?;
    let absolute = location
        .split_once("://")
        .is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let text = if absolute {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", base.path())
    } else {
        let directory = base
            .path()
            .rsplit_once('/')
            .map_or("", |(parent, _)| parent);
        format!("{scheme}://{authority}{directory}/{location}")
    };
    let uri: Uri = text.parse().ok()?;
    Origin::of(&uri)?;
    Some(uri)
}

/// `uri` with one more word in its query.
pub(crate) fn with_query(uri: &Uri, name: &str, value: &str) -> Option<Uri> {
    let mark = if uri.query().is_some() { '&' } else { '?' };
    format!("{uri}{mark}{name}={}", escape(value)).parse().ok()
}

/// Everything but unreserved characters as `%xx` (RFC 3986, section 2.3).
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// An address for people: no query (it may be a credential), no user, no password.
pub(crate) fn shown(uri: &Uri) -> String {
    match Origin::of(uri) {
        Some(origin) => {
            let scheme = if origin.https { "https" } else { "http" };
            format!("{scheme}://{}{}", origin.authority(), uri.path())
        }
        None => uri.path().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_joined_to_the_address_that_sent_them() {
        let base: Uri = "https://r.example:5000/v2/a/blobs/x?y=1".parse().unwrap();
        let table = [
            ("https://s3.example/k?sig=1", "https://s3.example/k?sig=1"),
            ("//s3.example/k", "https://s3.example/k"),
            ("/v2/b?z=2#f", "https://r.example:5000/v2/b?z=2"),
            ("next?z=2", "https://r.example:5000/v2/a/blobs/next?z=2"),
            ("?last=b", "https://r.example:5000/v2/a/blobs/x?last=b"),
            ("/a?u=http://x/", "https://r.example:5000/a?u=http://x/"),
        ];
        for (location, joined) in table {
            assert_eq!(join(&base, location).unwrap().to_string(), joined);
        }
        for bad in ["ftp://x/y", "https:///x", "file:///etc/passwd", "https://"] {
            assert_eq!(join(&base, bad), None, "{bad}");
        }
    }

    #[test]
    fn shown_addresses_hold_no_secret() {
        let uri: Uri = "https://me:secret@s3.example/k?X-Amz-Signature=abc"
            .parse()
            .unwrap();
        assert_eq!(shown(&uri), "https://s3.example/k");
        assert_eq!(Origin::of(&uri).unwrap().authority(), "s3.example");
        let query = with_query(
            &"http://h/u?_state=a%3D".parse().unwrap(),
            "digest",
            "sha256:0",
        );
        assert_eq!(
            query.unwrap().to_string(),
            "http://h/u?_state=a%3D&digest=sha256%3A0"
        );
    }
}
