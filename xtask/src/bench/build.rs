//! `bench build`: builds with thousands of files, cold, unchanged, and with one file changed.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::row::Row;
use super::tools::{BUILT, IMAGE, Kind, Tool};
use super::{Effort, files, peak, table};
use crate::program::{self, Result, command};

/// All rows, in the order of the table.
pub(super) fn rows(effort: Effort) -> Vec<Row> {
    let often = effort.rounds;
    let seldom = effort.rounds.div_ceil(4);
    vec![
        Row::new("cold: 12 instructions, 5 000 files", seldom, |tool| {
            cold(tool, &[])
        })
        .goal("≤ docker / 5"),
        Row::new("cold, with --explain", seldom, |tool| {
            if tool.is_hoist() {
                cold(tool, &["--explain"])
            } else {
                Ok(None)
            }
        })
        .goal("< 2 % more than without"),
        Row::new("nothing changed", often, |tool| build(tool, &FIVE)).goal("≤ docker / 20"),
        Row::new("nothing changed, 20 000 files", often, |tool| {
            build(tool, &TWENTY)
        })
        .goal("≤ docker / 10"),
        Row::new("one late file changed", often, |tool| {
            changed(tool, |context| context.join("late.txt"))
        })
        .goal("≤ docker / 10"),
        Row::new("one of 5 000 files changed", seldom, |tool| {
            changed(tool, |context| {
                files::file_of(&context.join("data"), FIVE.count / 2)
            })
        })
        .goal("≤ docker / 6"),
        Row::new("run of what was just built", often, run_after).goal("≤ 100 ms"),
    ]
}

/// A context.
struct Context {
    name: &'static str,
    count: usize,
    /// Bytes of a file, on average.
    length: usize,
}

const FIVE: Context = Context {
    name: "five",
    count: 5_000,
    length: 12_000,
};

const TWENTY: Context = Context {
    name: "twenty",
    count: 20_000,
    length: 3_000,
};

impl Context {
    /// The context's directory, made when it is not there.
    fn directory(&self, tool: &Tool) -> Result<PathBuf> {
        let directory = tool.directory.join(self.name);
        if !directory.join("Dockerfile").exists() {
            files::make_tree(&directory.join("data"), self.count, self.length)?;
            fs::write(directory.join("requirements.txt"), "fastapi==0.115.6\n")?;
            fs::write(directory.join("late.txt"), "late\n")?;
            fs::write(directory.join("Dockerfile"), dockerfile())?;
        }
        Ok(directory)
    }
}

/// Twelve instructions on the base: six cheap commands, the many files in the middle, a late file.
fn dockerfile() -> String {
    format!(
        "FROM {IMAGE}\n\
         ENV PYTHONUNBUFFERED=1\n\
         WORKDIR /app\n\
         COPY requirements.txt .\n\
         RUN cp requirements.txt installed\n\
         RUN mkdir -p /opt/tools\n\
         COPY data data\n\
         RUN ls data > names\n\
         RUN echo one > one\n\
         RUN echo two > two\n\
         COPY late.txt .\n\
         RUN cp late.txt later.txt\n\
         CMD [\"true\"]\n"
    )
}

fn build(tool: &Tool, context: &Context) -> Result<Option<Duration>> {
    let directory = context.directory(tool)?.display().to_string();
    match tool.kind {
        Kind::Floor => read_all(&directory).map(Some),
        Kind::Engine => tool.time(&["build", "-t", BUILT, &directory]).map(Some),
        Kind::Runtime | Kind::Copier => Ok(None),
    }
}

/// The floor of an unchanged build: to look at every file once.
fn read_all(directory: &str) -> Result<Duration> {
    let mut look = command("find", [directory, "-printf", "%s %T@ %i\\n"]);
    look.stdout(std::process::Stdio::null());
    let begun = Instant::now();
    program::run(&mut look)?;
    Ok(begun.elapsed())
}

/// The floor of a cold build: to copy every file once.
fn copy_all(tool: &Tool, directory: &str) -> Result<Duration> {
    let copy = tool.directory.join("copy");
    let begun = Instant::now();
    program::run(command("cp", ["-r", directory]).arg(&copy))?;
    let took = begun.elapsed();
    fs::remove_dir_all(copy)?;
    Ok(took)
}

fn cold(tool: &Tool, flags: &[&str]) -> Result<Option<Duration>> {
    let directory = FIVE.directory(tool)?.display().to_string();
    match tool.kind {
        Kind::Floor => copy_all(tool, &directory).map(Some),
        Kind::Engine => {
            tool.forget_builds();
            let build = ["build", "--no-cache", "-t", BUILT, &directory];
            tool.time(&[&build, flags].concat()).map(Some)
        }
        Kind::Runtime | Kind::Copier => Ok(None),
    }
}

fn changed(tool: &Tool, file: impl Fn(&std::path::Path) -> PathBuf) -> Result<Option<Duration>> {
    if tool.kind != Kind::Engine {
        return Ok(None);
    }
    files::touch(&file(&FIVE.directory(tool)?), 12_000)?;
    build(tool, &FIVE)
}

fn run_after(tool: &Tool) -> Result<Option<Duration>> {
    if tool.kind != Kind::Engine {
        return Ok(None);
    }
    build(tool, &FIVE)?;
    tool.time(&["run", "--rm", "--network", "none", BUILT, "true"])
        .map(Some)
}

/// Prints the most memory that the builder had with one file of `large` bytes.
pub(super) fn print_peaks(tools: &[Tool], large: u64) -> Result<()> {
    let head = format!("peak memory, a file of {} GB", large >> 30);
    let mut lines = vec![vec![head, "MB".to_owned(), "to reach".to_owned()]];
    for tool in tools.iter().filter(|tool| tool.is_hoist()) {
        let directory = tool.directory.join("large");
        fs::create_dir_all(&directory)?;
        files::make_large(&directory.join("model.bin"), large)?;
        let dockerfile = "FROM scratch\nCOPY model.bin /\n";
        fs::write(directory.join("Dockerfile"), dockerfile)?;
        let context = directory.display().to_string();
        let peak = peak::of(&mut tool.command(&["build", "-t", BUILT, &context]))?;
        lines.push(vec![
            format!("{} build", tool.name),
            (peak / 1024).to_string(),
            "< 100".to_owned(),
        ]);
        fs::remove_dir_all(directory)?;
        tool.forget_builds();
    }
    table::aligned(&lines);
    Ok(())
}
