//! What the tests of the store share: a store that vanishes, and archives made by hand.
#![allow(dead_code, reason = "each test binary uses a part")]
#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

use std::{
    io::Write,
    os::fd::{AsRawFd, OwnedFd},
    path::PathBuf,
};

use hoist_core::{Digest, Platform, Reference, image::Image};
use hoist_store::{FormPolicy, Layer, LayerForm, Store};

/// A store in a directory of its own.
pub(crate) struct Fixture {
    pub(crate) home: tempfile::TempDir,
    pub(crate) store: Store,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(&home.path().join("root")).unwrap();
        Self { home, store }
    }

    /// With layers from elsewhere in one form.
    pub(crate) fn of(policy: FormPolicy) -> Self {
        let mut fixture = Self::new();
        fixture.store = fixture.store.with_form(policy);
        fixture
    }

    /// The store as another process would see it.
    pub(crate) fn reopened(&self) -> Store {
        let policy = self.policy();
        Store::open(self.store.root()).unwrap().with_form(policy)
    }

    /// The form that layers from elsewhere have here.
    fn policy(&self) -> FormPolicy {
        match self.store.form_choice().form {
            LayerForm::Unpacked => FormPolicy::Unpacked,
            LayerForm::Indexed => FormPolicy::Indexed,
        }
    }

    /// A layer with one file.
    pub(crate) fn layer(&self, content: &str) -> Layer {
        layer(&self.store, content)
    }

    /// The store, with layers from elsewhere in one form.
    pub(crate) fn with_form(&self, policy: FormPolicy) -> Store {
        self.store.clone().with_form(policy)
    }

    /// The root of a layer.
    pub(crate) fn open(&self, layer: &Layer) -> Opened {
        open(&self.store, layer)
    }

    /// Where a layer lies.
    pub(crate) fn directory(&self, layer: &Layer) -> PathBuf {
        let layers = self.store.root().join("layers");
        layers.join(layer.diff_id.hex())
    }

    /// The names below a directory of the store, sorted.
    pub(crate) fn names(&self, directory: &str) -> Vec<String> {
        names(&self.store.root().join(directory))
    }

    /// Drafts of whatever session, their locks and keeps aside.
    pub(crate) fn drafts(&self) -> Vec<PathBuf> {
        let mut drafts = Vec::new();
        for session in std::fs::read_dir(self.store.root().join("drafts")).unwrap() {
            for entry in std::fs::read_dir(session.unwrap().path()).unwrap() {
                let path = entry.unwrap().path();
                if !path.ends_with("lock") && !path.ends_with("keeps") {
                    drafts.push(path);
                }
            }
        }
        drafts
    }
}

/// Makes each of these functions a test of each form of layers.
#[macro_export]
macro_rules! in_both_forms {
    ($($test:ident),+ $(,)?) => {
        mod unpacked {
            $(#[test] fn $test() { super::$test(hoist_store::FormPolicy::Unpacked) })+
        }
        mod indexed {
            $(#[test] fn $test() { super::$test(hoist_store::FormPolicy::Indexed) })+
        }
    };
}

/// A layer that is open, whatever its form.
pub(crate) struct Opened(OwnedFd);

impl Opened {
    /// A path in the layer, that works as long as this value lives.
    pub(crate) fn join(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd())).join(path)
    }
}

pub(crate) fn open(store: &Store, layer: &Layer) -> Opened {
    Opened(store.open_layer(&layer.diff_id).unwrap())
}

pub(crate) fn names(directory: &std::path::Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn layer(store: &Store, content: &str) -> Layer {
    let draft = store.begin_layer().unwrap();
    let file = draft.path().join("file");
    std::fs::write(&file, content).unwrap();
    std::fs::File::open(&file)
        .unwrap()
        .set_modified(std::time::UNIX_EPOCH)
        .unwrap();
    draft.commit().unwrap()
}

pub(crate) fn image(created: &str, layers: &[&Layer]) -> Image {
    let mut image = Image {
        created: Some(created.to_owned()),
        author: None,
        platform: Platform::host(),
        config: hoist_core::image::Config::default(),
        rootfs: hoist_core::image::RootFs::default(),
        history: Vec::new(),
    };
    image.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id).collect();
    image
}

pub(crate) fn reference(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

pub(crate) fn archive_of(store: &Store, diff_id: &Digest) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.write_tar(diff_id, &mut bytes).unwrap();
    assert_eq!(Digest::of(&bytes), *diff_id);
    bytes
}

/// Writes archives that no honest program writes.
#[derive(Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    pub(crate) fn entry(self, flag: u8, path: &str, link: &str, data: &[u8]) -> Self {
        self.full(flag, path, link, data, |_| ())
    }

    pub(crate) fn full(
        mut self,
        flag: u8,
        path: &str,
        link: &str,
        data: &[u8],
        edit: impl FnOnce(&mut [u8]),
    ) -> Self {
        let mut block = [0; 512];
        block[..path.len()].copy_from_slice(path.as_bytes());
        block[100..108].copy_from_slice(b"0000755\0");
        block[108..116].copy_from_slice(b"0000000\0");
        block[116..124].copy_from_slice(b"0000000\0");
        block[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
        block[136..148].copy_from_slice(b"00000000007\0");
        block[156] = flag;
        block[157..157 + link.len()].copy_from_slice(link.as_bytes());
        block[257..265].copy_from_slice(b"ustar\x0000");
        edit(&mut block);
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn pax(self, key: &str, value: &[u8]) -> Self {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + rest.to_string().len();
        length = rest + length.to_string().len();
        let record = [format!("{length} {key}=").as_bytes(), value, b"\n"].concat();
        self.entry(b'x', "pax", "", &record)
    }

    pub(crate) fn file(self, path: &str, data: &str) -> Self {
        self.entry(b'0', path, "", data.as_bytes())
    }

    pub(crate) fn directory(self, path: &str) -> Self {
        self.entry(b'5', path, "", b"")
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(b'2', path, target, b"")
    }

    pub(crate) fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(b'1', path, target, b"")
    }

    pub(crate) fn device(self, path: &str, major: u8, minor: u8) -> Self {
        self.full(b'3', path, "", b"", |block| {
            block[329..337].copy_from_slice(format!("{major:07o}\0").as_bytes());
            block[337..345].copy_from_slice(format!("{minor:07o}\0").as_bytes());
        })
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A file system of its own that ends with the value.
pub(crate) struct Tmpfs(pub(crate) tempfile::TempDir);

impl Tmpfs {
    pub(crate) fn new(options: &std::ffi::CStr) -> Self {
        let point = tempfile::tempdir().unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", point.path(), "tmpfs", flags, options)
            .expect("mounting needs root");
        Self(point)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH);
    }
}
