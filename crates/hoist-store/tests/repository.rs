//! What a collection keeps for the repositories that are served, and what it takes.

#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::{
    fs,
    io::Write as _,
    path::Path,
    time::{Duration, SystemTime},
};

use hoist_core::Digest;
use hoist_store::{
    Depth, Manifest, Mode, NewManifest, Remedy, Repository, Store, StoreError, UPLOAD_AGE, Upload,
};
use serde_json::json;
use support::{Fixture, Tar, Tmpfs, archive_of, gzip, image, reference};

const KIND: &str = "application/vnd.oci.image.manifest.v1+json";

fn upload(repository: &Repository, content: &[u8]) -> Upload {
    let id = repository.begin_upload().unwrap();
    let mut upload = repository.open_upload(&id, None).unwrap().unwrap();
    upload.write_all(content).unwrap();
    upload
}

fn push(repository: &Repository, content: &[u8]) -> Digest {
    let digest = Digest::of(content);
    upload(repository, content).finish(&digest).unwrap();
    digest
}

/// A manifest with a text of its own.
#[derive(Default, Clone, Copy)]
struct New<'a> {
    text: &'a str,
    blobs: &'a [Digest],
    manifests: &'a [Digest],
    subject: Option<Digest>,
    tags: &'a [&'a str],
}

fn put(repository: &Repository, new: New<'_>) -> Result<Digest, StoreError> {
    let tags: Vec<String> = new.tags.iter().map(|tag| (*tag).to_owned()).collect();
    repository.put_manifest(NewManifest {
        content: upload(repository, new.text.as_bytes()),
        manifest: &Manifest {
            media_type: KIND.to_owned(),
            size: new.text.len() as u64,
            blobs: new.blobs.to_vec(),
            manifests: new.manifests.to_vec(),
            subject: new.subject,
        },
        descriptor: &json!({}),
        tags: &tags,
    })
}

fn app(store: &Store) -> Repository {
    store.repository(&"me/app".parse().unwrap())
}

/// Another process collects: how many blobs are left.
fn collect(fixture: &Fixture) -> usize {
    fixture.reopened().collect_garbage(&[], &[]).unwrap();
    blobs(fixture)
}

fn blobs(fixture: &Fixture) -> usize {
    fs::read_dir(fixture.store.root().join("blobs/sha256"))
        .unwrap()
        .count()
}

fn set_time(path: &Path, time: SystemTime) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

fn long_ago() -> SystemTime {
    SystemTime::now() - UPLOAD_AGE - Duration::from_secs(60)
}

#[test]
fn what_is_served_is_kept_until_it_is_deleted() {
    let fixture = Fixture::new();
    let app = app(&fixture.store);
    let one = push(&app, b"one");
    let shared = push(&app, b"shared");
    let first = put(
        &app,
        New {
            text: "first",
            blobs: &[one, shared],
            tags: &["1", "latest"],
            ..New::default()
        },
    )
    .unwrap();
    let second = put(
        &app,
        New {
            text: "second",
            blobs: &[shared],
            tags: &["latest"],
            ..New::default()
        },
    )
    .unwrap();
    assert_eq!(collect(&fixture), 4);
    assert_eq!(app.tags().unwrap(), ["1", "latest"]);
    assert_eq!(app.tag("latest").unwrap(), Some(second));
    // The tag has moved away: people may have pinned what it meant.
    put(
        &app,
        New {
            text: "second",
            blobs: &[shared],
            tags: &["1"],
            ..New::default()
        },
    )
    .unwrap();
    assert_eq!(collect(&fixture), 4);
    assert!(app.delete_manifest(&first).unwrap());
    assert!(!app.delete_manifest(&first).unwrap());
    // The blobs themselves go with the collection.
    assert!(app.blob(&one).unwrap().is_some());
    assert_eq!(collect(&fixture), 2);
    assert!(app.blob(&one).unwrap().is_none());
    assert!(app.blob(&shared).unwrap().is_some());
    // With its last tag a manifest goes, too.
    assert!(app.delete_tag("1").unwrap());
    assert_eq!(collect(&fixture), 2);
    assert!(app.delete_tag("latest").unwrap());
    assert!(app.manifest(&second).unwrap().is_some());
    assert_eq!(collect(&fixture), 0);
    assert!(app.manifest(&second).unwrap().is_none());
    assert!(!fixture.store.root().join("registry/me").exists());
}

#[test]
fn what_was_released_and_pushed_again_stays() {
    let fixture = Fixture::new();
    let app = app(&fixture.store);
    let blob = push(&app, b"blob");
    let blobs = [blob];
    let new = || New {
        text: "image",
        blobs: &blobs,
        tags: &["1"],
        ..New::default()
    };
    put(&app, new()).unwrap();
    app.delete_tag("1").unwrap();
    // A push asks whether the blob is there, and sends the manifest only.
    assert!(app.wanted_blob(&blob).unwrap().is_some());
    assert_eq!(collect(&fixture), 1);
    put(&app, new()).unwrap();
    assert_eq!(collect(&fixture), 2);
}

