//! Caches that lie, or are damaged: the build is as it would be without them.

use std::{fs, os::unix::fs::symlink, path::Path};

use hoist_build::{BuildRequest, CacheExport, CacheMode, CacheMounts};
use hoist_core::Digest;
use serde_json::{Value, json};

use super::exchange::{export, from, warnings};
use crate::support::World;

const DOCKERFILE: &str = "FROM base\nRUN echo one > /one\nRUN --mount=type=cache,id=m,target=/m \
    ls /m > /two && echo x > /m/x\nCOPY late /late\n";

/// A machine that has built, one that has not, and the cache between them.
fn machines() -> (World, World) {
    let one = World::new();
    let two = one.twin();
    for world in [&one, &two] {
        world.file("Dockerfile", DOCKERFILE).file("late", "late");
    }
    let cache = one.directory.path().join("cache");
    let request = BuildRequest {
        cache_to: vec![CacheExport {
            mounts: CacheMounts::All,
            ..export(&cache, CacheMode::Max)
        }],
        ..one.request()
    };
    one.build(&request).built();
    (one, two)
}

fn blob(cache: &Path, digest: &str) -> std::path::PathBuf {
    let hex = digest.strip_prefix("sha256:").expect("a digest");
    cache.join("blobs/sha256").join(hex)
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

/// Write the cache again as `change` wants it, with digests that fit.
fn forge(cache: &Path, change: impl FnOnce(&mut Value, &mut Value)) {
    let mut index = read(&cache.join("index.json"));
    let entry = &mut index["manifests"][0];
    let mut manifest = read(&blob(cache, entry["digest"].as_str().expect("a digest")));
    let mut config = read(&blob(
        cache,
        manifest["config"]["digest"].as_str().expect("a digest"),
    ));
    change(&mut manifest, &mut config);
    let write = |value: &Value| {
        let bytes = value.to_string().into_bytes();
        let digest = Digest::of(&bytes).to_string();
        fs::write(blob(cache, &digest), &bytes).expect("a blob");
        (json!(digest), json!(bytes.len()))
    };
    let (digest, size) = write(&config);
    manifest["config"]["digest"] = digest;
    manifest["config"]["size"] = size;
    let (digest, size) = write(&manifest);
    entry["digest"] = digest;
    entry["size"] = size;
    fs::write(cache.join("index.json"), index.to_string()).expect("an index");
}

/// What a machine builds with the cache, which must be what it builds without one.
#[track_caller]
fn built_all_the_same(two: &World, cache: &Path) -> (String, String) {
    let outcome = two.build(&from(two, cache));
    let (steps, said) = (outcome.steps(), warnings(&outcome).join("\n"));
    let built = outcome.built();
    let files = two.files(&built.id, "one") + &two.files(&built.id, "late");
    assert_eq!(files, "0644 0:0 one \"one\\n\"0644 0:0 late \"late\"");
    (steps, said)
}

#[test]
fn a_damaged_layer_costs_its_step_and_nothing_else() {
    for damage in ["flip", "cut", "gone", "pipe"] {
        let (one, two) = machines();
        let cache = one.directory.path().join("cache");
        let manifest = read(&cache.join("index.json"));
        let manifest = read(&blob(
            &cache,
            manifest["manifests"][0]["digest"].as_str().unwrap(),
        ));
        for layer in manifest["layers"].as_array().unwrap() {
            let path = blob(&cache, layer["digest"].as_str().unwrap());
            let mut bytes = fs::read(&path).unwrap();
            match damage {
                "flip" => {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    fs::write(&path, bytes).unwrap();
                }
                "cut" => fs::write(&path, &bytes[..bytes.len() - 1]).unwrap(),
                _ => fs::remove_file(&path).unwrap(),
            }
            if damage == "pipe" {
                use rustix::fs::{CWD, FileType, Mode, mknodat};
                mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
            }
        }
        let (steps, said) = built_all_the_same(&two, &cache);
        assert!(!steps.contains("cached"), "{damage}: {steps}");
        assert_eq!(said.matches("is of no use").count(), 4, "{damage}: {said}");
        assert!(
            steps.contains("(the imported cache does not have its layer)"),
            "{damage}: {steps}"
        );
    }
}

#[test]
fn a_layer_is_what_its_record_says_or_nothing() {
    let (one, two) = machines();
    let cache = one.directory.path().join("cache");
    // The blobs change places: each is sound, and none is what it is said to be.
    forge(&cache, |manifest, _| {
        manifest["layers"].as_array_mut().unwrap().rotate_left(1);
    });
    let (steps, said) = built_all_the_same(&two, &cache);
    assert!(!steps.contains("cached"), "{steps}");
    assert!(said.contains("digest"), "{said}");
}

#[test]
fn a_record_belongs_to_the_step_that_its_parts_name() {
    let (one, two) = machines();
    let cache = one.directory.path().join("cache");
    forge(&cache, |_, config| {
        for record in config["records"].as_array_mut().unwrap() {
            for part in record["parts"].as_array_mut().unwrap() {
                let value = part["value"].as_str().unwrap();
                part["value"] = json!(value.replace("echo", "evil\u{1b}[2J"));
            }
            record["size"] = json!(u64::MAX);
        }
    });
    let (steps, _) = built_all_the_same(&two, &cache);
    insta::assert_snapshot!(steps, @r"
    ran: RUN echo one > /one
    ran: RUN --mount=type=cache,id=m,target=/m ls /m > /two && echo x > /m/x
    ran: COPY late /late (a step before it has changed)
    ");
}

#[test]
fn lies_about_sizes_and_counts_are_seen() {
    type Change = fn(&mut Value, &mut Value);
    let table: [(&str, Change, &str); 8] = [
        (
            "too few layers",
            |manifest, _| drop(manifest["layers"].as_array_mut().unwrap().pop()),
            "is malformed: its manifest has 3 layers, its configuration 4",
        ),
        (
            "no records",
            |_, config| config["records"] = json!(7),
            "is malformed",
        ),
        (
            "a strange digest",
            |_, config| config["records"][0]["layer"] = json!("sha256:../../../../etc/passwd"),
            "is malformed: invalid digest",
        ),
        (
            "a strange trail",
            |_, config| config["trail"] = json!([{"stage": -1, "position": 0, "key": "x"}]),
            "is malformed",
        ),
        (
            "deep",
            |_, config| {
                let deep = "[".repeat(5000) + &"]".repeat(5000);
                // As text: the writer has no limit.
                config["trail"] = json!(deep);
            },
            "is malformed",
        ),
        (
            "another type",
            |manifest, _| {
                manifest["config"]["mediaType"] = json!("application/vnd.buildkit.cacheconfig.v0");
            },
            "which is no cache of hoist",
        ),
        (
            "a traversal",
            |manifest, _| manifest["layers"][0]["digest"] = json!("sha256:../../../secret"),
            "is malformed",
        ),
        (
            "no layers",
            |manifest, _| manifest["layers"] = Value::Null,
            "is malformed",
        ),
    ];
    for (name, change, expected) in table {
        let (one, two) = machines();
        let cache = one.directory.path().join("cache");
        forge(&cache, change);
        let (steps, said) = built_all_the_same(&two, &cache);
        assert!(!steps.contains("cached"), "{name}: {steps}");
        assert!(said.contains(expected), "{name}: {said}");
    }
}

#[test]
fn a_document_is_read_up_to_a_limit() {
    let (one, two) = machines();
    let cache = one.directory.path().join("cache");
    let mut index = read(&cache.join("index.json"));
    let entry = &mut index["manifests"][0];
    let mut manifest = read(&blob(&cache, entry["digest"].as_str().unwrap()));
    // A sparse file of a terabyte.
    let config = blob(&cache, manifest["config"]["digest"].as_str().unwrap());
    let size = 1_u64 << 40;
    fs::File::create(&config).unwrap().set_len(size).unwrap();
    manifest["config"]["size"] = json!(size);
    let bytes = manifest.to_string();
    let digest = Digest::of(bytes.as_bytes()).to_string();
    fs::write(blob(&cache, &digest), &bytes).unwrap();
    entry["digest"] = json!(digest);
    entry["size"] = json!(bytes.len());
    fs::write(cache.join("index.json"), index.to_string()).unwrap();
    let (_, said) = built_all_the_same(&two, &cache);
    assert!(said.contains("at most 33554432 are read"), "{said}");
    // The same file under its small size: the digest is not right.
    let (one, two) = machines();
    let cache = one.directory.path().join("cache");
    let index = read(&cache.join("index.json"));
    let manifest = blob(&cache, index["manifests"][0]["digest"].as_str().unwrap());
    fs::remove_file(&manifest).unwrap();
    symlink("/dev/zero", &manifest).unwrap();
    let (_, said) = built_all_the_same(&two, &cache);
    assert!(said.contains("is not used"), "{said}");
}

#[test]
fn a_mount_cannot_reach_outside() {
    let (one, two) = machines();
    let cache = one.directory.path().join("cache");
    let outside = one.directory.path().join("outside");
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(4);
    let path = format!("../../../../../../../../..{}", outside.display());
    header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_cksum();
    archive.append(&header, &b"evil"[..]).unwrap();
    let bytes = archive.into_inner().unwrap();
    let digest = Digest::of(&bytes).to_string();
    fs::write(blob(&cache, &digest), &bytes).unwrap();
    forge(&cache, |manifest, config| {
        let layer = json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": digest,
            "size": bytes.len(),
        });
        manifest["layers"].as_array_mut().unwrap().push(layer);
        config["diff_ids"]
            .as_array_mut()
            .unwrap()
            .push(json!(digest));
        config["mounts"][0]["diff_id"] = json!(digest);
        // So that the step runs.
        config["records"] = json!([]);
    });
    let (_, said) = built_all_the_same(&two, &cache);
    assert!(said.contains("the cache mount m of the cache"), "{said}");
    assert!(!outside.exists());
    let mounts = two.directory.path().join("root/cache/mounts-v1");
    let data = mounts.join(Digest::of(b"m").hex()).join("data");
    let names: Vec<_> = fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["x"]);
}

