//! `cargo xtask bases`: base images made from Debian packages, for places without Docker Hub.
//!
//! ```text
//! target/bases/
//!   lock            held while images are made
//!   bases.json      what is there: names, archives, image settings, and the recipe's key
//!   busybox.tar  debian.tar  python.tar
//! ```
//!
//! They are made anew when the recipe (this file and `xtask/bases/`) changes, and once a week for
//! Debian's updates.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::debian::{self, RELEASE};
use crate::program::{self, Result, command};
use crate::workspace;

/// What the images are made by; the key of the cache covers it.
const RECIPE: [&str; 5] = [
    include_str!("bases.rs"),
    include_str!("../bases/busybox.sh"),
    include_str!("../bases/debian.sh"),
    include_str!("../bases/python.sh"),
    include_str!("../bases/relocate.py"),
];

/// What says in an image that it is not the one from Docker Hub.
const STAND_IN: &str = "made from Debian packages where Docker Hub is out of reach";

/// What Debian's Python needs at run time, beside what the base system has.
const PYTHON_NEEDS: &str = "ca-certificates,netbase,tzdata,media-types,libbz2-1.0,libcrypt1,libdb5.3,\
                            libexpat1,libffi8,liblzma5,libncursesw6,libnsl2,libreadline8,libsqlite3-0,\
                            libssl3,libtirpc3,libuuid1,zlib1g";

/// One image: its name in the store, its archive, and the changes that `import` applies.
struct Base {
    name: &'static str,
    archive: &'static str,
    changes: Vec<String>,
}

/// The images, in the order in which they are made.
fn bases() -> Vec<Base> {
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let label = format!("LABEL org.hoist.stand-in=\"{STAND_IN}\"");
    let python = format!("ENV {}", path.replace("=", "=/usr/local/bin:"));
    vec![
        Base {
            name: "busybox:latest",
            archive: "busybox.tar",
            changes: vec![format!("ENV {path}"), "CMD [\"sh\"]".into(), label.clone()],
        },
        Base {
            name: "debian:bookworm-slim",
            archive: "debian.tar",
            changes: vec![
                format!("ENV {path}"),
                "CMD [\"bash\"]".into(),
                label.clone(),
            ],
        },
        Base {
            name: "python:3.11-slim",
            archive: "python.tar",
            changes: vec![
                python,
                "ENV LANG=C.UTF-8".into(),
                "ENV PYTHON_VERSION=3.11.2".into(),
                "CMD [\"python3\"]".into(),
                label,
            ],
        },
    ]
}

/// The settings of an image, as changes for `import`.
pub(crate) fn changes(name: &str) -> Vec<String> {
    bases()
        .into_iter()
        .filter(|base| base.name == name)
        .flat_map(|base| base.changes)
        .collect()
}

/// Makes the images where they are absent or old, and imports into the user's store those that it
/// does not know.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let force = arguments.iter().any(|argument| argument == "--force");
    make(force)?;
    if arguments.iter().any(|argument| argument == "--make-only") {
        return Ok(());
    }
    import(&workspace::hoist()?, force)
}

/// Makes the archives in the cache, unless they are there.
pub(crate) fn make(force: bool) -> Result<PathBuf> {
    let directory = workspace::target().join("bases");
    fs::create_dir_all(&directory)?;
    let lock = File::create(directory.join("lock"))?;
    lock.lock()?;

    let recipe = recipe_key();
    let week = seconds_now() / (7 * 24 * 3600);
    let index = directory.join("bases.json");
    let known: Value = fs::read(&index)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let usable = known["recipe"] == recipe.as_str();
    if usable && known["week"] == week && !force {
        return Ok(directory);
    }
    match make_all(&directory, week) {
        Ok(()) => {}
        Err(error) if usable && !force => {
            println!("==> last week's base images are kept: {error}");
            return Ok(directory);
        }
        Err(error) => return Err(error),
    }
    let entries: Vec<Value> = bases()
        .into_iter()
        .map(|base| json!({"name": base.name, "archive": base.archive, "changes": base.changes}))
        .collect();
    let text =
        serde_json::to_vec_pretty(&json!({"recipe": recipe, "week": week, "bases": entries}))?;
    fs::write(directory.join("bases.json.new"), text)?;
    fs::rename(directory.join("bases.json.new"), index)?;
    Ok(directory)
}

