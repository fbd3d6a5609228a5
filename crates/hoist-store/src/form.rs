//! The two forms of a layer, and which of them layers from elsewhere get here.
//!
//! *Unpacked*, a layer is a directory in overlay form; that works everywhere. *Indexed*, it is the
//! tar as it came and a small image over it ([`erofs`](crate::erofs)), which the kernel mounts. What
//! is read is the same in both; [`Store::open_layer`] gives a directory either way.

use std::{
    fs::File,
    io::{self, Cursor, Write},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use hoist_sys::kernel;
use rustix::{
    fs::{CWD, Mode, OFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use crate::{
    archive::{Data, Member, MemberKind, Writer},
    erofs::Index,
    error::{Result, StoreError},
    overlay::{OPAQUE, OverlayXattrs},
    store::Store,
};

/// How a layer lies in the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerForm {
    /// A directory.
    #[default]
    Unpacked,
    /// A tar and an index over it.
    Indexed,
}

impl LayerForm {
    /// `unpacked` or `indexed`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unpacked => "unpacked",
            Self::Indexed => "indexed",
        }
    }
}

/// Which form layers from elsewhere are to have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FormPolicy {
    /// Indexed where that works, else unpacked.
    #[default]
    Auto,
    /// Unpacked.
    Unpacked,
    /// Indexed; where that does not work, importing fails and says why.
    Indexed,
}

impl std::str::FromStr for FormPolicy {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "unpacked" => Ok(Self::Unpacked),
            "indexed" => Ok(Self::Indexed),
            _ => Err(format!(
                "unknown layer form {text:?}: it is one of auto, unpacked, indexed"
            )),
        }
    }
}

/// The form that layers from elsewhere get, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormChoice {
    /// The form.
    pub form: LayerForm,
    /// A few words: `kernel 6.18, root`.
    pub reason: String,
}

/// The first kernel that mounts images from plain files.
const FIRST_KERNEL: (u32, u32) = (6, 12);

impl Store {
    /// Have layers from elsewhere in another form.
    #[must_use]
    pub const fn with_form(mut self, policy: FormPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The form that layers from elsewhere get here, and why. What the kernel makes of an index is
    /// tried, once in the life of this store value.
    #[must_use]
    pub fn form_choice(&self) -> FormChoice {
        match self.policy {
            FormPolicy::Unpacked => FormChoice {
                form: LayerForm::Unpacked,
                reason: "as asked for".to_owned(),
            },
            FormPolicy::Auto | FormPolicy::Indexed => {
                let able = self.inner.able.get_or_init(|| probe(self)).clone();
                match able {
                    Ok(reason) => FormChoice {
                        form: LayerForm::Indexed,
                        reason,
                    },
                    Err(reason) => FormChoice {
                        form: LayerForm::Unpacked,
                        reason,
                    },
                }
            }
        }
    }

    /// The form of the next layer.
    pub(crate) fn next_form(&self) -> Result<LayerForm> {
        let FormChoice { form, reason } = self.form_choice();
        if self.policy == FormPolicy::Indexed && form != LayerForm::Indexed {
            return Err(StoreError::NotIndexed { reason });
        }
        Ok(form)
    }
}

/// Whether an index can be mounted from the file system of the store, with all that layers need;
/// the reason in either case.
fn probe(store: &Store) -> std::result::Result<String, String> {
    let root = rustix::process::geteuid().is_root();
    if !root || store.overlay_xattrs() == OverlayXattrs::User {
        return Err("an ordinary user cannot mount it".to_owned());
    }
    let kernel = kernel::version();
    let (major, minor) = kernel;
    let root = store.root();
    match try_mount(root) {
        Ok(true) => Ok(format!("kernel {major}.{minor}, root")),
        Ok(false) => Err("the kernel's EROFS has no extended attributes".to_owned()),
        Err(_) if kernel < FIRST_KERNEL => Err(format!(
            "kernel {major}.{minor}; the indexed form needs {}.{}",
            FIRST_KERNEL.0, FIRST_KERNEL.1
        )),
        Err(error) => Err(match Errno::from_io_error(&error) {
            Some(Errno::NODEV) => "the kernel has no EROFS".to_owned(),
            Some(Errno::NOTBLK) => format!(
                "the kernel mounts nothing from files on the file system of {}",
                root.display()
            ),
            _ => format!("the kernel refuses to mount it: {error}"),
        }),
    }
}

const PROBE: &[u8] = b"probe";

/// Mount a small layer from files without names, and look whether everything is there.
fn try_mount(directory: &Path) -> io::Result<bool> {
    let (tar, index) = small_layer()?;
    let (mut image, mut data) = (nameless(directory)?, nameless(directory)?);
    data.write_all(&tar)?;
    index.write(tar.len() as u64, &mut image)?;
    let root = hoist_sys::erofs::mount(image.as_fd(), data.as_fd())?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let listed = rustix::fs::openat(&root, ".", flags, Mode::empty())?;
    let file = rustix::fs::openat(&root, "file", flags, Mode::empty())?;
    let mut value = [0; 32];
    let opaque = OverlayXattrs::Trusted.opaque();
    let opaque = rustix::fs::fgetxattr(&listed, opaque, &mut value[..]) == Ok(1);
    let label = rustix::fs::fgetxattr(&file, "security.probe", &mut value[..]) == Ok(PROBE.len());
    Ok(opaque && label && io::read_to_string(File::from(file))?.as_bytes() == PROBE)
}

/// An opaque root with a file that has an attribute.
fn small_layer() -> io::Result<(Vec<u8>, Index)> {
    let mut file = Member::new(b"file".to_vec(), MemberKind::File);
    file.size = PROBE.len() as u64;
    file.xattrs = [(b"security.probe".to_vec(), PROBE.to_vec())].into();
    let members = [Member::new(OPAQUE.to_vec(), MemberKind::File), file];
    let mut tar = Writer::new(Cursor::new(Vec::new()));
    for member in &members {
        tar.member(member)?;
    }
    tar.data(PROBE)?;
    tar.pad(PROBE.len() as u64)?;
    let tar = tar.finish()?.into_inner();
    let data = tar.len() as u64 - 3 * 512;
    let mut index = Index::default();
    for member in &members {
        index
            .member(member, &Data::Plain, data)
            .map_err(io::Error::other)?;
    }
    Ok((tar, index))
}

fn nameless(directory: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file: OwnedFd = rustix::fs::openat(CWD, directory, flags, Mode::RUSR | Mode::WUSR)?;
    Ok(File::from(file))
}
