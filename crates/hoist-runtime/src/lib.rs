//! An OCI runtime specification and a root file system become a process.
//!
//! Floor 1 of the house. The way of a container:
//!
//! 1. [`plan`] turns the specification ([`hoist_core::spec::Spec`]) into an ordered list of steps:
//!    data that can be printed and tested without root;
//! 2. [`create`] makes the process with one `clone3(2)`, in all its namespaces (and its cgroup, with
//!    version 2); the process carries out the steps by itself;
//! 3. [`Created::start`] gives the word, and the process executes the command.
//!
//! [`exec`] adds a process to a running container. [`Cgroup`] holds limits and accounting,
//! [`defaults`] what Docker gives every container, [`user`] the rules of `--user`.
//!
//! All mounts are made through descriptors and moved to places that were resolved inside the root
//! (`openat2` with `RESOLVE_IN_ROOT`); the system-call filter is compiled when hoist is built;
//! there is no shell, no second `execve` and no sync on the way. A default container makes about 300
//! system calls between the clone and its `execve` (`strace -f -c`; 64 reset signals, 31 set
//! capabilities, 30 are parameters of file systems, 31 resolve places), and its parent about 70.
//!
//! It never pulls or unpacks an image, configures a network, watches a container or keeps a record:
//! that is the engine's.
#![forbid(unsafe_code)]

mod apply;
pub mod cgroup;
mod container;
pub mod defaults;
mod error;
mod exec;
mod in_root;
mod launch;
mod options;
mod overlay;
pub mod plan;
mod plan_text;
mod report;
mod rootfs;
mod seccomp;
pub mod user;

pub use cgroup::Cgroup;
pub use container::{Container, ExitStatus};
pub use error::RuntimeError;
pub use exec::{Target, exec};
pub use launch::{Created, Launch, Stdio, create};
pub use overlay::{overlay_mount, overlay_view};
pub use rootfs::{LowerLayer, Rootfs};
