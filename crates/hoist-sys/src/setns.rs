//! A visit to another namespace: enter, do one thing, come back.
//!
//! `setns(2)` moves the calling thread alone, so the visit is safe in a program with threads as
//! long as the closure starts none and hands nothing to another. Sockets remember the network
//! namespace in which they were made, and mounts may be attached in a namespace of their own without
//! anybody seeing them; that is what visits are for.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use crate::mount::{Change, Propagation, set_attributes};
use rustix::{
    fs::{Mode, OFlags, open},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe},
};

/// The calling thread's own network namespace.
///
/// # Errors
///
/// `/proc` is not mounted, or no descriptor is left.
pub fn own_network() -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(open("/proc/thread-self/ns/net", flags, Mode::empty())?)
}

/// Moves the calling thread into a new, empty network namespace (`unshare(2)`).
///
/// # Errors
///
/// No `CAP_SYS_ADMIN`, or the limit of namespaces is reached.
pub fn leave_network() -> io::Result<()> {
    // SAFETY: a network namespace is a property of the thread; nothing that Rust or the C
    // library relies on (descriptors, memory, credentials) changes.
    Ok(unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?)
}

/// A new, empty network namespace that nothing is in; it lives as long as the descriptor.
///
/// # Errors
///
/// Those of [`leave_network`] and of [`within_network`].
pub fn new_network() -> io::Result<OwnedFd> {
    let home = own_network()?;
    leave_network()?;
    let made = own_network();
    move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Network))?;
    made
}

/// Runs `visit` with the calling thread inside the network namespace behind `namespace`.
///
/// # Errors
///
/// The thread's own namespace could not be opened, or `setns(2)` failed (not a network
/// namespace, or no `CAP_SYS_ADMIN`). When the way back fails the thread stays in the foreign
/// namespace and the error says so; the caller should end.
pub fn within_network<T>(namespace: BorrowedFd<'_>, visit: impl FnOnce() -> T) -> io::Result<T> {
    let home = own_network()?;
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
    let result = visit();
    move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Network)).map_err(|errno| {
        let errno = io::Error::from(errno);
        io::Error::new(
            errno.kind(),
            format!("cannot return to the own network namespace: {errno}"),
        )
    })?;
    Ok(result)
}

/// Runs `visit` with the calling thread in a copy of its mount namespace, from which nothing spreads
/// to the original. What is mounted there ends with the visit; what was made of it, or opened
/// through it, stays.
///
/// The thread keeps its working directory, but no longer shares it with others.
///
/// # Errors
///
/// No `CAP_SYS_ADMIN`, no `/proc`, or `setns(2)` failed. When the way back fails the thread stays in
/// the copy and the error says so; the caller should end.
pub fn within_own_mounts<T>(visit: impl FnOnce() -> T) -> io::Result<T> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let home = open("/proc/thread-self/ns/mnt", flags, Mode::empty())?;
    let directory = open(".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    // SAFETY: a mount namespace, and the directories that come with it, are properties of the
    // thread from here on; nothing that Rust or the C library relies on changes.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    let result = cut_off().map(|()| visit());
    let back = move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Mount))
        .and_then(|()| rustix::process::fchdir(&directory));
    back.map_err(|errno| {
        let errno = io::Error::from(errno);
        io::Error::new(
            errno.kind(),
            format!("cannot return to the own mount namespace: {errno}"),
        )
    })?;
    result
}

fn cut_off() -> io::Result<()> {
    let root = open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let change = Change {
        propagation: Some(Propagation::Private),
        recursive: true,
        ..Change::default()
    };
    set_attributes(root.as_fd(), change)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn own() -> std::path::PathBuf {
        std::fs::read_link("/proc/thread-self/ns/net").unwrap()
    }

    #[test]
    fn a_visit_sees_the_other_namespace_and_returns() {
        let other = new_network().unwrap();
        let before = own();
        let inside = within_network(other.as_fd(), own).unwrap();
        assert_ne!(inside, before);
        assert_eq!(own(), before);
    }

    #[test]
    fn mounts_of_a_visit_are_seen_by_nobody() {
        let point = tempfile::tempdir().unwrap();
        let table = || std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let name = point.path().to_str().unwrap();
        let before = (table(), std::env::current_dir().unwrap());
        let inside = within_own_mounts(|| {
            let flags = rustix::mount::MountFlags::empty();
            rustix::mount::mount("tmpfs", point.path(), "tmpfs", flags, None).unwrap();
            table()
        });
        assert!(inside.unwrap().contains(name));
        assert_eq!((table(), std::env::current_dir().unwrap()), before);
    }

    #[test]
    fn what_is_no_namespace_is_refused() {
        let before = own();
        let file = File::open("/proc/self/status").unwrap();
        within_network(file.as_fd(), || ()).unwrap_err();
        assert_eq!(own(), before);
    }
}