#[test]
fn a_damaged_cache_is_passed_on_without_what_is_damaged() {
    let (one, two) = machines();
    let cache = one.directory.path().join("cache");
    let index = read(&cache.join("index.json"));
    let manifest = read(&blob(
        &cache,
        index["manifests"][0]["digest"].as_str().unwrap(),
    ));
    let config = read(&blob(
        &cache,
        manifest["config"]["digest"].as_str().unwrap(),
    ));
    // The mount, which no step of this build wants.
    let mount = config["mounts"][0]["diff_id"].clone();
    let place = config["diff_ids"].as_array().unwrap();
    let place = place.iter().position(|diff_id| *diff_id == mount).unwrap();
    let path = blob(
        &cache,
        manifest["layers"][place]["digest"].as_str().unwrap(),
    );
    fs::write(path, "damaged").unwrap();
    let onward = two.directory.path().join("onward");
    let request = BuildRequest {
        cache_to: vec![CacheExport {
            mounts: CacheMounts::All,
            ..export(&onward, CacheMode::Max)
        }],
        ..from(&two, &cache)
    };
    two.build(&request).built();
    let index = read(&onward.join("index.json"));
    let manifest = read(&blob(
        &onward,
        index["manifests"][0]["digest"].as_str().unwrap(),
    ));
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 3);
    let config = read(&blob(
        &onward,
        manifest["config"]["digest"].as_str().unwrap(),
    ));
    assert_eq!(config["mounts"], Value::Null);
    assert_eq!(config["records"].as_array().unwrap().len(), 3);
}
