//! The indexed form of a layer: what lies there, where it is used, and what becomes of it where the
//! kernel does not mount it.

#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use hoist_core::{Describe, Digest, Kind};
use hoist_store::{FormPolicy, Layer, LayerForm, LayerRoot, Store, StoreError};
use rustix::{io::Errno, mount::UnmountFlags};
use support::{Fixture, Tar, Tmpfs, archive_of, gzip, image};

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const ROOT: &str = "HOIST_STORE_TEST_ROOT";

fn bring(store: &Store, blob: &[u8]) -> Result<Layer, StoreError> {
    let draft = store.begin_blob().unwrap();
    store.import_layer(draft, blob, GZIP, None)
}

fn archive() -> Vec<u8> {
    Tar::default()
        .directory("dir")
        .file("dir/file", "content")
        .file("dir/.wh.gone", "")
        .directory("opaque")
        .file("opaque/.wh..wh..opq", "")
        .hard_link("link", "dir/file")
        .finish()
}

fn attribute(path: &Path, name: &str) -> bool {
    let mut value = [0; 8];
    rustix::fs::lgetxattr(path, name, &mut value[..]) == Ok(1)
}

#[test]
fn an_indexed_layer_is_a_tar_and_an_index() {
    let (fixture, other) = (
        Fixture::of(FormPolicy::Indexed),
        Fixture::of(FormPolicy::Unpacked),
    );
    let store = &fixture.store;
    assert_eq!(store.form_choice().form, LayerForm::Indexed);
    assert!(store.form_choice().reason.ends_with(", root"));
    for blob in [archive(), gzip(&archive())] {
        let layer = bring(store, &blob).unwrap();
        let directory = fixture.directory(&layer);
        let names = ["blobs", "layer.erofs", "layer.json", "layer.tar"];
        assert_eq!(support::names(&directory), names);
        assert_eq!(
            std::fs::read(directory.join("layer.tar")).unwrap(),
            archive()
        );
        assert_eq!(store.form_of(&layer.diff_id).unwrap(), LayerForm::Indexed);
        assert_eq!(
            store.layer_place(&layer.diff_id).unwrap(),
            directory.join("layer.erofs")
        );
        let root = store.layer_root(&layer.diff_id).unwrap();
        assert!(matches!(root, LayerRoot::Mount(_)), "{root:?}");
        assert_eq!(archive_of(store, &layer.diff_id), archive());
        let unpacked = bring(&other.store, &blob).unwrap();
        assert_eq!(layer, unpacked, "size and name do not depend on the form");
        assert_eq!(
            store.usage().unwrap().layers,
            other.store.usage().unwrap().layers
        );
        let format = std::fs::read_to_string(store.root().join("format.json")).unwrap();
        assert!(format.contains("indexed-layers"), "{format}");
        std::fs::remove_dir_all(&directory).unwrap();
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let own = fixture.home.path().to_str().unwrap();
    assert!(!mounts.contains(own), "{mounts}");
    let format = std::fs::read_to_string(other.store.root().join("format.json")).unwrap();
    assert!(!format.contains("indexed-layers"), "{format}");
}

#[test]
fn what_has_no_place_in_an_index_is_unpacked() {
    // Two records, each with its length in front.
    let records = b"26 GNU.sparse.map=0,4,8,3\n22 GNU.sparse.size=16\n";
    let tar = Tar::default()
        .file("plain", "as it is")
        .entry(b'x', "pax", "", records)
        .file("sparse", "heretai")
        .finish();
    for blob in [tar.clone(), gzip(&tar)] {
        let fixture = Fixture::of(FormPolicy::Indexed);
        let layer = bring(&fixture.store, &blob).unwrap();
        let form = fixture.store.form_of(&layer.diff_id).unwrap();
        assert_eq!(form, LayerForm::Unpacked);
        let directory = fixture.directory(&layer);
        assert_eq!(support::names(&directory), ["blobs", "layer.json", "tree"]);
        let root = fixture.open(&layer);
        assert_eq!(
            std::fs::read(root.join("sparse")).unwrap(),
            b"here\0\0\0\0tai\0\0\0\0\0"
        );
        assert_eq!(archive_of(&fixture.store, &layer.diff_id), tar);
        assert_eq!(fixture.drafts(), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_layer_that_cannot_be_mounted_is_unpacked_once() {
    let fixture = Fixture::of(FormPolicy::Indexed);
    let layer = bring(&fixture.store, &gzip(&archive())).unwrap();
    let index = fixture.directory(&layer).join("layer.erofs");
    let length = std::fs::metadata(&index).unwrap().len();
    for damage in [0, length / 3] {
        std::fs::File::options()
            .write(true)
            .open(&index)
            .unwrap()
            .set_len(damage)
            .unwrap();
        let root = fixture.open(&layer);
        assert_eq!(
            std::fs::read_to_string(root.join("link")).unwrap(),
            "content"
        );
        assert!(attribute(&root.join("opaque"), "trusted.overlay.opaque"));
        let first = std::fs::metadata(root.join("")).unwrap().ino();
        let again = fixture.open(&layer);
        assert_eq!(std::fs::metadata(again.join("")).unwrap().ino(), first);
        // Its archive is still the one that it came as.
        assert_eq!(archive_of(&fixture.store, &layer.diff_id), archive());
        assert_eq!(fixture.drafts(), Vec::<PathBuf>::new());
        std::fs::remove_dir_all(fixture.directory(&layer).join("tree")).unwrap();
    }
    // A tar that is no longer what it was is not unpacked.
    let tar = fixture.directory(&layer).join("layer.tar");
    let mut bytes = std::fs::read(&tar).unwrap();
    let at = bytes
        .windows(7)
        .position(|text| text == b"content")
        .unwrap();
    bytes[at] = b'k';
    std::fs::write(&tar, &bytes).unwrap();
    let error = fixture.store.open_layer(&layer.diff_id).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("layer.tar"), "{error}");
    assert!(!fixture.directory(&layer).join("tree").exists());
    assert_eq!(fixture.drafts(), Vec::<PathBuf>::new());
}

/// The same store, opened by root of a user namespace: as by an ordinary user.
#[test]
fn who_may_not_mount_reads_the_same() {
    if let Some(root) = std::env::var_os(ROOT) {
        let store = Store::open(Path::new(&root)).unwrap();
        assert_eq!(store.form_choice().form, LayerForm::Unpacked);
        assert!(store.form_choice().reason.contains("ordinary user"));
        let error = bring(&store.clone().with_form(FormPolicy::Indexed), &archive()).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        let opened = support::open(&store, &bring(&store, &archive()).unwrap());
        assert_eq!(std::fs::read(opened.join("dir/file")).unwrap(), b"content");
        assert!(attribute(&opened.join("opaque"), "user.overlay.opaque"));
        return;
    }
    let fixture = Fixture::of(FormPolicy::Indexed);
    let layer = bring(&fixture.store, &archive()).unwrap();
    fixture.store.sync().unwrap();
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "who_may_not_mount_reads_the_same", "--nocapture"])
        .env(ROOT, fixture.store.root())
        .output()
        .expect("unshare: apt-get install util-linux");
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    // What it made of it is nothing to us.
    let opened = fixture.open(&layer);
    assert!(attribute(&opened.join("opaque"), "trusted.overlay.opaque"));
    let names = support::names(&fixture.directory(&layer));
    assert_eq!(names.last().unwrap(), "tree-of-user");
}

/// The kernel mounts no image from a file in memory.
#[test]
fn another_file_system_gets_directories() {
    let memory = Tmpfs::new(c"size=8m");
    let store = Store::open(&memory.0.path().join("root")).unwrap();
    let choice = store.form_choice();
    assert_eq!(choice.form, LayerForm::Unpacked);
    assert!(
        choice.reason.contains("on the file system of"),
        "{choice:?}"
    );
    let layer = bring(&store, &archive()).unwrap();
    assert_eq!(store.form_of(&layer.diff_id).unwrap(), LayerForm::Unpacked);
    let forced = store.clone().with_form(FormPolicy::Indexed);
    let error = bring(&forced, &archive()).unwrap_err();
    assert!(matches!(error, StoreError::NotIndexed { .. }), "{error}");
    assert!(error.hints()[0].contains("HOIST_LAYER_FORM"));
}

/// An ext4 of its own in a file, unmounted at the end.
struct Disk {
    _home: tempfile::TempDir,
    point: PathBuf,
}

impl Disk {
    fn new(megabytes: u64) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (disk, point) = (home.path().join("disk"), home.path().join("point"));
        let file = std::fs::File::create(&disk).unwrap();
        file.set_len(megabytes << 20).unwrap();
        std::fs::create_dir(&point).unwrap();
        let run = |program: &str, arguments: &[&Path]| {
            let output = Command::new(program).args(arguments).output().unwrap();
            assert!(output.status.success(), "{program}: {output:?}");
        };
        run("mkfs.ext4", &[Path::new("-q"), &disk]);
        run("mount", &[Path::new("-oloop"), &disk, &point]);
        Self { _home: home, point }
    }

    fn store(&self) -> Store {
        let store = Store::open(&self.point.join("root")).unwrap();
        assert_eq!(store.form_choice().form, LayerForm::Indexed);
        store
    }

    fn unmount(&self, flags: UnmountFlags) -> Result<(), Errno> {
        rustix::mount::unmount(&self.point, flags)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.unmount(UnmountFlags::DETACH);
    }
}

