//! Plans as text.

use hoist_core::spec::{Linux, Root, User};

use super::*;

const SETTINGS: Settings = Settings {
    rootless: false,
    cgroup: CgroupEntry::Born,
    init: false,
    die_with_parent: false,
    stdio: true,
};

fn namespaces(kinds: &[NamespaceKind]) -> Vec<Namespace> {
    kinds
        .iter()
        .map(|&kind| Namespace { kind, path: None })
        .collect()
}

fn spec() -> Spec {
    use NamespaceKind::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    Spec {
        hostname: "web".to_owned(),
        process: Process {
            args: vec!["python".to_owned(), "main.py".to_owned()],
            cwd: "/app".to_owned(),
            user: User {
                uid: 1000,
                gid: 1000,
                additional_gids: vec![1000],
                umask: None,
            },
            capabilities: Some(Capabilities {
                bounding: vec!["CAP_CHOWN".to_owned(), "CAP_KILL".to_owned()],
                ..Capabilities::default()
            }),
            ..Process::default()
        },
        mounts: defaults::mounts(),
        linux: Linux {
            namespaces: namespaces(&[Pid, Network, Mount, Ipc, Uts, Cgroup]),
            masked_paths: vec!["/proc/kcore".to_owned()],
            readonly_paths: vec!["/proc/sys".to_owned()],
            seccomp: Some(Seccomp::Default),
            sysctl: [(
                "net.ipv4.ip_unprivileged_port_start".to_owned(),
                "0".to_owned(),
            )]
            .into(),
            ..Linux::default()
        },
        ..Spec::default()
    }
}

fn overlay() -> Rootfs {
    Rootfs::Overlay {
        lower: vec!["/l/2".into(), "/l/1".into()],
        upper: "/c/upper".into(),
        work: "/c/work".into(),
        volatile: true,
        userxattr: false,
    }
}

