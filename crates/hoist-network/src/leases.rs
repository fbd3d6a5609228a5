//! Claims of addresses.
//!
//! ```text
//! $HOIST_RUN/leases/bridge/
//!   172.17.0.2      claimed: {"container": …, "host_interface": …, "ports": […]}
//!   .next           number of the address where the next search begins
//!   .<container>    a claim that is being written
//! ```
//!
//! A claim is written under a name of its own and then linked to the address: linking is
//! exclusive, and the file is complete from the first moment. The search goes round the network,
//! so an address that was just released is not given out again at once. `.next` is a hint that
//! may be lost or stale: it costs a few more attempts, nothing else.

use std::{
    fs::{self, File},
    io,
    net::Ipv4Addr,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use hoist_core::ContainerId;
use serde::{Deserialize, Serialize};

use crate::{Bridge, NetworkError, PublishedPort, bridge::host_interface, port::Forward};

/// The claims of one network.
#[derive(Debug)]
pub(crate) struct Leases {
    directory: PathBuf,
}

/// What a claim says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) container: ContainerId,
    pub(crate) ports: Vec<PublishedPort>,
}

/// A claim and the address that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) address: Ipv4Addr,
    /// Absent when the file does not hold a claim (something else wrote it).
    pub(crate) lease: Option<Lease>,
}

impl Claim {
    /// The host's end of the owner's pair.
    pub(crate) fn host_interface(&self) -> Option<String> {
        Some(host_interface(
            &self.lease.as_ref()?.container,
            self.address,
        ))
    }

    /// The elements of the owner's published ports.
    pub(crate) fn forwards(&self) -> Vec<Forward> {
        let ports = self.lease.as_ref().map_or(&[][..], |lease| &lease.ports);
        Forward::all(ports, self.address)
    }
}

const NEXT: &str = ".next";

impl Leases {
    /// The claims of the network `name` under `run`.
    pub(crate) fn new(run: &Path, name: &str) -> Self {
        Self {
            directory: run.join("leases").join(name),
        }
    }

