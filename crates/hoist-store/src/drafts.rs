//! Layers in the making.
//!
//! Each process that makes layers has one directory below `drafts/`, and a lock in it as long as
//! it lives. Whoever gets that lock knows that the process is gone and may remove what it left.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use hoist_core::{Digest, Digester};
use hoist_sys::{atomic::Durability, lock::Lock, tree};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags};

use crate::{
    archive,
    error::{Result, StoreError},
    layer::{Layer, LayerRecord},
    layer_tar::{self, Failure},
    layout::{LAYER_RECORD, Layout, TREE, WORK, digest_of_name},
    remove::remove_file,
    store::{Hold, Store, write_record},
    unpack::unpack,
};

/// What one process is making. Removed with everything in it on drop.
pub(crate) struct Session {
    directory: PathBuf,
    next: AtomicU64,
    _lock: Lock,
}

impl Session {
    /// Claim a directory. The store lock must be held, so that nobody sweeps it before it is
    /// locked.
    fn begin(layout: &Layout) -> Result<Self> {
        let mut number = 0_u64;
        loop {
            let name = format!("{}-{number}", std::process::id());
            let directory = layout.drafts().join(name);
            match std::fs::create_dir(&directory) {
                Ok(()) => {
                    let path = directory.join("lock");
                    let lock = Lock::exclusive(&path).map_err(StoreError::file("lock", &path))?;
                    let keeps = directory.join("keeps");
                    make_directory(&keeps)?;
                    return Ok(Self {
                        directory,
                        next: AtomicU64::new(0),
                        _lock: lock,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => {
                    return Err(StoreError::file("make the directory", &directory)(error));
                }
            }
        }
    }

    /// A path in the session that nothing has yet.
    pub(crate) fn free_path(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.directory.join(number.to_string())
    }

    /// Say that this process relies on a layer or an image.
    pub(crate) fn keep(&self, digest: &Digest) -> Result<()> {
        let path = self.directory.join("keeps").join(digest.hex());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)
            .map(drop)
            .map_err(StoreError::file("create", &path))
    }

    /// What this process relies on.
    pub(crate) fn kept(&self) -> Result<Vec<Digest>> {
        let keeps = list(&self.directory.join("keeps"))?;
        Ok(keeps
            .iter()
            .filter_map(|path| digest_of_name(path))
            .collect())
    }

    /// This process no longer relies on a layer or an image.
    pub(crate) fn let_go(&self, digest: &Digest) -> Result<()> {
        remove_file(&self.directory.join("keeps").join(digest.hex()))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What cannot be removed now is swept later, as after a crash.
        let _ = tree::remove(&self.directory);
    }
}

/// A session whose process is gone; its lock is ours.
pub(crate) struct DeadSession {
    directory: PathBuf,
    _lock: Lock,
}

impl DeadSession {
    pub(crate) fn remove(self) -> Result<()> {
        tree::remove(&self.directory).map_err(StoreError::file("remove", &self.directory))
    }
}

/// What is below `drafts/`.
#[derive(Default)]
pub(crate) struct Sessions {
    pub(crate) dead: Vec<DeadSession>,
    /// Layers and images that living processes rely on.
    pub(crate) kept: Vec<Digest>,
}

/// Look at all sessions. The store lock must be held exclusively.
pub(crate) fn sessions(layout: &Layout) -> Result<Sessions> {
    let mut sessions = Sessions::default();
    for directory in list(&layout.drafts())? {
        let path = directory.join("lock");
        match Lock::try_exclusive(&path) {
            Ok(Some(lock)) => sessions.dead.push(DeadSession {
                directory,
                _lock: lock,
            }),
            Ok(None) => {
                let keeps = list(&directory.join("keeps"))?;
                let digests = keeps.iter().filter_map(|path| digest_of_name(path));
                sessions.kept.extend(digests);
            }
            // It ended, or somebody removes it, since the list was made.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::file("lock", &path)(error)),
        }
    }
    Ok(sessions)
}

/// The paths in a directory; none when there is no such directory.
pub(crate) fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = StoreError::file("list", directory);
    let read = || -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(directory)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect()
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        result => result.map_err(failed),
    }
}

fn make_directory(path: &Path) -> Result<()> {
    std::fs::create_dir(path).map_err(StoreError::file("make the directory", path))
}

