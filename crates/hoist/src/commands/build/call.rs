//! `--call`: what is told in place of a build, in BuildKit's tables and under its JSON names.

use std::process::ExitCode;

use hoist_build::{
    BuildError, BuildRequest,
    call::{self, Told},
};
use hoist_dockerfile::{
    Source, Span,
    outline::{Argument, Need, Outline, Target},
};
use serde_json::{Map, Value, json};

use crate::{
    args::check::{Call, Form},
    commands::check,
    error::CliError,
    ui::{self, progress::Style},
};

/// Tell what `call` asks for.
pub(super) fn in_place_of_build(request: &BuildRequest, call: Call) -> Result<ExitCode, CliError> {
    let failed = |error: BuildError| super::explain(&error, Style::Plain);
    let text = match call {
        Call::Check(format) => return check::in_place_of_build(request, format),
        Call::Targets(form) => {
            let told = call::targets(request).map_err(failed)?;
            match form {
                Form::Text => targets(&told.content),
                Form::Json => document(targets_json(&told), &told.source),
            }
        }
        Call::Outline(form) => {
            let told = call::outline(request).map_err(failed)?;
            match form {
                Form::Text => outline(&told.content),
                Form::Json => document(outline_json(&told), &told.source),
            }
        }
    };
    ui::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Columns as wide as their widest cell and `gap` spaces.
fn table(rows: &[Vec<&str>], gap: usize) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0) + gap
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn targets(targets: &[Target]) -> String {
    let name = |target: &Target| match (target.name.as_deref(), target.is_default) {
        (None, true) => "(default)".to_owned(),
        (Some(name), true) => format!("{name} (default)"),
        (name, false) => name.unwrap_or_default().to_owned(),
    };
    let names: Vec<String> = targets.iter().map(name).collect();
    let mut rows = vec![vec!["TARGET", "DESCRIPTION"]];
    for (name, target) in names.iter().zip(targets) {
        rows.push(vec![
            name,
            target.description.as_deref().unwrap_or_default(),
        ]);
    }
    table(&rows, 1)
}

fn outline(outline: &Outline) -> String {
    let mut parts = Vec::new();
    if outline.name.is_some() {
        let name = outline.name.as_deref().unwrap_or_default();
        let mut rows = vec![vec!["TARGET:", name]];
        if let Some(description) = &outline.description {
            rows.push(vec!["DESCRIPTION:", description]);
        }
        parts.push(table(&rows, 2));
    }
    if !outline.arguments.is_empty() {
        let mut rows = vec![vec!["BUILD ARG", "VALUE", "DESCRIPTION"]];
        let text = |text: &'_ Option<String>| text.clone().unwrap_or_default();
        let cells: Vec<[String; 3]> = outline
            .arguments
            .iter()
            .map(|arg| [arg.name.clone(), text(&arg.value), text(&arg.description)])
            .collect();
        rows.extend(
            cells
                .iter()
                .map(|row| row.iter().map(String::as_str).collect()),
        );
        parts.push(table(&rows, 3));
    }
    for (title, needs) in [("SECRET", &outline.secrets), ("SSH", &outline.agents)] {
        if needs.is_empty() {
            continue;
        }
        let mut rows = vec![vec![title, "REQUIRED"]];
        for need in needs {
            rows.push(vec![&need.name, if need.is_required { "true" } else { "" }]);
        }
        parts.push(table(&rows, 3));
    }
    parts.join("\n")
}

fn document(mut value: Value, source: &Source) -> String {
    value["sources"] = json!([check::base64(source.text().as_bytes())]);
    format!("{value:#}\n")
}

fn targets_json(told: &Told<Vec<Target>>) -> Value {
    let target = |target: &Target| {
        let mut value = Map::new();
        put(&mut value, "name", target.name.as_deref());
        if target.is_default {
            value.insert("default".to_owned(), json!(true));
        }
        put(&mut value, "description", target.description.as_deref());
        put(&mut value, "base", Some(&target.base));
        put(&mut value, "platform", target.platform.as_deref());
        value.insert("location".to_owned(), location(&told.source, target.span));
        Value::Object(value)
    };
    json!({ "targets": told.content.iter().map(target).collect::<Vec<_>>() })
}

fn outline_json(told: &Told<Outline>) -> Value {
    let outline = &told.content;
    let argument = |argument: &Argument| {
        let mut value = Map::new();
        put(&mut value, "name", Some(&argument.name));
        put(&mut value, "description", argument.description.as_deref());
        put(&mut value, "value", argument.value.as_deref());
        value.insert("location".to_owned(), location(&told.source, argument.span));
        Value::Object(value)
    };
    let need = |need: &Need| {
        let mut value = Map::new();
        put(&mut value, "name", Some(&need.name));
        if need.is_required {
            value.insert("required".to_owned(), json!(true));
        }
        value.insert("location".to_owned(), location(&told.source, need.span));
        Value::Object(value)
    };
    let mut value = Map::new();
    put(&mut value, "name", outline.name.as_deref());
    put(&mut value, "description", outline.description.as_deref());
    let lists = [
        (
            "args",
            outline.arguments.iter().map(argument).collect::<Vec<_>>(),
        ),
        ("secrets", outline.secrets.iter().map(need).collect()),
        ("ssh", outline.agents.iter().map(need).collect()),
    ];
    for (name, list) in lists {
        if !list.is_empty() {
            value.insert(name.to_owned(), Value::Array(list));
        }
    }
    Value::Object(value)
}

/// A member that is left out when it says nothing.
fn put(value: &mut Map<String, Value>, name: &str, text: Option<&str>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        value.insert(name.to_owned(), json!(text));
    }
}

fn location(source: &Source, span: Span) -> Value {
    let first = source.position(span.start).line;
    let last = source
        .position(span.end.saturating_sub(1).max(span.start))
        .line;
    json!({ "ranges": [{ "start": { "line": first }, "end": { "line": last } }] })
}
