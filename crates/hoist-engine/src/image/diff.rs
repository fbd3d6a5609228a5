//! Two images, or an image and a container, compared: their configurations and their files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read as _,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use hoist_core::{Describe as _, Digest, Kind, image::Image};
use hoist_store::{EntryKind, TreeEntry, tree_entries};
use rustix::fs::{Mode, OFlags};
use serde_json::Value;

use super::layers::ChangeKind;
use crate::{
    error::EngineError,
    root::Engine,
    views::{listable, open_directory},
};

/// What differs between two sides.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Fields of the configuration, in the order of their names.
    pub config: Vec<FieldChange>,
    /// Files, in the order of their paths.
    pub files: Vec<FileChange>,
}

/// A field of the configuration that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    /// `Cmd`, `Env PATH`, `Labels org.example.a`, `platform`.
    pub field: String,
    /// Its value on the first side.
    pub before: Option<Value>,
    /// Its value on the second side.
    pub after: Option<Value>,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// What became of it from the first side to the second.
    pub kind: ChangeKind,
    /// From `/`.
    pub path: PathBuf,
    /// Its bytes on the first side.
    pub before: u64,
    /// Its bytes on the second side.
    pub after: u64,
    /// What differs, when it is on both sides.
    pub aspects: Vec<Aspect>,
}

/// In what a file of two sides differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aspect {
    /// One is a file, the other a directory, or the like.
    Type(&'static str, &'static str),
    /// The bytes of a file, the target of a link, the number of a device.
    Content,
    /// Permission bits, before and after.
    Mode(u32, u32),
    /// Numbers of user and group, before and after.
    Owner((u32, u32), (u32, u32)),
    /// Extended attributes that are not the same, by name.
    Attributes(Vec<String>),
    /// Modification times in seconds since 1970, before and after.
    Modified(i64, i64),
}

/// What is compared beside content and rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Modification times do not matter.
    Ignored,
    /// A file with another modification time differs.
    Compared,
}

/// One side.
struct Side {
    config: BTreeMap<String, Value>,
    layers: Vec<Digest>,
    view: OwnedFd,
    name: PathBuf,
    /// Paths that a container has written.
    written: Vec<PathBuf>,
}

impl Engine {
    /// Compare two images; each may be a container, too.
    ///
    /// # Errors
    /// When there is neither an image nor a container of that name, or something cannot be read.
    pub fn compare(
        &self,
        before: &str,
        after: &str,
        times: Times,
    ) -> Result<Difference, EngineError> {
        let before = self.side(before)?;
        let after = self.side(after)?;
        let config = fields(&before.config, &after.config);
        let files = self.files(&before, &after, times)?;
        Ok(Difference { config, files })
    }

