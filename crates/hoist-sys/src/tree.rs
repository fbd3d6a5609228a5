//! Directory trees that other people filled: opening below a root, and removing.
//!
//! Nothing here resolves a path twice or follows a link out of the tree that it was given.

use std::{
    ffi::{CStr, CString},
    io,
    mem::MaybeUninit,
    path::Path,
};

use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, RenameFlags, ResolveFlags},
    io::Errno,
    path::Arg,
};

/// The most directories that a removal keeps open at the same time.
const OPEN_LEVELS: usize = 32;

/// How often a resolution is tried again when a rename elsewhere disturbed it (`openat2(2)`).
const ATTEMPTS: usize = 128;

/// Open `path` as a process whose root directory is `root` would: absolute links and `..` end
/// at `root` (`RESOLVE_IN_ROOT`), and the magic links of `/proc` are not followed.
///
/// # Errors
/// What `openat2(2)` reports.
pub fn open_in_root<P: Arg>(
    root: BorrowedFd<'_>,
    path: P,
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    path.into_with_c_str(|path| open_resolved(root, path, (flags, mode), resolve))
        .map_err(io::Error::from)
}

/// Open `path` below `root`; a link or `..` that leads out is an error (`RESOLVE_BENEATH`).
///
/// # Errors
/// `EXDEV` when the path leads out of `root`; otherwise what `openat2(2)` reports.
pub fn open_beneath<P: Arg>(
    root: BorrowedFd<'_>,
    path: P,
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    path.into_with_c_str(|path| open_resolved(root, path, (flags, mode), resolve))
        .map_err(io::Error::from)
}

fn open_resolved(
    root: BorrowedFd<'_>,
    path: &CStr,
    (flags, mode): (OFlags, Mode),
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC;
    let mut attempt = 0;
    loop {
        match rustix::fs::openat2(root, path, flags, mode, resolve) {
            Err(Errno::AGAIN | Errno::INTR) if attempt < ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}

/// The names in a directory with their types (`Unknown` where the file system tells none),
/// without `.` and `..`, in the kernel's order.
///
/// # Errors
/// What `getdents64(2)` reports.
pub fn entries(directory: BorrowedFd<'_>) -> Result<Vec<(CString, FileType)>, Errno> {
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut reader = RawDir::new(directory, &mut buffer);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            entries.push((name.to_owned(), entry.file_type()));
        }
    }
    Ok(entries)
}

/// Remove `path` and everything below it, whatever it is; an absent path is fine.
///
/// Symbolic links are removed, not followed, and so are those that appear while the removal runs.
/// It does not cross into a file system that is mounted inside, keeps few directories open
/// however deep the tree is, and opens up directories that forbid their owner to look inside.
///
/// # Errors
/// `EXDEV` when something is mounted inside; otherwise what the system calls report. What was
/// removed until then stays removed.
pub fn remove(path: &Path) -> io::Result<()> {
    path.into_with_c_str(|path| remove_entry(CWD, path))
        .map_err(io::Error::from)
}

/// [`remove`], for the entry `name` of an open directory.
///
/// # Errors
/// As [`remove`].
pub fn remove_at<P: Arg>(directory: BorrowedFd<'_>, name: P) -> io::Result<()> {
    name.into_with_c_str(|name| remove_entry(directory, name))
        .map_err(io::Error::from)
}

fn remove_entry(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => remove_directory(parent, name),
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A directory that is being emptied: its files are gone, `rest` are its directories.
struct Level {
    directory: OwnedFd,
    name: CString,
    rest: Vec<CString>,
}

impl Level {
    fn empty_of_files(directory: OwnedFd, name: CString) -> Result<Self, Errno> {
        let entries = entries(directory.as_fd())?;
        let mut rest = Vec::new();
        for (entry, kind) in entries {
            if kind == FileType::Directory {
                rest.push(entry);
                continue;
            }
            match rustix::fs::unlinkat(&directory, &entry, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR) => rest.push(entry),
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            directory,
            name,
            rest,
        })
    }
}

