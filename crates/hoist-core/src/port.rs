//! Ports: the syntax of `-p` and of `EXPOSE` (docker/go-connections `nat`).

use std::{fmt, net::IpAddr, ops::RangeInclusive, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::{Describe, Kind};

/// A transport protocol.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, the default.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = PortError;

    /// `tcp`, `udp` in any case; an empty text is TCP.
    fn from_str(text: &str) -> Result<Self, PortError> {
        match text.to_ascii_lowercase().as_str() {
            "" | "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Err(PortError::Sctp),
            other => Err(PortError::Protocol(other.to_owned())),
        }
    }
}

/// One published port: what of the host leads to what of the container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortMapping {
    /// The address of the host to listen on; `None` is all of them, IPv4 and IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
    /// The port of the host; `None` leaves the choice to hoist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// The last port to choose from when `host_port` is taken: `-p 8000-8010:80` takes the first
    /// free one of eleven. `None` when `host_port` is the only choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port_end: Option<u16>,
    /// The port of the container.
    pub container_port: u16,
    /// The protocol of both.
    #[serde(default)]
    pub protocol: Protocol,
}

impl PortMapping {
    /// The ports of the host to try, in order; `None` when any will do.
    #[must_use]
    pub fn host_ports(&self) -> Option<RangeInclusive<u16>> {
        let first = self.host_port?;
        Some(first..=self.host_port_end.unwrap_or(first))
    }
}

impl fmt::Display for PortMapping {
    /// The form that [`parse_publish`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:")?,
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:")?,
            None => {}
        }
        match (self.host_port, self.host_port_end) {
            (Some(first), Some(last)) => write!(f, "{first}-{last}:")?,
            (Some(port), None) => write!(f, "{port}:")?,
            (None, _) if self.host_ip.is_some() => f.write_str(":")?,
            (None, _) => {}
        }
        write!(f, "{}/{}", self.container_port, self.protocol)
    }
}

/// A port of a container without a host side, `8000/tcp`: `EXPOSE`, `ExposedPorts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExposedPort {
    /// The port of the container.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

impl fmt::Display for ExposedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

impl FromStr for ExposedPort {
    type Err = PortError;

    /// One port, `8000` or `8000/tcp`; see [`parse_expose`] for ranges.
    fn from_str(text: &str) -> Result<Self, PortError> {
        match parse_expose(text)?.as_slice() {
            [port] => Ok(*port),
            _ => Err(PortError::Container(text.to_owned())),
        }
    }
}

impl TryFrom<String> for ExposedPort {
    type Error = PortError;

    fn try_from(text: String) -> Result<Self, PortError> {
        text.parse()
    }
}

impl From<ExposedPort> for String {
    fn from(port: ExposedPort) -> Self {
        port.to_string()
    }
}

/// Why a text is not the specification of a port; the words are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Nothing where the container's port must be.
    #[error("no port specified: {0}<empty>")]
    Missing(String),
    /// The container's port is no number or range from 1 to 65535.
    #[error("invalid containerPort: {0}")]
    Container(String),
    /// The host's port is no number or range from 0 to 65535.
    #[error("invalid hostPort: {0}")]
    Host(String),
    /// What stands before the ports is no address.
    #[error("invalid IP address: {0}")]
    Address(String),
    /// No transport protocol that anyone knows.
    #[error("invalid proto: {0}")]
    Protocol(String),
    /// A protocol that Docker knows and hoist does not carry.
    #[error("unsupported proto: sctp")]
    Sctp,
    /// Two ranges that do not pair up.
    #[error("invalid ranges specified for container and host Ports: {container} and {host}")]
    Ranges {
        /// The container's.
        container: String,
        /// The host's.
        host: String,
    },
}

impl Describe for PortError {
    fn kind(&self) -> Kind {
        match self {
            Self::Sctp => Kind::Unsupported,
            _ => Kind::Invalid,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Host(text) if text.parse::<IpAddr>().is_ok() => {
                format!("to choose the address and leave the port open, write {text}::PORT")
            }
            Self::Address(text) if text == "localhost" => {
                "write 127.0.0.1 (or [::1]) for localhost".to_owned()
            }
            Self::Protocol(_) | Self::Sctp => "the protocols are tcp and udp".to_owned(),
            Self::Ranges { .. } => "give both ranges the same number of ports".to_owned(),
            _ => {
                "write [ADDRESS:][HOST PORT:]CONTAINER PORT[/tcp|/udp], such as 8000:80".to_owned()
            }
        };
        vec![hint]
    }
}

