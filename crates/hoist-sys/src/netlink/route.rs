//! `NETLINK_ROUTE`: links, addresses and routes of a network namespace.
//!
//! Requests are added to a [`Requests`]; what the kernel answers is read with [`links`],
//! [`addresses`] and [`routes`]. IPv4 only, which is all that the callers configure.

use std::{
    net::Ipv4Addr,
    os::fd::{AsRawFd, BorrowedFd},
};

use super::{
    Reply, Requests,
    message::{Attributes, Body, CREATE, DUMP, EXCLUSIVE},
};

/// The index of the loopback interface, in every namespace.
pub const LOOPBACK: u32 = 1;

const AF_INET: u8 = 2;
const AF_INET6: u16 = 10;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

const IFF_UP: u32 = 1;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_EXT_MASK: u16 = 29;

const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_NUM_RX_QUEUES: u16 = 32;

const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const VETH_INFO_PEER: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;

/// A bridge to make.
#[derive(Debug, Clone, Copy)]
pub struct NewBridge<'a> {
    /// At most 15 bytes.
    pub name: &'a str,
    /// Its own hardware address; without one it would change as ports come and go.
    pub mac: [u8; 6],
    /// In bytes.
    pub mtu: u32,
}

/// A pair of virtual Ethernet interfaces to make, one end here and one in another namespace.
#[derive(Debug, Clone, Copy)]
pub struct NewPair<'a> {
    /// The name of the end in the socket's namespace, at most 15 bytes.
    pub host: &'a str,
    /// The index of the bridge of which that end becomes a port.
    pub bridge: u32,
    /// In bytes, of both ends.
    pub mtu: u32,
    /// The name of the other end.
    pub peer: &'a str,
    /// The hardware address of the other end.
    pub peer_mac: [u8; 6],
    /// The network namespace of the other end.
    pub namespace: BorrowedFd<'a>,
}

/// An interface, as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether it is administratively up.
    pub up: bool,
    /// In bytes.
    pub mtu: u32,
    /// The index of the bridge of which it is a port.
    pub master: Option<u32>,
}

/// An IPv4 address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The interface's index.
    pub index: u32,
    /// The address itself.
    pub address: Ipv4Addr,
    /// Length of the network prefix, in bits.
    pub prefix: u8,
}

/// An IPv4 route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The network that it leads to; `0.0.0.0` for the default route.
    pub destination: Ipv4Addr,
    /// Length of the network prefix, in bits.
    pub prefix: u8,
    /// The index of the interface by which packets leave.
    pub index: Option<u32>,
    /// Lower is preferred.
    pub priority: u32,
}

/// `struct ifinfomsg`.
fn link_header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&change.to_ne_bytes());
    bytes
}

/// `struct ifaddrmsg`.
fn address_header(prefix: u8, index: u32) -> [u8; 8] {
    let mut bytes = [AF_INET, prefix, 0, 0, 0, 0, 0, 0];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes
}

impl Requests {
    /// Makes a bridge, down.
    pub fn create_bridge(&mut self, bridge: &NewBridge<'_>) {
        self.push(RTM_NEWLINK, CREATE | EXCLUSIVE, |body| {
            body.bytes(&link_header(0, 0, 0));
            body.text(IFLA_IFNAME, bridge.name);
            body.attribute(IFLA_ADDRESS, &bridge.mac);
            body.nest(IFLA_LINKINFO, |info| info.text(IFLA_INFO_KIND, "bridge"));
        });
        // Only a change of the MTU counts as the administrator's: one given at birth is forgotten
        // with the first port that leaves.
        self.push(RTM_NEWLINK, 0, |body| {
            body.bytes(&link_header(0, 0, 0));
            body.text(IFLA_IFNAME, bridge.name);
            body.number(IFLA_MTU, bridge.mtu);
        });
    }

