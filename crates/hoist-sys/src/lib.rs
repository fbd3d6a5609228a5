//! The kernel, safely: floor 0 of the house, and the only crate that may say `unsafe`.
//!
//! What `rustix` lacks (clone3, system-call filters, mount attributes, netlink rounds) and what
//! needs a policy of its own (atomic files, locks) is wrapped here so that every other crate can
//! forbid unsafe code. Functions take and return owned or borrowed file descriptors; none keeps
//! global state. It never knows what a container or an image is.

pub mod atomic;
pub mod bpf;
pub mod capability;
pub mod clone;
pub mod datagram;
pub mod erofs;
pub mod kernel;
pub mod lock;
pub mod loopback;
pub mod memory;
pub mod mount;
pub mod netlink;
pub mod pass;
pub mod process;
pub mod seccomp;
pub mod setns;
pub mod signal;
pub mod tree;
pub mod userns;
pub mod writeback;
