//! What every container gets unless told otherwise: Docker's defaults (28 and 29).
//!
//! Pure values for whoever writes a specification. The device nodes of [`devices`] and the links
//! of [`links`] are made by the runtime itself in every container with a `/dev` of its own.

use hoist_core::spec::{Device, Mount};

/// The default capabilities: fourteen.
#[must_use]
pub fn capabilities() -> Vec<String> {
    [
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_MKNOD",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The default mounts, in order; `/dev/shm` has 64 MiB.
///
/// A mount of type `cgroup` shows the container its own cgroups, whichever version the host has.
#[must_use]
pub fn mounts() -> Vec<Mount> {
    let mount = |destination: &str, kind: &str, options: &[&str]| Mount {
        destination: destination.into(),
        kind: kind.to_owned(),
        source: Some(kind.into()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
    };
    vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            &["ro", "nosuid", "noexec", "nodev"],
        ),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev/shm",
            "tmpfs",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
    ]
}

/// Paths that are covered, so that nothing of the host is read through them.
///
/// `processors` is the number of processors of the host, which have a path each.
#[must_use]
pub fn masked_paths(processors: usize) -> Vec<String> {
    let fixed = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
    ];
    let throttle =
        (0..processors).map(|n| format!("/sys/devices/system/cpu/cpu{n}/thermal_throttle"));
    fixed
        .into_iter()
        .map(str::to_owned)
        .chain(throttle)
        .collect()
}

/// Paths that are read-only.
#[must_use]
pub fn readonly_paths() -> Vec<String> {
    [
        "/proc/bus",
        "/proc/fs",
        "/proc/irq",
        "/proc/sys",
        "/proc/sysrq-trigger",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// The device nodes of every container, which the OCI specification asks for.
#[must_use]
pub fn devices() -> Vec<Device> {
    let device = |path: &str, major, minor| Device {
        kind: 'c',
        path: path.into(),
        major,
        minor,
        file_mode: Some(0o666),
        uid: Some(0),
        gid: Some(0),
    };
    vec![
        device("/dev/null", 1, 3),
        device("/dev/zero", 1, 5),
        device("/dev/full", 1, 7),
        device("/dev/random", 1, 8),
        device("/dev/urandom", 1, 9),
        device("/dev/tty", 5, 0),
    ]
}

/// The symbolic links of every container: target and path.
#[must_use]
pub fn links() -> [(&'static str, &'static str); 6] {
    [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
        ("pts/ptmx", "/dev/ptmx"),
        ("/proc/kcore", "/dev/core"),
    ]
}
