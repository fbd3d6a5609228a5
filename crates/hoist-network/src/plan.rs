//! What is to be done to the kernel, as data.
//!
//! [`Observed`] is what a look at the kernel found, [`network`] and [`endpoint`] turn it into
//! [`Step`]s. Nothing here does anything: the steps are applied elsewhere, and printed here.

use std::{fmt, net::Ipv4Addr};

use crate::{
    Bridge, Endpoint,
    bridge::{mac, mac_text},
    rules,
};

pub use crate::port::Forward;

/// What exists of a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// The bridge's interface.
    pub link: Option<Link>,
    /// Whether the bridge has the gateway's address.
    pub addressed: bool,
    /// The comment of the table, if there is one.
    pub table: Option<String>,
    /// Whether the host forwards packets between interfaces.
    pub forwarding: bool,
}

/// What matters of a bridge's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Whether it is up.
    pub up: bool,
    /// In bytes.
    pub mtu: u32,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Makes the bridge.
    CreateBridge {
        /// Its interface.
        interface: String,
        /// Its hardware address.
        mac: [u8; 6],
        /// In bytes.
        mtu: u32,
    },
    /// Gives the bridge its address.
    AddressBridge {
        /// Its interface.
        interface: String,
        /// The gateway of the network.
        address: Ipv4Addr,
        /// Length of the network prefix, in bits.
        prefix: u8,
    },
    /// Brings the bridge up.
    RaiseBridge {
        /// Its interface.
        interface: String,
    },
    /// Writes the table with all rules and elements, in the place of what has its name.
    WriteTable {
        /// The network that it is for.
        bridge: Bridge,
        /// The elements of its maps.
        forwards: Vec<Forward>,
    },
    /// Lets the host forward packets between interfaces.
    EnableForwarding,
    /// Makes the pair of interfaces, one end on the bridge and one in the container.
    CreatePair {
        /// The host's end.
        host: String,
        /// The bridge's interface.
        bridge: String,
        /// In bytes, of both ends.
        mtu: u32,
        /// The hardware address of the container's end.
        mac: [u8; 6],
    },
    /// Brings the host's end up; it may send frames back where they came from, so that a
    /// container reaches itself by a port that it publishes.
    RaisePort {
        /// The host's end.
        host: String,
    },
    /// Brings the container's loopback interface up.
    RaiseLoopback,
    /// Gives `eth0` in the container its address and brings it up.
    AddressContainer {
        /// Its address.
        address: Ipv4Addr,
        /// Length of the network prefix, in bits.
        prefix: u8,
    },
    /// Gives the container its way out.
    RouteContainer {
        /// The bridge's address.
        gateway: Ipv4Addr,
    },
    /// Leads published ports to the container.
    Publish {
        /// The network's table.
        table: String,
        /// The elements to add.
        forwards: Vec<Forward>,
    },
}

/// Where a step takes effect; steps at one place in a row go out in one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Interfaces of the host are made.
    Links,
    /// Interfaces of the host are set up.
    Addresses,
    /// Inside the container.
    Container,
    /// The table.
    Table,
    /// A setting of the kernel.
    Setting,
}

impl Step {
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::CreateBridge { .. } | Self::CreatePair { .. } | Self::RaisePort { .. } => {
                Place::Links
            }
            Self::AddressBridge { .. } | Self::RaiseBridge { .. } => Place::Addresses,
            Self::RaiseLoopback | Self::AddressContainer { .. } | Self::RouteContainer { .. } => {
                Place::Container
            }
            Self::WriteTable { .. } | Self::Publish { .. } => Place::Table,
            Self::EnableForwarding => Place::Setting,
        }
    }
}

