//! Entering a user namespace: afterwards the calling process is root in it.
//!
//! Ranges of subordinate ids may only be mapped by the set-user-id programs `newuidmap` and
//! `newgidmap`, and only from outside the new namespace. So a child is made first; the caller
//! unshares, tells the child, and the child runs the two programs on the caller's process id.

use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::Command,
};

use rustix::process::{Gid, Uid};

use crate::{
    clone::{self, Namespaces},
    pass, process,
};

/// A range of ids: `count` ids from `inside` in the namespace are those from `outside` around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdMap {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// Number of ids.
    pub count: u32,
}

impl fmt::Display for IdMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.inside, self.outside, self.count)
    }
}

/// Why a user namespace could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    /// The calling process has several threads.
    #[error("a process with several threads cannot enter a user namespace")]
    Threads,
    /// The kernel refused the namespace (often a sysctl or a security module of the host).
    #[error("the kernel refused a user namespace")]
    Refused(#[source] io::Error),
    /// `newuidmap` or `newgidmap` is not installed.
    #[error("{program} is not installed")]
    MissingProgram {
        /// Its name.
        program: String,
    },
    /// The ids could not be mapped.
    #[error("mapping ids with {program} failed: {message}")]
    Map {
        /// The program or file used.
        program: String,
        /// What it said.
        message: String,
    },
    /// Another system call failed.
    #[error("{call} failed while entering a user namespace")]
    Call {
        /// Its name.
        call: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn call(call: &'static str) -> impl FnOnce(io::Error) -> EnterError {
    move |source| EnterError::Call { call, source }
}

/// Moves the calling process into a new user namespace with the given maps, as user and group 0 of
/// it with all capabilities there. Other namespaces stay as they are.
///
/// A single-id map of the caller's own ids needs no program (and then `setgroups(2)` is denied in
/// the namespace, as the kernel demands); a caller with `CAP_SETUID` writes any map itself.
///
/// # Errors
///
/// See [`EnterError`]. After an error the process may be in a namespace without ids: it should
/// end.
pub fn enter(uids: &[IdMap], gids: &[IdMap]) -> Result<(), EnterError> {
    if !clone::is_single_threaded() {
        return Err(EnterError::Threads);
    }
    let (uid, gid) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    if only(uids, uid) && only(gids, gid) {
        clone::unshare(Namespaces::USER).map_err(EnterError::Refused)?;
        write_own("/proc/self/setgroups", "deny")?;
        write_own("/proc/self/uid_map", &lines(uids))?;
        write_own("/proc/self/gid_map", &lines(gids))?;
    } else {
        enter_with_child(uids, gids, uid == 0)?;
    }
    become_root()
}

/// Joins the user namespace behind `namespace` (a descriptor of `/proc/<pid>/ns/user`) as its
/// root.
///
/// # Errors
///
/// See [`EnterError`].
pub fn join(namespace: BorrowedFd<'_>) -> Result<(), EnterError> {
    if !clone::is_single_threaded() {
        return Err(EnterError::Threads);
    }
    clone::join(namespace, Namespaces::USER).map_err(EnterError::Refused)?;
    become_root()
}

fn only(maps: &[IdMap], own: u32) -> bool {
    matches!(maps, [IdMap { outside, count: 1, .. }] if *outside == own) && own != 0
}

fn lines(maps: &[IdMap]) -> String {
    maps.iter().map(|map| format!("{map}\n")).collect()
}

fn write_own(path: &'static str, text: &str) -> Result<(), EnterError> {
    std::fs::write(path, text).map_err(|error| EnterError::Map {
        program: path.to_owned(),
        message: error.to_string(),
    })
}

fn become_root() -> Result<(), EnterError> {
    let (root, group) = (Uid::ROOT, Gid::ROOT);
    rustix::thread::set_thread_res_gid(group, group, group)
        .map_err(|error| call("setresgid")(error.into()))?;
    // Denied in a single-id namespace, where there are no other groups to be had anyway.
    let _ = rustix::thread::set_thread_groups(&[]);
    rustix::thread::set_thread_res_uid(root, root, root)
        .map_err(|error| call("setresuid")(error.into()))?;
    // The change of ids made the process unreadable, its own /proc files included.
    process::set_dumpable(true).map_err(call("prctl"))
}

fn enter_with_child(uids: &[IdMap], gids: &[IdMap], privileged: bool) -> Result<(), EnterError> {
    let target = rustix::process::getpid().as_raw_nonzero().get();
    let (ours, theirs) = pass::pair().map_err(call("socketpair"))?;
    let mut ends = Some((ours, theirs));
    let child = clone::clone(Namespaces::NONE, None, || {
        // The copies belong to this process: closing the caller's end lets its death be seen.
        let Some((ours, theirs)) = ends.take() else {
            return 1;
        };
        drop(ours);
        map_for(&theirs, target, uids, gids, privileged)
    })
    .map_err(call("clone3"))?;
    let Some((ours, theirs)) = ends else {
        return Err(call("clone3")(io::Error::from_raw_os_error(libc::EINVAL)));
    };
    drop(theirs);
    let outcome = clone::unshare(Namespaces::USER)
        .map_err(EnterError::Refused)
        .and_then(|()| {
            pass::send(ours.as_fd(), b"map", None).map_err(call("send"))?;
            let mut reply = [0; 4096];
            let (length, _) = pass::receive(ours.as_fd(), &mut reply).map_err(call("receive"))?;
            read_reply(&reply[..length])
        });
    drop(ours);
    process::wait(child.pidfd.as_fd()).map_err(call("waitid"))?;
    outcome
}

/// The child: waits for the word, maps, reports. A caller that ends before leaves nothing to do.
fn map_for(socket: &OwnedFd, target: i32, uids: &[IdMap], gids: &[IdMap], privileged: bool) -> i32 {
    let mut word = [0; 8];
    if !matches!(pass::receive(socket.as_fd(), &mut word), Ok((3, _))) {
        return 1;
    }
    let reply = if privileged {
        write_map(target, "uid_map", uids).and_then(|()| write_map(target, "gid_map", gids))
    } else {
        run("newuidmap", target, uids).and_then(|()| run("newgidmap", target, gids))
    };
    let text = match reply {
        Ok(()) => "ok".to_owned(),
        Err(text) => text,
    };
    i32::from(pass::send(socket.as_fd(), text.as_bytes(), None).is_err())
}

fn write_map(target: i32, file: &str, maps: &[IdMap]) -> Result<(), String> {
    let path = format!("/proc/{target}/{file}");
    std::fs::write(&path, lines(maps)).map_err(|error| format!("map\n{path}\n{error}"))
}

fn run(program: &str, target: i32, maps: &[IdMap]) -> Result<(), String> {
    let mut command = Command::new(program);
    command.arg(target.to_string());
    for map in maps {
        command.args([
            map.inside.to_string(),
            map.outside.to_string(),
            map.count.to_string(),
        ]);
    }
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said: String = said.trim().chars().take(1000).collect();
            Err(format!("map\n{program}\n{said}"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("missing\n{program}\n"))
        }
        Err(error) => Err(format!("map\n{program}\n{error}")),
    }
}

fn read_reply(reply: &[u8]) -> Result<(), EnterError> {
    let text = String::from_utf8_lossy(reply);
    let mut parts = text.splitn(3, '\n');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let (word, program, message) = (part(), part(), part());
    match word.as_str() {
        "ok" => Ok(()),
        "missing" => Err(EnterError::MissingProgram { program }),
        "map" => Err(EnterError::Map { program, message }),
        _ => Err(EnterError::Map {
            program: "newuidmap".to_owned(),
            message: "the child that runs it ended early".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_become_errors() {
        assert!(read_reply(b"ok").is_ok());
        let missing = read_reply(b"missing\nnewuidmap\n").unwrap_err();
        assert_eq!(missing.to_string(), "newuidmap is not installed");
        let failed = read_reply(b"map\nnewgidmap\nrange not allowed").unwrap_err();
        assert_eq!(
            failed.to_string(),
            "mapping ids with newgidmap failed: range not allowed"
        );
        assert!(read_reply(b"").is_err());
    }

    #[test]
    fn maps_print_as_the_kernel_reads_them() {
        let maps = [
            IdMap {
                inside: 0,
                outside: 1000,
                count: 1,
            },
            IdMap {
                inside: 1,
                outside: 100_000,
                count: 65536,
            },
        ];
        assert_eq!(lines(&maps), "0 1000 1\n1 100000 65536\n");
        assert!(!only(&maps, 1000) && only(&maps[..1], 1000));
    }
}
