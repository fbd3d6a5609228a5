//! The kernel's side of networks: looking at it, and applying steps to it.
//!
//! All of it happens in the calling thread's network namespace, but for what a step does inside
//! a container. Steps at one place in a row are one netlink round.

use std::{cell::OnceCell, fs, io, net::Ipv4Addr, os::fd::BorrowedFd, path::PathBuf};

use hoist_core::{ContainerId, port::Protocol as Transport};
use hoist_sys::netlink::{Protocol, Requests, RoundError, Socket, nftables, route};

use crate::{
    Bridge, NetworkError, Subnet,
    plan::{Link, Observed, Place, Step},
    port::{ADDRESS_PORTS, Forward, PORTS, container_of},
    rules,
};

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
const CONTAINER_INTERFACE: &str = "eth0";

const ENOENT: i32 = 2;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;

/// The container that steps are applied in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inside<'a> {
    pub(crate) container: &'a ContainerId,
    pub(crate) netns: BorrowedFd<'a>,
}

/// Netlink sockets of the current network namespace, opened when first needed.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    route: OnceCell<Socket>,
    netfilter: OnceCell<Socket>,
}

/// The addresses and routes that a new network must keep clear of, and the MTU to give it.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) used: Vec<Subnet>,
    pub(crate) mtu: u32,
}

fn observe(what: &'static str) -> impl Fn(RoundError) -> NetworkError {
    move |source| NetworkError::Observe { what, source }
}

fn failed(step: impl ToString) -> impl FnOnce(RoundError) -> NetworkError {
    move |source| NetworkError::Step {
        step: step.to_string(),
        source,
    }
}

impl Kernel {
    fn route(&self) -> Result<&Socket, RoundError> {
        open(&self.route, Protocol::Route)
    }

    fn netfilter(&self) -> Result<&Socket, RoundError> {
        open(&self.netfilter, Protocol::Netfilter)
    }

    /// Looks at what exists of `bridge`: two rounds.
    pub(crate) fn observe(&self, bridge: &Bridge) -> Result<Observed, NetworkError> {
        let mut requests = Requests::new();
        requests.get_link(&bridge.interface);
        requests.dump_addresses();
        let replies = self.route().and_then(|socket| socket.round(requests));
        let replies = replies.map_err(observe("interfaces"))?;
        let link = route::links(&replies).into_iter().next();
        let addressed = route::addresses(&replies).iter().any(|address| {
            link.as_ref()
                .is_some_and(|link| link.index == address.index)
                && (address.address, address.prefix) == (bridge.gateway, bridge.subnet.prefix())
        });
        let mut requests = Requests::new();
        requests.get_table(&bridge.table);
        let replies = self.netfilter().and_then(|socket| socket.round(requests));
        let replies = replies.map_err(observe("nf_tables"))?;
        Ok(Observed {
            link: link.map(|link| Link {
                up: link.up,
                mtu: link.mtu,
            }),
            addressed,
            table: nftables::table_comments(&replies).into_iter().next(),
            forwarding: fs::read_to_string(FORWARDING).is_ok_and(|text| text.trim() == "1"),
        })
    }

    /// Looks at the addresses and routes of the host, but for those of `interface`.
    pub(crate) fn surroundings(&self, interface: &str) -> Result<Surroundings, NetworkError> {
        let ask = |request: fn(&mut Requests)| {
            let mut requests = Requests::new();
            request(&mut requests);
            let replies = self.route().and_then(|socket| socket.round(requests));
            replies.map_err(observe("addresses and routes"))
        };
        let links = route::links(&ask(Requests::dump_links)?);
        let routes = route::routes(&ask(Requests::dump_routes)?);
        let addresses = route::addresses(&ask(Requests::dump_addresses)?);
        let own = links
            .iter()
            .find(|link| link.name == interface)
            .map(|link| link.index);
        let foreign = |index: Option<u32>| own.is_none() || index != own;
        let used_by_routes = routes.iter().filter(|r| r.prefix > 0 && foreign(r.index));
        let used_by_addresses = addresses.iter().filter(|a| foreign(Some(a.index)));
        let used = used_by_routes
            .map(|route| Subnet::new(route.destination, route.prefix))
            .chain(used_by_addresses.map(|a| Subnet::new(a.address, a.prefix)))
            .collect();
        let defaults = routes
            .iter()
            .filter(|route| route.prefix == 0 && route.index.is_some());
        let uplink = defaults
            .min_by_key(|route| route.priority)
            .and_then(|route| route.index);
        let uplink = links.iter().find(|link| Some(link.index) == uplink);
        Ok(Surroundings {
            used,
            mtu: uplink.map_or(1500, |link| link.mtu),
        })
    }

