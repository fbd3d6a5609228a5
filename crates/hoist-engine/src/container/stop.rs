//! `kill`, `stop` and `restart`: requests to the monitor, which alone touches the process.

use std::time::Duration;

use hoist_core::{ContainerId, signal::Signal};

use super::Container;
use crate::{
    attach::Connection,
    error::EngineError,
    root::Engine,
    status::{State, Status},
    wire::{Kind, StopRequest},
};

impl Engine {
    /// Send a signal to a container's PID 1.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self, container: &Container, signal: Signal) -> Result<(), EngineError> {
        let mut connection = self.control(container)?;
        connection
            .send(Kind::Signal, &signal.number().to_le_bytes())
            .and_then(|()| connection.answer())
            .map_err(|error| match error {
                // It ended while it was asked.
                EngineError::MonitorLost(name) => EngineError::NotRunning(name),
                other => other,
            })
    }

    /// Ask a container to stop, and kill it when `timeout` (its own grace period when `None`) has
    /// passed. Returns its last status; a container that does not run is left alone.
    ///
    /// # Errors
    /// When its monitor cannot be reached.
    pub fn stop(
        &self,
        container: &Container,
        timeout: Option<Duration>,
    ) -> Result<Status, EngineError> {
        let text = &container.record.config.stop_signal;
        let signal = text.parse().unwrap_or(Signal::TERM);
        self.stop_with(
            container,
            signal,
            Some(timeout.unwrap_or(container.record.stop_timeout)),
        )
    }

    /// [`Engine::stop`] with a signal of the caller's; a grace of `None` waits for ever.
    ///
    /// # Errors
    /// When its monitor cannot be reached.
    pub fn stop_with(
        &self,
        container: &Container,
        signal: Signal,
        grace: Option<Duration>,
    ) -> Result<Status, EngineError> {
        if container.status.state != State::Running {
            return Ok(container.status.clone());
        }
        let grace = grace.map(|grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        let request = StopRequest {
            signal: signal.number(),
            grace,
        };
        let asked = self.control(container).and_then(|mut connection| {
            connection.send_json(Kind::Stop, &request)?;
            connection.exited()
        });
        match asked {
            // It ended by itself in the meantime, or its monitor was killed: look again.
            Err(EngineError::NotRunning(_) | EngineError::MonitorLost(_)) => {
                self.observe(&container.record)
            }
            other => other,
        }
    }

    /// Stop a container, if it runs, and start it again.
    ///
    /// # Errors
    /// As [`Engine::stop`] and [`Engine::start`].
    pub fn restart(
        &self,
        container: &Container,
        timeout: Option<Duration>,
    ) -> Result<(), EngineError> {
        self.stop(container, timeout)?;
        self.start(&container.record.id, None).map(drop)
    }

    /// A connection to the monitor of a running container.
    pub(crate) fn control(&self, container: &Container) -> Result<Connection, EngineError> {
        let name = &container.record.name;
        if container.status.state != State::Running {
            return Err(EngineError::NotRunning(name.clone()));
        }
        self.connect(&container.record.id, name)
    }

    pub(crate) fn connect(&self, id: &ContainerId, name: &str) -> Result<Connection, EngineError> {
        Connection::open(&self.container_run_dir(id), name)
    }
}
