//! Layers in the indexed form: opened by mounting them, unpacked where that does not work.

use std::{
    fs::File,
    io::{self, BufReader, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use hoist_core::{Digest, Digester};
use rustix::{
    fs::{Access, CWD, Mode, OFlags, RenameFlags},
    io::Errno,
};

use crate::{
    archive,
    erofs::Index,
    error::{Result, StoreError},
    form::LayerForm,
    layer::LayerRecord,
    layout::{INDEX, TAR, TREE, USER_TREE},
    overlay::OverlayXattrs,
    store::Store,
    unpack::unpack,
};

const BUFFER: usize = 256 * 1024;

/// The root of a layer: a lower directory of an overlay, never to be written.
#[derive(Debug)]
pub enum LayerRoot {
    /// A directory.
    Directory(PathBuf),
    /// A mount that is attached nowhere, by a descriptor that only names its root (`O_PATH`). It ends
    /// with the descriptor; an overlay that was made of it meanwhile keeps what it needs.
    Mount(OwnedFd),
}

impl Store {
    /// Open the root directory of a layer, in overlay form, for reading. The descriptor only names it
    /// (`O_PATH`); what is opened through it stays open without it.
    ///
    /// # Errors
    /// As [`layer_root`](Self::layer_root).
    pub fn open_layer(&self, diff_id: &Digest) -> Result<OwnedFd> {
        match self.layer_root(diff_id)? {
            LayerRoot::Mount(root) => Ok(root),
            LayerRoot::Directory(path) => open_path(&path).map_err(StoreError::file("open", &path)),
        }
    }

    /// What is to be a lower directory of an overlay.
    ///
    /// Where the kernel does not mount an indexed layer, because the store was filled by another
    /// kernel or user, the layer is unpacked now, once.
    ///
    /// # Errors
    /// As [`layer`](Self::layer); [`StoreError::File`], and where the layer has to be unpacked also
    /// [`StoreError::Damaged`], [`StoreError::ReadOnly`] and the errors of unpacking.
    pub fn layer_root(&self, diff_id: &Digest) -> Result<LayerRoot> {
        let form = LayerRecord::read(self, diff_id)?.form;
        let directory = self.layout().layer(diff_id);
        if form == LayerForm::Unpacked {
            return Ok(LayerRoot::Directory(directory.join(TREE)));
        }
        let tree = directory.join(self.late_tree());
        if rustix::fs::access(&tree, Access::EXISTS).is_ok() {
            return Ok(LayerRoot::Directory(tree));
        }
        match mount(&directory) {
            Ok(root) => Ok(LayerRoot::Mount(root)),
            Err(error) if cannot(&error) => {
                self.unpack_indexed(diff_id)?;
                Ok(LayerRoot::Directory(tree))
            }
            Err(error) => Err(StoreError::file("mount", &directory.join(INDEX))(error)),
        }
    }

    /// A layer as a directory, for who needs a path that others can follow, too: an indexed one is
    /// unpacked now, once.
    ///
    /// # Errors
    /// As [`layer_root`](Self::layer_root).
    pub fn layer_directory(&self, diff_id: &Digest) -> Result<PathBuf> {
        let directory = self.layout().layer(diff_id);
        if LayerRecord::read(self, diff_id)?.form == LayerForm::Unpacked {
            return Ok(directory.join(TREE));
        }
        let tree = directory.join(self.late_tree());
        if rustix::fs::access(&tree, Access::EXISTS).is_err() {
            self.unpack_indexed(diff_id)?;
        }
        Ok(tree)
    }

    /// The form in which a layer lies here.
    ///
    /// # Errors
    /// As [`layer`](Self::layer).
    pub fn form_of(&self, diff_id: &Digest) -> Result<LayerForm> {
        Ok(LayerRecord::read(self, diff_id)?.form)
    }

    /// Where a layer lies: the directory of an unpacked one, the index of an indexed one. To be shown,
    /// not to be read.
    ///
    /// # Errors
    /// As [`layer`](Self::layer).
    pub fn layer_place(&self, diff_id: &Digest) -> Result<PathBuf> {
        let directory = self.layout().layer(diff_id);
        Ok(match self.form_of(diff_id)? {
            LayerForm::Unpacked => directory.join(TREE),
            LayerForm::Indexed => directory.join(INDEX),
        })
    }

    /// The directory of an indexed layer that had to be unpacked. Its marks for overlayfs are those of
    /// this user namespace, and nothing to another.
    fn late_tree(&self) -> &'static str {
        match self.overlay_xattrs() {
            OverlayXattrs::Trusted => TREE,
            OverlayXattrs::User => USER_TREE,
        }
    }

    /// Give an indexed layer a directory beside its tar, for those that cannot mount it.
    fn unpack_indexed(&self, diff_id: &Digest) -> Result<()> {
        let directory = self.layout().layer(diff_id);
        let (file, tar) = self.open_tar(diff_id)?;
        let draft = self.begin_layer()?;
        self.unpack_tar(file, draft.path(), Some((diff_id, &tar)))?;
        // No mark says that it may be half there after a power cut: it is whole before it is seen.
        self.sync_file_system()?;
        let hold = self.hold()?;
        let tree = directory.join(self.late_tree());
        match rustix::fs::renameat_with(CWD, draft.path(), CWD, &tree, RenameFlags::NOREPLACE) {
            // Somebody else has done the same.
            Ok(()) | Err(Errno::EXIST | Errno::NOTEMPTY) => {}
            Err(error) => return Err(StoreError::file("create", &tree)(error)),
        }
        drop(hold);
        Ok(())
    }

    /// Unpack a plain tar into the directory `tree`; returns the bytes of content in its files.
    /// With a digest and the tar's path, it must be the archive of that layer.
    pub(crate) fn unpack_tar(
        &self,
        tar: impl io::Read,
        tree: &Path,
        expected: Option<(&Digest, &Path)>,
    ) -> Result<u64> {
        let root = crate::drafts::open(tree)?;
        let mut digested = BufReader::with_capacity(
            BUFFER,
            Digested {
                input: tar,
                digester: expected.map(|_| Digester::new()),
            },
        );
        let mut archive = archive::Reader::new(&mut digested);
        let size = unpack(&mut archive, root.as_fd(), tree, self.overlay_xattrs())?;
        let found = digested.into_inner().digester.map(Digester::finish);
        match (found, expected) {
            (Some(found), Some((digest, path))) if found != *digest => Err(StoreError::damaged(
                path,
                &format!("it has the digest {found}"),
            )),
            _ => Ok(size),
        }
    }

    /// Open the tar of an indexed layer.
    pub(crate) fn open_tar(&self, diff_id: &Digest) -> Result<(File, PathBuf)> {
        let path = self.layout().layer(diff_id).join(TAR);
        match File::open(&path) {
            Ok(file) => Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::damaged(&path, &"it is gone"))
            }
            Err(error) => Err(StoreError::file("open", &path)(error)),
        }
    }
}

