//! The plan: what the new process will do, one step after the other, as data.
//!
//! [`container`] and [`exec`] are pure: they look at the specification only. A plan prints as
//! numbered lines, one a step, and is carried out by `apply.rs` in the process itself.

use std::path::PathBuf;

use hoist_core::spec::{
    Capabilities, ConsoleSize, Device, Mount, Namespace, NamespaceKind, Process, Rlimit, Seccomp,
    Spec,
};
use hoist_sys::{
    capability,
    clone::Namespaces,
    mount::{Attributes, Propagation},
};

use crate::{
    Rootfs, RuntimeError, defaults,
    options::{self, Options},
};

/// One step of starting a process.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// Ask to be killed with the parent.
    DieWithParent,
    /// Take standard input, output and error.
    Stdio,
    /// Leave the caller's session and terminal.
    NewSession,
    /// Enter the cgroups (version 1; with version 2 the process is born there).
    JoinCgroups,
    /// Make the cgroups the root of what the process sees.
    NewCgroupNamespace,
    /// Join one namespace.
    JoinNamespace(Namespace),
    /// Join all namespaces of the target container.
    JoinContainer,
    /// Bring `lo` up.
    Loopback,
    /// Set the host name.
    Hostname(String),
    /// Hold the source of a bind mount, before anything of the container can be in the way.
    OpenSource {
        /// Path on the host.
        source: PathBuf,
        /// Path in the container, for messages.
        destination: PathBuf,
        /// With all mounts below.
        recursive: bool,
    },
    /// Cut the mounts of this namespace off from the host's.
    IsolateMounts,
    /// Mount the root.
    MountRoot(Rootfs),
    /// Mount a file system.
    MountFilesystem(Filesystem),
    /// Mount the source held by the `index`th `OpenSource`.
    MountSource(Bind),
    /// Show the container its own cgroups.
    MountCgroups {
        /// Where.
        destination: PathBuf,
        /// With these attributes.
        attributes: Attributes,
    },
    /// Make a device node; as an ordinary user, bind the host's.
    Device {
        /// The device.
        device: Device,
        /// Bind the host's node of the same path.
        bind: bool,
    },
    /// Make a symbolic link, unless something is there.
    Link {
        /// Its content.
        target: String,
        /// Where.
        path: PathBuf,
    },
    /// Write a kernel parameter.
    Sysctl {
        /// Its dotted name.
        name: String,
        /// Its value.
        value: String,
    },
    /// Cover a path.
    Mask(PathBuf),
    /// Make a path read-only.
    ReadOnly(PathBuf),
    /// Make the working directory if it is absent.
    MakeWorkingDirectory(PathBuf),
    /// Open a pseudo-terminal of the container and make it the controlling one.
    Terminal {
        /// Its first size.
        size: Option<ConsoleSize>,
        /// Bind it to `/dev/console`.
        console: bool,
    },
    /// Make the root read-only.
    ReadOnlyRoot,
    /// Swap roots, and let go of the host's.
    PivotRoot(Option<Propagation>),
    /// Start with an empty keyring.
    NewKeyring,
    /// Set `oom_score_adj`.
    OomScore(i32),
    /// Set a resource limit.
    Rlimit(Rlimit),
    /// Load the system-call filter.
    Seccomp(capability::Set),
    /// Keep no more than these in the bounding set.
    Bounding(capability::Set),
    /// Become a user.
    User(hoist_core::spec::User),
    /// Set the other capability sets.
    Capabilities {
        /// Effective set.
        effective: capability::Set,
        /// Permitted set.
        permitted: capability::Set,
        /// Inheritable set.
        inheritable: capability::Set,
        /// Ambient set.
        ambient: capability::Set,
    },
    /// No program may gain privileges.
    NoNewPrivileges,
    /// Go to the working directory, and check that it is inside.
    WorkingDirectory(PathBuf),
    /// Wait for the word of the parent.
    AwaitStart,
    /// Stay as init: run the command as a child, reap, pass signals on.
    Init,
    /// Run the command.
    Execute(Vec<String>),
}