/// What makes `bridge` work, given what exists. The elements `forwards` belong to containers
/// that are attached already; they are lost only when somebody deleted the table.
#[must_use]
pub fn network(bridge: &Bridge, observed: &Observed, forwards: &[Forward]) -> Vec<Step> {
    let mut steps = Vec::new();
    let interface = || bridge.interface.clone();
    if observed.link.is_none() {
        let mac = mac(bridge.gateway);
        steps.push(Step::CreateBridge {
            interface: interface(),
            mac,
            mtu: bridge.mtu,
        });
    }
    if !observed.addressed {
        steps.push(Step::AddressBridge {
            interface: interface(),
            address: bridge.gateway,
            prefix: bridge.subnet.prefix(),
        });
    }
    if !observed.link.is_some_and(|link| link.up) {
        steps.push(Step::RaiseBridge {
            interface: interface(),
        });
    }
    if observed.table.as_deref() != Some(&rules::comment(bridge)) {
        let forwards = forwards.to_vec();
        steps.push(Step::WriteTable {
            bridge: bridge.clone(),
            forwards,
        });
    }
    if !observed.forwarding {
        steps.push(Step::EnableForwarding);
    }
    steps
}

/// What puts `endpoint` in its place on `bridge`.
#[must_use]
pub fn endpoint(bridge: &Bridge, endpoint: &Endpoint) -> Vec<Step> {
    let mut steps = vec![
        Step::CreatePair {
            host: endpoint.host_interface.clone(),
            bridge: bridge.interface.clone(),
            mtu: bridge.mtu,
            mac: mac(endpoint.address),
        },
        Step::RaisePort {
            host: endpoint.host_interface.clone(),
        },
        Step::RaiseLoopback,
        Step::AddressContainer {
            address: endpoint.address,
            prefix: endpoint.prefix,
        },
        Step::RouteContainer {
            gateway: endpoint.gateway,
        },
    ];
    let forwards = endpoint.forwards();
    if !forwards.is_empty() {
        steps.push(Step::Publish {
            table: endpoint.table.clone(),
            forwards,
        });
    }
    steps
}

/// The rules of the network's table, chain by chain, as `nft list table` prints them.
#[must_use]
pub fn rules_text(bridge: &Bridge) -> String {
    let mut text = String::new();
    for chain in rules::chains(bridge) {
        text.push_str(chain.name);
        text.push('\n');
        for rule in &chain.rules {
            text.push_str("  ");
            text.push_str(&rule.text);
            text.push('\n');
        }
    }
    text
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateBridge {
                interface,
                mac,
                mtu,
            } => {
                write!(
                    f,
                    "create bridge {interface} ({}, MTU {mtu})",
                    mac_text(*mac)
                )
            }
            Self::AddressBridge {
                interface,
                address,
                prefix,
            } => {
                write!(f, "give {interface} the address {address}/{prefix}")
            }
            Self::RaiseBridge { interface } => write!(f, "bring up {interface}"),
            Self::WriteTable { bridge, forwards } => {
                write!(
                    f,
                    "write table {} ({})",
                    bridge.table,
                    rules::comment(bridge)
                )?;
                published(f, ", publishing ", forwards)
            }
            Self::EnableForwarding => f.write_str("enable net.ipv4.ip_forward"),
            Self::CreatePair {
                host,
                bridge,
                mtu,
                mac,
            } => {
                let mac = mac_text(*mac);
                write!(
                    f,
                    "create {host} on {bridge} with eth0 ({mac}, MTU {mtu}) as its peer"
                )
            }
            Self::RaisePort { host } => write!(f, "bring up {host}"),
            Self::RaiseLoopback => f.write_str("bring up lo in the container"),
            Self::AddressContainer { address, prefix } => {
                write!(
                    f,
                    "give eth0 in the container the address {address}/{prefix}"
                )
            }
            Self::RouteContainer { gateway } => {
                write!(f, "route the container's traffic by {gateway}")
            }
            Self::Publish { table, forwards } => {
                write!(f, "publish in table {table}")?;
                published(f, ": ", forwards)
            }
        }
    }
}

