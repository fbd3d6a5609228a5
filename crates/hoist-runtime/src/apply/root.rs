//! The root: mounted over the host's within this namespace, then put in its place.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use hoist_sys::mount::{Attributes, Change, Propagation, set_attributes};
use rustix::{
    fs::{CWD, Mode, OFlags},
    mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags},
};

use super::{Context, Failure, Result};
use crate::{
    Rootfs,
    in_root::{Links, Missing, open_or_make},
    overlay::Overlay,
};

/// Nothing that is mounted from here on reaches the host, nor the other way round.
pub(super) fn isolate() -> Result<()> {
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let change = Change {
        propagation: Some(Propagation::Private),
        recursive: true,
        ..Change::default()
    };
    Ok(set_attributes(root.as_fd(), change)?)
}

/// Mounts the root over `/`: below it the host's tree stays reachable by what is already open, and
/// by paths, until the two change places.
pub(super) fn mount(context: &mut Context<'_>, rootfs: &Rootfs) -> Result<()> {
    let tree = match rootfs {
        // overlayfs wants a layer below; without one, the writable directory is the root.
        Rootfs::Overlay { lower, upper, .. } if lower.is_empty() => clone_tree(upper)?,
        Rootfs::Overlay {
            lower,
            upper,
            work,
            volatile,
            userxattr,
        } => {
            let overlay = Overlay {
                lower,
                upper: Some((upper, work)),
                volatile: *volatile,
                userxattr: *userxattr,
            };
            overlay
                .mount_privately()
                .map_err(|error| match overlay.culprit() {
                    Some(path) => Failure::from(error).at(path),
                    None => error.into(),
                })?
        }
        Rootfs::Directory(path) => clone_tree(path)?,
    };
    rustix::mount::move_mount(&tree, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    context.root = Some(tree);
    // Modes of devices and directories are exact; the user's mask is set later.
    rustix::process::umask(Mode::empty());
    Ok(())
}

fn clone_tree(path: &Path) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(CWD, path, flags)
        .map_err(|error| Failure::from(error).at(path))?;
    let change = Change {
        propagation: Some(Propagation::Private),
        recursive: true,
        ..Change::default()
    };
    set_attributes(tree.as_fd(), change)?;
    Ok(tree)
}

pub(super) fn make_working_directory(context: &Context<'_>, path: &Path) -> Result<()> {
    if path == Path::new("/") {
        return Ok(());
    }
    // That it is no directory, or not reachable, is told when it is entered.
    match open_or_make(context.root()?, path, Links::Follow, Missing::Directory) {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        Err(error) => Err(Failure::new(&error)
            .at(path)
            .because(crate::report::Reason::WorkingDirectory)),
        Ok(_) => Ok(()),
    }
}

pub(super) fn make_read_only(context: &Context<'_>) -> Result<()> {
    let change = Change {
        set: Attributes::READ_ONLY,
        ..Change::default()
    };
    Ok(set_attributes(context.root()?, change)?)
}

/// Puts the root in the place of the host's, which is then let go: `pivot_root(".", ".")` stacks
/// the old root on the new one, and unmounting it needs no directory to put it in.
pub(super) fn pivot(context: &mut Context<'_>, propagation: Option<Propagation>) -> Result<()> {
    rustix::process::fchdir(context.root()?)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    if let Some(propagation) = propagation {
        let change = Change {
            propagation: Some(propagation),
            ..Change::default()
        };
        set_attributes(context.root()?, change)?;
    }
    Ok(())
}
