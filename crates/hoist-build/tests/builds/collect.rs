//! The build cache: what it holds, and what goes.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use hoist_build::{
    CacheKind, CachePolicy, CacheScope, cache_entries, collect_cache, collect_daily,
};
use hoist_core::Reference;

use crate::support::World;

const EVERYTHING: CachePolicy = CachePolicy {
    max_age: None,
    max_bytes: None,
    scope: CacheScope::All,
};

#[test]
fn intermediate_steps_go_first_and_images_stay() {
    let mut world = World::new();
    world.file(
        "Dockerfile",
        "FROM base AS builder\nRUN --mount=type=cache,target=/c echo kept > /c/file && echo 1 > /1 && echo 2 > /2\n\
         FROM base\nCOPY --from=builder /1 /1\n",
    );
    let mut request = world.request();
    request.tags = vec![Reference::parse("app").unwrap()];
    let built = world.build(&request).built();
    let kinds = |world: &World| -> Vec<CacheKind> {
        let entries = cache_entries(&world.engine).unwrap();
        entries.into_iter().map(|entry| entry.kind).collect()
    };
    let count = |world: &World, kind: CacheKind| {
        kinds(world).iter().filter(|found| **found == kind).count()
    };
    assert_eq!(count(&world, CacheKind::Mount), 1);
    assert_eq!(count(&world, CacheKind::Step), 1);
    assert!(count(&world, CacheKind::SharedStep) >= 1);

    // As another process sees it: this one keeps what it has built.
    world.reopen();
    let policy = CachePolicy {
        scope: CacheScope::Intermediate,
        ..EVERYTHING
    };
    assert!(collect_cache(&world.engine, &policy).unwrap() > 0);
    assert_eq!(count(&world, CacheKind::Step), 0);
    assert_eq!(count(&world, CacheKind::Mount), 1);
    assert_eq!(world.files(&built.id, "1"), "0644 0:0 1 \"1\\n\"");

    assert!(collect_cache(&world.engine, &EVERYTHING).unwrap() > 0);
    assert!(kinds(&world).is_empty());
    assert_eq!(world.files(&built.id, "1"), "0644 0:0 1 \"1\\n\"");
    world.build(&request).built();
}

#[test]
fn what_was_not_used_for_long_goes_by_itself() {
    let world = World::new();
    let first = "FROM base\nRUN echo 1 > /1\n";
    let second = "FROM base\nRUN echo 2 > /2\n";
    world.dockerfile(first).built();
    world.dockerfile(second).built();
    let old = SystemTime::now() - Duration::from_secs(40 * 24 * 60 * 60);
    let cache = world.engine.settings().root.join("cache");
    for entry in fs::read_dir(cache.join("build-v1")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::File::open(path).unwrap().set_modified(old).unwrap();
        }
    }
    // The build that uses a record keeps it.
    assert_eq!(world.dockerfile(second).built().cached, 1);
    collect_daily(&world.engine).unwrap();
    let left = cache_entries(&world.engine).unwrap();
    let left: Vec<_> = left
        .iter()
        .map(|entry| entry.description.as_str())
        .collect();
    assert_eq!(left, ["RUN [\"/bin/sh\",\"-c\",\"echo 2 > /2\"]"]);
}