    /// Whether the interface exists.
    pub(crate) fn exists(&self, interface: &str) -> Result<bool, NetworkError> {
        let index = self
            .route()
            .and_then(|socket| Ok(socket.index_of(interface)?));
        Ok(index.map_err(observe("interfaces"))?.is_some())
    }

    /// Applies `steps` in order; the first that fails ends it.
    pub(crate) fn apply(
        &self,
        steps: &[Step],
        inside: Option<Inside<'_>>,
    ) -> Result<(), NetworkError> {
        for group in steps.chunk_by(|a, b| a.place() == b.place()) {
            match group[0].place() {
                Place::Links | Place::Addresses => {
                    let socket = self.route().map_err(failed(&group[0]))?;
                    apply_links(socket, group, inside)?;
                }
                Place::Container => {
                    let inside = inside.expect("only plans of endpoints go into a container");
                    let socket = Socket::open_in(inside.netns, Protocol::Route);
                    let socket = socket.map_err(|source| NetworkError::Namespace {
                        container: inside.container.clone(),
                        source,
                    })?;
                    apply_links(&socket, group, None)?;
                }
                Place::Table => self.apply_table(group)?,
                Place::Setting => set(FORWARDING, "1\n")?,
            }
        }
        Ok(())
    }

    fn apply_table(&self, steps: &[Step]) -> Result<(), NetworkError> {
        for step in steps {
            match step {
                Step::WriteTable { bridge, forwards } => {
                    let mut requests = Requests::transaction();
                    rules::replace(&mut requests, bridge, forwards);
                    self.transact(requests).map_err(failed(step))?;
                }
                Step::Publish { table, forwards } => {
                    self.publish(table, forwards).map_err(failed(step))?;
                }
                _ => unreachable!("no other step has its place in a table"),
            }
        }
        Ok(())
    }

    /// Adds elements. The caller holds the listening sockets, so an element in the way is one
    /// that a dead owner left: it is replaced.
    fn publish(&self, table: &str, forwards: &[Forward]) -> Result<(), RoundError> {
        let add = |requests: &mut Requests| rules::publish(requests, table, forwards);
        let mut requests = Requests::transaction();
        add(&mut requests);
        match self.transact(requests) {
            Err(error) if matches!(error.errno(), Some(EEXIST | EBUSY)) => {
                self.withdraw(table, forwards)?;
                let mut requests = Requests::transaction();
                add(&mut requests);
                self.transact(requests)?;
            }
            other => other?,
        }
        self.forget_flows(forwards);
        Ok(())
    }

    /// Takes elements away. What is not there (the table too) is fine.
    pub(crate) fn withdraw(&self, table: &str, forwards: &[Forward]) -> Result<(), RoundError> {
        if forwards.is_empty() {
            return Ok(());
        }
        let remove = |forwards: &[Forward]| {
            let mut requests = Requests::transaction();
            rules::withdraw(&mut requests, table, forwards);
            self.transact(requests)
        };
        match remove(forwards) {
            Err(error) if error.errno() == Some(ENOENT) => {
                for forward in forwards {
                    match remove(std::slice::from_ref(forward)) {
                        Err(error) if error.errno() != Some(ENOENT) => return Err(error),
                        _ => {}
                    }
                }
            }
            other => other?,
        }
        self.forget_flows(forwards);
        Ok(())
    }

    /// Makes datagrams that were on their way before follow the new rules. A kernel without the
    /// interface for that goes without: the flows end when their senders pause.
    fn forget_flows(&self, forwards: &[Forward]) {
        let mut requests = Requests::new();
        for forward in forwards.iter().filter(|f| f.protocol == Transport::Udp) {
            requests.forget_udp_flows(forward.host_port);
        }
        let _ = self.netfilter().and_then(|socket| socket.round(requests));
    }

    /// The elements of both maps whose container is not among `keep` are taken away.
    pub(crate) fn withdraw_others(
        &self,
        table: &str,
        keep: &[Ipv4Addr],
    ) -> Result<(), NetworkError> {
        for map in [PORTS, ADDRESS_PORTS] {
            let mut requests = Requests::new();
            requests.dump_elements(table, map);
            let replies = match self.netfilter().and_then(|socket| socket.round(requests)) {
                Err(error) if error.errno() == Some(ENOENT) => return Ok(()),
                other => other.map_err(observe("published ports"))?,
            };
            let mut stale = nftables::elements(&replies);
            stale.retain(|element| {
                container_of(element).is_none_or(|container| !keep.contains(&container))
            });
            let mut requests = Requests::transaction();
            requests.delete_elements(table, map, &stale);
            self.transact(requests)
                .map_err(failed(format!("withdraw ports in {table}")))?;
        }
        Ok(())
    }

