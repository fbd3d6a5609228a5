//! What the fuzz targets do with their bytes. The same functions run under libFuzzer
//! (`fuzz_targets/`, by cargo-fuzz) and in a plain loop (`src/bin/mutate.rs`).
//!
//! Each returns a signature: what kind of thing happened. Inputs with a new one are worth mutating.

mod dockerfile;
mod dockerignore;

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
};

/// A fuzz target: its name, the directory of its corpus, and what it does.
pub struct Target {
    /// As on the command line.
    pub name: &'static str,
    /// Does it with any bytes, and panics when something does not hold.
    pub run: fn(&[u8]) -> u64,
}

/// All targets.
pub const TARGETS: [Target; 2] = [
    Target {
        name: "dockerfile",
        run: dockerfile::run,
    },
    Target {
        name: "dockerignore",
        run: dockerignore::run,
    },
];

/// Do what the target `name` does.
///
/// # Panics
/// When something does not hold, or there is no such target.
pub fn run(name: &str, bytes: &[u8]) -> u64 {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("a target of this name").run)(bytes)
}

fn signature(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
