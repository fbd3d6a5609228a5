//! What of a context a build could read, what its ignore file leaves out, and which line decides.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use hoist_dockerfile::ignore::Ignore;
use rustix::io::Errno;

use super::{Context, find_dockerfile};
use crate::{
    error::BuildError,
    request::{BuildRequest, NamedContext},
    tree::{Entry, Kind, Root, filter::Filter, resolve::clean, walk},
};

/// What a context holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextListing {
    /// The name of a `--build-context`; `None` for the build's own.
    pub name: Option<String>,
    /// Its directory.
    pub path: PathBuf,
    /// The ignore file that counts, when there is one.
    pub ignore_file: Option<PathBuf>,
    /// What a COPY can take: files and links, in the order of their paths.
    pub files: Vec<ContextFile>,
    /// What it cannot take: the topmost file or directory of each place that is left out.
    pub ignored: Vec<IgnoredFile>,
}

/// A file of a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextFile {
    /// Below the context.
    pub path: PathBuf,
    /// Its size in bytes; that of what it says for a link.
    pub bytes: u64,
}

/// A file or directory that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoredFile {
    /// Below the context.
    pub path: PathBuf,
    /// It is a directory.
    pub is_directory: bool,
    /// Files in it that are left out; 1 for a file.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The line that decides.
    pub line: PatternLine,
}

/// A line of an ignore file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternLine {
    /// Its number, from 1.
    pub number: usize,
    /// The pattern as written, with its `!`.
    pub pattern: String,
}

/// Why a path is in a context or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextReason {
    /// The path, below the context.
    pub path: PathBuf,
    /// There is such a file.
    pub exists: bool,
    /// A COPY cannot take it.
    pub is_ignored: bool,
    /// The line that decides; `None` when no line is about it.
    pub line: Option<PatternLine>,
    /// The line that would decide without the deciding one being there: what a `!` takes back.
    pub overruled: Option<PatternLine>,
    /// The directory above that the deciding line matches, when it does not match the path itself.
    pub through: Option<PathBuf>,
}

