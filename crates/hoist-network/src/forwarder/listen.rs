//! Binding and listening: all published ports, or none.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd as _, OwnedFd},
};

use hoist_sys::datagram;
use rustix::{
    io::Errno,
    net::{self, AddressFamily, SocketFlags, SocketType, sockopt},
};

use super::holder;
use hoist_core::port::Protocol;

use crate::{NetworkError, PublishedPort};

/// Clients that the kernel lets wait; it takes its own limit if that is lower.
const BACKLOG: i32 = 4096;
/// How often a port that is free over both IPv4 and IPv6 is looked for.
const ATTEMPTS: usize = 16;

/// A socket that clients come to.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: OwnedFd,
    pub(super) protocol: Protocol,
    pub(super) container_port: u16,
}

/// Why a socket could not be bound.
struct Refused {
    address: SocketAddr,
    errno: Errno,
}

/// Listens on all of `requests`; a failure closes what was bound before.
pub(super) fn all(
    requests: &[PublishedPort],
) -> Result<(Vec<Listener>, Vec<PublishedPort>), NetworkError> {
    let mut listeners = Vec::with_capacity(requests.len() * 2);
    let mut bound = requests.to_vec();
    for port in &mut bound {
        let mut result = one(port);
        for _ in 1..ATTEMPTS {
            match &result {
                Err(refused) if port.host_port == 0 && refused.errno == Errno::ADDRINUSE => {
                    result = one(port);
                }
                _ => break,
            }
        }
        let (sockets, host_port) = result.map_err(|refused| refused.explain(port.protocol))?;
        port.host_port = host_port;
        let (protocol, container_port) = (port.protocol, port.container_port);
        let listener = |socket| Listener {
            socket,
            protocol,
            container_port,
        };
        listeners.extend(sockets.into_iter().map(listener));
    }
    Ok((listeners, bound))
}

/// Listens on one port: on its address, or over IPv4 and IPv6.
fn one(port: &PublishedPort) -> Result<(Vec<OwnedFd>, u16), Refused> {
    if let Some(address) = port.host_ip {
        let (socket, number) = bind(port.protocol, SocketAddr::new(address, port.host_port))?;
        return Ok((vec![socket], number));
    }
    let four = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port.host_port);
    let (socket, number) = bind(port.protocol, four)?;
    let mut sockets = vec![socket];
    match bind(
        port.protocol,
        SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), number),
    ) {
        Ok((socket, _)) => sockets.push(socket),
        // A host without IPv6.
        Err(Refused {
            errno: Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL,
            ..
        }) => {}
        Err(refused) => return Err(refused),
    }
    Ok((sockets, number))
}

/// A bound (and, for TCP, listening) socket, and its port.
fn bind(protocol: Protocol, address: SocketAddr) -> Result<(OwnedFd, u16), Refused> {
    let refused = |errno| Refused { address, errno };
    let (family, kind) = (
        if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        },
        if protocol == Protocol::Tcp {
            SocketType::STREAM
        } else {
            SocketType::DGRAM
        },
    );
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family, kind, flags, None).map_err(refused)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true).map_err(refused)?;
    }
    match protocol {
        // Connections of a predecessor that linger are no obstacle; its listener is.
        Protocol::Tcp => sockopt::set_socket_reuseaddr(&socket, true).map_err(refused)?,
        Protocol::Udp => {
            // Without it answers may leave from another address, which is a nuisance to some.
            let _ = datagram::report_local_address(socket.as_fd(), address.is_ipv6());
        }
    }
    net::bind(&socket, &address).map_err(refused)?;
    if protocol == Protocol::Tcp {
        net::listen(&socket, BACKLOG).map_err(refused)?;
    }
    let own = net::getsockname(&socket)
        .and_then(SocketAddr::try_from)
        .map_err(refused)?;
    Ok((socket, own.port()))
}

/// The next client of a listening socket, if one waits.
pub(super) fn accept(listener: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

impl Refused {
    fn explain(self, protocol: Protocol) -> NetworkError {
        let Self { address, errno } = self;
        if errno != Errno::ADDRINUSE {
            return NetworkError::Listen {
                protocol,
                address,
                source: io::Error::from(errno),
            };
        }
        let (ip, port): (IpAddr, u16) = (address.ip(), address.port());
        NetworkError::PortTaken {
            protocol,
            address: ip,
            port,
            holder: holder::find(protocol, address),
        }
    }
}
