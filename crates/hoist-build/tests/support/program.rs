//! The hidden commands that the engine starts, for builds in tests.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("monitor") => hoist_engine::monitor::main(),
        Some("build-step") => hoist_engine::step::main(),
        _ => ExitCode::FAILURE,
    }
}
