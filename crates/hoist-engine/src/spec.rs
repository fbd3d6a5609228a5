//! From a record to an OCI runtime specification.

use std::path::{Path, PathBuf};

use hoist_core::{
    Digest,
    mount::MountKind,
    spec::{
        Capabilities, CpuLimits, Linux, MemoryLimits, Mount, Namespace, NamespaceKind, PidsLimit,
        Process, Resources, Root, Seccomp, Spec, User,
    },
};
use hoist_runtime::{LowerLayer, Rootfs, defaults, user::Resolved};
use hoist_store::LayerRoot;

use crate::{
    container::process_environment,
    error::EngineError,
    record::Record,
    request::{Limits, NetworkMode},
    root::{Engine, Settings, cgroup_path},
    system::processors,
    volume::bind_options,
};

const CPU_PERIOD: u64 = 100_000;

/// Layers (lowest first) in the order of overlays, each once: two steps can make the same layer, and
/// overlayfs refuses a directory that it has already. The upper of the two says everything that the
/// lower one says.
pub(crate) fn topmost_first(layers: &[Digest]) -> Vec<&Digest> {
    let mut ordered = Vec::with_capacity(layers.len());
    for layer in layers.iter().rev() {
        if !ordered.contains(&layer) {
            ordered.push(layer);
        }
    }
    ordered
}

impl Engine {
    /// The root file system of a container: its layers under its writable directory.
    pub(crate) fn rootfs(&self, record: &Record) -> Result<Rootfs, EngineError> {
        let directory = self.container_dir(&record.id);
        Ok(Rootfs::Overlay {
            lower: self.lower_layers(&record.layers)?,
            upper: directory.join("upper"),
            work: directory.join("work"),
            volatile: record.auto_remove,
            userxattr: self.settings().rootless,
        })
    }

    /// Layers, mounted where they have to be, the topmost first, as overlay wants them.
    pub(crate) fn lower_layers(&self, layers: &[Digest]) -> Result<Vec<LowerLayer>, EngineError> {
        let open = |layer| {
            Ok(match self.store().layer_root(layer)? {
                LayerRoot::Directory(path) => LowerLayer::Directory(path),
                LayerRoot::Mount(root) => LowerLayer::Mount(root.into()),
            })
        };
        topmost_first(layers).into_iter().map(open).collect()
    }

    /// Layers as directories, the topmost first.
    pub(crate) fn lower_directories(&self, layers: &[Digest]) -> Result<Vec<PathBuf>, EngineError> {
        let layers = topmost_first(layers).into_iter();
        layers
            .map(|layer| Ok(self.store().layer_directory(layer)?))
            .collect()
    }

    /// The specification of a container whose volumes exist.
    pub(crate) fn spec(&self, record: &Record, rootfs: &Rootfs) -> Result<Spec, EngineError> {
        let user = crate::container::resolve_user(rootfs, &record.config.user)?;
        let cwd = &record.config.working_dir;
        let mut mounts = defaults::mounts();
        mounts.extend(files(&self.container_run_dir(&record.id), record.network));
        for mount in &record.mounts {
            mounts.push(self.mount_spec(mount)?);
        }
        Ok(Spec {
            oci_version: "1.2.0".to_owned(),
            process: Process {
                terminal: record.tty,
                user: ids(&user),
                args: record.args(),
                env: process_environment(record, &user.home, record.tty),
                cwd: if cwd.is_empty() {
                    "/".to_owned()
                } else {
                    cwd.clone()
                },
                capabilities: Some(capabilities(user.uid)),
                ..Process::default()
            },
            root: Root {
                path: PathBuf::new(),
                readonly: record.read_only,
            },
            hostname: if record.network == NetworkMode::Host {
                String::new()
            } else {
                record.hostname.clone()
            },
            mounts,
            annotations: std::collections::BTreeMap::new(),
            linux: linux(
                self.settings(),
                record.network,
                cgroup_path(&record.id),
                &record.limits,
            ),
        })
    }

