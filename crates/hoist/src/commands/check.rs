//! `check`: what a Dockerfile and its context could do better, without building.

mod diff;
mod explain;
mod fix;
mod json;
mod pin;
mod sarif;
mod text;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use hoist_build::{
    BuildRequest,
    check::{self, Checked},
};
use hoist_dockerfile::lint::{Author, Finding, Page, Rule};
use hoist_store::Store;

pub(super) use json::base64;

use super::build;
use crate::{
    args::check::{CheckFlags, Format},
    cli::Call,
    error::CliError,
    settings,
    ui::{self, progress::Style},
};

/// For `--help`.
pub(crate) const EXAMPLES: &str = "
  Check the Dockerfile of this directory, and what COPY would take from here:
    hoist check

  Repair what is safe to repair:
    hoist check --fix -f docker/Dockerfile .

  Say more about a finding:
    hoist check --explain UserCannotRead

  For a tool that shows findings beside the code:
    hoist check --format sarif > findings.sarif
";

/// `check [OPTIONS] [PATH]`.
pub(crate) fn check(
    _: &Call<'_>,
    flags: &CheckFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    if let Some(name) = &flags.explain {
        return explain::explain(name);
    }
    let request = request(flags, words.first().map_or(".", String::as_str))?;
    let store = store();
    let mut checked = check::check(store.as_ref(), &request).map_err(|error| failure(&error))?;
    let format = flags.format.unwrap_or_default();
    if flags.fix {
        let changes = fix::fix(store.as_ref(), &request, &checked)?;
        match format {
            Format::Text => ui::out(&changes)?,
            Format::Json | Format::Sarif => ui::error(&changes),
        }
        if !changes.is_empty() {
            checked = check::check(store.as_ref(), &request).map_err(|error| failure(&error))?;
        }
    }
    let found = !checked.report.findings.is_empty();
    report(&checked, &request, format, found)
}

/// `build --check`: the exit code tells of Docker's checks alone, so that what passes with Docker
/// passes here.
pub(super) fn in_place_of_build(
    request: &BuildRequest,
    format: Format,
) -> Result<ExitCode, CliError> {
    let store = store();
    let checked = check::check(store.as_ref(), request).map_err(|error| failure(&error))?;
    let findings = checked.report.findings.iter();
    let found = findings.filter(|finding| finding.rule.author != Author::Hoist);
    report(&checked, request, format, found.count() > 0)
}

/// Show what was found. The exit code is 1 when that `counts`, or when nothing can be built.
fn report(
    checked: &Checked,
    request: &BuildRequest,
    format: Format,
    counts: bool,
) -> Result<ExitCode, CliError> {
    let shown = match format {
        Format::Text => text::render(checked),
        Format::Json => json::render(checked),
        Format::Sarif => sarif::render(checked, &name_of(request)),
    };
    ui::out(&shown)?;
    let violated: Vec<&str> = checked.report.violated().into_iter().collect();
    match &checked.error {
        Some(error) if format == Format::Text => Err(failure(error)),
        None if format == Format::Text && !violated.is_empty() => Err(CliError::invalid(format!(
            "lint violation found for rules: {}",
            violated.join(", ")
        ))),
        error => Ok(ExitCode::from(u8::from(error.is_some() || counts))),
    }
}

fn failure(error: &hoist_build::BuildError) -> CliError {
    build::explain(error, Style::Plain)
}

fn request(flags: &CheckFlags, path: &str) -> Result<BuildRequest, CliError> {
    let from_stdin = flags.file.as_deref() == Some(Path::new("-"));
    if from_stdin && flags.fix {
        return Err(CliError::invalid(
            "a Dockerfile from standard input cannot be repaired in place",
        )
        .hint("write it into a file, then: hoist check --fix -f FILE"));
    }
    Ok(BuildRequest {
        context: PathBuf::from(path),
        dockerfile: flags.file.clone().filter(|_| !from_stdin),
        dockerfile_text: from_stdin.then(build::inputs::read_stdin).transpose()?,
        build_args: build::arguments(&flags.build_arg),
        target: flags.target.clone(),
        platform: flags.platform.clone(),
        ..BuildRequest::default()
    })
}

/// The images of this machine, if there are any: a check makes no data root.
fn store() -> Option<Store> {
    let settings = settings::engine().ok()?;
    let format = settings.root.join("format.json");
    format.exists().then(|| Store::open(&settings.root).ok())?
}

/// The Dockerfile as the user named it.
fn name_of(request: &BuildRequest) -> PathBuf {
    if request.dockerfile_text.is_some() {
        return PathBuf::from("Dockerfile");
    }
    let named = request.dockerfile.clone();
    let path = named.unwrap_or_else(|| request.context.join("Dockerfile"));
    path.strip_prefix(".").map(Path::to_owned).unwrap_or(path)
}

/// Everything that is known about all rules.
fn pages() -> impl Iterator<Item = &'static Page> {
    hoist_dockerfile::lint::PAGES.iter().chain(check::PAGES)
}

/// Where to read more about a rule.
fn reference(rule: &Rule) -> String {
    rule.url()
        .unwrap_or_else(|| format!("hoist check --explain {}", rule.name))
}

/// First and last line of a finding.
fn lines(checked: &Checked, finding: &Finding) -> (usize, usize) {
    let span = finding.diagnostic.span;
    let first = checked.source.position(span.start).line;
    let end = span.end.saturating_sub(1).max(span.start);
    (first, checked.source.position(end).line)
}
