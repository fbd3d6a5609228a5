//! What a build does: rows 64–90.

use std::{fs, time::SystemTime};

use hoist_build::{CachePolicy, CacheScope, NamedContext, cache_entries, collect_cache};
use hoist_core::{Platform, Reference, event::BuildEvent};

use super::{World, read};

#[test]
fn row_64_cache_and_stages() {
    let world = World::new();
    let dockerfile = "FROM base AS unused\nRUN false\nFROM base AS a\nRUN echo a > /a\nFROM base AS b\nRUN echo b > /b\n\
        FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n";
    assert_eq!(world.dockerfile(dockerfile).built().cached, 0);
    assert_eq!(world.dockerfile(dockerfile).built().cached, 4);
}

#[test]
fn row_65_copies_are_known_by_content() {
    let world = World::new();
    world.file("a", "1");
    let dockerfile = "FROM base\nCOPY a /a\n";
    world.dockerfile(dockerfile).built();
    let file = fs::File::options()
        .write(true)
        .open(world.context().join("a"))
        .unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(world.dockerfile(dockerfile).steps(), "cached: COPY a /a");
    world.file("a", "2");
    assert_eq!(
        world.dockerfile(dockerfile).steps(),
        "ran: COPY a /a (a changed)"
    );
}

#[test]
fn row_66_only_what_is_needed_is_read() {
    let world = World::new();
    world
        .file("small", "1234")
        .file("unused/big", vec![0; 1 << 20]);
    let outcome = world.dockerfile("FROM base\nCOPY small /\n");
    let scanned = outcome.events.iter().find_map(|event| match event {
        BuildEvent::ContextScanned { files, bytes } => Some((*files, *bytes)),
        _ => None,
    });
    assert_eq!(scanned, Some((1, 4)));
}

#[test]
fn row_67_ignore_files() {
    let world = World::new();
    world
        .file(".dockerignore", "**/*.log\n!keep.log\nd\n")
        .file("a.log", "")
        .file("keep.log", "")
        .file("x/b.log", "")
        .file("d/e", "")
        .file("f", "");
    let built = world.dockerfile("FROM base\nCOPY . /c\n").built();
    let listed = world.files(&built.id, "c");
    let names: Vec<_> = listed
        .lines()
        .filter_map(|line| line.split(' ').nth(2))
        .collect();
    assert_eq!(
        names,
        [
            "c/",
            "c/.dockerignore",
            "c/Dockerfile",
            "c/f",
            "c/keep.log",
            "c/x/"
        ]
    );
    world.file("Dockerfile.dockerignore", "*\n!f\n");
    let built = world.dockerfile("FROM base\nCOPY . /c\n").built();
    assert!(world.files(&built.id, "c").ends_with("c/f \"\""));
}