impl ContextListing {
    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// What the contexts of `request` hold: its own first, then the directories among its named ones.
///
/// # Errors
/// A context or an ignore file that cannot be read.
pub fn list_contexts(request: &BuildRequest) -> Result<Vec<ContextListing>, BuildError> {
    let dockerfile = dockerfile(request);
    let mut listings = vec![list(None, &request.context, dockerfile.as_deref())?];
    for (name, context) in &request.contexts {
        if let NamedContext::Directory(path) = context {
            listings.push(list(Some(name), path, None)?);
        }
    }
    Ok(listings)
}

/// The ignore file of the context of `request`, and why each of `paths` is part of the context or
/// is not. A relative path is below the context; an absolute one of this machine must lie in it.
///
/// # Errors
/// A context or an ignore file that cannot be read; a path outside the context.
pub fn why_in_context(
    request: &BuildRequest,
    paths: &[PathBuf],
) -> Result<(Option<PathBuf>, Vec<ContextReason>), BuildError> {
    let (root, ignore) = Context::look(&request.context, dockerfile(request).as_deref())?;
    let nothing = Ignore::default();
    let patterns = ignore.as_ref().map_or(&nothing, |file| &file.patterns);
    let reasons = paths.iter().map(|path| {
        let below = below_context(&request.context, path)?;
        Ok(reason(&root, patterns, below))
    });
    let reasons = reasons.collect::<Result<_, BuildError>>()?;
    Ok((ignore.map(|file| file.path), reasons))
}

/// Where the Dockerfile lies, whether it is there or not: an ignore file may be named after it.
fn dockerfile(request: &BuildRequest) -> Option<PathBuf> {
    if request.dockerfile_text.is_some() {
        return None;
    }
    Some(find_dockerfile(
        &request.context,
        request.dockerfile.as_deref(),
    ))
}

fn below_context(context: &Path, path: &Path) -> Result<PathBuf, BuildError> {
    let outside = || BuildError::Invalid {
        message: format!(
            "{} does not lie in the context {}",
            path.display(),
            context.display()
        ),
        hints: vec!["write it as COPY would: relative to the context".to_owned()],
    };
    if !path.is_absolute() {
        let mut depth = 0_i32;
        for component in path.components() {
            match component {
                std::path::Component::ParentDir => depth -= 1,
                std::path::Component::Normal(_) => depth += 1,
                _ => {}
            }
            if depth < 0 {
                return Err(outside());
            }
        }
        return Ok(clean(&path.to_string_lossy()));
    }
    let real = std::fs::canonicalize(context).map_err(|source| BuildError::Context {
        path: context.to_owned(),
        source,
    })?;
    let below = path
        .strip_prefix(&real)
        .or_else(|_| path.strip_prefix(context));
    below.map(Path::to_owned).map_err(|_| outside())
}

fn reason(root: &Root, patterns: &Ignore, path: PathBuf) -> ContextReason {
    let bytes = path.as_os_str().as_bytes();
    let decision = patterns.decision(bytes);
    let number = decision.as_ref().map(|found| found.line);
    // The first directory on the way for which the same line decides is the one that it matches.
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    let through = above.into_iter().find(|directory| {
        let found = patterns.decision(directory.as_os_str().as_bytes());
        number.is_some() && found.map(|found| found.line) == number
    });
    let line = decision.as_ref().map(|found| PatternLine {
        number: found.line,
        pattern: found.pattern.to_owned(),
    });
    let negated = decision.as_ref().is_some_and(|found| found.negated);
    ContextReason {
        exists: !matches!(root.entry(&path), Err(Errno::NOENT | Errno::NOTDIR)),
        is_ignored: decision.is_some() && !negated,
        overruled: number
            .filter(|_| negated)
            .and_then(|number| overruled(patterns, bytes, number)),
        line,
        through: through.map(Path::to_owned),
        path,
    }
}

/// What would be decided about `path` by the lines before `line`.
fn overruled(patterns: &Ignore, path: &[u8], line: usize) -> Option<PatternLine> {
    let before = patterns.before(line);
    let found = before.decision(path)?;
    Some(PatternLine {
        number: found.line,
        pattern: found.pattern.to_owned(),
    })
}

fn list(
    name: Option<&String>,
    path: &Path,
    dockerfile: Option<&Path>,
) -> Result<ContextListing, BuildError> {
    let (root, ignore) = Context::look(path, dockerfile)?;
    let patterns = ignore.as_ref().map(|file| &file.patterns);
    let start = Path::new("");
    let kept = walk(&root, start, &Filter::ignoring(patterns))?;
    let ignored = match patterns {
        Some(patterns) if !patterns.is_empty() => {
            let all = walk(&root, start, &Filter::ignoring(None))?;
            left_out(&kept, &all, patterns)
        }
        _ => Vec::new(),
    };
    let files = kept.into_iter().filter(|entry| !entry.is_directory());
    Ok(ContextListing {
        name: name.cloned(),
        path: path.to_owned(),
        ignore_file: ignore.map(|file| file.path),
        files: files
            .map(|entry| ContextFile {
                bytes: size(&entry),
                path: entry.path,
            })
            .collect(),
        ignored,
    })
}

fn size(entry: &Entry) -> u64 {
    match &entry.kind {
        Kind::Symlink(target) => target.len() as u64,
        _ => entry.identity.size,
    }
}

/// The topmost entries of `all` that are not among `kept`, with what lies in them.
fn left_out(kept: &[Entry], all: &[Entry], patterns: &Ignore) -> Vec<IgnoredFile> {
    let kept: BTreeSet<&Path> = kept.iter().map(|entry| entry.path.as_path()).collect();
    let mut tops: BTreeMap<&Path, IgnoredFile> = BTreeMap::new();
    for entry in all
        .iter()
        .filter(|entry| !kept.contains(entry.path.as_path()))
    {
        let above = entry.path.ancestors().skip(1);
        let top = above.filter(|path| tops.contains_key(path)).last();
        let counted = u64::from(!entry.is_directory());
        let bytes = if counted == 1 { size(entry) } else { 0 };
        if let Some(found) = top.and_then(|top| tops.get_mut(top)) {
            found.files += counted;
            found.bytes += bytes;
            continue;
        }
        // What is neither kept nor decided about is a directory from which nothing is kept.
        let Some(decision) = patterns.decision(entry.path.as_os_str().as_bytes()) else {
            continue;
        };
        let found = IgnoredFile {
            path: entry.path.clone(),
            is_directory: entry.is_directory(),
            files: counted,
            bytes,
            line: PatternLine {
                number: decision.line,
                pattern: decision.pattern.to_owned(),
            },
        };
        tops.insert(&entry.path, found);
    }
    tops.into_values().collect()
}
