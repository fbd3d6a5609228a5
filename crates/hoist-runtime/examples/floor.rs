//! The floor of the benchmark: what the bare system calls of a container cost.
//!
//! ```text
//! floor [--network] TREE SCRATCH PROGRAM
//! ```
//!
//! Runs PROGRAM from TREE (a directory, never written to) in new namespaces of every kind but users,
//! on an overlay whose upper directory lies under SCRATCH, and ends as PROGRAM ends. With
//! `--network` the container gets one end of a pair of interfaces whose other end is a port of the
//! bridge `hoist-floor`, which is made when it is not there (`ip link delete hoist-floor`).
//! Nothing is restricted, logged or recorded.
#![forbid(unsafe_code)]

use std::{
    error::Error,
    ffi::CString,
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::ExitCode,
};

use hoist_sys::{
    clone::{Namespaces, clone},
    netlink::{Protocol, Requests, Socket, route},
    process::{Arguments, wait},
};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount},
    process::pivot_root,
};

const BRIDGE: &str = "hoist-floor";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let network = words.first().is_some_and(|word| word == "--network");
    if network {
        words.remove(0);
    }
    let [tree, scratch, program] = words.as_slice() else {
        return Err("usage: floor [--network] TREE SCRATCH PROGRAM".into());
    };
    let own = Path::new(scratch).join(std::process::id().to_string());
    let [upper, work, merged] = ["upper", "work", "merged"].map(|name| own.join(name));
    for directory in [&upper, &work, &merged] {
        fs::create_dir_all(directory)?;
    }

    let arguments = Arguments::new(std::slice::from_ref(program), &[])?;
    let (go, went) = rustix::pipe::pipe()?;
    let namespaces = Namespaces::MOUNT
        .with(Namespaces::PID)
        .with(Namespaces::NETWORK)
        .with(Namespaces::UTS)
        .with(Namespaces::IPC)
        .with(Namespaces::CGROUP);
    let inside = Inside {
        tree,
        upper,
        work,
        merged,
        program,
        arguments: &arguments,
    };
    let child = clone(namespaces, None, || {
        if network {
            // One byte: the interface is there.
            let _ = rustix::io::read(&go, &mut [0; 1]);
        }
        inside.enter().map_or_else(|_| 125, |never| match never {})
    })?;
    if network {
        connect(child.pid)?;
        rustix::io::write(&went, b"x")?;
    }
    let status = wait(child.pidfd.as_fd())?;
    fs::remove_dir_all(own)?;
    Ok(ExitCode::from(status.exit_code()))
}

/// What the child needs to know.
struct Inside<'a> {
    tree: &'a str,
    upper: PathBuf,
    work: PathBuf,
    merged: PathBuf,
    program: &'a str,
    arguments: &'a Arguments,
}

impl Inside<'_> {
    /// The child's whole life.
    fn enter(&self) -> io::Result<std::convert::Infallible> {
        mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )?;
        let Self {
            tree,
            upper,
            work,
            merged,
            ..
        } = self;
        let options = format!(
            "lowerdir={tree},upperdir={},workdir={},volatile",
            upper.display(),
            work.display()
        );
        let options = CString::new(options)?;
        mount(
            "overlay",
            merged,
            "overlay",
            MountFlags::empty(),
            options.as_c_str(),
        )?;
        mount(
            "proc",
            merged.join("proc"),
            "proc",
            MountFlags::empty(),
            None,
        )?;
        rustix::process::chdir(merged)?;
        pivot_root(".", ".")?;
        unmount(".", UnmountFlags::DETACH)?;
        Err(self
            .arguments
            .execute(CString::new(self.program)?.as_c_str()))
    }
}

/// Gives the child's network namespace an interface on the bridge.
fn connect(pid: i32) -> Result<(), Box<dyn Error>> {
    let namespace = OwnedFd::from(fs::File::open(format!("/proc/{pid}/ns/net"))?);
    let socket = Socket::open(Protocol::Route)?;
    let bridge = match socket.index_of(BRIDGE)? {
        Some(index) => index,
        None => {
            let mut requests = Requests::new();
            let mac = [0x02, 0x42, 0, 0, 0, 1];
            requests.create_bridge(&route::NewBridge {
                name: BRIDGE,
                mac,
                mtu: 1500,
            });
            requests.raise_named(BRIDGE);
            socket.round(requests)?;
            socket
                .index_of(BRIDGE)?
                .ok_or("the new bridge is not there")?
        }
    };
    let host = format!("floor{pid}");
    let mut requests = Requests::new();
    requests.create_pair(&route::NewPair {
        host: &host,
        bridge,
        mtu: 1500,
        peer: "eth0",
        peer_mac: [0x02, 0x42, 0, 0, 0, 2],
        namespace: namespace.as_fd(),
    });
    requests.raise_named(&host);
    socket.round(requests)?;
    Ok(())
}
