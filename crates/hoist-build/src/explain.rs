//! Why a step is not cached although an earlier build of the same Dockerfile had it.
//!
//! Each build leaves a trail: the key of every step by stage and position. A step that misses is
//! compared, part by part, with the record that the trail has for the same instruction.

use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{Mutex, PoisonError},
};

use hoist_core::Digest;
use serde::{Deserialize, Serialize};

use crate::{cache::Cache, key::Parts, sources::Source, task::printable, tree::below};

/// The most names that a reason lists.
const MOST: usize = 3;

/// Where a step stands: stage number and position in it.
pub(crate) type Position = (usize, usize);

/// One step of an earlier build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    stage: usize,
    position: usize,
    pub(crate) key: Digest,
}

impl Mark {
    /// Where the step stands.
    pub(crate) const fn position(&self) -> Position {
        (self.stage, self.position)
    }
}

/// The keys of the steps of the last build of a Dockerfile, and of this one.
#[derive(Debug)]
pub(crate) struct Trail {
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Read when the first step misses.
    earlier: Option<BTreeMap<Position, Digest>>,
    now: BTreeMap<Position, Digest>,
    changed: bool,
}

impl Trail {
    /// The trail of builds of `dockerfile` in `context`.
    pub(crate) fn new(context: &Path, dockerfile: &Path) -> Self {
        let mut name = context.as_os_str().as_bytes().to_vec();
        name.push(0);
        name.extend(dockerfile.as_os_str().as_bytes());
        Self {
            name: Digest::of(&name).hex(),
            state: Mutex::default(),
        }
    }

    /// Note the key of a step of this build.
    pub(crate) fn note(&self, position: Position, key: Digest) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now.insert(position, key);
    }

    /// Note that a step of this build has to run.
    pub(crate) fn miss(&self, cache: &Cache<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.changed = true;
        state.earlier.get_or_insert_with(|| read(cache, &self.name));
    }

    /// The reason why the step at `position`, whose key is made of `parts`, has to run. `None`
    /// when it is new: no earlier build had it.
    pub(crate) fn reason(
        &self,
        cache: &Cache<'_>,
        position: Position,
        parts: &Parts,
        sources: &[Source],
    ) -> Option<String> {
        let key = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.changed = true;
            let earlier = state.earlier.get_or_insert_with(|| read(cache, &self.name));
            *earlier.get(&position)?
        };
        let record = cache.read(key)?;
        let same = record.parts.key() == parts.key();
        if same {
            return cache.why_gone(&record).map(str::to_owned);
        }
        let files = || cache.read_files(key).unwrap_or_default();
        let text = difference(&record.parts, parts, &files, sources)?;
        // An imported record may say anything.
        Some(printable(&text))
    }

    /// Leave the trail for the next build, when a step of this one had to run.
    pub(crate) fn save(&self, cache: &Cache<'_>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.changed && cache.elsewhere().is_empty() {
            return;
        }
        let mut all = state.earlier.clone().unwrap_or_default();
        all.extend(&state.now);
        if let Ok(bytes) = serde_json::to_vec(&marks(&all)) {
            cache.put(&cache.trail(&self.name), &bytes);
        }
    }

    /// The steps of this build.
    pub(crate) fn marks(&self) -> Vec<Mark> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        marks(&state.now)
    }
}

fn marks(keys: &BTreeMap<Position, Digest>) -> Vec<Mark> {
    let mark = |(&(stage, position), &key)| Mark {
        stage,
        position,
        key,
    };
    keys.iter().map(mark).collect()
}

fn read(cache: &Cache<'_>, name: &str) -> BTreeMap<Position, Digest> {
    let bytes = hoist_sys::atomic::read(&cache.trail(name)).unwrap_or_default();
    let marks: Vec<Mark> = serde_json::from_slice(&bytes).unwrap_or_default();
    let mut earlier = cache.elsewhere().trail();
    // What this machine did itself is nearer, as long as it is still known.
    let is_known = |key| earlier.is_empty() || cache.read(key).is_some();
    let own = marks.into_iter().filter(|mark| is_known(mark.key));
    let own: Vec<_> = own.map(|mark| (mark.position(), mark.key)).collect();
    earlier.extend(own);
    earlier
}

/// The first difference that explains most: the instruction itself, then what it reads, then what
/// it is given, then what it stands on.
fn difference(
    old: &Parts,
    new: &Parts,
    old_files: &dyn Fn() -> String,
    sources: &[Source],
) -> Option<String> {
    if old.get("instruction") != new.get("instruction") {
        return Some("the instruction has changed".to_owned());
    }
    let mut contents = Vec::new();
    let mut others = Vec::new();
    for part in new.iter() {
        let before = old.get(&part.name);
        if before == Some(&part.value) || part.name == "parent" {
            continue;
        }
        let (kind, name) = part.name.split_once(' ').unwrap_or(("", &part.name));
        if kind == "content" {
            contents.push(name.to_owned());
        } else if name == "from" {
            contents.push("what it copies".to_owned());
        } else {
            others.push(described(kind, name, before, &part.value));
        }
    }
    for part in old.iter().filter(|part| new.get(&part.name).is_none()) {
        let (kind, name) = part.name.split_once(' ').unwrap_or(("", &part.name));
        others.push(match kind {
            "content" => format!("{name} is gone"),
            _ => format!("{} is no longer set", label(kind, name)),
        });
    }
    if !contents.is_empty() {
        return Some(content(&contents, &old_files(), sources));
    }
    if !others.is_empty() {
        return Some(listed(&others));
    }
    let parent = old.get("parent") != new.get("parent");
    parent.then(|| "a step before it has changed".to_owned())
}