    /// Makes a pair of interfaces, both down, the near end a port of its bridge.
    pub fn create_pair(&mut self, pair: &NewPair<'_>) {
        self.push(RTM_NEWLINK, CREATE | EXCLUSIVE, |body| {
            body.bytes(&link_header(0, 0, 0));
            body.text(IFLA_IFNAME, pair.host);
            body.number(IFLA_MTU, pair.mtu);
            body.number(IFLA_MASTER, pair.bridge);
            one_queue(body);
            body.nest(IFLA_LINKINFO, |info| {
                info.text(IFLA_INFO_KIND, "veth");
                info.nest(IFLA_INFO_DATA, |data| {
                    data.nest(VETH_INFO_PEER, |peer| far_end(peer, pair))
                });
            });
        });
    }

    /// Brings the interface `index` up.
    pub fn raise(&mut self, index: u32) {
        self.push(RTM_NEWLINK, 0, |body| {
            body.bytes(&link_header(index, IFF_UP, IFF_UP))
        });
    }

    /// Brings the interface `name` up.
    pub fn raise_named(&mut self, name: &str) {
        self.push(RTM_NEWLINK, 0, |body| {
            body.bytes(&link_header(0, IFF_UP, IFF_UP));
            body.text(IFLA_IFNAME, name);
        });
    }

    /// Lets the bridge port `name` send a frame back where it came from, and brings it up.
    pub fn raise_reflective(&mut self, name: &str) {
        self.push(RTM_NEWLINK, 0, |body| {
            body.bytes(&link_header(0, IFF_UP, IFF_UP));
            body.text(IFLA_IFNAME, name);
            body.nest(IFLA_LINKINFO, |info| {
                info.text(IFLA_INFO_SLAVE_KIND, "bridge");
                info.nest(IFLA_INFO_SLAVE_DATA, |data| data.byte(IFLA_BRPORT_MODE, 1));
            });
        });
    }

