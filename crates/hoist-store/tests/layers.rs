//! Layers: what goes in comes out, whatever it is, and the digest says so.

#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::{
    collections::BTreeMap,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
};

use hoist_core::{Describe, Digest, Digester, Kind};
use hoist_store::{OverlayXattrs, Store, StoreError};
use proptest::prelude::*;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use support::{Fixture, Tar, Tmpfs, archive_of, gzip};

fn whiteout(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
}

fn date(path: &Path, seconds: i64) {
    let at = Timespec {
        tv_sec: seconds,
        tv_nsec: 987_654_321,
    };
    let times = Timestamps {
        last_access: at,
        last_modification: at,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1024];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

/// A tree with one of everything.
fn fill(root: &Path) {
    std::fs::create_dir_all(root.join("etc/opaque")).unwrap();
    std::fs::create_dir(root.join("tmp")).unwrap();
    std::fs::set_permissions(root.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    std::fs::hard_link(root.join("etc/passwd"), root.join("etc/zz-link")).unwrap();
    std::fs::write(root.join("etc-file"), "").unwrap();
    symlink("/etc/passwd", root.join("etc/absolute")).unwrap();
    symlink("../../../outside", root.join("etc/upwards")).unwrap();
    std::fs::write(root.join("su"), "elf").unwrap();
    std::os::unix::fs::chown(root.join("su"), Some(3_000_000), Some(8)).unwrap();
    std::fs::set_permissions(root.join("su"), PermissionsExt::from_mode(0o4755)).unwrap();
    std::fs::write(root.join("ping"), "elf").unwrap();
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    set_xattr(&root.join("ping"), "security.capability", capability);
    set_xattr(&root.join("ping"), "user.note", b"binary \0 and = and \n");
    set_xattr(&root.join("etc/opaque"), "trusted.overlay.opaque", b"y");
    set_xattr(
        &root.join("etc/opaque"),
        "trusted.overlay.origin",
        b"handle",
    );
    whiteout(&root.join("etc/gone"));
    let null = rustix::fs::makedev(1, 3);
    let kind = FileType::CharacterDevice;
    rustix::fs::mknodat(
        CWD,
        root.join("null"),
        kind,
        Mode::from_raw_mode(0o666),
        null,
    )
    .unwrap();
    let fifo = root.join("pipe");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
    let long = root.join("d".repeat(200));
    std::fs::create_dir(&long).unwrap();
    std::fs::write(long.join("f".repeat(200)), "long").unwrap();
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
    date(&root.join("etc-file"), -5);
    date(&root.join("etc/absolute"), 1_000_000_000);
    for directory in ["etc/opaque", "etc", "tmp"] {
        date(&root.join(directory), 1_700_000_000);
    }
}

#[test]
fn a_tree_with_everything_survives_the_archive_and_keeps_its_digest() {
    let fixture = Fixture::new();
    assert_eq!(fixture.store.overlay_xattrs(), OverlayXattrs::Trusted);
    let draft = fixture.store.begin_layer().unwrap();
    fill(draft.path());
    let layer = draft.commit().unwrap();
    let archive = archive_of(&fixture.store, &layer.diff_id);
    assert_eq!(layer.size, 22 + 3 + 3 + 4);

    let other = Fixture::new();
    for packed in [archive.clone(), gzip(&archive)] {
        let copy = other.store.import_tar(packed.as_slice()).unwrap();
        assert_eq!((copy.diff_id, copy.size), (layer.diff_id, layer.size));
    }
    let root = other.open(&layer);
    let stat = |path: &str| std::fs::symlink_metadata(root.join(path)).unwrap();
    assert_eq!(stat("su").mode() & 0o7777, 0o4755);
    assert_eq!((stat("su").uid(), stat("su").gid()), (3_000_000, 8));
    assert_eq!(stat("tmp").mode() & 0o7777, 0o1777);
    assert_eq!(
        (stat("etc-file").mtime(), stat("etc-file").mtime_nsec()),
        (-5, 0)
    );
    assert_eq!(stat("etc").mtime(), 1_700_000_000);
    assert_eq!(stat("etc/absolute").mtime(), 1_000_000_000);
    assert_eq!(stat("etc/passwd").ino(), stat("etc/zz-link").ino());
    assert_eq!(stat("etc/gone").rdev(), 0);
    assert_eq!(stat("null").rdev(), rustix::fs::makedev(1, 3));
    assert_eq!(stat("null").mode() & 0o777, 0o666 & stat("null").mode());
    let opaque = root.join("etc/opaque");
    assert_eq!(
        xattr(&opaque, "trusted.overlay.opaque").as_deref(),
        Some(&b"y"[..])
    );
    assert_eq!(xattr(&opaque, "trusted.overlay.origin"), None);
    assert_eq!(
        xattr(&root.join("ping"), "security.capability")
            .unwrap()
            .len(),
        20
    );
    assert_eq!(
        xattr(&root.join("ping"), "user.note").unwrap(),
        b"binary \0 and = and \n"
    );
    let target = std::fs::read_link(root.join("etc/upwards")).unwrap();
    assert_eq!(target, Path::new("../../../outside"));
    assert!(!root.join("socket").exists());
}

/// The bytes of an archive are a promise: a changed digest here breaks every shared cache.
#[test]
fn the_archive_is_what_gnu_tar_understands_and_its_bytes_never_change() {
    let fixture = Fixture::new();
    let tar = Tar::default()
        .directory("./")
        .file("b/file", "content")
        .directory("b/")
        .hard_link("b/link", "b/file")
        .symlink("a", "b/file")
        .file("b-after", "")
        .file(".wh.gone", "")
        .file("b/.wh..wh..opq", "")
        .device("tty", 4, 1)
        .finish();
    let layer = fixture.store.import_tar(tar.as_slice()).unwrap();
    let archive = archive_of(&fixture.store, &layer.diff_id);
    insta::assert_snapshot!(layer.diff_id, @"sha256:dff3df0bd1374aa3ae4ba73df4008b79bba18fb8ca28b6a0a0dfa50977626291");
    let mut child = Command::new("tar")
        .args([
            "--list",
            "--verbose",
            "--numeric-owner",
            "--utc",
            "--file=-",
        ])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("GNU tar: apt-get install tar");
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, &archive).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @"
    lrwxrwxrwx 0/0               0 1970-01-01 00:00 a -> b/file
    drwxr-xr-x 0/0               0 1970-01-01 00:00 b/
    ---------- 0/0               0 1970-01-01 00:00 b/.wh..wh..opq
    -rwxr-xr-x 0/0               7 1970-01-01 00:00 b/file
    hrwxr-xr-x 0/0               0 1970-01-01 00:00 b/link link to b/file
    -rwxr-xr-x 0/0               0 1970-01-01 00:00 b-after
    ---------- 0/0               0 1970-01-01 00:00 .wh.gone
    crwxr-xr-x 0/0             4,1 1970-01-01 00:00 tty
    ");
}

/// Archives of GNU tar, with its own extensions, give the layer of the tree that it packed.
#[test]
fn gnu_tar_of_a_layer_is_the_same_layer() {
    let fixture = Fixture::new();
    let draft = fixture.store.begin_layer().unwrap();
    std::fs::create_dir(draft.path().join("d".repeat(120))).unwrap();
    std::fs::write(
        draft.path().join("d".repeat(120)).join("f".repeat(120)),
        "x",
    )
    .unwrap();
    let sparse = std::fs::File::create(draft.path().join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_at(&sparse, b"data", 1 << 20).unwrap();
    sparse.set_len(1 << 21).unwrap();
    set_xattr(&draft.path().join("sparse"), "user.a", b"1");
    let layer = draft.commit().unwrap();
    for (format, sparse) in [
        ("gnu", true),
        ("posix", true),
        ("posix", false),
        ("pax", false),
    ] {
        let mut command = Command::new("tar");
        command.args(["--create", "--file=-", "--sort=inode", "--directory"]);
        command.arg(fixture.directory(&layer).join("tree"));
        command.arg(format!("--format={format}"));
        if sparse {
            command.arg("--sparse");
        }
        if format != "gnu" {
            command.args(["--xattrs", "--xattrs-include=user.*"]);
        }
        let output = command
            .arg(".")
            .output()
            .expect("GNU tar: apt-get install tar");
        assert!(output.status.success(), "{output:?}");
        let copy = fixture.store.import_tar(output.stdout.as_slice()).unwrap();
        if format == "gnu" {
            let content = std::fs::read(fixture.open(&copy).join("sparse")).unwrap();
            assert_eq!(
                (content.len(), &content[1 << 20..][..4]),
                (1 << 21, &b"data"[..])
            );
        } else {
            assert_eq!(copy.diff_id, layer.diff_id, "{format} {sparse}");
        }
    }
}

#[test]
fn the_same_tree_twice_is_one_layer() {
    let fixture = Fixture::new();
    let first = fixture.layer("same");
    let second = fixture.layer("same");
    let third = support::layer(&fixture.reopened(), "same");
    assert_eq!((&first, &first), (&second, &third));
    assert_ne!(first.diff_id, fixture.layer("different").diff_id);
    assert_eq!(fixture.drafts(), Vec::<std::path::PathBuf>::new());
    assert!(fixture.store.has_layer(&first.diff_id).unwrap());
    let unknown = Digest::of(b"unknown");
    assert!(!fixture.store.has_layer(&unknown).unwrap());
    let error = fixture.store.layer(&unknown).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[test]
fn a_dropped_draft_leaves_nothing() {
    let fixture = Fixture::new();
    let draft = fixture.store.begin_layer().unwrap();
    fill(draft.path());
    std::fs::write(draft.work().join("x"), "").unwrap();
    drop(draft);
    assert_eq!(fixture.drafts(), Vec::<std::path::PathBuf>::new());
    let Fixture { home, store } = fixture;
    drop(store);
    assert_eq!(
        support::names(&home.path().join("root/drafts")),
        Vec::<String>::new()
    );
}

/// The upper directory of a real overlay is the layer: deletions, replacements, renames.
#[test]
fn an_overlay_upper_directory_becomes_the_layer() {
    let fixture = Fixture::new();
    let base = Tar::default()
        .directory("dir/")
        .file("dir/old", "old")
        .file("file", "x")
        .directory("kept/")
        .finish();
    let base = fixture.store.import_tar(base.as_slice()).unwrap();
    let draft = fixture.store.begin_layer().unwrap();
    let point = tempfile::tempdir().unwrap();
    struct Overlay<'a>(&'a Path);
    impl Drop for Overlay<'_> {
        fn drop(&mut self) {
            let _ = rustix::mount::unmount(self.0, rustix::mount::UnmountFlags::DETACH);
        }
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={},redirect_dir=off,metacopy=off",
        fixture.directory(&base).join("tree").display(),
        draft.path().display(),
        draft.work().display()
    );
    let options = std::ffi::CString::new(options).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount(
        "overlay",
        point.path(),
        "overlay",
        flags,
        options.as_c_str(),
    )
    .unwrap();
    let mounted = Overlay(point.path());
    std::fs::remove_file(point.path().join("file")).unwrap();
    std::fs::remove_dir_all(point.path().join("dir")).unwrap();
    std::fs::create_dir(point.path().join("dir")).unwrap();
    std::fs::write(point.path().join("dir/new"), "new").unwrap();
    drop(mounted);
    let layer = draft.commit().unwrap();
    let archive = archive_of(&fixture.store, &layer.diff_id);
    let mut entries: Vec<String> = Vec::new();
    for block in archive
        .chunks(512)
        .filter(|block| &block[257..262] == b"ustar")
    {
        let name = block[..100].split(|&byte| byte == 0).next().unwrap();
        entries.push(String::from_utf8(name.to_vec()).unwrap());
    }
    assert_eq!(entries, ["dir/", "dir/.wh..wh..opq", "dir/new", ".wh.file"]);
}

#[test]
fn what_cannot_be_in_a_layer_is_refused_by_name() {
    let fixture = Fixture::new();
    let refuse = |fill: &dyn Fn(&Path)| {
        let draft = fixture.store.begin_layer().unwrap();
        fill(draft.path());
        let error = draft.commit().unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        error.to_string()
    };
    let message = refuse(&|root| std::fs::write(root.join(".wh.x"), "").unwrap());
    assert!(
        message.contains("/tree/.wh.x cannot be part of a layer"),
        "{message}"
    );
    let message = refuse(&|root| {
        std::fs::create_dir(root.join("moved")).unwrap();
        set_xattr(&root.join("moved"), "trusted.overlay.redirect", b"/etc");
    });
    assert!(message.contains("redirect_dir=off"), "{message}");
    assert_eq!(fixture.drafts(), Vec::<std::path::PathBuf>::new());
    assert_eq!(fixture.names("layers"), Vec::<String>::new());
}

#[test]
fn a_layer_may_be_deeper_than_any_path() {
    let fixture = Fixture::new();
    let draft = fixture.store.begin_layer().unwrap();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut directory = rustix::fs::open(draft.path(), flags, Mode::empty()).unwrap();
    for depth in 0..2500 {
        rustix::fs::mkdirat(&directory, "d", Mode::RWXU).unwrap();
        directory = rustix::fs::openat(&directory, "d", flags, Mode::empty()).unwrap();
        let after = if depth % 100 == 0 { "e" } else { continue };
        rustix::fs::mkdirat(&directory, after, Mode::RWXU).unwrap();
    }
    drop(directory);
    let layer = draft.commit().unwrap();
    let mut digester = Digester::new();
    fixture
        .store
        .write_tar(&layer.diff_id, &mut digester)
        .unwrap();
    assert_eq!(digester.finish(), layer.diff_id);
    let Fixture { home, store } = fixture;
    drop(store);
    let store = Store::open(&home.path().join("root")).unwrap();
    assert_eq!(store.collect_garbage(&[], &[]).unwrap().layers, 1);
    drop(store);
    assert_eq!(
        support::names(&home.path().join("root/layers")),
        Vec::<String>::new()
    );
    home.close().unwrap();
}

#[test]
fn a_changed_layer_does_not_pass_for_itself() {
    let fixture = Fixture::new();
    let layer = fixture.layer("original");
    std::fs::write(fixture.directory(&layer).join("tree/file"), "tampered").unwrap();
    let error = fixture
        .store
        .write_tar(&layer.diff_id, std::io::sink())
        .unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(bytes.len())
            .ok_or(std::io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_receiver_that_stops_is_told_from_a_broken_store() {
    let fixture = Fixture::new();
    let layer = fixture.layer("some content");
    for room in [0, 512, 600, 1024, 1536] {
        let error = fixture
            .store
            .write_tar(&layer.diff_id, Full(room))
            .unwrap_err();
        assert!(
            matches!(error, StoreError::Output { .. }),
            "{room}: {error:?}"
        );
    }
}

#[test]
fn a_full_disk_is_told_with_the_path_and_leaves_nothing() {
    let disk = Tmpfs::new(c"size=1m");
    let store = Store::open(&disk.0.path().join("root")).unwrap();
    let big = Tar::default()
        .file("small", "fits")
        .entry(b'0', "dir/big", "", &vec![b'x'; 3 << 20])
        .finish();
    let error = store.import_tar(big.as_slice()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(
        error
            .to_string()
            .starts_with("archive entry \"dir/big\": cannot write /"),
        "{error}"
    );
    assert!(error.hints()[0].starts_with("Free some space"));
    let root = disk.0.path().join("root");
    assert_eq!(support::names(&root.join("layers")), Vec::<String>::new());
    let layer = support::layer(&store, "fits again");
    let filler = disk.0.path().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write(&mut file, &[0; 4096]).is_ok() {}
    let error = store
        .put_image(&support::image("x", &[&layer]))
        .unwrap_err();
    assert!(error.to_string().contains("blobs/sha256/"), "{error}");
    assert_eq!(
        support::names(&root.join("blobs/sha256")),
        Vec::<String>::new()
    );
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    store.put_image(&support::image("x", &[&layer])).unwrap();
    store.sync().unwrap();
}

/// After a power cut, a layer that no sync confirmed is no layer; made again, it is one.
#[test]
fn what_no_sync_confirmed_is_missing_after_another_boot() {
    let fixture = Fixture::new();
    let layer = fixture.layer("content");
    let id = fixture
        .store
        .put_image(&support::image("x", &[&layer]))
        .unwrap();
    let record = fixture.directory(&layer).join("layer.json");
    let image = fixture
        .store
        .root()
        .join(format!("images/{}.json", id.hex()));
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let reboot = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(boot.trim()), "{text}");
        std::fs::write(path, text.replace(boot.trim(), "another boot")).unwrap();
    };
    reboot(&record);
    reboot(&image);
    let after = fixture.reopened();
    assert!(!after.has_layer(&layer.diff_id).unwrap());
    for error in [
        after.layer(&layer.diff_id).unwrap_err(),
        after.image(&id).unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(
            error.to_string().ends_with("when the machine went down"),
            "{error}"
        );
    }
    assert_eq!(support::layer(&after, "content"), layer);
    assert_eq!(
        after.put_image(&support::image("x", &[&layer])).unwrap(),
        id
    );
    after.sync().unwrap();
    for path in [record, image] {
        assert!(!std::fs::read_to_string(path).unwrap().contains("unsynced"));
    }
    after.image(&id).unwrap();
}

/// What a random entry is.
#[derive(Debug, Clone)]
enum Kind_ {
    File(Vec<u8>),
    Directory { opaque: bool },
    Symlink(String),
    HardLink(prop::sample::Index),
    Whiteout,
    Fifo,
}

#[derive(Debug, Clone)]
struct Node {
    kind: Kind_,
    mode: u32,
    owner: (u32, u32),
    modified: i64,
    xattr: Option<Vec<u8>>,
}

fn nodes() -> impl Strategy<Value = BTreeMap<String, Node>> {
    let kind = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..2000).prop_map(Kind_::File),
        4 => any::<bool>().prop_map(|opaque| Kind_::Directory { opaque }),
        2 => "[a-z/.]{1,150}".prop_map(Kind_::Symlink),
        2 => any::<prop::sample::Index>().prop_map(Kind_::HardLink),
        1 => Just(Kind_::Whiteout),
        1 => Just(Kind_::Fifo),
    ];
    let node = (
        kind,
        0_u32..0o10000,
        (0_u32..5_000_000, 0_u32..70_000),
        -1_000_000_000_i64..10_000_000_000,
        prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
    );
    let node = node.prop_map(|(kind, mode, owner, modified, xattr)| Node {
        kind,
        mode,
        owner,
        modified,
        xattr,
    });
    // Few names, so that entries meet; '-' and '.' sort around '/'.
    prop::collection::btree_map("([ab.-]{1,2}|é{60})x(/([ab.-]x|ü{70})){0,3}", node, 0..25)
}

