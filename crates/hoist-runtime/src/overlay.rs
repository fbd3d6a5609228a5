//! Mounting an overlay: detached, by parameters of a file system context, or, before Linux 6.5 and
//! for long paths, by one string.
//!
//! Some layers are mounts that are attached nowhere, and named to the kernel by their descriptors.
//! Before Linux 6.15 overlayfs takes no such mounts, and they are attached for a moment, where nobody
//! sees it.
//!
//! Whatever the kernel was built with, the upper directory stays a plain layer, in which renamed
//! directories and changed owners are whole, and which can lie over other layers another time
//! (`Documentation/filesystems/overlayfs.rst`, "Renaming directories", "Metadata only copy up").

use std::{
    ffi::CString,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::CWD,
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
        UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
        mount, move_mount, open_tree, unmount,
    },
};

use hoist_sys::{kernel, setns};

use crate::{RuntimeError, error::call, rootfs::LowerLayer};

/// What to join.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overlay<'a> {
    /// The read-only layers, the topmost first.
    pub(crate) lower: &'a [LowerLayer],
    /// The writable layer and overlayfs's own directory; without, the overlay is read-only.
    pub(crate) upper: Option<(&'a Path, &'a Path)>,
    /// Never sync.
    pub(crate) volatile: bool,
    /// Keep overlayfs's marks in `user.*`, as in a user namespace.
    pub(crate) userxattr: bool,
}

/// The first kernel whose overlays take mounts that are attached nowhere.
const TAKES_DETACHED: (u32, u32) = (6, 15);

/// What `mount(2)` takes in options, and `fsconfig(2)` in one value.
const PAGE: usize = 4096;

