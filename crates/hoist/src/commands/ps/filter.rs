//! `ps --filter`.

use hoist_core::{
    Digest,
    mount::MountKind,
    port::{self, ExposedPort},
    time::Timestamp,
};
use hoist_engine::{Engine, State, container::Container};

use super::status;
use crate::{
    args::filter::{Filter as Flag, Filters},
    error::CliError,
};

const KEYS: &[&str] = &[
    "ancestor", "before", "exited", "expose", "health", "id", "label", "name", "network",
    "publish", "since", "status", "volume",
];
const STATES: &[&str] = &[
    "created",
    "running",
    "paused",
    "restarting",
    "removing",
    "exited",
    "dead",
];

/// The filters, with what they name looked up.
pub(super) struct Filter<'a> {
    flags: Filters<'a>,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    ancestors: Vec<Ancestor>,
    publish: Vec<ExposedPort>,
    expose: Vec<ExposedPort>,
}

/// An image that containers descend from.
struct Ancestor {
    layers: Vec<Digest>,
    id: Digest,
}

impl<'a> Filter<'a> {
    pub(super) fn new(engine: &Engine, flags: &'a [Flag]) -> Result<Self, CliError> {
        let flags = Filters::checked(flags, KEYS).map_err(CliError::invalid)?;
        check(&flags, "status", |state| STATES.contains(&state))?;
        check(&flags, "exited", |code| code.parse::<i32>().is_ok())?;
        check(&flags, "health", |health| {
            ["starting", "healthy", "unhealthy", "none"].contains(&health)
        })?;
        let created = |key| {
            let names: Vec<&str> = flags.values(key).collect();
            names
                .last()
                .map(|name| Ok::<_, CliError>(engine.find(name)?.record.created))
                .transpose()
        };
        let mut ancestors = Vec::new();
        for name in flags.values("ancestor") {
            // An image that does not exist has no descendants.
            if let Ok(id) = engine.store().resolve(name) {
                let image = engine
                    .store()
                    .image(&id)
                    .map_err(hoist_engine::EngineError::from)?;
                ancestors.push(Ancestor {
                    layers: image.image.rootfs.diff_ids.clone(),
                    id,
                });
            }
        }
        Ok(Self {
            before: created("before")?,
            since: created("since")?,
            publish: ports(&flags, "publish")?,
            expose: ports(&flags, "expose")?,
            ancestors,
            flags,
        })
    }

    /// A status is asked for, so that all containers are looked at.
    pub(super) fn names_states(&self) -> bool {
        self.flags.has("status")
    }

    pub(super) fn fits(&self, container: &Container) -> bool {
        let Container { record, status } = container;
        self.flags
            .any("id", |id| record.id.as_str().starts_with(id))
            && self.flags.any("name", |name| name_fits(&record.name, name))
            && self.flags.labels(&record.config.labels)
            && self
                .flags
                .any("status", |state| status.state.as_str() == state)
            && self.flags.any("exited", |code| {
                status.state == State::Exited && code.parse() == Ok(status.exit_code)
            })
            && self.flags.any("health", |health| {
                status::health(status).unwrap_or("none") == health
            })
            && self
                .flags
                .any("network", |network| record.network.as_str() == network)
            && self
                .flags
                .any("volume", |volume| has_volume(container, volume))
            && self.before.is_none_or(|before| record.created < before)
            && self.since.is_none_or(|since| record.created > since)
            && self.descends(container)
            && self.has_ports(container)
    }

    fn descends(&self, container: &Container) -> bool {
        let record = &container.record;
        !self.flags.has("ancestor")
            || self.ancestors.iter().any(|ancestor| {
                ancestor.id == record.image
                    || (!ancestor.layers.is_empty() && record.layers.starts_with(&ancestor.layers))
            })
    }

    fn has_ports(&self, container: &Container) -> bool {
        let published = |wanted: &ExposedPort| {
            let endpoint = container.status.endpoint.iter();
            endpoint.flat_map(|endpoint| &endpoint.ports).any(|port| {
                (port.container_port == wanted.port || port.host_port == wanted.port)
                    && port.protocol == wanted.protocol
            })
        };
        let exposed = |wanted: &ExposedPort| {
            container
                .record
                .config
                .exposed_ports
                .contains_key(&wanted.to_string())
        };
        (!self.flags.has("publish") || self.publish.iter().any(published))
            && (!self.flags.has("expose") || self.expose.iter().any(exposed))
    }
}

fn check(flags: &Filters<'_>, key: &str, fits: impl Fn(&str) -> bool) -> Result<(), CliError> {
    match flags.values(key).find(|value| !fits(value)) {
        Some(value) => Err(CliError::invalid(format!("invalid filter '{key}={value}'"))),
        None => Ok(()),
    }
}

fn ports(flags: &Filters<'_>, key: &str) -> Result<Vec<ExposedPort>, CliError> {
    let mut ports = Vec::new();
    for value in flags.values(key) {
        ports.extend(port::parse_expose(value)?);
    }
    Ok(ports)
}

/// Docker matches names with regular expressions; what people write are parts of names, with
/// `^` and `$` for their ends.
fn name_fits(name: &str, wanted: &str) -> bool {
    let wanted = wanted.trim_start_matches('/');
    let (from_start, rest) = match wanted.strip_prefix('^') {
        Some(rest) => (true, rest.trim_start_matches('/')),
        None => (false, wanted),
    };
    match (from_start, rest.strip_suffix('$')) {
        (true, Some(whole)) => name == whole,
        (true, None) => name.starts_with(rest),
        (false, Some(end)) => name.ends_with(end),
        (false, None) => name.contains(rest),
    }
}

fn has_volume(container: &Container, wanted: &str) -> bool {
    container.record.mounts.iter().any(|mount| {
        let target = mount.request.target.to_str() == Some(wanted);
        target
            || match &mount.request.kind {
                MountKind::Volume { name, .. } => name.as_deref() == Some(wanted),
                MountKind::Bind { source, .. } => source.to_str() == Some(wanted),
                MountKind::Image { source, .. } => source == wanted,
                MountKind::Tmpfs { .. } => false,
            }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_in_parts_and_between_anchors() {
        let table = [
            ("my-api", "api", true),
            ("my-api", "^my", true),
            ("my-api", "^api", false),
            ("my-api", "api$", true),
            ("my-api", "^my-api$", true),
            ("my-api", "^/my-api$", true),
            ("my-api-2", "^my-api$", false),
        ];
        for (name, wanted, fits) in table {
            assert_eq!(name_fits(name, wanted), fits, "{name} {wanted}");
        }
    }
}