    /// Claims a free address of `bridge`.
    pub(crate) fn claim(&self, bridge: &Bridge, lease: &Lease) -> Result<Ipv4Addr, NetworkError> {
        let draft = self.directory.join(format!(".{}", lease.container));
        let text = serde_json::to_vec(lease).expect("a lease is plain data");
        let written = fs::write(&draft, &text).or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            fs::create_dir_all(&self.directory)?;
            fs::write(&draft, &text)
        });
        written.map_err(|source| file("write", &draft, source))?;
        let claimed = self.link(bridge, &draft);
        let _ = fs::remove_file(&draft);
        claimed
    }

    fn link(&self, bridge: &Bridge, draft: &Path) -> Result<Ipv4Addr, NetworkError> {
        let subnet = bridge.subnet;
        let hint = self.open_hint()?;
        let start = read_hint(&hint).unwrap_or(0);
        for attempt in 0..subnet.capacity() {
            let address = subnet.container_address(start.wrapping_add(attempt));
            let path = self.directory.join(address.to_string());
            match fs::hard_link(draft, &path) {
                Ok(()) => {
                    // Only a hint: a failure to keep it costs later attempts.
                    let next = subnet.number_of(address) + 1;
                    let _ = hint.write_all_at(format!("{next:<10}\n").as_bytes(), 0);
                    return Ok(address);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(file("claim", &path, source)),
            }
        }
        Err(NetworkError::NoAddress {
            network: bridge.name.clone(),
            subnet,
        })
    }

    fn open_hint(&self) -> Result<File, NetworkError> {
        let path = self.directory.join(NEXT);
        let opened = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        opened.map_err(|source| file("open", &path, source))
    }

    /// Whether `address` is claimed by `container`.
    pub(crate) fn belongs(
        &self,
        address: Ipv4Addr,
        container: &ContainerId,
    ) -> Result<bool, NetworkError> {
        Ok(self
            .read(address)?
            .is_some_and(|lease| lease.container == *container))
    }

    /// Gives `address` back. Unclaimed is fine.
    pub(crate) fn release(&self, address: Ipv4Addr) -> Result<(), NetworkError> {
        let path = self.directory.join(address.to_string());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(file("remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    /// Every claim, in the order of the addresses.
    pub(crate) fn all(&self) -> Result<Vec<Claim>, NetworkError> {
        let mut claims = Vec::new();
        for name in self.names()? {
            if let Ok(address) = name.parse() {
                claims.push(Claim {
                    address,
                    lease: self.read(address)?,
                });
            }
        }
        claims.sort_by_key(|claim| claim.address);
        Ok(claims)
    }

    /// Removes drafts that crashed claims left behind. Only while nothing is being claimed.
    pub(crate) fn sweep_drafts(&self) -> Result<(), NetworkError> {
        for name in self
            .names()?
            .iter()
            .filter(|name| name.starts_with('.') && *name != NEXT)
        {
            let path = self.directory.join(name);
            fs::remove_file(&path).map_err(|source| file("remove", &path, source))?;
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, NetworkError> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(file("list", &self.directory, source)),
        };
        entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<_>>()
            .map_err(|source| file("list", &self.directory, source))
    }

    fn read(&self, address: Ipv4Addr) -> Result<Option<Lease>, NetworkError> {
        let path = self.directory.join(address.to_string());
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(file("read", &path, source)),
        }
    }
}

fn read_hint(hint: &File) -> Option<u32> {
    let mut text = [0; 16];
    let length = hint.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(&text[..length])
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn file(action: &'static str, path: &Path, source: io::Error) -> NetworkError {
    NetworkError::File {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{Subnet, bridge::Naming};

    fn bridge(subnet: &str) -> Bridge {
        let subnet: Subnet = subnet.parse().unwrap();
        Naming::of(Path::new("/x"), true).default_bridge(subnet, 1500)
    }

    fn lease(n: u8) -> Lease {
        Lease {
            container: ContainerId::from_random([n; 32]),
            ports: Vec::new(),
        }
    }

    #[test]
    fn addresses_go_round() {
        let run = tempfile::tempdir().unwrap();
        let leases = Leases::new(run.path(), "bridge");
        let bridge = bridge("192.168.0.0/29");
        let last = |address: Ipv4Addr| address.octets()[3];
        let first = leases.claim(&bridge, &lease(1)).unwrap();
        assert_eq!(last(first), 2);
        leases.release(first).unwrap();
        leases.release(first).unwrap();
        let next: Vec<_> = (2..=6)
            .map(|n| last(leases.claim(&bridge, &lease(n)).unwrap()))
            .collect();
        assert_eq!(next, [3, 4, 5, 6, 2]);
        let error = leases.claim(&bridge, &lease(7)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no free address in network \"bridge\" (192.168.0.0/29)"
        );
        assert_eq!(leases.all().unwrap().len(), 5);
        let (two, owner) = (
            Ipv4Addr::new(192, 168, 0, 2),
            ContainerId::from_random([6; 32]),
        );
        assert!(leases.belongs(two, &owner).unwrap());
        assert!(
            !leases
                .belongs(Ipv4Addr::new(192, 168, 0, 3), &owner)
                .unwrap()
        );
    }

    #[test]
    fn a_broken_hint_is_survived() {
        let run = tempfile::tempdir().unwrap();
        let leases = Leases::new(run.path(), "bridge");
        let bridge = bridge("172.17.0.0/16");
        for hint in ["", "x", "4294967295", "\u{0}"] {
            fs::create_dir_all(&leases.directory).unwrap();
            fs::write(leases.directory.join(NEXT), hint).unwrap();
            let address = leases.claim(&bridge, &lease(1)).unwrap();
            assert!(bridge.subnet.contains(address) && address != bridge.gateway);
        }
    }

    #[test]
    fn two_hundred_claims_at_once_are_distinct() {
        let run = tempfile::tempdir().unwrap();
        let bridge = bridge("172.17.0.0/16");
        let claims: Vec<_> = std::thread::scope(|scope| {
            let claim = |n: u8| {
                let (run, bridge) = (run.path(), &bridge);
                scope.spawn(move || Leases::new(run, "bridge").claim(bridge, &lease(n)).unwrap())
            };
            let threads: Vec<_> = (0..200).map(claim).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(claims.iter().collect::<HashSet<_>>().len(), 200);
        let leases = Leases::new(run.path(), "bridge");
        let listed: Vec<_> = leases.all().unwrap();
        assert_eq!(listed.len(), 200);
        assert!(listed.iter().all(|claim| claim.lease.is_some()));
        leases.sweep_drafts().unwrap();
        assert_eq!(leases.names().unwrap().len(), 201);
    }
}
