//! The PORTS column: `0.0.0.0:8000->8000/tcp, [::]:8000->8000/tcp, 9000-9002/udp`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hoist_core::port::{ExposedPort, Protocol};
use hoist_engine::{State, container::Container};

/// One port of a container, with the host's side when it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    inside: u16,
    host: Option<(IpAddr, u16)>,
    protocol: Protocol,
}

/// The ports of a running container; nothing for others.
pub(super) fn text(container: &Container) -> String {
    if container.status.state != State::Running {
        return String::new();
    }
    show(ports(container))
}

/// Published ports, then those that the image or the user only declares.
fn ports(container: &Container) -> Vec<Port> {
    let mut ports = Vec::new();
    for published in container
        .status
        .endpoint
        .iter()
        .flat_map(|endpoint| &endpoint.ports)
    {
        let every = [
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ];
        let one = published.host_ip.map(|ip| [ip]);
        let addresses = one.as_ref().map_or(&every[..], |one| &one[..]);
        ports.extend(addresses.iter().map(|ip| Port {
            inside: published.container_port,
            host: Some((*ip, published.host_port)),
            protocol: published.protocol,
        }));
    }
    let declared = container.record.config.exposed_ports.keys();
    for exposed in declared.filter_map(|text| text.parse::<ExposedPort>().ok()) {
        let published =
            |port: &Port| port.inside == exposed.port && port.protocol == exposed.protocol;
        if container.status.endpoint.is_some() && !ports.iter().any(published) {
            ports.push(Port {
                inside: exposed.port,
                host: None,
                protocol: exposed.protocol,
            });
        }
    }
    ports
}

/// Docker's text: neighbours with equal numbers on both sides become ranges.
fn show(mut ports: Vec<Port>) -> String {
    ports.sort();
    let mut groups: Vec<(Option<IpAddr>, Protocol, u16, u16)> = Vec::new();
    let mut mapped = Vec::new();
    for Port {
        inside,
        host,
        protocol,
    } in ports
    {
        if let Some((ip, outside)) = host.filter(|(_, outside)| *outside != inside) {
            mapped.push(format!(
                "{}->{inside}/{protocol}",
                joined(ip, &outside.to_string())
            ));
            continue;
        }
        let ip = host.map(|(ip, _)| ip);
        let open = groups
            .iter_mut()
            .rev()
            .find(|group| group.0 == ip && group.1 == protocol);
        match open {
            Some(group) if u32::from(inside) == u32::from(group.3) + 1 => group.3 = inside,
            _ => groups.push((ip, protocol, inside, inside)),
        }
    }
    let range = |first: u16, last: u16| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    };
    let shown = groups.into_iter().map(|(ip, protocol, first, last)| {
        let range = range(first, last);
        match ip {
            Some(ip) => format!("{}->{range}/{protocol}", joined(ip, &range)),
            None => format!("{range}/{protocol}"),
        }
    });
    shown.chain(mapped).collect::<Vec<_>>().join(", ")
}

fn joined(ip: IpAddr, port: &str) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(inside: u16, host: Option<(&str, u16)>) -> Port {
        let host = host.map(|(ip, port)| (ip.parse().unwrap(), port));
        Port {
            inside,
            host,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn ports_are_shown_as_docker_shows_them() {
        let both = |inside| {
            vec![
                port(inside, Some(("0.0.0.0", inside))),
                port(inside, Some(("::", inside))),
            ]
        };
        assert_eq!(
            show(both(8000)),
            "0.0.0.0:8000->8000/tcp, [::]:8000->8000/tcp"
        );
        let ranges = [both(9000), both(9001), both(9002)].concat();
        assert_eq!(
            show(ranges),
            "0.0.0.0:9000-9002->9000-9002/tcp, [::]:9000-9002->9000-9002/tcp"
        );
        let other = vec![port(80, Some(("127.0.0.1", 8080))), port(443, None)];
        assert_eq!(show(other), "443/tcp, 127.0.0.1:8080->80/tcp");
        assert_eq!(show(Vec::new()), "");
    }
}