/// The mappings of one `-p`: `8000`, `8000:80`, `127.0.0.1:8000:80`, `127.0.0.1::80`,
/// `[::1]:8000:80`, `8000-8010:80-90`, each with `/tcp` or `/udp`; one entry a container port.
///
/// A single container port with a range of host ports (`8000-8010:80`) is one entry with a
/// choice. Host port 0 is the same as none.
///
/// # Errors
/// [`PortError`] in Docker's words.
pub fn parse_publish(text: &str) -> Result<Vec<PortMapping>, PortError> {
    let (host, container) = match text.rsplit_once(':') {
        Some((host, container)) => (Some(host), container),
        None => (None, text),
    };
    let (address, host_port) = match host.and_then(|host| host.rsplit_once(':')) {
        Some((address, port)) => (address, port),
        None => ("", host.unwrap_or("")),
    };
    let (container, protocol) = container.split_once('/').unwrap_or((container, ""));
    if container.is_empty() {
        return Err(PortError::Missing(text.to_owned()));
    }
    let protocol: Protocol = protocol.parse()?;
    let host_ip = parse_address(address)?;
    let container_ports = parse_range(container)
        .filter(|range| *range.start() > 0)
        .ok_or_else(|| PortError::Container(container.to_owned()))?;
    let mapping = |host_port, host_port_end, container_port| PortMapping {
        host_ip,
        host_port,
        host_port_end,
        container_port,
        protocol,
    };
    if host_port.is_empty() {
        return Ok(container_ports
            .map(|port| mapping(None, None, port))
            .collect());
    }

    let host_ports = parse_range(host_port).ok_or_else(|| PortError::Host(host_port.to_owned()))?;
    let (first, last) = (*host_ports.start(), *host_ports.end());
    if container_ports.len() == 1 {
        if first == 0 && last > 0 {
            return Err(PortError::Host(host_port.to_owned()));
        }
        let end = (first != last).then_some(last);
        let port = *container_ports.start();
        return Ok(vec![mapping((first > 0).then_some(first), end, port)]);
    }
    if container_ports.len() != host_ports.len() {
        return Err(PortError::Ranges {
            container: container.to_owned(),
            host: host_port.to_owned(),
        });
    }
    Ok(host_ports
        .zip(container_ports)
        .map(|(host, port)| mapping((host > 0).then_some(host), None, port))
        .collect())
}

/// The ports of one word of `EXPOSE` or `--expose`: `8000`, `8000/tcp`, `8000-8010/udp`.
///
/// # Errors
/// [`PortError`] in Docker's words.
pub fn parse_expose(text: &str) -> Result<Vec<ExposedPort>, PortError> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, ""));
    if ports.is_empty() {
        return Err(PortError::Missing(text.to_owned()));
    }
    let protocol = protocol.parse()?;
    let ports = parse_range(ports)
        .filter(|range| *range.start() > 0)
        .ok_or_else(|| PortError::Container(ports.to_owned()))?;
    Ok(ports.map(|port| ExposedPort { port, protocol }).collect())
}

/// `80` or `80-90`, the second not below the first.
fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |part: &str| {
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse::<u16>().ok()).flatten()
    };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(first..=last)
}

