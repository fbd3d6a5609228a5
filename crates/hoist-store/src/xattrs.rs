//! Extended attributes of files that are reached by descriptor.

use std::{
    ffi::{CStr, CString, OsStr},
    io,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use rustix::{
    fd::{AsRawFd, BorrowedFd},
    fs::XattrFlags,
    io::Errno,
};

use crate::{layer_tar::Xattrs, overlay::overlay_attribute};

/// The most that the kernel gives for a list or a value (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const MOST: usize = 64 * 1024;

/// The attributes of one file.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    /// All but those of overlayfs.
    pub(crate) list: Xattrs,
    /// The directory hides the one below.
    pub(crate) opaque: bool,
    /// Overlayfs says here that content is in another layer.
    pub(crate) foreign: bool,
}

/// Reads attributes with one reusable buffer.
pub(crate) struct Reader {
    names: Vec<u8>,
    value: Vec<u8>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            names: vec![0; MOST],
            value: vec![0; MOST],
        }
    }
}

/// How a file is named to the system calls.
enum Subject<'a> {
    Open(BorrowedFd<'a>),
    Path(PathBuf),
}

impl Reader {
    /// The attributes of an open file or directory.
    pub(crate) fn of_open(&mut self, file: BorrowedFd<'_>) -> io::Result<Attributes> {
        self.attributes(&Subject::Open(file))
    }

    /// The attributes of an entry of an open directory, which may be a link or a device.
    pub(crate) fn of_entry(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
    ) -> io::Result<Attributes> {
        self.attributes(&Subject::Path(entry_path(directory, name)))
    }

    fn attributes(&mut self, subject: &Subject<'_>) -> io::Result<Attributes> {
        let mut attributes = Attributes::default();
        let listed = match subject {
            Subject::Open(file) => rustix::fs::flistxattr(file, &mut self.names[..]),
            Subject::Path(path) => rustix::fs::llistxattr(path, &mut self.names[..]),
        };
        let length = match listed {
            Ok(length) => length,
            Err(Errno::NOTSUP) => 0,
            Err(error) => return Err(error.into()),
        };
        for name in self.names[..length].split_inclusive(|&byte| byte == 0) {
            let Ok(name) = CStr::from_bytes_with_nul(name) else {
                continue;
            };
            let read = match subject {
                Subject::Open(file) => rustix::fs::fgetxattr(file, name, &mut self.value[..]),
                Subject::Path(path) => rustix::fs::lgetxattr(path, name, &mut self.value[..]),
            };
            let value = match read {
                Ok(length) => &self.value[..length],
                // Gone since it was listed, or listed though it may not be read.
                Err(Errno::NODATA | Errno::NOTSUP) => continue,
                Err(error) => return Err(error.into()),
            };
            match overlay_attribute(name.to_bytes()) {
                Some(b"opaque") => attributes.opaque |= value == b"y",
                Some(b"redirect" | b"metacopy") => attributes.foreign = true,
                Some(_) => {}
                None => {
                    let name = name.to_bytes().to_vec();
                    attributes.list.insert(name, value.to_vec());
                }
            }
        }
        Ok(attributes)
    }
}

/// Set an attribute of an open file or directory.
pub(crate) fn set_open(file: BorrowedFd<'_>, name: &[u8], value: &[u8]) -> Result<(), Errno> {
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    rustix::fs::fsetxattr(file, &name, value, XattrFlags::empty())
}

/// Set an attribute of an entry of an open directory, without following it.
pub(crate) fn set_entry(
    directory: BorrowedFd<'_>,
    entry: &CStr,
    name: &[u8],
    value: &[u8],
) -> Result<(), Errno> {
    let name = CString::new(name).map_err(|_| Errno::INVAL)?;
    let path = entry_path(directory, entry);
    rustix::fs::lsetxattr(&path, &name, value, XattrFlags::empty())
}

/// No `*xattrat` before Linux 6.13: the directory is named through `/proc`.
fn entry_path(directory: BorrowedFd<'_>, name: &CStr) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
        .join(OsStr::from_bytes(name.to_bytes()))
}
