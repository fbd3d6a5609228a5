//! RUN steps of builds: a container without record, log or monitor.
//!
//! The builder has threads, and a container is cloned by a process that has one: a hidden command
//! does it. It gets its instructions over a socket on its standard input and answers there; when
//! the socket closes, because the builder cancels or dies, it kills the step and cleans up.

use std::{
    fs::File,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use hoist_core::{ContainerId, Digest, spec};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, fcntl_dupfd_cloexec},
    stdio,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::{EngineError, Told},
    request::NetworkMode,
    root::{Engine, Settings},
    system::random_bytes,
    wire::{self, Kind},
};

mod confinement;
mod run;
mod stubs;

/// One RUN step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The layers below, lowest first.
    pub layers: Vec<Digest>,
    /// The directory that becomes the new layer.
    pub upper: PathBuf,
    /// Overlay's work directory, on the same file system.
    pub work: PathBuf,
    /// Program and arguments.
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Working directory; made if absent.
    pub working_dir: String,
    /// `user[:group]`; empty is root.
    pub user: String,
    /// Network; for ordinary users [`NetworkMode::Bridge`] is the host's.
    pub network: NetworkMode,
    /// How far it is kept from the host.
    pub confinement: Confinement,
    /// Devices beside the usual ones.
    pub devices: Vec<spec::Device>,
    /// Mounts beside the usual ones.
    pub mounts: Vec<spec::Mount>,
    /// Host name.
    pub hostname: String,
    /// What else its surroundings are made of.
    pub surroundings: Surroundings,
}

/// How far a step is kept from the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Confinement {
    /// As every container: Docker's capabilities, filter, masked paths and devices.
    #[default]
    Usual,
    /// Not at all but for its namespaces: every capability that hoist has, no filter, every device,
    /// `/sys` and its cgroup writable (BuildKit's `security.insecure`).
    None,
}

/// What a caller may change about the surroundings of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Surroundings {
    /// Names and addresses for `/etc/hosts`; the address `host-gateway` is the host's on the bridge.
    pub extra_hosts: Vec<(String, String)>,
    /// Bytes of `/dev/shm`; 64 MiB when absent.
    pub shm_size: Option<u64>,
    /// Limits on resources of its processes.
    pub rlimits: Vec<spec::Rlimit>,
    /// The cgroup below which its own is made, absolute; hoist's own when absent.
    pub cgroup_parent: Option<String>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepExit {
    /// Exit code, 128 and the signal's number for a signal.
    pub code: i32,
    /// A process of it was killed for memory.
    pub oom_killed: bool,
}

/// What the hidden command is told.
#[derive(Serialize, Deserialize)]
struct Instructions {
    settings: Settings,
    id: ContainerId,
    step: Step,
}

impl Engine {
    /// Run one step and wait for it. Its output goes to the two descriptors as it comes. Callable
    /// from any thread.
    ///
    /// # Errors
    /// When it cannot be started; [`EngineError::Cancelled`] once `cancelled` is set. Nothing of it
    /// runs any more then.
    pub fn run_step(
        &self,
        step: &Step,
        stdout: OwnedFd,
        stderr: OwnedFd,
        cancelled: &AtomicBool,
    ) -> Result<StepExit, EngineError> {
        let (ours, theirs) = UnixStream::pair().map_err(EngineError::system("socketpair"))?;
        let mut child = Command::new(&self.settings().program)
            .arg("build-step")
            .env_clear()
            .env("HOIST_ROOT", &self.settings().root)
            .process_group(0) // Ctrl-C is the builder's to deal with
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(stdout))
            .stderr(Stdio::from(stderr))
            .spawn()
            .map_err(EngineError::file("run", &self.settings().program))?;
        let id = ContainerId::from_random(random_bytes()?);
        let instructions = Instructions {
            settings: self.settings().clone(),
            id,
            step: step.clone(),
        };
        let answer = ask(&ours, &instructions, cancelled);
        drop(ours); // a step that still runs is killed now
        child.wait().map_err(EngineError::system("wait"))?;
        answer
    }
}

fn ask(
    socket: &UnixStream,
    instructions: &Instructions,
    cancelled: &AtomicBool,
) -> Result<StepExit, EngineError> {
    let lost = |source| EngineError::System {
        action: "talking to the build step",
        source,
    };
    let text = serde_json::to_vec(instructions).map_err(|error| lost(error.into()))?;
    wire::send(socket, Kind::Attach, &text).map_err(lost)?;
    let tick = Timespec {
        tv_sec: 0,
        tv_nsec: 50_000_000,
    };
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return Err(EngineError::Cancelled);
        }
        match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&tick)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => break,
            Err(error) => return Err(EngineError::system("poll")(error)),
        }
    }
    match wire::receive(socket).map_err(lost)? {
        Some((Kind::Exited, body)) => wire::parse(&body).map_err(lost),
        Some((Kind::Failed, body)) => {
            Err(EngineError::Told(wire::parse::<Told>(&body).map_err(lost)?))
        }
        Some(_) | None => Err(EngineError::MonitorLost("of the build step".to_owned())),
    }
}

/// The hidden command `build-step`.
#[must_use]
pub fn main() -> ExitCode {
    let Ok(socket) = fcntl_dupfd_cloexec(stdio::stdin(), 3).map(UnixStream::from) else {
        return ExitCode::FAILURE;
    };
    let frame = match carry_out(&socket) {
        Ok(exit) => wire::json(Kind::Exited, &exit),
        Err(error) => wire::json(Kind::Failed, &Told::of(&error)),
    };
    // A builder that is gone needs no answer.
    match std::io::Write::write_all(&mut &socket, &frame) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn carry_out(socket: &UnixStream) -> Result<StepExit, EngineError> {
    let lost = |source| EngineError::System {
        action: "talking to the builder",
        source,
    };
    let Some((_, body)) = wire::receive(socket).map_err(lost)? else {
        return Err(EngineError::Cancelled);
    };
    let Instructions { settings, id, step } = wire::parse(&body).map_err(lost)?;
    let null = File::open("/dev/null").map_err(EngineError::file("open", "/dev/null"))?;
    let copy = |fd| fcntl_dupfd_cloexec(fd, 3).map_err(EngineError::system("dup"));
    let (stdout, stderr) = (copy(stdio::stdout())?, copy(stdio::stderr())?);
    // Only the step itself keeps the outputs open: their end is its end.
    stdio::dup2_stdin(&null).map_err(EngineError::system("dup2"))?;
    stdio::dup2_stdout(&null).map_err(EngineError::system("dup2"))?;
    stdio::dup2_stderr(&null).map_err(EngineError::system("dup2"))?;
    let engine = Engine::open(settings)?;
    let streams = hoist_runtime::Stdio::Fds {
        stdin: null.into(),
        stdout,
        stderr,
    };
    run::run(&engine, &id, &step, streams, socket.as_fd())
}
