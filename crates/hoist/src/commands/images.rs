//! `images`: the list of images.

mod tree;

use std::{cmp::Reverse, process::ExitCode, time::SystemTime};

use hoist_core::{
    Reference, duration, pattern,
    time::{self, Timestamp},
    units,
};
use hoist_engine::{Engine, EngineError};
use hoist_store::ImageSummary;

use crate::{
    args::{filter::Filters, list::ImagesFlags},
    cli::Call,
    error::CliError,
    format::{self, Listing, Row},
    settings, ui,
};

const NONE: &str = "<none>";
const KEYS: &[&str] = &["before", "dangling", "label", "reference", "since", "until"];
const COLUMNS: &[&str] = &["Repository", "Tag", "ID", "CreatedSince", "Size"];
const COLUMNS_WITH_DIGEST: &[&str] = &["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"];
pub(super) const HEADINGS: &[(&str, &str)] = &[
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("Containers", "CONTAINERS"),
];

/// `images [OPTIONS] [REPOSITORY[:TAG]]`.
pub(crate) fn images(
    call: &Call<'_>,
    flags: &ImagesFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let engine = call.engine()?;
    let chosen = chosen(&engine, flags, words.first().map(String::as_str))?;
    if flags.tree {
        tree::check(flags)?;
        return tree::show(&engine, &chosen, flags.no_trunc);
    }
    if flags.quiet {
        let id = |image: &Chosen| format::image_id(&image.summary.id, flags.no_trunc);
        let mut ids: Vec<String> = chosen.iter().map(id).collect();
        ids.dedup();
        ui::out(&ids.into_iter().map(|id| id + "\n").collect::<String>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let now = SystemTime::now().into();
    let mut rows = Vec::new();
    for image in &chosen {
        for name in &image.names {
            let mut row = row(&image.summary, name.as_ref(), now, flags.no_trunc);
            if let Some(digest) = registry_digest(&engine, name.as_ref())? {
                row.set("Digest", digest);
            }
            rows.push(row);
        }
    }
    let columns = if flags.digests {
        COLUMNS_WITH_DIGEST
    } else {
        COLUMNS
    };
    ui::out(
        &Listing {
            headings: HEADINGS,
            columns,
        }
        .render(&rows, flags.format.as_deref())?,
    )?;
    Ok(ExitCode::SUCCESS)
}

/// What the registry means by a name.
fn registry_digest(engine: &Engine, name: Option<&Reference>) -> Result<Option<String>, CliError> {
    let Some(name) = name else { return Ok(None) };
    let digest = engine.store().registry_digest(name);
    Ok(digest
        .map_err(EngineError::from)?
        .map(|digest| digest.to_string()))
}

/// An image and those of its names that were asked for; `None` is the row of a nameless one.
struct Chosen {
    summary: ImageSummary,
    names: Vec<Option<Reference>>,
}

fn chosen(
    engine: &Engine,
    flags: &ImagesFlags,
    word: Option<&str>,
) -> Result<Vec<Chosen>, CliError> {
    let filters = Filters::checked(&flags.filter, KEYS).map_err(CliError::invalid)?;
    let dangling = dangling(&filters)?;
    let created = |key| match filters.values(key).last() {
        None => Ok(None),
        Some(name) => created_of(engine, name).map(Some),
    };
    let (before, since) = (created("before")?, created("since")?);
    let until = until(&filters)?;
    let mut images = engine.store().images().map_err(EngineError::from)?;
    images.sort_by_key(|image| (Reverse(moment(image)), image.id));
    let mut chosen = Vec::new();
    for summary in images {
        let nameless = summary.references.is_empty();
        let fits = dangling.is_none_or(|dangling| dangling == nameless)
            && filters.labels(&summary.labels)
            && before.is_none_or(|before| moment(&summary) < before)
            && since.is_none_or(|since| moment(&summary) > since)
            && until.is_none_or(|until| moment(&summary) < until);
        if !fits {
            continue;
        }
        let names = shown_names(&summary, word, &filters);
        if !names.is_empty() {
            chosen.push(Chosen { summary, names });
        }
    }
    Ok(chosen)
}

fn shown_names(
    summary: &ImageSummary,
    word: Option<&str>,
    filters: &Filters<'_>,
) -> Vec<Option<Reference>> {
    if summary.references.is_empty() {
        let asked = word.is_some() || filters.has("reference");
        return if asked { Vec::new() } else { vec![None] };
    }
    let fits = |reference: &&Reference| {
        word.is_none_or(|word| pattern::fits_reference(word, reference))
            && filters.any("reference", |pattern| {
                pattern::fits_reference(pattern, reference)
            })
    };
    summary
        .references
        .iter()
        .filter(fits)
        .cloned()
        .map(Some)
        .collect()
}

fn dangling(filters: &Filters<'_>) -> Result<Option<bool>, CliError> {
    match filters.values("dangling").last() {
        None => Ok(None),
        Some("true" | "1") => Ok(Some(true)),
        Some("false" | "0") => Ok(Some(false)),
        Some(other) => Err(CliError::invalid(format!(
            "invalid filter 'dangling={other}'"
        ))),
    }
}

/// The moment before which images must be made.
fn until(filters: &Filters<'_>) -> Result<Option<Timestamp>, CliError> {
    let now = SystemTime::now().into();
    let offset = settings::local_offset_seconds();
    let last = filters.values("until").last();
    let moment = last.map(|text| time::parse_since(text, now, offset));
    Ok(moment.transpose()?)
}

fn created_of(engine: &Engine, name: &str) -> Result<Timestamp, CliError> {
    let store = engine.store();
    let id = store.resolve(name).map_err(EngineError::from)?;
    let image = store.image(&id).map_err(EngineError::from)?;
    Ok(made(image.image.created.as_deref()))
}

fn moment(summary: &ImageSummary) -> Timestamp {
    made(summary.created.as_deref())
}

/// When an image was made; zero when it does not say.
pub(super) fn made(created: Option<&str>) -> Timestamp {
    created
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

pub(super) fn row(
    summary: &ImageSummary,
    name: Option<&Reference>,
    now: Timestamp,
    whole: bool,
) -> Row {
    let created = moment(summary);
    let since = if created.is_zero() {
        "N/A".to_owned()
    } else {
        format!("{} ago", duration::human(now.since(created)))
    };
    let size = units::human_size(summary.size);
    Row::new([
        (
            "Repository",
            name.map_or_else(|| NONE.to_owned(), Reference::familiar_name),
        ),
        (
            "Tag",
            name.and_then(Reference::tag).unwrap_or(NONE).to_owned(),
        ),
        (
            "Digest",
            name.and_then(Reference::digest)
                .map_or_else(|| NONE.to_owned(), |digest| digest.to_string()),
        ),
        ("ID", format::image_id(&summary.id, whole)),
        ("CreatedSince", since),
        ("CreatedAt", settings::local_time(created)),
        ("Size", size.clone()),
        ("VirtualSize", size),
        ("SharedSize", "N/A".to_owned()),
        ("UniqueSize", "N/A".to_owned()),
        ("Containers", "N/A".to_owned()),
    ])
}
