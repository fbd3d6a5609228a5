//! Why a container's Python did not find a module, after it has failed.

use std::path::{Path, PathBuf};

use hoist_core::Digest;
use hoist_engine::Engine;
use hoist_store::StoredImage;

use super::{
    from_root,
    image::open,
    python::{Module, Python},
    view::{Closed, Program, View},
};
use crate::{
    history::MARK,
    tree::{Ownership, Root},
};

/// Where the image has the module `name`, and why a container of it that runs as `user` (the
/// image's own when absent) does not find it there: one line. `None` when the image does not tell.
#[must_use]
pub fn why_module_is_missing(
    engine: &Engine,
    image: &StoredImage,
    user: Option<&str>,
    name: &str,
) -> Option<String> {
    let root = open(engine, &image.image.rootfs.diff_ids)?;
    let mut config = image.image.config.clone();
    if let Some(user) = user {
        user.clone_into(&mut config.user);
    }
    let view = View::new(&root, &config)?;
    let programs = ["python", "python3"].map(|program| view.program(program));
    let python = programs.iter().find_map(|program| match program {
        Program::Found(path) => Python::of(&view, path),
        _ => None,
    })?;
    let top = name.split('.').next().unwrap_or(name);
    let told = |directory: &PathBuf, closed: Option<Closed>| {
        let origin = origin(engine, image, &directory.join(top))
            .map(|instruction| format!(" (from {instruction})"))
            .unwrap_or_default();
        let place = from_root(directory);
        match closed {
            Some(closed) => format!(
                "{top} is in {place}{origin}, which {} cannot read: {} is {}",
                view.user(),
                from_root(&closed.path),
                closed.mode
            ),
            None => format!("{top} is in {place}{origin}, where this Python does not look"),
        }
    };
    match python.import(top) {
        Module::Fine => None,
        Module::Closed(directory, closed) => Some(told(&directory, Some(closed))),
        Module::Elsewhere(directory) => {
            let closed = view.closed(&directory.join(top));
            Some(told(&directory, closed))
        }
        Module::Missing => Some(format!(
            "the image has no module {top}: add it to what is installed"
        )),
    }
}

/// The instruction of the topmost layer that has `path`.
fn origin(engine: &Engine, image: &StoredImage, path: &Path) -> Option<String> {
    let file = path.with_extension("py");
    let has = |layer: &Digest| {
        let Ok(fd) = engine.store().open_layer(layer) else {
            return false;
        };
        let root = Root::new(fd, layer.to_string().into(), Ownership::Kept);
        root.follow(path).is_ok() || root.follow(&file).is_ok()
    };
    let mut layers = image.layers.iter();
    let number = layers.rposition(|layer| has(&layer.diff_id))?;
    let mut history = image
        .image
        .history
        .iter()
        .filter(|entry| !entry.empty_layer);
    let text = history.nth(number)?.created_by.as_deref()?;
    let text = text.trim_end_matches(MARK).trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}