#[test]
fn a_default_container() {
    let plan = container(&spec(), &overlay(), SETTINGS).unwrap();
    insta::assert_snapshot!(plan, @r#"
    1 take standard input, output and error
    2 new session
    3 new cgroup namespace
    4 loopback up
    5 hostname web
    6 isolate mounts from the host
    7 mount overlay of /c/upper over 2 layers as root (volatile)
    8 mount proc at /proc (nosuid,nodev,noexec)
    9 mount tmpfs at /dev (nosuid,strictatime,mode=755,size=65536k)
    10 mount devpts at /dev/pts (nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5)
    11 mount sysfs at /sys (ro,nosuid,nodev,noexec)
    12 mount own cgroups at /sys/fs/cgroup (ro,nosuid,nodev,noexec)
    13 mount mqueue at /dev/mqueue (nosuid,nodev,noexec)
    14 mount tmpfs at /dev/shm (nosuid,nodev,noexec,mode=1777,size=65536k)
    15 device /dev/null c 1:3
    16 device /dev/zero c 1:5
    17 device /dev/full c 1:7
    18 device /dev/random c 1:8
    19 device /dev/urandom c 1:9
    20 device /dev/tty c 5:0
    21 link /dev/fd to /proc/self/fd
    22 link /dev/stdin to /proc/self/fd/0
    23 link /dev/stdout to /proc/self/fd/1
    24 link /dev/stderr to /proc/self/fd/2
    25 link /dev/ptmx to pts/ptmx
    26 link /dev/core to /proc/kcore
    27 sysctl net.ipv4.ip_unprivileged_port_start=0
    28 make /proc/sys read-only
    29 mask /proc/kcore
    30 make directory /app if absent
    31 pivot root
    32 new session keyring
    33 load the system-call filter
    34 bound capabilities to CHOWN,KILL
    35 user 1000:1000 groups [1000]
    36 capabilities none
    37 enter directory /app
    38 await start
    39 execute ["python", "main.py"]
    "#);
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one specification with everything in it"
)]
fn everything_else() {
    let mut spec = spec();
    spec.root = Root {
        path: PathBuf::new(),
        readonly: true,
    };
    spec.process.terminal = true;
    spec.process.console_size = Some(ConsoleSize {
        height: 24,
        width: 80,
    });
    spec.process.no_new_privileges = true;
    spec.process.oom_score_adj = Some(100);
    spec.process.rlimits = vec![Rlimit {
        kind: "RLIMIT_NOFILE".to_owned(),
        soft: 1024,
        hard: 4096,
    }];
    spec.linux.namespaces = vec![
        Namespace {
            kind: NamespaceKind::Mount,
            path: None,
        },
        Namespace {
            kind: NamespaceKind::Network,
            path: Some("/proc/7/ns/net".into()),
        },
        Namespace {
            kind: NamespaceKind::Pid,
            path: Some("/proc/7/ns/pid".into()),
        },
    ];
    spec.linux.sysctl.clear();
    spec.linux.masked_paths.clear();
    spec.linux.rootfs_propagation = "rshared".to_owned();
    spec.linux.devices = vec![Device {
        kind: 'c',
        path: "/dev/fuse".into(),
        major: 10,
        minor: 229,
        file_mode: None,
        uid: None,
        gid: None,
    }];
    spec.mounts = vec![
        spec.mounts[0].clone(),
        spec.mounts[1].clone(),
        spec.mounts[3].clone(),
        Mount {
            destination: "/data".into(),
            kind: "bind".to_owned(),
            source: Some("/srv/data".into()),
            options: ["rbind", "ro", "rslave"].map(str::to_owned).to_vec(),
        },
        Mount {
            destination: "/etc/hosts".into(),
            kind: "bind".to_owned(),
            source: Some("/run/hoist/hosts".into()),
            options: vec!["bind".to_owned()],
        },
    ];
    let settings = Settings {
        rootless: true,
        cgroup: CgroupEntry::None,
        init: true,
        die_with_parent: true,
        stdio: false,
    };
    let plan = container(&spec, &Rootfs::Directory("/r".into()), settings).unwrap();
    insta::assert_snapshot!(plan, @r#"
    1 end with the parent
    2 new session
    3 join network namespace /proc/7/ns/net
    4 hold /srv/data and the mounts below
    5 hold /run/hoist/hosts
    6 isolate mounts from the host
    7 mount /r as root
    8 mount proc at /proc (nosuid,nodev,noexec)
    9 mount tmpfs at /dev (nosuid,strictatime,mode=755,size=65536k)
    10 mount sysfs at /sys (ro,nosuid,nodev,noexec)
    11 mount /srv/data at /data (rbind,ro,rslave)
    12 mount /run/hoist/hosts at /etc/hosts (bind,private)
    13 device /dev/null of the host
    14 device /dev/zero of the host
    15 device /dev/full of the host
    16 device /dev/random of the host
    17 device /dev/urandom of the host
    18 device /dev/tty of the host
    19 link /dev/fd to /proc/self/fd
    20 link /dev/stdin to /proc/self/fd/0
    21 link /dev/stdout to /proc/self/fd/1
    22 link /dev/stderr to /proc/self/fd/2
    23 link /dev/ptmx to pts/ptmx
    24 link /dev/core to /proc/kcore
    25 device /dev/fuse of the host
    26 make /proc/sys read-only
    27 terminal 80x24 at /dev/console
    28 make directory /app if absent
    29 make the root read-only
    30 pivot root (shared)
    31 new session keyring
    32 oom score 100
    33 limit RLIMIT_NOFILE 1024:4096
    34 bound capabilities to CHOWN,KILL
    35 user 1000:1000 groups [1000]
    36 capabilities none
    37 end with the parent
    38 no new privileges
    39 enter directory /app
    40 load the system-call filter
    41 await start
    42 stay as init
    43 execute ["python", "main.py"]
    "#);
}

#[test]
fn a_further_process() {
    let process = Process {
        args: vec!["sh".to_owned()],
        user: User {
            uid: 5,
            gid: 6,
            additional_gids: Vec::new(),
            umask: None,
        },
        ..Process::default()
    };
    let settings = Settings {
        cgroup: CgroupEntry::Join,
        ..SETTINGS
    };
    let plan = exec(&process, Some(Seccomp::Default), settings).unwrap();
    insta::assert_snapshot!(plan, @r#"
    1 take standard input, output and error
    2 new session
    3 join the cgroups
    4 join the container's namespaces
    5 new session keyring
    6 load the system-call filter
    7 bound capabilities to none
    8 user 5:6
    9 capabilities none
    10 enter directory /
    11 execute ["sh"]
    "#);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |change: &dyn Fn(&mut Spec)| {
        let mut spec = spec();
        change(&mut spec);
        container(&spec, &overlay(), SETTINGS)
            .unwrap_err()
            .to_string()
    };
    insta::assert_snapshot!(refused(&|spec| spec.process.args.clear()), @"no command specified");
    insta::assert_snapshot!(refused(&|spec| spec.process.cwd = "app".to_owned()), @"invalid process.cwd: app must be an absolute path without '..'");
    insta::assert_snapshot!(refused(&|spec| spec.process.cwd = "/a/../..".to_owned()), @"invalid process.cwd: /a/../.. must be an absolute path without '..'");
    insta::assert_snapshot!(refused(&|spec| spec.mounts[0].destination = "/a/../b".into()), @"invalid mount at /a/../b: the destination must be an absolute path without '..'");
    insta::assert_snapshot!(refused(&|spec| spec.mounts[0].destination = "/".into()), @"invalid mount at /: the destination must not be the root");
    insta::assert_snapshot!(refused(&|spec| spec.linux.namespaces.clear()), @"invalid linux.namespaces: a container needs a mount namespace of its own");
    let with_sysctl = |name: &str| {
        refused(&|spec| {
            spec.linux.sysctl.insert(name.to_owned(), "1".to_owned());
        })
    };
    insta::assert_snapshot!(with_sysctl("kernel.core_pattern"), @r#"invalid sysctl "kernel.core_pattern": it does not belong to a namespace of the container's own"#);
    insta::assert_snapshot!(with_sysctl("net..ipv4"), @r#"invalid sysctl "net..ipv4": it does not belong to a namespace of the container's own"#);
    insta::assert_snapshot!(refused(&|spec| {
        spec.linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
    }), @"a user namespace in the specification is not supported: containers of ordinary users run in a namespace that is entered before");
    insta::assert_snapshot!(refused(&|spec| {
        spec.process.capabilities = Some(Capabilities {
            bounding: vec!["CAP_FLY".to_owned()],
            ..Capabilities::default()
        });
    }), @r#"invalid process.capabilities: unknown capability "CAP_FLY""#);
    insta::assert_snapshot!(refused(&|spec| {
        spec.mounts.push(Mount {
            destination: "/data".into(),
            kind: "bind".to_owned(),
            source: Some("/srv".into()),
            options: vec!["size=3".to_owned()],
        });
    }), @r#"invalid mount at /data: unknown option "size" of a bind mount"#);
}