fn published(f: &mut fmt::Formatter<'_>, prefix: &str, forwards: &[Forward]) -> fmt::Result {
    for (n, forward) in forwards.iter().enumerate() {
        write!(f, "{}{forward}", if n == 0 { prefix } else { ", " })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hoist_core::ContainerId;

    use super::*;
    use hoist_core::port::Protocol;

    use crate::{PublishedPort, Subnet};

    fn bridge() -> Bridge {
        let subnet: Subnet = "172.17.0.0/16".parse().unwrap();
        Bridge {
            name: "bridge".into(),
            interface: "hoist0".into(),
            table: "hoist".into(),
            subnet,
            gateway: subnet.gateway(),
            mtu: 1400,
        }
    }

    fn port(host_ip: Option<&str>, host_port: u16, protocol: Protocol) -> PublishedPort {
        let host_ip = host_ip.map(|ip| ip.parse().unwrap());
        PublishedPort {
            host_ip,
            host_port,
            container_port: 80,
            protocol,
        }
    }

    fn attached() -> Endpoint {
        let id = ContainerId::from_random([0xab; 32]);
        let ports = [
            port(None, 8000, Protocol::Tcp),
            port(Some("192.0.2.2"), 53, Protocol::Udp),
            port(Some("127.0.0.1"), 9000, Protocol::Tcp),
        ];
        Endpoint::new(&bridge(), &id, Ipv4Addr::new(172, 17, 0, 2), &ports)
    }

    fn lines(steps: &[Step]) -> String {
        steps.iter().map(|step| format!("{step}\n")).collect()
    }

    #[test]
    fn a_network_from_nothing() {
        let steps = network(&bridge(), &Observed::default(), &[]);
        insta::assert_snapshot!(lines(&steps), @r"
        create bridge hoist0 (02:42:ac:11:00:01, MTU 1400)
        give hoist0 the address 172.17.0.1/16
        bring up hoist0
        write table hoist (hoist rules 1: 172.17.0.0/16 on hoist0)
        enable net.ipv4.ip_forward
        ");
    }

    #[test]
    fn a_network_that_is_all_there_needs_nothing() {
        let observed = Observed {
            link: Some(Link {
                up: true,
                mtu: 1400,
            }),
            addressed: true,
            table: Some(rules::comment(&bridge())),
            forwarding: true,
        };
        assert_eq!(network(&bridge(), &observed, &attached().forwards()), []);
    }

    #[test]
    fn a_flushed_table_comes_back_with_what_was_published() {
        let observed = Observed {
            link: Some(Link {
                up: false,
                mtu: 1400,
            }),
            addressed: true,
            table: None,
            forwarding: true,
        };
        let steps = network(&bridge(), &observed, &attached().forwards());
        insta::assert_snapshot!(lines(&steps), @r"
        bring up hoist0
        write table hoist (hoist rules 1: 172.17.0.0/16 on hoist0), publishing tcp 8000 to 172.17.0.2:80, udp 192.0.2.2:53 to 172.17.0.2:80
        ");
    }

    #[test]
    fn a_container_with_ports() {
        insta::assert_snapshot!(lines(&endpoint(&bridge(), &attached())), @r"
        create vethababa110002 on hoist0 with eth0 (02:42:ac:11:00:02, MTU 1400) as its peer
        bring up vethababa110002
        bring up lo in the container
        give eth0 in the container the address 172.17.0.2/16
        route the container's traffic by 172.17.0.1
        publish in table hoist: tcp 8000 to 172.17.0.2:80, udp 192.0.2.2:53 to 172.17.0.2:80
        ");
    }

    #[test]
    fn the_rules_as_nft_prints_them() {
        insta::assert_snapshot!(rules_text(&bridge()), @r#"
        prerouting
          ip daddr 127.0.0.0/8 return
          fib daddr type != local return
          dnat ip to ip daddr . meta l4proto . th dport map @address_ports
          dnat ip to meta l4proto . th dport map @ports
        forward
          oifname != "hoist0" accept
          iifname "hoist0" accept
          ct state established,related accept
          ct status dnat accept
          drop
        postrouting
          ip saddr 172.17.0.0/16 oifname != "hoist0" masquerade
          ip saddr 172.17.0.0/16 oifname "hoist0" ct status dnat masquerade
        "#);
    }
}
