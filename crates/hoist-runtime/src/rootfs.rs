//! The root file system of a container before it is mounted: where it lies, and reading from it.

use std::{
    borrow::Cow,
    ffi::{OsStr, OsString},
    io::{self, Read},
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{FileType, Mode, OFlags},
    io::Errno,
};

use crate::RuntimeError;

/// A read-only layer.
#[derive(Debug, Clone)]
pub enum LowerLayer {
    /// A directory.
    Directory(PathBuf),
    /// A mount that is attached nowhere, by a descriptor of its root. It lives as long as this value;
    /// an overlay that was made of it keeps what it needs.
    Mount(Arc<OwnedFd>),
}

impl LowerLayer {
    /// A path that leads to the layer, in this process and those that it clones.
    pub(crate) fn path(&self) -> Cow<'_, Path> {
        match self {
            Self::Directory(path) => Cow::Borrowed(path),
            Self::Mount(root) => Cow::Owned(descriptor_path(root.as_fd())),
        }
    }

    /// The descriptor of a mount.
    pub(crate) fn mount(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Directory(_) => None,
            Self::Mount(root) => Some(root.as_fd()),
        }
    }
}

impl<P: Into<PathBuf>> From<P> for LowerLayer {
    fn from(path: P) -> Self {
        Self::Directory(path.into())
    }
}

/// The same descriptor is the same mount.
impl PartialEq for LowerLayer {
    fn eq(&self, other: &Self) -> bool {
        self.path() == other.path()
    }
}

impl Eq for LowerLayer {}

/// Where the root file system of a container comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rootfs {
    /// Layers under a writable directory, joined by overlayfs.
    Overlay {
        /// The read-only layers, the topmost first.
        lower: Vec<LowerLayer>,
        /// The writable layer.
        upper: PathBuf,
        /// An empty directory on the same file system as `upper`.
        work: PathBuf,
        /// Never sync: for layers whose content is thrown away, or synced by someone else.
        volatile: bool,
        /// Keep overlayfs's own marks in `user.*` attributes: for mounts in a user namespace.
        userxattr: bool,
    },
    /// One directory.
    Directory(PathBuf),
}

/// The most of a file that [`Rootfs::read_file`] reads.
const LARGEST_FILE: u64 = 16 << 20;
/// The most symbolic links on one path, as in the kernel.
const MOST_LINKS: usize = 40;

impl Rootfs {
    /// The content of a regular file of the container, `None` when there is none.
    ///
    /// Looks through the writable layer and those below as overlayfs would (whiteouts, opaque
    /// directories, symbolic links within the root), without mounting anything, and opens nothing
    /// outside of the layers. Used for `/etc/passwd` and `/etc/group`.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::RootFile`] when a layer cannot be read, the path is not a regular file, or
    /// the file is larger than 16 MiB.
    pub fn read_file(&self, path: &Path) -> Result<Option<Vec<u8>>, RuntimeError> {
        let read = || -> io::Result<Option<Vec<u8>>> {
            let layers = self.layers()?;
            match Walk::new(layers).find(path)? {
                Some(file) => read_regular(&file).map(Some),
                None => Ok(None),
            }
        };
        read().map_err(|source| RuntimeError::RootFile {
            path: path.to_owned(),
            source,
        })
    }

    fn layers(&self) -> io::Result<Merged> {
        let (first, rest): (&Path, &[LowerLayer]) = match self {
            Self::Overlay { upper, lower, .. } => (upper, lower),
            Self::Directory(directory) => (directory, &[]),
        };
        let mut layers = vec![open_directory(first)?];
        for layer in rest {
            layers.push(open_directory(&layer.path())?);
        }
        Ok(layers)
    }
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|error| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    })
}

/// A directory of the merged tree: the directories of the layers that make it up, topmost first.
type Merged = Vec<OwnedFd>;

/// Walks the merged tree from its root.
struct Walk {
    /// The directories from the root to the present one.
    path: Vec<Merged>,
    links: usize,
}

enum Found {
    Directory(Merged),
    Link(OsString),
    File(OwnedFd),
}

impl Walk {
    fn new(layers: Merged) -> Self {
        Self {
            path: vec![layers],
            links: 0,
        }
    }

    /// The file at `path`, opened without reading it.
    fn find(&mut self, path: &Path) -> io::Result<Option<OwnedFd>> {
        let mut left: Vec<OsString> = components(path);
        while let Some(name) = left.pop() {
            if name == OsStr::new("..") {
                if self.path.len() > 1 {
                    self.path.pop();
                }
                continue;
            }
            let Some(directory) = self.path.last() else {
                return Ok(None);
            };
            match look_up(directory, &name)? {
                None => return Ok(None),
                Some(Found::Directory(merged)) => self.path.push(merged),
                Some(Found::Link(target)) => {
                    self.links += 1;
                    if self.links > MOST_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = PathBuf::from(target);
                    if target.is_absolute() {
                        self.path.truncate(1);
                    }
                    left.extend(components(&target));
                }
                Some(Found::File(file)) if left.is_empty() => return Ok(Some(file)),
                Some(Found::File(_)) => return Ok(None),
            }
        }
        Err(Errno::ISDIR.into())
    }
}