impl Overlay<'_> {
    /// Mounts it in a private mount namespace; the mount is attached nowhere.
    pub(crate) fn mount_privately(&self) -> Result<OwnedFd, Errno> {
        if self.must_attach_lower() {
            return self.with_lower_attached(|| self.mount_one_way_or_other())?;
        }
        self.mount_one_way_or_other()
    }

    /// Whether the kernel does not take the layers as they are. An attempt would tell, too, but marks
    /// the work directory of a volatile overlay as used.
    fn must_attach_lower(&self) -> bool {
        kernel::version() < TAKES_DETACHED && self.lower.iter().any(|layer| layer.mount().is_some())
    }

    /// Mounts it by `mount`, aside where the kernel wants the layers attached.
    fn mount_anywhere(
        &self,
        mount: impl FnOnce() -> Result<OwnedFd, Errno>,
    ) -> Result<OwnedFd, Errno> {
        if self.must_attach_lower() {
            self.mount_aside(mount)
        } else {
            mount()
        }
    }

    /// Mounts it by `mount` in a copy of the mount namespace, in which layers are attached.
    fn mount_aside(
        &self,
        mount: impl FnOnce() -> Result<OwnedFd, Errno>,
    ) -> Result<OwnedFd, Errno> {
        let mounted = setns::within_own_mounts(|| self.with_lower_attached(mount));
        mounted.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))??
    }

    fn mount_one_way_or_other(&self) -> Result<OwnedFd, Errno> {
        match (self.mount_detached(), self.upper) {
            // Before Linux 6.5 there is no `lowerdir+`; and a path may be too long for it.
            (Err(Errno::INVAL), Some((upper, _))) => self.mount_over(upper),
            (result, _) => result,
        }
    }

    /// Does `work` while the layers that are mounts lie over the root, where no path leads to them:
    /// the root of the process is what is below. The mount namespace must be private. Afterwards the
    /// layers are good for nothing but reading.
    fn with_lower_attached<T>(&self, work: impl FnOnce() -> T) -> Result<T, Errno> {
        let mut attached = Vec::new();
        let mut moved = Ok(());
        for layer in self.lower {
            let Some(root) = layer.mount() else { continue };
            moved = move_mount(root, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH);
            if moved.is_err() {
                break;
            }
            attached.push(layer);
        }
        let result = moved.map(|()| work());
        // Each lies over the one before.
        for layer in attached.into_iter().rev() {
            unmount(&*layer.path(), UnmountFlags::DETACH)?;
        }
        result
    }

    /// Mounts it without touching any mount table.
    fn mount_detached(&self) -> Result<OwnedFd, Errno> {
        let with_each = self.mount_with(|overlay| self.set_lower(overlay));
        match with_each {
            Err(Errno::INVAL) => self.mount_with(|overlay| {
                let mut joined = Vec::new();
                self.join_lower(&mut joined, b":\\");
                fsconfig_set_string(overlay, "lowerdir", joined)
            }),
            result => result,
        }
    }

    fn set_lower(&self, overlay: &OwnedFd) -> Result<(), Errno> {
        self.lower
            .iter()
            .try_for_each(|layer| fsconfig_set_string(overlay, "lowerdir+", &*layer.path()))
    }

    fn mount_with(
        &self,
        set_lower: impl FnOnce(&OwnedFd) -> Result<(), Errno>,
    ) -> Result<OwnedFd, Errno> {
        let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        set_lower(&overlay)?;
        if let Some((upper, work)) = self.upper {
            fsconfig_set_string(&overlay, "upperdir", upper)?;
            fsconfig_set_string(&overlay, "workdir", work)?;
        } else {
            fsconfig_set_flag(&overlay, "ro")?;
        }
        for (name, value) in self.settings() {
            match value {
                Some(value) => fsconfig_set_string(&overlay, name, value)?,
                None => fsconfig_set_flag(&overlay, name)?,
            }
        }
        fsconfig_create(&overlay)?;
        fsmount(
            &overlay,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::empty(),
        )
    }

    /// With all options in one string. Such a mount needs a place: it is made over the upper
    /// directory, which nobody looks at in this namespace, and taken from there.
    fn mount_over(&self, place: &Path) -> Result<OwnedFd, Errno> {
        let mut options = b"lowerdir=".to_vec();
        self.join_lower(&mut options, b":,\\");
        if let Some((upper, work)) = self.upper {
            for (name, path) in [(",upperdir=", upper), (",workdir=", work)] {
                options.extend_from_slice(name.as_bytes());
                escape(&mut options, path, b":,\\");
            }
        }
        for (name, value) in self.settings() {
            let option = value.map_or(format!(",{name}"), |value| format!(",{name}={value}"));
            options.extend_from_slice(option.as_bytes());
        }
        if options.len() >= PAGE {
            return Err(Errno::TOOBIG);
        }
        let options = CString::new(options).map_err(|_| Errno::INVAL)?;
        mount(
            "overlay",
            place,
            "overlay",
            MountFlags::empty(),
            options.as_c_str(),
        )?;
        open_tree(
            CWD,
            place,
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
        )
    }

    fn settings(&self) -> Vec<(&'static str, Option<&'static str>)> {
        let mut settings = vec![("index", Some("off"))];
        if self.userxattr {
            // It implies the other two, and forbids to say so.
            settings.push(("userxattr", None));
        } else {
            settings.extend([("redirect_dir", Some("off")), ("metacopy", Some("off"))]);
        }
        if self.volatile && self.upper.is_some() {
            settings.push(("volatile", None));
        }
        settings
    }

    fn join_lower(&self, joined: &mut Vec<u8>, special: &[u8]) {
        for (index, layer) in self.lower.iter().enumerate() {
            if index > 0 {
                joined.push(b':');
            }
            escape(joined, &layer.path(), special);
        }
    }

    /// The path to name in a message: a directory that is missing, or the mark that a volatile
    /// mount has left. What was written through that one is not known to be whole, so that the
    /// kernel refuses the directory another time.
    pub(crate) fn culprit(&self) -> Option<PathBuf> {
        let (upper, work) = self.upper.unzip();
        let mark = work.map(|work| work.join("work/incompat/volatile"));
        let lower = self.lower.iter().map(|layer| layer.path().into_owned());
        let own = upper.into_iter().chain(work).map(Path::to_owned);
        lower
            .chain(own)
            .find(|path| !path.is_dir())
            .or(mark.filter(|mark| mark.exists()))
    }
}

fn escape(joined: &mut Vec<u8>, path: &Path, special: &[u8]) {
    for byte in path.as_os_str().as_bytes() {
        if special.contains(byte) {
            joined.push(b'\\');
        }
        joined.push(*byte);
    }
}

/// Mounts an overlay of `lower` (topmost first) that is attached nowhere, and returns a descriptor
/// of its root. With `upper` (the upper and the work directory) changes land there, unsynced;
/// without it the overlay is read-only and wants two layers at least.
///
/// The mount lives as long as the descriptor and those opened through it. The upper directory stays
/// a plain layer. Before Linux 6.5 the paths of all layers together may have 255 bytes.
///
/// # Errors
///
/// [`RuntimeError::Call`] when the kernel refuses the overlay.
pub fn overlay_view(
    lower: &[LowerLayer],
    upper: Option<(&Path, &Path)>,
    userxattr: bool,
) -> Result<OwnedFd, RuntimeError> {
    let overlay = Overlay {
        lower,
        upper,
        volatile: true,
        userxattr,
    };
    let mounted = overlay.mount_anywhere(|| overlay.mount_detached());
    mounted.map_err(call("mounting an overlay"))
}

