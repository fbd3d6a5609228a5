//! `ps`: the list of containers.

mod filter;
mod ports;
mod status;

use std::{process::ExitCode, time::SystemTime};

use hoist_core::{Reference, duration, mount::MountKind, time::Timestamp, units};
use hoist_engine::{Engine, State, container::Container};

use super::system_check;
use crate::{
    args::list::PsFlags,
    cli::Call,
    error::CliError,
    format::{self, Listing, Row},
    settings, ui,
};

const COLUMNS: &[&str] = &[
    "ID",
    "Image",
    "Command",
    "RunningFor",
    "Status",
    "Ports",
    "Names",
];
const COLUMNS_WITH_SIZE: &[&str] = &[
    "ID",
    "Image",
    "Command",
    "RunningFor",
    "Status",
    "Ports",
    "Names",
    "Size",
];
pub(super) const HEADINGS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("State", "STATE"),
    ("Reason", "REASON"),
    ("HealthStatus", "HEALTH STATUS"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Size", "SIZE"),
];

/// `ps [OPTIONS]`.
pub(crate) fn ps(call: &Call<'_>, flags: &PsFlags, _: &[String]) -> Result<ExitCode, CliError> {
    let engine = call.engine()?;
    let containers = chosen(&engine, flags)?;
    if flags.quiet {
        let id = |container: &Container| shown_id(container, flags.no_trunc);
        let lines: String = containers
            .iter()
            .map(|container| id(container) + "\n")
            .collect();
        ui::out(&lines)?;
        return Ok(ExitCode::SUCCESS);
    }
    let asked = flags.format.as_deref().unwrap_or_default();
    let everything = asked == "json" || asked.contains("json");
    let columns = Columns {
        engine: &engine,
        now: SystemTime::now().into(),
        whole: flags.no_trunc,
        created_at: everything || asked.contains(".CreatedAt"),
        size: flags.size || asked.contains(".Size"),
    };
    let rows = containers
        .iter()
        .map(|container| columns.row(container))
        .collect::<Result<Vec<_>, _>>()?;
    let listing = Listing {
        headings: HEADINGS,
        columns: if flags.size {
            COLUMNS_WITH_SIZE
        } else {
            COLUMNS
        },
    };
    ui::out(&listing.render(&rows, flags.format.as_deref())?)?;
    Ok(ExitCode::SUCCESS)
}

/// The containers that the flags choose, the newest first.
fn chosen(engine: &Engine, flags: &PsFlags) -> Result<Vec<Container>, CliError> {
    let filter = filter::Filter::new(engine, &flags.filter)?;
    let last = match (flags.latest, flags.last) {
        (true, _) => Some(1),
        (false, Some(last)) => usize::try_from(last).ok().filter(|last| *last > 0),
        (false, None) => None,
    };
    let all = flags.all || last.is_some() || filter.names_states();
    let survey = engine.survey()?;
    for damaged in &survey.damaged {
        ui::error(&system_check::damaged(damaged));
    }
    let mut containers = survey.containers;
    containers.retain(|container| {
        (all || container.status.state == State::Running) && filter.fits(container)
    });
    containers.truncate(last.unwrap_or(usize::MAX));
    Ok(containers)
}

fn shown_id(container: &Container, whole: bool) -> String {
    let id = &container.record.id;
    if whole { id.as_str() } else { id.short() }.to_owned()
}

/// How rows are made.
pub(super) struct Columns<'a> {
    engine: &'a Engine,
    now: Timestamp,
    /// Nothing is cut short.
    whole: bool,
    created_at: bool,
    size: bool,
}

impl<'a> Columns<'a> {
    /// Short columns with the size of the writable layer.
    pub(super) const fn with_size(engine: &'a Engine, now: Timestamp) -> Self {
        Self {
            engine,
            now,
            whole: false,
            created_at: false,
            size: true,
        }
    }

    /// The row of a container.
    pub(super) fn row(&self, container: &Container) -> Result<Row, CliError> {
        let Container { record, status } = container;
        let mut row = Row::new([
            ("ID", shown_id(container, self.whole)),
            ("Image", self.image(container)),
            ("Command", self.command(&record.args())),
            (
                "RunningFor",
                format!("{} ago", duration::human(self.now.since(record.created))),
            ),
            ("Status", status::text(status, self.now)),
            ("State", status.state.as_str().to_owned()),
            ("Reason", status::reason(container).unwrap_or_default()),
            (
                "HealthStatus",
                status::health(status).unwrap_or_default().to_owned(),
            ),
            ("Ports", ports::text(container)),
            ("Names", record.name.clone()),
            ("Mounts", self.mounts(container)),
            ("LocalVolumes", volumes(container).count().to_string()),
            ("Networks", record.network.as_str().to_owned()),
        ])
        .with_labels(&record.config.labels);
        if self.created_at {
            row.set("CreatedAt", settings::local_time(record.created));
        }
        if self.size {
            let writable = self.engine.writable_size(container)?;
            let image = self
                .engine
                .store()
                .image(&record.image)
                .map_or(0, |image| image.size);
            let text = format!(
                "{} (virtual {})",
                units::human_size(writable),
                units::human_size(writable + image)
            );
            row.set("Size", text);
        }
        Ok(row)
    }

    /// The image's name, as long as it still means the image that the container was made from.
    fn image(&self, container: &Container) -> String {
        let record = &container.record;
        match self.engine.store().resolve(&record.image_name) {
            Ok(id) if id == record.image => {}
            _ => return record.image.short(),
        }
        let short = record.image.to_string().ends_with(&record.image_name);
        if short || record.image.hex().starts_with(&record.image_name) {
            return record.image.short();
        }
        match Reference::parse_untagged(&record.image_name) {
            Ok(reference) if !self.whole && reference.digest().is_none() => reference.familiar(),
            _ => record.image_name.clone(),
        }
    }

    fn command(&self, args: &[String]) -> String {
        let mut words = Vec::with_capacity(args.len());
        for (index, arg) in args.iter().enumerate() {
            let quoted = index > 0 && arg.contains(' ');
            words.push(if quoted {
                format!("'{arg}'")
            } else {
                arg.clone()
            });
        }
        let command = words.join(" ");
        format::quote(&if self.whole {
            command
        } else {
            format::ellipsis(&command, 20)
        })
    }

    fn mounts(&self, container: &Container) -> String {
        let name = |kind: &MountKind| match kind {
            MountKind::Volume { name, .. } => name.clone().unwrap_or_default(),
            MountKind::Bind { source, .. } => source.display().to_string(),
            MountKind::Image { source, .. } => source.clone(),
            MountKind::Tmpfs { .. } => String::new(),
        };
        let names = container
            .record
            .mounts
            .iter()
            .map(|mount| name(&mount.request.kind));
        let shown = names.map(|name| {
            if self.whole {
                name
            } else {
                format::ellipsis(&name, 15)
            }
        });
        shown.collect::<Vec<_>>().join(",")
    }
}

fn volumes(container: &Container) -> impl Iterator<Item = &str> {
    container
        .record
        .mounts
        .iter()
        .filter_map(|mount| match &mount.request.kind {
            MountKind::Volume { name, .. } => name.as_deref(),
            _ => None,
        })
}
