//! The store of an ordinary user: root of a user namespace, not of the host.

#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::{os::unix::fs::FileTypeExt, path::Path, process::Command};

use hoist_core::Describe;
use hoist_store::{OverlayXattrs, Store};
use support::{Tar, archive_of};

const ROOT: &str = "HOIST_STORE_TEST_ROOT";

fn child(root: &Path) {
    let store = Store::open(root).unwrap();
    assert_eq!(store.overlay_xattrs(), OverlayXattrs::User);
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let tar = Tar::default()
        .directory("dir/")
        .file("dir/.wh..wh..opq", "")
        .file("dir/.wh.gone", "")
        .device("dir/null", 1, 3)
        .pax("SCHILY.xattr.trusted.other", b"not ours to set")
        .pax("SCHILY.xattr.security.capability", capability)
        .file("dir/ping", "elf");
    let layer = store.import_tar(tar.finish().as_slice()).unwrap();
    let root = support::open(&store, &layer);
    let names = support::names(&root.join("dir"));
    assert_eq!(names, ["gone", "ping"], "devices are left to the runtime");
    let gone = std::fs::symlink_metadata(root.join("dir/gone")).unwrap();
    assert!(gone.file_type().is_char_device());
    let mut value = [0; 64];
    let mut xattr =
        |path: &str, name: &str| rustix::fs::lgetxattr(root.join(path), name, &mut value[..]).ok();
    assert_eq!(xattr("dir", "user.overlay.opaque"), Some(1));
    assert_eq!(xattr("dir/ping", "security.capability"), Some(20));
    let archive = archive_of(&store, &layer.diff_id);
    let foreign = Tar::default().pax("uid", b"33").file("theirs", "").finish();
    let error = store.import_tar(foreign.as_slice()).unwrap_err();
    assert!(error.hints()[0].contains("/etc/subuid"), "{error:?}");
    let again = store.import_tar(archive.as_slice()).unwrap();
    assert_eq!(again.diff_id, layer.diff_id);
}

#[test]
fn a_user_namespace_has_a_store_too() {
    if let Some(root) = std::env::var_os(ROOT) {
        return child(Path::new(&root));
    }
    let home = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_user_namespace_has_a_store_too", "--nocapture"])
        .env(ROOT, home.path().join("root"))
        .output()
        .expect("unshare: apt-get install util-linux");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}
