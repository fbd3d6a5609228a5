//! `context`: what a build could read from its context, and which line of the ignore file decides.
//!
//! Docker's `context` is about daemons, of which hoist has none. `ls` of a script that asks as
//! `docker` gets the one answer that there is: `default`. The verbs that change daemons are refused.

mod daemon;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use hoist_build::{
    BuildRequest, ContextListing, ContextReason, NamedContext, PatternLine, list_contexts,
    why_in_context,
};
use hoist_core::units::human_size;
use serde_json::{Value, json};

pub(crate) use self::daemon::refuse;
use super::build;
use crate::{
    args::context::{ContextListFlags, ContextWhyFlags, Form},
    cli::Call,
    error::CliError,
    ui::{self, progress::Style},
};

/// For `--help`.
pub(crate) const LIST_EXAMPLES: &str = "
  What COPY could take from this directory:
    hoist context ls .

  What .dockerignore leaves out, and by which line:
    hoist context ls --ignored .
";

/// For `--help`.
pub(crate) const WHY_EXAMPLES: &str = "
  Which line decides about these paths:
    hoist context why .env src/app.pyc
";

/// So many of the largest files are named.
const LARGEST: usize = 3;

/// `context ls [OPTIONS] [PATH]`.
pub(crate) fn list(
    call: &Call<'_>,
    flags: &ContextListFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    if words.is_empty() && call.program == "docker" {
        return daemon::list(flags);
    }
    let path = words.first().map_or(".", String::as_str);
    let request = request(path.into(), flags.file.as_ref(), &flags.build_context)?;
    let listings = list_contexts(&request).map_err(|error| build::explain(&error, Style::Plain))?;
    match flags.format.unwrap_or_default() {
        Form::Json => ui::out(&format!("{:#}\n", listing_json(&listings)))?,
        Form::Text => {
            for listing in &listings {
                ui::out(&lines(listing, flags))?;
                if !flags.quiet {
                    ui::error(&summary(listing));
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `context why [OPTIONS] PATH…`.
pub(crate) fn why(
    _: &Call<'_>,
    flags: &ContextWhyFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let context = flags.context.clone().unwrap_or_else(|| ".".into());
    let request = request(context, flags.file.as_ref(), &flags.build_context)?;
    let mut answers = Vec::new();
    for word in words {
        let (label, request, path) = in_context(&request, word);
        let found = why_in_context(&request, &[path]);
        let (file, reasons) = found.map_err(|error| build::explain(&error, Style::Plain))?;
        answers.extend(reasons.into_iter().map(|reason| Answer {
            label: label.clone(),
            file: file.clone(),
            reason,
        }));
    }
    match flags.format.unwrap_or_default() {
        Form::Json => {
            let answers: Vec<Value> = answers.iter().map(Answer::json).collect();
            ui::out(&format!("{:#}\n", Value::Array(answers)))?;
        }
        Form::Text => ui::out(&answers.iter().map(Answer::text).collect::<String>())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn request(
    context: PathBuf,
    file: Option<&PathBuf>,
    contexts: &[(String, NamedContext)],
) -> Result<BuildRequest, CliError> {
    if context == Path::new("-") || file.is_some_and(|file| file == Path::new("-")) {
        return Err(CliError::invalid(
            "a context is listed where it lies: standard input holds none",
        ));
    }
    Ok(BuildRequest {
        context,
        dockerfile: file.cloned(),
        contexts: contexts.iter().cloned().collect(),
        ..BuildRequest::default()
    })
}

/// The context that `word` is about, and the path in it: `name:path` is one of a named context.
fn in_context(request: &BuildRequest, word: &str) -> (String, BuildRequest, PathBuf) {
    let named = word
        .split_once(':')
        .and_then(|(name, path)| match request.contexts.get(name)? {
            NamedContext::Directory(directory) => Some((directory.clone(), path)),
            _ => None,
        });
    match named {
        Some((directory, path)) => {
            let request = BuildRequest {
                context: directory,
                ..BuildRequest::default()
            };
            (word.to_owned(), request, PathBuf::from(path))
        }
        None => (word.to_owned(), request.clone(), PathBuf::from(word)),
    }
}

/// A path as it is shown: without what moves the cursor.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    if text.chars().any(char::is_control) {
        text.escape_debug().to_string()
    } else {
        text
    }
}

fn lines(listing: &ContextListing, flags: &ContextListFlags) -> String {
    let prefix = listing.name.as_ref().map(|name| format!("{name}:"));
    let prefix = prefix.unwrap_or_default();
    let mut rows: Vec<(String, String)> = Vec::new();
    if flags.ignored {
        for found in &listing.ignored {
            let slash = if found.is_directory { "/" } else { "" };
            let mut text = format!("{prefix}{}{slash}", shown(&found.path));
            if !flags.quiet {
                let place = place(listing.ignore_file.as_deref(), &found.line);
                let _ = write!(text, "  ({place})");
            }
            rows.push((human_size(found.bytes), text));
        }
    } else {
        let files = listing.files.iter();
        rows.extend(files.map(|file| {
            let path = format!("{prefix}{}", shown(&file.path));
            (human_size(file.bytes), path)
        }));
    }
    let width = rows.iter().map(|(size, _)| size.len()).max().unwrap_or(0);
    let line = |(size, text): &(String, String)| {
        if flags.quiet {
            format!("{text}\n")
        } else {
            format!("{size:>width$}  {text}\n")
        }
    };
    rows.iter().map(line).collect()
}

/// `.dockerignore:3: **/*.pyc`.
fn place(file: Option<&Path>, line: &PatternLine) -> String {
    let file = file.map_or_else(|| ".dockerignore".to_owned(), as_written);
    format!("{file}:{}: {}", line.number, line.pattern)
}

/// The path of an ignore file as people write it.
fn as_written(file: &Path) -> String {
    file.strip_prefix(".").unwrap_or(file).display().to_string()
}

fn summary(listing: &ContextListing) -> String {
    let count = |count: u64| format!("{count} file{}", if count == 1 { "" } else { "s" });
    let name = listing.name.as_ref().map(|name| format!("{name}: "));
    let mut text = format!(
        "\n{}{}, {} of {}",
        name.unwrap_or_default(),
        count(listing.files.len() as u64),
        human_size(listing.bytes()),
        listing.path.display(),
    );
    let mut largest: Vec<_> = listing.files.iter().collect();
    largest.sort_by_key(|file| (std::cmp::Reverse(file.bytes), &file.path));
    let largest: Vec<String> = largest
        .into_iter()
        .take(LARGEST)
        .map(|file| format!("{} {}", shown(&file.path), human_size(file.bytes)))
        .collect();
    if !largest.is_empty() {
        let _ = write!(text, "; the largest: {}", largest.join(", "));
    }
    text.push('\n');
    let files: u64 = listing.ignored.iter().map(|found| found.files).sum();
    let bytes: u64 = listing.ignored.iter().map(|found| found.bytes).sum();
    match &listing.ignore_file {
        None => text.push_str("there is no .dockerignore: nothing is left out\n"),
        Some(file) => {
            let _ = writeln!(
                text,
                "{} leaves out {}, {}",
                as_written(file),
                count(files),
                human_size(bytes)
            );
        }
    }
    text
}

fn listing_json(listings: &[ContextListing]) -> Value {
    let one = |listing: &ContextListing| {
        let files = listing.files.iter();
        let ignored = listing.ignored.iter();
        json!({
            "name": listing.name,
            "path": listing.path,
            "ignore_file": listing.ignore_file,
            "bytes": listing.bytes(),
            "files": files
                .map(|file| json!({ "path": file.path.to_string_lossy(), "bytes": file.bytes }))
                .collect::<Vec<_>>(),
            "ignored": ignored
                .map(|found| json!({
                    "path": found.path.to_string_lossy(),
                    "directory": found.is_directory,
                    "files": found.files,
                    "bytes": found.bytes,
                    "line": found.line.number,
                    "pattern": found.line.pattern,
                }))
                .collect::<Vec<_>>(),
        })
    };
    Value::Array(listings.iter().map(one).collect())
}

/// What is known of one word of `context why`.
struct Answer {
    label: String,
    file: Option<PathBuf>,
    reason: ContextReason,
}

impl Answer {
    fn text(&self) -> String {
        let reason = &self.reason;
        let place = |line| place(self.file.as_deref(), line);
        let through = match &reason.through {
            Some(directory) => format!(", which matches the directory {}", shown(directory)),
            None => String::new(),
        };
        let mut text = match (&reason.line, reason.is_ignored) {
            (Some(line), true) => format!("left out by {}{through}", place(line)),
            (Some(line), false) => {
                let before = match &reason.overruled {
                    Some(line) => format!(", which takes back what {} leaves out", place(line)),
                    None => String::new(),
                };
                format!("included by {}{through}{before}", place(line))
            }
            (None, _) => match &self.file {
                Some(file) => format!("included: no line of {} is about it", as_written(file)),
                None => "included: there is no .dockerignore".to_owned(),
            },
        };
        if !reason.exists {
            text.push_str(" (there is no such file)");
        }
        format!("{}: {text}\n", shown(Path::new(&self.label)))
    }

    fn json(&self) -> Value {
        let reason = &self.reason;
        let line = |line: &Option<PatternLine>| {
            let line = line.as_ref();
            line.map(|line| json!({ "line": line.number, "pattern": line.pattern }))
        };
        json!({
            "path": reason.path.to_string_lossy(),
            "exists": reason.exists,
            "ignored": reason.is_ignored,
            "ignore_file": self.file,
            "decided_by": line(&reason.line),
            "overruled": line(&reason.overruled),
            "through": reason.through.as_ref().map(|path| path.to_string_lossy()),
        })
    }
}
