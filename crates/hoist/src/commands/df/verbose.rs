//! `system df -v`: every image, container, volume and layer of the build cache with its size.

use std::{collections::BTreeSet, process::ExitCode, time::SystemTime};

use hoist_core::{Digest, mount::MountKind, time::Timestamp, units};
use hoist_engine::{Engine, EngineError, container::Container};
use serde_json::{Value, json};

use crate::{
    commands::{images, ps},
    error::CliError,
    format::{self, Listing, Row},
    ui,
};

const IMAGES: Listing = Listing {
    headings: images::HEADINGS,
    columns: &[
        "Repository",
        "Tag",
        "ID",
        "CreatedSince",
        "Size",
        "SharedSize",
        "UniqueSize",
        "Containers",
    ],
};
const CONTAINERS: Listing = Listing {
    headings: ps::HEADINGS,
    columns: &[
        "ID",
        "Image",
        "Command",
        "LocalVolumes",
        "Size",
        "RunningFor",
        "Status",
        "Names",
    ],
};
const VOLUMES: Listing = Listing {
    headings: &[
        ("Name", "VOLUME NAME"),
        ("Links", "LINKS"),
        ("Size", "SIZE"),
    ],
    columns: &["Name", "Links", "Size"],
};
const CACHE: Listing = Listing {
    headings: &[
        ("ID", "CACHE ID"),
        ("CacheType", "CACHE TYPE"),
        ("Size", "SIZE"),
    ],
    columns: &["ID", "CacheType", "Size"],
};

/// Print everything with its size.
pub(super) fn show(engine: &Engine, template: Option<&str>) -> Result<ExitCode, CliError> {
    let containers = engine.containers()?;
    let now = SystemTime::now().into();
    let images = image_rows(engine, &containers, now)?;
    let columns = ps::Columns::with_size(engine, now);
    let of_containers = containers
        .iter()
        .map(|container| columns.row(container))
        .collect::<Result<Vec<_>, _>>()?;
    let volumes = volume_rows(engine, &containers)?;
    let cache = cache_rows(engine)?;
    if let Some(template) = template.filter(|template| !template.is_empty() && *template != "table")
    {
        let rows = |rows: &[Row]| Value::Array(rows.iter().map(Row::to_json).collect());
        let document = json!({
            "Images": rows(&images), "Containers": rows(&of_containers),
            "Volumes": rows(&volumes), "BuildCache": rows(&cache),
        });
        ui::out(&format::document(&document, Some(template))?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\n\
         Build cache usage:\n\n{}",
        IMAGES.render(&images, None)?,
        CONTAINERS.render(&of_containers, None)?,
        VOLUMES.render(&volumes, None)?,
        CACHE.render(&cache, None)?,
    );
    ui::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn image_rows(
    engine: &Engine,
    containers: &[Container],
    now: Timestamp,
) -> Result<Vec<Row>, CliError> {
    let store = engine.store();
    let usage = store.usage().map_err(EngineError::from)?;
    let shared: BTreeSet<Digest> = usage
        .layers
        .iter()
        .filter(|layer| layer.images.len() > 1)
        .map(|layer| layer.diff_id)
        .collect();
    let mut rows = Vec::new();
    for summary in store.images().map_err(EngineError::from)? {
        let stored = store.image(&summary.id).map_err(EngineError::from)?;
        let of_others: u64 = stored
            .layers
            .iter()
            .filter(|layer| shared.contains(&layer.diff_id))
            .map(|layer| layer.size)
            .sum();
        let users = containers
            .iter()
            .filter(|container| container.record.image == summary.id)
            .count();
        let mut row = images::row(&summary, summary.references.first(), now, false);
        row.set("SharedSize", units::human_size_precise(of_others));
        row.set(
            "UniqueSize",
            units::human_size_precise(summary.size.saturating_sub(of_others)),
        );
        row.set("Containers", users.to_string());
        rows.push(row);
    }
    Ok(rows)
}

fn volume_rows(engine: &Engine, containers: &[Container]) -> Result<Vec<Row>, CliError> {
    let uses = |name: &str| {
        let mounts = containers
            .iter()
            .flat_map(|container| &container.record.mounts);
        let named = mounts.filter(|mount| {
            matches!(&mount.request.kind, MountKind::Volume { name: Some(used), .. } if used == name)
        });
        named.count()
    };
    let mut rows = Vec::new();
    for volume in engine.volumes()? {
        rows.push(Row::new([
            ("Links", uses(&volume.name).to_string()),
            (
                "Size",
                units::human_size_precise(engine.volume_size(&volume.name)?),
            ),
            ("Name", volume.name),
        ]));
    }
    Ok(rows)
}

fn cache_rows(engine: &Engine) -> Result<Vec<Row>, CliError> {
    let usage = engine.store().usage().map_err(EngineError::from)?;
    let only_cached = usage.layers.iter().filter(|layer| layer.images.is_empty());
    let row = |layer: &hoist_store::LayerUsage| {
        Row::new([
            ("ID", layer.diff_id.short()),
            ("CacheType", "regular".to_owned()),
            ("Size", units::human_size_precise(layer.size)),
        ])
    };
    Ok(only_cached.map(row).collect())
}