/// A file system to mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filesystem {
    /// Its type.
    pub kind: String,
    /// Its source, for those that have one.
    pub source: Option<String>,
    /// Its parameters, with values.
    pub parameters: Vec<(String, Option<String>)>,
    /// Attributes of the mount.
    pub attributes: Attributes,
    /// Absolute path in the container.
    pub destination: PathBuf,
    /// Bind the host's when the kernel refuses one of our own (`/sys` as an ordinary user with the
    /// host's network).
    pub or_bind: bool,
}

/// A bind mount, whose source is held already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Which held source.
    pub index: usize,
    /// Path on the host, for messages.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub destination: PathBuf,
    /// Attributes to set.
    pub set: Attributes,
    /// Attributes to clear.
    pub clear: Attributes,
    /// Propagation.
    pub propagation: Propagation,
    /// All of that for the mounts below as well.
    pub recursive: bool,
}

/// What of the launch is not in the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Running as root of a user namespace.
    pub rootless: bool,
    /// Whether there is a cgroup, and whether it must be entered by a step (version 1).
    pub cgroup: CgroupEntry,
    /// hoist's own init as the first process.
    pub init: bool,
    /// End with the parent.
    pub die_with_parent: bool,
    /// Standard streams are given (otherwise a terminal is made).
    pub stdio: bool,
}

/// How the process gets into its cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupEntry {
    /// There is none.
    None,
    /// It is born in it.
    Born,
    /// It enters by itself.
    Join,
}

/// An ordered list of steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
}

/// The namespaces that a specification asks to be made.
///
/// # Errors
///
/// [`RuntimeError::Unsupported`] for a new user namespace (a caller enters one before), and
/// [`RuntimeError::Invalid`] for a namespace that is listed twice.
pub fn new_namespaces(namespaces: &[Namespace]) -> Result<Namespaces, RuntimeError> {
    let mut set = Namespaces::NONE;
    let mut seen = Namespaces::NONE;
    for namespace in namespaces {
        let flag = flag(namespace.kind);
        if seen.contains(flag) {
            return Err(RuntimeError::Invalid {
                field: "linux.namespaces".to_owned(),
                reason: format!("the {:?} namespace is listed twice", namespace.kind),
            });
        }
        seen = seen.with(flag);
        if namespace.path.is_none() {
            set = set.with(flag);
        }
    }
    if seen.contains(Namespaces::USER) {
        return Err(RuntimeError::Unsupported {
            what: "a user namespace in the specification".to_owned(),
            reason: "containers of ordinary users run in a namespace that is entered before"
                .to_owned(),
        });
    }
    if !set.contains(Namespaces::MOUNT) {
        return Err(RuntimeError::Invalid {
            field: "linux.namespaces".to_owned(),
            reason: "a container needs a mount namespace of its own".to_owned(),
        });
    }
    Ok(set)
}

/// The `CLONE_NEW*` bit of a kind of namespace.
#[must_use]
pub fn flag(kind: NamespaceKind) -> Namespaces {
    match kind {
        NamespaceKind::Pid => Namespaces::PID,
        NamespaceKind::Network => Namespaces::NETWORK,
        NamespaceKind::Mount => Namespaces::MOUNT,
        NamespaceKind::Ipc => Namespaces::IPC,
        NamespaceKind::Uts => Namespaces::UTS,
        NamespaceKind::User => Namespaces::USER,
        NamespaceKind::Cgroup => Namespaces::CGROUP,
        NamespaceKind::Time => Namespaces::TIME,
    }
}

