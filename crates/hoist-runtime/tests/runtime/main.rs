//! Containers for real: as root, with namespaces, mounts and cgroups.
//!
//! Each test runs in a directory and a cgroup of its own, and checks at its end that no mount, no
//! cgroup and no process is left.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cgroups;
mod commands;
mod further_processes;
mod harness;
mod init;
mod isolation;
mod mounts;
mod ordinary_user;
#[path = "../launcher/request.rs"]
mod request;
mod terminals;
