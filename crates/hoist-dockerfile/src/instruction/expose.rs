//! Port specifications of `EXPOSE`.

use std::fmt;

/// A port or a range of ports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Port {
    /// The first port.
    pub start: u16,
    /// The last port; the first one if there is no range.
    pub end: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The protocol was not written in lower case.
    pub odd_case: bool,
    /// An address or a host port was given; they mean nothing here.
    pub has_host_part: bool,
}

/// Why a port specification is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PortError(String);

impl Port {
    /// Reads one specification, variables already expanded:
    /// `[address:][host port:]port[-port][/protocol]`.
    ///
    /// # Errors
    /// No port, a port that is not a number up to 65535, ranges that do not fit, or an unknown
    /// protocol or address.
    pub fn parse(text: &str) -> Result<Self, PortError> {
        parse_port(text).map_err(PortError)
    }

    /// The ports as an image's configuration lists them: `8000/tcp`.
    pub fn entries(&self) -> impl Iterator<Item = String> + '_ {
        (self.start..=self.end).map(|port| format!("{port}/{}", self.protocol))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.start)?;
        if self.end != self.start {
            write!(f, "-{}", self.end)?;
        }
        write!(f, "/{}", self.protocol)
    }
}

pub(crate) fn parse_port(text: &str) -> Result<Port, String> {
    let (host, container) = match text.rsplit_once(':') {
        Some((host, container)) => (Some(host), container),
        None => (None, text),
    };
    let (ports, written) = container.split_once('/').unwrap_or((container, ""));
    if ports.is_empty() {
        return Err(format!("invalid port: \"{text}\": no port specified"));
    }
    let lower = written.to_lowercase();
    let protocol = match lower.as_str() {
        "" => "tcp",
        "tcp" | "udp" | "sctp" => lower.as_str(),
        _ => {
            return Err(format!(
                "invalid port: \"{text}\": invalid proto: {written}"
            ));
        }
    };
    let (start, end) = range(ports).ok_or_else(|| format!("invalid containerPort: {ports}"))?;
    let has_host_part = host.is_some_and(|host| !host.trim_matches(':').is_empty());
    if let Some(host) = host {
        check_host(host, ports, end - start)?;
    }
    Ok(Port {
        start,
        end,
        protocol: protocol.to_owned(),
        odd_case: written != lower,
        has_host_part,
    })
}

/// `[address:]port`, which Docker checks and then ignores.
fn check_host(host: &str, container: &str, width: u16) -> Result<(), String> {
    let (address, port) = host.rsplit_once(':').unwrap_or(("", host));
    let bare = address
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(address);
    if !bare.is_empty() && bare.parse::<std::net::IpAddr>().is_err() {
        return Err(format!("invalid IP address: {address}"));
    }
    if port.is_empty() {
        return Ok(());
    }
    let (start, end) = range(port).ok_or_else(|| format!("invalid hostPort: {port}"))?;
    if width != 0 && width != end - start {
        return Err(format!(
            "invalid ranges specified for container and host Ports: {container} and {port}"
        ));
    }
    Ok(())
}

fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| text.strip_prefix('+').unwrap_or(text).parse::<u16>().ok();
    match text.split_once('-') {
        Some((start, end)) => {
            let (start, end) = (number(start)?, number(end)?);
            (start <= end).then_some((start, end))
        }
        None => number(text).map(|port| (port, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_docker_reads_them() {
        let entries = |text: &str| match Port::parse(text) {
            Ok(port) => port.to_string(),
            Err(error) => error.to_string(),
        };
        for (text, expected) in [
            ("80", "80/tcp"),
            ("53/udp", "53/udp"),
            ("80/TCP", "80/tcp"),
            ("9/sctp", "9/sctp"),
            ("8000-8002", "8000-8002/tcp"),
            ("80-80/udp", "80/udp"),
            ("80/", "80/tcp"),
            ("8080:80", "80/tcp"),
            ("127.0.0.1:8080:80", "80/tcp"),
            ("127.0.0.1::80", "80/tcp"),
            ("[::1]:8080:80", "80/tcp"),
            ("8000-8002:9000-9002", "9000-9002/tcp"),
            ("8000-8002:80", "80/tcp"),
            ("", "invalid port: \"\": no port specified"),
            ("/tcp", "invalid port: \"/tcp\": no port specified"),
            ("80/http", "invalid port: \"80/http\": invalid proto: http"),
            ("http", "invalid containerPort: http"),
            ("70000", "invalid containerPort: 70000"),
            ("-1", "invalid containerPort: -1"),
            ("9-8", "invalid containerPort: 9-8"),
            ("x:80", "invalid hostPort: x"),
            ("a:1:80", "invalid IP address: a"),
            (
                "1-2:5-9",
                "invalid ranges specified for container and host Ports: 5-9 and 1-2",
            ),
        ] {
            assert_eq!(entries(text), expected, "{text}");
        }
    }

    #[test]
    fn oddities_are_noted() {
        assert!(Port::parse("80/TCP").unwrap().odd_case);
        assert!(!Port::parse("80/tcp").unwrap().odd_case);
        assert!(!Port::parse("80/").unwrap().odd_case);
        assert!(Port::parse("8080:80").unwrap().has_host_part);
        assert!(!Port::parse("80").unwrap().has_host_part);
        let ports: Vec<String> = Port::parse("1-3/udp").unwrap().entries().collect();
        assert_eq!(ports, ["1/udp", "2/udp", "3/udp"]);
    }
}