/// The plan of a container's first process.
///
/// # Errors
///
/// [`RuntimeError::Invalid`], [`RuntimeError::Unsupported`] or [`RuntimeError::NoCommand`] when
/// the specification makes no sense.
pub fn container(spec: &Spec, rootfs: &Rootfs, settings: Settings) -> Result<Plan, RuntimeError> {
    let namespaces = new_namespaces(&spec.linux.namespaces)?;
    check_process(&spec.process)?;
    let mounts = spec
        .mounts
        .iter()
        .map(checked_mount)
        .collect::<Result<Vec<_>, _>>()?;
    let mut steps = Vec::new();
    begin(&mut steps, settings);
    if settings.cgroup == CgroupEntry::Join {
        steps.push(Step::JoinCgroups);
    }
    let joined =
        |namespace: &&Namespace| namespace.path.is_some() && namespace.kind != NamespaceKind::Pid;
    steps.extend(
        spec.linux
            .namespaces
            .iter()
            .filter(joined)
            .cloned()
            .map(Step::JoinNamespace),
    );
    if namespaces.contains(Namespaces::CGROUP) {
        steps.push(Step::NewCgroupNamespace);
    }
    if namespaces.contains(Namespaces::NETWORK) {
        steps.push(Step::Loopback);
    }
    if namespaces.contains(Namespaces::UTS) && !spec.hostname.is_empty() {
        steps.push(Step::Hostname(spec.hostname.clone()));
    }
    plan_mounts(&mut steps, &mounts, rootfs, settings);
    plan_devices(&mut steps, spec, &mounts, settings);
    for (name, value) in &spec.linux.sysctl {
        check_sysctl(name, &spec.linux.namespaces)?;
        steps.push(Step::Sysctl {
            name: name.clone(),
            value: value.clone(),
        });
    }
    let paths = |paths: &[String]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
    steps.extend(
        paths(&spec.linux.readonly_paths)
            .into_iter()
            .map(Step::ReadOnly),
    );
    steps.extend(paths(&spec.linux.masked_paths).into_iter().map(Step::Mask));
    if !settings.stdio {
        steps.push(Step::Terminal {
            size: spec.process.console_size,
            console: true,
        });
    }
    steps.push(Step::MakeWorkingDirectory(working_directory(&spec.process)));
    if spec.root.readonly {
        steps.push(Step::ReadOnlyRoot);
    }
    steps.push(Step::PivotRoot(root_propagation(
        &spec.linux.rootfs_propagation,
    )?));
    plan_process(&mut steps, &spec.process, spec.linux.seccomp, settings)?;
    steps.push(Step::AwaitStart);
    if settings.init {
        steps.push(Step::Init);
    }
    steps.push(Step::Execute(spec.process.args.clone()));
    Ok(Plan { steps })
}

/// The plan of a further process in a running container.
///
/// # Errors
///
/// As [`container`].
pub fn exec(
    process: &Process,
    seccomp: Option<Seccomp>,
    settings: Settings,
) -> Result<Plan, RuntimeError> {
    check_process(process)?;
    let mut steps = Vec::new();
    begin(&mut steps, settings);
    if settings.cgroup == CgroupEntry::Join {
        steps.push(Step::JoinCgroups);
    }
    steps.push(Step::JoinContainer);
    if !settings.stdio {
        steps.push(Step::Terminal {
            size: process.console_size,
            console: false,
        });
    }
    plan_process(&mut steps, process, seccomp, settings)?;
    steps.push(Step::Execute(process.args.clone()));
    Ok(Plan { steps })
}

fn begin(steps: &mut Vec<Step>, settings: Settings) {
    if settings.die_with_parent {
        steps.push(Step::DieWithParent);
    }
    if settings.stdio {
        steps.push(Step::Stdio);
    }
    steps.push(Step::NewSession);
}

/// A mount with its options taken apart.
struct Checked<'a> {
    mount: &'a Mount,
    options: Options,
    /// `Some(recursive)` for bind mounts.
    bind: Option<bool>,
}

