//! Networks of containers: floor 1 of the house.
//!
//! A network is a bridge, one nf_tables table, and claimed addresses. The kernel is spoken to over
//! netlink; no program is run, and no rule outside hoist's own tables is read or changed. The
//! main types:
//!
//! * [`Networks`] keeps the records and claims, and makes [`Bridge`]s and [`Endpoint`]s.
//! * [`Forwarder`] holds the listening sockets of published ports and serves what comes in
//!   through them; the rules of the table serve what comes from other hosts.
//! * [`resolv_conf`] and [`hosts_file`] are the two files that a container needs to find others.
//!
//! Everything that changes the kernel is first a list of [`plan::Step`]s, made from what was
//! observed, printed one line each, applied in a dull loop, and observed again.
//!
//! # The rules
//!
//! Each network has a table of the `ip` family with two maps and three base chains. Publishing a
//! port is one element of a map; no rule changes when containers come and go.
//!
//! ```text
//! table ip hoist {
//!   map ports         { inet_proto . inet_service             : ipv4_addr . inet_service }
//!   map address_ports { ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }
//!   chain prerouting  (nat, dstnat)
//!     ip daddr 127.0.0.0/8 return                 no way in to what is published on loopback
//!     fib daddr type != local return              only what is addressed to this host
//!     dnat ip to ip daddr . meta l4proto . th dport map @address_ports
//!     dnat ip to meta l4proto . th dport map @ports
//!   chain forward     (filter)
//!     oifname != "hoist0" accept                  not towards a container: not our business
//!     iifname "hoist0" accept                     containers reach each other
//!     ct state established,related accept
//!     ct status dnat accept                       published ports, and nothing else
//!     drop
//!   chain postrouting (nat, srcnat)
//!     ip saddr 172.17.0.0/16 oifname != "hoist0" masquerade
//!     ip saddr 172.17.0.0/16 oifname "hoist0" ct status dnat masquerade    the hairpin
//! }
//! ```
//!
//! Traffic from other hosts is translated in the kernel and keeps its source address. A container
//! that uses a published port of its own host comes back with the bridge's address as source,
//! else the answer would bypass the translation. Traffic of the host itself (loopback, and its
//! own addresses) never passes `prerouting`: it meets the listening socket of the [`Forwarder`],
//! as does everything over IPv6.
//!
//! The chains of other tables are asked as well: where another program drops what is forwarded
//! (a `FORWARD` policy of `DROP`, as Docker sets it), that decides. `net.ipv4.ip_forward` is
//! switched on when a network is made, and stays on.
//!
//! # What it never does
//!
//! It knows no containers beyond an id, no images, and no names of services. It never touches a
//! table, interface or address that it did not make.
#![forbid(unsafe_code)]

mod bridge;
mod endpoint;
mod error;
mod forwarder;
mod hosts;
mod kernel;
mod leases;
mod networks;
pub mod plan;
mod port;
mod record;
mod resolv;
mod rules;
mod subnet;

pub use bridge::Bridge;
pub use endpoint::{Attach, Endpoint};
pub use error::{Holder, NetworkError};
pub use forwarder::Forwarder;
pub use hosts::hosts_file;
pub use networks::{Lingering, Networks};
pub use port::PublishedPort;
pub use resolv::{SYSTEMD_RESOLVED, resolv_conf, uses_systemd_resolved};
pub use subnet::Subnet;
