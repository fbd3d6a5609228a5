//! Mounting an overlay: detached, by parameters of a file system context, or, before Linux 6.5 and
//! for long paths, by one string.
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
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, OpenTreeFlags, fsconfig_create,
        fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, open_tree,
    },
};

use crate::{RuntimeError, error::call};

/// What to join.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Overlay<'a> {
    /// The read-only layers, the topmost first.
    pub(crate) lower: &'a [PathBuf],
    /// The writable layer and overlayfs's own directory; without, the overlay is read-only.
    pub(crate) upper: Option<(&'a Path, &'a Path)>,
    /// Never sync.
    pub(crate) volatile: bool,
    /// Keep overlayfs's marks in `user.*`, as in a user namespace.
    pub(crate) userxattr: bool,
}

/// What `mount(2)` takes in options, and `fsconfig(2)` in one value.
const PAGE: usize = 4096;

impl Overlay<'_> {
    /// Mounts it in a private mount namespace; the mount is attached nowhere.
    pub(crate) fn mount_privately(&self) -> Result<OwnedFd, Errno> {
        match (self.mount_detached(), self.upper) {
            // Before Linux 6.5 there is no `lowerdir+`; and a path may be too long for it.
            (Err(Errno::INVAL), Some((upper, _))) => self.mount_over(upper),
            (result, _) => result,
        }
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
            .try_for_each(|layer| fsconfig_set_string(overlay, "lowerdir+", layer))
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
            escape(joined, layer, special);
        }
    }

    /// The path to name in a message: a directory that is missing, or the mark that a volatile
    /// mount has left. What was written through that one is not known to be whole, so that the
    /// kernel refuses the directory another time.
    pub(crate) fn culprit(&self) -> Option<PathBuf> {
        let (upper, work) = self.upper.unzip();
        let mark = work.map(|work| work.join("work/incompat/volatile"));
        self.lower
            .iter()
            .map(PathBuf::as_path)
            .chain(upper)
            .chain(work)
            .find(|path| !path.is_dir())
            .map(Path::to_owned)
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
    lower: &[PathBuf],
    upper: Option<(&Path, &Path)>,
    userxattr: bool,
) -> Result<OwnedFd, RuntimeError> {
    let overlay = Overlay {
        lower,
        upper,
        volatile: true,
        userxattr,
    };
    overlay
        .mount_detached()
        .map_err(call("mounting an overlay"))
}

/// Mounts an overlay of `lower` (topmost first, two at least), read-only, that is attached nowhere yet;
/// `source` is what the kernel's table of mounts will call it.
///
/// # Errors
///
/// [`RuntimeError::Call`] when the kernel refuses the overlay.
pub fn overlay_mount(lower: &[PathBuf], source: &str) -> Result<OwnedFd, RuntimeError> {
    let overlay = Overlay {
        lower,
        upper: None,
        volatile: false,
        userxattr: false,
    };
    let mounted = overlay.mount_with(|context| {
        fsconfig_set_string(context, "source", source)?;
        overlay.set_lower(context)
    });
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
        fs::write(lower[0].join("a"), "top").unwrap();
        fs::write(lower[1].join("a"), "bottom").unwrap();
        fs::write(lower[1].join("b"), "bottom").unwrap();
        let (upper, work) = (directory("upper"), directory("work"));
        let through = |view: &OwnedFd, name: &str| {
            let flags = rustix::fs::OFlags::RDONLY;
            let file = rustix::fs::openat(view, name, flags, rustix::fs::Mode::empty()).unwrap();
            std::io::read_to_string(fs::File::from(file)).unwrap()
        };

        let view = overlay_view(&lower, None, false).unwrap();
        assert_eq!(
            (through(&view, "a"), through(&view, "b")),
            ("top".into(), "bottom".into())
        );
        let made = rustix::fs::mkdirat(&view, "made", rustix::fs::Mode::RWXU);
        assert_eq!(made, Err(Errno::ROFS));

        let view = overlay_view(&lower, Some((&upper, &work)), true).unwrap();
        rustix::fs::mkdirat(&view, "made", rustix::fs::Mode::RWXU).unwrap();
        assert!(upper.join("made").is_dir());

        let own = temporary.path().to_str().unwrap().to_owned();
        assert!(
            !fs::read_to_string("/proc/self/mountinfo")
                .unwrap()
                .contains(&own)
        );
    }

    #[test]
    fn joined_paths_are_escaped() {
        let lower = [PathBuf::from("/a:b"), PathBuf::from("/c,d")];
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
