//! Ordinary users: becoming root of a user namespace made of the user's subordinate ids.
//!
//! Commands that write to the store or start containers run as root of such a namespace
//! (`user_namespaces(7)`): the user is root inside, subordinate ids (`subuid(5)`) are everybody
//! else. From there on the code path is root's own. The mapping is the same every time, so owners
//! on disk mean the same to every command. A mount namespace of its own comes along, for the right
//! to mount.

use std::fs;

use hoist_sys::{
    clone::{Namespaces, unshare},
    userns::{self, EnterError, IdMap},
};
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    process::{getgid, getuid},
};

use crate::error::EngineError;

/// Become root of a user namespace with the calling user's subordinate ids. The process must have
/// one thread. Root is root already: nothing happens.
///
/// # Errors
/// When the user has no subordinate ids, `newuidmap` is missing, or the kernel refuses; the hint
/// says how to get what is missing.
pub fn enter() -> Result<(), EngineError> {
    let uid = getuid().as_raw();
    if uid == 0 {
        return Ok(());
    }
    let user = user_name(uid);
    let uids = subordinate("/etc/subuid", uid, &user)?;
    let gids = subordinate("/etc/subgid", uid, &user)?;
    userns::enter(&maps(uid, uids), &maps(getgid().as_raw(), gids)).map_err(explain)?;
    unshare(Namespaces::MOUNT).map_err(EngineError::system("unshare"))
}

/// Become root of the user namespace of a running container: the way in for `exec`. Does nothing
/// for a process that is root, or in that namespace already.
pub(crate) fn join(pid: i32) -> Result<(), EngineError> {
    if getuid().as_raw() == 0 {
        return Ok(());
    }
    let path = format!("/proc/{pid}/ns/user");
    let namespace = openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| EngineError::file("open", &path)(error.into()))?;
    userns::join(std::os::fd::AsFd::as_fd(&namespace)).map_err(explain)
}

/// The user is 0 inside; the others come from the subordinate range.
fn maps(own: u32, (start, count): (u32, u32)) -> Vec<IdMap> {
    vec![
        IdMap {
            inside: 0,
            outside: own,
            count: 1,
        },
        IdMap {
            inside: 1,
            outside: start,
            count,
        },
    ]
}

/// The name of a user; the number itself when there is none.
fn user_name(uid: u32) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| uid.to_string())
}

/// The longest range of subordinate ids of a user in a file of the form of `subuid(5)`.
fn subordinate(path: &'static str, uid: u32, user: &str) -> Result<(u32, u32), EngineError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(EngineError::file("read", path)(error)),
    };
    longest_range(&text, uid, user).ok_or_else(|| EngineError::Unsupported {
        message: format!("{user} has no subordinate ids in {path}"),
        hint: Some(format!(
            "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
        )),
    })
}

fn longest_range(text: &str, uid: u32, user: &str) -> Option<(u32, u32)> {
    let ranges = text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let start: u32 = fields.next()?.parse().ok()?;
        let count: u32 = fields.next()?.parse().ok()?;
        let fits = (owner == user || owner == uid.to_string())
            && count > 0
            && start.checked_add(count).is_some();
        fits.then_some((start, count))
    });
    ranges.max_by_key(|(_, count)| *count)
}

fn explain(error: EnterError) -> EngineError {
    let hint = match &error {
        EnterError::MissingProgram { .. } => "install it: sudo apt-get install uidmap",
        EnterError::Refused(_) => {
            "the host forbids user namespaces to ordinary users: see sysctl kernel.unprivileged_userns_clone, \
             user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns"
        }
        EnterError::Map { .. } => "check the user's lines in /etc/subuid and /etc/subgid",
        EnterError::Threads | EnterError::Call { .. } => {
            return EngineError::System {
                action: "entering a user namespace",
                source: std::io::Error::other(error),
            };
        }
    };
    let message = hoist_core::error::chain(&error);
    EngineError::Unsupported {
        message,
        hint: Some(hint.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_range_of_the_user_by_name_or_number_is_taken() {
        let text = "alice:100000:65536\n1000:200000:10\nbob:1:1\nalice:300000:70000\nalice:x:1\nalice:4294967295:2\n";
        assert_eq!(longest_range(text, 1000, "alice"), Some((300_000, 70_000)));
        assert_eq!(longest_range(text, 1000, "carol"), Some((200_000, 10)));
        assert_eq!(longest_range(text, 7, "dave"), None);
    }
}
