//! Networks for real: bridges, rules and containers in namespaces.

mod world;

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    os::fd::AsFd,
};

use hoist_core::port::Protocol;
use hoist_network::{Attach, Forwarder, NetworkError, plan};
use hoist_sys::setns::{new_network, within_network};
use world::{HOST, OUTSIDE, Served, connect, id, on_a_host, open, port, run, talk, talk_udp};

use Protocol::{Tcp, Udp};

/// The lines of a listing by `nft` that are rules, with the names of their chains.
fn rules_of(listing: &str) -> String {
    let mut text = String::new();
    for line in listing.lines().map(str::trim) {
        if let Some(chain) = line.strip_prefix("chain ") {
            text += &format!("{}\n", chain.trim_end_matches(" {"));
        } else if [
            "ip ", "fib ", "dnat ", "oifname ", "iifname ", "ct ", "drop",
        ]
        .iter()
        .any(|start| line.starts_with(start))
        {
            text += &format!("  {line}\n");
        }
    }
    text
}

#[test]
fn the_default_network_is_made_once_and_is_what_nft_and_ip_show() {
    on_a_host(|world| {
        let bridge = world.networks.default_bridge().unwrap();
        assert_eq!(bridge.interface, "hoist0");
        assert_eq!(bridge.subnet.to_string(), "172.17.0.0/16");
        assert_eq!(bridge.gateway, Ipv4Addr::new(172, 17, 0, 1));
        assert_eq!(bridge.mtu, 1400);
        assert_eq!(
            fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(),
            "1\n"
        );
        let link = run("ip -o link show hoist0");
        assert!(
            link.contains("mtu 1400") && link.contains("02:42:ac:11:00:01"),
            "{link}"
        );
        assert!(run("ip -o address show hoist0").contains("172.17.0.1/16"));
        let listing = run("nft list table ip hoist");
        assert_eq!(rules_of(&listing), plan::rules_text(&bridge), "{listing}");
        let before = world.everything();
        assert_eq!(world.networks.default_bridge().unwrap(), bridge);
        assert_eq!(world.everything(), before);
    });
}

#[test]
fn published_ports_are_elements_and_nothing_else_changes() {
    on_a_host(|world| {
        world.networks.default_bridge().unwrap();
        let before = world.everything();
        let mut on_address = port(Udp, 53, 5353);
        on_address.host_ip = Some(HOST.into());
        let mut on_loopback = port(Tcp, 9000, 90);
        on_loopback.host_ip = Some(Ipv4Addr::LOCALHOST.into());
        let container = world.attach(1, &[port(Tcp, 8000, 80), on_address, on_loopback]);
        let json: serde_json::Value =
            serde_json::from_str(&run("nft -j list ruleset")).expect("nft prints JSON");
        let maps: Vec<_> = json["nftables"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|o| o.get("map"))
            .collect();
        let elements = |name: &str| {
            maps.iter()
                .find(|map| map["name"] == name)
                .map(|map| map["elem"].to_string())
                .unwrap()
        };
        assert_eq!(
            elements("ports"),
            r#"[[{"concat":["tcp",8000]},{"concat":["172.17.0.2",80]}]]"#
        );
        assert_eq!(
            elements("address_ports"),
            r#"[[{"concat":["10.77.0.1","udp",53]},{"concat":["172.17.0.2",5353]}]]"#
        );
        world.networks.detach(&container.endpoint).unwrap();
        world.networks.detach(&container.endpoint).unwrap();
        let after = world.everything();
        assert_eq!(after.replace("\".next\"", ""), before);
    });
}

#[test]
fn containers_reach_each_other_and_their_host() {
    on_a_host(|world| {
        let (a, b) = (world.attach(1, &[]), world.attach(2, &[]));
        assert_ne!(a.endpoint.address, b.endpoint.address);
        let listener = a.listen(80);
        let peer = talk(b.inside(|| connect(a.address(80))), &listener);
        assert_eq!(peer.ip(), b.endpoint.address);
        talk(connect(a.address(80)), &listener);
        let host = TcpListener::bind((a.endpoint.gateway, 99)).unwrap();
        talk(a.inside(|| connect((a.endpoint.gateway, 99))), &host);
        let eth0 = a.inside(|| run("ip -o link show eth0"));
        assert!(
            eth0.contains(&a.endpoint.mac) && eth0.contains("mtu 1400"),
            "{eth0}"
        );
        assert!(
            a.inside(|| run("ip -6 address show"))
                .lines()
                .all(|l| !l.contains("fe80"))
        );
        assert!(run("ip -o link show lo").contains("UP"));
    });
}