/// Mounts an overlay of `lower` (topmost first, two at least), read-only, that is attached nowhere yet;
/// `source` is what the kernel's table of mounts will call it.
///
/// # Errors
///
/// [`RuntimeError::Call`] when the kernel refuses the overlay.
pub fn overlay_mount(lower: &[LowerLayer], source: &str) -> Result<OwnedFd, RuntimeError> {
    let overlay = Overlay {
        lower,
        upper: None,
        volatile: false,
        userxattr: false,
    };
    let mount = || {
        overlay.mount_with(|context| {
            fsconfig_set_string(context, "source", source)?;
            overlay.set_lower(context)
        })
    };
    let mounted = overlay.mount_anywhere(mount);
    mounted.map_err(call("mounting an overlay"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Reads through a view; nothing is mounted anywhere for others to see.
    #[test]
    fn views() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = |name: &str| {
            let path = temporary.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let lower = ["top:,\\", "bottom"].map(directory);
        let layers = lower.each_ref().map(LowerLayer::from);
        fs::write(lower[0].join("a"), "top").unwrap();
        fs::write(lower[1].join("a"), "bottom").unwrap();
        fs::write(lower[1].join("b"), "bottom").unwrap();
        let (upper, work) = (directory("upper"), directory("work"));
        let through = |view: &OwnedFd, name: &str| {
            let flags = rustix::fs::OFlags::RDONLY;
            let file = rustix::fs::openat(view, name, flags, rustix::fs::Mode::empty()).unwrap();
            std::io::read_to_string(fs::File::from(file)).unwrap()
        };

        let view = overlay_view(&layers, None, false).unwrap();
        assert_eq!(
            (through(&view, "a"), through(&view, "b")),
            ("top".into(), "bottom".into())
        );
        let made = rustix::fs::mkdirat(&view, "made", rustix::fs::Mode::RWXU);
        assert_eq!(made, Err(Errno::ROFS));

        let view = overlay_view(&layers, Some((&upper, &work)), true).unwrap();
        rustix::fs::mkdirat(&view, "made", rustix::fs::Mode::RWXU).unwrap();
        assert!(upper.join("made").is_dir());

        let own = temporary.path().to_str().unwrap().to_owned();
        assert!(
            !fs::read_to_string("/proc/self/mountinfo")
                .unwrap()
                .contains(&own)
        );
    }

    /// A file system in memory that is attached nowhere, with one file.
    fn detached(name: &str) -> LowerLayer {
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).unwrap();
        fsconfig_create(&context).unwrap();
        let flags = FsMountFlags::FSMOUNT_CLOEXEC;
        let root = fsmount(&context, flags, MountAttrFlags::empty()).unwrap();
        rustix::fs::mkdirat(&root, name, rustix::fs::Mode::RWXU).unwrap();
        LowerLayer::Mount(root.into())
    }

    /// Kernels before 6.15 are shown layers that are attached; newer ones do not mind.
    #[test]
    fn mounts_that_are_attached_nowhere_are_layers() {
        let temporary = tempfile::tempdir().unwrap();
        fs::create_dir(temporary.path().join("c")).unwrap();
        let layers = [detached("a"), detached("b"), temporary.path().into()];
        let overlay = Overlay {
            lower: &layers,
            upper: None,
            volatile: true,
            userxattr: false,
        };
        let table = || fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let before = table();
        let mut views: Vec<_> = overlay.mount_detached().into_iter().collect();
        views.push(overlay.mount_aside(|| overlay.mount_detached()).unwrap());
        assert_eq!(table(), before);
        drop(layers);
        for view in views {
            for name in ["a", "b", "c"] {
                let flags = rustix::fs::OFlags::RDONLY;
                rustix::fs::openat(&view, name, flags, rustix::fs::Mode::empty()).unwrap();
            }
        }
    }

    #[test]
    fn joined_paths_are_escaped() {
        let lower = ["/a:b", "/c,d"].map(LowerLayer::from);
        let overlay = Overlay {
            lower: &lower,
            upper: None,
            volatile: false,
            userxattr: false,
        };
        let mut joined = Vec::new();
        overlay.join_lower(&mut joined, b":,\\");
        assert_eq!(joined, b"/a\\:b:/c\\,d");
    }
}