    fn side(&self, text: &str) -> Result<Side, EngineError> {
        let store = self.store();
        match store.resolve(text) {
            Ok(id) => {
                let stored = store.image(&id)?;
                Ok(Side {
                    config: flat(&stored.image),
                    view: self.merged_view(&stored.image.rootfs.diff_ids)?,
                    layers: stored.image.rootfs.diff_ids,
                    name: text.into(),
                    written: Vec::new(),
                })
            }
            Err(error) if error.kind() == Kind::NotFound => {
                let Ok(container) = self.find(text) else {
                    return Err(error.into());
                };
                let record = container.record;
                let upper = self.container_dir(&record.id).join("upper");
                let mut config = BTreeMap::new();
                flatten(&mut config, serde_json::to_value(&record.config).ok());
                let written = tree_entries(open_directory(&upper)?, &upper)?;
                Ok(Side {
                    config,
                    view: self.container_view(&record)?,
                    layers: record.layers,
                    name: text.into(),
                    written: written.into_iter().map(|entry| entry.path).collect(),
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn files(
        &self,
        before: &Side,
        after: &Side,
        times: Times,
    ) -> Result<Vec<FileChange>, EngineError> {
        let touched = self.touched(before, after)?;
        let list = |side: &Side| -> Result<BTreeMap<PathBuf, TreeEntry>, EngineError> {
            let entries = tree_entries(listable(&side.view)?, &side.name)?.into_iter();
            // A single layer is its own view, marks and all.
            let entries = entries.filter(|entry| entry.kind != EntryKind::Whiteout);
            Ok(entries.map(|entry| (entry.path.clone(), entry)).collect())
        };
        let (old, new) = (list(before)?, list(after)?);
        let mut changes = Vec::new();
        let paths: BTreeSet<&PathBuf> = old.keys().chain(new.keys()).collect();
        for path in paths {
            let (kind, aspects) = match (old.get(path), new.get(path)) {
                (Some(one), Some(other)) => {
                    let mut aspects = metadata(one, other, times);
                    let may_differ = one.kind == EntryKind::File
                        && one.kind == other.kind
                        && touched.contains(path);
                    if may_differ && (one.size != other.size || differ(before, after, path)?) {
                        aspects.insert(0, Aspect::Content);
                    }
                    if aspects.is_empty() {
                        continue;
                    }
                    (ChangeKind::Changed, aspects)
                }
                (None, _) => (ChangeKind::Added, Vec::new()),
                (_, None) => (ChangeKind::Deleted, Vec::new()),
            };
            changes.push(FileChange {
                kind,
                path: Path::new("/").join(path),
                before: old.get(path).map_or(0, |entry| entry.size),
                after: new.get(path).map_or(0, |entry| entry.size),
                aspects,
            });
        }
        Ok(changes)
    }

    /// The paths that a layer has which is not among the lowest ones that both sides share: all
    /// other files are the very same.
    fn touched(&self, before: &Side, after: &Side) -> Result<BTreeSet<PathBuf>, EngineError> {
        let pairs = before.layers.iter().zip(&after.layers);
        let shared = pairs.take_while(|(one, other)| one == other).count();
        let mut touched = BTreeSet::new();
        for side in [before, after] {
            touched.extend(side.written.iter().cloned());
            for layer in &side.layers[shared..] {
                let entries = self.store().layer_entries(layer)?;
                touched.extend(entries.into_iter().map(|entry| entry.path));
            }
        }
        Ok(touched)
    }
}

/// In what two entries differ, their content aside.
fn metadata(one: &TreeEntry, other: &TreeEntry, times: Times) -> Vec<Aspect> {
    let mut aspects = Vec::new();
    let words = (word(&one.kind), word(&other.kind));
    if words.0 != words.1 {
        aspects.push(Aspect::Type(words.0, words.1));
    } else if one.kind != other.kind {
        aspects.push(Aspect::Content);
    }
    if one.mode != other.mode {
        aspects.push(Aspect::Mode(one.mode, other.mode));
    }
    let owners = ((one.uid, one.gid), (other.uid, other.gid));
    if owners.0 != owners.1 {
        aspects.push(Aspect::Owner(owners.0, owners.1));
    }
    if one.xattrs != other.xattrs {
        let names: BTreeSet<&Vec<u8>> = one.xattrs.keys().chain(other.xattrs.keys()).collect();
        let differing = names
            .into_iter()
            .filter(|name| one.xattrs.get(*name) != other.xattrs.get(*name));
        let names = differing.map(|name| String::from_utf8_lossy(name).into_owned());
        aspects.push(Aspect::Attributes(names.collect()));
    }
    if times == Times::Compared && one.modified != other.modified {
        aspects.push(Aspect::Modified(one.modified, other.modified));
    }
    aspects
}

const fn word(kind: &EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Directory => "directory",
        EntryKind::Symlink(_) => "symbolic link",
        EntryKind::CharacterDevice(..) => "character device",
        EntryKind::BlockDevice(..) => "block device",
        EntryKind::Fifo => "named pipe",
        EntryKind::Socket => "socket",
        EntryKind::Whiteout => "deletion",
    }
}

/// Whether two files of the same size differ in their bytes.
fn differ(before: &Side, after: &Side, path: &Path) -> Result<bool, EngineError> {
    let open = |side: &Side| -> Result<File, EngineError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let bytes = path.as_os_str().as_bytes();
        let opened = hoist_sys::tree::open_beneath(side.view.as_fd(), bytes, flags, Mode::empty());
        opened
            .map(File::from)
            .map_err(EngineError::file("open", side.name.join(path)))
    };
    let failed = |side: &Side| EngineError::file("read", side.name.join(path));
    let (mut one, mut other) = (open(before)?, open(after)?);
    let (mut left, mut right) = (vec![0; 128 * 1024], vec![0; 128 * 1024]);
    loop {
        let count = fill(&mut one, &mut left).map_err(failed(before))?;
        let same = fill(&mut other, &mut right).map_err(failed(after))?;
        if left[..count] != right[..same] {
            return Ok(true);
        }
        if count == 0 {
            return Ok(false);
        }
    }
}

/// Read until the buffer is full or the file at its end.
fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// The configuration of an image by fields; sets, variables and labels by their names.
fn flat(image: &Image) -> BTreeMap<String, Value> {
    let mut fields = BTreeMap::new();
    flatten(&mut fields, serde_json::to_value(&image.config).ok());
    fields.insert(
        "platform".to_owned(),
        Value::String(image.platform.to_string()),
    );
    if let Some(author) = &image.author {
        fields.insert("author".to_owned(), Value::String(author.clone()));
    }
    fields
}

fn flatten(fields: &mut BTreeMap<String, Value>, config: Option<Value>) {
    let Some(Value::Object(config)) = config else {
        return;
    };
    for (name, value) in config {
        match value {
            Value::Array(pairs) if name == "Env" => {
                for pair in pairs.iter().filter_map(Value::as_str) {
                    let (variable, value) = pair.split_once('=').unwrap_or((pair, ""));
                    fields.insert(format!("Env {variable}"), Value::String(value.to_owned()));
                }
            }
            Value::Object(entries) => {
                let entries = entries.into_iter();
                fields.extend(entries.map(|(key, value)| (format!("{name} {key}"), value)));
            }
            value => drop(fields.insert(name, value)),
        }
    }
}

fn fields(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<FieldChange> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        // A container's configuration tells neither.
        .filter(|name| {
            let of_image = ["platform", "author"].contains(&name.as_str());
            !of_image || before.contains_key(*name) && after.contains_key(*name)
        })
        .map(|name| FieldChange {
            field: name.clone(),
            before: before.get(name).cloned(),
            after: after.get(name).cloned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_compared_field_by_field() {
        let side = |text: &str| {
            let mut fields = BTreeMap::new();
            flatten(&mut fields, serde_json::from_str(text).ok());
            fields
        };
        let before = side(
            r#"{"Env":["A=1","B=2"],"Cmd":["sh"],"Labels":{"x":"1"},"ExposedPorts":{"80/tcp":{}}}"#,
        );
        let after =
            side(r#"{"Env":["B=2","A=3","C="],"Cmd":["sh","-c"],"Labels":{"x":"1"},"User":"me"}"#);
        let shown: Vec<_> = fields(&before, &after)
            .iter()
            .map(|change| {
                let text =
                    |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
                format!(
                    "{}: {} {}",
                    change.field,
                    text(&change.before),
                    text(&change.after)
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                r#"Cmd: ["sh"] ["sh","-c"]"#,
                r#"Env A: "1" "3""#,
                r#"Env C: - """#,
                "ExposedPorts 80/tcp: {} -",
                r#"User: - "me""#,
            ]
        );
    }
}
