//! Which system calls a container may make: Docker's default profile (moby/profiles, seccomp v0.2.3).
//!
//! The calls of [`ALWAYS`] need nothing. Those of [`WITH_CAPABILITY`] are allowed to a container
//! that was given the capability. Four calls depend on their arguments:
//!
//! * `clone` without `CAP_SYS_ADMIN` may not make namespaces;
//! * `clone3` without it is `ENOSYS`, since its arguments lie behind a pointer; libraries then fall
//!   back to `clone`;
//! * `personality` takes the five values that programs use;
//! * `socket` refuses the families `AF_ALG` (38) and `AF_VSOCK` (40).
//!
//! Everything else fails with `EPERM`, and calls newer than the profile with `ENOSYS`, so that
//! programs fall back to what they did before. Arguments are compared as the kernel reads them: the
//! lower 32 bits of an `int`. (i386 programs may use `socketcall`, whose arguments no filter can
//! read; Docker allows it, and so does this profile.)

use super::numbers::NUMBERS;

/// An architecture of system calls.
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "a build constructs those of its target only")
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Architecture {
    /// x86-64, the 64-bit numbers.
    X86_64,
    /// i386, on x86-64 kernels.
    I386,
    /// arm64.
    Aarch64,
}

impl Architecture {
    /// `AUDIT_ARCH_*` of `linux/audit.h`.
    pub(crate) const fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
        }
    }
}

