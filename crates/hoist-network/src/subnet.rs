//! IPv4 subnets, and which of them a new network gets.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Serialize};

/// An IPv4 network in CIDR form, such as `172.17.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    address: Ipv4Addr,
    prefix: u8,
}

/// Why a text is not a [`Subnet`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid subnet {0:?}: expected an IPv4 network such as 172.17.0.0/16")]
pub struct SubnetError(String);

impl Subnet {
    /// The network of `address` whose prefix has `prefix` bits (at most 32; more count as 32).
    #[must_use]
    pub fn new(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self {
            address: Ipv4Addr::from(u32::from(address) & mask(prefix)),
            prefix,
        }
    }

    /// The network's own address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Length of the prefix, in bits.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// The bits of the prefix, as a network mask.
    #[must_use]
    pub fn mask(&self) -> Ipv4Addr {
        Ipv4Addr::from(mask(self.prefix))
    }

    /// The first address after the network's own: that of the bridge.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.address).saturating_add(1))
    }

    /// How many addresses containers can have: all but the network's, the gateway's and the
    /// broadcast address.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        (!mask(self.prefix)).saturating_sub(2)
    }

    /// The container address number `n`, counted from zero; the count starts over at the end.
    #[must_use]
    pub fn container_address(&self, n: u32) -> Ipv4Addr {
        let n = n.checked_rem(self.capacity()).unwrap_or(0);
        Ipv4Addr::from(u32::from(self.address).saturating_add(2).saturating_add(n))
    }

    /// The number of a container's address; see [`Subnet::container_address`].
    #[must_use]
    pub fn number_of(&self, address: Ipv4Addr) -> u32 {
        u32::from(address)
            .saturating_sub(u32::from(self.address))
            .saturating_sub(2)
    }

    /// Whether `address` belongs to the network.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == u32::from(self.address)
    }

    /// Whether some address belongs to both networks.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let shorter = mask(self.prefix.min(other.prefix));
        u32::from(self.address) & shorter == u32::from(other.address) & shorter
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(u32::from(32 - prefix)).unwrap_or(0)
}

/// The subnets that a network may get, in order: what Docker takes, but for 172.16.0.0/16.
fn candidates() -> Vec<Subnet> {
    let large = (17..=31).map(|second| Subnet::new(Ipv4Addr::new(172, second, 0, 0), 16));
    let small = (0..16).map(|third| Subnet::new(Ipv4Addr::new(192, 168, third << 4, 0), 20));
    large.chain(small).collect()
}

/// The first candidate that overlaps with nothing in `used`. The search begins at candidate
/// number `start`, so that hosts with many roots do not all ask for the same one.
pub(crate) fn choose(used: &[Subnet], start: usize) -> Option<Subnet> {
    let all = candidates();
    let start = start % all.len();
    let free = |candidate: &Subnet| !used.iter().any(|used| used.overlaps(candidate));
    all[start..].iter().chain(&all[..start]).copied().find(free)
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let address: Ipv4Addr = address.parse().ok()?;
            let prefix: u8 = prefix.parse().ok().filter(|&prefix| prefix <= 32)?;
            let subnet = Self::new(address, prefix);
            (subnet.address == address).then_some(subnet)
        });
        parsed.ok_or_else(|| SubnetError(text.to_owned()))
    }
}

impl TryFrom<String> for Subnet {
    type Error = SubnetError;

    fn try_from(text: String) -> Result<Self, SubnetError> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_free_one_is_chosen() {
        let none: Option<&str> = None;
        let table = [
            (vec![], 0, Some("172.17.0.0/16")),
            (vec!["172.17.3.0/24"], 0, Some("172.18.0.0/16")),
            (vec!["172.16.0.0/12"], 0, Some("192.168.0.0/20")),
            (
                vec!["172.16.0.0/12", "192.168.1.0/24", "192.168.16.1/32"],
                0,
                Some("192.168.32.0/20"),
            ),
            (vec!["172.16.0.0/12", "192.168.0.0/16"], 0, none),
            (vec![], 30, Some("192.168.240.0/20")),
            (vec!["192.168.240.7/32"], 30, Some("172.17.0.0/16")),
            (vec!["10.0.0.0/8"], 31, Some("172.17.0.0/16")),
        ];
        for (used, start, expected) in table {
            let used: Vec<_> = used.into_iter().map(subnet).collect();
            assert_eq!(
                choose(&used, start),
                expected.map(subnet),
                "{used:?} from {start}"
            );
        }
    }

    #[test]
    fn malformed_subnets_are_refused() {
        for text in [
            "",
            "172.17.0.0",
            "172.17.0.1/16",
            "172.17.0.0/33",
            "x/16",
            "172.17.0.0/",
        ] {
            assert_eq!(text.parse::<Subnet>(), Err(SubnetError(text.to_owned())));
        }
    }

    #[test]
    fn addresses_are_numbered_past_the_gateway() {
        let net = subnet("192.168.16.0/20");
        assert_eq!(net.gateway(), Ipv4Addr::new(192, 168, 16, 1));
        assert_eq!(net.capacity(), 4093);
        assert_eq!(net.container_address(0), Ipv4Addr::new(192, 168, 16, 2));
        assert_eq!(
            net.container_address(4092),
            Ipv4Addr::new(192, 168, 31, 254)
        );
        assert_eq!(net.container_address(4093), net.container_address(0));
    }

    proptest! {
        #[test]
        fn overlap_is_symmetric_and_follows_from_containing(
            a: u32, p in 0_u8..=32, b: u32, q in 0_u8..=32,
        ) {
            let (x, y) = (Subnet::new(a.into(), p), Subnet::new(b.into(), q));
            prop_assert_eq!(x.overlaps(&y), y.overlaps(&x));
            prop_assert_eq!(x.overlaps(&y), x.contains(y.address()) || y.contains(x.address()));
            prop_assert_eq!(x.to_string().parse::<Subnet>().unwrap(), x);
        }
    }
}
