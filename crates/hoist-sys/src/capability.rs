//! Capabilities (`capabilities(7)`): names, sets, and setting them on the calling thread.

use std::{fmt, io};

use rustix::thread::{self, CapabilitySet, CapabilitySets};

/// Names by number, without `CAP_`.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A set of capabilities, one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Set(u64);

impl Set {
    /// No capability.
    pub const NONE: Self = Self(0);

    /// The set with these bits (bit n is capability number n).
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The set of the named capabilities (`CAP_CHOWN` or `CHOWN`, upper or lower case).
    ///
    /// # Errors
    ///
    /// The first name that is none.
    pub fn from_names<I: IntoIterator<Item = S>, S: AsRef<str>>(names: I) -> Result<Self, String> {
        let mut set = Self::NONE;
        for name in names {
            let number = number(name.as_ref()).ok_or_else(|| name.as_ref().to_owned())?;
            set.0 |= 1 << number;
        }
        Ok(set)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether capability `number` is in the set.
    #[must_use]
    pub const fn contains(self, number: u32) -> bool {
        number < 64 && self.0 >> number & 1 == 1
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (number, name) in NAMES.iter().enumerate() {
            if self.0 >> number & 1 == 1 {
                if !first {
                    f.write_str(",")?;
                }
                f.write_str(name)?;
                first = false;
            }
        }
        if first { f.write_str("none") } else { Ok(()) }
    }
}

/// The number of a capability by name, with or without `CAP_`.
#[must_use]
pub fn number(name: &str) -> Option<u32> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    let index = NAMES.iter().position(|known| *known == name)?;
    u32::try_from(index).ok()
}

/// Every capability's name, as `CAP_CHOWN`.
#[must_use]
pub fn all_names() -> Vec<String> {
    NAMES.iter().map(|name| format!("CAP_{name}")).collect()
}

/// The permitted set of the calling thread.
///
/// # Errors
///
/// What `capget(2)` says.
pub fn permitted() -> io::Result<Set> {
    Ok(Set(thread::capabilities(None)?.permitted.bits()))
}

/// Sets the effective, permitted and inheritable sets of the calling thread.
///
/// # Errors
///
/// `EPERM` when a set would grow beyond what is allowed.
pub fn set(effective: Set, permitted: Set, inheritable: Set) -> io::Result<()> {
    let sets = CapabilitySets {
        effective: CapabilitySet::from_bits_retain(effective.0),
        permitted: CapabilitySet::from_bits_retain(permitted.0),
        inheritable: CapabilitySet::from_bits_retain(inheritable.0),
    };
    Ok(thread::set_capabilities(None, sets)?)
}

/// Removes from the bounding set whatever is not in `keep`, including capabilities that this
/// program has no name for.
///
/// # Errors
///
/// `EPERM` without `CAP_SETPCAP`.
pub fn limit_bounding_set(keep: Set) -> io::Result<()> {
    for number in 0..64 {
        if keep.contains(number) {
            continue;
        }
        match thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(
            1 << number,
        )) {
            Ok(()) => {}
            // The first number that the kernel does not know.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Raises `set` in the ambient set, after clearing it.
///
/// # Errors
///
/// `EPERM` when a capability is not both permitted and inheritable.
pub fn set_ambient(set: Set) -> io::Result<()> {
    thread::clear_ambient_capability_set()?;
    for number in (0..64).filter(|number| set.contains(*number)) {
        thread::configure_capability_in_ambient_set(
            CapabilitySet::from_bits_retain(1 << number),
            true,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(number("CAP_CHOWN"), Some(0));
        assert_eq!(number("sys_admin"), Some(21));
        assert_eq!(number("CAP_CHECKPOINT_RESTORE"), Some(40));
        assert_eq!(number("CAP_NONSENSE"), None);
        let set = Set::from_names(["CAP_KILL", "chown"]).unwrap();
        assert_eq!(set.bits(), 0b10_0001);
        assert_eq!(set.to_string(), "CHOWN,KILL");
        assert_eq!(Set::from_names(["CHOWN", "FLY"]), Err("FLY".to_owned()));
    }
}
