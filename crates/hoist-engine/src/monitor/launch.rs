//! Bringing a container up: everything is claimed, or nothing stays claimed.

use std::{
    fs::{self, File},
    net::Ipv4Addr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
};

use hoist_core::{port::PortMapping, spec::NamespaceKind, time::Timestamp};
use hoist_network::{
    Attach, Endpoint, Forwarder, Lingering, NetworkError, PublishedPort, hosts_file,
};
use hoist_runtime::{Cgroup, Container, Launch, Rootfs, Stdio, create};
use hoist_sys::lock::Lock;
use rustix::pipe::{PipeFlags, pipe_with};

use super::{Instructions, health::probe};
use crate::{
    attach::socket_path,
    error::EngineError,
    host_files,
    record::Record,
    request::NetworkMode,
    root::{Engine, cgroup_path, make_dirs, write_json},
    status::{Health, State, Status},
    system::{boot_id, clock},
};

/// A running container and everything that the monitor holds for it.
pub(super) struct Live {
    pub(super) record: Record,
    pub(super) status: Status,
    pub(super) container: Container,
    pub(super) stdio: HostStdio,
    pub(super) listener: UnixListener,
    pub(super) forwarder: Option<Forwarder>,
    pub(super) claims: Claims,
    pub(super) lock: Lock,
}

/// What a container holds outside its own process; given back at its end.
#[derive(Default)]
pub(crate) struct Claims {
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) cgroup: Option<Cgroup>,
}