#[test]
fn a_blob_waits_a_day_for_its_manifest() {
    let fixture = Fixture::new();
    let app = app(&fixture.store);
    let blob = push(&app, b"blob");
    assert_eq!(collect(&fixture), 1);
    let link = fixture
        .store
        .root()
        .join("registry/me/app/_blobs")
        .join(blob.hex());
    set_time(&link, long_ago());
    assert!(app.wanted_blob(&blob).unwrap().is_some());
    assert_eq!(collect(&fixture), 1);
    set_time(&link, long_ago());
    assert_eq!(collect(&fixture), 0);
    assert!(app.wanted_blob(&blob).unwrap().is_none());
    let missing = put(
        &app,
        New {
            text: "image",
            blobs: &[blob],
            ..New::default()
        },
    );
    assert!(matches!(missing, Err(StoreError::NotInRepository { digest, .. }) if digest == blob));
}

#[test]
fn indexes_and_signatures_go_with_what_they_belong_to() {
    let fixture = Fixture::new();
    let app = app(&fixture.store);
    let blob = push(&app, b"blob");
    let image = |text: &str, tags: &[&str]| {
        put(
            &app,
            New {
                text,
                blobs: &[blob],
                tags,
                ..New::default()
            },
        )
        .unwrap()
    };
    let children = [image("amd64", &[]), image("arm64", &["arm"])];
    let index = |text: &str, tags: &[&str]| {
        put(
            &app,
            New {
                text,
                manifests: &children,
                tags,
                ..New::default()
            },
        )
        .unwrap()
    };
    index("index", &["1"]);
    let other = index("other index", &["2"]);
    let about = |text: &str, subject| {
        put(
            &app,
            New {
                text,
                subject: Some(subject),
                ..New::default()
            },
        )
        .unwrap()
    };
    let signature = about("signature", other);
    let countersignature = about("countersignature", signature);
    assert_eq!(collect(&fixture), 7);
    app.delete_tag("1").unwrap();
    assert_eq!(collect(&fixture), 6);
    app.delete_manifest(&other).unwrap();
    assert_eq!(collect(&fixture), 2);
    assert_eq!(app.tag("arm").unwrap(), Some(children[1]));
    assert!(app.manifest(&countersignature).unwrap().is_none());
    assert_eq!(app.referrers(&other, None).unwrap().count(), 0);
    assert!(
        !fixture
            .store
            .root()
            .join("registry/me/app/_referrers")
            .exists()
    );
}

#[test]
fn images_and_repositories_share_blobs() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let tar = Tar::default().file("z", "last").file("a", "first").finish();
    let blob = gzip(&tar);
    let draft = store.begin_blob().unwrap();
    let layer = store
        .import_layer(draft, &blob[..], "…+gzip", None)
        .unwrap();
    let id = store
        .put_image(&image("2026-01-02T03:04:05Z", &[&layer]))
        .unwrap();
    store.tag(&reference("app:1"), &id).unwrap();
    let held = store.layer_blobs(&layer.diff_id).unwrap();
    let served = app(store);
    // What an image has is no repository's before it was pushed there.
    let digest = Digest::of(&blob);
    assert!(served.blob(&digest).unwrap().is_none());
    let config = store.config(&id).unwrap();
    push(&served, &blob);
    push(&served, &config);
    put(
        &served,
        New {
            text: "image",
            blobs: &[digest, id],
            tags: &["1"],
            ..New::default()
        },
    )
    .unwrap();
    // The image goes, and the repository has everything still.
    store.remove_image("app:1", false, &|_| None).unwrap();
    assert_eq!(collect(&fixture), 3);
    assert_eq!(
        served.blob(&digest).unwrap().unwrap().size,
        blob.len() as u64
    );
    assert_eq!(served.blob(&id).unwrap().unwrap().size, config.len() as u64);
    // The other way round.
    let draft = store.begin_blob().unwrap();
    let layer = store
        .import_layer(draft, &blob[..], "…+gzip", None)
        .unwrap();
    let id = store
        .put_image(&image("2026-01-02T03:04:05Z", &[&layer]))
        .unwrap();
    store.tag(&reference("app:1"), &id).unwrap();
    served.delete_tag("1").unwrap();
    assert_eq!(collect(&fixture), 1 + held.len());
    assert_eq!(archive_of(store, &layer.diff_id), tar);
}

