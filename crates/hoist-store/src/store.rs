//! The [`Store`] itself: opening, locking, syncing.

use std::{
    collections::BTreeSet,
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use hoist_core::Digest;
use hoist_sys::{
    atomic::{self, Durability},
    lock::Lock,
};
use rustix::fs::{Mode, OFlags};
use serde::Serialize;

use crate::{
    drafts::Session,
    error::{Result, StoreError},
    form::FormPolicy,
    format::{self, Access},
    image::ImageRecord,
    layer::LayerRecord,
    layout::Layout,
    overlay::OverlayXattrs,
};

/// Images and layers below one directory. Cheap to clone; clones share their drafts.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
    /// How layers from elsewhere are to lie here.
    pub(crate) policy: FormPolicy,
}

pub(crate) struct Inner {
    pub(crate) layout: Layout,
    access: Access,
    overlay: OnceLock<OverlayXattrs>,
    boot: OnceLock<String>,
    /// Whether indexed layers can be mounted, and why or why not.
    pub(crate) able: OnceLock<std::result::Result<String, String>>,
    /// What this process makes; begun with the first draft.
    pub(crate) session: Mutex<Option<Arc<Session>>>,
    /// What this process added and has not synced.
    unsynced: Mutex<Unsynced>,
}

/// Layers and images that may still be on their way to the disk.
#[derive(Default)]
struct Unsynced {
    layers: BTreeSet<Digest>,
    images: BTreeSet<Digest>,
}

/// As long as it lives, nothing is removed from the store, and adding goes on.
///
/// Take one between finding an image and recording that it is used. The thread that holds it must
/// not remove or collect anything meanwhile: it would wait for itself.
#[derive(Debug)]
#[must_use = "the store is held only as long as this value lives"]
pub struct Hold(#[expect(dead_code, reason = "held for its drop")] pub(crate) Lock);

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.root()).finish()
    }
}

impl Store {
    /// Open the store at `root`; make it when there is none.
    ///
    /// # Errors
    /// [`StoreError::Newer`] when a newer hoist made it; [`StoreError::Damaged`] when its
    /// `format.json` is not readable; [`StoreError::File`] when it cannot be read or made.
    pub fn open(root: &Path) -> Result<Self> {
        let layout = Layout::new(root.to_owned());
        let access = format::open(&layout)?;
        Ok(Self {
            inner: Arc::new(Inner {
                layout,
                access,
                overlay: OnceLock::new(),
                boot: OnceLock::new(),
                able: OnceLock::new(),
                session: Mutex::default(),
                unsynced: Mutex::default(),
            }),
            policy: FormPolicy::Auto,
        })
    }

    /// The directory of the store.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.inner.layout.root()
    }

    /// The attributes that this process's overlays use; decided by its user namespace when it
    /// first matters.
    #[must_use]
    pub fn overlay_xattrs(&self) -> OverlayXattrs {
        *self.inner.overlay.get_or_init(OverlayXattrs::detect)
    }

    /// Keep everything that is in the store until the guard is dropped. Waits for a removal that
    /// is under way.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::File`].
    pub fn hold(&self) -> Result<Hold> {
        let path = self.writable()?;
        Lock::shared(&path)
            .map(Hold)
            .map_err(StoreError::file("lock", &path))
    }

    /// Wait until nobody adds anything, and keep everybody from it.
    pub(crate) fn exclusive(&self) -> Result<Lock> {
        let path = self.writable()?;
        Lock::exclusive(&path).map_err(StoreError::file("lock", &path))
    }

    pub(crate) fn try_exclusive(&self) -> Result<Option<Lock>> {
        let path = self.writable()?;
        Lock::try_exclusive(&path).map_err(StoreError::file("lock", &path))
    }

    fn writable(&self) -> Result<std::path::PathBuf> {
        match &self.inner.access {
            Access::Write => Ok(self.layout().lock()),
            Access::Read(what) => Err(StoreError::ReadOnly {
                root: self.root().to_owned(),
                what: what.clone(),
            }),
        }
    }

    /// Bring everything that this store value added to the disk, so that a power cut cannot take
    /// it back. Until then layers and images that were just made count as missing after a crash of
    /// the machine.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn sync(&self) -> Result<()> {
        self.sync_file_system()?;
        let unsynced = std::mem::take(&mut *self.unsynced());
        if unsynced.layers.is_empty() && unsynced.images.is_empty() {
            return Ok(());
        }
        // A collection that runs meanwhile would take the temporary files of the records.
        let _hold = self.hold()?;
        for diff_id in &unsynced.layers {
            LayerRecord::confirm(self, diff_id)?;
        }
        // An image is confirmed only after every word about its layers is on the disk.
        self.sync_file_system()?;
        for id in &unsynced.images {
            ImageRecord::confirm(self, id)?;
        }
        Ok(())
    }

    pub(crate) fn sync_file_system(&self) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(self.root(), flags, Mode::empty())
            .and_then(rustix::fs::syncfs)
            .map_err(StoreError::file("sync", self.root()))
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    pub(crate) fn note_unsynced_layer(&self, diff_id: Digest) {
        self.unsynced().layers.insert(diff_id);
    }

    pub(crate) fn note_unsynced_image(&self, id: Digest) {
        self.unsynced().images.insert(id);
    }

    fn unsynced(&self) -> MutexGuard<'_, Unsynced> {
        self.inner
            .unsynced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of this boot of the machine (`random(4)`).
    pub(crate) fn boot(&self) -> &str {
        self.inner.boot.get_or_init(|| {
            let id = atomic::read(Path::new("/proc/sys/kernel/random/boot_id"));
            String::from_utf8_lossy(&id.unwrap_or_default())
                .trim()
                .to_owned()
        })
    }

    /// Whether something that carries this mark was lost with another boot.
    pub(crate) fn is_lost(&self, unsynced: Option<&str>) -> bool {
        unsynced.is_some_and(|boot| boot != self.boot())
    }
}

/// Write a record of the store as one line of JSON.
pub(crate) fn write_record(
    path: &Path,
    record: &impl Serialize,
    durability: Durability,
) -> Result<()> {
    let mut text = serde_json::to_vec(record).map_err(|error| StoreError::damaged(path, &error))?;
    text.push(b'\n');
    atomic::write(path, &text, 0o644, durability).map_err(StoreError::file("write", path))
}

/// Read a record of the store.
pub(crate) fn read_record<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = atomic::read(path).map_err(StoreError::file("read", path))?;
    serde_json::from_slice(&text).map_err(|error| StoreError::damaged(path, &error))
}