    fn mount_spec(&self, mount: &crate::record::MountPoint) -> Result<Mount, EngineError> {
        let request = &mount.request;
        let destination = request.target.clone();
        let (kind, source, options) = match &request.kind {
            MountKind::Bind { source, .. } => ("bind", source.clone(), bind_options(request)),
            MountKind::Volume { name, .. } => {
                let name = name.as_deref().unwrap_or_default();
                ("bind", self.volume_data(name), bind_options(request))
            }
            MountKind::Tmpfs {
                size,
                mode,
                options: more,
            } => {
                let mut options =
                    vec!["nosuid".to_owned(), "nodev".to_owned(), "noexec".to_owned()];
                options.extend(size.map(|size| format!("size={size}")));
                options.extend(mode.map(|mode| format!("mode={mode:o}")));
                options.extend(more.iter().cloned());
                options.extend(request.read_only.then(|| "ro".to_owned()));
                ("tmpfs", PathBuf::from("tmpfs"), options)
            }
            MountKind::Image {
                layers, subpath, ..
            } => {
                let options = self.image_mount_options(layers, subpath)?;
                ("overlay", PathBuf::from("overlay"), options)
            }
        };
        Ok(Mount {
            destination,
            kind: kind.to_owned(),
            source: Some(source),
            options,
        })
    }
}

/// Numeric ids of a process.
pub(crate) fn ids(user: &Resolved) -> User {
    User {
        uid: user.uid,
        gid: user.gid,
        additional_gids: user.additional_gids.clone(),
        umask: None,
    }
}

/// Docker's capabilities: root has them, other users could get them from a file of the image.
pub(crate) fn capabilities(uid: u32) -> Capabilities {
    let bounding = defaults::capabilities();
    let held = if uid == 0 {
        bounding.clone()
    } else {
        Vec::new()
    };
    Capabilities {
        bounding,
        effective: held.clone(),
        permitted: held,
        ..Capabilities::default()
    }
}

/// hoist's own `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`.
fn files(run: &Path, network: NetworkMode) -> Vec<Mount> {
    let names: &[&str] = if network == NetworkMode::Host {
        &["hosts", "resolv.conf"]
    } else {
        &["hosts", "hostname", "resolv.conf"]
    };
    let file = |name: &&str| Mount {
        destination: Path::new("/etc").join(name),
        kind: "bind".to_owned(),
        source: Some(run.join(name)),
        options: vec!["bind".to_owned(), "rprivate".to_owned()],
    };
    names.iter().map(file).collect()
}

/// Linux's part, as Docker chooses it.
pub(crate) fn linux(
    settings: &Settings,
    network: NetworkMode,
    cgroups_path: String,
    limits: &Limits,
) -> Linux {
    let mut kinds = vec![
        NamespaceKind::Pid,
        NamespaceKind::Mount,
        NamespaceKind::Ipc,
        NamespaceKind::Cgroup,
    ];
    let mut sysctl = std::collections::BTreeMap::new();
    if network != NetworkMode::Host {
        kinds.extend([NamespaceKind::Uts, NamespaceKind::Network]);
        sysctl.insert(
            "net.ipv4.ip_unprivileged_port_start".to_owned(),
            "0".to_owned(),
        );
        // The kernel takes only groups that the user namespace maps.
        if !settings.rootless {
            sysctl.insert(
                "net.ipv4.ping_group_range".to_owned(),
                "0 2147483647".to_owned(),
            );
        }
    }
    Linux {
        namespaces: kinds
            .into_iter()
            .map(|kind| Namespace { kind, path: None })
            .collect(),
        cgroups_path,
        resources: Some(resources(limits)),
        seccomp: Some(Seccomp::Default),
        masked_paths: defaults::masked_paths(processors()),
        readonly_paths: defaults::readonly_paths(),
        sysctl,
        ..Linux::default()
    }
}

fn resources(limits: &Limits) -> Resources {
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let memory = limits.memory.map(|limit| MemoryLimits {
        limit: Some(bytes(limit)),
        reservation: None,
        swap: Some(bytes(limit.saturating_mul(2))),
    });
    let cpu = limits.nano_cpus.map(|nano| CpuLimits {
        quota: i64::try_from(nano / (1_000_000_000 / CPU_PERIOD)).ok(),
        period: Some(CPU_PERIOD),
        ..CpuLimits::default()
    });
    let pids = limits
        .pids
        .filter(|&limit| limit > 0)
        .map(|limit| PidsLimit { limit });
    Resources { memory, cpu, pids }
}
