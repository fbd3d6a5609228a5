//! Images and their names, as Docker's users know them.

mod support;

use hoist_core::{Describe, Digest, Kind};
use hoist_store::{Freed, ImageUser, Removal, Store};
use support::{Fixture, image, reference};

fn nobody(_: &Digest) -> Option<ImageUser> {
    None
}

fn user(words: &str) -> ImageUser {
    ImageUser {
        words: words.to_owned(),
        is_busy: words.starts_with("running"),
    }
}

fn shown(removals: &[Removal]) -> Vec<String> {
    let line = |removal: &Removal| match removal {
        Removal::Untagged(reference) => format!("Untagged: {}", reference.familiar()),
        Removal::Deleted(_) => "Deleted".to_owned(),
        Removal::DeletedLayer(_) => "Deleted layer".to_owned(),
    };
    removals.iter().map(line).collect()
}

#[test]
fn an_image_comes_back_as_it_was_put() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let (lower, upper) = (fixture.layer("lower"), fixture.layer("upper layer"));
    let mut wanted = image("2024-05-01T00:00:00Z", &[&lower, &upper]);
    wanted.config.labels.insert("a".to_owned(), "b".to_owned());
    let id = store.put_image(&wanted).unwrap();
    assert_eq!(store.put_image(&wanted).unwrap(), id);
    let found = fixture.reopened().image(&id).unwrap();
    assert_eq!((found.id, &found.image), (id, &wanted));
    assert_eq!((found.size, found.layers), (5 + 11, vec![lower, upper]));
    let blob = std::fs::read(store.root().join("blobs/sha256").join(id.hex())).unwrap();
    assert_eq!(Digest::of(&blob), id);
    let spaced = [b" ".as_slice(), &blob].concat();
    let other = store.put_config(&spaced).unwrap();
    assert_eq!(other, Digest::of(&spaced));
    assert_eq!(store.put_config(b"{}").unwrap_err().kind(), Kind::Invalid);

    wanted.rootfs.diff_ids.push(Digest::of(b"missing"));
    assert_eq!(store.put_image(&wanted).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(
        store.image(&Digest::of(b"x")).unwrap_err().kind(),
        Kind::NotFound
    );
}

#[test]
fn names_and_ids_resolve_as_docker_does() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let mut ids: Vec<Digest> = (0..40)
        .map(|n| store.put_image(&image(&n.to_string(), &[])).unwrap())
        .collect();
    ids.sort_unstable();
    let id = ids[0];
    store.tag(&reference("python:3.11"), &id).unwrap();
    store
        .tag(&reference("localhost:5000/a/b"), &ids[1])
        .unwrap();
    let pinned = format!("python:3.11@{}", Digest::of(b"manifest"));
    store.tag(&reference(&pinned), &ids[2]).unwrap();
    for text in [
        "python:3.11",
        "docker.io/library/python:3.11",
        "library/python:3.11",
    ] {
        assert_eq!(store.resolve(text).unwrap(), id, "{text}");
    }
    assert_eq!(store.resolve("localhost:5000/a/b").unwrap(), ids[1]);
    assert_eq!(store.resolve(&pinned).unwrap(), ids[2]);
    assert_eq!(store.resolve(&id.to_string()).unwrap(), id);
    assert_eq!(store.resolve(&id.hex()).unwrap(), id);
    assert_eq!(store.resolve(&id.short()).unwrap(), id);
    assert_eq!(
        store.resolve(&format!("sha256:{}", id.short())).unwrap(),
        id
    );
    // A name wins over an id that begins like it.
    store.tag(&reference(&id.short()), &ids[3]).unwrap();
    assert_eq!(store.resolve(&id.short()).unwrap(), ids[3]);

    // Among forty ids two begin with the same digit.
    let mut digits = "0123456789abcdef".chars();
    let shared = digits
        .find(|&d| ids.iter().filter(|id| id.hex().starts_with(d)).count() > 1)
        .unwrap();
    let error = store.resolve(&shared.to_string()).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    let table = [
        ("python", "No such image: python:latest", Kind::NotFound),
        (
            "python/below:3.11",
            "No such image: python/below:3.11",
            Kind::NotFound,
        ),
        (
            "0000000000",
            "No such image: 0000000000:latest",
            Kind::NotFound,
        ),
        (
            "sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "No such image: sha256:0000000000000000000000000000000000000000000000000000000000000000",
            Kind::NotFound,
        ),
        (
            "Python",
            "invalid reference format: \"Python\": repository name must be lowercase",
            Kind::Invalid,
        ),
        (
            "",
            "invalid reference format: \"\": the repository name is empty",
            Kind::Invalid,
        ),
    ];
    for (text, message, kind) in table {
        let error = store.resolve(text).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), (message, kind));
    }
}

