//! The bridge, published ports, and containers without a network or on the machine's.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use crate::support::{Sandbox, free_port, http_get, network_name, wait_until};

/// A web server in a container called `web`, published as `publish` says.
fn web(sandbox: &Sandbox, publish: &str) {
    let script = "mkdir -p /www; echo from the container > /www/page; exec httpd -f -h /www -p 80";
    sandbox
        .hoist(&[
            "run", "-d", "--name", "web", "-p", publish, "busybox", "sh", "-c", script,
        ])
        .ok();
}

fn answers(address: &str, port: u16) -> bool {
    http_get((address, port), "/page").is_some_and(|answer| answer.contains("from the container"))
}

#[test]
fn a_published_port_answers() {
    let sandbox = Sandbox::new();
    let port = free_port();
    web(&sandbox, &format!("{port}:80"));
    wait_until("it answers on loopback", || answers("127.0.0.1", port));
    wait_until("it answers over IPv6", || answers("::1", port));
    sandbox
        .hoist(&["ps"])
        .ok()
        .prints(&format!("0.0.0.0:{port}->80/tcp"));
    // The bridge and the table have the names that the look around for leftovers knows.
    let name = network_name(&sandbox.root());
    assert!(
        std::path::Path::new("/sys/class/net").join(&name).exists(),
        "{name} is no interface"
    );
    sandbox.hoist(&["rm", "-f", "web"]).ok();
    wait_until("the port is free again", || {
        TcpStream::connect(("127.0.0.1", port)).is_err()
    });
}

#[test]
fn a_port_may_be_published_on_one_address_or_chosen_by_the_machine() {
    let sandbox = Sandbox::new();
    web(&sandbox, "127.0.0.1::80");
    let format = "{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}";
    let port: u16 = sandbox.inspect("web", format).parse().expect("a port");
    wait_until("it answers", || answers("127.0.0.1", port));
    sandbox
        .hoist(&["ps"])
        .ok()
        .prints(&format!("127.0.0.1:{port}->80/tcp"));
}

#[test]
fn containers_reach_each_other_by_address() {
    let sandbox = Sandbox::new();
    web(&sandbox, "127.0.0.1::80");
    let address = sandbox.inspect("web", "{{.NetworkSettings.IPAddress}}");
    let url = format!("http://{address}/page");
    let client = || sandbox.hoist(&["run", "--rm", "busybox", "wget", "-q", "-O", "-", &url]);
    wait_until("the other container answers", || client().code == 0);
    client().ok().stdout_is("from the container");
}

#[test]
fn udp_is_published_too() {
    let sandbox = Sandbox::with(&["python:3.11-slim"]);
    let port = UdpSocket::bind("127.0.0.1:0")
        .expect("a socket")
        .local_addr()
        .expect("its address")
        .port();
    let publish = format!("127.0.0.1:{port}:5353/udp");
    let echo = "import socket\n\
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        server.bind(('', 5353))\n\
        while True: server.sendto(*server.recvfrom(2048))\n";
    let run = [
        "run",
        "-d",
        "--name",
        "echo",
        "-p",
        &publish,
        "python:3.11-slim",
    ];
    sandbox
        .hoist(&[&run[..], &["python", "-c", echo]].concat())
        .ok();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a timeout");
    socket.connect(("127.0.0.1", port)).expect("an address");
    wait_until("a datagram comes back", || {
        let mut buffer = [0; 16];
        socket.send(b"ping").is_ok()
            && socket
                .recv(&mut buffer)
                .is_ok_and(|count| &buffer[..count] == b"ping")
    });
    sandbox.hoist(&["ps"]).ok().prints("5353/udp");
}

#[test]
fn large_transfers_pass_whole() {
    let sandbox = Sandbox::new();
    let port = free_port();
    let script =
        "mkdir /www; yes 0123456789abcde | head -c 8388608 > /www/big; exec httpd -f -h /www -p 80";
    let publish = format!("127.0.0.1:{port}:80");
    sandbox
        .hoist(&["run", "-d", "-p", &publish, "busybox", "sh", "-c", script])
        .ok();
    wait_until("all of it arrives", || {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
            return false;
        };
        let mut answer = Vec::new();
        stream.write_all(b"GET /big HTTP/1.0\r\n\r\n").is_ok()
            && stream.read_to_end(&mut answer).is_ok()
            && answer.len() > 8_388_608
    });
}

#[test]
fn the_world_outside_is_reached_through_the_machine() {
    // "Outside" is a listener on an address of this machine that is not the bridge's.
    let sandbox = Sandbox::new();
    let listener = std::net::TcpListener::bind("0.0.0.0:0").expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.write_all(b"from outside\n").expect("an answer");
    });
    let script = format!("nc $(ip route | awk '/default/ {{print $3}}') {port} < /dev/null");
    sandbox
        .hoist(&["run", "--rm", "busybox", "sh", "-c", &script])
        .ok()
        .stdout_is("from outside");
    served.join().expect("the listener was reached");
}

#[test]
fn none_has_loopback_only() {
    let sandbox = Sandbox::new();
    let run = sandbox
        .hoist(&[
            "run",
            "--rm",
            "--network",
            "none",
            "busybox",
            "ls",
            "/sys/class/net",
        ])
        .ok();
    run.stdout_is("lo");
    let up = [
        "run",
        "--rm",
        "--network",
        "none",
        "busybox",
        "ip",
        "addr",
        "show",
        "lo",
    ];
    sandbox.hoist(&up).ok().prints("127.0.0.1/8");
}

#[test]
fn host_is_the_machines_network() {
    let sandbox = Sandbox::new();
    let run = sandbox
        .hoist(&[
            "run",
            "--rm",
            "--network",
            "host",
            "busybox",
            "readlink",
            "/proc/self/ns/net",
        ])
        .ok();
    let host = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
    assert_eq!(run.text(), host.to_str().expect("its name"));
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("the hostname");
    sandbox
        .hoist(&["run", "--rm", "--network", "host", "busybox", "hostname"])
        .ok()
        .stdout_is(&hostname);
}

#[test]
fn interface_address_and_route_are_in_place_before_the_program_starts() {
    let sandbox = Sandbox::new();
    let run = sandbox
        .hoist(&[
            "run",
            "--rm",
            "busybox",
            "sh",
            "-c",
            "ip -4 addr show eth0; ip route",
        ])
        .ok();
    run.prints("inet ")
        .prints("default via ")
        .prints("UP,LOWER_UP");
}

#[test]
fn many_at_once_get_addresses_of_their_own() {
    let sandbox = Sandbox::new();
    let runs: Vec<_> = (0..8)
        .map(|_| sandbox.spawn(&["run", "-d", "busybox", "sleep", "1000"]))
        .collect();
    let ids: Vec<String> = runs
        .into_iter()
        .map(|run| run.finish().ok().text().to_owned())
        .collect();
    let mut addresses: Vec<String> = ids
        .iter()
        .map(|id| sandbox.inspect(id, "{{.NetworkSettings.IPAddress}}"))
        .collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 8, "{addresses:?}");
}
