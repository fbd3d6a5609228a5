//! Archives from people who mean harm: nothing outside the layer is touched, the entry is named,
//! nothing is left behind.

#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::path::PathBuf;

use hoist_core::{Describe, Kind};
use hoist_store::{FormPolicy, Layer, StoreError};
use support::{Fixture, Opened, Tar};

/// Layers from elsewhere come in both forms, as they are or compressed.
const WAYS: [(FormPolicy, bool); 3] = [
    (FormPolicy::Unpacked, false),
    (FormPolicy::Indexed, false),
    (FormPolicy::Indexed, true),
];

fn bring(fixture: &Fixture, tar: &[u8], way: (FormPolicy, bool)) -> Result<Layer, StoreError> {
    let store = fixture.with_form(way.0);
    let draft = store.begin_blob().unwrap();
    let blob = if way.1 {
        support::gzip(tar)
    } else {
        tar.to_vec()
    };
    store.import_layer(draft, blob.as_slice(), "a tar", None)
}

/// Refused in every form, and in the same words.
fn refused(fixture: &Fixture, tar: Tar) -> String {
    let bytes = tar.finish();
    let error = fixture.store.import_tar(bytes.as_slice()).unwrap_err();
    let expected = hoist_core::error::chain(&error);
    for way in WAYS {
        let error = bring(fixture, &bytes, way).unwrap_err();
        let found = hoist_core::error::chain(&error);
        let ending = |text: &str| text.rsplit(": ").next().unwrap().to_owned();
        assert_eq!(ending(&found), ending(&expected), "{way:?}: {found}");
        for directory in ["layers", "blobs/sha256"] {
            assert_eq!(fixture.names(directory), [""; 0], "{directory}");
        }
    }
    assert_eq!(fixture.drafts(), Vec::<PathBuf>::new());
    assert_eq!(fixture.names(".."), ["root"], "nothing beside the store");
    expected
}

/// A layer in a store of its own.
struct Taken {
    _fixture: Fixture,
    layer: Layer,
    root: Opened,
}

/// The layer of the archive by every way.
fn taken(tar: Tar) -> Vec<Taken> {
    let bytes = tar.finish();
    let of = |fixture: Fixture, layer: Layer| {
        let root = fixture.open(&layer);
        Taken {
            _fixture: fixture,
            layer,
            root,
        }
    };
    let fixture = Fixture::new();
    let layer = fixture.store.import_tar(bytes.as_slice()).unwrap();
    let mut all = vec![of(fixture, layer)];
    for way in WAYS {
        let fixture = Fixture::new();
        let layer = bring(&fixture, &bytes, way).unwrap();
        let archive = support::archive_of(&fixture.store, &layer.diff_id);
        assert_eq!(archive, bytes, "{way:?}");
        all.push(of(fixture, layer));
    }
    all
}

fn all_refused(table: Vec<(Tar, &str)>) {
    let fixture = Fixture::new();
    for (tar, expected) in table {
        let found = refused(&fixture, tar);
        assert!(found.contains(expected), "{found:?} lacks {expected:?}");
    }
}

#[test]
fn paths_out_of_the_layer_are_refused() {
    let tar = Tar::default;
    all_refused(vec![
        (
            tar().file("../evil", ""),
            "archive entry \"../evil\": its path has a '..'",
        ),
        (
            tar().file("a/../../evil", ""),
            "archive entry \"a/../../evil\": its path has a '..'",
        ),
        (
            tar().pax("path", b"../x").file("x", ""),
            "archive entry \"../x\": its path has a '..'",
        ),
        (
            tar().pax("path", b"a\0b").file("x", ""),
            "its path has a zero byte",
        ),
        (
            tar().pax("path", &[b'x'; 256]).file("x", ""),
            "File name too long",
        ),
        (
            tar().file("file", "").file("file/below", ""),
            "archive entry \"file/below\": a part of its path is not a directory",
        ),
        (
            tar().symlink("loop", "loop").file("loop/x", ""),
            "archive entry \"loop/x\": a part of its path is a loop of links",
        ),
        (
            tar().symlink("nowhere", "missing").file("nowhere/x", ""),
            "archive entry \"nowhere/x\": a part of its path is a link to nowhere",
        ),
        (
            tar().symlink(".", "x"),
            "archive entry \".\": the root of a layer is a directory",
        ),
        (
            tar().file(".wh.", ""),
            "archive entry \".wh.\": it deletes no file",
        ),
        (
            tar().file("a/.wh...", ""),
            "archive entry \"a/.wh...\": it deletes no file",
        ),
        (
            tar().file("a/.wh..", ""),
            "archive entry \"a/.wh..\": it deletes no file",
        ),
    ]);
}

