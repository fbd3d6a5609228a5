//! Device nodes and links in the container's `/dev`.

use std::{
    ffi::OsString,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use hoist_core::spec::Device;
use rustix::{
    fs::{AtFlags, CWD, FileType, Gid, Mode, Uid},
    io::Errno,
    mount::OpenTreeFlags,
};

use super::{Context, Failure, Result, mounts::attach};
use crate::in_root::{self, Links, Missing};

/// Makes the node, or (`bind`) puts the host's node of the same path there.
pub(super) fn device(context: &mut Context<'_>, device: &Device, bind: bool) -> Result<()> {
    if bind {
        return bind_device(context, &device.path);
    }
    let kind = match device.kind {
        'c' | 'u' => FileType::CharacterDevice,
        'b' => FileType::BlockDevice,
        'p' => FileType::Fifo,
        _ => return Err(Failure::from(Errno::INVAL).at(&device.path)),
    };
    let number = rustix::fs::makedev(device.major, device.minor);
    let mode = Mode::from_raw_mode(device.file_mode.unwrap_or(0o666));
    let owner = (device.uid.unwrap_or(0), device.gid.unwrap_or(0));
    with_parent(context, &device.path, |parent, name| {
        match rustix::fs::mknodat(parent, name, kind, mode, number) {
            Ok(()) => {}
            // Already there: from a volume on /dev, or listed twice. It must be that device.
            Err(Errno::EXIST) => {
                let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
                if FileType::from_raw_mode(stat.st_mode) != kind || stat.st_rdev != number {
                    return Err(Errno::EXIST);
                }
            }
            Err(error) => return Err(error),
        }
        if owner == (0, 0) {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
        rustix::fs::chownat(
            parent,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )
    })
    .map_err(|failure| failure.at(&device.path))
}

fn bind_device(context: &mut Context<'_>, path: &Path) -> Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(CWD, path, flags)
        .map_err(|error| Failure::from(error).at(path))?;
    let place = in_root::open_or_make(context.root()?, path, Links::Follow, Missing::File)
        .map_err(|error| Failure::new(&error).at(path))?;
    attach(tree.as_fd(), place.as_fd()).map_err(|failure| failure.at(path))?;
    context.kept.extend([tree, place]);
    Ok(())
}

/// Makes a symbolic link; what is there already stays.
pub(super) fn link(context: &mut Context<'_>, target: &str, path: &Path) -> Result<()> {
    with_parent(context, path, |parent, name| {
        match rustix::fs::symlinkat(target, parent, name) {
            Err(Errno::EXIST) => Ok(()),
            result => result,
        }
    })
    .map_err(|failure| failure.at(path))
}

/// Calls `make` with the parent directory of `path`; the last parent is remembered, since most
/// devices share it.
fn with_parent<F>(context: &mut Context<'_>, path: &Path, make: F) -> Result<()>
where
    F: FnOnce(BorrowedFd<'_>, &OsString) -> std::result::Result<(), Errno>,
{
    let name = path.file_name().map(OsString::from).unwrap_or_default();
    let parent_path = path.parent().unwrap_or(Path::new("/"));
    let parent: OwnedFd = match context.last_parent.take() {
        Some((known, parent)) if known == parent_path => parent,
        _ => in_root::open_parent(context.root()?, path)?.0,
    };
    let result = make(parent.as_fd(), &name);
    context.last_parent = Some((parent_path.to_owned(), parent));
    Ok(result?)
}