#[test]
fn names_move_and_go() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let one = store.put_image(&image("1", &[])).unwrap();
    let two = store.put_image(&image("2", &[])).unwrap();
    store.tag(&reference("app:1"), &one).unwrap();
    store.tag(&reference("app:1"), &two).unwrap();
    store.tag(&reference("app:2"), &two).unwrap();
    store.tag(&reference("deep/er/app"), &two).unwrap();
    assert_eq!(store.references(&one).unwrap(), []);
    let familiar: Vec<_> = store
        .references(&two)
        .unwrap()
        .iter()
        .map(|r| r.familiar())
        .collect();
    assert_eq!(familiar, ["deep/er/app:latest", "app:1", "app:2"]);
    let missing = Digest::of(b"missing");
    assert_eq!(
        store.tag(&reference("x"), &missing).unwrap_err().kind(),
        Kind::NotFound
    );
    let bare = hoist_core::Reference::parse_untagged("x").unwrap();
    assert_eq!(store.tag(&bare, &one).unwrap_err().kind(), Kind::Invalid);
    assert_eq!(store.untag(&reference("deep/er/app")).unwrap(), two);
    assert_eq!(fixture.names("names/docker.io"), ["library"]);
    let error = store.untag(&reference("deep/er/app")).unwrap_err();
    assert_eq!(error.to_string(), "No such image: deep/er/app:latest");
}

#[test]
fn images_are_listed_newest_first() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let layer = fixture.layer("content");
    let times = [
        "2024-01-01T00:00:00.5Z",
        "2024-01-01T02:00:00+02:00",
        "not a time",
        "2024-01-01T00:00:00.25Z",
    ];
    for created in times {
        store.put_image(&image(created, &[&layer])).unwrap();
    }
    let id = store
        .put_image(&image("2025-01-01T00:00:00Z", &[]))
        .unwrap();
    store.tag(&reference("new"), &id).unwrap();
    let images = store.images().unwrap();
    let order: Vec<_> = images
        .iter()
        .filter_map(|image| image.created.as_deref())
        .collect();
    let expected = [
        "2025-01-01T00:00:00Z",
        times[0],
        times[3],
        times[1],
        times[2],
    ];
    assert_eq!(order, expected);
    assert_eq!(images[0].references, [reference("new")]);
    assert_eq!((images[0].size, images[1].size), (0, 7));
    let usage = store.usage().unwrap();
    assert_eq!(
        (usage.images, usage.images_size, usage.layers.len()),
        (5, 7, 1)
    );
    assert_eq!(usage.layers[0].images.len(), 4);
}

