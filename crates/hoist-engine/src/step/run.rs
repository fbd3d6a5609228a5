//! The step itself, in the hidden command: claims, clone, wait, clean-up.

use std::{
    fs,
    net::Ipv4Addr,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use hoist_core::{
    ContainerId,
    signal::Signal,
    spec::{Mount, NamespaceKind, Process, Spec},
};
use hoist_network::{Attach, hosts_file};
use hoist_runtime::{Cgroup, Launch, Stdio, create, defaults};
use hoist_sys::{lock::Lock, process::send_signal};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

use super::{Confinement, Step, StepExit, Surroundings, confinement, stubs::Stubs};
use crate::{
    container::{remove_tree, resolve_user},
    error::EngineError,
    host_files,
    monitor::Claims,
    request::{Limits, NetworkMode},
    root::{Engine, cgroup_path, make_dirs},
    spec::{capabilities, ids, linux},
    system::ids_in,
};

/// The file in a step's directory that says where its cgroup is.
const CGROUP: &str = "cgroup";

/// Run the step; `builder` becoming readable or closed means to stop.
pub(super) fn run(
    engine: &Engine,
    id: &ContainerId,
    step: &Step,
    streams: Stdio,
    builder: BorrowedFd<'_>,
) -> Result<StepExit, EngineError> {
    // What an earlier one left that was killed; that it cannot be removed is not this step's fault.
    drop(engine.sweep_steps());
    let directory = engine.step_dir(id);
    let lock = loop {
        make_dirs(&directory)?;
        match Lock::exclusive(&directory.join("lock")) {
            // A sweep came by before it was locked.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => break other.map_err(EngineError::file("lock", &directory))?,
        }
    };
    let mut claims = Claims::default();
    let ended = carry_out(engine, id, step, streams, builder, &mut claims);
    let given = claims.give_back(engine);
    let removed = fs::remove_dir_all(&directory).map_err(EngineError::file("remove", &directory));
    drop(lock);
    let exit = ended?;
    given?;
    removed?;
    Ok(exit)
}

fn carry_out(
    engine: &Engine,
    id: &ContainerId,
    step: &Step,
    streams: Stdio,
    builder: BorrowedFd<'_>,
    claims: &mut Claims,
) -> Result<StepExit, EngineError> {
    let network = network(engine, step);
    let rootfs = engine.step_rootfs(&step.layers, step.upper.clone(), step.work.clone())?;
    let files = write_files(engine, id, step, network)?;
    let user = resolve_user(&rootfs, &step.user)?;
    let mut env = step.env.clone();
    if !env.iter().any(|pair| pair.starts_with("HOME=")) {
        env.push(format!("HOME={}", user.home));
    }
    let mut mounts = defaults::mounts();
    if let Some(bytes) = step.surroundings.shm_size {
        resize_shm(&mut mounts, bytes);
    }
    mounts.extend(files);
    mounts.extend(step.mounts.iter().cloned());
    let stubs = Stubs::before(engine, &step.layers, &mounts)?;
    let mut spec = Spec {
        oci_version: "1.2.0".to_owned(),
        process: Process {
            user: ids(&user),
            args: step.args.clone(),
            env,
            cwd: step.working_dir.clone(),
            capabilities: Some(capabilities(user.uid)),
            rlimits: step.surroundings.rlimits.clone(),
            ..Process::default()
        },
        hostname: if network == NetworkMode::Host {
            String::new()
        } else {
            step.hostname.clone()
        },
        mounts,
        linux: linux(
            engine.settings(),
            network,
            step_cgroup(id, &step.surroundings),
            &Limits::default(),
        ),
        ..Spec::default()
    };
    spec.linux.devices.clone_from(&step.devices);
    if step.confinement == Confinement::None {
        confinement::lift(&mut spec)?;
    }
    let rootless = engine.settings().rootless;
    let has_device_rules = !rootless && step.confinement == Confinement::Usual;
    claims.cgroup = make_cgroup(engine, id, &spec, has_device_rules)?;
    let cgroup = claims.cgroup.as_ref();
    let launch = Launch {
        spec: &spec,
        rootfs: &rootfs,
        stdio: streams,
        cgroup,
        rootless,
        init: false,
        die_with_parent: true,
    };
    let created = create(launch)?;
    if network == NetworkMode::Bridge {
        let networks = engine.networks();
        let netns = created.namespace(NamespaceKind::Network)?;
        let attach = Attach {
            container: id,
            netns: netns.as_fd(),
            ports: &[],
        };
        claims.endpoint = Some(networks.attach(&networks.default_bridge()?, &attach)?);
    }
    let container = created.start()?;
    let code = wait(&container, builder)?;
    stubs.remove(&step.upper)?;
    let oom_killed = claims
        .cgroup
        .as_ref()
        .is_some_and(|cgroup| cgroup.oom_kills() > 0);
    Ok(StepExit { code, oom_killed })
}

/// The cgroup of the step.
fn step_cgroup(id: &ContainerId, surroundings: &Surroundings) -> String {
    match &surroundings.cgroup_parent {
        Some(parent) => format!("/{}/{id}", parent.trim_matches('/')),
        None => cgroup_path(id),
    }
}

/// Make the cgroup of `spec`, and leave word of it for who sweeps. An ordinary user may have none.
fn make_cgroup(
    engine: &Engine,
    id: &ContainerId,
    spec: &Spec,
    has_device_rules: bool,
) -> Result<Option<Cgroup>, EngineError> {
    let cgroup = &spec.linux.cgroups_path;
    let path = engine.step_dir(id).join(CGROUP);
    fs::write(&path, cgroup).map_err(EngineError::file("write", &path))?;
    let resources = spec.linux.resources.clone().unwrap_or_default();
    match Cgroup::create(cgroup, &resources, has_device_rules) {
        Ok(cgroup) => Ok(Some(cgroup)),
        Err(_) if engine.settings().rootless => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// An ordinary user has no bridge yet; the host's network serves.
fn network(engine: &Engine, step: &Step) -> NetworkMode {
    if engine.settings().rootless && step.network == NetworkMode::Bridge {
        NetworkMode::Host
    } else {
        step.network
    }
}

/// Wait for the step, or kill it when the builder wants no more of it.
fn wait(container: &hoist_runtime::Container, builder: BorrowedFd<'_>) -> Result<i32, EngineError> {
    loop {
        let mut fds = [
            PollFd::new(&container.pidfd, PollFlags::IN),
            PollFd::from_borrowed_fd(builder, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(EngineError::system("poll")(error)),
        }
        if !fds[0].revents().is_empty() {
            return Ok(i32::from(
                container
                    .wait()
                    .map_err(EngineError::system("waitid"))?
                    .exit_code(),
            ));
        }
        let killed = send_signal(container.pidfd.as_fd(), Signal::KILL.number());
        killed.map_err(EngineError::system("pidfd_send_signal"))?;
        container.wait().map_err(EngineError::system("waitid"))?;
        return Err(EngineError::Cancelled);
    }
}

fn write_files(
    engine: &Engine,
    id: &ContainerId,
    step: &Step,
    network: NetworkMode,
) -> Result<Vec<Mount>, EngineError> {
    let directory = engine.step_dir(id);
    let extra = extra_hosts(engine, step, network)?;
    let files = if network == NetworkMode::Host {
        let mut hosts = host_files::read("/etc/hosts")?;
        for (name, address) in &extra {
            hosts.push_str(&format!("{address}\t{name}\n"));
        }
        [
            ("hosts", hosts),
            ("resolv.conf", host_files::read("/etc/resolv.conf")?),
        ]
    } else {
        [
            ("hosts", hosts_file(&step.hostname, None, None, &extra)),
            ("resolv.conf", host_files::container_resolv_conf()?),
        ]
    };
    let mount = |(name, text): (&str, String)| {
        let path = directory.join(name);
        fs::write(&path, text).map_err(EngineError::file("write", &path))?;
        Ok(bind(path, &Path::new("/etc").join(name)))
    };
    files.into_iter().map(mount).collect()
}

/// The further lines of `/etc/hosts`, `host-gateway` replaced by what it stands for.
fn extra_hosts(
    engine: &Engine,
    step: &Step,
    network: NetworkMode,
) -> Result<Vec<(String, String)>, EngineError> {
    let mut extra = step.surroundings.extra_hosts.clone();
    for (_, address) in &mut extra {
        if address == "host-gateway" {
            *address = match network {
                NetworkMode::Bridge => engine.networks().default_bridge()?.gateway.to_string(),
                _ => Ipv4Addr::LOCALHOST.to_string(),
            };
        }
    }
    Ok(extra)
}

/// Give `/dev/shm` another size.
fn resize_shm(mounts: &mut [Mount], bytes: u64) {
    let shm = mounts
        .iter_mut()
        .filter(|mount| mount.destination == Path::new("/dev/shm"));
    for mount in shm {
        mount.options.retain(|option| !option.starts_with("size="));
        mount.options.push(format!("size={bytes}"));
    }
}

fn bind(source: PathBuf, destination: &Path) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: "bind".to_owned(),
        source: Some(source),
        options: vec!["bind".to_owned(), "rprivate".to_owned()],
    }
}

impl Engine {
    /// A build step with this id runs.
    pub(crate) fn step_runs(&self, id: &ContainerId) -> bool {
        let lock = self.step_dir(id).join("lock");
        lock.exists() && Lock::try_shared(&lock).is_ok_and(|free| free.is_none())
    }

    /// Take away what build steps left whose process was killed: their cgroups and files. Their
    /// places on the network are swept with the network.
    pub(crate) fn sweep_steps(&self) -> Result<(), EngineError> {
        for id in ids_in(&self.settings().run.join("steps")) {
            let directory = self.step_dir(&id);
            // The lock is made right after the directory, and taken before anything else is.
            let lock = match Lock::try_exclusive(&directory.join("lock")) {
                Ok(Some(lock)) => lock,
                Ok(None) => continue,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(EngineError::file("lock", directory)(error)),
            };
            let path = fs::read_to_string(directory.join(CGROUP));
            let path = path.unwrap_or_else(|_| cgroup_path(&id));
            if let Ok(cgroup) = Cgroup::open(&path) {
                cgroup.kill()?;
                cgroup.remove()?;
            }
            remove_tree(&directory)?;
            drop(lock);
        }
        Ok(())
    }

    /// Live state of a build step.
    pub(crate) fn step_dir(&self, id: &ContainerId) -> PathBuf {
        self.settings().run.join("steps").join(id.as_str())
    }
}
