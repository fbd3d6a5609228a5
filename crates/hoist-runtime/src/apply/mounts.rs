//! Everything that is mounted in the root: file systems, bind mounts, cgroups, masks.
//!
//! A mount is made detached, gets all its attributes, and only then is moved onto a place that was
//! resolved inside the root. No path is used twice.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use hoist_sys::mount::{Attributes, Change, Propagation, set_attributes};
use rustix::{
    fs::{CWD, Mode, OFlags},
    io::Errno,
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags},
};

use super::{Context, Failure, Result};
use crate::{
    in_root::{self, Links, Missing, open_or_make},
    plan::{Bind, Filesystem},
    report::Reason,
};

const CLONE: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC);

/// Clones the mount (with those below, if `recursive`) at `path` of the host.
pub(super) fn open_source(
    context: &mut Context<'_>,
    source: &Path,
    destination: &Path,
    recursive: bool,
) -> Result<()> {
    let mut flags = CLONE;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = rustix::mount::open_tree(CWD, source, flags).map_err(|error| {
        let failure = Failure::from(error).at(source);
        match error {
            Errno::NOENT | Errno::NOTDIR => {
                failure.because(Reason::BindSource(destination.to_owned()))
            }
            _ => failure,
        }
    })?;
    context.sources.push(tree);
    Ok(())
}

/// Mounts a held source.
pub(super) fn source(context: &mut Context<'_>, bind: &Bind) -> Result<()> {
    let Some(tree) = context.sources.get(bind.index) else {
        return Err(io::Error::other("no such source").into());
    };
    let change = Change {
        set: bind.set,
        clear: bind.clear,
        propagation: Some(bind.propagation),
        recursive: bind.recursive,
    };
    set_attributes(tree.as_fd(), change)?;
    let missing = if in_root::is_directory(tree.as_fd())? {
        Missing::Directory
    } else {
        Missing::File
    };
    let place = place(context.root()?, &bind.destination, Links::Follow, missing)?;
    attach(tree.as_fd(), place.as_fd()).map_err(|failure| failure.at(&bind.destination))?;
    context.keep(place);
    Ok(())
}

/// Mounts a new file system.
pub(super) fn filesystem(context: &mut Context<'_>, filesystem: &Filesystem) -> Result<()> {
    let destination = &filesystem.destination;
    let tree = match make(filesystem) {
        Err(Errno::PERM) if filesystem.or_bind => {
            let tree =
                rustix::mount::open_tree(CWD, destination, CLONE | OpenTreeFlags::AT_RECURSIVE)?;
            let change = Change {
                set: filesystem.attributes,
                propagation: Some(Propagation::Private),
                recursive: true,
                ..Change::default()
            };
            set_attributes(tree.as_fd(), change)?;
            tree
        }
        result => result?,
    };
    // Images may replace these by links, to have the runtime write elsewhere.
    let own = ["/proc", "/sys", "/dev"]
        .iter()
        .any(|own| destination.starts_with(own));
    let links = if own { Links::Refuse } else { Links::Follow };
    let place = place(context.root()?, destination, links, Missing::Directory)?;
    attach(tree.as_fd(), place.as_fd()).map_err(|failure| failure.at(destination))?;
    context.keep(place);
    if filesystem.kind == "proc" {
        context.procfs = Some(tree);
    } else {
        context.keep(tree);
    }
    Ok(())
}

fn make(filesystem: &Filesystem) -> std::result::Result<OwnedFd, Errno> {
    use rustix::mount::{fsconfig_create, fsconfig_set_flag, fsconfig_set_string};
    let make = |without_group: bool| {
        let handle = rustix::mount::fsopen(filesystem.kind.as_str(), FsOpenFlags::FSOPEN_CLOEXEC)?;
        if let Some(source) = &filesystem.source {
            fsconfig_set_string(&handle, "source", source.as_str())?;
        }
        for (name, value) in &filesystem.parameters {
            match value {
                Some(_) if without_group && name == "gid" => {}
                Some(value) => fsconfig_set_string(&handle, name.as_str(), value.as_str())?,
                None => fsconfig_set_flag(&handle, name.as_str())?,
            }
        }
        fsconfig_create(&handle)?;
        let attributes = u32::try_from(filesystem.attributes.bits()).unwrap_or(0);
        rustix::mount::fsmount(
            &handle,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::from_bits_retain(attributes),
        )
    };
    match make(false) {
        // The group of terminals is not mapped in a user namespace with few ids.
        Err(Errno::INVAL) if filesystem.kind == "devpts" => make(true),
        result => result,
    }
}

/// A procfs of this PID namespace; one is made for the purpose if the container has none.
pub(super) fn procfs<'a>(context: &'a mut Context<'_>) -> Result<BorrowedFd<'a>> {
    if context.procfs.is_none() {
        context.procfs = Some(make(&Filesystem {
            kind: "proc".to_owned(),
            source: None,
            parameters: Vec::new(),
            attributes: Attributes::NONE,
            destination: "/proc".into(),
            or_bind: false,
        })?);
    }
    context
        .procfs
        .as_ref()
        .map(AsFd::as_fd)
        .ok_or_else(|| io::Error::other("no procfs").into())
}

