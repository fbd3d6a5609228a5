//! Who holds a port: `/proc/net/{tcp,udp}` tells the socket, `/proc/<pid>/fd` the process.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use hoist_core::port::Protocol;

use crate::Holder;

/// The process that holds a socket which is in the way of `address`, if it can be seen.
pub(super) fn find(protocol: Protocol, address: SocketAddr) -> Option<Holder> {
    let tables = match protocol {
        Protocol::Tcp => ["tcp", "tcp6"],
        Protocol::Udp => ["udp", "udp6"],
    };
    let inodes: Vec<u64> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok())
        .flat_map(|text| inodes(&text, protocol, address))
        .collect();
    process_with(&inodes)
}

/// The inodes of the sockets in a table of `/proc/net` that are in the way of `address`.
fn inodes(table: &str, protocol: Protocol, address: SocketAddr) -> Vec<u64> {
    // Listening for TCP; for UDP, not connected.
    let state = if protocol == Protocol::Tcp {
        "0A"
    } else {
        "07"
    };
    let read = |line: &str| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let (host, port) = fields.get(1)?.split_once(':')?;
        let held = SocketAddr::new(ip(host)?, u16::from_str_radix(port, 16).ok()?);
        let matches = fields.get(3) == Some(&state)
            && held.port() == address.port()
            && in_the_way(held.ip(), address.ip());
        matches.then(|| fields.get(9)?.parse().ok())?
    };
    table.lines().skip(1).filter_map(read).collect()
}

/// An address as the kernel prints it: 32-bit words in the host's order.
fn ip(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        Some(
            u32::from_str_radix(text.get(at..at + 8)?, 16)
                .ok()?
                .to_ne_bytes(),
        )
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?).into())
        }
        _ => None,
    }
}

/// Whether a socket on `held` keeps another from `wanted` (the ports being equal).
fn in_the_way(held: IpAddr, wanted: IpAddr) -> bool {
    held.is_unspecified() || wanted.is_unspecified() || held == wanted
}

fn process_with(inodes: &[u64]) -> Option<Holder> {
    if inodes.is_empty() {
        return None;
    }
    let links: Vec<String> = inodes
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = descriptors.flatten().any(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|link| {
                links
                    .iter()
                    .any(|wanted| link.as_os_str() == wanted.as_str())
            })
        });
        if holds {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(Holder {
                pid,
                name: name.trim_end().to_owned(),
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
   1: 00000000:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0 0 10 0
   2: 0100007F:1F40 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0
   3: rubbish
   4: 00000000000000000000000001000000:1F42 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 444 1
";

    #[test]
    fn only_listeners_that_are_in_the_way_count() {
        let table = [
            ("0.0.0.0:8000", vec![111]),
            ("127.0.0.1:8000", vec![111]),
            ("127.0.0.2:8000", vec![]),
            ("10.0.0.1:8001", vec![222]),
            ("[::1]:8002", vec![444]),
            ("[::2]:8002", vec![]),
            ("0.0.0.0:54321", vec![]),
        ];
        for (address, expected) in table {
            assert_eq!(
                inodes(TCP, Protocol::Tcp, address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
    }
}