#[test]
fn removal_says_what_docker_says() {
    let fixture = Fixture::new();
    let setup = |store: &Store| {
        let (base, app) = (support::layer(store, "base"), support::layer(store, "app"));
        let parent = store.put_image(&image("1", &[&base])).unwrap();
        let child = store.put_image(&image("2", &[&base, &app])).unwrap();
        store.tag(&reference("base"), &parent).unwrap();
        store.tag(&reference("app:1"), &child).unwrap();
        store.tag(&reference("app:2"), &child).unwrap();
        (parent, child, base, app)
    };
    // Whoever makes layers keeps them: here the maker is gone before the removal.
    let (parent, child, base, app) = setup(&fixture.reopened());
    let store = &fixture.store;
    let remove = |text: &str, force| store.remove_image(text, force, &nobody);

    assert_eq!(shown(&remove("app:1", false).unwrap()), ["Untagged: app:1"]);
    let last = remove("app:2", false).unwrap();
    assert_eq!(
        shown(&last),
        ["Untagged: app:2", "Deleted", "Deleted layer"]
    );
    assert_eq!(last[2], Removal::DeletedLayer(app.diff_id));
    assert!(!store.has_layer(&app.diff_id).unwrap());
    assert!(store.has_layer(&base.diff_id).unwrap(), "the parent has it");
    assert_eq!(
        remove("app:2", true).unwrap_err().to_string(),
        "No such image: app:2"
    );

    setup(&fixture.reopened());
    let error = remove(&child.short(), false).unwrap_err();
    let short = child.short();
    assert_eq!(
        error.to_string(),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
        )
    );
    assert_eq!(error.kind(), Kind::Conflict);
    let forced = remove(&child.short(), true).unwrap();
    assert_eq!(
        shown(&forced),
        [
            "Untagged: app:1",
            "Untagged: app:2",
            "Deleted",
            "Deleted layer"
        ]
    );
    let by_id = remove(&parent.to_string(), false).unwrap();
    assert_eq!(
        shown(&by_id),
        ["Untagged: base:latest", "Deleted", "Deleted layer"]
    );
    assert_eq!(fixture.names("layers"), Vec::<String>::new());
    assert_eq!(fixture.names("blobs/sha256"), Vec::<String>::new());
    assert_eq!(fixture.names("names"), Vec::<String>::new());
}

#[test]
fn an_image_in_use_keeps_its_content() {
    let fixture = Fixture::new();
    let maker = fixture.reopened();
    let layer = support::layer(&maker, "content");
    let id = maker.put_image(&image("1", &[&layer])).unwrap();
    maker.tag(&reference("app"), &id).unwrap();
    drop(maker);
    let store = &fixture.store;
    let short = id.short();
    let used = |who: &'static str| move |asked: &Digest| (*asked == id).then(|| user(who));
    let stopped = used("stopped container 4e5d2f1a9b0c");
    let running = used("running container 4e5d2f1a9b0c");
    let message = |text: &str, force, user: &dyn Fn(&Digest) -> Option<ImageUser>| {
        let error = store.remove_image(text, force, user).unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict);
        error.to_string().replace(&short, "ID")
    };
    insta::assert_snapshot!(message("app", false, &stopped), @r#"conflict: unable to remove repository reference "app:latest" (must be forced) - stopped container 4e5d2f1a9b0c is using its referenced image ID"#);
    insta::assert_snapshot!(message(&short, false, &stopped), @"conflict: unable to delete ID (must be forced) - image is being used by stopped container 4e5d2f1a9b0c");
    insta::assert_snapshot!(message(&short, true, &running), @"conflict: unable to delete ID (cannot be forced) - image is being used by running container 4e5d2f1a9b0c");
    let removals = store.remove_image("app", true, &running).unwrap();
    assert_eq!(shown(&removals), ["Untagged: app:latest"]);
    insta::assert_snapshot!(message(&short, true, &stopped), @"conflict: unable to delete ID (cannot be forced) - image is being used by stopped container 4e5d2f1a9b0c");
    store.image(&id).unwrap();
    // The build cache may want the layers though nobody wants the image.
    let cache = |asked: &Digest| (*asked == layer.diff_id).then(|| user("build cache"));
    let removals = store.remove_image(&short, false, &cache).unwrap();
    assert_eq!(shown(&removals), ["Deleted"]);
    assert!(store.has_layer(&layer.diff_id).unwrap());
}

/// The digest that an image was pulled by goes with the last tag of its repository.
#[test]
fn digests_go_with_the_last_tag() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let id = store.put_image(&image("1", &[])).unwrap();
    let pinned = format!("app@{}", Digest::of(b"manifest"));
    store.tag(&reference("app:1"), &id).unwrap();
    store.tag(&reference(&pinned), &id).unwrap();
    let removals = store.remove_image("app:1", false, &nobody).unwrap();
    assert_eq!(removals.len(), 3);
    assert_eq!(removals[2], Removal::Deleted(id));
}

