//! The floor: what starting a container costs the kernel, and nothing else.
//!
//! `floor <lower> <upper> <work> [--no-network-namespace] [--] command…` clones with all
//! namespaces, mounts a volatile overlay, pivots, executes and waits: the lower bound of the
//! benchmark. No cgroup, no filter, no /proc, no capabilities; a container runtime must do more.

use std::{ffi::CString, io, process::ExitCode};

use hoist_sys::{
    clone::{Namespaces, clone},
    mount::{Change, Propagation, set_attributes},
    process::{Arguments, wait},
};
use rustix::{
    fs::{CWD, Mode, OFlags},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
        fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
    },
};
use std::os::fd::AsFd;

fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            use std::io::Write;
            let _ = writeln!(io::stderr(), "floor: {error}");
            ExitCode::from(125)
        }
    }
}

fn run() -> io::Result<u8> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut namespaces = Namespaces::PID
        .with(Namespaces::NETWORK)
        .with(Namespaces::MOUNT)
        .with(Namespaces::IPC)
        .with(Namespaces::UTS)
        .with(Namespaces::CGROUP);
    if words
        .get(3)
        .is_some_and(|word| word == "--no-network-namespace")
    {
        words.remove(3);
        namespaces = namespaces.without(Namespaces::NETWORK);
    }
    if words.get(3).is_some_and(|word| word == "--") {
        words.remove(3);
    }
    let [lower, upper, work, command @ ..] = words.as_slice() else {
        return Err(io::Error::other(
            "usage: floor <lower> <upper> <work> [--no-network-namespace] [--] command...",
        ));
    };
    let program = command
        .first()
        .ok_or_else(|| io::Error::other("no command"))?;
    let program = CString::new(program.as_str())?;
    let arguments = Arguments::new(command, &["PATH=/bin".to_owned()])?;
    let child = clone(namespaces, None, || match enter(lower, upper, work) {
        Ok(()) => arguments.execute(&program).raw_os_error().unwrap_or(125),
        Err(error) => error.raw_os_error().unwrap_or(125),
    })?;
    Ok(wait(child.pidfd.as_fd())?.exit_code())
}

fn enter(lower: &str, upper: &str, work: &str) -> io::Result<()> {
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let private = Change {
        propagation: Some(Propagation::Private),
        recursive: true,
        ..Change::default()
    };
    set_attributes(root.as_fd(), private)?;
    let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&overlay, "lowerdir+", lower)?;
    fsconfig_set_string(&overlay, "upperdir", upper)?;
    fsconfig_set_string(&overlay, "workdir", work)?;
    fsconfig_set_flag(&overlay, "volatile")?;
    fsconfig_create(&overlay)?;
    let tree = fsmount(
        &overlay,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?;
    move_mount(&tree, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    rustix::process::fchdir(&tree)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir("/")?)
}