/// Imports the images that the store of `hoist` does not know; all of them with `force`.
pub(crate) fn import(hoist: &Path, force: bool) -> Result<()> {
    let directory = workspace::target().join("bases");
    for base in bases() {
        let known = program::output(&mut command(hoist, ["inspect", "--type=image", base.name]))?;
        if known.status.success() && !force {
            println!("==> {} is in the store", base.name);
            continue;
        }
        println!("==> importing {}", base.name);
        let mut import = command(hoist, ["import"]);
        for change in &base.changes {
            import.args(["--change", change]);
        }
        import.arg(directory.join(base.archive)).arg(base.name);
        program::run(&mut import)?;
    }
    Ok(())
}

/// SHA-256 over everything that decides what the images hold.
fn recipe_key() -> String {
    let mut hash = Sha256::new();
    for part in RECIPE {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Seconds since 1970.
fn seconds_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

/// Makes the three archives.
fn make_all(directory: &Path, week: u64) -> Result<()> {
    debian::ensure(&[
        ("mmdebstrap", "mmdebstrap"),
        (
            "/usr/share/keyrings/debian-archive-keyring.gpg",
            "debian-archive-keyring",
        ),
    ])?;
    // Every file is as old as the week: two machines make the same archive from the same packages.
    let epoch = week * 7 * 24 * 3600;
    println!("==> making busybox:latest");
    let mut make = mmdebstrap(epoch, "extract")?;
    make.args([
        "--include=busybox-static",
        "--skip=cleanup",
        &hook("extract", "busybox.sh"),
    ]);
    archive(&mut make, directory, "busybox.tar", epoch)?;

    println!("==> making debian:bookworm-slim");
    let mut make = mmdebstrap(epoch, "minbase")?;
    make.args([&hook("customize", "debian.sh")]);
    archive(&mut make, directory, "debian.tar", epoch)?;

    println!("==> making python:3.11-slim");
    let mut make = mmdebstrap(epoch, "minbase")?;
    make.arg(format!("--include={PYTHON_NEEDS}"));
    make.args([
        &hook("customize", "python.sh"),
        &hook("customize", "debian.sh"),
    ]);
    make.env("HOIST_BASES_PIP_CONF", debian::pip_options().join("\n"));
    archive(&mut make, directory, "python.tar", epoch)
}

/// The option that has mmdebstrap run one of the scripts of the recipe on the tree.
fn hook(stage: &str, script: &str) -> String {
    let scripts = workspace::root().join("xtask/bases");
    format!("--{stage}-hook=sh {}/{script} \"$1\"", scripts.display())
}

/// What all images have in common: no documentation, no devices, nothing newer than `epoch`, and this
/// machine's way to the archive.
pub(crate) fn mmdebstrap(epoch: u64, variant: &str) -> Result<Command> {
    let mode = if debian::is_root() {
        "--mode=root"
    } else {
        "--mode=unshare"
    };
    let mut make = command("mmdebstrap", [mode, "--quiet", "--skip=output/dev"]);
    make.arg(format!("--variant={variant}"));
    make.env("SOURCE_DATE_EPOCH", epoch.to_string());
    let unwanted = [
        "bug", "doc", "groff", "info", "linda", "lintian", "locale", "man",
    ];
    for directory in unwanted {
        make.arg(format!("--dpkgopt=path-exclude=/usr/share/{directory}/*"));
    }
    make.arg("--dpkgopt=path-include=/usr/share/doc/*/copyright");
    for option in debian::apt_options()? {
        make.arg(format!("--aptopt={option}"));
    }
    Ok(make)
}

/// Runs mmdebstrap; the archive appears under its name only when it is whole.
fn archive(make: &mut Command, directory: &Path, name: &str, epoch: u64) -> Result<()> {
    let temporary = directory.join(format!("new.{name}"));
    make.arg("--format=tar")
        .arg(RELEASE)
        .arg(&temporary)
        .args(debian::sources());
    program::run(make)?;
    // An empty /dev, as in the images on Docker Hub; mmdebstrap's own holds device nodes.
    let empty = directory.join("empty");
    fs::create_dir_all(empty.join("dev"))?;
    let mtime = format!("--mtime=@{epoch}");
    let options = [
        "--append",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mode=0755",
        &mtime,
    ];
    let mut append = command("tar", options);
    program::run(
        append
            .arg("--file")
            .arg(&temporary)
            .arg("-C")
            .arg(&empty)
            .arg("./dev"),
    )?;
    fs::remove_dir_all(empty)?;
    fs::rename(temporary, directory.join(name))?;
    Ok(())
}
