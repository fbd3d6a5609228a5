//! The hoist command line: arguments → one engine call → rendering.
//!
//! [`cli`] finds the command that was named and parses its flags with that command's own parser
//! ([`args`]); a function in [`commands`] makes the engine call and renders what comes back
//! ([`format`], [`ui`]). [`settings`] is the only place that reads the environment, [`error`] the
//! only one that knows exit codes.
//!
//! Two hidden commands are dispatched before anything else, because they are started by the engine
//! and must stay tiny: `monitor`, which owns one running container, and `build-step`, which runs
//! one RUN instruction.
#![forbid(unsafe_code)]

mod args;
mod cli;
mod commands;
mod error;
mod format;
mod settings;
mod ui;

use std::process::ExitCode;

fn main() -> ExitCode {
    // What containers and images are made of has the modes it is given, whatever the user's mask.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    let words: Vec<_> = words.collect();
    match words.first().and_then(|word| word.to_str()) {
        Some("monitor") => hoist_engine::monitor::main(),
        Some("build-step") => hoist_engine::step::main(),
        _ => cli::main(&program, words),
    }
}