/// What happens to a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// It goes ahead.
    Allow,
    /// It fails with this error number.
    Fail(u16),
    /// It goes ahead unless the lower half of its first argument has one of these bits.
    AllowUnlessBits(u32),
    /// It goes ahead when the lower half of its first argument is one of these.
    AllowValues(&'static [u32]),
    /// It goes ahead unless the lower half of its first argument is one of these.
    AllowUnlessValues(&'static [u32]),
}

pub(crate) const EPERM: u16 = 1;
pub(crate) const ENOSYS: u16 = 38;

/// The `CLONE_NEW*` flags (mount, cgroup, UTS, IPC, user, PID, network).
const CLONE_NAMESPACES: u32 = 0x7e02_0000;
/// `PER_LINUX`, `PER_LINUX32`, `UNAME26`, both, and "tell me the present one".
const PERSONALITIES: &[u32] = &[0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// `AF_ALG`: the kernel's cryptography; `AF_VSOCK`: the hypervisor, past all network namespaces.
const REFUSED_FAMILIES: &[u32] = &[38, 40];

const CAP_SYS_ADMIN: u32 = 21;

/// The default capabilities of a container, as a bit set: `CHOWN`, `DAC_OVERRIDE`, `FOWNER`,
/// `FSETID`, `KILL`, `SETGID`, `SETUID`, `SETPCAP`, `NET_BIND_SERVICE`, `NET_RAW`, `SYS_CHROOT`,
/// `MKNOD`, `AUDIT_WRITE`, `SETFCAP`.
pub(crate) const DEFAULT_CAPABILITIES: u64 = 0xa804_25fb;

/// The part of a capability set on which the profile depends.
pub(crate) fn relevant(capabilities: u64) -> u64 {
    WITH_CAPABILITY
        .iter()
        .fold(0, |bits, (number, _)| bits | 1 << number)
        & capabilities
}

/// The rules of a container with the capabilities of the bit set `capabilities`: numbers with what
/// happens to them, sorted. Numbers that are not listed fail with `EPERM`.
pub(crate) fn rules(architecture: Architecture, capabilities: u64) -> Vec<(u32, Action)> {
    let has = |number: u32| capabilities >> number & 1 == 1;
    let mut allowed: Vec<&str> = ALWAYS.to_vec();
    for (capability, names) in WITH_CAPABILITY {
        if has(*capability) {
            allowed.extend(*names);
        }
    }
    let mut rules: Vec<(u32, Action)> = Vec::new();
    let mut add = |name: &str, action: Action| {
        if let Some(number) = number(architecture, name)
            && !rules.iter().any(|(known, _)| *known == number)
        {
            rules.push((number, action));
        }
    };
    for name in allowed {
        add(name, Action::Allow);
    }
    if !has(CAP_SYS_ADMIN) {
        add("clone", Action::AllowUnlessBits(CLONE_NAMESPACES));
        add("clone3", Action::Fail(ENOSYS));
    }
    add("personality", Action::AllowValues(PERSONALITIES));
    add("socket", Action::AllowUnlessValues(REFUSED_FAMILIES));
    rules.sort_unstable_by_key(|(number, _)| *number);
    rules
}

/// The number of a call that the profile names.
pub(crate) fn number(architecture: Architecture, name: &str) -> Option<u32> {
    let index = NUMBERS.binary_search_by_key(&name, |(name, _)| name).ok()?;
    let (_, [x86_64, i386, aarch64]) = NUMBERS[index];
    let number = match architecture {
        Architecture::X86_64 => x86_64,
        Architecture::I386 => i386,
        Architecture::Aarch64 => aarch64,
    };
    u32::try_from(number).ok()
}

/// The greatest number that the profile knows; calls beyond it are newer than the profile.
pub(crate) fn newest(architecture: Architecture) -> u32 {
    NUMBERS
        .iter()
        .filter_map(|(name, _)| number(architecture, name))
        .max()
        .unwrap_or(0)
}

/// Allowed to every container.
#[rustfmt::skip]
const ALWAYS: &[&str] = &[
    "_llseek", "_newselect", "accept", "accept4", "access", "adjtimex", "alarm", "arch_prctl",
    "bind", "brk", "cachestat", "capget", "capset", "chdir", "chmod", "chown", "chown32",
    "clock_adjtime", "clock_adjtime64", "clock_getres", "clock_getres_time64", "clock_gettime",
    "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "close", "close_range",
    "connect", "copy_file_range", "creat", "dup", "dup2", "dup3", "epoll_create", "epoll_create1",
    "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2", "epoll_wait", "epoll_wait_old",
    "eventfd", "eventfd2", "execve", "execveat", "exit", "exit_group", "faccessat", "faccessat2",
    "fadvise64", "fadvise64_64", "fallocate", "fanotify_mark", "fchdir", "fchmod", "fchmodat",
    "fchmodat2", "fchown", "fchown32", "fchownat", "fcntl", "fcntl64", "fdatasync", "fgetxattr",
    "flistxattr", "flock", "fork", "fremovexattr", "fsetxattr", "fstat", "fstat64", "fstatat64",
    "fstatfs", "fstatfs64", "fsync", "ftruncate", "ftruncate64", "futex", "futex_requeue",
    "futex_time64", "futex_wait", "futex_waitv", "futex_wake", "futimesat", "get_robust_list",
    "get_thread_area", "getcpu", "getcwd", "getdents", "getdents64", "getegid", "getegid32",
    "geteuid", "geteuid32", "getgid", "getgid32", "getgroups", "getgroups32", "getitimer",
    "getpeername", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrandom",
    "getresgid", "getresgid32", "getresuid", "getresuid32", "getrlimit", "getrusage", "getsid",
    "getsockname", "getsockopt", "gettid", "gettimeofday", "getuid", "getuid32", "getxattr",
    "getxattrat", "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch",
    "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_setup",
    "io_submit", "ioctl", "ioprio_get", "ioprio_set", "ipc", "kill", "landlock_add_rule",
    "landlock_create_ruleset", "landlock_restrict_self", "lchown", "lchown32", "lgetxattr", "link",
    "linkat", "listen", "listmount", "listxattr", "listxattrat", "llistxattr", "lremovexattr",
    "lseek", "lsetxattr", "lstat", "lstat64", "madvise", "map_shadow_stack", "membarrier",
    "memfd_create", "memfd_secret", "mincore", "mkdir", "mkdirat", "mknod", "mknodat", "mlock",
    "mlock2", "mlockall", "mmap", "mmap2", "modify_ldt", "mprotect", "mq_getsetattr", "mq_notify",
    "mq_open", "mq_timedreceive", "mq_timedreceive_time64", "mq_timedsend", "mq_timedsend_time64",
    "mq_unlink", "mremap", "mseal", "msgctl", "msgget", "msgrcv", "msgsnd", "msync", "munlock",
    "munlockall", "munmap", "name_to_handle_at", "nanosleep", "newfstatat", "open", "openat",
    "openat2", "pause", "pidfd_open", "pidfd_send_signal", "pipe", "pipe2", "pkey_alloc",
    "pkey_free", "pkey_mprotect", "poll", "ppoll", "ppoll_time64", "prctl", "pread64", "preadv",
    "preadv2", "prlimit64", "process_mrelease", "process_vm_readv", "process_vm_writev",
    "pselect6", "pselect6_time64", "ptrace", "pwrite64", "pwritev", "pwritev2", "read",
    "readahead", "readlink", "readlinkat", "readv", "recvfrom", "recvmmsg", "recvmmsg_time64",
    "recvmsg", "remap_file_pages", "removexattr", "removexattrat", "rename", "renameat",
    "renameat2", "restart_syscall", "rmdir", "rseq", "rt_sigaction", "rt_sigpending",
    "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
    "rt_sigtimedwait_time64", "rt_tgsigqueueinfo", "sched_get_priority_max",
    "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam",
    "sched_getscheduler", "sched_rr_get_interval", "sched_rr_get_interval_time64",
    "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield",
    "seccomp", "select", "semctl", "semget", "semop", "semtimedop", "semtimedop_time64",
    "sendfile", "sendfile64", "sendmmsg", "sendmsg", "sendto", "set_robust_list",
    "set_thread_area", "set_tid_address", "setfsgid", "setfsgid32", "setfsuid", "setfsuid32",
    "setgid", "setgid32", "setgroups", "setgroups32", "setitimer", "setpgid", "setpriority",
    "setregid", "setregid32", "setresgid", "setresgid32", "setresuid", "setresuid32", "setreuid",
    "setreuid32", "setrlimit", "setsid", "setsockopt", "setuid", "setuid32", "setxattr",
    "setxattrat", "shmat", "shmctl", "shmdt", "shmget", "shutdown", "sigaltstack", "signalfd",
    "signalfd4", "sigprocmask", "sigreturn", "socketcall", "socketpair", "splice", "stat",
    "stat64", "statfs", "statfs64", "statmount", "statx", "symlink", "symlinkat", "sync",
    "sync_file_range", "syncfs", "sysinfo", "tee", "tgkill", "time", "timer_create",
    "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64", "timer_settime",
    "timer_settime64", "timerfd_create", "timerfd_gettime", "timerfd_gettime64", "timerfd_settime",
    "timerfd_settime64", "times", "tkill", "truncate", "truncate64", "ugetrlimit", "umask",
    "uname", "unlink", "unlinkat", "uretprobe", "utime", "utimensat", "utimensat_time64", "utimes",
    "vfork", "vmsplice", "wait4", "waitid", "waitpid", "write", "writev",
];

/// Allowed with a capability, by its number.
#[rustfmt::skip]
const WITH_CAPABILITY: &[(u32, &[&str])] = &[
    // CAP_DAC_READ_SEARCH
    (2, &[
        "open_by_handle_at",
    ]),
    // CAP_SYS_ADMIN
    (CAP_SYS_ADMIN, &[
        "bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick",
        "lookup_dcookie", "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr", "mount",
        "mount_setattr", "move_mount", "open_tree", "perf_event_open", "quotactl", "quotactl_fd",
        "setdomainname", "sethostname", "setns", "syslog", "umount", "umount2", "unshare",
    ]),
    // CAP_SYS_BOOT
    (22, &[
        "reboot",
    ]),
    // CAP_SYS_CHROOT
    (18, &[
        "chroot",
    ]),
    // CAP_SYS_MODULE
    (16, &[
        "delete_module", "finit_module", "init_module",
    ]),
    // CAP_SYS_PACCT
    (20, &[
        "acct",
    ]),
    // CAP_SYS_PTRACE
    (19, &[
        "kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace",
    ]),
    // CAP_SYS_RAWIO
    (17, &[
        "ioperm", "iopl",
    ]),
    // CAP_SYS_TIME
    (25, &[
        "clock_settime", "clock_settime64", "settimeofday", "stime",
    ]),
    // CAP_SYS_TTY_CONFIG
    (26, &[
        "vhangup",
    ]),
    // CAP_SYS_NICE
    (23, &[
        "get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node",
    ]),
    // CAP_SYSLOG
    (34, &[
        "syslog",
    ]),
    // CAP_BPF
    (39, &[
        "bpf",
    ]),
    // CAP_PERFMON
    (38, &[
        "perf_event_open",
    ]),
];
