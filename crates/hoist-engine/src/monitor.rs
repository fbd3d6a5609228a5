//! The monitor: one small process per running container.
//!
//! hoist re-executed as a hidden command, with its [`Instructions`] on standard input, the
//! starter's connection on standard output and the container's turn (a lock) on standard error,
//! which it keeps until the container runs. One thread, one epoll loop. It alone owns the running
//! container: the process, its standard streams or terminal, the log, the sockets of published
//! ports, health probes, and the clean-up at the end; it alone writes the live status, and holds
//! the lock that says so. If it is killed, the kernel kills the container (parent-death signal).

mod clients;
mod event_loop;
mod finish;
mod health;
mod launch;
mod log;
mod output;

pub(crate) use launch::Claims;

use std::{
    fs::File,
    io::Read,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::ExitCode,
};

use hoist_core::{ContainerId, spec::ConsoleSize};
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::fcntl_dupfd_cloexec,
    stdio,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::{EngineError, Told},
    root::{Engine, Settings},
    wire::{self, Kind},
};

/// What a monitor is told to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instructions {
    /// Where the roots are.
    pub settings: Settings,
    /// Which container to run.
    pub id: ContainerId,
    /// The starter wants the output, from the first byte on.
    pub attach: bool,
    /// The starter feeds standard input.
    pub attach_stdin: bool,
    /// Size of the starter's terminal.
    pub size: Option<ConsoleSize>,
}

/// The hidden command `monitor`.
#[must_use]
pub fn main() -> ExitCode {
    // Whatever the starter has open, another program's lock say, is not to live as long as this.
    if hoist_sys::process::close_inherited().is_err() {
        return ExitCode::FAILURE;
    }
    // Without the starter's connection there is nobody to tell.
    let Ok(starter) = take_starter() else {
        return ExitCode::FAILURE;
    };
    match run(&starter) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(wire::send(
                &starter,
                Kind::Failed,
                &serde_json::to_vec(&Told::of(&error)).unwrap_or_default(),
            ));
            ExitCode::FAILURE
        }
    }
}

fn run(starter: &UnixStream) -> Result<(), EngineError> {
    let instructions = take_instructions()?;
    let turn = fcntl_dupfd_cloexec(stdio::stderr(), 3).map_err(EngineError::system("dup"))?;
    leave_the_starter()?;
    let engine = Engine::open(instructions.settings.clone())?;
    let (live, rootfs) = launch::launch(&engine, &instructions)?;
    let mut events = event_loop::EventLoop::new(&engine, live)?;
    let starter = starter.try_clone().map_err(EngineError::system("dup"))?;
    events.welcome(starter, &instructions)?;
    drop(turn);
    drop(rootfs);
    events.run()
}

fn take_starter() -> std::io::Result<UnixStream> {
    let socket: OwnedFd = fcntl_dupfd_cloexec(stdio::stdout(), 3)?;
    Ok(UnixStream::from(socket))
}

fn take_instructions() -> Result<Instructions, EngineError> {
    let fd = fcntl_dupfd_cloexec(stdio::stdin(), 3).map_err(EngineError::system("dup"))?;
    let mut text = Vec::new();
    File::from(fd)
        .read_to_end(&mut text)
        .map_err(EngineError::system("read"))?;
    serde_json::from_slice(&text).map_err(|error| EngineError::System {
        action: "reading the monitor's instructions",
        source: error.into(),
    })
}

/// Let go of everything that ties this process to whoever started it: session, standard streams,
/// working directory.
fn leave_the_starter() -> Result<(), EngineError> {
    // A process group leader cannot make a session; then it already has what it needs.
    let _ = rustix::process::setsid();
    let null = openat(
        CWD,
        "/dev/null",
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|error| EngineError::file("open", "/dev/null")(error.into()))?;
    stdio::dup2_stdin(&null).map_err(EngineError::system("dup2"))?;
    stdio::dup2_stdout(&null).map_err(EngineError::system("dup2"))?;
    stdio::dup2_stderr(&null).map_err(EngineError::system("dup2"))?;
    rustix::process::chdir("/").map_err(EngineError::system("chdir"))
}
