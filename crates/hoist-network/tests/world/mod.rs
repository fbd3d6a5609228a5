//! A small internet for tests: the test's own thread is the host, in a network namespace of its
//! own, with an uplink to an outside host; containers are namespaces too. All of it vanishes with
//! the thread and the descriptors.
#![allow(dead_code, reason = "each test program uses its own part of the world")]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot build its world has failed"
)]

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use hoist_core::ContainerId;
use hoist_core::port::Protocol;
use hoist_network::{Attach, Endpoint, Forwarder, NetworkError, Networks, PublishedPort};
use hoist_sys::setns::{leave_network, new_network, own_network, within_network};
use rustix::event::{PollFd, PollFlags, poll};

pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// Not waited for when all is well; a failure ends instead of hanging.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

pub(crate) struct World {
    pub(crate) outside: OwnedFd,
    pub(crate) root: tempfile::TempDir,
    pub(crate) networks: Networks,
}

/// Runs `test` on a thread that is a host of its own.
pub(crate) fn on_a_host(test: impl FnOnce(&World) + Send + 'static) {
    let thread = thread::spawn(|| {
        leave_network().expect("these tests need root");
        run("ip link set lo up");
        run("ip link add up0 mtu 1400 type veth peer name wan mtu 1400");
        let outside = outside_with("wan");
        within_network(outside.as_fd(), || {
            run("ip link set lo up");
            run("ip address add 10.77.0.2/24 dev wan");
            run("ip link set wan up");
        })
        .unwrap();
        run("ip address add 10.77.0.1/24 dev up0");
        run("ip link set up0 up");
        run("ip route add default via 10.77.0.2");
        let root = tempfile::tempdir().unwrap();
        let networks = open(root.path(), true);
        test(&World {
            outside,
            root,
            networks,
        });
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A new namespace into which the interface `name` of this one is moved.
fn outside_with(name: &str) -> OwnedFd {
    let (entered, known) = mpsc::channel();
    let (moved, wait) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        leave_network().unwrap();
        entered
            .send(rustix::thread::gettid().as_raw_nonzero())
            .unwrap();
        let _ = wait.recv();
        own_network().unwrap()
    });
    run(&format!(
        "ip link set {name} netns {}",
        known.recv().unwrap()
    ));
    drop(moved);
    thread.join().unwrap()
}

pub(crate) fn open(root: &Path, default_root: bool) -> Networks {
    Networks::open(&root.join("networks"), &root.join("run"), default_root)
}

/// Runs a program in the namespace of the calling thread and returns what it printed.
pub(crate) fn run(line: &str) -> String {
    let mut words = line.split(' ');
    let program = words.next().unwrap();
    let output = Command::new(program)
        .args(words)
        .output()
        .unwrap_or_else(|error| {
            panic!("{program}: {error}; install it with: apt-get install iproute2 nftables")
        });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn id(n: u8) -> ContainerId {
    ContainerId::from_random([n; 32])
}

pub(crate) fn port(protocol: Protocol, host_port: u16, container_port: u16) -> PublishedPort {
    PublishedPort {
        host_ip: None,
        host_port,
        container_port,
        protocol,
    }
}

/// A namespace attached to the default network.
pub(crate) struct Container {
    pub(crate) netns: OwnedFd,
    pub(crate) endpoint: Endpoint,
}

impl World {
    pub(crate) fn attach(&self, n: u8, ports: &[PublishedPort]) -> Container {
        let netns = new_network().unwrap();
        let endpoint = self.try_attach(n, netns.as_fd(), ports).unwrap();
        Container { netns, endpoint }
    }

    pub(crate) fn try_attach(
        &self,
        n: u8,
        netns: std::os::fd::BorrowedFd<'_>,
        ports: &[PublishedPort],
    ) -> Result<Endpoint, NetworkError> {
        let bridge = self.networks.default_bridge()?;
        self.networks.attach(
            &bridge,
            &Attach {
                container: &id(n),
                netns,
                ports,
            },
        )
    }

    pub(crate) fn on_outside<T>(&self, visit: impl FnOnce() -> T) -> T {
        within_network(self.outside.as_fd(), visit).unwrap()
    }

    /// The outside host comes in by `host_port` and reaches `port` of the container.
    pub(crate) fn reach(&self, container: &Container, port: u16, host_port: u16) {
        let listener = container.listen(port);
        talk(self.on_outside(|| connect((HOST, host_port))), &listener);
    }

    /// Every interface, table, element and claim, as text: to compare before and after.
    pub(crate) fn everything(&self) -> String {
        let mut claims: Vec<_> = std::fs::read_dir(self.root.path().join("run/leases/bridge"))
            .map(|entries| entries.map(|e| e.unwrap().file_name()).collect())
            .unwrap_or_default();
        claims.sort();
        let links = run("ip -o link show");
        let names: Vec<_> = links
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .collect();
        format!("{claims:?}\n{names:?}\n{}", run("nft list ruleset"))
    }
}

impl Container {
    pub(crate) fn inside<T>(&self, visit: impl FnOnce() -> T) -> T {
        within_network(self.netns.as_fd(), visit).unwrap()
    }

    pub(crate) fn listen(&self, port: u16) -> TcpListener {
        self.inside(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap())
    }

    pub(crate) fn udp(&self, port: u16) -> UdpSocket {
        self.inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap())
    }

    pub(crate) fn address(&self, port: u16) -> SocketAddr {
        (self.endpoint.address, port).into()
    }
}

/// Sends a line through a connection that `listener` accepts, and one back; returns the address
/// of the client as the server sees it.
pub(crate) fn talk(client: TcpStream, listener: &TcpListener) -> SocketAddr {
    let (mut client, (mut server, peer)) = (client, listener.accept().unwrap());
    let mut buffer = [0; 4];
    client.write_all(b"ping").unwrap();
    server.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"ping");
    server.write_all(b"pong").unwrap();
    client.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"pong");
    peer
}

/// The same with datagrams, from `client` to `to`.
pub(crate) fn talk_udp(client: &UdpSocket, to: SocketAddr, server: &UdpSocket) -> SocketAddr {
    let mut buffer = [0; 8];
    for socket in [client, server] {
        socket.set_read_timeout(PATIENCE).unwrap();
    }
    client.connect(to).unwrap();
    client.send(b"ping").unwrap();
    let (length, peer) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"ping");
    server.send_to(b"pong", peer).unwrap();
    let length = client.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"pong");
    peer
}

pub(crate) fn connect(to: impl Into<SocketAddr>) -> TcpStream {
    let stream = TcpStream::connect(to.into()).unwrap();
    // Not waited for when all is well; a failure ends instead of hanging.
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream
}

/// A forwarder that is served by a thread until this is dropped.
pub(crate) struct Served {
    stop: Option<OwnedFd>,
    thread: Option<thread::JoinHandle<Forwarder>>,
}

impl Served {
    pub(crate) fn new(mut forwarder: Forwarder) -> Self {
        let (stopped, stop) = rustix::pipe::pipe().unwrap();
        let thread = thread::spawn(move || {
            loop {
                let mut fds = [
                    PollFd::new(&forwarder, PollFlags::IN),
                    PollFd::new(&stopped, PollFlags::IN | PollFlags::HUP),
                ];
                poll(&mut fds, None).unwrap();
                if !fds[1].revents().is_empty() {
                    return forwarder;
                }
                forwarder.turn().unwrap();
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn stop(mut self) -> Forwarder {
        self.stop = None;
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