/// Write the index over a tar of `tar_length` bytes into the directory of a draft.
pub(crate) fn write_index(index: &Index, tar_length: u64, directory: &Path) -> Result<()> {
    let path = directory.join(INDEX);
    let write = || {
        let mut output = io::BufWriter::with_capacity(BUFFER, File::create_new(&path)?);
        index.write(tar_length, &mut output)?;
        output.flush()
    };
    write().map_err(StoreError::file("write", &path))
}

fn mount(directory: &Path) -> io::Result<OwnedFd> {
    let open = |name| File::open(directory.join(name));
    let (image, data) = (open(INDEX)?, open(TAR)?);
    hoist_sys::erofs::mount(image.as_fd(), data.as_fd())
}

/// Whether the kernel will say the same the next time: it cannot mount this, or not for us.
fn cannot(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::NODEV
                | Errno::NOTBLK
                | Errno::PERM
                | Errno::INVAL
                | Errno::UCLEAN
                | Errno::NOSYS
                | Errno::OPNOTSUPP
                | Errno::NOENT
        )
    )
}

fn open_path(path: &Path) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// An input that may know the digest of what came out of it.
struct Digested<R> {
    input: R,
    digester: Option<Digester>,
}

impl<R: io::Read> io::Read for Digested<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        if let Some(digester) = &mut self.digester {
            digester.update(&buffer[..count]);
        }
        Ok(count)
    }
}