/// A file system that can be unmounted at the end: nothing holds it.
#[test]
fn nothing_stays_mounted() {
    let disk = Disk::new(64);
    {
        let store = disk.store();
        let layer = bring(&store, &gzip(&archive())).unwrap();
        let opened = support::open(&store, &layer);
        let file = std::fs::File::open(opened.join("link")).unwrap();
        drop(opened);
        assert_eq!(std::io::read_to_string(file).unwrap(), "content");
        let id = store.put_image(&image("1", &[&layer])).unwrap();
        store.tag(&support::reference("app"), &id).unwrap();
        store.sync().unwrap();
    }
    // What was open is let go of a moment later.
    while disk.unmount(UnmountFlags::empty()) == Err(Errno::BUSY) {
        std::thread::yield_now();
    }
    assert!(support::names(&disk.point).is_empty(), "it is unmounted");
}

#[test]
fn a_full_disk_is_told_with_the_file_and_leaves_nothing() {
    let disk = Disk::new(24);
    let store = disk.store();
    let big = Tar::default().entry(b'0', "big", "", &vec![b'x'; 64 << 20]);
    let error = bring(&store, &gzip(&big.finish())).unwrap_err();
    assert!(error.to_string().starts_with("cannot write /"), "{error}");
    assert!(error.to_string().ends_with("/layer.tar"), "{error}");
    assert!(error.hints()[0].starts_with("Free some space"));
    for directory in ["layers", "blobs/sha256"] {
        let names = support::names(&disk.point.join("root").join(directory));
        assert_eq!(names, [""; 0], "{directory}");
    }
    let layer = bring(&store, &gzip(&archive())).unwrap();
    support::open(&store, &layer);
}