/// A layer in the making: fill [`path`](Self::path), then [`commit`](Self::commit). Dropped, it
/// leaves nothing behind.
#[derive(Debug)]
pub struct LayerDraft {
    store: Store,
    directory: PathBuf,
    tree: PathBuf,
    work: PathBuf,
    /// The directory became a layer, or is to be removed by somebody else.
    moved: bool,
}

impl LayerDraft {
    /// The directory that becomes the layer, in overlay form: the upper directory of an overlay,
    /// or written directly. It begins empty, with mode 0755; where it is an upper directory, its
    /// owner, mode and attributes are those of the merged root.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.tree
    }

    /// An empty directory on the same file system: the working directory of that overlay. Mount
    /// with `redirect_dir=off` and `metacopy=off`, so that the layer depends on no other.
    #[must_use]
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// The directory that becomes the layer's own, with everything that it has.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Make the directories that [`path`](Self::path) and [`work`](Self::work) name.
    pub(crate) fn make_tree(&self) -> Result<()> {
        for path in [&self.tree, &self.work] {
            make_directory(path)?;
        }
        // Whatever the umask of the process is.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&self.tree, mode)
            .map_err(StoreError::file("set the mode of", &self.tree))
    }

    /// Make the layer: its diff id is the digest of its deterministic archive. Whatever was
    /// mounted over the draft must be unmounted. Where the store has that layer already, the draft
    /// is dropped and the layer returned.
    ///
    /// The layer is kept from garbage collection as long as the store value lives, and reaches the
    /// disk for certain with [`Store::sync`].
    ///
    /// # Errors
    /// [`StoreError::Unrepresentable`] for a file that cannot be in an archive of a layer;
    /// [`StoreError::File`]. The draft is gone then.
    pub fn commit(self) -> Result<Layer> {
        self.digest()?.commit()
    }

    /// The first half of [`commit`](Self::commit): the digest is taken, and nobody sees the layer
    /// yet. The directory is only read meanwhile, so that others may read it at the same time.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn digest(self) -> Result<DigestedLayer> {
        tree::remove(&self.work).map_err(StoreError::file("remove", &self.work))?;
        let mut digester = Digester::new();
        let totals =
            layer_tar::write(open(&self.tree)?, &self.tree, &mut digester).map_err(|failure| {
                match failure {
                    Failure::Tree(error) => error,
                    Failure::Output(error) => StoreError::file("digest", &self.tree)(error),
                }
            })?;
        Ok(DigestedLayer {
            draft: self,
            diff_id: digester.finish(),
            totals,
        })
    }

    /// Take the place of the layer, unless it is taken by a whole one. The session keeps the layer.
    pub(crate) fn settle(mut self, diff_id: &Digest, hold: Hold) -> Result<Layer> {
        if self.publish(diff_id)? {
            self.store.note_unsynced_layer(*diff_id);
            return self.store.layer(diff_id);
        }
        if !self.is_broken(diff_id) {
            return self.store.layer(diff_id);
        }
        drop(hold);
        self.replace(diff_id)
    }

    /// Move the draft to its place among the layers; false when that is taken.
    fn publish(&mut self, diff_id: &Digest) -> Result<bool> {
        let place = self.store.layout().layer(diff_id);
        let flags = RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(CWD, &self.directory, CWD, &place, flags) {
            Ok(()) => {
                self.moved = true;
                Ok(true)
            }
            Err(rustix::io::Errno::EXIST | rustix::io::Errno::NOTEMPTY) => Ok(false),
            Err(error) => Err(StoreError::file("create", &place)(error)),
        }
    }

    /// Take a place that is free. Needs the store lock exclusively.
    pub(crate) fn take_place(mut self, diff_id: &Digest) -> Result<()> {
        self.publish(diff_id).map(drop)
    }

    /// Whether a layer was left unfinished by a crash of the machine, or was damaged since.
    fn is_broken(&self, diff_id: &Digest) -> bool {
        match self.store.layer(diff_id) {
            Err(StoreError::Unfinished { .. } | StoreError::Damaged { .. }) => true,
            Err(_) => !self
                .store
                .layout()
                .layer(diff_id)
                .join(LAYER_RECORD)
                .exists(),
            Ok(_) => !self.store.has_files(diff_id),
        }
    }

    /// Take the place of a layer that is broken.
    fn replace(&mut self, diff_id: &Digest) -> Result<Layer> {
        let exclusive = self.store.exclusive()?;
        if self.is_broken(diff_id) {
            let place = self.store.layout().layer(diff_id);
            let aside = self.store.session()?.free_path();
            std::fs::rename(&place, &aside).map_err(StoreError::file("replace", &place))?;
            self.publish(diff_id)?;
            self.store.note_unsynced_layer(*diff_id);
            drop(exclusive);
            tree::remove(&aside).map_err(StoreError::file("remove", &aside))?;
        }
        self.store.layer(diff_id)
    }
}