/// Shows the container its own cgroups: with version 2 the directory itself, with version 1 one
/// directory for each controller, on a small tmpfs.
pub(super) fn cgroups(
    context: &mut Context<'_>,
    destination: &Path,
    attributes: Attributes,
) -> Result<()> {
    let Some(cgroup) = context.prepared.cgroup else {
        return Ok(());
    };
    let place = place(
        context.root()?,
        destination,
        Links::Refuse,
        Missing::Directory,
    )?;
    let change = Change {
        set: attributes,
        propagation: Some(Propagation::Private),
        ..Change::default()
    };
    let clone = |directory: &Path| -> Result<OwnedFd> {
        let tree = rustix::mount::open_tree(CWD, directory, CLONE)
            .map_err(|error| Failure::from(error).at(directory))?;
        set_attributes(tree.as_fd(), change)?;
        Ok(tree)
    };
    if cgroup.is_version_2() {
        for (_, directory) in cgroup.directories() {
            let tree = clone(directory)?;
            attach(tree.as_fd(), place.as_fd())?;
            context.kept.push(tree);
        }
        context.kept.push(place);
        return Ok(());
    }
    let tmpfs = make(&Filesystem {
        kind: "tmpfs".to_owned(),
        source: None,
        parameters: vec![("mode".to_owned(), Some("755".to_owned()))],
        attributes: attributes.without(Attributes::READ_ONLY),
        destination: destination.to_owned(),
        or_bind: false,
    })?;
    attach(tmpfs.as_fd(), place.as_fd())?;
    for (controller, directory) in cgroup.directories() {
        rustix::fs::mkdirat(&tmpfs, controller, Mode::from_raw_mode(0o755))?;
        let tree = clone(directory)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&tree, "", &tmpfs, controller, flags)?;
        context.kept.push(tree);
    }
    set_attributes(tmpfs.as_fd(), change)?;
    context.kept.extend([tmpfs, place]);
    Ok(())
}

/// Covers a path: a file by the host's `/dev/null`, a directory by an empty one. A path that does
/// not exist needs no cover.
pub(super) fn mask(context: &mut Context<'_>, path: &Path) -> Result<()> {
    let Some(place) = existing(context.root()?, path)? else {
        return Ok(());
    };
    let cover = if in_root::is_directory(place.as_fd())? {
        empty_directory(context)?
    } else {
        null_device(context)?
    };
    attach(cover.as_fd(), place.as_fd()).map_err(|failure| failure.at(path))?;
    context.kept.extend([cover, place]);
    Ok(())
}

/// A mount of the host's null device, which is checked to be it.
fn null_device(context: &mut Context<'_>) -> Result<OwnedFd> {
    let null = match context.null.take() {
        Some(null) => null,
        None => {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let null = rustix::fs::open("/dev/null", flags, Mode::empty())?;
            let device = rustix::fs::fstat(&null)?.st_rdev;
            if (rustix::fs::major(device), rustix::fs::minor(device)) != (1, 3) {
                return Err(Failure::from(Errno::NODEV).at("/dev/null"));
            }
            null
        }
    };
    let tree = rustix::mount::open_tree(&null, "", CLONE | OpenTreeFlags::AT_EMPTY_PATH)?;
    context.null = Some(null);
    Ok(tree)
}

/// A mount of an empty read-only directory: the first time made, then cloned.
fn empty_directory(context: &mut Context<'_>) -> Result<OwnedFd> {
    if let Some(empty) = &context.empty {
        return Ok(rustix::mount::open_tree(
            empty,
            "",
            CLONE | OpenTreeFlags::AT_EMPTY_PATH,
        )?);
    }
    let tree = make(&Filesystem {
        kind: "tmpfs".to_owned(),
        source: None,
        parameters: vec![
            ("mode".to_owned(), Some("755".to_owned())),
            ("nr_inodes".to_owned(), Some("2".to_owned())),
        ],
        attributes: Attributes::READ_ONLY
            .with(Attributes::NO_SUID)
            .with(Attributes::NO_DEVICES)
            .with(Attributes::NO_EXEC),
        destination: "/".into(),
        or_bind: false,
    })?;
    context.empty = Some(tree.try_clone()?);
    Ok(tree)
}

/// Puts a read-only clone of a path, with the mounts below, onto itself.
pub(super) fn read_only(context: &mut Context<'_>, path: &Path) -> Result<()> {
    let Some(place) = existing(context.root()?, path)? else {
        return Ok(());
    };
    let flags = CLONE | OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(&place, "", flags)
        .map_err(|error| Failure::from(error).at(path))?;
    let change = Change {
        set: Attributes::READ_ONLY,
        recursive: true,
        ..Change::default()
    };
    set_attributes(tree.as_fd(), change)?;
    attach(tree.as_fd(), place.as_fd()).map_err(|failure| failure.at(path))?;
    context.kept.extend([tree, place]);
    Ok(())
}

fn existing(root: BorrowedFd<'_>, path: &Path) -> Result<Option<OwnedFd>> {
    match in_root::open(root, path, OFlags::PATH, Links::Follow) {
        Ok(place) => Ok(Some(place)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(Failure::new(&error).at(path)),
    }
}

fn place(root: BorrowedFd<'_>, path: &Path, links: Links, missing: Missing) -> Result<OwnedFd> {
    open_or_make(root, path, links, missing).map_err(|error| Failure::new(&error).at(path))
}

/// Moves a detached mount onto a place.
pub(super) fn attach(tree: BorrowedFd<'_>, place: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(tree, "", place, "", flags)?)
}
