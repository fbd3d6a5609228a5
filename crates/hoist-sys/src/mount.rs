//! `mount_setattr(2)`, which rustix lacks; the rest of the mount API is rustix's.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// Attributes of mounts (`MOUNT_ATTR_*`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes(u64);

impl Attributes {
    /// None.
    pub const NONE: Self = Self(0);
    /// Read-only.
    pub const READ_ONLY: Self = Self(0x1);
    /// Set-user-id bits and file capabilities have no effect.
    pub const NO_SUID: Self = Self(0x2);
    /// Device nodes cannot be opened.
    pub const NO_DEVICES: Self = Self(0x4);
    /// Nothing can be executed.
    pub const NO_EXEC: Self = Self(0x8);
    /// Access times are kept never (`noatime`).
    pub const NO_ACCESS_TIME: Self = Self(0x10);
    /// Access times are kept always (`strictatime`).
    pub const STRICT_ACCESS_TIME: Self = Self(0x20);
    /// The field of access-time modes; must be cleared before one is set.
    pub const ACCESS_TIME_MODES: Self = Self(0x70);
    /// Access times of directories are not kept.
    pub const NO_DIRECTORY_ACCESS_TIME: Self = Self(0x80);
    /// Symbolic links are not followed.
    pub const NO_SYMLINKS: Self = Self(0x0020_0000);

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These, but not those.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` are in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The bits, as `fsmount(2)` takes them too.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// How mounts and unmounts spread between copies of a mount (`mount_namespaces(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Not at all.
    Private,
    /// From the original to the copy.
    Slave,
    /// Both ways.
    Shared,
    /// Not at all, and the mount cannot be bound.
    Unbindable,
}

/// What [`set_attributes`] changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Attributes to set.
    pub set: Attributes,
    /// Attributes to clear.
    pub clear: Attributes,
    /// Propagation to give.
    pub propagation: Option<Propagation>,
    /// For all mounts below as well, in one step.
    pub recursive: bool,
}

#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Changes the mount that `mount` is the root of (`mount_setattr(2)` with `AT_EMPTY_PATH`).
///
/// # Errors
///
/// What `mount_setattr(2)` says: `EINVAL` when the descriptor is not the root of a mount, `EPERM`
/// when an attribute is locked by a more privileged user namespace.
pub fn set_attributes(mount: BorrowedFd<'_>, change: Change) -> io::Result<()> {
    let attributes = MountAttributes {
        set: change.set.bits(),
        clear: change.clear.bits(),
        propagation: match change.propagation {
            None => 0,
            Some(Propagation::Private) => libc::MS_PRIVATE,
            Some(Propagation::Slave) => libc::MS_SLAVE,
            Some(Propagation::Shared) => libc::MS_SHARED,
            Some(Propagation::Unbindable) => libc::MS_UNBINDABLE,
        },
        user_namespace: 0,
    };
    let mut flags = libc::AT_EMPTY_PATH;
    if change.recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the path is a static empty string; `attributes` is a complete mount_attr of the
    // stated size that outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(&attributes),
            size_of::<MountAttributes>(),
        )
    };
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
