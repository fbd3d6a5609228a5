//! Published ports, and the elements of the table's maps that lead to them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use hoist_core::port::Protocol;
use hoist_sys::netlink::nftables::Element;
use serde::{Deserialize, Serialize};

/// The protocol's number in the IP header.
const fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}

/// A port of a container that can be reached by a port of the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The host's address; without one, all of IPv4 and IPv6.
    pub host_ip: Option<IpAddr>,
    /// The host's port; zero asks for any free one.
    pub host_port: u16,
    /// The port inside the container.
    pub container_port: u16,
    /// Of both ports.
    pub protocol: Protocol,
}

/// `0.0.0.0:8000->80/tcp`, as listings show it.
impl fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Some(IpAddr::V4(address)) => write!(f, "{address}")?,
            None => f.write_str("0.0.0.0")?,
        }
        write!(
            f,
            ":{}->{}/{}",
            self.host_port, self.container_port, self.protocol
        )
    }
}

/// One element of a map: what is sent to a port of the host goes to a port of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The host's address; without one, all of IPv4 but loopback.
    pub host: Option<Ipv4Addr>,
    /// The host's port.
    pub host_port: u16,
    /// The container's address.
    pub container: Ipv4Addr,
    /// The container's port.
    pub container_port: u16,
}

/// The map for ports of every address.
pub(crate) const PORTS: &str = "ports";
/// The map for ports of one address.
pub(crate) const ADDRESS_PORTS: &str = "address_ports";

impl Forward {
    /// The element for `port` of the container at `container`.
    ///
    /// None for loopback (other hosts have no business there: a neighbour that sends to
    /// 127.0.0.1 by way of this host must not get in) and none for IPv6.
    #[must_use]
    pub fn new(port: &PublishedPort, container: Ipv4Addr) -> Option<Self> {
        let host = match port.host_ip {
            None => None,
            Some(IpAddr::V4(address)) if address.is_unspecified() => None,
            Some(IpAddr::V4(address)) if !address.is_loopback() => Some(address),
            Some(_) => return None,
        };
        Some(Self {
            protocol: port.protocol,
            host,
            host_port: port.host_port,
            container,
            container_port: port.container_port,
        })
    }

    /// The elements of all `ports` of the container at `container`.
    pub(crate) fn all(ports: &[PublishedPort], container: Ipv4Addr) -> Vec<Self> {
        ports
            .iter()
            .filter_map(|port| Self::new(port, container))
            .collect()
    }

    /// The map it belongs to.
    pub(crate) fn map(&self) -> &'static str {
        if self.host.is_some() {
            ADDRESS_PORTS
        } else {
            PORTS
        }
    }

    /// As the kernel keeps it.
    pub(crate) fn element(&self) -> Element {
        let port = |number: u16| {
            let [high, low] = number.to_be_bytes();
            [high, low, 0, 0]
        };
        let mut key = self
            .host
            .map(|host| host.octets().to_vec())
            .unwrap_or_default();
        key.extend([number(self.protocol), 0, 0, 0]);
        key.extend(port(self.host_port));
        let value = [self.container.octets(), port(self.container_port)].concat();
        Element { key, value }
    }
}

/// The container's address in an element of either map.
pub(crate) fn container_of(element: &Element) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(*element.value.first_chunk::<4>()?))
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.protocol)?;
        if let Some(host) = self.host {
            write!(f, "{host}:")?;
        }
        write!(
            f,
            "{} to {}:{}",
            self.host_port, self.container, self.container_port
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(host_ip: Option<&str>) -> PublishedPort {
        PublishedPort {
            host_ip: host_ip.map(|ip| ip.parse().unwrap()),
            host_port: 8000,
            container_port: 80,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn loopback_and_ipv6_have_no_element() {
        let container = Ipv4Addr::new(172, 17, 0, 2);
        let table = [
            (None, Some("tcp 8000 to 172.17.0.2:80")),
            (Some("0.0.0.0"), Some("tcp 8000 to 172.17.0.2:80")),
            (
                Some("192.0.2.7"),
                Some("tcp 192.0.2.7:8000 to 172.17.0.2:80"),
            ),
            (Some("127.0.0.1"), None),
            (Some("::"), None),
            (Some("::1"), None),
        ];
        for (host, expected) in table {
            let forward = Forward::new(&port(host), container);
            assert_eq!(
                forward.map(|f| f.to_string()).as_deref(),
                expected,
                "{host:?}"
            );
        }
    }

    #[test]
    fn elements_are_padded_to_registers() {
        let container = Ipv4Addr::new(172, 17, 0, 2);
        let element = Forward::new(&port(Some("192.0.2.7")), container)
            .unwrap()
            .element();
        assert_eq!(element.key, [192, 0, 2, 7, 6, 0, 0, 0, 0x1f, 0x40, 0, 0]);
        assert_eq!(element.value, [172, 17, 0, 2, 0, 80, 0, 0]);
        assert_eq!(container_of(&element), Some(container));
    }

    #[test]
    fn listings_show_ports_as_docker_does() {
        assert_eq!(port(None).to_string(), "0.0.0.0:8000->80/tcp");
        assert_eq!(port(Some("::1")).to_string(), "[::1]:8000->80/tcp");
    }
}