fn label(kind: &str, name: &str) -> String {
    match kind {
        "" => name.to_owned(),
        kind => format!("{kind} {name}"),
    }
}

fn described(kind: &str, name: &str, before: Option<&str>, now: &str) -> String {
    let label = label(kind, name);
    // The value of a secret is here only as a digest, which tells nobody anything.
    let shown = |value: &str| match value.strip_prefix("sha256:") {
        Some(_) => None,
        None => Some(value.chars().take(60).collect::<String>()),
    };
    match (before.and_then(shown), shown(now)) {
        (Some(before), Some(now)) => format!("{label} changed from \"{before}\" to \"{now}\""),
        (None, Some(now)) if before.is_none() => format!("{label} is new: \"{now}\""),
        _ => format!("{label} has changed"),
    }
}

/// Which files of the copied trees have changed, as far as the earlier build wrote that down.
fn content(names: &[String], old_files: &str, sources: &[Source]) -> String {
    let old: BTreeMap<&str, &str> = old_files
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(digest, path)| (path, digest))
        .collect();
    if old.is_empty() {
        return format!("{} changed", listed(names));
    }
    let now = manifest(sources);
    let now: BTreeMap<&str, &str> = now
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(digest, path)| (path, digest))
        .collect();
    let changed = now.iter().filter_map(|(path, digest)| match old.get(path) {
        Some(before) if before == digest => None,
        Some(_) => Some(format!("{path} changed")),
        None => Some(format!("{path} is new")),
    });
    let gone = old
        .keys()
        .filter(|path| !now.contains_key(*path))
        .map(|path| format!("{path} is gone"));
    let all: Vec<_> = changed.chain(gone).collect();
    if all.is_empty() {
        return format!(
            "{} changed: the mode or owner of a file, or a link",
            listed(names)
        );
    }
    listed(&all)
}

/// The files of `sources` with their digests, a line each. Names with line breaks are left out.
pub(crate) fn manifest(sources: &[Source]) -> String {
    let mut text = String::new();
    for source in sources {
        for entry in &source.entries {
            let Some(digest) = entry.digest else { continue };
            let path = below(&source.name, &entry.path);
            let path = path.to_string_lossy();
            if !path.contains('\n') {
                text.push_str(&digest.hex());
                text.push(' ');
                text.push_str(&path);
                text.push('\n');
            }
        }
    }
    text
}

fn listed(items: &[String]) -> String {
    let shown = items
        .iter()
        .take(MOST)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match items.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(pairs: &[(&str, &str)]) -> Parts {
        let mut parts = Parts::new();
        for (name, value) in pairs {
            parts.push(*name, *value);
        }
        parts
    }

    #[test]
    fn the_part_that_changed_is_named() {
        let old = [
            ("instruction", "COPY . ."),
            ("parent", "1"),
            ("ARG VERSION", "1"),
            ("ARG TOKEN", "sha256:1"),
            ("content a.txt", "x"),
        ];
        let with = |changes: &[(&'static str, &'static str)]| {
            let mut new = old.to_vec();
            for (name, value) in changes {
                match new.iter_mut().find(|(known, _)| known == name) {
                    Some(pair) => pair.1 = value,
                    None => new.push((name, value)),
                }
            }
            difference(&parts(&old), &parts(&new), &String::new, &[])
        };
        type Changes = &'static [(&'static str, &'static str)];
        let table: [(Changes, Option<&str>); 7] = [
            (&[], None),
            (
                &[("instruction", "COPY . /x")],
                Some("the instruction has changed"),
            ),
            (&[("parent", "2")], Some("a step before it has changed")),
            (
                &[("parent", "2"), ("ARG VERSION", "2")],
                Some("ARG VERSION changed from \"1\" to \"2\""),
            ),
            (&[("ARG TOKEN", "sha256:2")], Some("ARG TOKEN has changed")),
            (&[("ENV NEW", "1")], Some("ENV NEW is new: \"1\"")),
            (
                &[("content a.txt", "y"), ("parent", "2")],
                Some("a.txt changed"),
            ),
        ];
        for (changes, reason) in table {
            assert_eq!(with(changes).as_deref(), reason, "{changes:?}");
        }
        let fewer = difference(&parts(&old), &parts(&old[..4]), &String::new, &[]);
        assert_eq!(fewer.as_deref(), Some("a.txt is gone"));
    }
}
