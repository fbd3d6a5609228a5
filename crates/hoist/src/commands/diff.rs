//! `diff` and `image diff`: what a container changed, and in what two images differ.

use std::process::ExitCode;

use hoist_core::units;
use hoist_engine::image::{Aspect, ChangeKind, Difference, FieldChange, FileChange, Times};
use serde_json::{Value, json};

use crate::{
    args::{NoFlags, store::ImageDiffFlags},
    cli::Call,
    error::CliError,
    format, settings, ui,
};

/// For `--help` of `image diff`.
pub(crate) const EXAMPLES: &str = "
  What did the update of the base image change?
    hoist image diff my-api:1.0 my-api:1.1

  What has a container changed in its image, byte for byte?
    hoist image diff my-api:1.0 my-container
";

/// `diff CONTAINER`.
pub(crate) fn container(
    call: &Call<'_>,
    _: &NoFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let engine = call.working_engine()?;
    let changes = engine.changes(&engine.find(&words[0])?)?;
    let line = |(kind, path): &(ChangeKind, std::path::PathBuf)| {
        format!("{} {}\n", kind.letter(), path.display())
    };
    ui::out(&changes.iter().map(line).collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

/// `image diff [OPTIONS] IMAGE|CONTAINER IMAGE|CONTAINER`.
pub(crate) fn images(
    call: &Call<'_>,
    flags: &ImageDiffFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let engine = call.working_engine()?;
    let times = if flags.mtime {
        Times::Compared
    } else {
        Times::Ignored
    };
    let difference = engine.compare(&words[0], &words[1], times)?;
    if flags.format.is_some() {
        ui::line(&format::indented(&document(&difference)))?;
    } else {
        ui::out(&text(&difference))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(difference: &Difference) -> String {
    let mut text = String::new();
    if !difference.config.is_empty() {
        text.push_str("Configuration:\n");
        text.extend(difference.config.iter().map(field_line));
        text.push('\n');
    }
    if !difference.files.is_empty() {
        text.push_str("Files:\n");
        text.extend(difference.files.iter().map(file_line));
        text.push('\n');
    }
    text.push_str(&summary(difference));
    text
}

fn field_line(change: &FieldChange) -> String {
    let shown = |value: &Option<Value>| match value {
        None => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    format!(
        "  {}: {} -> {}\n",
        change.field,
        shown(&change.before),
        shown(&change.after)
    )
}

fn file_line(change: &FileChange) -> String {
    let detail = match change.kind {
        ChangeKind::Added => units::human_size(change.after),
        ChangeKind::Deleted => units::human_size(change.before),
        ChangeKind::Changed => {
            let words = change
                .aspects
                .iter()
                .map(|aspect| aspect_words(aspect, change));
            words.collect::<Vec<_>>().join(", ")
        }
    };
    format!(
        "  {} {}  {detail}\n",
        change.kind.letter(),
        change.path.display()
    )
}

fn aspect_words(aspect: &Aspect, change: &FileChange) -> String {
    match aspect {
        Aspect::Type(before, after) => format!("{before} -> {after}"),
        Aspect::Content if change.before == change.after => "content".to_owned(),
        Aspect::Content => format!(
            "content ({} -> {})",
            units::human_size(change.before),
            units::human_size(change.after)
        ),
        Aspect::Mode(before, after) => format!("mode {before:04o} -> {after:04o}"),
        Aspect::Owner(before, after) => {
            format!("owner {}:{} -> {}:{}", before.0, before.1, after.0, after.1)
        }
        Aspect::Attributes(names) => format!("attributes {}", names.join(" ")),
        Aspect::Modified(before, after) => {
            let shown = |seconds: i64| {
                settings::local_rfc3339(hoist_core::time::Timestamp::from_seconds(seconds))
            };
            format!("time {} -> {}", shown(*before), shown(*after))
        }
    }
}

fn summary(difference: &Difference) -> String {
    if difference.config.is_empty() && difference.files.is_empty() {
        return "No differences\n".to_owned();
    }
    let count = |kind| {
        let of_kind = difference.files.iter().filter(|change| change.kind == kind);
        let bytes: u64 = of_kind
            .clone()
            .map(|change| match kind {
                ChangeKind::Deleted => change.before,
                _ => change.after,
            })
            .sum();
        (of_kind.count(), units::human_size(bytes))
    };
    let (added, added_bytes) = count(ChangeKind::Added);
    let (changed, _) = count(ChangeKind::Changed);
    let (deleted, deleted_bytes) = count(ChangeKind::Deleted);
    format!(
        "{added} added ({added_bytes}), {changed} changed, {deleted} deleted ({deleted_bytes}); \
         {} of the configuration\n",
        match difference.config.len() {
            1 => "1 field".to_owned(),
            fields => format!("{fields} fields"),
        }
    )
}

fn document(difference: &Difference) -> Value {
    let config = difference.config.iter().map(
        |change| json!({ "Field": change.field, "Before": change.before, "After": change.after }),
    );
    let files = difference.files.iter().map(|change| {
        let aspects = change.aspects.iter().map(aspect_document);
        json!({
            "Kind": word(change.kind),
            "Path": change.path,
            "Before": change.before,
            "After": change.after,
            "Differs": aspects.collect::<Vec<_>>(),
        })
    });
    json!({
        "Config": config.collect::<Vec<_>>(),
        "Files": files.collect::<Vec<_>>(),
    })
}

fn aspect_document(aspect: &Aspect) -> Value {
    match aspect {
        Aspect::Type(before, after) => json!({"What": "type", "Before": before, "After": after}),
        Aspect::Content => json!({"What": "content"}),
        Aspect::Mode(before, after) => json!({
            "What": "mode", "Before": format!("{before:04o}"), "After": format!("{after:04o}"),
        }),
        Aspect::Owner(before, after) => json!({
            "What": "owner",
            "Before": format!("{}:{}", before.0, before.1),
            "After": format!("{}:{}", after.0, after.1),
        }),
        Aspect::Attributes(names) => json!({"What": "attributes", "Names": names}),
        Aspect::Modified(before, after) => {
            json!({"What": "mtime", "Before": before, "After": after})
        }
    }
}

/// The word for a kind in documents.
pub(super) const fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "added",
        ChangeKind::Changed => "changed",
        ChangeKind::Deleted => "deleted",
    }
}
