//! `inspect`: Docker's documents about containers and images.

use std::process::ExitCode;

use hoist_core::{Describe as _, Kind};
use hoist_engine::{Engine, EngineError};
use serde_json::Value;

use crate::{
    args::lifecycle::{InspectFlags, InspectImageFlags, InspectOneFlags},
    cli::Call,
    error::{CliError, Failure},
    format, ui,
};

/// `inspect [OPTIONS] NAME|ID [NAME|ID...]`.
pub(crate) fn inspect(
    call: &Call<'_>,
    flags: &InspectFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let size = flags.size;
    let find = |engine: &Engine, name: &str| match flags.kind.as_deref() {
        None | Some("") => match container_document(engine, name, size) {
            Err(error) if error.kind() == Kind::NotFound => image_document(engine, name),
            other => other,
        },
        Some("container") => container_document(engine, name, size),
        Some(_) => image_document(engine, name),
    };
    let kind = match flags.kind.as_deref() {
        None | Some("") => "object",
        Some(kind @ ("container" | "image")) => kind,
        Some(other) => {
            return Err(CliError::invalid(format!(
                "unknown type: {other:?}: must be one of \"container\", \"image\""
            )));
        }
    };
    documents(call, words, flags.format.as_deref(), kind, find)
}

/// `container inspect`.
pub(crate) fn container(
    call: &Call<'_>,
    flags: &InspectOneFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    documents(
        call,
        words,
        flags.format.as_deref(),
        "container",
        |engine, name| container_document(engine, name, false),
    )
}

/// `image inspect`.
pub(crate) fn image(
    call: &Call<'_>,
    flags: &InspectImageFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let wanted = flags.platform.as_ref();
    documents(
        call,
        words,
        flags.format.as_deref(),
        "image",
        |engine, name| {
            if wanted.is_some() {
                let store = engine.store();
                let stored = store.image(&store.resolve(name)?)?;
                hoist_engine::image::fits_platform(name, &stored.image.platform, wanted)?;
            }
            image_document(engine, name)
        },
    )
}

fn container_document(engine: &Engine, name: &str, size: bool) -> Result<Value, EngineError> {
    let container = engine.find(name)?;
    let mut document = engine.inspect(&container);
    if size && let Some(fields) = document.as_object_mut() {
        let writable = engine.writable_size(&container)?;
        let image = engine
            .store()
            .image(&container.record.image)
            .map_or(0, |image| image.size);
        fields.insert("SizeRw".to_owned(), writable.into());
        fields.insert("SizeRootFs".to_owned(), (writable + image).into());
    }
    Ok(document)
}

fn image_document(engine: &Engine, name: &str) -> Result<Value, EngineError> {
    engine.inspect_image(name)
}

/// Fields that Docker's documents leave out where there is nothing to say, but that templates may
/// ask for.
const OPTIONAL: &[(&str, &str)] = &[
    ("State", "Health"),
    ("Config", "Healthcheck"),
    ("Config", "Entrypoint"),
    ("Config", "Cmd"),
    ("Config", "ExposedPorts"),
    ("Config", "Labels"),
    ("Config", "OnBuild"),
    ("Config", "Shell"),
    ("Config", "StopSignal"),
    ("Config", "User"),
    ("Config", "Volumes"),
    ("Config", "WorkingDir"),
];

/// The document with null for each optional field that it leaves out.
fn with_optional_fields(mut document: Value) -> Value {
    for (object, field) in OPTIONAL {
        if let Some(fields) = document.get_mut(object).and_then(Value::as_object_mut) {
            fields.entry(*field).or_insert(Value::Null);
        }
    }
    document
}

/// Print the documents of all names that there are, then an error for each other name.
fn documents(
    call: &Call<'_>,
    names: &[String],
    template: Option<&str>,
    kind: &str,
    find: impl Fn(&Engine, &str) -> Result<Value, EngineError>,
) -> Result<ExitCode, CliError> {
    let engine = call.engine()?;
    let mut found = Vec::new();
    let mut failures = Vec::new();
    for name in names {
        match find(&engine, name) {
            Ok(document) => found.push(document),
            Err(error) if error.kind() == Kind::NotFound => {
                let message = format!("No such {kind}: {name}");
                failures.push(Failure {
                    kind: Kind::NotFound,
                    message,
                    hints: error.hints(),
                });
            }
            Err(error) => failures.push(Failure::from_error(&error)),
        }
    }
    match template {
        None | Some("") => ui::line(&format::indented(&Value::Array(found)))?,
        Some("json") => ui::line(&Value::Array(found).to_string())?,
        Some(template) => {
            for document in found {
                let document = with_optional_fields(document);
                ui::out(&format::document(&document, Some(template))?)?;
            }
        }
    }
    for failure in &failures {
        ui::error(&failure.text("Error"));
    }
    Ok(if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
