//! What idle containers cost in memory, the programs inside them not counted.

use std::collections::BTreeMap;
use std::fs;

use super::run::{remove_crowd, start_crowd};
use super::table::aligned;
use super::tools::{Kind, Tool};
use crate::program::Result;

/// What an engine's own processes are called, those inside containers not among them.
fn is_engines(engine: &str, name: &str) -> bool {
    match engine {
        "hoist" => name.starts_with("hoist"),
        "podman" => name == "conmon",
        "docker" => name.starts_with("containerd") || name.starts_with("docker"),
        _ => false,
    }
}

/// Proportional set sizes of an engine's processes, in kB, by process id.
fn sizes(engine: &str) -> BTreeMap<u32, u64> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut sizes = BTreeMap::new();
    for process in processes {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let read = |file: &str| fs::read_to_string(process.path().join(file)).unwrap_or_default();
        if !is_engines(engine, read("comm").trim()) {
            continue;
        }
        let rollup = read("smaps_rollup");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        // One that has ended, and waits for its parent to notice, has no memory any more.
        if let Some(size) = line.and_then(|line| line.split_whitespace().next()?.parse().ok()) {
            sizes.insert(pid, size);
        }
    }
    sizes
}

/// Prints memory and processes of each engine, without containers and per container.
pub(super) fn print(tools: &[Tool], crowd: usize) -> Result<()> {
    let head = ["memory (PSS)", "without containers", "per idle container"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for tool in tools.iter().filter(|tool| tool.kind == Kind::Engine) {
        tool.remove_containers();
        let idle = sizes(tool.name);
        start_crowd(tool, crowd)?;
        let busy = sizes(tool.name);
        remove_crowd(tool, crowd)?;
        let sum = |sizes: &BTreeMap<u32, u64>| sizes.values().sum::<u64>();
        let more = sum(&busy).saturating_sub(sum(&idle));
        lines.push(vec![
            tool.name.to_owned(),
            format!("{} MB, {} processes", megabytes(sum(&idle)), idle.len()),
            format!("{} MB", megabytes(more / crowd.max(1) as u64)),
        ]);
    }
    aligned(&lines);
    Ok(())
}

/// Kilobytes as megabytes with two decimals.
fn megabytes(kilobytes: u64) -> String {
    format!("{}.{:02}", kilobytes / 1024, kilobytes % 1024 * 100 / 1024)
}
