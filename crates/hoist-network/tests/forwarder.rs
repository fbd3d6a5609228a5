//! The listening sockets for real: what comes in through them reaches the "container", which here
//! is a listener on another loopback address of the same host.

#![expect(clippy::unwrap_used, reason = "a test that cannot prepare has failed")]

mod world;

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
};

use hoist_core::port::Protocol;
use hoist_core::{Describe, Kind};
use hoist_network::{Forwarder, Holder, NetworkError, PublishedPort};
use world::{HOST, Served, connect, on_a_host, port, run, talk, talk_udp};

use Protocol::{Tcp, Udp};

/// Where the container would be.
const CONTAINER: Ipv4Addr = Ipv4Addr::new(127, 9, 9, 9);

fn on_loopback(container_port: u16) -> PublishedPort {
    let mut port = port(Tcp, 0, container_port);
    port.host_ip = Some(Ipv4Addr::LOCALHOST.into());
    port
}

/// A served port of loopback that leads to a listener.
fn forwarded() -> (Served, SocketAddr, TcpListener) {
    let container = TcpListener::bind((CONTAINER, 0)).unwrap();
    let wanted = on_loopback(container.local_addr().unwrap().port());
    let (mut forwarder, ports) = Forwarder::bind(&[wanted]).unwrap();
    forwarder.connect_to(CONTAINER).unwrap();
    let address = (Ipv4Addr::LOCALHOST, ports[0].host_port).into();
    (Served::new(forwarder), address, container)
}

/// Bytes that differ from place to place.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|n| u8::try_from(n * 31 % 251).unwrap())
        .collect()
}

#[test]
fn a_taken_port_names_its_holder_and_nothing_stays_bound() {
    on_a_host(|_| {
        for protocol in [Tcp, Udp] {
            let (_holder, ports) = Forwarder::bind(&[port(protocol, 0, 80)]).unwrap();
            let taken = ports[0].host_port;
            for host_ip in [None, Some(Ipv4Addr::LOCALHOST.into()), Some(HOST.into())] {
                let conflict = PublishedPort {
                    host_ip,
                    ..port(protocol, taken, 80)
                };
                let error = Forwarder::bind(&[port(Tcp, 4711, 80), conflict]).unwrap_err();
                assert_eq!(error.kind(), Kind::Conflict);
                let NetworkError::PortTaken {
                    holder: Some(Holder { pid, name }),
                    ..
                } = &error
                else {
                    panic!("{error:?}");
                };
                assert_eq!(*pid, std::process::id());
                assert!(error.to_string().contains(&format!(
                    "{taken} failed: port is already allocated (held by {name}, pid {pid})"
                )));
            }
            // The first of the two was free, and is free again.
            TcpListener::bind("0.0.0.0:4711").unwrap();
        }
    });
}

#[test]
fn both_families_are_listened_on_and_conflicts_of_either_count() {
    on_a_host(|_| {
        let six = TcpListener::bind("[::1]:4712").unwrap();
        let error = Forwarder::bind(&[port(Tcp, 4712, 80)]).unwrap_err();
        assert!(
            error.to_string().starts_with("Bind for [::]:4712 failed"),
            "{error}"
        );
        drop(six);
        let (forwarder, _) = Forwarder::bind(&[port(Tcp, 4712, 80)]).unwrap();
        assert_eq!(forwarder.sockets(), 2);
        drop(forwarder);
        run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
        let (_forwarder, ports) = Forwarder::bind(&[port(Tcp, 4712, 80)]).unwrap();
        assert_eq!(ports[0].host_port, 4712);
    });
}

#[test]
fn an_address_that_the_host_lacks_is_refused_with_a_hint() {
    on_a_host(|_| {
        let mut wanted = port(Tcp, 8000, 80);
        wanted.host_ip = Some(Ipv4Addr::new(203, 0, 113, 1).into());
        let error = Forwarder::bind(&[wanted]).unwrap_err();
        assert_eq!(error.to_string(), "cannot listen on tcp 203.0.113.1:8000");
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.hints()[0].contains("203.0.113.1"));
    });
}