fn checked_mount(mount: &Mount) -> Result<Checked<'_>, RuntimeError> {
    let invalid = |reason: &str| RuntimeError::Invalid {
        field: format!("mount at {}", mount.destination.display()),
        reason: reason.to_owned(),
    };
    let normal = mount.destination.components().all(|component| {
        matches!(
            component,
            std::path::Component::RootDir | std::path::Component::Normal(_)
        )
    });
    if !mount.destination.is_absolute() || !normal {
        return Err(invalid(
            "the destination must be an absolute path without '..'",
        ));
    }
    if mount.destination.parent().is_none() {
        return Err(invalid("the destination must not be the root"));
    }
    let options = options::parse(&mount.options);
    let bind = match (mount.kind.as_str(), options.bind) {
        ("bind" | "none" | "", recursive) => Some(recursive.unwrap_or(true)),
        (_, recursive) => recursive,
    };
    if bind.is_some() {
        if mount.source.is_none() {
            return Err(invalid("a bind mount needs a source"));
        }
        if let Some((name, _)) = options.parameters.first() {
            return Err(invalid(&format!("unknown option {name:?} of a bind mount")));
        }
    }
    Ok(Checked {
        mount,
        options,
        bind,
    })
}

fn plan_mounts(steps: &mut Vec<Step>, mounts: &[Checked<'_>], rootfs: &Rootfs, settings: Settings) {
    for checked in mounts {
        if let (Some(recursive), Some(source)) = (checked.bind, &checked.mount.source) {
            steps.push(Step::OpenSource {
                source: source.clone(),
                destination: checked.mount.destination.clone(),
                recursive,
            });
        }
    }
    steps.push(Step::IsolateMounts);
    steps.push(Step::MountRoot(rootfs.clone()));
    let mut index = 0;
    for Checked {
        mount,
        options,
        bind,
    } in mounts
    {
        let destination = mount.destination.clone();
        match (bind, mount.kind.as_str()) {
            (Some(recursive), _) => {
                let (propagation, deep) =
                    options.propagation.unwrap_or((Propagation::Private, true));
                steps.push(Step::MountSource(Bind {
                    index,
                    source: mount.source.clone().unwrap_or_default(),
                    destination,
                    set: options.set,
                    clear: options.clear,
                    propagation,
                    recursive: *recursive && deep,
                }));
                index += 1;
            }
            (None, "cgroup" | "cgroup2") => {
                if settings.cgroup != CgroupEntry::None {
                    steps.push(Step::MountCgroups {
                        destination,
                        attributes: options.set,
                    });
                }
            }
            (None, kind) => steps.push(Step::MountFilesystem(Filesystem {
                kind: kind.to_owned(),
                source: mount
                    .source
                    .as_ref()
                    .map(|source| source.display().to_string()),
                parameters: options.parameters.clone(),
                attributes: options.set,
                destination,
                or_bind: settings.rootless && kind == "sysfs",
            })),
        }
    }
}

fn plan_devices(steps: &mut Vec<Step>, spec: &Spec, mounts: &[Checked<'_>], settings: Settings) {
    let own = |checked: &Checked<'_>| {
        checked.mount.destination == std::path::Path::new("/dev") && checked.bind.is_none()
    };
    if mounts.iter().any(own) {
        for device in defaults::devices() {
            steps.push(Step::Device {
                device,
                bind: settings.rootless,
            });
        }
        for (target, path) in defaults::links() {
            steps.push(Step::Link {
                target: target.to_owned(),
                path: path.into(),
            });
        }
    }
    for device in &spec.linux.devices {
        steps.push(Step::Device {
            device: device.clone(),
            bind: settings.rootless,
        });
    }
}

fn plan_process(
    steps: &mut Vec<Step>,
    process: &Process,
    seccomp: Option<Seccomp>,
    settings: Settings,
) -> Result<(), RuntimeError> {
    steps.push(Step::NewKeyring);
    if let Some(score) = process.oom_score_adj {
        steps.push(Step::OomScore(score));
    }
    steps.extend(process.rlimits.iter().cloned().map(Step::Rlimit));
    let none = Capabilities::default();
    let capabilities = process.capabilities.as_ref().unwrap_or(&none);
    let set = |names: &[String]| {
        capability::Set::from_names(names).map_err(|name| RuntimeError::Invalid {
            field: "process.capabilities".to_owned(),
            reason: format!("unknown capability {name:?}"),
        })
    };
    let bounding = set(&capabilities.bounding)?;
    let filter = seccomp.map(|Seccomp::Default| Step::Seccomp(bounding));
    // Loading a filter needs either CAP_SYS_ADMIN, which is about to go, or no-new-privileges.
    let (early, late) = if process.no_new_privileges {
        (None, filter)
    } else {
        (filter, None)
    };
    steps.extend(early);
    steps.push(Step::Bounding(bounding));
    steps.push(Step::User(process.user.clone()));
    steps.push(Step::Capabilities {
        effective: set(&capabilities.effective)?,
        permitted: set(&capabilities.permitted)?,
        inheritable: set(&capabilities.inheritable)?,
        ambient: set(&capabilities.ambient)?,
    });
    if settings.die_with_parent {
        // The change of user made the kernel forget it.
        steps.push(Step::DieWithParent);
    }
    if process.no_new_privileges {
        steps.push(Step::NoNewPrivileges);
    }
    steps.push(Step::WorkingDirectory(working_directory(process)));
    steps.extend(late);
    Ok(())
}

fn working_directory(process: &Process) -> PathBuf {
    if process.cwd.is_empty() {
        "/".into()
    } else {
        PathBuf::from(&process.cwd)
    }
}

fn check_process(process: &Process) -> Result<(), RuntimeError> {
    if process.args.first().is_none_or(String::is_empty) {
        return Err(RuntimeError::NoCommand);
    }
    let cwd = working_directory(process);
    let climbs = cwd
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    if !cwd.is_absolute() || climbs {
        return Err(RuntimeError::Invalid {
            field: "process.cwd".to_owned(),
            reason: format!("{} must be an absolute path without '..'", cwd.display()),
        });
    }
    Ok(())
}

/// Kernel parameters must belong to a namespace that is not the host's: any other would change the
/// host.
fn check_sysctl(name: &str, namespaces: &[Namespace]) -> Result<(), RuntimeError> {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte))
        && !name.split(['.', '/']).any(str::is_empty);
    let kind = match name {
        "kernel.domainname" => Some(NamespaceKind::Uts),
        "kernel.msgmax"
        | "kernel.msgmnb"
        | "kernel.msgmni"
        | "kernel.sem"
        | "kernel.shmall"
        | "kernel.shmmax"
        | "kernel.shmmni"
        | "kernel.shm_rmid_forced" => Some(NamespaceKind::Ipc),
        name if name.starts_with("fs.mqueue.") => Some(NamespaceKind::Ipc),
        name if name.starts_with("net.") => Some(NamespaceKind::Network),
        _ => None,
    };
    match kind {
        Some(kind) if plain && namespaces.iter().any(|namespace| namespace.kind == kind) => Ok(()),
        _ => Err(RuntimeError::Invalid {
            field: format!("sysctl {name:?}"),
            reason: "it does not belong to a namespace of the container's own".to_owned(),
        }),
    }
}

fn root_propagation(word: &str) -> Result<Option<Propagation>, RuntimeError> {
    Ok(match word {
        "" | "private" | "rprivate" => None,
        "slave" | "rslave" => Some(Propagation::Slave),
        "shared" | "rshared" => Some(Propagation::Shared),
        "unbindable" | "runbindable" => Some(Propagation::Unbindable),
        other => {
            return Err(RuntimeError::Invalid {
                field: "linux.rootfsPropagation".to_owned(),
                reason: format!("unknown propagation {other:?}"),
            });
        }
    })
}

#[cfg(test)]
mod tests;