/// The host's ends of the container's standard streams.
pub(super) enum HostStdio {
    Pipes {
        stdin: Option<OwnedFd>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    Terminal(OwnedFd),
}

/// Start the container, or undo every part of the attempt. The root comes along to be let go of when
/// there is time: to unmount a layer takes longer than to mount it.
pub(super) fn launch(
    engine: &Engine,
    instructions: &Instructions,
) -> Result<(Live, Rootfs), EngineError> {
    let id = &instructions.id;
    let run = engine.container_run_dir(id);
    make_dirs(&run)?;
    let lock =
        Lock::exclusive(&run.join("lock")).map_err(EngineError::file("lock", run.join("lock")))?;
    let Some(found) = engine.container(id)? else {
        return Err(EngineError::NoSuchContainer(id.to_string()));
    };
    let mut claims = Claims::default();
    match bring_up(engine, instructions, found.record, &mut claims) {
        Ok((record, status, container, stdio, forwarder, listener, rootfs)) => {
            let live = Live {
                record,
                status,
                container,
                stdio,
                listener,
                forwarder,
                claims,
                lock,
            };
            Ok((live, rootfs))
        }
        Err(error) => {
            let mut status = found.status;
            status.state = State::Created;
            status.exit_code = exit_code(&error);
            status.error = Some(hoist_core::error::chain(&error));
            // The first error is the one to tell. When the disk is full the status of before stays.
            drop(write_json(
                &engine.container_dir(id).join("status.json"),
                &status,
            ));
            // What is not given back is found by the socket that stays, and taken away.
            if claims.give_back(engine).is_ok() {
                engine.remove_run_dir(id);
            }
            Err(error)
        }
    }
}

/// Docker's exit code of a container that could not be started.
fn exit_code(error: &EngineError) -> i32 {
    match hoist_core::Describe::kind(error) {
        hoist_core::Kind::ContainerCommand(code) => i32::from(code),
        _ => 128,
    }
}

type Up = (
    Record,
    Status,
    Container,
    HostStdio,
    Option<Forwarder>,
    UnixListener,
    Rootfs,
);

fn bring_up(
    engine: &Engine,
    instructions: &Instructions,
    record: Record,
    claims: &mut Claims,
) -> Result<Up, EngineError> {
    let run = engine.container_run_dir(&record.id);
    let listener = listen(&run)?;
    engine.prepare_volumes(&record)?;
    let (forwarder, ports) = bind_ports(engine, &record)?;
    write_files(engine, &record, None)?;
    let rootfs = engine.rootfs(&record)?;
    let mut spec = engine.spec(&record, &rootfs)?;
    spec.process.console_size = instructions.size;
    claims.cgroup = make_cgroup(engine, &record, &spec)?;
    let (stdio, ours) = stdio(&record)?;
    let created = create(Launch {
        spec: &spec,
        rootfs: &rootfs,
        stdio,
        cgroup: claims.cgroup.as_ref(),
        rootless: engine.settings().rootless,
        init: record.init,
        die_with_parent: true,
    })?;
    if record.network == NetworkMode::Bridge {
        let networks = engine.networks();
        let bridge = networks.default_bridge()?;
        let netns = created.namespace(NamespaceKind::Network)?;
        let attach = Attach {
            container: &record.id,
            netns: netns.as_fd(),
            ports: &ports,
        };
        let endpoint = networks.attach(&bridge, &attach)?;
        write_files(engine, &record, Some(endpoint.address))?;
        claims.endpoint = Some(endpoint);
    }
    let mut container = created.start()?;
    let stdio = match (ours, container.terminal.take()) {
        (Some(pipes), _) => pipes,
        (None, Some(terminal)) => HostStdio::Terminal(terminal),
        (None, None) => {
            return Err(EngineError::invalid(
                "the container has neither pipes nor a terminal",
            ));
        }
    };
    let mut forwarder = forwarder;
    if let (Some(forwarder), Some(endpoint)) = (&mut forwarder, &claims.endpoint) {
        forwarder.connect_to(endpoint.address)?;
    }
    let status = Status {
        state: State::Running,
        pid: container.pid,
        monitor: i32::try_from(std::process::id()).unwrap_or(0),
        started: Some(Timestamp::from(clock())),
        health: probe(&record).map(|_| Health::starting()),
        endpoint: claims.endpoint.clone(),
        boot_id: boot_id()?,
        ..Status::default()
    };
    write_json(&run.join("status.json"), &status)?;
    if !record.auto_remove {
        write_json(
            &engine.container_dir(&record.id).join("status.json"),
            &status,
        )?;
    }
    Ok((
        record, status, container, stdio, forwarder, listener, rootfs,
    ))
}

/// The control socket; a client that connects before the loop turns waits in its queue.
fn listen(run: &std::path::Path) -> Result<UnixListener, EngineError> {
    let path = run.join("monitor.sock");
    drop(fs::remove_file(&path));
    let directory = File::open(run).map_err(EngineError::file("open", run))?;
    let listener = UnixListener::bind(socket_path(directory.as_fd()))
        .map_err(EngineError::file("listen on", &path))?;
    listener
        .set_nonblocking(true)
        .map_err(EngineError::file("listen on", &path))?;
    Ok(listener)
}

fn bind_ports(
    engine: &Engine,
    record: &Record,
) -> Result<(Option<Forwarder>, Vec<PublishedPort>), EngineError> {
    if record.ports.is_empty() {
        return Ok((None, Vec::new()));
    }
    let mut wanted = Vec::with_capacity(record.ports.len());
    for mapping in &record.ports {
        wanted.push(choose_port(mapping)?);
    }
    let bound = Forwarder::bind(&wanted);
    let (forwarder, ports) = bound.map_err(|error| name_container(engine, error))?;
    Ok((Some(forwarder), ports))
}

/// Where a monitor of this root holds the port, the container says more than the process does.
fn name_container(engine: &Engine, mut error: NetworkError) -> NetworkError {
    if let NetworkError::PortTaken {
        holder: Some(holder),
        ..
    } = &mut error
        && let Ok(survey) = engine.survey()
    {
        let holds = |monitor: i32| u32::try_from(monitor).is_ok_and(|pid| pid == holder.pid);
        if let Some(found) = survey
            .containers
            .iter()
            .find(|found| holds(found.status.monitor))
        {
            holder.name = format!("container {}", found.record.name);
        }
    }
    error
}

/// The first port of a mapping's range that is free; a mapping to one port, or to any, stays as
/// it is.
fn choose_port(mapping: &PortMapping) -> Result<PublishedPort, EngineError> {
    let published = |host_port| PublishedPort {
        host_ip: mapping.host_ip,
        host_port,
        container_port: mapping.container_port,
        protocol: mapping.protocol,
    };
    let Some(range) = mapping.host_ports() else {
        return Ok(published(0));
    };
    let (first, last) = (*range.start(), *range.end());
    if first == last {
        return Ok(published(first));
    }
    let mut taken = None;
    for port in range.map(published) {
        match Forwarder::bind(std::slice::from_ref(&port)) {
            Ok(_) => return Ok(port),
            Err(error) => taken = Some(error),
        }
    }
    Err(taken.map_or_else(
        || EngineError::invalid("the range of ports is empty"),
        EngineError::from,
    ))
}

/// `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`; written in place, for they may be mounted.
fn write_files(
    engine: &Engine,
    record: &Record,
    address: Option<Ipv4Addr>,
) -> Result<(), EngineError> {
    let run = engine.container_run_dir(&record.id);
    let write = |name: &str, text: String| {
        let path = run.join(name);
        fs::write(&path, text).map_err(EngineError::file("write", path))
    };
    if record.network == NetworkMode::Host {
        write("hosts", host_files::read("/etc/hosts")?)?;
        return write("resolv.conf", host_files::read("/etc/resolv.conf")?);
    }
    write("hosts", hosts_file(&record.hostname, None, address, &[]))?;
    if address.is_some() {
        return Ok(());
    }
    write("hostname", format!("{}\n", record.hostname))?;
    write("resolv.conf", host_files::container_resolv_conf()?)
}

/// The container's cgroup. An ordinary user without a delegated one goes without, unless a limit
/// was asked for.
fn make_cgroup(
    engine: &Engine,
    record: &Record,
    spec: &hoist_core::spec::Spec,
) -> Result<Option<Cgroup>, EngineError> {
    let resources = spec.linux.resources.clone().unwrap_or_default();
    let rootless = engine.settings().rootless;
    match Cgroup::create(&cgroup_path(&record.id), &resources, !rootless) {
        Ok(cgroup) => Ok(Some(cgroup)),
        Err(_) if rootless && resources == hoist_core::spec::Resources::default() => Ok(None),
        Err(_) if rootless => Err(EngineError::Unsupported {
            message:
                "limits of memory, processors and processes need root in this version of hoist"
                    .to_owned(),
            hint: Some("leave out --memory, --cpus and --pids-limit, or run as root".to_owned()),
        }),
        Err(error) => Err(error.into()),
    }
}

/// The container's ends of its standard streams, and ours; a terminal is made later, by the child.
fn stdio(record: &Record) -> Result<(Stdio, Option<HostStdio>), EngineError> {
    if record.tty {
        return Ok((Stdio::Terminal, None));
    }
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(EngineError::system("pipe"));
    let (stdout, their_stdout) = pipe()?;
    let (stderr, their_stderr) = pipe()?;
    let (their_stdin, stdin) = if record.stdin_open {
        let (theirs, ours) = pipe()?;
        (theirs, Some(ours))
    } else {
        let null = File::open("/dev/null").map_err(EngineError::file("open", "/dev/null"))?;
        (null.into(), None)
    };
    let theirs = Stdio::Fds {
        stdin: their_stdin,
        stdout: their_stdout,
        stderr: their_stderr,
    };
    Ok((
        theirs,
        Some(HostStdio::Pipes {
            stdin,
            stdout,
            stderr,
        }),
    ))
}

impl Claims {
    /// Give everything back; goes on after a failure and reports the first.
    ///
    /// The container's interface vanishes with its network namespace, which the kernel takes down
    /// in its own time. What is returned may take a moment to drop: keep it until nobody waits.
    pub(crate) fn give_back(&mut self, engine: &Engine) -> Result<Option<Lingering>, EngineError> {
        let network = self
            .endpoint
            .take()
            .map(|endpoint| engine.networks().release(&endpoint));
        let cgroup = self
            .cgroup
            .take()
            .map(|cgroup| cgroup.kill().and_then(|()| cgroup.remove()));
        let lingering = network.transpose()?;
        cgroup.transpose()?;
        Ok(lingering)
    }
}