#[test]
fn clients_wait_until_the_container_is_known() {
    on_a_host(|_| {
        let container = TcpListener::bind((CONTAINER, 0)).unwrap();
        let wanted = on_loopback(container.local_addr().unwrap().port());
        let (mut forwarder, ports) = Forwarder::bind(&[wanted]).unwrap();
        let client = connect((Ipv4Addr::LOCALHOST, ports[0].host_port));
        forwarder.turn().unwrap();
        forwarder.connect_to(CONTAINER).unwrap();
        let _served = Served::new(forwarder);
        talk(client, &container);
    });
}

#[test]
fn a_slow_reader_holds_the_writer_back_and_loses_nothing() {
    on_a_host(|_| {
        let (_served, address, container) = forwarded();
        let mut client = connect(address);
        let (mut server, _) = container.accept().unwrap();
        // More than the kernel's buffers of two connections hold; until somebody reads, no more
        // than that goes in.
        let sent = pattern(48 << 20);
        client.set_nonblocking(true).unwrap();
        let mut accepted = 0;
        let mut refusals = 0;
        while refusals < 3 && accepted < sent.len() {
            match client.write(&sent[accepted..]) {
                Ok(count) => accepted += count,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    refusals += 1;
                    // Other connections are served meanwhile.
                    let other = connect(address);
                    talk(other, &container);
                }
            }
        }
        assert!(accepted < sent.len(), "everything went in unread");
        client.set_nonblocking(false).unwrap();
        let rest = sent[accepted..].to_vec();
        let writer = thread::spawn(move || {
            client.write_all(&rest).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            client
        });
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        assert!(
            received == sent,
            "{} of {} bytes",
            received.len(),
            sent.len()
        );
        drop(server);
        assert_eq!(writer.join().unwrap().read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn each_direction_ends_on_its_own() {
    on_a_host(|_| {
        let (_served, address, container) = forwarded();
        let mut client = connect(address);
        let (mut server, _) = container.accept().unwrap();
        client.write_all(b"request").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        assert_eq!(text, "request");
        let response = pattern(1 << 20);
        server.write_all(&response).unwrap();
        drop(server);
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        assert!(received == response);
    });
}

#[test]
fn a_refusing_container_resets_the_client() {
    on_a_host(|_| {
        let (served, address, container) = forwarded();
        let number = container.local_addr().unwrap().port();
        drop(container);
        let mut client = connect(address);
        let error = client.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        // Once the application listens, it is reached.
        let container = TcpListener::bind((CONTAINER, number)).unwrap();
        talk(connect(address), &container);
        drop(served);
    });
}

#[test]
fn a_reset_is_passed_on_both_ways() {
    on_a_host(|_| {
        let (_served, address, container) = forwarded();
        for client_resets in [true, false] {
            let client = connect(address);
            let (server, _) = container.accept().unwrap();
            let (gone, mut left) = if client_resets {
                (client, server)
            } else {
                (server, client)
            };
            rustix::net::sockopt::set_socket_linger(&gone, Some(std::time::Duration::ZERO))
                .unwrap();
            drop(gone);
            let error = left.read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        talk(connect(address), &container);
    });
}

#[test]
fn five_hundred_connections_at_once() {
    on_a_host(|_| {
        let (served, address, container) = forwarded();
        let mut pairs = Vec::new();
        for n in 0..500_u16 {
            let mut client = connect(address);
            client.write_all(&n.to_be_bytes()).unwrap();
            let (mut server, _) = container.accept().unwrap();
            let mut number = [0; 2];
            server.read_exact(&mut number).unwrap();
            assert_eq!(u16::from_be_bytes(number), n);
            pairs.push((client, server));
        }
        for (n, (client, server)) in pairs.iter_mut().enumerate() {
            server.write_all(&n.to_be_bytes()).unwrap();
            let mut number = [0; 8];
            client.read_exact(&mut number).unwrap();
            assert_eq!(usize::from_be_bytes(number), n);
        }
        drop(pairs);
        talk(connect(address), &container);
        drop(served);
    });
}

#[test]
fn descriptors_come_back() {
    on_a_host(|_| {
        let (served, address, container) = forwarded();
        let open = || std::fs::read_dir("/proc/thread-self/fd").unwrap().count();
        talk(connect(address), &container);
        for _ in 0..200 {
            // Another test of this program may open some at the same time; a leak would add
            // six for each of these.
            talk(connect(address), &container);
        }
        let forwarder = served.stop();
        drop((forwarder, container));
        let left = open();
        assert!(left < 600, "{left} descriptors are open");
    });
}

#[test]
fn datagrams_go_to_the_container_and_answers_to_their_client() {
    on_a_host(|_| {
        let container = UdpSocket::bind((CONTAINER, 0)).unwrap();
        let wanted = port(Udp, 0, container.local_addr().unwrap().port());
        let (mut forwarder, ports) = Forwarder::bind(&[wanted]).unwrap();
        forwarder.connect_to(CONTAINER).unwrap();
        let _served = Served::new(forwarder);
        let number = ports[0].host_port;
        let clients: Vec<_> = (0..20)
            .map(|_| UdpSocket::bind("0.0.0.0:0").unwrap())
            .collect();
        let mut peers = Vec::new();
        for client in &clients {
            // The answer comes from the very address that was asked, or `connect` would drop it.
            for host in [Ipv4Addr::new(127, 0, 0, 7), HOST] {
                peers.push(talk_udp(client, (host, number).into(), &container));
            }
        }
        // A session each: answers out of order reach whom they are for.
        for (n, peer) in peers.iter().enumerate().rev() {
            container.send_to(&n.to_be_bytes(), peer).unwrap();
        }
        for (n, client) in clients.iter().enumerate() {
            let mut number = [0; 8];
            // Connected to the second address last.
            client.recv(&mut number).unwrap();
            assert_eq!(usize::from_be_bytes(number), 2 * n + 1);
        }
        let large = pattern(60_000);
        clients[0].send(&large).unwrap();
        let mut buffer = vec![0; 65_536];
        let (length, _) = container.recv_from(&mut buffer).unwrap();
        assert!(buffer[..length] == large);
    });
}

#[test]
fn datagrams_pass_again_after_the_container_refused() {
    on_a_host(|_| {
        let container = UdpSocket::bind((CONTAINER, 0)).unwrap();
        let address = container.local_addr().unwrap();
        drop(container);
        let (mut forwarder, ports) = Forwarder::bind(&[port(Udp, 0, address.port())]).unwrap();
        forwarder.connect_to(CONTAINER).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client
            .connect((Ipv4Addr::LOCALHOST, ports[0].host_port))
            .unwrap();
        client.send(b"too early").unwrap();
        forwarder.turn().unwrap();
        let container = UdpSocket::bind(address).unwrap();
        let _served = Served::new(forwarder);
        client.send(b"now").unwrap();
        let mut buffer = [0; 16];
        let (length, _) = container.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"now");
    });
}

#[test]
fn a_client_that_dies_in_the_middle_harms_no_other() {
    on_a_host(|_| {
        let (_served, address, container) = forwarded();
        let mut steady = connect(address);
        let (mut steady_server, _) = container.accept().unwrap();
        for _ in 0..20 {
            let mut dying = connect(address);
            let (mut server, _) = container.accept().unwrap();
            dying.set_nonblocking(true).unwrap();
            while dying.write(&[7; 65_536]).is_ok() {}
            drop(dying);
            server.read_exact(&mut [0; 1000]).unwrap();
            drop(server);
            steady.write_all(b"still here").unwrap();
            let mut buffer = [0; 10];
            steady_server.read_exact(&mut buffer).unwrap();
            assert_eq!(&buffer, b"still here");
        }
        let refused = TcpStream::connect((CONTAINER, 1)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}
