//! The time that a build calls now.
//!
//! As BuildKit has it, in this order: the build argument `SOURCE_DATE_EPOCH`; the `ARG` of that
//! name before the first FROM; nothing. The value is a number of seconds, `context` for when the
//! context was published, or the name of a remote context, or of a stage that does nothing but ADD
//! one remote source ([`stage`]).
//!
//! A reproducible build always has one. When none is given it is the latest of
//!
//! * the time of the commit, when the context is as the commit has it; otherwise the time of the
//!   newest file of the context;
//! * the times of all files of the images that the build's stages start from: files that `make`
//!   compares must not get older than those that were there before.

use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use hoist_core::{
    event::{BuildEvent, Warning},
    time::Timestamp,
};
use hoist_dockerfile::{
    Dockerfile, Stage,
    stages::{Origin, Resolution},
    suggest::nearest,
};
use hoist_engine::Engine;
use hoist_store::StoredImage;

use super::{
    SOURCE_DATE_EPOCH,
    git::{Checkout, State},
};
use crate::{
    context::Context,
    error::BuildError,
    excerpt::Listing,
    remote::{Supplier, unreachable},
    request::{BuildRequest, NamedContext, Timestamps},
    tree::{Entry, Ownership, Root, filter::Filter, walk},
};

const SECOND: i64 = 1_000_000_000;

/// How many digits of a commit are shown.
const SHOWN: usize = 12;

/// A time, and what it is the time of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Epoch {
    /// Since 1970.
    pub(crate) seconds: i64,
    /// For people: `the commit 1a2b3c4d5e6f`.
    pub(crate) source: String,
}

impl Epoch {
    /// A time that somebody claims: commits, servers and files may claim anything.
    fn claimed(seconds: i64, source: String) -> Self {
        let seconds = seconds.clamp(0, Timestamp::MAX.seconds());
        Self { seconds, source }
    }
}

/// What an epoch is chosen from.
pub(crate) struct Question<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) request: &'a BuildRequest,
    pub(crate) dockerfile: &'a Dockerfile,
    /// Where the Dockerfile lies when it is a file.
    pub(crate) path: Option<&'a Path>,
    pub(crate) listing: &'a Listing,
    /// Brings what lies elsewhere, where the build may have it.
    pub(crate) supplier: Option<Supplier<'a>>,
    /// Finds an image of the store.
    pub(crate) images: &'a dyn Fn(&str) -> Result<Arc<StoredImage>, BuildError>,
}

/// Choose the epoch of a build, and make it the value of the argument: in `build_args` when it was
/// given there or nowhere, in the scope before the first FROM when the Dockerfile says it.
pub(crate) fn choose(
    question: &Question<'_>,
    build_args: &mut BTreeMap<String, String>,
    resolution: &mut Resolution,
) -> Result<Option<Epoch>, BuildError> {
    let given = build_args.get(SOURCE_DATE_EPOCH);
    let text = match given {
        Some(text) => text.clone(),
        None => resolution
            .global
            .get(SOURCE_DATE_EPOCH)
            .cloned()
            .unwrap_or_default(),
    };
    let is_given = given.is_some();
    let stated = question.stated(&text, build_args, resolution)?;
    let scope = match is_given {
        true => &mut *build_args,
        false => &mut resolution.global,
    };
    match &stated {
        Some(epoch) => scope.insert(SOURCE_DATE_EPOCH.to_owned(), epoch.seconds.to_string()),
        None => scope.remove(SOURCE_DATE_EPOCH),
    };
    if stated.is_some() || question.request.timestamps != Timestamps::Reproducible {
        return Ok(stated);
    }
    let epoch = question.found(resolution)?;
    build_args.insert(SOURCE_DATE_EPOCH.to_owned(), epoch.seconds.to_string());
    Ok(Some(epoch))
}

