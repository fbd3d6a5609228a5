//! `start`: a container's monitor is started, and says how it went.

use std::{
    io::Write,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Child, Command, Stdio},
};

use hoist_core::{ContainerId, spec::ConsoleSize};
use hoist_sys::lock::Lock;
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};

use crate::{
    attach::{Attachment, Connection, Patience},
    error::EngineError,
    monitor::Instructions,
    root::{Engine, make_dirs},
    status::State,
};

/// How to attach to a container that is started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttachRequest {
    /// Feed the container's standard input.
    pub stdin: bool,
    /// Size of the user's terminal.
    pub size: Option<ConsoleSize>,
}

impl Engine {
    /// Start a container. With `attach` its output is delivered through the [`Attachment`] from
    /// its first byte on.
    ///
    /// # Errors
    /// When it runs already, or cannot be started: the port is taken, the command does not exist.
    /// Nothing of the attempt is left then but the record.
    pub fn start(
        &self,
        id: &ContainerId,
        attach: Option<AttachRequest>,
    ) -> Result<Option<Attachment>, EngineError> {
        let turn = self.take_turn(id)?;
        let Some(container) = self.settle(id)? else {
            self.remove_run_dir(id);
            return Err(EngineError::NoSuchContainer(id.to_string()));
        };
        if container.status.state == State::Running {
            return Ok(None);
        }
        let instructions = Instructions {
            settings: self.settings().clone(),
            id: id.clone(),
            attach_stdin: attach.is_some_and(|attach| attach.stdin),
            attach: attach.is_some(),
            size: attach.and_then(|attach| attach.size),
        };
        // Only an attached starter has somebody to pass signals on to.
        let Some(attach) = attach else {
            self.launch(&instructions, &container.record.name, turn)?;
            return Ok(None);
        };
        let patience = Patience::begin()?;
        match self.launch(&instructions, &container.record.name, turn) {
            Ok((connection, monitor)) => Ok(Some(Attachment::new(
                connection,
                monitor,
                attach.stdin,
                container.record.tty,
            ))),
            Err(error) => Err(patience.fail(error)),
        }
    }

    /// Start a monitor and wait until its container runs.
    ///
    /// The monitor has the turn from now on, until the container runs: should this process be
    /// killed, still nobody else gets in between.
    fn launch(
        &self,
        instructions: &Instructions,
        name: &str,
        turn: Lock,
    ) -> Result<(Connection, Child), EngineError> {
        let (ours, theirs) = UnixStream::pair().map_err(EngineError::system("socketpair"))?;
        let child = Command::new(&self.settings().program)
            .arg("monitor")
            .env_clear()
            .env("HOIST_ROOT", &self.settings().root)
            .stdin(Stdio::from(instructions.to_fd()?))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::from(OwnedFd::from(turn)))
            .spawn()
            .map_err(EngineError::file("run", &self.settings().program))?;
        let mut connection = Connection::new(ours, name);
        connection.started()?;
        Ok((connection, child))
    }
}

impl Engine {
    /// Wait until nobody else starts or removes this container, and keep others waiting.
    ///
    /// Lock order: a turn comes before the monitor's own lock. A monitor never waits for a turn,
    /// for whoever has it may be waiting for the monitor's end.
    pub(crate) fn take_turn(&self, id: &ContainerId) -> Result<Lock, EngineError> {
        let run = self.container_run_dir(id);
        loop {
            make_dirs(&run)?;
            match Lock::exclusive(&run.join("turn")) {
                // Whoever had its turn before removed the directory.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                other => return other.map_err(EngineError::file("lock", run.join("turn"))),
            }
        }
    }
}

impl Instructions {
    /// An anonymous file that holds the instructions.
    fn to_fd(&self) -> Result<OwnedFd, EngineError> {
        let text = serde_json::to_vec(self).map_err(|error| EngineError::System {
            action: "writing the monitor's instructions",
            source: error.into(),
        })?;
        let fd = memfd_create("instructions", MemfdFlags::CLOEXEC)
            .map_err(EngineError::system("memfd_create"))?;
        let mut file = std::fs::File::from(fd);
        file.write_all(&text)
            .map_err(EngineError::system("write"))?;
        seek(&file, SeekFrom::Start(0)).map_err(EngineError::system("lseek"))?;
        Ok(file.into())
    }
}
