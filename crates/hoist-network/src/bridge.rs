//! Bridges: what a network is on the host.

use std::{net::Ipv4Addr, path::Path};

use hoist_core::{ContainerId, Digest};
use serde::{Deserialize, Serialize};

use crate::Subnet;

/// The name of the network that containers get when none is asked for.
pub(crate) const DEFAULT_NETWORK: &str = "bridge";

/// A network: a bridge of the host, its addresses, and its table of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// The network's name.
    pub name: String,
    /// The bridge's interface on the host.
    pub interface: String,
    /// The nf_tables table, of the family `ip`.
    pub table: String,
    /// The addresses of the network.
    pub subnet: Subnet,
    /// The host's own address in it.
    pub gateway: Ipv4Addr,
    /// Of the bridge and of every interface on it, in bytes.
    pub mtu: u32,
}

/// What the interfaces and tables of one root are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Naming {
    pub(crate) interface: String,
    pub(crate) table: String,
    /// Where in the list of subnets the search begins.
    pub(crate) first_subnet: usize,
}

impl Naming {
    /// The root's names: plain for the default one, else with a hash of its path.
    pub(crate) fn of(state: &Path, default_root: bool) -> Self {
        if default_root {
            return Self {
                interface: "hoist0".into(),
                table: "hoist".into(),
                first_subnet: 0,
            };
        }
        let path = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
        let digest = Digest::of(path.as_os_str().as_encoded_bytes());
        let hash = &digest.hex()[..8];
        let name = format!("hoist-{hash}");
        let start = u32::from_str_radix(hash, 16).unwrap_or(0);
        Self {
            interface: name.clone(),
            table: name,
            first_subnet: start as usize,
        }
    }

    /// The default network with the given addresses.
    pub(crate) fn default_bridge(&self, subnet: Subnet, mtu: u32) -> Bridge {
        Bridge {
            name: DEFAULT_NETWORK.to_owned(),
            interface: self.interface.clone(),
            table: self.table.clone(),
            subnet,
            gateway: subnet.gateway(),
            mtu,
        }
    }
}

/// The hardware address that goes with an address: `02:42` and its four bytes, as Docker does it.
pub(crate) fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// A hardware address as text.
pub(crate) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The host's end of a container's pair. The address makes it unique on the host (subnets do not
/// overlap, and their first byte follows from the second); the container is for human eyes.
pub(crate) fn host_interface(container: &ContainerId, address: Ipv4Addr) -> String {
    let [_, b, c, d] = address.octets();
    format!("veth{}{b:02x}{c:02x}{d:02x}", &container.as_str()[..5])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_interface_names() {
        let naming = Naming::of(Path::new("/var/lib/other/networks"), false);
        assert_eq!(naming.interface.len(), 14);
        assert_ne!(
            naming,
            Naming::of(Path::new("/var/lib/third/networks"), false)
        );
        assert_eq!(Naming::of(Path::new("/x"), true).interface, "hoist0");
        let id = ContainerId::from_random([0xab; 32]);
        let name = host_interface(&id, Ipv4Addr::new(172, 17, 1, 2));
        assert_eq!(name, "vethababa110102");
        assert_eq!(name.len(), 15);
    }

    #[test]
    fn the_mac_follows_from_the_address() {
        assert_eq!(
            mac_text(mac(Ipv4Addr::new(172, 17, 0, 2))),
            "02:42:ac:11:00:02"
        );
    }
}