/// Say what the times of the build are bounded by.
pub(crate) fn tell(
    epoch: Option<&Epoch>,
    timestamps: Timestamps,
    events: &(dyn Fn(BuildEvent) + Sync),
) {
    match (epoch, timestamps) {
        (Some(epoch), _) => events(BuildEvent::EpochChosen {
            seconds: epoch.seconds,
            source: epoch.source.clone(),
        }),
        (None, Timestamps::Rewritten) => events(BuildEvent::Warning(Warning {
            rule: None,
            message: "rewrite-timestamp is specified, but no source-date-epoch was found"
                .to_owned(),
            file: None,
            line: None,
            hints: vec![format!(
                "give the build a time: --build-arg {SOURCE_DATE_EPOCH}=SECONDS"
            )],
        })),
        (None, _) => {}
    }
}

impl Question<'_> {
    /// What `text` means as value of `SOURCE_DATE_EPOCH`; `None` when that is no time.
    fn stated(
        &self,
        text: &str,
        build_args: &BTreeMap<String, String>,
        resolution: &Resolution,
    ) -> Result<Option<Epoch>, BuildError> {
        if text.is_empty() {
            return Ok(None);
        }
        if let Ok(seconds) = text.parse::<i64>() {
            if seconds < 0 || seconds > Timestamp::MAX.seconds() {
                return Err(self.invalid(text));
            }
            return Ok(Some(Epoch {
                seconds,
                source: SOURCE_DATE_EPOCH.to_owned(),
            }));
        }
        if text == "context" {
            return Ok(self.request.context_time.map(of_context));
        }
        if let Some(context) = self.request.contexts.get(text) {
            return self.of_named(text, context);
        }
        let mut stages = self.dockerfile.stages.iter();
        let is_meant = |stage: &&Stage| {
            let name = stage.name.as_deref();
            name.is_some_and(|name| name.eq_ignore_ascii_case(text))
        };
        match stages.find(is_meant) {
            Some(stage) => self.of_stage(stage, build_args, resolution),
            None => Err(self.invalid(text)),
        }
    }

    /// `text` is no time, and names none.
    fn invalid(&self, text: &str) -> BuildError {
        let stages = self.dockerfile.stages.iter();
        let stages = stages.filter_map(|stage| stage.name.as_deref());
        let names = stages.chain(self.request.contexts.keys().map(String::as_str));
        let meant = nearest(text, names.chain(["context"]));
        let mut hints: Vec<String> = meant
            .map(|name| format!("did you mean {name}?"))
            .into_iter()
            .collect();
        hints.push(
            "write seconds since 1970, context, or the name of a remote context or of a stage that \
             only adds one remote source"
                .to_owned(),
        );
        BuildError::Invalid {
            message: format!("invalid {SOURCE_DATE_EPOCH}: {text}"),
            hints,
        }
    }

    /// When the context `name` was published: directories of this machine, and images, were not.
    fn of_named(&self, name: &str, context: &NamedContext) -> Result<Option<Epoch>, BuildError> {
        let NamedContext::Remote(address) = context else {
            return Ok(None);
        };
        let supplier = self.supplier.ok_or_else(|| unreachable(name))?;
        let time = supplier.published_context(address)?;
        Ok(time.map(|seconds| Epoch::claimed(seconds, format!("the context {name}"))))
    }

    /// The epoch of a reproducible build that was given none.
    fn found(&self, resolution: &Resolution) -> Result<Epoch, BuildError> {
        let mut epoch = match self.request.context_time {
            Some(time) => of_context(time),
            None => self.of_files()?,
        };
        for (name, image) in self.bases(resolution)? {
            for layer in &image.image.rootfs.diff_ids {
                let store = self.engine.store();
                let path = store.layer_place(layer)?;
                let root = Root::new(store.open_layer(layer)?, path, Ownership::Kept);
                let entries = walk(&root, Path::new(""), &Filter::ignoring(None))?;
                if let Some((seconds, path)) = newest(&entries)
                    && seconds > epoch.seconds
                {
                    let path = Path::new("/").join(path);
                    let source = format!("{} of the base image {name}", path.display());
                    epoch = Epoch { seconds, source };
                }
            }
        }
        Ok(Epoch::claimed(epoch.seconds, epoch.source))
    }

    /// The images that the stages start from, by name.
    fn bases(
        &self,
        resolution: &Resolution,
    ) -> Result<BTreeMap<String, Arc<StoredImage>>, BuildError> {
        let mut bases = BTreeMap::new();
        for number in &resolution.needed {
            let name = match &resolution.stages[*number].base {
                Origin::Image(name) => name,
                Origin::Context(name) => match self.request.contexts.get(name) {
                    Some(NamedContext::Image(name)) => name,
                    _ => continue,
                },
                Origin::Scratch | Origin::Stage(_) => continue,
            };
            let stage = &self.dockerfile.stages[*number];
            let image = (self.images)(name);
            let image = image.map_err(|error| error.at(|| self.listing.excerpt(stage.span)))?;
            bases.insert(name.clone(), image);
        }
        Ok(bases)
    }

    /// That of the commit, or of the newest file.
    fn of_files(&self) -> Result<Epoch, BuildError> {
        let context = &self.request.context;
        let (root, ignore) = Context::look(context, self.path)?;
        let patterns = ignore.as_ref().map(|file| &file.patterns);
        let filter = Filter::ignoring(patterns);
        let filter = filter.excluding(&["**/.git".to_owned()]);
        let filter = filter.map_err(|message| BuildError::Invalid {
            message,
            hints: Vec::new(),
        })?;
        let entries = walk(&root, Path::new(""), &filter)?;
        let is_ignored = |path: &Path| {
            patterns.is_some_and(|patterns| patterns.is_ignored(path.as_os_str().as_bytes()))
        };
        let why_not = match self.request.context_label {
            // It was unpacked, and the directory is nobody's work tree.
            Some(_) => String::new(),
            None => match of_commit(context, &root, &entries, &is_ignored) {
                Ok(epoch) => return Ok(epoch),
                Err(why_not) => why_not,
            },
        };
        Ok(self.of_newest(&entries, &why_not))
    }

    /// That of the newest file, the Dockerfile wherever it lies included.
    fn of_newest(&self, entries: &[Entry], why_not: &str) -> Epoch {
        let mut found = newest(entries).map(|(seconds, path)| (seconds, path.to_owned()));
        if let Some(path) = self.path
            && let Ok(metadata) = std::fs::metadata(path)
        {
            use std::os::unix::fs::MetadataExt;
            let name = PathBuf::from(path.file_name().unwrap_or_default());
            found = found.max(Some((metadata.mtime(), name)));
        }
        match found {
            Some((seconds, path)) => Epoch {
                seconds,
                source: format!("the newest file, {}{why_not}", path.display()),
            },
            None => Epoch {
                seconds: 0,
                source: "1970, for want of any file".to_owned(),
            },
        }
    }
}

