//! `bench run`: containers and small builds, for every tool that can do such work.

use std::fmt::Write as _;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::Effort;
use super::row::Row;
use super::tools::{BUILT, IMAGE, Kind, Tool};
use crate::program::{self, Result, command};

/// All rows, in the order of the table.
pub(super) fn rows(effort: Effort) -> Vec<Row> {
    let often = effort.rounds;
    let seldom = effort.rounds.div_ceil(7);
    let crowd = effort.crowd;
    vec![
        Row::new("run --rm, bridge", often, run_bridge).goal("≤ 3 × floor, ≤ docker / 18, < crun"),
        Row::new("run --rm, no network", often, run_none).goal("≤ 2.5 × floor, ≤ docker / 20"),
        Row::new("run -d", often, run_detached).goal("≤ docker / 15"),
        Row::new("exec true", often, exec).goal("≤ docker / 20"),
        Row::new("ps", often, |tool| look(tool, &["ps"])).goal("≤ docker / 12"),
        Row::new("inspect", often, |tool| look(tool, &["inspect", KEPT])).goal("≤ docker / 12"),
        Row::new("logs", often, |tool| look(tool, &["logs", KEPT])).goal("≤ docker / 12"),
        Row::new("stop, willing", often, stop).goal("≤ docker / 12"),
        Row::new("rm -f", often, remove).goal("≤ docker / 12"),
        Row::new("many starts, 8 at a time", seldom, move |tool| {
            start_many(tool, crowd)
        })
        .goal("≤ docker / 10"),
        Row::new("build, all cached", often, build).goal("≤ docker / 20"),
        Row::new("build, nothing cached", seldom, build_anew),
    ]
}

/// A container that is there from one row to the next.
const KEPT: &str = "hoist-bench-kept";
const ONCE: &str = "hoist-bench-once";

fn run_bridge(tool: &Tool) -> Result<Option<Duration>> {
    match tool.kind {
        Kind::Floor => floor(tool, &["--network"]),
        Kind::Engine => tool.time(&["run", "--rm", IMAGE, "true"]).map(Some),
        Kind::Runtime | Kind::Copier => Ok(None),
    }
}

fn run_none(tool: &Tool) -> Result<Option<Duration>> {
    match tool.kind {
        Kind::Floor => floor(tool, &[]),
        Kind::Engine => tool
            .time(&["run", "--rm", "--network", "none", IMAGE, "true"])
            .map(Some),
        Kind::Runtime => {
            let bundle = tool.directory.display().to_string();
            tool.time(&["run", "--bundle", &bundle, ONCE]).map(Some)
        }
        Kind::Copier => Ok(None),
    }
}

/// One container of bare system calls over the same tree.
fn floor(tool: &Tool, flags: &[&str]) -> Result<Option<Duration>> {
    let tree = tool.directory.with_file_name("tree").display().to_string();
    let scratch = tool.directory.display().to_string();
    tool.time(&[flags, &[&tree, &scratch, "/bin/true"]].concat())
        .map(Some)
}

fn run_detached(tool: &Tool) -> Result<Option<Duration>> {
    if tool.kind != Kind::Engine {
        return Ok(None);
    }
    let time = tool.time(&["run", "-d", "--name", ONCE, IMAGE, "sleep", "1000"])?;
    tool.run(&["rm", "-f", ONCE])?;
    Ok(Some(time))
}

/// A process start, which is the floor of what only looks.
fn process_start() -> Result<Duration> {
    let mut command = command("/bin/busybox", ["true"]);
    command.stdin(Stdio::null());
    let begun = Instant::now();
    program::run(&mut command)?;
    Ok(begun.elapsed())
}

/// The kept container, made when it is not there yet.
fn keep(tool: &Tool) -> Result<()> {
    if tool.run(&["inspect", "--type=container", KEPT]).is_err() {
        let script = "for i in 1 2 3 4 5 6 7 8 9 10; do echo line $i; done; sleep 100000";
        tool.run(&["run", "-d", "--name", KEPT, IMAGE, "sh", "-c", script])?;
    }
    Ok(())
}