#[test]
fn links_to_what_is_not_in_the_layer_are_refused() {
    let tar = Tar::default;
    let file = tempfile::NamedTempFile::new().unwrap();
    let outside = file.path().to_str().unwrap();
    all_refused(vec![
        (
            tar().hard_link("link", "../../../secret"),
            "archive entry \"link\": the file \"../../../secret\" that it links to has a '..'",
        ),
        (
            tar().hard_link("link", outside),
            "that it links to is not in the archive before it",
        ),
        (
            tar().symlink("up", "../..").hard_link("link", "up/secret"),
            "the file \"up/secret\" that it links to is not in the archive before it",
        ),
        (
            tar().hard_link("self", "self"),
            "that it links to is not a file",
        ),
        (
            tar().hard_link("link", "."),
            "that it links to is not a file",
        ),
        (
            tar().directory("dir").hard_link("link", "dir"),
            "cannot create",
        ),
        (
            tar().symlink("link", ""),
            "archive entry \"link\": cannot create",
        ),
        (
            tar().pax("linkpath", b"a\0b").symlink("x", "y"),
            "archive entry \"x\": its link has a zero byte",
        ),
    ]);
}

#[test]
fn numbers_and_types_that_mean_nothing_are_refused() {
    let tar = Tar::default;
    all_refused(vec![
        (
            tar().pax("uid", b"4294967295").file("x", ""),
            "archive entry \"x\": its user id is not a number below 4294967295",
        ),
        (
            tar().pax("uid", b"-1").file("x", ""),
            "its user id is not a number",
        ),
        (
            tar().pax("gid", b"root").file("x", ""),
            "its group id is not a number",
        ),
        (
            tar().pax("mtime", b"noon").file("x", ""),
            "its modification time is not a number",
        ),
        (
            tar().pax("size", b"-1").file("x", ""),
            "archive entry \"x\": its size is not a number",
        ),
        (
            tar().pax("size", b"99999999999999").file("x", ""),
            "cannot read the archive after",
        ),
        (
            tar().entry(b'Z', "odd", "", b""),
            "archive entry \"odd\": its type 'Z' is not known",
        ),
    ]);
}

/// As with Docker, where the file system does not know an attribute, or the name ends in a slash.
#[test]
fn what_is_merely_odd_is_taken() {
    let tar = Tar::default()
        .entry(b'0', "./", "", b"")
        .pax("SCHILY.xattr.system.none", b"1")
        .file("/absolute//name", "x")
        .pax("SCHILY.xattr.nonsense", b"1")
        .file("./x", "");
    for Taken { root, .. } in taken(tar) {
        assert_eq!(support::names(&root.join("")), ["absolute", "x"]);
    }
}

#[test]
fn links_that_point_out_lead_back_into_the_layer() {
    let home = tempfile::tempdir().unwrap();
    let victim = home.path().join("victim");
    std::fs::create_dir(&victim).unwrap();
    std::fs::write(victim.join("file"), "untouched").unwrap();
    let target = victim.to_str().unwrap();
    let below = target.trim_start_matches('/');
    let tar = Tar::default()
        .directory(below)
        .symlink("absolute", target)
        .symlink("relative", &format!("../../../../../../../..{target}"))
        .file("absolute/file", "inside")
        .file("relative/other", "inside")
        .file(".wh..wh.plnk", "aufs keeps its own things here");
    for Taken { root, .. } in taken(tar) {
        assert_eq!(support::names(&root.join(below)), ["file", "other"]);
    }
    assert_eq!(support::names(&victim), ["file"]);
    assert_eq!(
        std::fs::read_to_string(victim.join("file")).unwrap(),
        "untouched"
    );
}

