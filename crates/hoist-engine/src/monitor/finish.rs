//! The end of a container: everything that it held is given back, its last status is written, and
//! whoever waits is told, in this order.

use std::{fs, os::fd::AsFd};

use hoist_core::time::Timestamp;
use hoist_sys::{lock::Lock, process};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

use super::{clients::Client, event_loop::EventLoop};
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
        status.error = self.trouble.take().or(self.log.error.take());
        if let Some(cgroup) = &self.live.claims.cgroup {
            status.oom_killed = cgroup.oom_kills() > 0;
            status.memory_peak = cgroup.memory_peak();
        }
        let given_back = self.live.claims.give_back(self.engine);
        if let Err(error) = &given_back {
            self.live
                .status
                .error
                .get_or_insert_with(|| hoist_core::error::chain(error));
        }
        // The sockets of its ports say who has them: they go before anybody can start it again.
        self.live.forwarder = None;
        let left = self.leave(given_back.is_ok());
        if let Err(error) = &left {
            self.live
                .status
                .error
                .get_or_insert_with(|| hoist_core::error::chain(error));
        }
        self.tell();
        drop(given_back);
        left
    }

    /// The last status is written and the monitor's files are removed; a container with `--rm`
    /// vanishes.
    fn leave(&mut self, given_back: bool) -> Result<(), EngineError> {
        let record = &self.live.record;
        if !given_back {
            // The live status, the claims in it, and the socket stay as they are: the next command
            // that starts or removes the container takes away what is left of it.
            self.live.status.state = State::Exited;
            return self.write_status();
        }
        self.live.status.endpoint = None;
        if record.auto_remove {
            return self.engine.take_away(record, true);
        }
        let written = write_json(
            &self.engine.container_dir(&record.id).join("status.json"),
            &self.live.status,
        );
        if let Err(error) = written {
            // A full disk, most likely: the live status has the last words until it has room.
            self.live
                .status
                .error
                .get_or_insert_with(|| hoist_core::error::chain(&error));
            drop(fs::remove_file(
                self.engine
                    .container_run_dir(&record.id)
                    .join("monitor.sock"),
            ));
            return self.write_status();
        }
        self.engine.clear_run_dir(&record.id);
        // Nobody waits to start or remove it: nothing of it has to stay.
        let turn = self.engine.container_run_dir(&record.id).join("turn");
        if let Ok(Some(turn)) = Lock::try_exclusive(&turn) {
            self.engine.remove_run_dir(&record.id);
            drop(turn);
        }
        Ok(())
    }

    /// Tell everybody, each as fast as it listens: one that has stopped reading keeps nobody else
    /// waiting, and no port or descriptor either.
    fn tell(self) {
        let status = serde_json::to_vec(&self.live.status).unwrap_or_default();
        let mut clients = self.into_clients();
        for client in &mut clients {
            client.push(Kind::Exited, &status);
        }
        loop {
            clients.retain(Client::wants_to_write);
            if clients.is_empty() {
                return;
            }
            let mut fds: Vec<_> = clients
                .iter()
                .map(|client| PollFd::new(client, PollFlags::OUT))
                .collect();
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            drop(fds);
            clients.iter_mut().for_each(Client::flush);
        }
    }
}