fn build(root: &Path, nodes: &BTreeMap<String, Node>) {
    let mut files = Vec::new();
    let mut directories = Vec::new();
    for (path, node) in nodes {
        let path = root.join(path);
        let parent = path.parent().unwrap();
        if std::fs::create_dir_all(parent).is_err() || path.symlink_metadata().is_ok() {
            continue;
        }
        match &node.kind {
            Kind_::File(content) => {
                std::fs::write(&path, content).unwrap();
                files.push(path.clone());
            }
            Kind_::Directory { opaque } => {
                std::fs::create_dir(&path).unwrap();
                if *opaque {
                    set_xattr(&path, "trusted.overlay.opaque", b"y");
                }
                directories.push((path.clone(), node.modified));
            }
            Kind_::Symlink(target) => symlink(target, &path).unwrap(),
            Kind_::HardLink(_) if files.is_empty() => continue,
            Kind_::HardLink(index) => {
                std::fs::hard_link(index.get(&files), &path).unwrap();
                continue;
            }
            Kind_::Whiteout => {
                whiteout(&path);
                continue;
            }
            Kind_::Fifo => {
                rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
            }
        }
        let owner = (Uid::from_raw(node.owner.0), Gid::from_raw(node.owner.1));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(CWD, &path, Some(owner.0), Some(owner.1), flags).unwrap();
        if !matches!(node.kind, Kind_::Symlink(_)) {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(node.mode)).unwrap();
        }
        if let (Some(value), Kind_::File(_) | Kind_::Directory { .. }) = (&node.xattr, &node.kind) {
            set_xattr(&path, "user.random", value);
        }
        date(&path, node.modified);
    }
    for (path, modified) in directories {
        date(&path, modified);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_tree_survives_the_archive(nodes in nodes()) {
        let fixture = Fixture::new();
        let draft = fixture.store.begin_layer().unwrap();
        build(draft.path(), &nodes);
        let layer = draft.commit().unwrap();
        let archive = archive_of(&fixture.store, &layer.diff_id);
        let other = Fixture::new();
        let copy = other.store.import_tar(archive.as_slice()).unwrap();
        prop_assert_eq!(copy.diff_id, layer.diff_id);
        prop_assert_eq!(copy.size, layer.size);
    }
}

#[test]
fn what_a_process_made_is_taken_back_and_nothing_else() {
    let fixture = Fixture::new();
    let own = fixture.layer("own");
    let cached = fixture.layer("cached");
    let imaged = fixture.layer("imaged");
    let image = support::image("2026-01-01T00:00:00Z", &[&imaged]);
    fixture.store.put_image(&image).unwrap();
    let other = fixture.reopened();
    let shared = fixture.layer("shared");
    other.keep_layer(&shared.diff_id).unwrap();
    let sweep = fixture.store.begin_sweep().unwrap();
    assert_eq!(sweep.discard(&[cached.diff_id]).unwrap(), 1);
    let has = |layer: &hoist_store::Layer| other.has_layer(&layer.diff_id).unwrap();
    assert!(!has(&own));
    assert!(has(&cached) && has(&imaged) && has(&shared));
    // What is left is still this process's to rely on.
    drop(other);
    let third = fixture.reopened();
    third.collect_garbage(&[], &[]).unwrap();
    assert!(third.has_layer(&imaged.diff_id).unwrap());
    assert_eq!(fixture.store.image_id(&image).unwrap(), {
        fixture.store.put_image(&image).unwrap()
    });
}
