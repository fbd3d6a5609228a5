//! Which registries may be spoken to without TLS, and blocks of addresses.

use std::net::{IpAddr, ToSocketAddrs};

/// A block of addresses, `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    address: IpAddr,
    bits: u8,
}

impl Block {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits: u8 = bits.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (bits <= longest).then_some(Self { address, bits })
    }

    pub(crate) fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(block), IpAddr::V4(other)) => {
                let differing = u32::from(block) ^ u32::from(other);
                differing.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(block), IpAddr::V6(other)) => {
                let differing = u128::from(block) ^ u128::from(other);
                differing.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

/// Host and port of `host[:port]`; IPv6 without its brackets.
pub(crate) fn split_port(authority: &str) -> (&str, Option<&str>) {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port))
            if !port.contains(']') && (!host.contains(':') || host.ends_with(']')) =>
        {
            (host, Some(port))
        }
        _ => (authority, None),
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    (bare.unwrap_or(host), port)
}

/// The machine itself.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The insecure registries that were named.
#[derive(Debug, Default)]
pub(crate) struct Insecure {
    names: Vec<String>,
    blocks: Vec<Block>,
    /// The machine itself is one, too.
    loopback: bool,
}

impl Insecure {
    /// Of the entries of Docker's `insecure-registries`, and the machine itself; the first entry that
    /// is none is the error.
    pub(crate) fn parse(entries: &[String]) -> Result<Self, String> {
        let mut insecure = Self {
            loopback: true,
            ..Self::default()
        };
        for entry in entries {
            if entry.contains('/') {
                insecure
                    .blocks
                    .push(Block::parse(entry).ok_or_else(|| entry.clone())?);
            } else if entry.is_empty() || entry.contains(char::is_whitespace) {
                return Err(entry.clone());
            } else {
                insecure.names.push(entry.to_ascii_lowercase());
            }
        }
        Ok(insecure)
    }

    /// Whether the registry at `authority` (`host[:port]`) is one of them. A name is looked up
    /// only when blocks of addresses were named.
    pub(crate) fn contains(&self, authority: &str) -> bool {
        let authority = authority.to_ascii_lowercase();
        let (host, _) = split_port(&authority);
        if self.loopback && is_loopback(host) || self.names.contains(&authority) {
            return true;
        }
        if self.blocks.is_empty() {
            return false;
        }
        let within = |address| self.blocks.iter().any(|block| block.contains(address));
        match host.parse() {
            Ok(address) => within(address),
            Err(_) => (host, 0)
                .to_socket_addrs()
                .is_ok_and(|mut found| found.any(|address| within(address.ip()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machine_itself_and_what_was_named_is_insecure() {
        let named = [
            "reg.example:5000",
            "10.0.0.0/8",
            "fd00::/8",
            "Plain.Example",
        ]
        .map(str::to_owned);
        let insecure = Insecure::parse(&named).unwrap();
        let yes = [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.8.8.8",
            "[::1]:5000",
            "::1",
            "reg.example:5000",
            "REG.example:5000",
            "10.1.2.3:443",
            "[fd00::5]:5000",
            "plain.example",
        ];
        for host in yes {
            assert!(insecure.contains(host), "{host}");
        }
        let none = Insecure::parse(&[]).unwrap();
        assert!(none.contains("localhost") && !Insecure::default().contains("localhost"));
        for host in [
            "reg.example",
            "reg.example:5001",
            "11.0.0.1",
            "[fe80::5]",
            "localhost.example",
        ] {
            assert!(!none.contains(host), "{host}");
        }
        for bad in ["10.0.0.0/33", "x/8", "", "a b"] {
            assert_eq!(Insecure::parse(&[bad.to_owned()]).unwrap_err(), bad);
        }
    }

    #[test]
    fn ports_are_split_from_hosts() {
        let table = [
            ("a:1", ("a", Some("1"))),
            ("a", ("a", None)),
            ("[::1]:5", ("::1", Some("5"))),
            ("[::1]", ("::1", None)),
            ("::1", ("::1", None)),
        ];
        for (text, split) in table {
            assert_eq!(split_port(text), split);
        }
    }
}
