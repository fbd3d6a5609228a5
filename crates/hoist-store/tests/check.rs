//! Stores that are damaged from outside: everything is found, named, and mended.

#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use hoist_core::{Digest, image::Manifest};
use hoist_store::{
    CheckReport, Codec, Depth, Finding, FormPolicy, Layer, Mode, Outcome, Part, Remedy, Store,
    check_format,
};
use support::{Fixture, Tar, Tmpfs, image, reference};

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What the tests put into a store, and put again after a repair, as a pull and a build would.
fn fill(store: &Store) -> [Digest; 2] {
    let one = support::layer(store, "one");
    let two = support::layer(store, "the second layer");
    store
        .compress_layer(&two.diff_id, Codec::Gzip(6), &mut |_| ())
        .unwrap();
    let own = store
        .put_image(&image("2024-01-01T00:00:00Z", &[&one, &two]))
        .unwrap();
    store.tag(&reference("own:1"), &own).unwrap();
    store.tag(&reference("team.example/own:2"), &own).unwrap();

    let mut layers = Vec::new();
    for name in ["etc", "usr"] {
        // Times in an order that hoist would not write: the layer is somebody else's.
        let tar = Tar::default()
            .file(&format!("{name}/z"), "last")
            .file(&format!("{name}/a"), &"first ".repeat(300))
            .symlink(&format!("{name}/link"), "a")
            .finish();
        let blob = support::gzip(&tar);
        let draft = store.begin_blob().unwrap();
        let expected = Digest::of(&tar);
        if !store.has_layer(&expected).unwrap() {
            store
                .import_layer(draft, blob.as_slice(), GZIP, Some(&expected))
                .unwrap();
        }
        layers.push(store.layer(&expected).unwrap());
    }
    let mut foreign = image("2024-02-02T00:00:00Z", &layers.iter().collect::<Vec<_>>());
    foreign.config.labels.insert("a".to_owned(), "b".to_owned());
    let id = store.put_image(&foreign).unwrap();
    store.tag(&reference("foreign"), &id).unwrap();
    let config = serde_json::to_vec(&foreign).unwrap();
    store
        .put_manifest(&id, &manifest(store, &config, &foreign.rootfs.diff_ids))
        .unwrap();
    store.sync().unwrap();
    [own, id]
}

fn manifest(store: &Store, config: &[u8], layers: &[Digest]) -> Vec<u8> {
    let descriptor = |media_type: &str, digest, size| hoist_core::image::Descriptor {
        media_type: media_type.to_owned(),
        digest,
        size,
        platform: None,
        annotations: std::collections::BTreeMap::new(),
    };
    let layers = layers.iter().map(|layer| {
        let blob = store.layer_blobs(layer).unwrap().remove(0);
        descriptor(&blob.media_type, blob.digest, blob.size)
    });
    serde_json::to_vec(&Manifest {
        schema_version: 2,
        media_type: None,
        config: descriptor(
            "application/vnd.oci.image.config.v1+json",
            Digest::of(config),
            config.len() as u64,
        ),
        layers: layers.collect(),
        annotations: std::collections::BTreeMap::new(),
    })
    .unwrap()
}

/// The directory of an unpacked layer.
fn tree(store: &Store, layer: &Layer) -> PathBuf {
    store.layer_directory(&layer.diff_id).unwrap()
}

fn check(store: &Store, mode: Mode) -> CheckReport {
    store.check(Depth::Content, mode, &mut |_| ()).unwrap()
}

fn lines(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let mut id = finding.id.clone();
        if let Some(hex) = id.strip_prefix("sha256:") {
            id = hex[..4].to_owned();
        }
        format!(
            "{} {id}: {:?} {:?}\n",
            finding.part.as_str(),
            finding.remedy,
            finding.problem.chars().take(40).collect::<String>()
        )
    };
    findings.iter().map(line).collect()
}

/// The files of a store that may be damaged, in a fixed order.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            let name = entry.file_name();
            let skipped = ["lock", "drafts", "quarantine"];
            if directory == root && skipped.iter().any(|skipped| name == *skipped) {
                continue;
            }
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// Numbers that look like chance, the same every time (Knuth's MMIX generator).
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

