//! `system check` on data roots that were damaged, and what all other commands make of them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::archives::{config, manifest, sha256, tar};
use crate::layer_forms::hoist;
use crate::support::Sandbox;
use crate::support::registry::{Registry, Users};

/// Replaces a file: its inode may be shared with the data root that sandboxes are copied from.
fn replace(path: &Path, bytes: &[u8]) {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    fs::write(&name, bytes).expect("a file");
    fs::rename(&name, path).expect("a rename");
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() && entry.file_name() != "drafts" && entry.file_name() != "quarantine" {
            files(&entry.path(), found);
        } else if kind.is_file() && entry.metadata().is_ok_and(|data| data.len() > 0) {
            found.push(entry.path());
        }
    }
}

/// Numbers that look like chance, the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).expect("31 bits") % most
    }
}

#[test]
fn no_command_panics_on_a_damaged_root_and_every_damage_is_mended() {
    let sandbox = Sandbox::new();
    sandbox.hoist(&["create", "--name", "box", "busybox"]).ok();
    sandbox.hoist(&["save", "-o", "box.tar", "busybox"]).ok();
    let id = sandbox.inspect("busybox", "{{.Id}}");
    let mut chance = Chance(7);
    for round in 0..16 {
        let mut found = Vec::new();
        // Small files as often as the one large program of the image.
        let directories = [
            "names",
            "images",
            "blobs",
            "layers",
            "containers",
            "format.json",
        ];
        let directory = sandbox.root().join(directories[round % directories.len()]);
        if directory.is_dir() {
            files(&directory, &mut found);
        } else {
            found.push(directory);
        }
        found.sort();
        found.retain(|path| !path.ends_with("log"));
        let path = &found[chance.below(found.len())];
        let mut bytes = fs::read(path).expect("a file");
        let at = chance.below(bytes.len());
        bytes[at] ^= 0x55;
        replace(path, &bytes);
        let told = format!("round {round}: byte {at} of {}", path.display());
        let commands: &[&[&str]] = &[
            &["images", "--tree"],
            &["images"],
            &["ps", "-a"],
            &["inspect", "busybox"],
            &["inspect", "box"],
            &["history", "busybox"],
            &["image", "layers", "busybox"],
            &["image", "diff", "busybox", "box"],
            &["diff", "box"],
            &["export", "-o", "out.tar", "box"],
            &["save", "-o", "out.tar", "busybox"],
            &["run", "--rm", "busybox", "true"],
            &["system", "df", "-v"],
            &["system", "gc", "--dry-run"],
            &["image", "prune", "--dry-run"],
            &["info"],
        ];
        for command in commands {
            let run = sandbox.hoist(command);
            assert!(run.code <= 1 || run.code == 125, "{told}: {run}");
            run.never_says("panicked");
        }
        let check = sandbox.hoist(&["system", "check"]);
        // A change of a container's record that is as good as the first is no damage.
        let is_record = path.starts_with(sandbox.root().join("containers"));
        assert!(check.code == 1 || is_record, "{told}: {check}");
        let repair = sandbox.hoist(&["system", "check", "--repair"]);
        assert!(repair.code <= 1, "{told}: {repair}");
        sandbox.hoist(&["load", "-i", "box.tar"]).ok();
        if sandbox.hoist(&["inspect", "box"]).code != 0 {
            sandbox.hoist(&["system", "prune", "-f"]).ok();
            sandbox.hoist(&["create", "--name", "box", "busybox"]).ok();
        }
        let after = sandbox.hoist(&["system", "check"]);
        assert_eq!(after.code, 0, "{told}: {repair}\n{after}");
        assert_eq!(sandbox.inspect("busybox", "{{.Id}}"), id, "{told}");
        sandbox.hoist(&["run", "--rm", "busybox", "true"]).ok();
    }
}

#[test]
fn a_damaged_layer_names_images_and_containers_and_is_mended_by_a_load() {
    let sandbox = Sandbox::new();
    sandbox.hoist(&["tag", "busybox", "team/box:2"]).ok();
    sandbox.hoist(&["create", "--name", "box", "busybox"]).ok();
    sandbox.hoist(&["save", "-o", "box.tar", "busybox"]).ok();
    let layers = sandbox.inspect("busybox", "{{index .RootFS.Layers 0}}");
    let layer = sandbox.root().join("layers").join(&layers[7..]);
    replace(&layer.join("tree/etc/passwd"), b"root::0:0::/:/bin/sh\n");
    let check = sandbox.hoist(&["system", "check"]).fails(1);
    check
        .prints(&format!("layer {layers}: its files have the digest"))
        .prints("images: busybox:latest, team/box:2")
        .prints("containers: box")
        .prints("build, load or import busybox:latest again");
    let json = sandbox
        .hoist(&["system", "check", "--format", "json"])
        .fails(1);
    let document: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(document["Sound"], false);
    assert_eq!(document["Findings"][0]["Remedy"], "fetch");
    sandbox
        .hoist(&["system", "check", "--repair"])
        .fails(1)
        .prints("set aside: ");
    sandbox
        .hoist(&["start", "box"])
        .fails(1)
        .says("is not in the store")
        .says("hoist system check");
    sandbox
        .hoist(&["system", "check", "--quick"])
        .fails(1)
        .prints("it is missing");
    sandbox.hoist(&["load", "-i", "box.tar"]).ok();
    sandbox
        .hoist(&["system", "check"])
        .ok()
        .prints("everything is as it should be");
    sandbox.hoist(&["start", "box"]).ok();
    assert!(
        fs::read_dir(sandbox.root().join("quarantine"))
            .expect("it")
            .count()
            > 0
    );
    sandbox.hoist(&["system", "prune", "-f"]).ok();
    assert_eq!(
        fs::read_dir(sandbox.root().join("quarantine"))
            .expect("it")
            .count(),
        0
    );
}

