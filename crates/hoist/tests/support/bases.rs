//! Base images: archives from `cargo xtask bases`, and data roots that hold them already.
//!
//! Importing one takes longer than most tests; it is done once for each set of images, and every
//! sandbox starts from a copy whose layers are hard links.
//!
//! ```text
//! target/bases/           the archives, and bases.json about them
//! target/tmp/roots/<set>/ a data root with a set of images
//! ```
//!
//! What is imported is a directory. With `HOIST_LAYER_FORM=indexed`, which the tests hand on to the hoist
//! that they test, the images are saved and loaded once more, and so are indexed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The variable by which a run of the tests chooses the form of layers.
pub(crate) const LAYER_FORM: &str = "HOIST_LAYER_FORM";

/// Where `cargo xtask bases` leaves its archives, and what it notes about them.
fn made() -> (PathBuf, Value) {
    let file = super::made_by("bases", "bases/bases.json");
    let text = fs::read(&file).expect("bases.json");
    let directory = file.parent().expect("a file lies in a directory");
    (
        directory.to_owned(),
        serde_json::from_slice(&text).expect("bases.json is JSON"),
    )
}

/// The archive of a base image and the changes that `import` is to apply.
pub(crate) fn archive(name: &str) -> (PathBuf, Vec<String>) {
    let (cache, index) = made();
    let bases = index["bases"].as_array().expect("a list of images");
    let base = bases
        .iter()
        .find(|base| base["name"] == name)
        .unwrap_or_else(|| panic!("no base image {name}"));
    let changes = base["changes"].as_array().expect("a list of changes");
    let archive = base["archive"].as_str().expect("a file name");
    let changes = changes
        .iter()
        .filter_map(|change| change.as_str().map(str::to_owned))
        .collect();
    (cache.join(archive), changes)
}

/// Imports images with commands made by `hoist`, which know their data root.
pub(crate) fn import(bases: &[&str], hoist: impl Fn() -> Command) {
    for base in bases {
        let (archive, changes) = archive(base);
        let mut command = hoist();
        command.arg("import");
        for change in changes {
            command.args(["--change", &change]);
        }
        let output = command
            .arg(archive)
            .arg(base)
            .output()
            .expect("hoist starts");
        assert!(
            output.status.success(),
            "hoist import {base}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Fills a new data root with images, as root.
pub(crate) fn fill(root: &Path, bases: &[&str]) {
    if bases.is_empty() {
        return;
    }
    let template = template(bases);
    fs::create_dir_all(root).expect("a directory for the data root");
    for entry in fs::read_dir(template)
        .expect("the template")
        .map(|entry| entry.expect("an entry"))
    {
        // What is named by digest never changes; the rest is copied.
        let fixed = ["blobs", "layers"]
            .iter()
            .any(|name| entry.file_name() == *name);
        let how = if fixed { "-al" } else { "-a" };
        let status = Command::new("cp")
            .arg(how)
            .arg(entry.path())
            .arg(root)
            .status()
            .expect("cp");
        assert!(
            status.success(),
            "cp {how} {}: {status}",
            entry.path().display()
        );
    }
}

/// A data root that holds a set of images, made by this very build of hoist.
fn template(bases: &[&str]) -> PathBuf {
    let roots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("roots");
    fs::create_dir_all(&roots).expect("a directory for the templates");
    let mut set = bases.join("+").replace([':', '/'], "-");
    let indexed = std::env::var_os(LAYER_FORM).is_some_and(|form| form == "indexed");
    if indexed {
        set.push_str("-indexed");
    }
    let lock = File::create(roots.join(format!("{set}.lock"))).expect("a lock file");
    lock.lock().expect("a lock");

    // Another build may write another format; another week has other images.
    let (_, index) = made();
    let built = fs::metadata(env!("CARGO_BIN_EXE_hoist")).expect("hoist is built");
    let key = format!(
        "{:?} {} {}",
        built.modified().ok(),
        index["recipe"],
        index["week"]
    );
    let (directory, key_file) = (roots.join(&set), roots.join(format!("{set}.key")));
    if fs::read_to_string(&key_file).is_ok_and(|known| known == key) {
        return directory;
    }
    let _ = fs::remove_file(&key_file);
    let run = roots.join(format!("{set}.run"));
    for stale in [&directory, &run] {
        if let Err(error) = fs::remove_dir_all(stale) {
            assert_eq!(
                error.kind(),
                std::io::ErrorKind::NotFound,
                "{}: {error}",
                stale.display()
            );
        }
    }
    let hoist = |root: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
        command.env("HOIST_ROOT", root).env("HOIST_RUN", &run);
        command
    };
    if indexed {
        load(bases, &directory, &hoist);
    } else {
        import(bases, || hoist(&directory));
    }
    fs::write(&key_file, key).expect("the key of the template");
    directory
}

/// Fills a data root with images whose layers are indexed.
fn load(bases: &[&str], root: &Path, hoist: &impl Fn(&Path) -> Command) {
    let unpacked = tempfile::tempdir_in(root.parent().expect("a root lies in a directory"));
    let unpacked = unpacked.expect("a directory");
    import(bases, || hoist(unpacked.path()));
    let archive = unpacked.path().join("images.tar");
    for (root, verb, option) in [(unpacked.path(), "save", "-o"), (root, "load", "-i")] {
        let mut command = hoist(root);
        command.args([verb, option]).arg(&archive);
        if verb == "save" {
            command.args(bases);
        }
        let output = command.output().expect("hoist starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "hoist {verb}: {errors}");
    }
}
