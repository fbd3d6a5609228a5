//! Mounting EROFS images that lie in plain files: no loop device, and no place in a mount table.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

/// Mount the image in `image`, whose second device is the file `data`; returns its root, as a
/// descriptor that names it only (`O_PATH`).
///
/// Neither devices nor set-id bits have effect in the mount itself; an overlay over it has its own
/// settings. The mount is attached nowhere and ends with the descriptor; what was opened through it
/// stays open. The kernel
/// keeps both files open, so that they may be unlinked meanwhile.
///
/// # Errors
///
/// `ENODEV` where the kernel has no EROFS, `ENOTBLK` where it mounts images from devices only
/// (before Linux 6.12) or not from files of that file system, `EPERM` outside of the initial user
/// namespace, `EINVAL` and `EUCLEAN` when `image` is no image.
pub fn mount(image: BorrowedFd<'_>, data: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // By descriptor: the kernel takes no path of more than 255 bytes here.
    fsconfig_set_string(&context, "source", link(image))?;
    fsconfig_set_string(&context, "device", link(data))?;
    fsconfig_set_flag(&context, "ro")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes,
    )?)
}

fn link(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