#[test]
fn row_69_target_names_labels() {
    let world = World::new();
    world.file(
        "Dockerfile",
        "FROM base AS one\nLABEL a=1\nFROM base AS two\nLABEL b=2\n",
    );
    let mut request = world.request();
    request.target = Some("ONE".to_owned());
    request.labels = [("c".to_owned(), "3".to_owned())].into();
    request.tags = ["x:1", "y"]
        .map(|name| Reference::parse(name).unwrap())
        .into();
    let built = world.build(&request).built();
    let store = world.engine.store();
    let labels = store.image(&built.id).unwrap().image.config.labels;
    assert_eq!(labels.keys().collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(store.references(&built.id).unwrap().len(), 2);
    request.target = Some("thre".to_owned());
    assert!(
        world
            .build(&request)
            .error()
            .contains("target stage \"thre\" could not be found")
    );
}

#[test]
fn row_70_named_contexts() {
    let world = World::new();
    world.file("more/x", "named");
    world.file(
        "Dockerfile",
        "FROM alias AS one\nCOPY --from=dir x /x\nFROM one\n",
    );
    let mut request = world.request();
    request.contexts = [
        ("alias".to_owned(), NamedContext::Image("base".to_owned())),
        (
            "dir".to_owned(),
            NamedContext::Directory(world.context().join("more")),
        ),
    ]
    .into();
    let built = world.build(&request).built();
    assert_eq!(read(&world, &built, "x"), "named");
}

#[test]
fn row_71_surroundings_of_steps() {
    let world = World::new();
    world.file("Dockerfile", "FROM base\nRUN cat /proc/self/cgroup > /cgroup; ulimit -n > /limit; cat /etc/hosts > /hosts\n");
    let mut request = world.request();
    let surroundings = &mut request.surroundings;
    surroundings.cgroup_parent = Some("/hoist/row71".to_owned());
    surroundings.extra_hosts = vec![("db".to_owned(), "10.0.0.9".to_owned())];
    surroundings.rlimits = vec![hoist_core::spec::Rlimit {
        kind: "RLIMIT_NOFILE".to_owned(),
        soft: 77,
        hard: 77,
    }];
    let built = world.build(&request).built();
    assert_eq!(read(&world, &built, "limit"), "77\n");
    assert!(read(&world, &built, "hosts").contains("10.0.0.9\tdb"));
    // The parent stays, as Docker leaves it; nothing is in it any more.
    for controller in fs::read_dir("/sys/fs/cgroup").unwrap() {
        let parent = controller.unwrap().path().join("hoist/row71");
        if parent.is_dir() {
            fs::remove_dir(&parent).expect("an empty cgroup");
        }
    }
    let _ = fs::remove_dir("/sys/fs/cgroup/hoist/row71");
}

#[test]
fn row_75_foreign_platforms() {
    let world = World::new();
    world.file("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let mut request = world.request();
    request.platform = Some(Platform {
        os: "linux".to_owned(),
        architecture: "riscv64".to_owned(),
        variant: None,
    });
    let built = world.build(&request).built();
    let image = world.engine.store().image(&built.id).unwrap().image;
    assert_eq!(image.platform.architecture, "riscv64");
}

#[test]
fn row_86_the_cache_is_kept_small() {
    let world = World::new();
    let mut world = world;
    let dockerfile = "FROM base AS one\nRUN dd if=/dev/urandom of=/big bs=1k count=300 2>/dev/null\nFROM scratch\nCOPY --from=one /bin/sh /sh\n";
    world.dockerfile(dockerfile).built();
    world.reopen();
    let count = |world: &World| cache_entries(&world.engine).unwrap().len();
    let policy = |max_bytes| CachePolicy {
        max_age: None,
        max_bytes: Some(max_bytes),
        scope: CacheScope::All,
    };
    assert_eq!(collect_cache(&world.engine, &policy(1 << 30)).unwrap(), 0);
    let before = count(&world);
    assert!(collect_cache(&world.engine, &policy(100)).unwrap() >= 300 << 10);
    assert!(count(&world) < before);
}

#[test]
fn row_89_misses_are_explained() {
    let world = World::new();
    world.file("a", "1");
    let dockerfile = "FROM base\nARG V=1\nCOPY a /\nRUN echo $V > /v\n";
    world.dockerfile(dockerfile).built();
    world.file("a", "2");
    insta::assert_snapshot!(world.dockerfile(dockerfile).steps(), @r"
    ran: COPY a / (a changed)
    ran: RUN echo $V > /v (a step before it has changed)
    ");
    let mut request = world.request();
    request.no_cache = true;
    insta::assert_snapshot!(world.build(&request).steps(), @r"
    ran: COPY a /
    ran: RUN echo $V > /v
    ");
}

#[test]
fn row_90_caches_that_are_not_used_are_noticed() {
    let world = World::new();
    let told = |outcome: &super::Outcome| -> Vec<String> {
        let events = outcome.events.iter();
        let warnings = events.filter_map(|event| match event {
            BuildEvent::Warning(warning) if warning.rule.is_none() => Some(format!(
                "{} [{}]",
                warning.message,
                warning.hints.join("; ")
            )),
            _ => None,
        });
        warnings.collect()
    };
    let step = |path: &str| {
        let text = format!(
            "FROM base\nRUN --mount=type=cache,target=/root/.cache/pip mkdir -p {path} && \
             dd if=/dev/zero of={path}/x bs=1k count=2000 2>/dev/null && \
             dd if=/dev/zero of=/app bs=1k count=1000 2>/dev/null\n"
        );
        told(&world.dockerfile(&text))
    };
    assert_eq!(
        step("/root/.cache/uv"),
        [
            "nothing was written to the cache mount /root/.cache/pip, while the layer grew by 3.07MB \
          [the layer has a cache in it: write --mount=type=cache,target=/root/.cache/uv]"
        ]
    );
    let idle = step("/opt");
    assert!(idle[0].contains("keeps it elsewhere"), "{idle:?}");
    assert_eq!(step("/root/.cache/pip"), [""; 0]);
}
