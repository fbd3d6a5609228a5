//! Where things lie in this workspace, and how its programs are built.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::{self, Result};

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("/"))
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => root().join(directory),
        None => root().join("target"),
    }
}

/// A cargo command in the workspace.
pub(crate) fn cargo<const N: usize>(arguments: [&str; N]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = program::command(cargo, arguments);
    command.current_dir(root());
    command
}

/// What `cargo metadata` says about the workspace and everything it depends on on Linux.
pub(crate) fn metadata() -> Result<Value> {
    let ask = |more: &[&str]| {
        let mut command = cargo(["metadata", "--format-version=1"]);
        command.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
        program::text(command.args(more))
    };
    let text = ask(&["--locked", "--offline"]).or_else(|_| ask(&[]))?;
    Ok(serde_json::from_str(&text)?)
}

/// Builds one program of the workspace and says where it lies. `what` are cargo's words for it.
fn build(what: &[&str], name: &str) -> Result<PathBuf> {
    let mut command = cargo(["build", "--message-format=json-render-diagnostics"]);
    command.args(what).arg(name).stderr(Stdio::inherit());
    let output = command
        .output()
        .map_err(|error| format!("cargo build: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "{name} does not build: cargo build ended with {}",
            output.status
        )
        .into());
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| format!("cargo built no program named {name}").into())
}

/// The release build of hoist.
pub(crate) fn hoist() -> Result<PathBuf> {
    build(&["--release", "--package", "hoist", "--bin"], "hoist")
}

/// The debug build of hoist, which the tests use.
pub(crate) fn debug_hoist() -> Result<PathBuf> {
    build(&["--package", "hoist", "--bin"], "hoist")
}

/// The release build of the benchmark's floor: the bare system calls of a container.
pub(crate) fn floor() -> Result<PathBuf> {
    build(
        &["--release", "--package", "hoist-runtime", "--example"],
        "floor",
    )
}