#[test]
fn uploads_that_nobody_goes_on_with_expire() {
    let fixture = Fixture::new();
    let app = app(&fixture.store);
    let begin = || {
        let id = app.begin_upload().unwrap();
        let mut upload = app.open_upload(&id, None).unwrap().unwrap();
        upload.write_all(b"some").unwrap();
        (id, upload)
    };
    let age = |id| {
        set_time(
            &fixture
                .store
                .root()
                .join(format!("registry/me/app/_uploads/{id}/data")),
            long_ago(),
        );
    };
    let [(fresh, _), (old, _), (busy, upload)] = [begin(), begin(), begin()];
    age(old);
    age(busy);
    assert_eq!(fixture.reopened().expire_uploads().unwrap(), 1);
    let lengths = [fresh, old, busy].map(|id| app.upload_length(&id).unwrap());
    assert_eq!(lengths, [Some(4), None, Some(4)]);
    assert!(
        app.open_upload(&busy, None).unwrap().is_none(),
        "it is being written to"
    );
    drop(upload);
    age(fresh);
    assert_eq!(collect(&fixture), 0);
    assert!(!fixture.store.root().join("registry/me").exists());
}

#[test]
fn a_store_that_is_collected_all_the_time_loses_nothing() {
    let fixture = Fixture::new();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                fixture.reopened().collect_garbage(&[], &[]).unwrap();
            }
        });
        let pushing: Vec<_> = (0..3)
            .map(|number| {
                let store = fixture.reopened();
                scope.spawn(move || {
                    for round in 0..20 {
                        let repository = store.repository(&format!("r{number}").parse().unwrap());
                        let blob = push(&repository, format!("{number} {round}").as_bytes());
                        let text = format!("manifest {number} {round}");
                        let new = New {
                            text: &text,
                            blobs: &[blob],
                            tags: &["latest"],
                            ..New::default()
                        };
                        let digest = put(&repository, new).unwrap();
                        assert!(repository.open_manifest(&digest).unwrap().is_some());
                        assert!(repository.blob(&blob).unwrap().is_some());
                        repository.delete_manifest(&digest).unwrap();
                    }
                })
            })
            .collect();
        let ended: Vec<_> = pushing
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect();
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        ended.into_iter().for_each(|result| result.unwrap());
    });
    assert_eq!(collect(&fixture), 0);
}

#[test]
fn a_full_disk_leaves_nothing() {
    let tmpfs = Tmpfs::new(c"size=1m");
    let store = Store::open(&tmpfs.0.path().join("root")).unwrap();
    let app = app(&store);
    let small = push(&app, b"small");
    let id = app.begin_upload().unwrap();
    let mut upload = app.open_upload(&id, None).unwrap().unwrap();
    let error = upload.write_all(&vec![7; 2 << 20]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert!(upload.length() > 0);
    upload.cancel().unwrap();
    assert_eq!(app.upload_length(&id).unwrap(), None);
    // There is room again, and what was there before still is.
    push(&app, &vec![8; 512 * 1024]);
    assert_eq!(app.blob(&small).unwrap().unwrap().size, 5);
}

#[test]
fn what_is_damaged_is_named_and_can_be_pushed_again() {
    let fixture = Fixture::new();
    let repository = app(&fixture.store);
    let (one, two) = (push(&repository, b"one"), push(&repository, b"two"));
    let tags = &["1"];
    let manifest = New {
        text: "manifest",
        blobs: &[one, two],
        tags,
        ..New::default()
    };
    put(&repository, manifest).unwrap();
    let check = |mode| {
        let report = fixture
            .store
            .check(Depth::Content, mode, &mut |_| ())
            .unwrap();
        let found = report.findings.into_iter();
        found
            .map(|finding| (finding.id, finding.remedy))
            .collect::<Vec<_>>()
    };
    assert_eq!(check(Mode::Look), []);
    let place = |digest: &Digest| fixture.store.root().join("blobs/sha256").join(digest.hex());
    fs::write(place(&one), "eno").unwrap();
    fs::remove_file(place(&two)).unwrap();
    let mut expected = vec![
        (one.to_string(), Remedy::Fetch),
        (two.to_string(), Remedy::Fetch),
    ];
    expected.sort_by(|one, two| one.0.cmp(&two.0));
    let mut found = check(Mode::Repair);
    found.sort_by(|one, two| one.0.cmp(&two.0));
    assert_eq!(found, expected);
    for content in [b"one", b"two"] {
        push(&repository, content);
    }
    assert_eq!(check(Mode::Look), []);
}

/// Between its directory and its data an upload is new, and no leftover.
#[test]
fn an_upload_that_is_just_being_made_is_not_swept() {
    let fixture = Fixture::new();
    let repository = app(&fixture.store);
    let id = repository.begin_upload().unwrap();
    let uploads = fixture.store.root().join("registry/me/app/_uploads");
    let directory = uploads.join(id.to_string());
    fs::remove_file(directory.join("data")).unwrap();
    assert_eq!(fixture.store.expire_uploads().unwrap(), 0);
    assert!(directory.exists());
    // Nobody makes anything while a collection looks.
    fixture.reopened().collect_garbage(&[], &[]).unwrap();
    assert!(!directory.exists());
}