#[test]
fn the_last_component_is_never_followed() {
    let home = tempfile::tempdir().unwrap();
    let victim = home.path().join("victim");
    std::fs::write(&victim, "untouched").unwrap();
    let target = victim.to_str().unwrap();
    let tar = |next: fn(Tar) -> Tar| next(Tar::default().symlink("link", target));
    for tar in [
        tar(|tar| tar.file("link", "content")),
        tar(|tar| tar.directory("link/").file("link/x", "")),
        tar(|tar| tar.device("link", 1, 3)),
        tar(|tar| tar.symlink("link", "elsewhere")),
        tar(|tar| tar.file("other", "").hard_link("link", "other")),
        tar(|tar| tar.hard_link("again", "link")),
        tar(|tar| tar.file(".wh.link", "")),
    ] {
        taken(tar);
    }
    let stat = std::fs::symlink_metadata(&victim).unwrap();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
    assert_eq!(std::os::unix::fs::MetadataExt::nlink(&stat), 1);
}

#[test]
fn later_entries_replace_earlier_ones() {
    let tar = Tar::default()
        .file("a", "first")
        .file("a", "second")
        .file("dir/deep/file", "gone")
        .file("dir", "a file now")
        .file("tree/x", "kept")
        .directory("tree/")
        .file("tree/y", "kept")
        .symlink("swap", "tree")
        .file("swap/through", "in tree")
        .directory("swap")
        .file("swap/own", "in swap");
    for Taken { root, .. } in taken(tar) {
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
        assert_eq!(read("a"), "second");
        assert_eq!(read("dir"), "a file now");
        assert_eq!(support::names(&root.join("tree")), ["through", "x", "y"]);
        assert_eq!(support::names(&root.join("swap")), ["own"]);
    }
}

/// A whiteout is about the layers below, wherever it stands among the entries of its own.
#[test]
fn whiteouts_hide_lower_layers_only() {
    let opaque = |root: &Opened, path: &str| {
        let mut value = [0; 8];
        let name = "trusted.overlay.opaque";
        rustix::fs::lgetxattr(root.join(path), name, &mut value[..]).is_ok()
    };
    let before = Tar::default()
        .file(".wh.dir", "")
        .file("dir/x", "")
        .file(".wh.file", "")
        .file("file", "new");
    let after = Tar::default()
        .file("dir/x", "")
        .file(".wh.dir", "")
        .file("file", "new")
        .file(".wh.file", "");
    let (before, after) = (taken(before), taken(after));
    for Taken { root, .. } in before.iter().chain(&after) {
        let file = std::fs::read_to_string(root.join("file")).unwrap();
        assert_eq!(file, "new");
        // A file that only implies its directory still makes it one that hides.
        assert!(opaque(root, "dir"));
    }
    assert_eq!(before[0].layer.diff_id, after[0].layer.diff_id);
}

/// With overlayfs' own attributes an archive could speak about other layers.
#[test]
fn attributes_of_overlayfs_are_dropped() {
    let tar = Tar::default()
        .pax("SCHILY.xattr.trusted.overlay.redirect", b"/etc")
        .directory("a/")
        .pax("SCHILY.xattr.user.overlay.metacopy", b"")
        .file("b", "");
    let mut names = [0; 256];
    for Taken { root, .. } in taken(tar) {
        for path in ["a", "b"] {
            let listed = rustix::fs::llistxattr(root.join(path), &mut names[..]).unwrap();
            assert_eq!(listed, 0, "{path}");
        }
    }
}

#[test]
fn what_is_no_archive_is_named() {
    let fixture = Fixture::new();
    let tar = Tar::default().file("file", "content").finish();
    let packed = support::gzip(&tar);
    let table: [(&[u8], &str); 5] = [
        (b"", "not a readable archive at byte 0: it is empty"),
        (b"<html>", "cannot read the archive after 0 bytes"),
        (
            &[b'<'; 2000],
            "not a readable archive at byte 0: it is not a tar archive",
        ),
        (&packed[..packed.len() - 4], "cannot read the archive after"),
        (&tar[..515], "cannot read the archive after 515 bytes"),
    ];
    for (bytes, expected) in table {
        let error = fixture.store.import_tar(bytes).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
        assert!(matches!(error.kind(), Kind::Invalid | Kind::Unavailable));
    }
    let mut damaged = packed.clone();
    let middle = damaged.len() - 6;
    damaged[middle] ^= 1;
    fixture.store.import_tar(damaged.as_slice()).unwrap_err();
    assert_eq!(fixture.drafts(), Vec::<PathBuf>::new());
    fixture.store.import_tar(packed.as_slice()).unwrap();
}