/// The components of `path`, the last one first.
fn components(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn look_up(directories: &[OwnedFd], name: &OsStr) -> io::Result<Option<Found>> {
    let mut merged = Merged::new();
    for directory in directories {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
            Ok(entry) => entry,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        let stat = rustix::fs::fstat(&entry)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let opaque = is_opaque(entry.as_fd());
                merged.push(entry);
                if opaque {
                    break;
                }
            }
            // Anything else ends the merge; below a directory it is hidden.
            _ if !merged.is_empty() => break,
            // A whiteout: device 0:0.
            FileType::CharacterDevice if stat.st_rdev == 0 => return Ok(None),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&entry, "", Vec::new())?;
                return Ok(Some(Found::Link(OsString::from_vec(target.into_bytes()))));
            }
            _ => return Ok(Some(Found::File(entry))),
        }
    }
    Ok(if merged.is_empty() {
        None
    } else {
        Some(Found::Directory(merged))
    })
}

/// Whether a directory hides what lies below it. (Attributes cannot be read from an `O_PATH`
/// descriptor, but through its link in `/proc`.)
fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let path = descriptor_path(directory);
    ["trusted.overlay.opaque", "user.overlay.opaque"]
        .into_iter()
        .any(|attribute| {
            let mut value = [0_u8; 4];
            matches!(rustix::fs::getxattr(&path, attribute, &mut value), Ok(1) if value[0] == b'y')
        })
}

fn descriptor_path(descriptor: BorrowedFd<'_>) -> PathBuf {
    let name = descriptor.as_raw_fd().to_string();
    Path::new("/proc/self/fd").join(OsStr::from_bytes(name.as_bytes()))
}

fn read_regular(entry: &OwnedFd) -> io::Result<Vec<u8>> {
    let stat = rustix::fs::fstat(entry)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    // Reopened through /proc: the very inode that was looked at, whatever the name means by now.
    let mut content = Vec::new();
    std::fs::File::open(descriptor_path(entry.as_fd()))?
        .take(LARGEST_FILE + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST_FILE {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "larger than 16 MiB",
        ));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn overlay(layers: &[&Path]) -> Rootfs {
        Rootfs::Overlay {
            upper: layers[0].to_owned(),
            lower: layers[1..].iter().map(|layer| (*layer).into()).collect(),
            work: PathBuf::new(),
            volatile: true,
            userxattr: false,
        }
    }

    fn whiteout(path: &Path) {
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path,
            FileType::CharacterDevice,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
    }

    #[test]
    fn looks_through_layers_as_overlayfs_does() {
        let temporary = tempfile::tempdir().unwrap();
        let [top, middle, bottom] = ["top", "middle", "bottom"].map(|name| {
            let layer = temporary.path().join(name);
            fs::create_dir_all(layer.join("etc")).unwrap();
            layer
        });
        let rootfs = overlay(&[&top, &middle, &bottom]);
        let read = |path: &str| rootfs.read_file(Path::new(path)).unwrap();
        fs::write(bottom.join("etc/passwd"), "bottom").unwrap();
        assert_eq!(read("/etc/passwd").unwrap(), b"bottom");
        fs::write(middle.join("etc/passwd"), "middle").unwrap();
        assert_eq!(read("/etc/passwd").unwrap(), b"middle");
        whiteout(&top.join("etc/passwd"));
        assert_eq!(read("/etc/passwd"), None);
        assert_eq!(read("/nothing/here"), None);

        // An opaque directory hides those below; a whiteout hides a whole directory.
        fs::write(bottom.join("etc/group"), "group").unwrap();
        assert_eq!(read("/etc/group").unwrap(), b"group");
        rustix::fs::setxattr(
            middle.join("etc"),
            "trusted.overlay.opaque",
            b"y",
            rustix::fs::XattrFlags::empty(),
        )
        .unwrap();
        assert_eq!(read("/etc/group"), None);
        fs::create_dir(bottom.join("opt")).unwrap();
        fs::write(bottom.join("opt/file"), "x").unwrap();
        whiteout(&middle.join("opt"));
        assert_eq!(read("/opt/file"), None);
    }

    #[test]
    fn links_stay_inside() {
        let temporary = tempfile::tempdir().unwrap();
        let (root, outside) = (
            temporary.path().join("root"),
            temporary.path().join("secret"),
        );
        fs::write(&outside, "host").unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::create_dir_all(root.join("usr/etc")).unwrap();
        fs::write(root.join("usr/etc/passwd"), "inside").unwrap();
        symlink("../../../../usr/etc/passwd", root.join("etc/passwd")).unwrap();
        symlink(&outside, root.join("etc/escape")).unwrap();
        symlink("/etc/loop", root.join("etc/loop")).unwrap();
        let rootfs = Rootfs::Directory(root);
        let read = |path: &str| rootfs.read_file(Path::new(path));
        assert_eq!(read("/etc/passwd").unwrap().unwrap(), b"inside");
        assert_eq!(read("/etc/escape").unwrap(), None);
        assert!(read("/etc/loop").is_err());
        assert!(read("/etc").is_err());
    }
}
