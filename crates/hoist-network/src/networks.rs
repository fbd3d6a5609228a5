//! The networks of one root: making them, attaching containers to them, tidying up.
//!
//! ```text
//! $HOIST_ROOT/networks/    records, see record.rs
//! $HOIST_RUN/
//!   network.lock           shared while a container is attached or detached; exclusive while a
//!                          network is made, mended, swept or removed
//!   leases/                claims of addresses, see leases.rs
//! ```
//!
//! An address is claimed before anything is made for it, and released after everything is gone.
//! So whatever a killed process left has a claim by which [`Networks::sweep`] finds it.

use std::{
    fs::{self, File},
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use hoist_core::ContainerId;

use crate::{
    Attach, Bridge, Endpoint, NetworkError,
    bridge::{DEFAULT_NETWORK, Naming},
    kernel::{Inside, Kernel},
    leases::{Claim, Lease, Leases},
    plan::{self, Step},
    record,
    subnet::choose,
};

/// How often a network is made again when somebody else gets in the way.
const ATTEMPTS: usize = 4;

/// The networks of one root. Holds nothing open; every method works in the network namespace of
/// the calling thread.
#[derive(Debug, Clone)]
pub struct Networks {
    state: PathBuf,
    run: PathBuf,
    naming: Naming,
}

/// A socket over which ports were withdrawn. To close it is to wait until the kernel has freed
/// them, for some milliseconds: drop it where that delays nobody, or leave it to the end of the
/// process.
#[must_use = "dropping it waits for the kernel"]
#[derive(Debug)]
pub struct Lingering {
    _kernel: Kernel,
}

/// How the lock is held.
#[derive(Clone, Copy)]
enum Hold {
    Shared,
    Exclusive,
}

impl Networks {
    /// The networks whose records are under `state` and whose claims are under `run`; neither
    /// directory need exist.
    ///
    /// The default root's bridge is `hoist0` and its table `hoist`. Others have a hash of
    /// `state` in both names, so that several roots share a host.
    #[must_use]
    pub fn open(state: &Path, run: &Path, default_root: bool) -> Self {
        let naming = Naming::of(state, default_root);
        Self {
            state: state.to_owned(),
            run: run.to_owned(),
            naming,
        }
    }

    /// The network that containers get when none is asked for, made or mended if need be.
    ///
    /// The first use picks a subnet that overlaps with no address or route of the host and
    /// records it. When all is in place this is one read file and two netlink rounds.
    ///
    /// # Errors
    ///
    /// [`NetworkError::NoSubnet`] and [`NetworkError::Overlap`] when the host's addresses leave
    /// no room, [`NetworkError::Step`] when the kernel refuses (without root, say), or the
    /// record cannot be read or written.
    pub fn default_bridge(&self) -> Result<Bridge, NetworkError> {
        if let Some(mut bridge) = record::read(&self.state)? {
            let observed = Kernel::default().observe(&bridge)?;
            if let (true, Some(link)) = (
                plan::network(&bridge, &observed, &[]).is_empty(),
                observed.link,
            ) {
                bridge.mtu = link.mtu;
                return Ok(bridge);
            }
        }
        self.mend()
    }

    /// Gives a container an address on `bridge`, an `eth0`, a default route, and leads its
    /// published ports to it. On failure nothing of that remains.
    ///
    /// The caller holds the listening sockets of the ports already (see
    /// [`Forwarder`](crate::Forwarder)) and keeps them until after [`Networks::detach`]; they are
    /// what decides who has a port.
    ///
    /// # Errors
    ///
    /// [`NetworkError::NoAddress`] when all are claimed, [`NetworkError::Namespace`] when the
    /// container's namespace cannot be entered, [`NetworkError::Step`] when the kernel refuses.
    pub fn attach(&self, bridge: &Bridge, request: &Attach<'_>) -> Result<Endpoint, NetworkError> {
        let mut bridge = bridge.clone();
        for _ in 0..ATTEMPTS {
            let kernel = Kernel::default();
            {
                let _lock = self.lock(Hold::Shared)?;
                if kernel.exists(&bridge.interface)? {
                    return self.claim_and_connect(&kernel, &bridge, request);
                }
            }
            bridge = self.mend()?;
        }
        Err(NetworkError::NoBridge {
            network: bridge.name,
            interface: bridge.interface,
        })
    }

    fn claim_and_connect(
        &self,
        kernel: &Kernel,
        bridge: &Bridge,
        request: &Attach<'_>,
    ) -> Result<Endpoint, NetworkError> {
        let leases = Leases::new(&self.run, &bridge.name);
        let lease = Lease {
            container: request.container.clone(),
            ports: request.ports.to_vec(),
        };
        let address = leases.claim(bridge, &lease)?;
        let endpoint = Endpoint::new(bridge, request.container, address, request.ports);
        match self.connect(kernel, bridge, &endpoint, request) {
            Ok(()) => Ok(endpoint),
            Err(error) => {
                // The first error is the one to tell; what cannot be undone keeps its claim,
                // by which a sweep finds it.
                let _ = disconnect(kernel, &leases, &endpoint);
                Err(error)
            }
        }
    }

    fn connect(
        &self,
        kernel: &Kernel,
        bridge: &Bridge,
        endpoint: &Endpoint,
        request: &Attach<'_>,
    ) -> Result<(), NetworkError> {
        let steps = plan::endpoint(bridge, endpoint);
        let inside = Inside {
            container: request.container,
            netns: request.netns,
        };
        match kernel.apply(&steps, Some(inside)) {
            // Somebody flushed the rule set since the network was looked at.
            Err(NetworkError::Step { source, .. })
                if source.errno() == Some(ENOENT) && kernel.observe(bridge)?.table.is_none() =>
            {
                let forwards = self.forwards(&bridge.name)?;
                kernel.apply(
                    &[Step::WriteTable {
                        bridge: bridge.clone(),
                        forwards,
                    }],
                    None,
                )
            }
            other => other,
        }
    }

    /// Undoes [`Networks::attach`]: the published ports, the pair of interfaces, the claim.
    /// Undone already is fine, even when another container has the address by now.
    ///
    /// Deleting the pair waits for the kernel to be done with it, some ten milliseconds. Where
    /// the container's namespace is about to vanish anyway, [`Networks::release`] is faster.
    ///
    /// # Errors
    ///
    /// The kernel refused, or the claim cannot be removed.
    pub fn detach(&self, endpoint: &Endpoint) -> Result<(), NetworkError> {
        let _lock = self.lock(Hold::Shared)?;
        let leases = Leases::new(&self.run, &endpoint.network);
        if leases.belongs(endpoint.address, &endpoint.container)? {
            disconnect(&Kernel::default(), &leases, endpoint)?;
        }
        Ok(())
    }

    /// As [`Networks::detach`], but leaves the pair of interfaces to the kernel, which deletes it
    /// in the background once nothing holds the container's network namespace any more. Some
    /// tens of microseconds, if the caller keeps what is returned until nobody waits for it.
    ///
    /// # Errors
    ///
    /// Those of [`Networks::detach`].
    pub fn release(&self, endpoint: &Endpoint) -> Result<Lingering, NetworkError> {
        let _lock = self.lock(Hold::Shared)?;
        let kernel = Kernel::default();
        let leases = Leases::new(&self.run, &endpoint.network);
        if leases.belongs(endpoint.address, &endpoint.container)? {
            withdraw(&kernel, endpoint)?;
            leases.release(endpoint.address)?;
        }
        Ok(Lingering { _kernel: kernel })
    }

    /// Takes away what dead containers left: claims, interfaces, published ports. Returns how
    /// many claims were released.
    ///
    /// # Errors
    ///
    /// The kernel or the file system refused; what is left is found by the next sweep.
    pub fn sweep(&self, alive: &dyn Fn(&ContainerId) -> bool) -> Result<usize, NetworkError> {
        let Some(bridge) = record::read(&self.state)? else {
            return Ok(0);
        };
        let _lock = self.lock(Hold::Exclusive)?;
        let kernel = Kernel::default();
        let leases = Leases::new(&self.run, &bridge.name);
        let lives = |claim: &Claim| claim.lease.as_ref().is_some_and(|l| alive(&l.container));
        let (live, dead): (Vec<_>, Vec<_>) = leases.all()?.into_iter().partition(lives);
        let keep: Vec<Ipv4Addr> = live.iter().map(|claim| claim.address).collect();
        kernel.withdraw_others(&bridge.table, &keep)?;
        let keep: Vec<String> = live.iter().filter_map(Claim::host_interface).collect();
        let ports = kernel.ports_of(&bridge.interface)?;
        let stale = ports
            .iter()
            .filter(|name| name.starts_with("veth") && !keep.contains(name));
        kernel.delete_links(stale.map(String::as_str))?;
        for claim in &dead {
            leases.release(claim.address)?;
        }
        leases.sweep_drafts()?;
        Ok(dead.len())
    }

    /// Deletes the bridge's interface and table when no container is attached; the record stays,
    /// and [`Networks::default_bridge`] makes both again. Returns whether they are gone.
    ///
    /// Deleting a bridge waits for the kernel, some tens of milliseconds: not for hot paths.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn remove_idle(&self) -> Result<bool, NetworkError> {
        let Some(bridge) = record::read(&self.state)? else {
            return Ok(true);
        };
        let _lock = self.lock(Hold::Exclusive)?;
        if !Leases::new(&self.run, &bridge.name).all()?.is_empty() {
            return Ok(false);
        }
        let kernel = Kernel::default();
        kernel.delete_links([bridge.interface.as_str()])?;
        kernel.delete_table(&bridge.table)?;
        Ok(true)
    }

    /// Makes the default network whole: observe, plan, apply, verify.
    fn mend(&self) -> Result<Bridge, NetworkError> {
        let _lock = self.lock(Hold::Exclusive)?;
        let kernel = Kernel::default();
        let mut remaining = Vec::new();
        for _ in 0..ATTEMPTS {
            let bridge = self.recorded_or_chosen(&kernel)?;
            let forwards = self.forwards(&bridge.name)?;
            let before = kernel.observe(&bridge)?;
            kernel.apply(&plan::network(&bridge, &before, &forwards), None)?;
            let after = kernel.observe(&bridge)?;
            remaining = plan::network(&bridge, &after, &forwards);
            // Another root may have taken the subnet at the same moment.
            let surroundings = kernel.surroundings(&bridge.interface)?;
            let contested = surroundings
                .used
                .iter()
                .any(|used| used.overlaps(&bridge.subnet));
            if contested && before.link.is_none() {
                kernel.delete_links([bridge.interface.as_str()])?;
            } else if remaining.is_empty() {
                return Ok(bridge);
            }
        }
        let remaining: Vec<_> = remaining.iter().map(ToString::to_string).collect();
        let remaining = remaining.join("; ");
        Err(NetworkError::Unsettled {
            network: DEFAULT_NETWORK.to_owned(),
            remaining,
        })
    }

    /// The default network as recorded, or with a subnet chosen and recorded now: the first
    /// time, and when the host took the subnet while the network did not exist.
    fn recorded_or_chosen(&self, kernel: &Kernel) -> Result<Bridge, NetworkError> {
        let recorded = record::read(&self.state)?;
        if let Some(bridge) = &recorded
            && kernel.exists(&bridge.interface)?
        {
            return Ok(bridge.clone());
        }
        let surroundings = kernel.surroundings(&self.naming.interface)?;
        if let Some(bridge) = recorded {
            let overlap = surroundings
                .used
                .iter()
                .find(|used| used.overlaps(&bridge.subnet));
            let Some(other) = overlap else {
                return self.with_mtu(bridge, surroundings.mtu);
            };
            if !Leases::new(&self.run, &bridge.name).all()?.is_empty() {
                let (network, subnet, other) = (bridge.name, bridge.subnet, *other);
                return Err(NetworkError::Overlap {
                    network,
                    subnet,
                    other,
                });
            }
        }
        let subnet = choose(&surroundings.used, self.naming.first_subnet).ok_or_else(|| {
            NetworkError::NoSubnet {
                network: DEFAULT_NETWORK.to_owned(),
            }
        })?;
        let bridge = self.naming.default_bridge(subnet, surroundings.mtu);
        record::write(&self.state, &bridge)?;
        Ok(bridge)
    }

    /// `bridge` with the MTU that the host's uplink has today.
    fn with_mtu(&self, mut bridge: Bridge, mtu: u32) -> Result<Bridge, NetworkError> {
        if bridge.mtu != mtu {
            bridge.mtu = mtu;
            record::write(&self.state, &bridge)?;
        }
        Ok(bridge)
    }

    /// What the attached containers publish.
    fn forwards(&self, network: &str) -> Result<Vec<plan::Forward>, NetworkError> {
        let claims = Leases::new(&self.run, network).all()?;
        Ok(claims.iter().flat_map(Claim::forwards).collect())
    }

    fn lock(&self, hold: Hold) -> Result<File, NetworkError> {
        let path = self.run.join("network.lock");
        let open = || {
            File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
        };
        let opened = open().or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            fs::create_dir_all(&self.run)?;
            open()
        });
        let locked = opened.and_then(|file| {
            match hold {
                Hold::Shared => file.lock_shared()?,
                Hold::Exclusive => file.lock()?,
            }
            Ok(file)
        });
        locked.map_err(|source| NetworkError::File {
            action: "lock",
            path,
            source,
        })
    }
}

const ENOENT: i32 = 2;

fn withdraw(kernel: &Kernel, endpoint: &Endpoint) -> Result<(), NetworkError> {
    kernel
        .withdraw(&endpoint.table, &endpoint.forwards())
        .map_err(|source| NetworkError::Step {
            step: format!(
                "withdraw the ports of container {}",
                endpoint.container.short()
            ),
            source,
        })
}

/// Takes down what an endpoint has, the claim last.
fn disconnect(kernel: &Kernel, leases: &Leases, endpoint: &Endpoint) -> Result<(), NetworkError> {
    withdraw(kernel, endpoint)?;
    kernel.delete_links([endpoint.host_interface.as_str()])?;
    leases.release(endpoint.address)
}