/// An address with or without brackets; empty is none.
fn parse_address(text: &str) -> Result<Option<IpAddr>, PortError> {
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').unwrap_or(text),
        None => text,
    };
    if bare.is_empty() && text.is_empty() {
        return Ok(None);
    }
    bare.parse()
        .map(Some)
        .map_err(|_| PortError::Address(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let mappings = parse_publish(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        mappings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn publish_takes_every_form_of_docker() {
        let table: [(&str, &[&str]); 19] = [
            ("8000", &["8000/tcp"]),
            ("8000:80", &["8000:80/tcp"]),
            ("8000:80/udp", &["8000:80/udp"]),
            ("8000:80/TCP", &["8000:80/tcp"]),
            ("8000:80/", &["8000:80/tcp"]),
            (":80", &["80/tcp"]),
            ("0:80", &["80/tcp"]),
            ("127.0.0.1:8000:80", &["127.0.0.1:8000:80/tcp"]),
            ("127.0.0.1::80", &["127.0.0.1::80/tcp"]),
            ("0.0.0.0:8000:80", &["0.0.0.0:8000:80/tcp"]),
            ("[::1]:8000:80", &["[::1]:8000:80/tcp"]),
            ("::1:8000:80", &["[::1]:8000:80/tcp"]),
            ("[::]::80/udp", &["[::]::80/udp"]),
            ("80-82", &["80/tcp", "81/tcp", "82/tcp"]),
            (
                "8000-8002:80-82",
                &["8000:80/tcp", "8001:81/tcp", "8002:82/tcp"],
            ),
            (
                "127.0.0.1:9-10:1-2/udp",
                &["127.0.0.1:9:1/udp", "127.0.0.1:10:2/udp"],
            ),
            ("8000-8010:80", &["8000-8010:80/tcp"]),
            ("80-80:81-81", &["80:81/tcp"]),
            ("65535:65535", &["65535:65535/tcp"]),
        ];
        for (text, expected) in table {
            assert_eq!(shown(text), expected, "{text}");
        }
        let choice = &parse_publish("8000-8010:80").unwrap()[0];
        assert_eq!(choice.host_ports(), Some(8000..=8010));
        assert_eq!(parse_publish("80").unwrap()[0].host_ports(), None);
        assert_eq!(parse_publish("1-65535:1-65535").unwrap().len(), 65_535);
    }

    #[test]
    fn publish_refuses_the_rest_in_dockers_words() {
        let table = [
            ("", "no port specified: <empty>"),
            ("80:", "no port specified: 80:<empty>"),
            ("/tcp", "no port specified: /tcp<empty>"),
            ("abc", "invalid containerPort: abc"),
            ("80:abc", "invalid containerPort: abc"),
            ("99999", "invalid containerPort: 99999"),
            ("+80", "invalid containerPort: +80"),
            ("0", "invalid containerPort: 0"),
            ("90-80", "invalid containerPort: 90-80"),
            ("80-", "invalid containerPort: 80-"),
            ("-80", "invalid containerPort: -80"),
            ("1-2-3", "invalid containerPort: 1-2-3"),
            ("a b", "invalid containerPort: a b"),
            ("abc:80", "invalid hostPort: abc"),
            ("127.0.0.1:80", "invalid hostPort: 127.0.0.1"),
            ("80000:80", "invalid hostPort: 80000"),
            ("0-5:80", "invalid hostPort: 0-5"),
            ("80/foo", "invalid proto: foo"),
            ("80/tcp/udp", "invalid proto: tcp/udp"),
            ("80/sctp", "unsupported proto: sctp"),
            ("1.2.3:80:80", "invalid IP address: 1.2.3"),
            ("localhost:80:80", "invalid IP address: localhost"),
            ("80:80:80:80", "invalid IP address: 80:80"),
            ("[::1:80:80", "invalid IP address: [::1"),
            ("[]:80:80", "invalid IP address: []"),
            (
                "80-82:80-81",
                "invalid ranges specified for container and host Ports: 80-81 and 80-82",
            ),
            (
                "80:80-81",
                "invalid ranges specified for container and host Ports: 80-81 and 80",
            ),
        ];
        for (text, message) in table {
            let error = parse_publish(text).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert_eq!(error.hints().len(), 1);
        }
    }

    #[test]
    fn hints_tell_the_form_that_was_meant() {
        let hint = |text| parse_publish(text).unwrap_err().hints().remove(0);
        assert_eq!(
            hint("127.0.0.1:80"),
            "to choose the address and leave the port open, write 127.0.0.1::PORT"
        );
        assert_eq!(
            hint("localhost:80:80"),
            "write 127.0.0.1 (or [::1]) for localhost"
        );
    }

    #[test]
    fn expose_takes_ports_and_ranges() {
        let shown = |text| -> Vec<String> {
            let ports = parse_expose(text).unwrap();
            ports.iter().map(ToString::to_string).collect()
        };
        assert_eq!(shown("8000"), ["8000/tcp"]);
        assert_eq!(shown("53/udp"), ["53/udp"]);
        assert_eq!(shown("80-81/Udp"), ["80/udp", "81/udp"]);
        for text in ["", "/tcp", "0", "80/x", "80:80", "x", "2-1"] {
            assert!(parse_expose(text).is_err(), "{text}");
        }
        assert_eq!(
            "8000/tcp".parse(),
            Ok(ExposedPort {
                port: 8000,
                protocol: Protocol::Tcp
            })
        );
        assert!("80-81".parse::<ExposedPort>().is_err());
    }

    #[test]
    fn json_is_plain() {
        let mapping = parse_publish("127.0.0.1:8000:80/udp").unwrap().remove(0);
        let json = serde_json::to_string(&mapping).unwrap();
        assert_eq!(
            json,
            r#"{"host_ip":"127.0.0.1","host_port":8000,"container_port":80,"protocol":"udp"}"#
        );
        assert_eq!(serde_json::from_str::<PortMapping>(&json).unwrap(), mapping);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-f:./\\[\\]-]{0,24}|.{0,16}") {
            let _ = parse_publish(&text);
            let _ = parse_expose(&text);
        }

        #[test]
        fn written_mappings_read_back(
            host_ip in any::<Option<IpAddr>>(),
            host in proptest::option::of((1_u16..=65_535, 0_u16..50)),
            container_port in 1_u16..=65_535,
            udp: bool,
        ) {
            let mapping = PortMapping {
                host_ip,
                host_port: host.map(|(first, _)| first),
                host_port_end: host
                    .filter(|(_, more)| *more > 0)
                    .and_then(|(first, more)| first.checked_add(more)),
                container_port,
                protocol: if udp { Protocol::Udp } else { Protocol::Tcp },
            };
            prop_assert_eq!(parse_publish(&mapping.to_string()), Ok(vec![mapping]));
        }
    }
}
