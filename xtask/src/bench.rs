//! `cargo xtask bench`: hoist against the bare system calls and against its peers, in one run.
//!
//! Every row is measured for all tools by turns, so that a busy moment of the machine meets all of them.
//! What counts are the ratios. Data roots lie on an ext4 file system of their own, made for the run, in a
//! file in the target directory; Docker keeps its own.

mod disk;
mod memory;
mod rows;
mod table;
mod tools;

use crate::program::{self, Result, command};
use crate::{bases, debian, workspace};
use rows::ROWS;
use table::Measured;
use tools::Tools;

/// How thorough a run is.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// How often each row is measured for each tool.
    rounds: usize,
    /// How many containers are started in a crowd.
    crowd: usize,
}

/// The whole benchmark; `--quick` looks less often.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    if !debian::is_root() {
        return Err(
            "the benchmark mounts a file system and counts in /proc: run it as root".into(),
        );
    }
    let effort = match arguments {
        [] => Effort {
            rounds: 21,
            crowd: 50,
        },
        [quick] if quick == "--quick" => Effort {
            rounds: 5,
            crowd: 16,
        },
        other => return Err(format!("unknown arguments: {}", other.join(" ")).into()),
    };
    if std::env::var_os(ALONE).is_none() {
        return alone(arguments);
    }
    let archives = bases::make(false)?;
    let hoist = workspace::hoist()?;
    let floor = workspace::floor()?;
    let disk = disk::Disk::make()?;
    let tools = Tools::set_up(&hoist, &floor, disk.path(), &archives)?;
    println!("==> {}", tools.names());

    let mut measured = Vec::new();
    for row in &ROWS {
        println!("==> {}", row.name);
        let mut times = vec![Vec::new(); tools.len()];
        let rounds = if row.heavy {
            effort.rounds.div_ceil(7)
        } else {
            effort.rounds
        };
        // The first round warms caches and is not counted.
        for round in 0..=rounds {
            for (tool, times) in tools.iter().zip(&mut times) {
                if let Some(time) = (row.measure)(tool, effort.crowd)?
                    && round > 0
                {
                    times.push(time);
                }
            }
        }
        measured.push(Measured { row, times });
    }
    table::print(&tools, &measured);
    memory::print(&tools, effort.crowd)?;
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