/// A bridge takes the smallest MTU of its ports, and forgets what it was given at birth with the
/// last of them.
#[test]
fn the_mtu_stays_when_the_last_container_leaves() {
    on_a_host(|world| {
        let first = world.attach(1, &[]);
        world.networks.detach(&first.endpoint).unwrap();
        let second = world.attach(2, &[]);
        let eth0 = second.inside(|| run("ip -o link show eth0"));
        assert!(eth0.contains("mtu 1400"), "{eth0}");
    });
}

#[test]
fn what_leaves_has_the_hosts_address() {
    on_a_host(|world| {
        let container = world.attach(1, &[]);
        let listener = world.on_outside(|| TcpListener::bind((OUTSIDE, 80)).unwrap());
        let peer = talk(container.inside(|| connect((OUTSIDE, 80))), &listener);
        assert_eq!(peer.ip(), HOST);
    });
}

#[test]
fn other_hosts_come_in_by_published_ports_with_their_own_address() {
    on_a_host(|world| {
        let mut narrow = port(Tcp, 8001, 80);
        narrow.host_ip = Some(HOST.into());
        let ports = [port(Tcp, 8000, 80), narrow, port(Udp, 5300, 53)];
        let container = world.attach(1, &ports);
        let (listener, datagrams) = (container.listen(80), container.udp(53));
        for number in [8000, 8001] {
            let peer = talk(world.on_outside(|| connect((HOST, number))), &listener);
            assert_eq!(peer.ip(), OUTSIDE);
        }
        let client = world.on_outside(|| UdpSocket::bind((OUTSIDE, 0)).unwrap());
        let peer = talk_udp(&client, (HOST, 5300).into(), &datagrams);
        assert_eq!(peer, client.local_addr().unwrap());
    });
}

#[test]
fn other_hosts_come_in_by_nothing_else() {
    on_a_host(|world| {
        let container = world.attach(1, &[port(Udp, 5300, 53)]);
        let (published, hidden) = (container.udp(53), container.udp(54));
        world.on_outside(|| {
            // A neighbour that knows the way sends straight to the container, or to loopback.
            run("ip route add 172.17.0.0/16 via 10.77.0.1");
            run("sysctl -qw net.ipv4.conf.all.route_localnet=1");
            run("ip route delete local 127.0.0.0/8 dev lo table local");
            run("ip route add 127.0.0.0/8 via 10.77.0.1 src 10.77.0.2");
            let client = UdpSocket::bind((OUTSIDE, 0)).unwrap();
            client
                .send_to(b"loopback", (Ipv4Addr::new(127, 5, 0, 1), 5300))
                .unwrap();
            client.send_to(b"direct", container.address(54)).unwrap();
            client.send_to(b"direct", container.address(53)).unwrap();
            client.send_to(b"published", (HOST, 5300)).unwrap();
        });
        // The uplink keeps the order: had the first ones passed, they would be here.
        let mut buffer = [0; 16];
        let (length, _) = published.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"published");
        hidden.set_nonblocking(true).unwrap();
        hidden.recv_from(&mut buffer).unwrap_err();
    });
}

#[test]
fn a_container_reaches_published_ports_of_its_own_host() {
    on_a_host(|world| {
        for filtered in ["1", "0"] {
            // Whether bridged packets pass the rules too; both are found in the field.
            fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", filtered).unwrap();
            let number = 8000 + u16::from(filtered == "1");
            let server = world.attach(1, &[port(Tcp, number, 80), port(Udp, number, 53)]);
            let other = world.attach(2, &[]);
            let (listener, datagrams) = (server.listen(80), server.udp(53));
            for client in [&server, &other] {
                for host in [HOST, server.endpoint.gateway] {
                    let peer = talk(client.inside(|| connect((host, number))), &listener);
                    assert_eq!(peer.ip(), server.endpoint.gateway);
                    let socket = client.udp(0);
                    talk_udp(&socket, (host, number).into(), &datagrams);
                }
            }
            for container in [server, other] {
                world.networks.detach(&container.endpoint).unwrap();
            }
        }
    });
}

