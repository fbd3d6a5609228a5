//! Mirrors: addresses that are asked before a registry.

use crate::{
    error::{RegistryError, Result},
    url::Origin,
};

/// A mirror, from `https://host[:port][/prefix]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirror {
    pub(crate) origin: Origin,
    /// In front of every repository's path; empty, or without slashes at its ends.
    pub(crate) prefix: String,
    /// As it was written.
    pub(crate) text: String,
}

impl Mirror {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let error = |reason: &str| RegistryError::Option {
            what: "mirror",
            value: text
                .rsplit_once('@')
                .map_or(text, |(_, host)| host)
                .to_owned(),
            reason: reason.to_owned(),
        };
        let uri: ureq::http::Uri = text.parse().map_err(|_| error("not an address"))?;
        let origin = Origin::of(&uri)
            .ok_or_else(|| error("not of the form https://host[:port][/prefix]"))?;
        if uri.query().is_some() || text.contains(['@', '#']) {
            return Err(error("a mirror has no user, query or fragment"));
        }
        Ok(Self {
            origin,
            prefix: uri.path().trim_matches('/').to_owned(),
            text: text.trim_end_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_addresses_with_an_optional_prefix() {
        let mirror = Mirror::parse("https://harbor.example/hub/").unwrap();
        assert_eq!(
            (mirror.origin.authority().as_str(), mirror.prefix.as_str()),
            ("harbor.example", "hub")
        );
        let mirror = Mirror::parse("http://10.0.0.1:5000").unwrap();
        assert_eq!((mirror.origin.https, mirror.prefix.as_str()), (false, ""));
        for bad in [
            "",
            "mirror.example",
            "ftp://x",
            "https://u:p@x",
            "https://x?a=b",
        ] {
            let error = Mirror::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("u:p"), "{error}");
        }
    }
}