fn remove_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let top = open_directory(parent, name, ResolveFlags::empty())?;
    let mut levels = vec![Level::empty_of_files(top, name.to_owned())?];
    let mut lifted = 0;
    while !levels.is_empty() {
        let depth = levels.len();
        let level = &mut levels[depth - 1];
        let Some(child) = level.rest.pop() else {
            let name = std::mem::take(&mut level.name);
            levels.pop();
            let holder = levels
                .last()
                .map_or(parent, |level| level.directory.as_fd());
            match rustix::fs::unlinkat(holder, &name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(error) => return Err(error),
            }
        };
        if depth >= OPEN_LEVELS {
            lift(&mut levels, &child, &mut lifted)?;
            continue;
        }
        // NO_XDEV: what is mounted inside belongs to somebody else.
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        match open_directory(level.directory.as_fd(), &child, inside) {
            Ok(directory) => levels.push(Level::empty_of_files(directory, child)?),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Move a directory that lies too deep up to the top of the tree, to be emptied there.
fn lift(levels: &mut [Level], child: &CStr, lifted: &mut u64) -> Result<(), Errno> {
    let [top, .., deep] = levels else {
        return Err(Errno::INVAL);
    };
    loop {
        *lifted += 1;
        let text = format!(".lifted-{lifted}");
        let name = CString::new(text).map_err(|_| Errno::INVAL)?;
        let flags = RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(&deep.directory, child, &top.directory, &name, flags) {
            Ok(()) => {
                top.rest.push(name);
                return Ok(());
            }
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
}

fn open_directory(
    parent: BorrowedFd<'_>,
    name: &CStr,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    match open_resolved(parent, name, (flags, Mode::empty()), resolve) {
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open_resolved(parent, name, (flags, Mode::empty()), resolve)
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn removal_takes_the_tree_and_nothing_that_it_points_to() {
        let home = tempfile::tempdir().unwrap();
        let tree = home.path().join("tree");
        let outside = home.path().join("outside");
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("kept"), "").unwrap();
        std::fs::write(tree.join("a/b/file"), "").unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();
        symlink("../..", tree.join("a/b/up")).unwrap();
        remove(&tree).unwrap();
        assert!(!tree.exists());
        assert!(outside.join("kept").exists());
        remove(&tree).unwrap();
        let link = home.path().join("link");
        symlink(&outside, &link).unwrap();
        remove(&link).unwrap();
        assert!(outside.join("kept").exists());
    }

    #[test]
    fn removal_copes_with_a_tree_deeper_than_any_path() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join("tree/.lifted-1")).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = home.path().join("tree");
        let mut directory = rustix::fs::open(&path, flags, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&directory, "d", Mode::RWXU).unwrap();
            directory = rustix::fs::openat(&directory, "d", flags, Mode::empty()).unwrap();
        }
        remove(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn removal_stops_at_a_mount() {
        struct Unmount(std::path::PathBuf);
        impl Drop for Unmount {
            fn drop(&mut self) {
                let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
            }
        }
        let home = tempfile::tempdir().unwrap();
        let point = home.path().join("tree/mounted");
        std::fs::create_dir_all(&point).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", &point, "tmpfs", flags, c"size=64k").unwrap();
        let unmount = Unmount(point.clone());
        std::fs::write(point.join("kept"), "").unwrap();
        let error = remove(&home.path().join("tree")).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::XDEV));
        assert!(point.join("kept").exists());
        drop(unmount);
    }

    #[test]
    fn paths_resolve_inside_the_root() {
        let home = tempfile::tempdir().unwrap();
        let root_path = home.path().join("root");
        std::fs::create_dir_all(root_path.join("etc")).unwrap();
        std::fs::write(root_path.join("etc/here"), "").unwrap();
        std::fs::write(home.path().join("secret"), "").unwrap();
        symlink("/etc", root_path.join("absolute")).unwrap();
        symlink("../../../etc", root_path.join("relative")).unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&root_path, flags, Mode::empty()).unwrap();
        for path in ["absolute/here", "relative/here", "/etc/here", "../etc/here"] {
            open_in_root(root.as_fd(), path, OFlags::PATH, Mode::empty()).unwrap();
        }
        assert!(open_in_root(root.as_fd(), "../secret", OFlags::PATH, Mode::empty()).is_err());
        open_beneath(root.as_fd(), "etc/here", OFlags::PATH, Mode::empty()).unwrap();
        for path in ["absolute/here", "relative/here", "../secret"] {
            let error = open_beneath(root.as_fd(), path, OFlags::PATH, Mode::empty()).unwrap_err();
            assert_eq!(Errno::from_io_error(&error), Some(Errno::XDEV), "{path}");
        }
    }
}