#[test]
fn garbage_is_what_nobody_refers_to() {
    let fixture = Fixture::new();
    let maker = fixture.reopened();
    let [named, used, cached, unused] =
        ["named", "used", "cached", "unused"].map(|content| support::layer(&maker, content));
    let named_id = maker.put_image(&image("1", &[&named])).unwrap();
    maker.tag(&reference("app"), &named_id).unwrap();
    let used_id = maker.put_image(&image("2", &[&used])).unwrap();
    let unused_id = maker.put_image(&image("3", &[&named, &unused])).unwrap();
    let blob = fixture
        .store
        .root()
        .join("blobs/sha256")
        .join(Digest::of(b"x").hex());
    std::fs::write(&blob, "orphan").unwrap();
    let temporary = fixture
        .store
        .root()
        .join("names/docker.io/library/app/_tags/.tmp-1-2");
    std::fs::write(&temporary, "{").unwrap();
    let store = &fixture.store;
    assert_eq!(store.images().unwrap().len(), 3);

    // What the maker made is kept as long as it lives, named or not.
    let kept = store.collect_garbage(&[], &[]).unwrap();
    assert_eq!(
        kept,
        Freed {
            images: 0,
            layers: 0,
            bytes: 6
        }
    );
    assert!(!temporary.exists());
    drop(maker);
    let config = std::fs::metadata(store.root().join("blobs/sha256").join(unused_id.hex()));
    let freed = store
        .collect_garbage(&[used_id], &[cached.diff_id])
        .unwrap();
    let bytes = 6 + config.unwrap().len();
    assert_eq!(
        freed,
        Freed {
            images: 1,
            layers: 1,
            bytes
        }
    );
    for layer in [&named, &used, &cached] {
        assert!(store.has_layer(&layer.diff_id).unwrap());
    }
    assert!(!store.has_layer(&unused.diff_id).unwrap());
    assert_eq!(fixture.drafts(), Vec::<std::path::PathBuf>::new());
    store.image(&used_id).unwrap();
    store.keep_layer(&cached.diff_id).unwrap();
    let rest = fixture.reopened().collect_garbage(&[], &[]).unwrap();
    assert_eq!((rest.images, rest.layers), (1, 1));
    assert!(store.has_layer(&cached.diff_id).unwrap());
}

/// Between finding an image and recording its use, nobody can take it.
#[test]
fn a_hold_keeps_a_removal_waiting() {
    let fixture = Fixture::new();
    let id = fixture.store.put_image(&image("1", &[])).unwrap();
    let hold = fixture.store.hold().unwrap();
    let recorded = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let remover = scope.spawn(|| {
            let in_use = |_: &Digest| {
                let recorded = recorded.load(std::sync::atomic::Ordering::SeqCst);
                recorded.then(|| user("running container 1"))
            };
            fixture.reopened().remove_image(&id.short(), false, &in_use)
        });
        recorded.store(true, std::sync::atomic::Ordering::SeqCst);
        drop(hold);
        assert_eq!(remover.join().unwrap().unwrap_err().kind(), Kind::Conflict);
    });
}

#[test]
fn many_at_once_agree() {
    let fixture = Fixture::new();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let store = if thread % 2 == 0 {
                fixture.store.clone()
            } else {
                fixture.reopened()
            };
            scope.spawn(move || {
                for round in 0..8 {
                    let layer = support::layer(&store, &format!("round {round}"));
                    let id = store
                        .put_image(&image(&round.to_string(), &[&layer]))
                        .unwrap();
                    store.tag(&reference(&format!("app:{round}")), &id).unwrap();
                    assert_eq!(store.resolve(&format!("app:{round}")).unwrap(), id);
                    if thread == 5 {
                        store.collect_garbage(&[], &[]).unwrap();
                    }
                    store.image(&id).unwrap();
                }
            });
        }
    });
    assert_eq!(fixture.names("layers").len(), 8);
    assert_eq!(fixture.store.images().unwrap().len(), 8);
}

#[test]
fn a_store_that_may_only_be_read_is_read() {
    let fixture = Fixture::new();
    let id = fixture.store.put_image(&image("1", &[])).unwrap();
    let format = fixture.store.root().join("format.json");
    std::fs::write(&format, r#"{"version":1,"read_only":["erofs"]}"#).unwrap();
    let store = fixture.reopened();
    store.image(&id).unwrap();
    let error = store.tag(&reference("x"), &id).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(store.begin_layer().is_err());
    std::fs::write(&format, r#"{"version":7}"#).unwrap();
    let error = Store::open(store.root()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("format version 7"), "{error}");
}
