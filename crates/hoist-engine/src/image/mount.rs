//! Images as directories of the host: `image mount` and `image unmount`.
//!
//! A mount carries its image and its data root in the kernel's own table of mounts, as its source;
//! so there is no record that could disagree. Who looks for mounts sees those of its own mount
//! namespace.

use std::{
    fs, io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use hoist_core::Digest;
use hoist_runtime::LowerLayer;
use hoist_sys::mount::{Attributes, Change, Propagation, set_attributes};
use rustix::{
    fs::CWD,
    mount::{MoveMountFlags, UnmountFlags},
};

use crate::{
    error::EngineError,
    root::{Engine, make_dirs},
};

/// How the source of such a mount begins.
const SOURCE: &str = "hoist-image";

/// An image that is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageMount {
    /// The image.
    pub image: Digest,
    /// Where.
    pub target: PathBuf,
}

impl Engine {
    /// Mount the files of an image, read-only, on the directory `target`, or on one below the
    /// directory of live state. A second mount of an image without a target is the first one.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for ordinary users; when there is no such image or directory.
    pub fn mount_image(&self, text: &str, target: Option<&Path>) -> Result<PathBuf, EngineError> {
        self.can_mount(text)?;
        let store = self.store();
        // Until it is mounted nobody may remove it.
        let hold = store.hold()?;
        let stored = store.image(&store.resolve(text)?)?;
        let place = match target {
            Some(target) => target
                .canonicalize()
                .map_err(EngineError::file("mount on", target))?,
            None => {
                let place = self.own_place(&stored.id);
                let mut mounts = self.image_mounts()?.into_iter();
                if mounts.any(|mount| mount.target == place) {
                    return Ok(place);
                }
                make_dirs(&place)?;
                place
            }
        };
        if !place.is_dir() {
            return Err(EngineError::invalid(format!(
                "cannot mount an image on {}: it is no directory",
                place.display()
            )));
        }
        let lower = self.lower_layers(&stored.image.rootfs.diff_ids)?;
        let mount = self.detached(lower, &self.source(&stored.id))?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&mount, "", CWD, &place, flags)
            .map_err(|error| EngineError::file("mount on", &place)(error.into()))?;
        drop(hold);
        store.note_used(&stored.id);
        Ok(place)
    }

    /// A read-only mount of layers that is attached nowhere.
    fn detached(&self, lower: Vec<LowerLayer>, source: &str) -> Result<OwnedFd, EngineError> {
        let lower = self.two_at_least(lower)?;
        let mount = hoist_runtime::overlay_mount(&lower, source)?;
        let change = Change {
            set: Attributes::READ_ONLY,
            propagation: Some(Propagation::Private),
            ..Change::default()
        };
        set_attributes(mount.as_fd(), change)
            .map_err(EngineError::system("making a mount read-only"))?;
        Ok(mount)
    }

    /// The directories that make up the directory `subpath` of an image, the topmost first: what
    /// overlayfs would merge there.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] when the image has no such directory, or a link leads there.
    pub(crate) fn image_directories(
        &self,
        layers: &[Digest],
        subpath: &Path,
    ) -> Result<Vec<PathBuf>, EngineError> {
        let lower = self.lower_directories(layers)?;
        if subpath.as_os_str().is_empty() {
            return Ok(lower);
        }
        let mut found = Vec::new();
        'layers: for root in lower {
            let mut place = root.clone();
            for name in subpath {
                place.push(name);
                match fs::symlink_metadata(&place) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue 'layers,
                    Err(error) => return Err(EngineError::file("look at", place)(error)),
                    Ok(file) if !file.is_dir() => break 'layers,
                    Ok(_) => {}
                }
            }
            found.push(place);
            let way = subpath
                .ancestors()
                .filter(|way| !way.as_os_str().is_empty());
            if way.into_iter().any(|way| self.is_opaque(&root.join(way))) {
                break;
            }
        }
        if found.is_empty() {
            return Err(EngineError::Invalid {
                message: format!("the image has no directory /{}", subpath.display()),
                hint: Some("image-subpath follows no links, and takes no files".to_owned()),
            });
        }
        Ok(found)
    }

    /// Whether a directory of a layer hides those below.
    fn is_opaque(&self, directory: &Path) -> bool {
        let name = self.store().overlay_xattrs().opaque();
        let mut value = [0; 2];
        matches!(rustix::fs::lgetxattr(directory, name, &mut value), Ok(1) if value[0] == b'y')
    }

    /// The options of the mount of an image in a container.
    pub(crate) fn image_mount_options(
        &self,
        layers: &[Digest],
        subpath: &Path,
    ) -> Result<Vec<String>, EngineError> {
        let lower = self.two_at_least(self.image_directories(layers, subpath)?)?;
        let lower = lower
            .iter()
            .map(|layer| format!("lowerdir+={}", layer.display()));
        let mut options = vec!["ro".to_owned(), "index=off".to_owned()];
        options.extend(lower);
        // `userxattr` implies the other two, and forbids to say so.
        let marks: &[&str] = if self.settings().rootless {
            &["userxattr"]
        } else {
            &["redirect_dir=off", "metacopy=off"]
        };
        options.extend(marks.iter().map(|&mark| mark.to_owned()));
        Ok(options)
    }

    /// Overlay wants two layers at least; empty ones below change nothing.
    fn two_at_least<L: From<PathBuf>>(&self, mut lower: Vec<L>) -> Result<Vec<L>, EngineError> {
        for name in ["empty", "empty-too"] {
            if lower.len() < 2 {
                let empty = self.settings().run.join(name);
                make_dirs(&empty)?;
                lower.push(empty.into());
            }
        }
        Ok(lower)
    }

    /// Unmount what is mounted of an image, given by its name or by a directory that it is mounted
    /// on; the directories that are free then.
    ///
    /// # Errors
    /// When nothing is mounted there, or somebody is in it.
    pub fn unmount_image(&self, text: &str) -> Result<Vec<PathBuf>, EngineError> {
        self.can_mount(text)?;
        let mut mounts = self.image_mounts()?;
        match fs::canonicalize(text) {
            Ok(path) if mounts.iter().any(|mount| mount.target == path) => {
                mounts.retain(|mount| mount.target == path);
            }
            _ => {
                let id = self.store().resolve(text)?;
                mounts.retain(|mount| mount.image == id);
            }
        }
        if mounts.is_empty() {
            return Err(EngineError::Invalid {
                message: format!("image {text} is not mounted"),
                hint: Some("hoist image mount lists what is mounted".to_owned()),
            });
        }
        let mut free = Vec::new();
        for mount in mounts {
            let failed = EngineError::file("unmount", &mount.target);
            rustix::mount::unmount(&mount.target, UnmountFlags::NOFOLLOW)
                .map_err(|error| failed(error.into()))?;
            if mount.target == self.own_place(&mount.image) {
                // Made for the mount alone.
                drop(fs::remove_dir(&mount.target));
            }
            free.push(mount.target);
        }
        Ok(free)
    }

    /// Images of this root that are mounted, in the order of their directories.
    ///
    /// # Errors
    /// When the kernel's table of mounts cannot be read.
    pub fn image_mounts(&self) -> Result<Vec<ImageMount>, EngineError> {
        const TABLE: &str = "/proc/self/mountinfo";
        let table = fs::read_to_string(TABLE).map_err(EngineError::file("read", TABLE))?;
        let mine = self.source_start();
        let mut mounts: Vec<ImageMount> = table
            .lines()
            .filter_map(|line| {
                let (before, after) = line.split_once(" - ")?;
                let source = after.split(' ').nth(1)?;
                let hex = source.strip_prefix(&mine)?;
                Some(ImageMount {
                    image: Digest::from_hex(hex).ok()?,
                    target: unescaped(before.split(' ').nth(4)?),
                })
            })
            .collect();
        mounts.sort_by(|a, b| a.target.cmp(&b.target));
        Ok(mounts)
    }

    fn own_place(&self, image: &Digest) -> PathBuf {
        self.settings().run.join("images").join(image.hex())
    }

    fn source(&self, image: &Digest) -> String {
        format!("{}{}", self.source_start(), image.hex())
    }

    /// Which data root it is: several may be on one machine.
    fn source_start(&self) -> String {
        let root = Digest::of(self.settings().root.as_os_str().as_encoded_bytes());
        format!("{SOURCE}:{}:", root.short())
    }

    fn can_mount(&self, text: &str) -> Result<(), EngineError> {
        if !self.settings().rootless {
            return Ok(());
        }
        Err(EngineError::Unsupported {
            message: "only root can mount an image: the mount of an ordinary user is seen in that \
                      user's own namespace alone"
                .to_owned(),
            hint: Some(format!(
                "hoist create {text} and hoist export CONTAINER give its files as an archive; \
                 hoist build --output type=local,dest=DIR gives those of a build"
            )),
        })
    }
}

/// A path of the table of mounts, in which spaces and the like are octal (`proc(5)`).
fn unescaped(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| byte == b'\\');
        let octal = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(octal) => {
                bytes.push(octal);
                rest = &after[3..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_of_mounts_are_read_back() {
        assert_eq!(unescaped(r"/a\040b\134"), Path::new("/a b\\"));
        assert_eq!(unescaped(r"/plain\0"), Path::new(r"/plain\0"));
    }
}
