//! What a RUN asks for beyond a plain step: the host's network, `--security=insecure`, devices.
//! Each needs the word of the command line.

use hoist_dockerfile::{
    Spanned,
    instruction::{Network, Security},
};
use hoist_engine::{request::NetworkMode, step::Confinement};

use super::{Devices, actions::invalid, stage::Builder};
use crate::{cdi::Wanted, entitlement::Entitlement, error::BuildError};

impl Builder<'_> {
    pub(super) fn network(&self, network: Network) -> Result<NetworkMode, BuildError> {
        let is_allowed = self.inputs.network == NetworkMode::Host
            || self.inputs.allowed.contains(&Entitlement::NetworkHost);
        match network {
            Network::Default => Ok(self.inputs.network),
            Network::None => Ok(NetworkMode::None),
            Network::Host if is_allowed => Ok(NetworkMode::Host),
            Network::Host => Err(invalid(
                "RUN --network=host is not allowed: a Dockerfile must not reach the host's network on its own",
                "build with --allow network.host to allow it",
            )),
        }
    }

    pub(super) fn confinement(&self, security: Security) -> Result<Confinement, BuildError> {
        match security {
            Security::Sandbox => Ok(Confinement::Usual),
            Security::Insecure if self.inputs.allowed.contains(&Entitlement::SecurityInsecure) => {
                Ok(Confinement::None)
            }
            Security::Insecure => Err(invalid(
                "RUN --security=insecure is not allowed: the step would have the rights of root on this machine",
                "build with --allow security.insecure to allow it",
            )),
        }
    }

    /// The devices of `RUN --device`.
    pub(super) fn devices(&self, flags: &[Spanned<String>]) -> Result<Devices, BuildError> {
        let mut devices = Devices::default();
        for flag in flags {
            let wanted = Wanted::parse(&flag.value).map_err(|message| {
                invalid(message, "write --device=vendor.org/class=name[,required]")
            })?;
            let mut allowed = self.inputs.allowed.iter();
            if !allowed.any(|entitlement| entitlement.covers_device(&wanted.name)) {
                return Err(invalid(
                    format!("RUN --device={} is not allowed", wanted.name),
                    &format!("build with --allow device={} to allow it", wanted.name),
                ));
            }
            match (self.inputs.devices)(&wanted)? {
                Some(edits) => devices.found.push((wanted.name, edits)),
                None if wanted.required => {
                    return Err(invalid(
                        format!(
                            "the device {} is required, and nothing describes it",
                            wanted.name
                        ),
                        "CDI descriptions lie in /etc/cdi and /var/run/cdi, as JSON",
                    ));
                }
                None => devices.absent.push(wanted.name),
            }
        }
        Ok(devices)
    }
}
