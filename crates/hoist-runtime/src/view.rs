//! Layers seen as one tree, without a place in any mount table.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
        fsconfig_set_string, fsmount, fsopen,
    },
};

use crate::{RuntimeError, error::call};

/// Mounts an overlay of `lower` (topmost first) that is attached nowhere, and returns a descriptor
/// of its root. With `upper` (the upper and the work directory) changes land there; without it the
/// overlay is read-only and wants two layers at least.
///
/// The mount lives as long as the descriptor and those opened through it. Directories are not
/// redirected and metadata is not copied alone, so that the upper directory stays a plain layer
/// (`Documentation/filesystems/overlayfs.rst`, "Renaming directories", "Metadata only copy up").
///
/// # Errors
///
/// [`RuntimeError::Call`] when the kernel refuses the overlay.
pub fn overlay_view(
    lower: &[PathBuf],
    upper: Option<(&Path, &Path)>,
    userxattr: bool,
) -> Result<OwnedFd, RuntimeError> {
    mount(lower, upper, userxattr).map_err(call("mounting an overlay"))
}

fn mount(
    lower: &[PathBuf],
    upper: Option<(&Path, &Path)>,
    userxattr: bool,
) -> Result<OwnedFd, Errno> {
    let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    set_lower(&overlay, lower)?;
    if let Some((upper, work)) = upper {
        fsconfig_set_string(&overlay, "upperdir", upper)?;
        fsconfig_set_string(&overlay, "workdir", work)?;
        fsconfig_set_flag(&overlay, "volatile")?;
    } else {
        fsconfig_set_flag(&overlay, "ro")?;
    }
    if userxattr {
        // Implies both, and conflicts with saying so where the kernel follows redirects by default.
        fsconfig_set_flag(&overlay, "userxattr")?;
    } else {
        for option in ["redirect_dir", "metacopy"] {
            fsconfig_set_string(&overlay, option, "off")?;
        }
    }
    fsconfig_create(&overlay)?;
    fsmount(
        &overlay,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )
}

/// One option a layer where the kernel knows that (6.5 and later), else all in one.
fn set_lower(overlay: &OwnedFd, lower: &[PathBuf]) -> Result<(), Errno> {
    let Some((first, rest)) = lower.split_first() else {
        return Err(Errno::INVAL);
    };
    match fsconfig_set_string(overlay, "lowerdir+", first) {
        Err(Errno::INVAL) => {
            let paths: Vec<_> = lower
                .iter()
                .map(|path| path.display().to_string().replace(':', "\\:"))
                .collect();
            fsconfig_set_string(overlay, "lowerdir", paths.join(":"))
        }
        Err(error) => Err(error),
        Ok(()) => rest
            .iter()
            .try_for_each(|layer| fsconfig_set_string(overlay, "lowerdir+", layer)),
    }
}