#[test]
fn a_damaged_container_is_passed_over_by_lists_and_by_nothing_that_removes() {
    let sandbox = Sandbox::new();
    sandbox.hoist(&["create", "--name", "good", "busybox"]).ok();
    let id = sandbox.hoist(&["create", "--name", "bad", "busybox"]).ok();
    let id = id.text().to_owned();
    sandbox
        .hoist(&["create", "-v", "vol:/v", "--name", "third", "busybox"])
        .ok();
    let record = sandbox
        .root()
        .join("containers")
        .join(&id)
        .join("record.json");
    replace(&record, b"{\"id\": 5}\n");
    let list = sandbox.hoist(&["ps", "-a"]).ok();
    list.prints("good")
        .prints("third")
        .says(&format!("container {}", &id[..12]))
        .says("hoist system check");
    sandbox
        .hoist(&["image", "prune", "-af"])
        .fails(1)
        .says("record.json is damaged");
    sandbox.hoist(&["images", "-q"]).ok().prints("\n");
    let volume = sandbox.root().join("volumes/vol/volume.json");
    replace(&volume, b"{");
    let repair = sandbox.hoist(&["system", "check", "--repair"]).fails(1);
    repair
        .prints("set aside: ")
        .prints("volume vol: ")
        .prints("only you can say");
    assert_eq!(
        fs::read(&volume).expect("it"),
        b"{",
        "volumes are not touched"
    );
    sandbox
        .hoist(&["ps", "-a"])
        .ok()
        .prints("good")
        .never_says("damaged");
    fs::remove_file(&volume).expect("it");
    sandbox.hoist(&["system", "check"]).ok();
}

#[test]
fn the_root_of_another_user_says_whose_it_is() {
    let sandbox = Sandbox::of_user(&[]);
    let root = sandbox.path("root-of-root");
    fs::create_dir(&root).expect("a directory");
    fs::write(root.join("format.json"), "{}").expect("a file");
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&root, closed).expect("a mode");
    let mut images = sandbox.command(&["images"]);
    let output = images
        .env("HOIST_ROOT", &root)
        .output()
        .expect("hoist starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("belongs to another user") && said.contains("HOIST_ROOT"),
        "{said}"
    );
}

#[test]
fn what_came_from_a_registry_comes_from_there_again() {
    let sandbox = Sandbox::with(&[]);
    let registry = Registry::start(Users::Anybody);
    let name = registry.name("foreign:1");
    // In an order that hoist would not write: nothing but the blob can tell what the archive was.
    let layer = tar(&[("z", b"last"), ("a", b"first")]);
    let image = config("amd64", &sha256(&sandbox, &layer));
    let list = String::from_utf8(manifest("c.json", "l.tar")).expect("text");
    let list = list.replace("app:1", &name).into_bytes();
    let files_of = [
        ("c.json", &*image),
        ("l.tar", &layer),
        ("manifest.json", &list),
    ];
    fs::write(sandbox.path("foreign.tar"), tar(&files_of)).expect("an archive");
    // As directories: what a registry has can tell whether they are what they were.
    let brought = |arguments: &[&str]| hoist(&sandbox, "unpacked", arguments).ok();
    brought(&["load", "-i", "foreign.tar"]);
    sandbox.hoist(&["push", &name]).ok();
    sandbox.hoist(&["rmi", &name]).ok();
    sandbox.hoist(&["image", "prune", "-af"]).ok();
    brought(&["pull", &name]);
    sandbox.hoist(&["system", "check"]).ok();
    let root = sandbox.root();
    let layers = sandbox.inspect(&name, "{{index .RootFS.Layers 0}}");
    let layer = root.join("layers").join(&layers[7..]);
    let id = sandbox.inspect(&name, "{{.Id}}");
    let blobs = || -> Vec<PathBuf> {
        let mut found = Vec::new();
        files(&root.join("blobs/sha256"), &mut found);
        found.retain(|path| !path.ends_with(&id[7..]));
        found
    };

    // The blob is whole: the files come out of it again, without any registry.
    replace(&layer.join("tree/a"), b"changed");
    sandbox
        .hoist(&["system", "check"])
        .fails(1)
        .prints("not those of the archive");
    sandbox
        .hoist(&["system", "check", "--repair"])
        .ok()
        .prints("mended");
    assert_eq!(fs::read(layer.join("tree/a")).expect("a file"), b"first");

    // The blob is gone: the files stay and run, and the pull brings it.
    replace(&blobs()[0], b"no gzip");
    let advice = format!("hoist pull {name}");
    sandbox
        .hoist(&["system", "check"])
        .fails(1)
        .prints("is damaged");
    sandbox
        .hoist(&["system", "check", "--repair"])
        .fails(1)
        .prints(&advice);
    sandbox.hoist(&["image", "layers", &name]).ok();
    brought(&["pull", &name]);
    sandbox.hoist(&["system", "check"]).ok();
    assert_eq!(blobs().len(), 1);

    // The configuration is gone: so is the image, and its name knows where it was.
    replace(&root.join("blobs/sha256").join(&id[7..]), b"{}");
    sandbox
        .hoist(&["system", "check", "--repair"])
        .fails(1)
        .prints(&advice);
    sandbox.hoist(&["images", "-q"]).ok().stdout_is("");
    brought(&["pull", &name]);
    sandbox.hoist(&["system", "check"]).ok();
    assert_eq!(sandbox.inspect(&name, "{{.Id}}"), id);
}
