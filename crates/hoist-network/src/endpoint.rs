//! Endpoints: where a container meets a network.

use std::{net::Ipv4Addr, os::fd::BorrowedFd};

use hoist_core::ContainerId;
use serde::{Deserialize, Serialize};

use crate::{
    Bridge, PublishedPort,
    bridge::{host_interface, mac, mac_text},
    port::Forward,
};

/// What is to be attached to a network.
#[derive(Debug, Clone, Copy)]
pub struct Attach<'a> {
    /// The container, which will own the address.
    pub container: &'a ContainerId,
    /// Its network namespace.
    pub netns: BorrowedFd<'a>,
    /// What to publish, with host ports that the caller's [`Forwarder`](crate::Forwarder) holds
    /// already; none of them zero.
    pub ports: &'a [PublishedPort],
}

/// A container's place in a network: all that is needed to describe it and to undo it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The container.
    pub container: ContainerId,
    /// The network's name.
    pub network: String,
    /// The bridge's interface on the host.
    pub bridge: String,
    /// The network's nf_tables table.
    pub table: String,
    /// The container's address.
    pub address: Ipv4Addr,
    /// Length of the network prefix, in bits.
    pub prefix: u8,
    /// The way out: the bridge's own address.
    pub gateway: Ipv4Addr,
    /// The hardware address of `eth0` in the container.
    pub mac: String,
    /// The host's end of the pair.
    pub host_interface: String,
    /// What is published.
    pub ports: Vec<PublishedPort>,
}

impl Endpoint {
    /// The endpoint of `container` at `address`.
    pub(crate) fn new(
        bridge: &Bridge,
        container: &ContainerId,
        address: Ipv4Addr,
        ports: &[PublishedPort],
    ) -> Self {
        Self {
            container: container.clone(),
            network: bridge.name.clone(),
            bridge: bridge.interface.clone(),
            table: bridge.table.clone(),
            address,
            prefix: bridge.subnet.prefix(),
            gateway: bridge.gateway,
            mac: mac_text(mac(address)),
            host_interface: host_interface(container, address),
            ports: ports.to_vec(),
        }
    }

    /// The elements of the table's maps that belong to it.
    pub(crate) fn forwards(&self) -> Vec<Forward> {
        Forward::all(&self.ports, self.address)
    }
}