/// Damage one file; says what was done.
fn damage(chance: &mut Chance, root: &Path) -> String {
    let files = files(root);
    let path = &files[chance.below(files.len())];
    let below = path.strip_prefix(root).unwrap().display().to_string();
    let mut bytes = std::fs::read(path).unwrap();
    // Without a name file, or the form of an own layer, a store is another store, and whole.
    let is_needed = ["images/", "blobs/", "format"]
        .iter()
        .any(|start| below.starts_with(start))
        || below.starts_with("layers/") && !below.contains("/blobs/");
    let what = match chance.below(8) {
        0 if is_needed && below != "format.json" => {
            std::fs::remove_file(path).unwrap();
            return format!("{below}: removed");
        }
        1 if !bytes.is_empty() => {
            let at = chance.below(bytes.len());
            bytes.truncate(at);
            format!("{below}: cut to {at}")
        }
        2 => {
            bytes.push(b' ');
            format!("{below}: longer")
        }
        _ if bytes.is_empty() => {
            bytes.push(0);
            format!("{below}: not empty")
        }
        _ => {
            let at = chance.below(bytes.len());
            let bit = 1 << chance.below(8);
            bytes[at] ^= bit;
            format!("{below}: bit {bit:#x} of byte {at}")
        }
    };
    std::fs::write(path, bytes).unwrap();
    what
}

#[test]
fn any_damage_is_found_and_mended() {
    // In memory: every repair ends with a sync.
    let memory = Tmpfs::new(c"size=64m");
    damage_and_mend(&memory.0.path().join("root"), FormPolicy::Unpacked, 200);
}

#[test]
fn any_damage_to_indexed_layers_is_found_and_mended() {
    // The kernel mounts nothing from files in memory.
    let fixture = Fixture::new();
    damage_and_mend(fixture.store.root(), FormPolicy::Indexed, 40);
}

fn damage_and_mend(root: &Path, form: FormPolicy, rounds: usize) {
    let open = || Store::open(root).unwrap().with_form(form);
    let store = open();
    fill(&store);
    assert_eq!(lines(&check(&store, Mode::Look).findings), "");
    let mut chance = Chance(20_240_501);
    for round in 0..rounds {
        let done = damage(&mut chance, root);
        let told = format!("round {round}, {done}");
        let format = check_format(root, Mode::Look).unwrap();
        if let Some(found) = format {
            assert_eq!(found.part, Part::Format, "{told}");
            let mended = check_format(root, Mode::Repair).unwrap().unwrap();
            assert!(mended.is_settled(), "{told}");
        } else if done.starts_with("format.json") {
            // A version of tomorrow is nothing that could be mended today.
            assert!(Store::open(root).is_err(), "{told}");
            check_format(root, Mode::Repair).unwrap();
            std::fs::remove_file(root.join("format.json")).unwrap();
        } else {
            let store = open();
            let found = check(&store, Mode::Look).findings;
            assert!(!found.is_empty(), "{told}");
            assert_eq!(check(&store, Mode::Look).findings, found, "{told}");
            let repaired = check(&store, Mode::Repair).findings;
            for finding in &repaired {
                assert!(
                    !matches!(finding.outcome, Outcome::Open | Outcome::Failed(_)),
                    "{told}: {finding:?}"
                );
            }
            let left = check(&store, Mode::Look).findings;
            for finding in &left {
                assert_eq!(finding.remedy, Remedy::Fetch, "{told}: {finding:?}");
                assert!(
                    !finding.images.is_empty(),
                    "{told}: who is touched? {finding:?}"
                );
            }
            if repaired.iter().all(Finding::is_settled) {
                assert_eq!(lines(&left), "", "{told}");
            }
        }
        let store = open();
        fill(&store);
        let left = check(&store, Mode::Look).findings;
        assert_eq!(lines(&left), "", "{told}");
    }
}