#[test]
fn the_host_itself_comes_in_by_the_listening_sockets() {
    on_a_host(|world| {
        let wanted = [port(Tcp, 0, 80), port(Udp, 0, 53)];
        let (mut forwarder, ports) = Forwarder::bind(&wanted).unwrap();
        assert_eq!(forwarder.sockets(), 4);
        let container = world.attach(1, &ports);
        let (listener, datagrams) = (container.listen(80), container.udp(53));
        forwarder.connect_to(container.endpoint.address).unwrap();
        let _served = Served::new(forwarder);
        for host in ["127.0.0.1", "10.77.0.1", "172.17.0.1", "[::1]"] {
            let address = |n: usize| format!("{host}:{}", ports[n].host_port).parse().unwrap();
            let to: std::net::SocketAddr = address(0);
            let peer = talk(connect(to), &listener);
            assert_eq!(peer.ip(), container.endpoint.gateway);
            let local = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            talk_udp(&UdpSocket::bind(local).unwrap(), address(1), &datagrams);
        }
    });
}

#[test]
fn datagrams_on_their_way_follow_a_port_that_is_published_later() {
    on_a_host(|world| {
        world.networks.default_bridge().unwrap();
        let client = world.on_outside(|| UdpSocket::bind((OUTSIDE, 0)).unwrap());
        let host = UdpSocket::bind((HOST, 5300)).unwrap();
        client.send_to(b"early", (HOST, 5300)).unwrap();
        let mut buffer = [0; 8];
        host.recv_from(&mut buffer).unwrap();
        let container = world.attach(1, &[port(Udp, 5300, 53)]);
        let datagrams = container.udp(53);
        talk_udp(&client, (HOST, 5300).into(), &datagrams);
    });
}

#[test]
fn a_failed_attachment_leaves_nothing() {
    on_a_host(|world| {
        let first = world.attach(1, &[port(Tcp, 8000, 80)]);
        let before = world.everything();
        let no_namespace = File::open("/proc/self/status").unwrap();
        let error = world
            .try_attach(2, no_namespace.as_fd(), &[port(Tcp, 8001, 80)])
            .unwrap_err();
        assert!(
            error.to_string().starts_with("cannot create veth02020"),
            "{error}"
        );
        // This namespace has an eth0 already.
        let error = world
            .try_attach(2, first.netns.as_fd(), &[port(Tcp, 8001, 80)])
            .unwrap_err();
        assert!(error.to_string().contains("File exists"), "{error}");
        assert_eq!(world.everything(), before);
        // A default route is in the way: the failure comes after the pair is made.
        let netns = new_network().unwrap();
        within_network(netns.as_fd(), || {
            run("ip link add d0 type veth peer name d1");
            run("ip link set d1 up");
            run("ip address add 10.1.0.1/24 dev d0");
            run("ip link set d0 up");
            run("ip route add default via 10.1.0.2");
        })
        .unwrap();
        let error = world
            .try_attach(2, netns.as_fd(), &[port(Tcp, 8001, 80)])
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot route the container's traffic"),
            "{error}"
        );
        assert_eq!(world.everything(), before);
        let listener = first.listen(80);
        talk(world.on_outside(|| connect((HOST, 8000))), &listener);
    });
}

#[test]
fn a_sweep_takes_what_dead_containers_left() {
    on_a_host(|world| {
        assert_eq!(world.networks.sweep(&|_| true).unwrap(), 0);
        let alive = world.attach(1, &[port(Tcp, 8000, 80)]);
        let before = world.everything();
        let _dead = world.attach(2, &[port(Tcp, 8001, 80), port(Udp, 8001, 80)]);
        let drafts = world.root.path().join("run/leases/bridge");
        fs::write(drafts.join(format!(".{}", id(3))), "{}").unwrap();
        fs::write(drafts.join("172.17.9.9"), "not a claim").unwrap();
        run("ip link add veth03030abcd12 master hoist0 type veth peer name lost0");
        let survivor = id(1);
        assert_eq!(
            world
                .networks
                .sweep(&|container| *container == survivor)
                .unwrap(),
            2
        );
        assert_eq!(world.everything(), before);
        world.reach(&alive, 80, 8000);
        assert_eq!(world.networks.sweep(&|_| false).unwrap(), 1);
        assert!(world.networks.remove_idle().unwrap());
    });
}