    /// Keeps the interface `name` from giving itself IPv6 addresses. A kernel without IPv6 is fine.
    pub fn without_ipv6(&mut self, name: &str) {
        self.push(RTM_NEWLINK, 0, |body| {
            body.bytes(&link_header(0, 0, 0));
            body.text(IFLA_IFNAME, name);
            body.nest(IFLA_AF_SPEC, |families| {
                families.nest(AF_INET6, |family| {
                    family.byte(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
                });
            });
        });
        self.tolerate(libc::EAFNOSUPPORT);
    }

    /// Deletes the interface `name` (and, for one end of a pair, the other). Absent is fine.
    pub fn delete_link(&mut self, name: &str) {
        self.push(RTM_DELLINK, 0, |body| {
            body.bytes(&link_header(0, 0, 0));
            body.text(IFLA_IFNAME, name);
        });
        self.tolerate(libc::ENODEV);
    }

    /// Gives the interface `index` an address. One that it has already is fine.
    pub fn add_address(&mut self, index: u32, address: Ipv4Addr, prefix: u8) {
        let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        let broadcast = Ipv4Addr::from(u32::from(address) | host_bits);
        self.push(RTM_NEWADDR, CREATE | EXCLUSIVE, |body| {
            body.bytes(&address_header(prefix, index));
            body.attribute(IFA_LOCAL, &address.octets());
            body.attribute(IFA_ADDRESS, &address.octets());
            body.attribute(IFA_BROADCAST, &broadcast.octets());
        });
        self.tolerate(libc::EEXIST);
    }

    /// Makes `gateway`, on the interface `index`, the way to everywhere.
    pub fn add_default_route(&mut self, index: u32, gateway: Ipv4Addr) {
        self.push(RTM_NEWROUTE, CREATE | EXCLUSIVE, |body| {
            body.bytes(&[
                AF_INET,
                0,
                0,
                0,
                RT_TABLE_MAIN,
                RTPROT_BOOT,
                0,
                RTN_UNICAST,
                0,
                0,
                0,
                0,
            ]);
            body.attribute(RTA_GATEWAY, &gateway.octets());
            body.number(RTA_OIF, index);
        });
    }

    /// Asks for the interface `name`; absent is fine.
    pub fn get_link(&mut self, name: &str) {
        self.push(RTM_GETLINK, 0, |body| {
            body.bytes(&link_header(0, 0, 0));
            body.text(IFLA_IFNAME, name);
            body.number(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        });
        self.tolerate(libc::ENODEV);
    }

    /// Asks for every interface. A dump: the last request of its round.
    pub fn dump_links(&mut self) {
        self.push(RTM_GETLINK, DUMP, |body| {
            body.bytes(&link_header(0, 0, 0));
            body.number(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
        });
    }

    /// Asks for every IPv4 address. A dump: the last request of its round.
    pub fn dump_addresses(&mut self) {
        self.push(RTM_GETADDR, DUMP, |body| body.bytes(&address_header(0, 0)));
    }

    /// Asks for every IPv4 route of every table. A dump: the last request of its round.
    pub fn dump_routes(&mut self) {
        self.push(RTM_GETROUTE, DUMP, |body| {
            body.bytes(&[AF_INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        });
    }
}

fn far_end(peer: &mut Body<'_>, pair: &NewPair<'_>) {
    peer.bytes(&link_header(0, 0, 0));
    peer.text(IFLA_IFNAME, pair.peer);
    peer.attribute(IFLA_ADDRESS, &pair.peer_mac);
    peer.number(IFLA_MTU, pair.mtu);
    one_queue(peer);
    let fd = u32::try_from(pair.namespace.as_raw_fd()).expect("an open descriptor is not negative");
    peer.number(IFLA_NET_NS_FD, fd);
}

/// A pair hands packets over at once: more queues would only cost memory and entries in sysfs.
fn one_queue(body: &mut Body<'_>) {
    body.number(IFLA_NUM_TX_QUEUES, 1);
    body.number(IFLA_NUM_RX_QUEUES, 1);
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn address(value: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(*value.first_chunk::<4>()?))
}

/// The interfaces among `replies`.
#[must_use]
pub fn links(replies: &[Reply]) -> Vec<Link> {
    let read = |reply: &Reply| {
        let attributes = Attributes::new(reply.payload.get(16..)?);
        Some(Link {
            index: number(&reply.payload, 4)?,
            name: attributes.text(IFLA_IFNAME)?,
            up: number(&reply.payload, 8)? & IFF_UP != 0,
            mtu: attributes.number(IFLA_MTU)?,
            master: attributes.number(IFLA_MASTER),
        })
    };
    replies
        .iter()
        .filter(|reply| reply.kind == RTM_NEWLINK)
        .filter_map(read)
        .collect()
}

/// The IPv4 addresses among `replies`.
#[must_use]
pub fn addresses(replies: &[Reply]) -> Vec<Address> {
    let read = |reply: &Reply| {
        let attributes = Attributes::new(reply.payload.get(8..)?);
        let local = attributes
            .find(IFA_LOCAL)
            .or_else(|| attributes.find(IFA_ADDRESS))?;
        (reply.payload[0] == AF_INET).then_some(Address {
            index: number(&reply.payload, 4)?,
            address: address(local)?,
            prefix: reply.payload[1],
        })
    };
    replies
        .iter()
        .filter(|reply| reply.kind == RTM_NEWADDR)
        .filter_map(read)
        .collect()
}

/// The IPv4 routes among `replies`.
#[must_use]
pub fn routes(replies: &[Reply]) -> Vec<Route> {
    let read = |reply: &Reply| {
        let attributes = Attributes::new(reply.payload.get(12..)?);
        (reply.payload[0] == AF_INET).then_some(Route {
            destination: match attributes.find(RTA_DST) {
                Some(value) => address(value)?,
                None => Ipv4Addr::UNSPECIFIED,
            },
            prefix: reply.payload[1],
            index: attributes.number(RTA_OIF),
            priority: attributes.number(RTA_PRIORITY).unwrap_or(0),
        })
    };
    replies
        .iter()
        .filter(|reply| reply.kind == RTM_NEWROUTE)
        .filter_map(read)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::{
        netlink::{Protocol, Socket},
        setns::{leave_network, new_network},
    };

    /// Runs `test` on a thread with a network namespace of its own.
    fn in_fresh_namespace(test: impl FnOnce() + Send + 'static) {
        let thread = std::thread::spawn(|| {
            leave_network().unwrap();
            test();
        });
        thread.join().unwrap();
    }

    fn ask(socket: &Socket, request: impl FnOnce(&mut Requests)) -> Vec<Reply> {
        let mut requests = Requests::new();
        request(&mut requests);
        socket.round(requests).unwrap()
    }

    #[test]
    fn a_bridge_comes_and_goes() {
        in_fresh_namespace(|| {
            let socket = Socket::open(Protocol::Route).unwrap();
            ask(&socket, |r| {
                r.create_bridge(&NewBridge {
                    name: "br0",
                    mac: [2, 66, 1, 2, 3, 4],
                    mtu: 1400,
                });
                r.without_ipv6("br0");
            });
            let index = socket.index_of("br0").unwrap().unwrap();
            ask(&socket, |r| {
                r.add_address(index, Ipv4Addr::new(10, 9, 0, 1), 16);
                r.add_address(index, Ipv4Addr::new(10, 9, 0, 1), 16);
                r.raise_named("br0");
            });
            let replies = ask(&socket, |r| {
                r.get_link("br0");
                r.dump_addresses();
            });
            let link = Link {
                index,
                name: "br0".into(),
                up: true,
                mtu: 1400,
                master: None,
            };
            assert_eq!(links(&replies), [link]);
            let address = Address {
                index,
                address: Ipv4Addr::new(10, 9, 0, 1),
                prefix: 16,
            };
            assert_eq!(addresses(&replies), [address]);
            let known = routes(&ask(&socket, Requests::dump_routes));
            let net = known.iter().find(|route| route.prefix == 16).unwrap();
            assert_eq!(
                (net.destination, net.index),
                (Ipv4Addr::new(10, 9, 0, 0), Some(index))
            );
            ask(&socket, |r| r.delete_link("br0"));
            ask(&socket, |r| r.delete_link("br0"));
            assert_eq!(links(&ask(&socket, |r| r.get_link("br0"))), []);
            assert_eq!(socket.index_of("br0").unwrap(), None);
        });
    }

    #[test]
    fn a_pair_reaches_into_another_namespace() {
        in_fresh_namespace(|| {
            let socket = Socket::open(Protocol::Route).unwrap();
            let far = new_network().unwrap();
            ask(&socket, |r| {
                r.create_bridge(&NewBridge {
                    name: "br0",
                    mac: [2, 66, 1, 2, 3, 4],
                    mtu: 1400,
                });
            });
            let bridge = socket.index_of("br0").unwrap().unwrap();
            ask(&socket, |r| {
                r.create_pair(&NewPair {
                    host: "near0",
                    bridge,
                    mtu: 1400,
                    peer: "eth0",
                    peer_mac: [2, 66, 10, 9, 0, 2],
                    namespace: far.as_fd(),
                });
                r.without_ipv6("near0");
                r.raise_reflective("near0");
            });
            let mode = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
            assert!(mode.contains("near0") && !mode.contains("eth0"), "{mode}");
            let inside = Socket::open_in(far.as_fd(), Protocol::Route).unwrap();
            let index = inside.index_of("eth0").unwrap().unwrap();
            ask(&inside, |r| {
                r.raise(LOOPBACK);
                r.add_address(index, Ipv4Addr::new(10, 9, 0, 2), 16);
                r.raise(index);
                r.add_default_route(index, Ipv4Addr::new(10, 9, 0, 1));
            });
            let near = links(&ask(&socket, |r| r.get_link("near0")));
            assert_eq!((near[0].up, near[0].master), (true, Some(bridge)));
            let known = routes(&ask(&inside, Requests::dump_routes));
            assert!(
                known
                    .iter()
                    .any(|route| route.prefix == 0 && route.index == Some(index))
            );
        });
    }
}
