//! A plan in words: one numbered line a step.

use std::fmt;

use hoist_core::spec::Device;
use hoist_sys::mount::Propagation;

use crate::{
    Rootfs, options,
    plan::{Bind, Filesystem, Plan, Step},
};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            writeln!(f, "{} {step}", index + 1)?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DieWithParent => f.write_str("end with the parent"),
            Self::Stdio => f.write_str("take standard input, output and error"),
            Self::NewSession => f.write_str("new session"),
            Self::JoinCgroups => f.write_str("join the cgroups"),
            Self::NewCgroupNamespace => f.write_str("new cgroup namespace"),
            Self::JoinNamespace(namespace) => {
                let path = namespace.path.as_deref().unwrap_or_else(|| "".as_ref());
                let kind = format!("{:?}", namespace.kind).to_lowercase();
                write!(f, "join {kind} namespace {}", path.display())
            }
            Self::JoinContainer => f.write_str("join the container's namespaces"),
            Self::Loopback => f.write_str("loopback up"),
            Self::Hostname(name) => write!(f, "hostname {name}"),
            Self::OpenSource {
                source, recursive, ..
            } => {
                let below = if *recursive {
                    " and the mounts below"
                } else {
                    ""
                };
                write!(f, "hold {}{below}", source.display())
            }
            Self::IsolateMounts => f.write_str("isolate mounts from the host"),
            Self::MountRoot(rootfs) => write_root(f, rootfs),
            Self::MountFilesystem(filesystem) => write_filesystem(f, filesystem),
            Self::MountSource(bind) => write_bind(f, bind),
            Self::MountCgroups {
                destination,
                attributes,
            } => {
                write!(f, "mount own cgroups at {}", destination.display())?;
                write_list(f, &options::words(*attributes))
            }
            Self::Device { device, bind } => write_device(f, device, *bind),
            Self::Link { target, path } => write!(f, "link {} to {target}", path.display()),
            Self::Sysctl { name, value } => write!(f, "sysctl {name}={value}"),
            Self::Mask(path) => write!(f, "mask {}", path.display()),
            Self::ReadOnly(path) => write!(f, "make {} read-only", path.display()),
            Self::MakeWorkingDirectory(path) => {
                write!(f, "make directory {} if absent", path.display())
            }
            Self::Terminal { size, console } => {
                f.write_str("terminal")?;
                if let Some(size) = size {
                    write!(f, " {}x{}", size.width, size.height)?;
                }
                if *console {
                    f.write_str(" at /dev/console")
                } else {
                    Ok(())
                }
            }
            Self::ReadOnlyRoot => f.write_str("make the root read-only"),
            Self::PivotRoot(None) => f.write_str("pivot root"),
            Self::PivotRoot(Some(propagation)) => {
                write!(f, "pivot root ({})", propagation_word(*propagation, false))
            }
            _ => self.write_process(f),
        }
    }
}

impl Step {
    /// The steps that are about the process alone.
    fn write_process(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewKeyring => f.write_str("new session keyring"),
            Self::OomScore(score) => write!(f, "oom score {score}"),
            Self::Rlimit(limit) => {
                write!(f, "limit {} {}:{}", limit.kind, limit.soft, limit.hard)
            }
            Self::Seccomp(_) => f.write_str("load the system-call filter"),
            Self::Bounding(set) => write!(f, "bound capabilities to {set}"),
            Self::User(user) => {
                write!(f, "user {}:{}", user.uid, user.gid)?;
                if !user.additional_gids.is_empty() {
                    write!(f, " groups {:?}", user.additional_gids)?;
                }
                Ok(())
            }
            Self::Capabilities {
                effective, ambient, ..
            } => {
                write!(f, "capabilities {effective}")?;
                if ambient.bits() == 0 {
                    Ok(())
                } else {
                    write!(f, " ambient {ambient}")
                }
            }
            Self::NoNewPrivileges => f.write_str("no new privileges"),
            Self::WorkingDirectory(path) => write!(f, "enter directory {}", path.display()),
            Self::AwaitStart => f.write_str("await start"),
            Self::Init => f.write_str("stay as init"),
            Self::Execute(arguments) => write!(f, "execute {arguments:?}"),
            _ => Ok(()),
        }
    }
}

fn write_root(f: &mut fmt::Formatter<'_>, rootfs: &Rootfs) -> fmt::Result {
    match rootfs {
        Rootfs::Directory(path) => write!(f, "mount {} as root", path.display()),
        Rootfs::Overlay {
            lower,
            upper,
            volatile,
            userxattr,
            ..
        } => {
            write!(
                f,
                "mount overlay of {} over {} layers as root",
                upper.display(),
                lower.len()
            )?;
            let words = [(*volatile, "volatile"), (*userxattr, "userxattr")];
            write_list(
                f,
                &words
                    .iter()
                    .filter(|(on, _)| *on)
                    .map(|(_, word)| *word)
                    .collect::<Vec<_>>(),
            )
        }
    }
}

fn write_filesystem(f: &mut fmt::Formatter<'_>, filesystem: &Filesystem) -> fmt::Result {
    write!(
        f,
        "mount {} at {}",
        filesystem.kind,
        filesystem.destination.display()
    )?;
    let parameters = filesystem
        .parameters
        .iter()
        .map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        });
    let words = options::words(filesystem.attributes)
        .into_iter()
        .map(str::to_owned);
    write_list(f, &words.chain(parameters).collect::<Vec<_>>())
}

fn write_bind(f: &mut fmt::Formatter<'_>, bind: &Bind) -> fmt::Result {
    write!(
        f,
        "mount {} at {}",
        bind.source.display(),
        bind.destination.display()
    )?;
    let mut words = vec![if bind.recursive { "rbind" } else { "bind" }];
    words.extend(options::words(bind.set));
    words.push(propagation_word(bind.propagation, bind.recursive));
    write_list(f, &words)
}

fn write_device(f: &mut fmt::Formatter<'_>, device: &Device, bind: bool) -> fmt::Result {
    let Device {
        kind,
        path,
        major,
        minor,
        ..
    } = device;
    if bind {
        write!(f, "device {} of the host", path.display())
    } else {
        write!(f, "device {} {kind} {major}:{minor}", path.display())
    }
}

fn write_list<S: AsRef<str>>(f: &mut fmt::Formatter<'_>, words: &[S]) -> fmt::Result {
    if words.is_empty() {
        return Ok(());
    }
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    write!(f, " ({})", words.join(","))
}

fn propagation_word(propagation: Propagation, recursive: bool) -> &'static str {
    match (propagation, recursive) {
        (Propagation::Private, false) => "private",
        (Propagation::Private, true) => "rprivate",
        (Propagation::Slave, false) => "slave",
        (Propagation::Slave, true) => "rslave",
        (Propagation::Shared, false) => "shared",
        (Propagation::Shared, true) => "rshared",
        (Propagation::Unbindable, false) => "unbindable",
        (Propagation::Unbindable, true) => "runbindable",
    }
}