#[test]
fn late_undoing_does_not_touch_a_successor() {
    on_a_host(|world| {
        let first = world.attach(1, &[port(Tcp, 8000, 80)]);
        drop(world.networks.release(&first.endpoint).unwrap());
        drop(world.networks.release(&first.endpoint).unwrap());
        drop(first.netns);
        let claims = world.root.path().join("run/leases/bridge");
        fs::remove_file(claims.join(".next")).unwrap();
        let second = world.attach(2, &[port(Tcp, 8000, 80)]);
        assert_eq!(second.endpoint.address, first.endpoint.address);
        let before = world.everything();
        world.networks.detach(&first.endpoint).unwrap();
        drop(world.networks.release(&first.endpoint).unwrap());
        let after = world.everything();
        assert_eq!(claims_and_rules(&after), claims_and_rules(&before));
        world.reach(&second, 80, 8000);
    });
}

/// All but the line of interfaces, from which a dead pair may vanish at any time.
fn claims_and_rules(everything: &str) -> String {
    everything
        .lines()
        .enumerate()
        .filter(|(n, _)| *n != 1)
        .map(|(_, line)| line)
        .collect()
}

#[test]
fn an_element_that_a_dead_owner_left_is_replaced() {
    on_a_host(|world| {
        let _crashed = world.attach(1, &[port(Tcp, 8000, 80), port(Tcp, 8001, 81)]);
        let successor = world.attach(2, &[port(Tcp, 7999, 79), port(Tcp, 8000, 80)]);
        world.reach(&successor, 80, 8000);
        let owner = id(2);
        world
            .networks
            .sweep(&|container| *container == owner)
            .unwrap();
        world.reach(&successor, 79, 7999);
    });
}

#[test]
fn two_roots_share_a_host() {
    on_a_host(|world| {
        let other_root = tempfile::tempdir().unwrap();
        let other = open(other_root.path(), false);
        let second = other.default_bridge().unwrap();
        let first = world.networks.default_bridge().unwrap();
        assert!(!first.subnet.overlaps(&second.subnet));
        assert_ne!(first.interface, second.interface);
        assert_ne!(first.table, second.table);
        let a = world.attach(1, &[port(Tcp, 8000, 80)]);
        let netns = new_network().unwrap();
        let ports = [port(Tcp, 8001, 80)];
        let request = Attach {
            container: &id(1),
            netns: netns.as_fd(),
            ports: &ports,
        };
        let b = other.attach(&second, &request).unwrap();
        let listener = within_network(netns.as_fd(), || TcpListener::bind("0.0.0.0:80").unwrap());
        let listener = listener.unwrap();
        let names = [&a.endpoint.host_interface, &b.host_interface];
        assert_ne!(names[0], names[1]);
        // By published ports from outside and from the other network; not directly.
        talk(world.on_outside(|| connect((HOST, 8001))), &listener);
        talk(a.inside(|| connect((HOST, 8001))), &listener);
        let server = within_network(netns.as_fd(), || UdpSocket::bind("0.0.0.0:53").unwrap());
        let server = server.unwrap();
        a.udp(0).send_to(b"direct", (b.address, 53)).unwrap();
        server.set_nonblocking(true).unwrap();
        server.recv_from(&mut [0; 8]).unwrap_err();
        other.detach(&b).unwrap();
        assert!(other.remove_idle().unwrap());
        world.reach(&a, 80, 8000);
        assert!(!run("nft list ruleset").contains(&second.table));
    });
}

