//! The process itself: streams, namespaces, limits, user, capabilities, directory.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use hoist_core::spec::{Namespace, Rlimit, User};
use hoist_sys::{
    capability,
    clone::{self, Namespaces},
    process,
};
use rustix::{
    fs::{CWD, FileType, Gid, Mode, OFlags, Uid},
    io::Errno,
    process::Resource,
};

use super::{Context, Failure, Result, mounts};
use crate::{
    in_root::{self, Links},
    plan,
    report::Reason,
};

pub(super) fn die_with_parent(context: &mut Context<'_>) -> Result<()> {
    context.bound_to_parent = true;
    Ok(process::die_with_parent()?)
}

/// Puts the given streams on 0, 1 and 2.
pub(super) fn take_stdio(context: &mut Context<'_>) -> Result<()> {
    let Some(streams) = context.prepared.stdio.take() else {
        return Ok(());
    };
    // One that is among 0 to 2 already would be overwritten by another, or stay close-on-exec.
    let mut moved = Vec::new();
    for stream in streams {
        let low = std::os::fd::AsRawFd::as_raw_fd(&stream) <= 2;
        moved.push(if low {
            rustix::io::fcntl_dupfd_cloexec(&stream, 3)?
        } else {
            stream
        });
    }
    if let [input, output, error] = moved.as_slice() {
        take([input, output, error])?;
    }
    context.kept.extend(moved);
    Ok(())
}

pub(super) fn take([input, output, error]: [&OwnedFd; 3]) -> Result<()> {
    rustix::stdio::dup2_stdin(input)?;
    rustix::stdio::dup2_stdout(output)?;
    Ok(rustix::stdio::dup2_stderr(error)?)
}

