//! What the sources of a COPY are: found, listed, digested.

use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use hoist_core::Digest;
use hoist_dockerfile::{glob, ignore::Ignore, suggest::nearest};
use rustix::io::Errno;

use crate::{
    context::Context,
    error::BuildError,
    execute::archive::{self, Sort},
    plan::CopyAction,
    tree::{
        Entry, Root,
        digest::{digest, read_files},
        filter::Filter,
        resolve::{Found, clean, resolve, shown},
        walk,
    },
};

/// One file or tree that a COPY copies.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its last component names the copy of a file.
    pub(crate) name: PathBuf,
    /// Where it lies.
    pub(crate) start: PathBuf,
    pub(crate) entries: Vec<Entry>,
    /// An archive to unpack.
    pub(crate) is_archive: bool,
    /// What it holds, by name, mode, owner and content.
    pub(crate) digest: Digest,
    /// Which argument of the instruction it is, from 0.
    pub(crate) argument: usize,
}

impl Source {
    /// How the cache record calls it.
    pub(crate) fn label(&self) -> String {
        if self.name.as_os_str().is_empty() {
            ".".to_owned()
        } else {
            self.name.display().to_string()
        }
    }
}

/// Where sources are looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) root: &'a Root,
    /// The context, when it is that: its ignore file and memory.
    pub(crate) context: Option<&'a Context>,
    pub(crate) cancelled: &'a AtomicBool,
}

/// Find and digest all sources of `action`.
pub(crate) fn gather(action: &CopyAction, place: Place<'_>) -> Result<Vec<Source>, BuildError> {
    let mut sources = Vec::new();
    for (argument, text) in action.sources.iter().enumerate() {
        if action
            .remotes
            .iter()
            .any(|remote| remote.argument == argument)
        {
            continue;
        }
        let first = sources.len();
        find(text, action, place, &mut sources)?;
        for source in &mut sources[first..] {
            source.argument = argument;
        }
    }
    Ok(sources)
}

/// Find and digest what one argument of `action` means.
fn find(
    text: &str,
    action: &CopyAction,
    place: Place<'_>,
    sources: &mut Vec<Source>,
) -> Result<(), BuildError> {
    if action.options.parents {
        sources.push(with_parents(text, action, place)?);
        return Ok(());
    }
    let found = resolve(place.root, text)?;
    let is_pattern = glob::has_wildcards(text);
    if found.is_empty() && !is_pattern {
        return Err(missing(text, place));
    }
    for found in found {
        match one(&found, action, place)? {
            Some(source) => sources.push(source),
            None if is_pattern => {}
            None => return Err(missing(text, place)),
        }
    }
    Ok(())
}

fn bad_pattern(message: String) -> BuildError {
    BuildError::Invalid {
        message,
        hints: Vec::new(),
    }
}

/// One source that was found; `None` when nothing of it is wanted.
fn one(found: &Found, action: &CopyAction, place: Place<'_>) -> Result<Option<Source>, BuildError> {
    let mut filter = Filter::ignoring(place.context.and_then(Context::patterns));
    if !action.exclude.is_empty() {
        let patterns = action.exclude.iter().map(String::as_str);
        let exclude = Ignore::from_patterns(patterns).map_err(bad_pattern)?;
        if let Some(name) = found.name.file_name()
            && exclude.is_ignored(name.as_encoded_bytes())
        {
            return Ok(None);
        }
        filter = filter.excluding(&action.exclude).map_err(bad_pattern)?;
    }
    let entries = walk(place.root, &found.path, &filter)?;
    if entries.is_empty() {
        return Ok(None);
    }
    finish(
        found.name.clone(),
        found.path.clone(),
        entries,
        action,
        place,
    )
    .map(Some)
}

/// A source of `COPY --parents`: everything below the pivot `/./` (or the root) that matches.
fn with_parents(text: &str, action: &CopyAction, place: Place<'_>) -> Result<Source, BuildError> {
    let (pivot, pattern) = text.split_once("/./").unwrap_or(("", text));
    let pattern = clean(pattern);
    let pivot_found = resolve(place.root, pivot)?;
    let Some(pivot_found) = pivot_found.into_iter().next() else {
        return Err(missing(pivot, place));
    };
    let mut filter = Filter::ignoring(place.context.and_then(Context::patterns))
        .excluding(&action.exclude)
        .map_err(bad_pattern)?;
    if !pattern.as_os_str().is_empty() {
        filter = filter
            .only(&pattern.to_string_lossy())
            .map_err(bad_pattern)?;
    }
    let entries = walk(place.root, &pivot_found.path, &filter)?;
    if entries.len() <= 1 && !glob::has_wildcards(text) {
        return Err(missing(text, place));
    }
    finish(clean(text), pivot_found.path, entries, action, place)
}

fn finish(
    name: PathBuf,
    start: PathBuf,
    mut entries: Vec<Entry>,
    action: &CopyAction,
    place: Place<'_>,
) -> Result<Source, BuildError> {
    let memory = place.context.map(|context| &context.memory);
    read_files(place.root, &start, &mut entries, memory, place.cancelled)?;
    let mut is_archive = false;
    let is_file = entries
        .first()
        .is_some_and(|entry| entry.kind == crate::tree::Kind::File);
    if action.options.unpack && is_file {
        is_archive = archive::sort(place.root, &start)? == Sort::Archive;
    }
    let digest = digest(&entries);
    Ok(Source {
        name,
        start,
        entries,
        is_archive,
        digest,
        argument: 0,
    })
}

/// The error about a source that is not there, with the most helpful hint that can be found.
fn missing(text: &str, place: Place<'_>) -> BuildError {
    let path = clean(text);
    BuildError::MissingSource {
        path: shown(&path),
        hints: hints(text, &path, place),
    }
}

fn hints(text: &str, path: &Path, place: Place<'_>) -> Vec<String> {
    let Some(context) = place.context else {
        return similar(path, place).into_iter().collect();
    };
    if leads_out(text) {
        return vec![format!(
            "{text} lies outside the build context {}; move it inside, or build with a directory \
             above as context",
            context.root.display(Path::new("")).display()
        )];
    }
    match place.root.follow(path) {
        Ok(_) => context.why_ignored(path).into_iter().collect(),
        Err(Errno::NOENT) if place.root.entry(path).is_ok() => {
            vec![format!(
                "{} is a symbolic link that leads out of the build context, or nowhere",
                shown(path)
            )]
        }
        Err(_) => {
            let mut hints: Vec<_> = similar(path, place).into_iter().collect();
            if text.starts_with('/') && Path::new(text).exists() {
                hints.push(format!(
                    "COPY reads the build context only, not {text} of this machine: copy it into {}",
                    context.root.display(Path::new("")).display()
                ));
            }
            hints
        }
    }
}

/// True when `..` of `text` leads above the root.
fn leads_out(text: &str) -> bool {
    let mut depth = 0_i32;
    for name in text.split('/') {
        match name {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return true;
        }
    }
    false
}

/// A file beside `path` with nearly the same name.
fn similar(path: &Path, place: Place<'_>) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let parent = path.parent().unwrap_or(Path::new(""));
    let entries = crate::tree::names_in(place.root, parent).ok()?;
    let names: Vec<_> = entries.iter().filter_map(|name| name.to_str()).collect();
    let same = names.iter().find(|known| known.eq_ignore_ascii_case(name));
    let found = same
        .copied()
        .or_else(|| nearest(name, names.iter().copied()))?;
    Some(format!("did you mean {}?", parent.join(found).display()))
}
