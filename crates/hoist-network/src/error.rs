//! What can go wrong with networks, and what to do about it.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use hoist_core::{ContainerId, Describe, Kind};
use hoist_sys::netlink::RoundError;

use hoist_core::port::Protocol;

use crate::Subnet;

/// The process that holds a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its name, as in `/proc/<pid>/comm`.
    pub name: String,
}

/// Why a network operation failed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Another socket holds the address and port.
    #[error("Bind for {} failed: port is already allocated{}", SocketAddr::new(*.address, *.port), held(.holder.as_ref()))]
    PortTaken {
        /// The transport protocol.
        protocol: Protocol,
        /// The address to listen on.
        address: IpAddr,
        /// The port to listen on.
        port: u16,
        /// Who holds it, where `/proc` shows it.
        holder: Option<Holder>,
    },
    /// A published port cannot be listened on for another reason.
    #[error("cannot listen on {protocol} {address}")]
    Listen {
        /// The transport protocol.
        protocol: Protocol,
        /// Address and port.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The listeners' own machinery (epoll, timer) failed.
    #[error("cannot serve published ports")]
    Serve(#[source] io::Error),
    /// Every private subnet that hoist picks from overlaps with a route or address of the host.
    #[error(
        "no free subnet for network {network:?}: all of 172.17–31.0.0/16 and 192.168.0.0/16 overlap with addresses or routes of this host"
    )]
    NoSubnet {
        /// The network.
        network: String,
    },
    /// The host has got an address or route within a network that is in use.
    #[error("subnet {subnet} of network {network:?} overlaps with {other} of this host")]
    Overlap {
        /// The network.
        network: String,
        /// Its subnet.
        subnet: Subnet,
        /// What it overlaps with.
        other: Subnet,
    },
    /// Every address of the network is claimed.
    #[error("no free address in network {network:?} ({subnet})")]
    NoAddress {
        /// The network.
        network: String,
        /// Its subnet.
        subnet: Subnet,
    },
    /// The kernel refused a step.
    #[error("cannot {step}: {source}")]
    Step {
        /// What was to be done.
        step: String,
        /// Why it was refused.
        #[source]
        source: RoundError,
    },
    /// The kernel could not be asked.
    #[error("cannot ask the kernel for {what}: {source}")]
    Observe {
        /// What was asked for.
        what: &'static str,
        /// Why there is no answer.
        #[source]
        source: RoundError,
    },
    /// The bridge vanished, and vanishes whenever it is made again.
    #[error("bridge {interface} of network {network:?} does not exist")]
    NoBridge {
        /// The network.
        network: String,
        /// The interface that is missing.
        interface: String,
    },
    /// The network was set up, but is not as planned.
    #[error("network {network:?} does not keep its settings; still to do: {remaining}")]
    Unsettled {
        /// The network.
        network: String,
        /// The steps that a look at the kernel still asks for.
        remaining: String,
    },
    /// The container's network namespace cannot be entered.
    #[error("cannot enter the network namespace of container {container}")]
    Namespace {
        /// The container.
        container: ContainerId,
        /// Why.
        source: io::Error,
    },
    /// A file of the network state cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file of the network state does not hold what it should.
    #[error("{} is not a valid network record: {reason}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

fn held(holder: Option<&Holder>) -> String {
    holder
        .map(|holder| format!(" (held by {holder})"))
        .unwrap_or_default()
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, pid {}", self.name, self.pid)
    }
}

impl NetworkError {
    /// The error of the kernel or the file system below, if that is what this is about.
    fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Listen { source, .. }
            | Self::Serve(source)
            | Self::Namespace { source, .. }
            | Self::File { source, .. } => Some(source),
            Self::Step { source, .. } | Self::Observe { source, .. } => Some(&source.source),
            _ => None,
        }
    }

    fn is(&self, kind: io::ErrorKind) -> bool {
        self.io().is_some_and(|error| error.kind() == kind)
    }
}

impl Describe for NetworkError {
    fn kind(&self) -> Kind {
        match self {
            Self::PortTaken { .. } | Self::Overlap { .. } => Kind::Conflict,
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrNotAvailable => {
                Kind::Invalid
            }
            Self::Step { source, .. } | Self::Observe { source, .. }
                if source.source.kind() == io::ErrorKind::Unsupported =>
            {
                Kind::Unsupported
            }
            Self::Record { .. } | Self::Unsettled { .. } => Kind::Internal,
            _ => Kind::Unavailable,
        }
    }

    fn hints(&self) -> Vec<String> {
        let mut hints = Vec::new();
        match self {
            Self::PortTaken {
                protocol,
                port,
                holder,
                ..
            } => {
                let other = port.checked_add(1).unwrap_or(8080);
                hints.push(format!(
                    "publish on another host port, for example -p {other}:… instead of -p {port}:…"
                ));
                if holder.is_none() {
                    let flag = if *protocol == Protocol::Tcp { 't' } else { 'u' };
                    hints.push(format!(
                        "see who holds it with: ss -{flag}lnp sport = :{port}"
                    ));
                }
            }
            Self::Listen { address, .. } if self.is(io::ErrorKind::PermissionDenied) => {
                hints.push(format!(
                    "ports below 1024 need root, or sysctl net.ipv4.ip_unprivileged_port_start={}",
                    address.port()
                ));
            }
            Self::Listen { address, .. } if self.is(io::ErrorKind::AddrNotAvailable) => {
                hints.push(format!(
                    "no interface of this host has the address {}; leave it out to listen on all",
                    address.ip()
                ));
            }
            Self::NoSubnet { .. } | Self::Overlap { .. } => {
                hints.push("see what is in the way with: ip -4 route".to_owned());
            }
            Self::NoAddress { .. } => {
                hints.push("remove containers that are no longer needed".to_owned());
            }
            Self::Record { path, .. } => {
                hints.push(format!(
                    "remove {} to have the network made anew",
                    path.display()
                ));
            }
            Self::Step { .. } | Self::Observe { .. }
                if self.is(io::ErrorKind::PermissionDenied) =>
            {
                hints.push("bridge networks need root; --network host and none do not".to_owned());
            }
            _ => {}
        }
        hints
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_taken_port_reads_as_docker_puts_it_and_names_the_holder() {
        let mut error = NetworkError::PortTaken {
            protocol: Protocol::Tcp,
            address: Ipv4Addr::UNSPECIFIED.into(),
            port: 8000,
            holder: Some(Holder {
                pid: 42,
                name: "python3".to_owned(),
            }),
        };
        assert_eq!(
            error.to_string(),
            "Bind for 0.0.0.0:8000 failed: port is already allocated (held by python3, pid 42)"
        );
        assert_eq!(error.kind(), Kind::Conflict);
        assert_eq!(error.hints().len(), 1);
        if let NetworkError::PortTaken { holder, .. } = &mut error {
            *holder = None;
        }
        assert_eq!(
            error.to_string(),
            "Bind for 0.0.0.0:8000 failed: port is already allocated"
        );
        assert_eq!(
            error.hints()[1],
            "see who holds it with: ss -tlnp sport = :8000"
        );
    }

    #[test]
    fn privileged_ports_have_a_way_out() {
        let error = NetworkError::Listen {
            protocol: Protocol::Tcp,
            address: "0.0.0.0:80".parse().unwrap(),
            source: io::ErrorKind::PermissionDenied.into(),
        };
        assert!(error.hints()[0].ends_with("net.ipv4.ip_unprivileged_port_start=80"));
    }
}