fn of_context(seconds: i64) -> Epoch {
    Epoch::claimed(seconds, "the context".to_owned())
}

/// The time of the commit that the context is as; in the other cases why it does not count, to be
/// put behind something else.
fn of_commit(
    context: &Path,
    root: &Root,
    entries: &[Entry],
    is_ignored: &dyn Fn(&Path) -> bool,
) -> Result<Epoch, String> {
    let Ok(real) = std::fs::canonicalize(context) else {
        return Err(String::new());
    };
    let unreadable = |error| format!(" (the repository cannot be read: {error})");
    let Some(checkout) = Checkout::find(&real).map_err(unreadable)? else {
        return Err(String::new());
    };
    let commit = &checkout.commit[..SHOWN.min(checkout.commit.len())];
    match checkout
        .state(root, entries, is_ignored)
        .map_err(unreadable)?
    {
        State::Same => Ok(Epoch {
            seconds: checkout.time,
            source: format!("the commit {commit}"),
        }),
        State::Differs(path) => Err(format!(
            " ({} is not as in the commit {commit})",
            path.display()
        )),
        State::Apart => Err(String::new()),
    }
}

/// The newest of files and links, in seconds since 1970; of several the first by name. Directories
/// do not count: what comes and goes in them changes their times.
fn newest(entries: &[Entry]) -> Option<(i64, &Path)> {
    let files = entries
        .iter()
        .filter(|entry| !entry.is_directory() && !entry.is_whiteout());
    let times = files.map(|entry| {
        let time = entry.identity.mtime.div_euclid(SECOND);
        (time, entry.path.as_path())
    });
    times.reduce(|best, next| if next.0 > best.0 { next } else { best })
}

mod stage;
#[cfg(test)]
mod tests;
