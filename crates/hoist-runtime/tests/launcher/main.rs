//! Starts one container as its arguments ask, for the tests: `runtime-launcher <request file>`.
//!
//! Its standard input is the container's; the container's output goes to its standard error; its
//! standard output carries [`request::Event`]s.

mod request;

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::AsFd,
    process::ExitCode,
};

use hoist_core::{Describe, error::chain, spec::NamespaceKind};
use hoist_runtime::{
    Cgroup, Container, Launch, Rootfs, RuntimeError, Stdio, Target, cgroup::Mounts, create, exec,
};
use hoist_sys::{
    clone::{Namespaces, unshare},
    process::{Arguments, own_program_read_only},
    userns::{self, IdMap},
};
use request::{Action, Event, Request};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "launcher: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let path = std::env::args()
        .nth(1)
        .ok_or_else(|| io::Error::other("no request"))?;
    let request: Request = serde_json::from_slice(&std::fs::read(&path)?)?;
    if request.seal && std::env::args().nth(2).is_none() {
        return run_sealed(path);
    }
    if let (Some(_), Action::Exec(pid)) = (&request.user_namespace, request.action) {
        let namespace = File::open(format!("/proc/{pid}/ns/user"))?;
        userns::join(namespace.as_fd()).map_err(io::Error::other)?;
    } else if let Some(maps) = &request.user_namespace {
        let maps_of = |maps: &[(u32, u32, u32)]| -> Vec<IdMap> {
            maps.iter()
                .map(|&(inside, outside, count)| IdMap {
                    inside,
                    outside,
                    count,
                })
                .collect()
        };
        if let Err(error) = userns::enter(&maps_of(&maps.uids), &maps_of(&maps.gids)) {
            return say(&Event::Failed(
                "UserNamespace".to_owned(),
                chain(&error),
                Vec::new(),
            ));
        }
        unshare(Namespaces::MOUNT)?;
    }
    if let Err(error) = launch(&request)? {
        let kind = format!("{:?}", error.kind());
        say(&Event::Failed(kind, chain(&error), error.hints()))?;
    }
    Ok(())
}

/// Executes this program again from a read-only mount of its file.
fn run_sealed(request: String) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let program = own_program_read_only()?;
    let arguments = ["runtime-launcher".to_owned(), request, "sealed".to_owned()];
    let path = std::ffi::CString::new(format!("/proc/self/fd/{}", program.as_raw_fd()))?;
    Err(Arguments::new(&arguments, &[])?.execute(&path))
}

fn say(event: &Event) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    io::stdout().write_all(&line)
}

type Outcome = io::Result<Result<(), RuntimeError>>;

fn launch(request: &Request) -> Outcome {
    let mounts = request
        .tree
        .clone()
        .map_or_else(Mounts::host, Mounts::Version2);
    let cgroup = match (&request.cgroup, request.action) {
        (None, _) => Ok(None),
        (Some(path), Action::Exec(_)) => Cgroup::open_in(&mounts, path).map(Some),
        (Some(path), _) => Cgroup::create_in(&mounts, path, &request.resources, true).map(Some),
    };
    let cgroup = match cgroup {
        Ok(cgroup) => cgroup,
        Err(error) => return Ok(Err(error)),
    };
    let result = start(request, cgroup.as_ref());
    if let (Some(cgroup), Action::Run | Action::Drop) = (&cgroup, request.action) {
        say(&Event::Counted(
            cgroup.oom_kills(),
            cgroup.memory_peak().is_some(),
        ))?;
        if let Err(error) = cgroup.kill().and_then(|()| cgroup.remove()) {
            return Ok(Err(error));
        }
    }
    result
}

fn start(request: &Request, cgroup: Option<&Cgroup>) -> Outcome {
    let started = match request.action {
        Action::Exec(pid) => {
            let pid = rustix::process::Pid::from_raw(pid)
                .ok_or_else(|| io::Error::other("no such process"))?;
            let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
            let target = Target {
                pidfd: pidfd.as_fd(),
                cgroup,
                rootless: request.user_namespace.is_some(),
                die_with_parent: request.die_with_parent,
            };
            exec(
                target,
                &request.spec.process,
                request.spec.linux.seccomp,
                stdio(request)?,
            )
        }
        Action::Run | Action::Drop => {
            let rootfs = rootfs(request);
            let launch = Launch {
                spec: &request.spec,
                rootfs: &rootfs,
                stdio: stdio(request)?,
                cgroup,
                rootless: request.user_namespace.is_some(),
                init: request.init,
                die_with_parent: request.die_with_parent,
            };
            let created = match create(launch) {
                Ok(created) => created,
                Err(error) => return Ok(Err(error)),
            };
            say(&Event::Created(created.pid()))?;
            if let Err(error) = created.namespace(NamespaceKind::Network) {
                return Ok(Err(error));
            }
            if request.action == Action::Drop {
                return Ok(Ok(()));
            }
            created.start()
        }
    };
    match started {
        Err(error) => Ok(Err(error)),
        Ok(container) => finish(request, &container).map(Ok),
    }
}

fn rootfs(request: &Request) -> Rootfs {
    if request.lower.is_empty() {
        return Rootfs::Directory(request.upper.clone());
    }
    Rootfs::Overlay {
        lower: request.lower.iter().map(Into::into).collect(),
        upper: request.upper.clone(),
        work: request.work.clone(),
        volatile: true,
        userxattr: request.user_namespace.is_some(),
    }
}

fn stdio(request: &Request) -> io::Result<Stdio> {
    if request.spec.process.terminal {
        return Ok(Stdio::Terminal);
    }
    Ok(Stdio::Fds {
        stdin: io::stdin().as_fd().try_clone_to_owned()?,
        stdout: io::stderr().as_fd().try_clone_to_owned()?,
        stderr: io::stderr().as_fd().try_clone_to_owned()?,
    })
}

fn finish(request: &Request, container: &Container) -> io::Result<()> {
    say(&Event::Started(container.pid))?;
    if let Some(terminal) = &container.terminal {
        if let Some((ws_row, ws_col)) = request.resize {
            let size = rustix::termios::Winsize {
                ws_row,
                ws_col,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            rustix::termios::tcsetwinsize(terminal, size)?;
        }
        let mut terminal = File::from(terminal.try_clone()?);
        terminal.write_all(request.input.as_bytes())?;
        let mut buffer = [0; 4096];
        // The end of a terminal is an error (EIO).
        while let Ok(length @ 1..) = terminal.read(&mut buffer) {
            io::stderr().write_all(&buffer[..length])?;
        }
    }
    let status = container.wait()?;
    say(&Event::Exited(status.exit_code()))
}