fn look(tool: &Tool, arguments: &[&str]) -> Result<Option<Duration>> {
    match tool.kind {
        Kind::Floor => process_start().map(Some),
        Kind::Engine => {
            keep(tool)?;
            tool.time(arguments).map(Some)
        }
        Kind::Runtime | Kind::Copier => Ok(None),
    }
}

fn exec(tool: &Tool) -> Result<Option<Duration>> {
    look(tool, &["exec", KEPT, "true"])
}

fn stop(tool: &Tool) -> Result<Option<Duration>> {
    if tool.kind != Kind::Engine {
        return Ok(None);
    }
    let script = "trap 'exit 0' TERM; echo willing; while :; do sleep 1000 & wait; done";
    tool.run(&["run", "-d", "--name", ONCE, IMAGE, "sh", "-c", script])?;
    while !tool.run(&["logs", ONCE])?.contains("willing") {
        std::thread::sleep(Duration::from_millis(5));
    }
    let time = tool.time(&["stop", ONCE])?;
    tool.run(&["rm", "-f", ONCE])?;
    Ok(Some(time))
}

fn remove(tool: &Tool) -> Result<Option<Duration>> {
    if tool.kind != Kind::Engine {
        return Ok(None);
    }
    tool.run(&["run", "-d", "--name", ONCE, IMAGE, "sleep", "1000"])?;
    tool.time(&["rm", "-f", ONCE]).map(Some)
}

fn start_many(tool: &Tool, count: usize) -> Result<Option<Duration>> {
    if tool.kind != Kind::Engine {
        return Ok(None);
    }
    let begun = Instant::now();
    start_crowd(tool, count)?;
    let took = begun.elapsed();
    remove_crowd(tool, count)?;
    Ok(Some(took))
}

fn crowd_names(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("hoist-bench-crowd-{number}"))
        .collect()
}

/// Starts so many idle containers, eight at a time.
pub(super) fn start_crowd(tool: &Tool, count: usize) -> Result<()> {
    for names in crowd_names(count).chunks(8) {
        let mut starts = Vec::new();
        for name in names {
            starts.push(
                tool.command(&["run", "-d", "--name", name, IMAGE, "sleep", "100000"])
                    .spawn()?,
            );
        }
        for mut start in starts {
            let status = start.wait()?;
            if !status.success() {
                return Err(format!("{} run -d: {status}", tool.name).into());
            }
        }
    }
    Ok(())
}

/// Removes them.
pub(super) fn remove_crowd(tool: &Tool, count: usize) -> Result<()> {
    let names = crowd_names(count);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    tool.run(&[&["rm", "-f"], names.as_slice()].concat())
        .map(drop)
}

/// A context of twelve steps.
fn context(tool: &Tool) -> Result<String> {
    let directory = tool.directory.join("context");
    if !directory.exists() {
        fs::create_dir_all(&directory)?;
        let mut dockerfile = format!("FROM {IMAGE}\n");
        for number in 1..=6 {
            fs::write(
                directory.join(format!("file{number}")),
                format!("{number}\n"),
            )?;
            // Writing into a String cannot fail.
            let _ = writeln!(
                dockerfile,
                "COPY file{number} /\nRUN cp /file{number} /copy{number}"
            );
        }
        fs::write(directory.join("Dockerfile"), dockerfile)?;
    }
    Ok(directory.display().to_string())
}

fn build(tool: &Tool) -> Result<Option<Duration>> {
    if tool.kind != Kind::Engine {
        return Ok(None);
    }
    tool.time(&["build", "-t", BUILT, &context(tool)?])
        .map(Some)
}

fn build_anew(tool: &Tool) -> Result<Option<Duration>> {
    if tool.kind != Kind::Engine {
        return Ok(None);
    }
    tool.time(&["build", "--no-cache", "-t", BUILT, &context(tool)?])
        .map(Some)
}
