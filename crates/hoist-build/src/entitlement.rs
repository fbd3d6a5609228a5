//! What a Dockerfile may only ask for when the command line allows it (`--allow`).

use std::{fmt, str::FromStr};

/// One thing that a build is allowed beyond the usual.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entitlement {
    /// `network.host`: `RUN --network=host`.
    NetworkHost,
    /// `security.insecure`: `RUN --security=insecure`.
    SecurityInsecure,
    /// `device`: `RUN --device` of every device.
    AnyDevice,
    /// `device=NAME`: `RUN --device` of this one, or of every device of this vendor and class.
    Device(String),
}

impl Entitlement {
    /// Whether it allows the CDI device `name`.
    pub(crate) fn covers_device(&self, name: &str) -> bool {
        match self {
            Self::AnyDevice => true,
            Self::Device(allowed) => {
                allowed == name || name.split('=').next() == Some(allowed.trim_end_matches("=*"))
            }
            Self::NetworkHost | Self::SecurityInsecure => false,
        }
    }
}

impl FromStr for Entitlement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "network.host" => Ok(Self::NetworkHost),
            None if text == "security.insecure" => Ok(Self::SecurityInsecure),
            None if text == "device" => Ok(Self::AnyDevice),
            Some(("device", name)) if !name.is_empty() => Ok(Self::Device(name.to_owned())),
            _ => Err(format!(
                "invalid entitlement: {text}\nhint: write network.host, security.insecure, device \
                 or device=NAME"
            )),
        }
    }
}

impl fmt::Display for Entitlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NetworkHost => f.write_str("network.host"),
            Self::SecurityInsecure => f.write_str("security.insecure"),
            Self::AnyDevice => f.write_str("device"),
            Self::Device(name) => write!(f, "device={name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entitlements_are_written_as_buildx_takes_them() {
        for text in [
            "network.host",
            "security.insecure",
            "device",
            "device=v.org/gpu",
        ] {
            assert_eq!(text.parse::<Entitlement>().unwrap().to_string(), text);
        }
        for text in ["", "network", "device=", "security.insecure=1"] {
            assert!(text.parse::<Entitlement>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_device_is_covered_by_its_name_its_class_or_all() {
        let covers = |text: &str, name| text.parse::<Entitlement>().unwrap().covers_device(name);
        for allowed in [
            "device",
            "device=v.org/gpu",
            "device=v.org/gpu=0",
            "device=v.org/gpu=*",
        ] {
            assert!(covers(allowed, "v.org/gpu=0"), "{allowed}");
        }
        for other in ["device=v.org/gpu=1", "device=v.org", "network.host"] {
            assert!(!covers(other, "v.org/gpu=0"), "{other}");
        }
    }
}