    /// Deletes interfaces; absent ones are fine.
    pub(crate) fn delete_links<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), NetworkError> {
        let names: Vec<_> = names.into_iter().collect();
        let mut requests = Requests::new();
        for name in &names {
            requests.delete_link(name);
        }
        let round = self.route().and_then(|socket| socket.round(requests));
        round.map(drop).map_err(|error| {
            let name = error
                .request
                .and_then(|n| names.get(n))
                .copied()
                .unwrap_or("interfaces");
            NetworkError::Step {
                step: format!("delete {name}"),
                source: error,
            }
        })
    }

    /// The names of the interfaces on the bridge `interface`.
    pub(crate) fn ports_of(&self, interface: &str) -> Result<Vec<String>, NetworkError> {
        let mut requests = Requests::new();
        requests.dump_links();
        let replies = self.route().and_then(|socket| socket.round(requests));
        let links = route::links(&replies.map_err(observe("interfaces"))?);
        let bridge = links
            .iter()
            .find(|link| link.name == interface)
            .map(|link| link.index);
        let on_bridge = links
            .into_iter()
            .filter(|link| bridge.is_some() && link.master == bridge);
        Ok(on_bridge.map(|link| link.name).collect())
    }

    /// Deletes the table; an absent one is fine.
    pub(crate) fn delete_table(&self, table: &str) -> Result<(), NetworkError> {
        let mut requests = Requests::transaction();
        requests.delete_table(table);
        match self.transact(requests) {
            Err(error) if error.errno() == Some(ENOENT) => Ok(()),
            other => other.map_err(failed(format!("delete table {table}"))),
        }
    }

    fn transact(&self, requests: Requests) -> Result<(), RoundError> {
        self.netfilter()?.round(requests).map(drop)
    }
}

fn open(cell: &OnceCell<Socket>, protocol: Protocol) -> Result<&Socket, RoundError> {
    if let Some(socket) = cell.get() {
        return Ok(socket);
    }
    let socket = Socket::open(protocol)?;
    Ok(cell.get_or_init(|| socket))
}

/// Applies steps about interfaces in one round over `socket`.
fn apply_links(
    socket: &Socket,
    steps: &[Step],
    inside: Option<Inside<'_>>,
) -> Result<(), NetworkError> {
    let mut requests = Requests::new();
    // Which step each request belongs to.
    let mut origin = Vec::new();
    for step in steps {
        request(socket, step, inside, &mut requests).map_err(failed(step))?;
        origin.resize(requests.len(), step);
    }
    socket.round(requests).map(drop).map_err(|error| {
        let step = error
            .request
            .and_then(|n| origin.get(n))
            .copied()
            .unwrap_or(&steps[0]);
        failed(step)(error)
    })
}

/// Adds the requests of one step about interfaces.
fn request(
    socket: &Socket,
    step: &Step,
    inside: Option<Inside<'_>>,
    requests: &mut Requests,
) -> Result<(), RoundError> {
    let index = |name: &str| {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("no interface {name}"));
        Ok::<_, RoundError>(socket.index_of(name)?.ok_or_else(missing)?)
    };
    match step {
        Step::CreateBridge {
            interface,
            mac,
            mtu,
        } => {
            requests.create_bridge(&route::NewBridge {
                name: interface,
                mac: *mac,
                mtu: *mtu,
            });
            requests.without_ipv6(interface);
        }
        Step::AddressBridge {
            interface,
            address,
            prefix,
        } => {
            requests.add_address(index(interface)?, *address, *prefix);
        }
        Step::RaiseBridge { interface } => requests.raise_named(interface),
        Step::CreatePair {
            host,
            bridge,
            mtu,
            mac,
        } => {
            requests.create_pair(&route::NewPair {
                host,
                bridge: index(bridge)?,
                mtu: *mtu,
                peer: CONTAINER_INTERFACE,
                peer_mac: *mac,
                namespace: inside.expect("only plans of endpoints make pairs").netns,
            });
            requests.without_ipv6(host);
        }
        Step::RaisePort { host } => requests.raise_reflective(host),
        Step::RaiseLoopback => requests.raise(route::LOOPBACK),
        Step::AddressContainer { address, prefix } => {
            let index = index(CONTAINER_INTERFACE)?;
            requests.without_ipv6(CONTAINER_INTERFACE);
            requests.add_address(index, *address, *prefix);
            requests.raise(index);
        }
        Step::RouteContainer { gateway } => {
            requests.add_default_route(index(CONTAINER_INTERFACE)?, *gateway);
        }
        Step::WriteTable { .. } | Step::Publish { .. } | Step::EnableForwarding => {
            unreachable!("such steps have their place elsewhere")
        }
    }
    Ok(())
}

fn set(path: &str, value: &str) -> Result<(), NetworkError> {
    fs::write(path, value).map_err(|source| NetworkError::File {
        action: "write",
        path: PathBuf::from(path),
        source,
    })
}
