//! The end of a container: everything that it held is given back, its last status is written, and
//! whoever waits is told, in this order.

use std::{fs, os::fd::AsFd};

use hoist_core::time::Timestamp;
use hoist_sys::process;

use super::event_loop::EventLoop;
use crate::{error::EngineError, root::write_json, status::State, system::clock, wire::Kind};

impl EventLoop<'_> {
    /// Clean up after the container's process, which has ended, and tell everybody.
    pub(super) fn finish(mut self) -> Result<(), EngineError> {
        let exit = process::wait(self.live.container.pidfd.as_fd())
            .map_err(EngineError::system("waitid"))?;
        let now = Timestamp::from(clock());
        self.log.finish(now);
        let status = &mut self.live.status;
        status.state = State::Exited;
        status.pid = 0;
        status.monitor = 0;
        status.finished = Some(now);
        status.exit_code = i32::from(exit.exit_code());
        status.error = self.log.error.take();
        if let Some(cgroup) = &self.live.claims.cgroup {
            status.oom_killed = cgroup.oom_kills() > 0;
            status.memory_peak = cgroup.memory_peak();
        }
        // What could not be given back is told, and swept by the next command that looks.
        let given_back = self.live.claims.give_back(self.engine);
        if let Err(error) = &given_back {
            self.live
                .status
                .error
                .get_or_insert_with(|| hoist_core::error::chain(error));
        }
        self.live.status.endpoint = None;
        self.leave()?;
        self.tell()?;
        drop(given_back);
        Ok(())
    }

    /// The last status is written and the lock let go; a container with `--rm` vanishes.
    fn leave(&self) -> Result<(), EngineError> {
        let record = &self.live.record;
        let run = self.engine.container_run_dir(&record.id);
        if record.auto_remove {
            return self.engine.take_away(record, true);
        }
        self.write_status()?;
        write_json(
            &self.engine.container_dir(&record.id).join("status.json"),
            &self.live.status,
        )?;
        fs::remove_dir_all(&run).map_err(EngineError::file("remove", run))
    }

    fn tell(self) -> Result<(), EngineError> {
        let Self { live, clients, .. } = self;
        let status = serde_json::to_vec(&live.status).unwrap_or_default();
        drop(live.lock);
        for mut client in clients {
            client.push(Kind::Exited, &status);
            client.finish()?;
        }
        // A client that connected too late sees the end of its connection, and looks again.
        drop(live.listener);
        Ok(())
    }
}