/// A draft whose digest is known. Dropped, it leaves nothing behind, as the draft.
#[derive(Debug)]
pub struct DigestedLayer {
    draft: LayerDraft,
    diff_id: Digest,
    totals: layer_tar::Totals,
}

impl DigestedLayer {
    /// Make the layer, as [`LayerDraft::commit`] does.
    ///
    /// # Errors
    /// [`StoreError::File`]. The draft is gone then.
    pub fn commit(self) -> Result<Layer> {
        let Self {
            draft,
            diff_id,
            totals,
        } = self;
        let record = LayerRecord::fresh(&draft.store, totals.size, totals.archive_size);
        let path = draft.directory.join(LAYER_RECORD);
        write_record(&path, &record, Durability::Volatile)?;
        let session = draft.store.session()?;
        let hold = draft.store.hold()?;
        session.keep(&diff_id)?;
        draft.settle(&diff_id, hold)
    }
}

impl Drop for LayerDraft {
    fn drop(&mut self) {
        if !self.moved {
            // What cannot be removed now goes with the session.
            let _ = tree::remove(&self.directory);
        }
    }
}

pub(crate) fn open(path: &Path) -> Result<std::os::fd::OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(StoreError::file("open", path))
}

impl Store {
    /// Begin a new layer.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::File`].
    pub fn begin_layer(&self) -> Result<LayerDraft> {
        let draft = self.begin_empty_layer()?;
        draft.make_tree()?;
        Ok(draft)
    }

    /// Begin a new layer that has no tree yet, and perhaps never will.
    pub(crate) fn begin_empty_layer(&self) -> Result<LayerDraft> {
        let directory = self.session()?.free_path();
        let draft = LayerDraft {
            store: self.clone(),
            tree: directory.join(TREE),
            work: directory.join(WORK),
            directory,
            moved: false,
        };
        make_directory(&draft.directory)?;
        Ok(draft)
    }

    /// Unpack an archive, plain or compressed by gzip or zstd, as a layer.
    ///
    /// The archive may be hostile: nothing outside the layer is read or written. Its diff id is
    /// that of the deterministic archive of the unpacked tree, whatever order, times below a
    /// second or user names the given one has.
    ///
    /// # Errors
    /// [`StoreError::Archive`], [`StoreError::Input`], [`StoreError::Entry`] and
    /// [`StoreError::Unpack`], which name the place or the entry; then as
    /// [`LayerDraft::commit`]. Nothing is left behind.
    pub fn import_tar(&self, reader: impl io::Read) -> Result<Layer> {
        let draft = self.begin_layer()?;
        let mut archive = archive::Reader::new(archive::decompressed_layer(reader)?.0);
        let root = open(&draft.tree)?;
        let root = std::os::fd::AsFd::as_fd(&root);
        unpack(&mut archive, root, &draft.tree, self.overlay_xattrs())?;
        draft.commit()
    }

    /// The session of this process, begun now if it has none. Sweeps what dead ones left, if
    /// nobody is in the way.
    pub(crate) fn session(&self) -> Result<Arc<Session>> {
        let mut session = self
            .inner
            .session
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = &*session {
            return Ok(Arc::clone(session));
        }
        if let Some(exclusive) = self.try_exclusive()? {
            let dead = sessions(self.layout())?.dead;
            drop(exclusive);
            for session in dead {
                session.remove()?;
            }
        }
        let hold = self.hold()?;
        let begun = Arc::new(Session::begin(self.layout())?);
        drop(hold);
        *session = Some(Arc::clone(&begun));
        Ok(begun)
    }
}
