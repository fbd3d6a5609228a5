//! Which proxy an address is reached through: the rules of Go's `httpproxy`, which Docker follows.

use ureq::Proxy;

use crate::{
    error::{RegistryError, Result},
    insecure::{Block, is_loopback, split_port},
    options::Proxies,
};

/// Proxies, checked.
#[derive(Debug)]
pub(crate) struct ProxyRules {
    http: Option<Proxy>,
    https: Option<Proxy>,
    direct: Vec<Direct>,
}

/// An entry of `NO_PROXY`.
#[derive(Debug, PartialEq, Eq)]
enum Direct {
    Everything,
    Block(Block),
    Host {
        /// Lower case, without a leading dot.
        name: String,
        port: Option<String>,
        /// Only names below it.
        below_only: bool,
    },
}

impl ProxyRules {
    pub(crate) fn new(proxies: &Proxies) -> Result<Self> {
        Ok(Self {
            http: parse(proxies.http.as_deref())?,
            https: parse(proxies.https.as_deref())?,
            direct: proxies
                .no_proxy
                .split(',')
                .filter_map(Direct::parse)
                .collect(),
        })
    }

    /// The proxy for `host` and `port`, if it is to be used.
    pub(crate) fn choose(&self, https: bool, host: &str, port: u16) -> Option<Proxy> {
        let proxy = if https { &self.https } else { &self.http };
        let (host, _) = split_port(host);
        if is_loopback(host) || self.direct.iter().any(|direct| direct.covers(host, port)) {
            return None;
        }
        proxy.clone()
    }
}

fn parse(text: Option<&str>) -> Result<Option<Proxy>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    if matches!(scheme, None | Some("http" | "https"))
        && let Ok(proxy) = Proxy::new(text)
    {
        return Ok(Some(proxy));
    }
    let without_password = text.rsplit_once('@').map_or(text, |(_, host)| host);
    Err(RegistryError::Option {
        what: "proxy",
        value: without_password.to_owned(),
        reason: "not of the form http://[user:password@]host:port or https://…".to_owned(),
    })
}

impl Direct {
    fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim().to_ascii_lowercase();
        if entry.is_empty() {
            return None;
        }
        if entry == "*" {
            return Some(Self::Everything);
        }
        if let Some(block) = Block::parse(&entry) {
            return Some(Self::Block(block));
        }
        let entry = entry.strip_prefix('*').unwrap_or(&entry);
        let (host, port) = split_port(entry);
        let name = host.strip_prefix('.').unwrap_or(host);
        Some(Self::Host {
            name: name.to_owned(),
            port: port.map(str::to_owned),
            below_only: host.starts_with('.'),
        })
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        match self {
            Self::Everything => true,
            Self::Block(block) => host.parse().is_ok_and(|address| block.contains(address)),
            Self::Host {
                name,
                port: wanted,
                below_only,
            } => {
                if wanted
                    .as_ref()
                    .is_some_and(|wanted| *wanted != port.to_string())
                {
                    return false;
                }
                let host = host.to_ascii_lowercase();
                let below = host
                    .strip_suffix(name.as_str())
                    .is_some_and(|rest| rest.ends_with('.'));
                below || (!below_only && host == *name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_follows_the_rules_of_go() {
        let rules = ProxyRules::new(&Proxies {
            http: Some("proxy.example:3128".to_owned()),
            https: Some("http://me:p%40ss@proxy.example:3128".to_owned()),
            no_proxy:
                "intern.example, .sub.example,*.star.example,10.0.0.0/8,port.example:5000,192.0.2.7"
                    .to_owned(),
        })
        .unwrap();
        let direct = [
            ("localhost", 443),
            ("127.0.0.1", 5000),
            ("[::1]", 5000),
            ("intern.example", 443),
            ("a.intern.example", 443),
            ("a.sub.example", 443),
            ("a.star.example", 443),
            ("10.2.3.4", 5000),
            ("port.example", 5000),
            ("192.0.2.7", 443),
            ("INTERN.example", 443),
        ];
        for (host, port) in direct {
            assert!(rules.choose(true, host, port).is_none(), "{host}:{port}");
        }
        let through = [
            ("registry-1.docker.io", 443),
            ("sub.example", 443),
            ("xintern.example", 443),
            ("11.2.3.4", 5000),
            ("port.example", 443),
            ("star.example", 443),
        ];
        for (host, port) in through {
            assert!(rules.choose(true, host, port).is_some(), "{host}:{port}");
            assert!(rules.choose(false, host, port).is_some(), "{host}:{port}");
        }
    }

    #[test]
    fn a_malformed_proxy_is_named_without_its_password() {
        let proxies = Proxies {
            https: Some("socks5://me:secret@proxy.example".to_owned()),
            ..Proxies::default()
        };
        let error = ProxyRules::new(&proxies).unwrap_err();
        insta::assert_snapshot!(error, @r#"proxy "proxy.example": not of the form http://[user:password@]host:port or https://…"#);
    }
}
