//! `cargo xtask bench`: hoist against the bare system calls and against its peers, in one run.
//!
//! Every row is measured for all tools by turns, so that a busy moment of the machine meets all of them.
//! What counts are the ratios. Data roots lie on an ext4 file system of their own, made for the run, in a
//! file in the target directory; Docker keeps its own.

mod build;
mod disk;
mod files;
mod images;
mod memory;
mod peak;
mod row;
mod run;
mod table;
mod tools;

use std::path::Path;

use crate::program::{self, Result, command};
use crate::{bases, debian, workspace};
use row::Row;
use table::Measured;
use tools::{Kind, Tools};

/// How thorough a run is.
#[derive(Clone, Copy)]
struct Effort {
    /// How often each row is measured for each tool.
    rounds: usize,
    /// How many containers are started in a crowd.
    crowd: usize,
    /// Bytes of the large files that memory is measured with.
    large: u64,
}

const THOROUGH: Effort = Effort {
    rounds: 21,
    crowd: 50,
    large: 5 << 30,
};

const QUICK: Effort = Effort {
    rounds: 5,
    crowd: 16,
    large: 1 << 30,
};

/// What is measured.
#[derive(Clone, Copy)]
enum Suite {
    /// Containers and small builds.
    Run,
    /// Builds with large contexts.
    Build,
    /// Images between stores and a registry.
    Images,
}

fn parse(arguments: &[String]) -> Result<(Suite, Effort)> {
    let mut suite = Suite::Run;
    let mut effort = THOROUGH;
    for argument in arguments {
        match argument.as_str() {
            "run" => suite = Suite::Run,
            "build" => suite = Suite::Build,
            "images" => suite = Suite::Images,
            "--quick" => effort = QUICK,
            other => {
                return Err(format!(
                    "unknown argument {other:?}: cargo xtask bench [run|build|images] [--quick]"
                )
                .into());
            }
        }
    }
    Ok((suite, effort))
}

/// One of the benchmarks; `--quick` looks less often.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    if !debian::is_root() {
        return Err(
            "the benchmark mounts a file system and counts in /proc: run it as root".into(),
        );
    }
    let (suite, effort) = parse(arguments)?;
    if std::env::var_os(ALONE).is_none() {
        return alone(arguments);
    }
    let archives = bases::make(false)?;
    let hoist = workspace::hoist()?;
    let disk = disk::Disk::make()?;
    match suite {
        Suite::Run => {
            let floor = workspace::floor()?;
            let kinds = [Kind::Floor, Kind::Engine, Kind::Runtime];
            let tools = Tools::set_up(&hoist, &floor, disk.path(), &archives, &kinds)?;
            measure(&tools, run::rows(effort))?;
            memory::print(&tools, effort.crowd)
        }
        Suite::Build => {
            let kinds = [Kind::Floor, Kind::Engine];
            let tools = Tools::set_up(&hoist, Path::new("cp"), disk.path(), &archives, &kinds)?;
            measure(&tools, build::rows(effort))?;
            build::print_peaks(&tools, effort.large)
        }
        Suite::Images => {
            let kinds = [Kind::Floor, Kind::Engine, Kind::Copier];
            let tools = Tools::set_up(&hoist, Path::new("curl"), disk.path(), &archives, &kinds)?;
            let suite = images::Suite::set_up(&tools, disk.path())?;
            measure(&tools, suite.rows(effort))?;
            suite.print_peaks(&tools, effort.large)
        }
    }
}

fn measure(tools: &Tools, rows: Vec<Row>) -> Result<()> {
    println!("==> {}", tools.names());
    let mut measured = Vec::new();
    for row in rows {
        let times = row.measure(tools)?;
        measured.push(Measured { row, times });
    }
    table::print(tools, &measured);
    Ok(())
}

/// Set for the benchmark in its own mount namespace.
const ALONE: &str = "HOIST_BENCH_ALONE";

/// Runs the benchmark again in a mount namespace of its own: what it mounts goes with it, and the empty
/// v2 tree that some machines have beside v1, which crun does not stand, is out of sight.
fn alone(arguments: &[String]) -> Result<()> {
    let script = "umount /sys/fs/cgroup/unified 2> /dev/null; exec \"$@\"";
    let mut unshare = command("unshare", ["--mount", "sh", "-c", script, "sh"]);
    unshare
        .arg(std::env::current_exe()?)
        .arg("bench")
        .args(arguments)
        .env(ALONE, "1");
    program::run(&mut unshare)
}