#[test]
fn what_the_store_still_has_is_mended_without_anybodys_help() {
    let fixture = Fixture::new();
    let store = &fixture.store.clone().with_form(FormPolicy::Unpacked);
    let [own, foreign] = fill(store);
    let layers = store.image(&foreign).unwrap().layers;
    std::fs::write(tree(store, &layers[0]).join("etc/a"), "changed").unwrap();
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(tree(store, &layers[1]).join("usr/z"), mode).unwrap();
    let record = store.root().join(format!("images/{}.json", own.hex()));
    std::fs::write(record, "{}").unwrap();
    let second = tree(store, &layers[1]);
    std::fs::remove_file(second.parent().unwrap().join("layer.json")).unwrap();

    let found = check(store, Mode::Look).findings;
    assert_eq!(found.len(), 3, "{}", lines(&found));
    let repaired = check(store, Mode::Repair).findings;
    assert!(
        repaired
            .iter()
            .all(|finding| finding.outcome == Outcome::Mended),
        "{repaired:?}"
    );
    assert_eq!(lines(&check(store, Mode::Look).findings), "");
    assert_eq!(
        std::fs::read_to_string(tree(store, &layers[0]).join("etc/a")).unwrap(),
        "first ".repeat(300)
    );
    // Nothing was thrown away before somebody said so.
    assert!(!fixture.names("quarantine").is_empty());
    store.empty_quarantine().unwrap();
    assert!(fixture.names("quarantine").is_empty());
}

#[test]
fn a_layer_that_nobody_has_a_copy_of_names_its_images() {
    let fixture = Fixture::new();
    let store = &fixture.store.clone().with_form(FormPolicy::Unpacked);
    let [own, _] = fill(store);
    let layer = store.image(&own).unwrap().layers.remove(0);
    std::fs::write(tree(store, &layer).join("file"), "two").unwrap();
    let found = check(store, Mode::Look).findings;
    assert_eq!(
        (found[0].part, found[0].remedy),
        (Part::Layer, Remedy::Fetch)
    );
    assert_eq!(found[0].images, [own]);
    let repaired = check(store, Mode::Repair).findings;
    assert!(
        matches!(&repaired[0].outcome, Outcome::SetAside(path) if path.join("tree/file").exists()),
        "{repaired:?}"
    );
    let left = check(store, Mode::Look).findings;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].problem, "it is missing");
    assert!(!store.has_layer(&layer.diff_id).unwrap());
}

#[test]
fn a_quick_look_reads_no_content_and_finds_what_is_missing() {
    let fixture = Fixture::new();
    let store = &fixture.store.clone().with_form(FormPolicy::Unpacked);
    let [own, foreign] = fill(store);
    let quick = || {
        store
            .check(Depth::Structure, Mode::Look, &mut |_| ())
            .unwrap()
    };
    assert_eq!(
        (lines(&quick().findings), quick().bytes),
        (String::new(), 0)
    );
    let layers = store.image(&foreign).unwrap().layers;
    std::fs::write(tree(store, &layers[0]).join("etc/z"), "LAST").unwrap();
    assert_eq!(lines(&quick().findings), "");
    std::fs::write(tree(store, &layers[0]).join("etc/z"), "longer").unwrap();
    assert_eq!(quick().findings.len(), 1);
    let layer = store.image(&own).unwrap().layers.remove(1);
    std::fs::remove_dir_all(tree(store, &layer).parent().unwrap()).unwrap();
    assert_eq!(quick().findings.len(), 2);
}

#[test]
fn what_is_not_of_hoists_making_is_set_aside() {
    let fixture = Fixture::new();
    let store = &fixture.store.clone().with_form(FormPolicy::Unpacked);
    fill(store);
    for path in [
        "names/x",
        "layers/tmp",
        "images/notes.txt",
        "blobs/sha256/0",
    ] {
        std::fs::write(store.root().join(path), "").unwrap();
    }
    let repaired = check(store, Mode::Repair).findings;
    assert_eq!(repaired.len(), 4, "{}", lines(&repaired));
    assert!(repaired.iter().all(Finding::is_settled), "{repaired:?}");
    assert_eq!(lines(&check(store, Mode::Look).findings), "");
}

#[test]
fn a_damaged_format_is_written_anew_and_a_newer_one_is_left_alone() {
    let fixture = Fixture::new();
    fill(&fixture.store);
    let root = fixture.store.root();
    let path = root.join("format.json");
    std::fs::write(&path, r#"{"version":"#).unwrap();
    assert!(Store::open(root).is_err());
    let found = check_format(root, Mode::Look).unwrap().unwrap();
    assert_eq!((found.part, found.outcome), (Part::Format, Outcome::Open));
    check_format(root, Mode::Repair).unwrap().unwrap();
    assert_eq!(lines(&check(&fixture.reopened(), Mode::Look).findings), "");

    std::fs::write(&path, r#"{"version":7}"#).unwrap();
    assert_eq!(check_format(root, Mode::Repair).unwrap(), None);
    assert!(Store::open(root).is_err());
}
