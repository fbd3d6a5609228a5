//! `inspect`: Docker's document about a container.

use hoist_core::{mount::MountKind, time::Timestamp};
use serde_json::{Map, Value, json};

use super::Container;
use crate::{
    record::{MountPoint, Record},
    root::{Engine, cgroup_path},
    status::{Health, State, Status},
};

impl Engine {
    /// Docker's document about a container, one element of `docker inspect`'s list.
    #[must_use]
    pub fn inspect(&self, container: &Container) -> Value {
        let Container { record, status } = container;
        let args = record.args();
        let (path, rest) = args
            .split_first()
            .map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        let directory = self.container_dir(&record.id);
        let run = self.container_run_dir(&record.id);
        json!({
            "Id": record.id,
            "Created": record.created,
            "Path": path,
            "Args": rest,
            "State": state(record, status),
            "Image": record.image,
            "ResolvConfPath": run.join("resolv.conf"),
            "HostnamePath": run.join("hostname"),
            "HostsPath": run.join("hosts"),
            "LogPath": directory.join("log"),
            "Name": format!("/{}", record.name),
            "RestartCount": status.restarts,
            "Driver": "overlay2",
            "Platform": "linux",
            "HostConfig": host_config(record),
            "GraphDriver": { "Name": "overlay2", "Data": {
                "UpperDir": directory.join("upper"), "WorkDir": directory.join("work"),
            }},
            "Mounts": record.mounts.iter().map(|mount| self.mount(mount)).collect::<Vec<_>>(),
            "Config": config(record),
            "NetworkSettings": network_settings(record, status),
        })
    }

    fn mount(&self, mount: &MountPoint) -> Value {
        let request = &mount.request;
        let writable = !request.read_only;
        match &request.kind {
            MountKind::Bind { source, .. } => json!({
                "Type": "bind", "Source": source, "Destination": request.target, "Mode": "",
                "RW": writable, "Propagation": request.propagation.as_str(),
            }),
            MountKind::Volume { name, .. } => {
                let name = name.as_deref().unwrap_or_default();
                json!({
                    "Type": "volume", "Name": name, "Source": self.volume_data(name),
                    "Destination": request.target, "Driver": "local", "Mode": "", "RW": writable, "Propagation": "",
                })
            }
            MountKind::Image { source, image, .. } => json!({
                "Type": "image", "Name": source, "Source": image, "Destination": request.target,
                "Mode": "", "RW": false, "Propagation": "",
            }),
            MountKind::Tmpfs { .. } => json!({
                "Type": "tmpfs", "Source": "", "Destination": request.target, "Mode": "",
                "RW": writable, "Propagation": "",
            }),
        }
    }
}

fn moment(time: Option<Timestamp>) -> Value {
    time.map_or_else(|| json!("0001-01-01T00:00:00Z"), |time| json!(time))
}

fn state(record: &Record, status: &Status) -> Value {
    let running = status.state == State::Running;
    let mut state = json!({
        "Status": status.state.as_str(),
        "Running": running,
        "Paused": false,
        "Restarting": false,
        "OOMKilled": status.oom_killed,
        "Dead": false,
        "Pid": status.pid,
        "ExitCode": status.exit_code,
        "Error": status.error.as_deref().unwrap_or_default(),
        "StartedAt": moment(status.started),
        "FinishedAt": moment(status.finished),
    });
    let mut add = |name: &str, value: Value| {
        if let Some(map) = state.as_object_mut() {
            map.insert(name.to_owned(), value);
        }
    };
    if let Some(health) = &status.health {
        add("Health", health_document(health));
    }
    if let Some(line) = status.oom_line(record.limits.memory) {
        add("Reason", json!(line));
    } else if let Some(note) = &status.stop_note {
        add("Reason", json!(note));
    }
    if let Some(peak) = status.memory_peak {
        add("MemoryPeak", json!(peak));
    }
    state
}

/// Docker's part about health, with the reason of a failure.
fn health_document(health: &Health) -> Value {
    let mut document = json!(health);
    if let (Some(map), Some(reason)) = (document.as_object_mut(), health.reason()) {
        map.insert("Reason".to_owned(), json!(reason));
    }
    document
}

