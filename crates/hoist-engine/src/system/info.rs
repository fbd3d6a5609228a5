//! `info`: what this hoist runs on.

use std::fs;

use serde_json::{Value, json};

use crate::{error::EngineError, root::Engine, status::State, system::processors};

impl Engine {
    /// Docker's document of `docker info`, as far as it says something true about hoist.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn info(&self) -> Result<Value, EngineError> {
        let containers = self.survey()?.containers;
        let running = containers
            .iter()
            .filter(|container| container.status.state == State::Running)
            .count();
        let read = |path: &str| {
            fs::read_to_string(path)
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let mut security = vec!["name=seccomp,profile=builtin", "name=cgroupns"];
        if self.settings().rootless {
            security.push("name=rootless");
        }
        let layers = self.store().form_choice();
        Ok(json!({
            "Containers": containers.len(),
            "ContainersRunning": running,
            "ContainersPaused": 0,
            "ContainersStopped": containers.len() - running,
            "Images": self.store().images()?.len(),
            "Driver": "overlay2",
            "LayerForm": { "Form": layers.form.name(), "Reason": layers.reason },
            "LoggingDriver": "json-file",
            "CgroupDriver": "cgroupfs",
            "CgroupVersion": if fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap_or(false) { "2" } else { "1" },
            "SecurityOptions": security,
            "KernelVersion": read("/proc/sys/kernel/osrelease"),
            "OperatingSystem": operating_system(),
            "OSType": "linux",
            "Architecture": std::env::consts::ARCH,
            "NCPU": processors(),
            "MemTotal": memory_total(),
            "DockerRootDir": self.settings().root,
            "RunDir": self.settings().run,
            "Name": read("/proc/sys/kernel/hostname"),
            "ServerVersion": env!("CARGO_PKG_VERSION"),
            "DefaultRuntime": "hoist",
            "Daemon": "none",
            "Rootless": self.settings().rootless,
        }))
    }
}

fn operating_system() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.map_or_else(
        || "Linux".to_owned(),
        |name| name.trim_matches('"').to_owned(),
    )
}

fn memory_total() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}
