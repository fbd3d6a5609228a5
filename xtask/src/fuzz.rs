//! `cargo xtask fuzz`: any bytes through the readers of files that come from strangers.
//!
//! With cargo-fuzz and a nightly toolchain it is libFuzzer, led by coverage. Without them it is a
//! loop of the project's own over the same targets and the same corpus (`fuzz/corpus`), with a seed
//! that is printed: the same seed is the same run.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::program::{self, Result};
use crate::workspace;

/// The targets of `fuzz/`.
const TARGETS: [&str; 2] = ["dockerfile", "dockerignore"];

/// What is asked for.
struct Plan {
    /// Of all targets together.
    minutes: u64,
    seed: u64,
    targets: Vec<&'static str>,
}

/// Runs the targets, one after the other.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let plan = Plan::parse(arguments)?;
    // libFuzzer takes none for as long as you like.
    let seconds = (plan.minutes * 60 / plan.targets.len() as u64).max(1);
    let failures = workspace::target().join("fuzz/failures");
    std::fs::create_dir_all(&failures)?;
    let fuzz = workspace::root().join("fuzz");
    let has_libfuzzer = has_libfuzzer();
    if !has_libfuzzer {
        println!("no cargo-fuzz with a nightly toolchain here: the project's own loop does it");
    }
    for target in plan.targets {
        println!("==> {target}, {seconds} s, seed {}", plan.seed);
        if has_libfuzzer {
            // What it finds on the way goes below target/: the corpus of the project stays small.
            let found = workspace::target().join("fuzz/corpus").join(target);
            std::fs::create_dir_all(&found)?;
            let mut command = program::command("cargo", ["+nightly", "fuzz", "run"]);
            command.args(["--features", "libfuzzer", "--target-dir"]);
            command.arg(workspace::target().join("fuzz")).arg(target);
            command.arg(found).arg(fuzz.join("corpus").join(target));
            command.arg("--").arg(format!("-max_total_time={seconds}"));
            command.arg(format!("-seed={}", plan.seed % u64::from(u32::MAX)));
            command.arg(format!("-artifact_prefix={}/", failures.display()));
            program::run(command.current_dir(workspace::root()))?;
            continue;
        }
        let mut command = workspace::cargo(["run", "--release", "--quiet", "--bin", "mutate"]);
        command.arg("--manifest-path").arg(fuzz.join("Cargo.toml"));
        command
            .arg("--target-dir")
            .arg(workspace::target().join("fuzz"));
        command.arg("--").arg(target);
        command.arg(seconds.to_string()).arg(plan.seed.to_string());
        command.arg(fuzz.join("corpus").join(target));
        command.arg(&failures);
        program::run(&mut command)?;
    }
    Ok(())
}

impl Plan {
    fn parse(arguments: &[String]) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let mut plan = Self {
            minutes: 1,
            seed: now.as_secs(),
            targets: Vec::new(),
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut number = || -> Result<u64> {
                let text = words
                    .next()
                    .ok_or_else(|| format!("{word} needs a number"))?;
                Ok(text
                    .parse()
                    .map_err(|_| format!("{word}: {text} is no number"))?)
            };
            match word.as_str() {
                "--minutes" => plan.minutes = number()?,
                "--seed" => plan.seed = number()?,
                name => match TARGETS.iter().find(|known| **known == name) {
                    Some(target) => plan.targets.push(target),
                    None => {
                        let known = TARGETS.join(", ");
                        return Err(
                            format!("there is no target {name:?}: it is one of {known}").into()
                        );
                    }
                },
            }
        }
        if plan.targets.is_empty() {
            plan.targets = TARGETS.to_vec();
        }
        Ok(plan)
    }
}

/// True when libFuzzer can be used: cargo-fuzz is there, and a nightly toolchain.
fn has_libfuzzer() -> bool {
    let answers = |program: &str, arguments: &[&str]| {
        let output = program::output(program::command(program, arguments).current_dir("/"));
        output.is_ok_and(|output| output.status.success())
    };
    program::find("cargo-fuzz").is_some() && answers("cargo", &["+nightly", "--version"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &[&str]) -> Result<Plan> {
        Plan::parse(
            &words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn words_make_a_plan() {
        let all = plan(&[]).unwrap();
        assert_eq!((all.minutes, all.targets), (1, TARGETS.to_vec()));
        let one = plan(&["--minutes", "10", "--seed", "7", "dockerignore"]).unwrap();
        assert_eq!(
            (one.minutes, one.seed, one.targets),
            (10, 7, vec!["dockerignore"])
        );
        for wrong in [&["--minutes"][..], &["--seed", "x"], &["docker"]] {
            assert!(plan(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_target_has_a_corpus() {
        for target in TARGETS {
            let corpus = workspace::root().join("fuzz/corpus").join(target);
            assert!(
                std::fs::read_dir(corpus).unwrap().next().is_some(),
                "{target}"
            );
        }
    }
}