fn host_config(record: &Record) -> Value {
    let binds: Vec<_> = record.mounts.iter().filter_map(bind).collect();
    let mut bindings = Map::new();
    for port in &record.ports {
        let key = format!("{}/{}", port.container_port, port.protocol);
        let host = json!({
            "HostIp": port.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            "HostPort": port.host_port.map(|port| port.to_string()).unwrap_or_default(),
        });
        if let Some(list) = bindings
            .entry(key)
            .or_insert_with(|| json!([]))
            .as_array_mut()
        {
            list.push(host);
        }
    }
    json!({
        "Binds": binds,
        "NetworkMode": record.network.as_str(),
        "PortBindings": bindings,
        "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 },
        "AutoRemove": record.auto_remove,
        "Memory": record.limits.memory.unwrap_or(0),
        "NanoCpus": record.limits.nano_cpus.unwrap_or(0),
        "PidsLimit": record.limits.pids,
        "ReadonlyRootfs": record.read_only,
        "Init": record.init,
        "LogConfig": { "Type": "json-file", "Config": { "max-size": "10m", "max-file": "3" } },
        "CgroupParent": "/hoist",
        "Cgroup": cgroup_path(&record.id),
        "ShmSize": 67_108_864,
        "Runtime": "hoist",
    })
}

/// The `-v` form of a bind mount or named volume.
fn bind(mount: &MountPoint) -> Option<String> {
    let request = &mount.request;
    let source = match &request.kind {
        MountKind::Bind { source, .. } => source.display().to_string(),
        MountKind::Volume { name, .. } if !mount.anonymous => name.clone().unwrap_or_default(),
        MountKind::Volume { .. } | MountKind::Tmpfs { .. } | MountKind::Image { .. } => {
            return None;
        }
    };
    let mode = if request.read_only { ":ro" } else { "" };
    Some(format!("{source}:{}{mode}", request.target.display()))
}

fn config(record: &Record) -> Value {
    let mut config = serde_json::to_value(&record.config).unwrap_or_else(|_| json!({}));
    if let Some(map) = config.as_object_mut() {
        map.insert("Hostname".to_owned(), json!(record.hostname));
        map.insert("Tty".to_owned(), json!(record.tty));
        map.insert("OpenStdin".to_owned(), json!(record.stdin_open));
        map.insert("Image".to_owned(), json!(record.image_name));
        map.insert(
            "StopTimeout".to_owned(),
            json!(record.stop_timeout.as_secs()),
        );
        for (name, empty) in [
            ("Labels", json!({})),
            ("Cmd", Value::Null),
            ("Entrypoint", Value::Null),
            ("User", json!("")),
            ("WorkingDir", json!("")),
        ] {
            map.entry(name).or_insert(empty);
        }
    }
    config
}

fn network_settings(record: &Record, status: &Status) -> Value {
    let endpoint = status.endpoint.as_ref();
    let address = endpoint
        .map(|endpoint| endpoint.address.to_string())
        .unwrap_or_default();
    let gateway = endpoint
        .map(|endpoint| endpoint.gateway.to_string())
        .unwrap_or_default();
    let mac = endpoint
        .map(|endpoint| endpoint.mac.clone())
        .unwrap_or_default();
    let prefix = endpoint.map_or(0, |endpoint| endpoint.prefix);
    let mut ports = Map::new();
    for exposed in record.config.exposed_ports.keys() {
        ports.insert(exposed.clone(), Value::Null);
    }
    for port in endpoint.into_iter().flat_map(|endpoint| &endpoint.ports) {
        let key = format!("{}/{}", port.container_port, port.protocol);
        let hosts: Vec<String> = match port.host_ip {
            Some(ip) => vec![ip.to_string()],
            None => vec!["0.0.0.0".to_owned(), "::".to_owned()],
        };
        let entry = ports.entry(key).or_insert(Value::Null);
        if entry.is_null() {
            *entry = json!([]);
        }
        if let Some(list) = entry.as_array_mut() {
            list.extend(
                hosts
                    .iter()
                    .map(|ip| json!({ "HostIp": ip, "HostPort": port.host_port.to_string() })),
            );
        }
    }
    json!({
        "Ports": ports,
        "IPAddress": address,
        "IPPrefixLen": prefix,
        "Gateway": gateway,
        "MacAddress": mac,
        "Networks": { record.network.as_str(): {
            "IPAddress": address, "IPPrefixLen": prefix, "Gateway": gateway, "MacAddress": mac,
        }},
    })
}