#[test]
fn an_idle_network_goes_and_comes_back() {
    on_a_host(|world| {
        assert!(world.networks.remove_idle().unwrap());
        let names = || {
            run("ip -br link show")
                .lines()
                .map(|l| l[..16].to_owned())
                .collect::<String>()
        };
        let before = names();
        let container = world.attach(1, &[]);
        let bridge = world.networks.default_bridge().unwrap();
        assert!(!world.networks.remove_idle().unwrap());
        world.networks.detach(&container.endpoint).unwrap();
        assert!(world.networks.remove_idle().unwrap());
        assert!(world.networks.remove_idle().unwrap());
        assert_eq!(names(), before);
        assert_eq!(run("nft list ruleset"), "");
        // Attaching to what is no longer there makes it again.
        let netns = new_network().unwrap();
        let request = Attach {
            container: &id(1),
            netns: netns.as_fd(),
            ports: &[],
        };
        let endpoint = world.networks.attach(&bridge, &request).unwrap();
        assert_eq!(endpoint.gateway, bridge.gateway);
        assert_eq!(world.networks.default_bridge().unwrap(), bridge);
    });
}

#[test]
fn a_flushed_rule_set_is_mended() {
    on_a_host(|world| {
        let first = world.attach(1, &[port(Tcp, 8000, 80)]);
        let bridge = world.networks.default_bridge().unwrap();
        run("nft flush ruleset");
        world.networks.default_bridge().unwrap();
        world.reach(&first, 80, 8000);
        run("nft flush ruleset");
        // Flushed between the look and the attachment.
        let (netns, ports) = (new_network().unwrap(), [port(Tcp, 8001, 80)]);
        let request = Attach {
            container: &id(2),
            netns: netns.as_fd(),
            ports: &ports,
        };
        world.networks.attach(&bridge, &request).unwrap();
        let listing = run("nft list ruleset");
        assert!(
            listing.contains("tcp . 8000") && listing.contains("tcp . 8001"),
            "{listing}"
        );
    });
}

#[test]
fn a_table_of_another_version_is_replaced_whole() {
    on_a_host(|world| {
        run("nft add table ip hoist");
        run("nft add chain ip hoist leftover");
        let bridge = world.networks.default_bridge().unwrap();
        let listing = run("nft list table ip hoist");
        assert_eq!(rules_of(&listing), plan::rules_text(&bridge));
    });
}

#[test]
fn subnets_keep_clear_of_the_host_and_follow_it_while_idle() {
    on_a_host(|world| {
        run("ip address add 172.17.200.1/24 dev up0");
        run("ip route add 172.18.0.0/17 via 10.77.0.2");
        run("ip route add blackhole 172.19.64.0/20");
        let first = world.networks.default_bridge().unwrap();
        assert_eq!(first.subnet.to_string(), "172.20.0.0/16");
        assert!(world.networks.remove_idle().unwrap());
        run("ip route add 172.20.1.0/24 via 10.77.0.2");
        let second = world.networks.default_bridge().unwrap();
        assert_eq!(second.subnet.to_string(), "172.21.0.0/16");
        // With a container attached the network cannot move.
        let container = world.attach(1, &[]);
        run("ip link delete hoist0");
        run("ip route add 172.21.1.0/24 via 10.77.0.2");
        let error = world.networks.default_bridge().unwrap_err();
        assert!(matches!(error, NetworkError::Overlap { .. }), "{error}");
        world.networks.detach(&container.endpoint).unwrap();
        run("ip route add 172.16.0.0/12 via 10.77.0.2");
        run("ip route add 192.168.0.0/16 via 10.77.0.2");
        let error = world.networks.default_bridge().unwrap_err();
        assert!(matches!(error, NetworkError::NoSubnet { .. }), "{error}");
    });
}

#[test]
fn many_attach_at_once() {
    on_a_host(|world| {
        let ends: Vec<_> = std::thread::scope(|scope| {
            let attach =
                |n: u8| scope.spawn(move || world.attach(n, &[port(Tcp, 9000 + u16::from(n), 80)]));
            let threads: Vec<_> = (0..16).map(attach).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let addresses: std::collections::HashSet<_> = ends
            .iter()
            .map(|container| container.endpoint.address)
            .collect();
        assert_eq!(addresses.len(), ends.len());
        for (n, container) in ends.iter().enumerate() {
            let number = 9000 + u16::try_from(n).unwrap();
            world.reach(container, 80, number);
        }
        std::thread::scope(|scope| {
            for container in &ends {
                scope.spawn(|| world.networks.detach(&container.endpoint).unwrap());
            }
        });
        assert!(world.networks.remove_idle().unwrap());
    });
}
