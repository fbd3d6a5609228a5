//! The root: mounted over the host's within this namespace, then put in its place.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use hoist_sys::mount::{Attributes, Change, Propagation, set_attributes};
use rustix::{
    fs::{CWD, Mode, OFlags},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
        UnmountFlags,
    },
};

use super::{Context, Failure, Result};
use crate::{
    Rootfs,
    in_root::{Links, Missing, open_or_make},
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
            let options = Overlay {
                lower,
                upper,
                work,
                volatile: *volatile,
                userxattr: *userxattr,
            };
            match options.mount_by_descriptor() {
                // Before Linux 6.5 there is no `lowerdir+`; and a path may be too long for it.
                Err(Errno::INVAL) => options.mount_by_string()?,
                result => result.map_err(|error| options.failure(error))?,
            }
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

struct Overlay<'a> {
    lower: &'a [PathBuf],
    upper: &'a Path,
    work: &'a Path,
    volatile: bool,
    userxattr: bool,
}

impl Overlay<'_> {
    fn mount_by_descriptor(&self) -> std::result::Result<OwnedFd, Errno> {
        use rustix::mount::{fsconfig_create, fsconfig_set_flag, fsconfig_set_string};
        let overlay = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        for layer in self.lower {
            fsconfig_set_string(&overlay, "lowerdir+", layer)?;
        }
        fsconfig_set_string(&overlay, "upperdir", self.upper)?;
        fsconfig_set_string(&overlay, "workdir", self.work)?;
        if self.volatile {
            fsconfig_set_flag(&overlay, "volatile")?;
        }
        if self.userxattr {
            fsconfig_set_flag(&overlay, "userxattr")?;
        }
        fsconfig_create(&overlay)?;
        let flags = FsMountFlags::FSMOUNT_CLOEXEC;
        rustix::mount::fsmount(&overlay, flags, MountAttrFlags::empty())
    }

    /// With all options in one string, as `mount(2)` takes it. The mount is made over the upper
    /// directory (in this namespace only), since it needs a place, and taken from there.
    fn mount_by_string(&self) -> Result<OwnedFd> {
        let mut options = b"lowerdir=".to_vec();
        for (index, layer) in self.lower.iter().enumerate() {
            if index > 0 {
                options.push(b':');
            }
            escape(&mut options, layer);
        }
        for (name, path) in [(",upperdir=", self.upper), (",workdir=", self.work)] {
            options.extend_from_slice(name.as_bytes());
            escape(&mut options, path);
        }
        if self.volatile {
            options.extend_from_slice(b",volatile");
        }
        if self.userxattr {
            options.extend_from_slice(b",userxattr");
        }
        if options.len() >= PAGE {
            // More layers than `mount(2)` has room for.
            return Err(Failure::from(Errno::TOOBIG).at(self.upper));
        }
        let options = std::ffi::CString::new(options).map_err(|_| Failure::from(Errno::INVAL))?;
        rustix::mount::mount(
            "overlay",
            self.upper,
            "overlay",
            MountFlags::empty(),
            options.as_c_str(),
        )
        .map_err(|error| self.failure(error))?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        Ok(rustix::mount::open_tree(CWD, self.upper, flags)?)
    }

    /// Names the directory that is missing, or the mark that a volatile mount has left: what was
    /// written through it is not known to be whole, so that the kernel refuses it another time.
    fn failure(&self, error: Errno) -> Failure {
        let missing = self
            .lower
            .iter()
            .map(PathBuf::as_path)
            .chain([self.upper, self.work])
            .find(|path| !path.is_dir());
        let failure = Failure::from(error);
        let mark = self.work.join("work/incompat/volatile");
        match missing {
            Some(path) => failure.at(path),
            None if mark.exists() => failure.at(mark),
            None => failure,
        }
    }
}

/// What `mount(2)` takes in options.
const PAGE: usize = 4096;

fn escape(options: &mut Vec<u8>, path: &Path) {
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b':' | b',' | b'\\') {
            options.push(b'\\');
        }
        options.push(*byte);
    }
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