pub(super) fn new_session() -> Result<()> {
    match rustix::process::setsid() {
        // It leads one already: the first process of its namespace.
        Ok(_) | Err(Errno::PERM) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn join_cgroups(context: &Context<'_>) -> Result<()> {
    let Some(cgroup) = context.prepared.cgroup else {
        return Ok(());
    };
    cgroup
        .enter()
        .map_err(|(path, error)| Failure::new(&error).at(path))
}

pub(super) fn new_cgroup_namespace() -> Result<()> {
    Ok(clone::unshare(Namespaces::CGROUP)?)
}

pub(super) fn join_namespace(namespace: &Namespace) -> Result<()> {
    let path = namespace.path.clone().unwrap_or_default();
    let handle = rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| Failure::from(error).at(&path))?;
    clone::join(handle.as_fd(), plan::flag(namespace.kind))
        .map_err(|error| Failure::new(&error).at(path))
}

/// Joins the target's namespaces; this process was born into its PID namespace.
pub(super) fn join_container(context: &Context<'_>) -> Result<()> {
    let Some(target) = context.prepared.target else {
        return Ok(());
    };
    Ok(clone::join(target.pidfd, target.namespaces)?)
}

/// Writes below `sys` of a procfs that we mounted ourselves.
pub(super) fn sysctl(context: &mut Context<'_>, name: &str, value: &str) -> Result<()> {
    // As sysctl(8): with slashes as separators, dots belong to names (of interfaces).
    let path: String = if name.contains('/') {
        name.to_owned()
    } else {
        name.replace('.', "/")
    };
    write_proc(context, &Path::new("sys").join(path), value)
}

pub(super) fn oom_score(context: &mut Context<'_>, score: i32) -> Result<()> {
    write_proc(context, Path::new("self/oom_score_adj"), &score.to_string())
}

fn write_proc(context: &mut Context<'_>, path: &Path, value: &str) -> Result<()> {
    let full = PathBuf::from("/proc").join(path);
    let procfs = mounts::procfs(context)?;
    let handle = in_root::open(procfs, path, OFlags::WRONLY, Links::Follow)
        .map_err(|error| Failure::new(&error).at(&full))?;
    rustix::io::write(&handle, value.as_bytes()).map_err(|error| Failure::from(error).at(full))?;
    Ok(())
}

pub(super) fn rlimit(limit: &Rlimit) -> Result<()> {
    let resource = match limit
        .kind
        .trim_start_matches("RLIMIT_")
        .to_ascii_uppercase()
        .as_str()
    {
        "CPU" => Resource::Cpu,
        "FSIZE" => Resource::Fsize,
        "DATA" => Resource::Data,
        "STACK" => Resource::Stack,
        "CORE" => Resource::Core,
        "RSS" => Resource::Rss,
        "NPROC" => Resource::Nproc,
        "NOFILE" => Resource::Nofile,
        "MEMLOCK" => Resource::Memlock,
        "AS" => Resource::As,
        "LOCKS" => Resource::Locks,
        "SIGPENDING" => Resource::Sigpending,
        "MSGQUEUE" => Resource::Msgqueue,
        "NICE" => Resource::Nice,
        "RTPRIO" => Resource::Rtprio,
        "RTTIME" => Resource::Rttime,
        _ => return Err(Errno::INVAL.into()),
    };
    let number = |value: u64| (value != u64::MAX).then_some(value);
    let limits = rustix::process::Rlimit {
        current: number(limit.soft),
        maximum: number(limit.hard),
    };
    Ok(rustix::process::setrlimit(resource, limits)?)
}

/// Takes groups, group and user. Capabilities are kept until they are set.
pub(super) fn become_user(context: &Context<'_>, user: &User) -> Result<()> {
    own_streams(user.uid)?;
    let mask = user.umask.unwrap_or(0o022);
    rustix::process::umask(Mode::from_raw_mode(mask & 0o777));
    let groups: Vec<Gid> = user
        .additional_gids
        .iter()
        .map(|gid| Gid::from_raw(*gid))
        .collect();
    match rustix::thread::set_thread_groups(&groups) {
        // A user namespace with a single id, in which groups cannot be dropped.
        Err(Errno::PERM) if context.prepared.rootless => {}
        result => result?,
    }
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_keep_capabilities(true)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(rustix::thread::set_keep_capabilities(false)?)
}

/// A user that is not root must be able to open `/dev/stdout` again: its pipes become its own.
fn own_streams(uid: u32) -> Result<()> {
    if uid == 0 {
        return Ok(());
    }
    for stream in [
        rustix::stdio::stdin(),
        rustix::stdio::stdout(),
        rustix::stdio::stderr(),
    ] {
        let Ok(stat) = rustix::fs::fstat(stream) else {
            continue;
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Fifo && stat.st_uid != uid {
            // A pipe of another user namespace stays whose it is.
            let _ = rustix::fs::fchown(stream, Some(Uid::from_raw(uid)), None::<Gid>);
        }
    }
    Ok(())
}

/// Sets the sets. What the caller itself may not do is left out, as other runtimes do: a
/// privileged container on a restricted host gets what there is.
pub(super) fn capabilities(
    effective: capability::Set,
    permitted: capability::Set,
    inheritable: capability::Set,
    ambient: capability::Set,
) -> Result<()> {
    let own = capability::permitted()?;
    let within = |set: capability::Set| set.intersection(own);
    capability::set(within(effective), within(permitted), within(inheritable))?;
    if ambient.bits() != 0 {
        capability::set_ambient(within(ambient))?;
    }
    Ok(())
}

/// Enters the working directory as the user who will be in it, without magic links, and checks
/// that it is inside (a directory outside has no path from here).
pub(super) fn enter_directory(path: &Path) -> Result<()> {
    let failed = |error: io::Error| {
        Failure::new(&error)
            .at(path)
            .because(Reason::WorkingDirectory)
    };
    if path != Path::new("/") {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let directory = in_root::open(CWD, path, flags, Links::Follow).map_err(failed)?;
        rustix::process::fchdir(&directory).map_err(|error| failed(error.into()))?;
    } else {
        rustix::process::chdir("/").map_err(|error| failed(error.into()))?;
    }
    let entered = rustix::process::getcwd(Vec::new()).map_err(|error| failed(error.into()))?;
    if entered.as_bytes().first() == Some(&b'/') {
        return Ok(());
    }
    Err(failed(Errno::NOENT.into()))
}
