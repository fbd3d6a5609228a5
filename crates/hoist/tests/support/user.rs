//! The ordinary user that rootless tests run as.

use std::fs::{self, File};
use std::process::Command;

/// A user without rights of its own, but with ranges of subordinate ids.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

const NAME: &str = "hoist-test";

impl User {
    /// The tests' user, made where it does not exist yet.
    pub(crate) fn of_tests() -> Self {
        let lock = File::create("/run/lock/hoist-test-user.lock").expect("the tests run as root");
        lock.lock().expect("a lock");
        if look_up().is_none() {
            let shell = [
                "--shell",
                "/bin/sh",
                "--home-dir",
                "/nonexistent",
                "--no-create-home",
            ];
            run(Command::new("useradd").args(shell).arg(NAME));
        }
        for (file, option) in [
            ("/etc/subuid", "--add-subuids"),
            ("/etc/subgid", "--add-subgids"),
        ] {
            let ranges = fs::read_to_string(file).unwrap_or_default();
            if !ranges
                .lines()
                .any(|line| line.starts_with(&format!("{NAME}:")))
            {
                let start = ranges
                    .lines()
                    .filter_map(end_of)
                    .max()
                    .unwrap_or(0)
                    .max(100_000);
                let range = format!("{start}-{}", start + 65_535);
                run(Command::new("usermod").args([option, &range, NAME]));
            }
        }
        look_up().expect("useradd made the user")
    }
}

/// The first id after a range of subordinate ids: `name:start:count`.
fn end_of(line: &str) -> Option<u64> {
    let mut fields = line.split(':').skip(1);
    let start: u64 = fields.next()?.parse().ok()?;
    let count: u64 = fields.next()?.parse().ok()?;
    Some(start + count)
}

fn look_up() -> Option<User> {
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let line = users
        .lines()
        .find(|line| line.starts_with(&format!("{NAME}:")))?;
    let mut fields = line.split(':').skip(2);
    Some(User {
        uid: fields.next()?.parse().ok()?,
        gid: fields.next()?.parse().ok()?,
    })
}

fn run(command: &mut Command) {
    let status = command
        .status()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}