/// What is open stays readable when the layer goes.
#[test]
fn a_layer_can_be_removed_while_it_is_read() {
    let fixture = Fixture::of(FormPolicy::Indexed);
    let layer = bring(&fixture.reopened(), &gzip(&archive())).unwrap();
    let opened = fixture.open(&layer);
    let freed = fixture.store.collect_garbage(&[], &[]).unwrap();
    assert_eq!(freed.layers, 1);
    assert_eq!(fixture.names("layers"), [""; 0]);
    let file = std::fs::read_to_string(opened.join("dir/file")).unwrap();
    assert_eq!(file, "content");
    let error = fixture.store.open_layer(&layer.diff_id).unwrap_err();
    assert!(matches!(error, StoreError::NoSuchLayer(_)), "{error}");
}

#[test]
fn two_at_once_get_one_layer() {
    let fixture = Fixture::of(FormPolicy::Indexed);
    let policies = [
        FormPolicy::Indexed,
        FormPolicy::Unpacked,
        FormPolicy::Indexed,
    ];
    std::thread::scope(|scope| {
        for policy in policies {
            let store = fixture.reopened().with_form(policy);
            scope.spawn(move || {
                let layer = bring(&store, &gzip(&archive())).unwrap();
                let opened = support::open(&store, &layer);
                assert_eq!(std::fs::read(opened.join("link")).unwrap(), b"content");
            });
        }
    });
    assert_eq!(fixture.names("layers"), [Digest::of(&archive()).hex()]);
    assert_eq!(fixture.drafts(), Vec::<PathBuf>::new());
}

/// After a power cut, an indexed layer that no sync confirmed is no layer; brought again, in whatever
/// form, it is one.
#[test]
fn what_no_sync_confirmed_is_brought_again() {
    for policy in [FormPolicy::Indexed, FormPolicy::Unpacked] {
        let fixture = Fixture::of(FormPolicy::Indexed);
        let layer = bring(&fixture.store, &gzip(&archive())).unwrap();
        let record = fixture.directory(&layer).join("layer.json");
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let text = std::fs::read_to_string(&record).unwrap();
        std::fs::write(&record, text.replace(boot.trim(), "another boot")).unwrap();
        let tar = fixture.directory(&layer).join("layer.tar");
        std::fs::write(tar, "torn").unwrap();
        let store = fixture.reopened().with_form(policy);
        let error = store.open_layer(&layer.diff_id).unwrap_err();
        assert!(matches!(error, StoreError::Unfinished { .. }), "{error}");
        assert_eq!(bring(&store, &gzip(&archive())).unwrap(), layer);
        assert_eq!(archive_of(&store, &layer.diff_id), archive());
        store.sync().unwrap();
        let text = std::fs::read_to_string(&record).unwrap();
        assert!(!text.contains("unsynced"), "{text}");
        support::open(&store, &layer);
    }
}
