//! Caches that go from one machine to another: two data roots, and a directory between them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use hoist_build::{BuildRequest, CacheExport, CacheMode, CacheMounts, CacheTarget, Secret};
use hoist_core::{Digest, event::BuildEvent};
use hoist_engine::artifact::{Artifact, LayerForm, LayoutDirectory};

use crate::support::{Outcome, World};

/// Two stages, a cache mount, and steps whose output is never the same twice.
const DOCKERFILE: &str = "FROM base AS builder\n\
    COPY go.mod /src/\n\
    RUN --mount=type=cache,id=modules,target=/modules \
      if test -e /modules/one; then echo warm; else echo module > /modules/one; echo cold; fi > /how\n\
    COPY main.go /src/\n\
    RUN mkdir /out && cat /src/main.go /how /proc/sys/kernel/random/uuid > /out/program\n\
    FROM base\n\
    RUN cat /proc/sys/kernel/random/uuid > /id\n\
    COPY --from=builder /out/program /program\n\
    COPY late /late\n\
    CMD [\"cat\", \"/late\"]\n";

/// The artifact in `directory`.
pub(crate) fn place(directory: &Path) -> Arc<dyn Artifact> {
    let tag = "latest".to_owned();
    Arc::new(LayoutDirectory::new(directory.to_owned(), tag))
}

pub(crate) fn export(directory: &Path, mode: CacheMode) -> CacheExport {
    CacheExport {
        to: CacheTarget::Artifact(place(directory)),
        mode,
        mounts: CacheMounts::None,
        form: LayerForm::Any,
        ignores_errors: false,
    }
}

/// A world that has exported the cache of [`DOCKERFILE`], a twin that has not built it, and the
/// directory.
fn exported(mode: CacheMode, mounts: CacheMounts) -> (World, World, PathBuf) {
    let one = World::new();
    let two = one.twin();
    for world in [&one, &two] {
        world
            .file("Dockerfile", DOCKERFILE)
            .file("go.mod", "module")
            .file("main.go", "main\n")
            .file("late", "late\n");
    }
    let directory = one.directory.path().join("cache");
    let request = BuildRequest {
        cache_to: vec![CacheExport {
            mounts,
            ..export(&directory, mode)
        }],
        ..one.request()
    };
    one.build(&request).built();
    (one, two, directory)
}

pub(crate) fn from(world: &World, directory: &Path) -> BuildRequest {
    BuildRequest {
        cache_from: vec![place(directory)],
        ..world.request()
    }
}

/// The warnings that stand behind no rule: those about caches.
pub(crate) fn warnings(outcome: &Outcome) -> Vec<&str> {
    let warnings = outcome.events.iter().filter_map(|event| match event {
        BuildEvent::Warning(warning) if warning.rule.is_none() => Some(warning.message.as_str()),
        _ => None,
    });
    warnings.collect()
}

/// How many layers a store has.
fn layers(world: &World) -> usize {
    fs::read_dir(world.directory.path().join("root/layers/sha256"))
        .or_else(|_| fs::read_dir(world.directory.path().join("root/layers")))
        .expect("layers")
        .count()
}

fn id(world: &World) -> Digest {
    world.build(&world.request()).built().id
}

#[track_caller]
fn all_cached(outcome: &Outcome) {
    let steps = outcome.steps();
    assert!(!steps.contains("ran: "), "{steps}");
}

#[test]
fn a_fresh_machine_has_everything_and_fetches_only_the_image() {
    let (one, two, cache) = exported(CacheMode::Max, CacheMounts::None);
    let before = layers(&two);
    let outcome = two.build(&from(&two, &cache));
    assert_eq!(warnings(&outcome), [""; 0]);
    all_cached(&outcome);
    let built = outcome.built();
    assert_eq!(built.id, id(&one));
    assert_eq!(built.cached, built.steps);
    assert_eq!(built.size(), one.build(&one.request()).built().size());
    // The three layers above the base, and none of the other stage's.
    assert_eq!(layers(&two), before + 3);
    // What arrived is this machine's own now; what did not is not claimed to be.
    let again = two.build(&two.request());
    insta::assert_snapshot!(again.steps(), @r"
    ran: COPY go.mod /src/
    ran: RUN --mount=type=cache,id=modules,target=/modules if test -e /modules/one; then echo warm; else echo module > /modules/one; echo cold; fi > /how
    ran: COPY main.go /src/
    ran: RUN mkdir /out && cat /src/main.go /how /proc/sys/kernel/random/uuid > /out/program
    cached: RUN cat /proc/sys/kernel/random/uuid > /id
    ran: COPY --from=builder /out/program /program (out/program changed)
    ran: COPY late /late (a step before it has changed)
    ");
}

#[test]
fn only_what_changed_runs_and_says_why() {
    let (_one, two, cache) = exported(CacheMode::Max, CacheMounts::None);
    let before = layers(&two);
    two.file("late", "later\n");
    let late = two.build(&from(&two, &cache));
    assert!(
        late.steps()
            .ends_with("\nran: COPY late /late (late changed)")
            && late.steps().matches("ran: ").count() == 1,
        "{}",
        late.steps()
    );
    late.built();
    assert_eq!(layers(&two), before + 3);
    two.file("main.go", "other\n");
    insta::assert_snapshot!(two.build(&from(&two, &cache)).steps(), @r"
    cached: COPY go.mod /src/
    cached: RUN --mount=type=cache,id=modules,target=/modules if test -e /modules/one; then echo warm; else echo module > /modules/one; echo cold; fi > /how
    ran: COPY main.go /src/ (main.go changed)
    ran: RUN mkdir /out && cat /src/main.go /how /proc/sys/kernel/random/uuid > /out/program (a step before it has changed)
    cached: RUN cat /proc/sys/kernel/random/uuid > /id
    ran: COPY --from=builder /out/program /program (out/program changed)
    ran: COPY late /late (a step before it has changed)
    ");
}

#[test]
fn the_layers_of_the_image_are_enough_as_long_as_nothing_changes() {
    let (one, two, cache) = exported(CacheMode::Min, CacheMounts::None);
    let blobs = fs::read_dir(cache.join("blobs/sha256")).unwrap().count();
    // Three layers, configuration, manifest.
    assert_eq!(blobs, 5);
    let unchanged = two.twin();
    for (name, content) in [
        ("Dockerfile", DOCKERFILE),
        ("go.mod", "module"),
        ("main.go", "main\n"),
        ("late", "late\n"),
    ] {
        unchanged.file(name, content);
    }
    let outcome = unchanged.build(&from(&unchanged, &cache));
    all_cached(&outcome);
    assert_eq!(outcome.built().id, id(&one));
    // A step whose layer nobody exported is done when something stands on it, told once.
    two.file("main.go", "other\n");
    let outcome = two.build(&from(&two, &cache));
    insta::assert_snapshot!(outcome.steps(), @r"
    ran: COPY go.mod /src/ (the imported cache does not have its layer)
    ran: RUN --mount=type=cache,id=modules,target=/modules if test -e /modules/one; then echo warm; else echo module > /modules/one; echo cold; fi > /how (the imported cache does not have its layer)
    ran: COPY main.go /src/ (main.go changed)
    ran: RUN mkdir /out && cat /src/main.go /how /proc/sys/kernel/random/uuid > /out/program (a step before it has changed)
    cached: RUN cat /proc/sys/kernel/random/uuid > /id
    ran: COPY --from=builder /out/program /program (out/program changed)
    ran: COPY late /late (a step before it has changed)
    ");
    assert_eq!(warnings(&outcome), [""; 0]);
    let starts = |index| {
        let events = outcome.events.iter();
        let starts = |event: &&BuildEvent| matches!(event, BuildEvent::StepStarted { index: found, .. } if *found == index);
        events.filter(starts).count()
    };
    assert_eq!(starts(5), 1, "{:?}", outcome.events);
    let built = outcome.built();
    assert_eq!((built.cached, built.steps), (1, 7));
    let program = two.files(&built.id, "program");
    assert!(program.contains("other\\ncold"), "{program}");
}

#[test]
fn stages_that_lose_the_same_layer_go_on_together() {
    let one = World::new();
    let two = one.twin();
    for world in [&one, &two] {
        world.file("left", "1").file("right", "1").file(
            "Dockerfile",
            "FROM base AS common\nRUN cat /proc/sys/kernel/random/uuid > /common\n\
             FROM common AS left\nCOPY left /left\nRUN cat /common /left > /out\n\
             FROM common AS right\nCOPY right /right\nRUN cat /common /right > /out\n\
             FROM base\nCOPY --from=left /out /left\nCOPY --from=right /out /right\n",
        );
    }
    let cache = one.directory.path().join("cache");
    let request = BuildRequest {
        cache_to: vec![export(&cache, CacheMode::Min)],
        ..one.request()
    };
    one.build(&request).built();
    two.file("left", "2").file("right", "2");
    let outcome = two.build(&from(&two, &cache));
    assert_eq!(warnings(&outcome), [""; 0]);
    let built = outcome.built();
    let content = |name| {
        two.files(&built.id, name)
            .split('"')
            .nth(1)
            .map(str::to_owned)
    };
    // Both stand on the same step, which ran once.
    assert_eq!(content("left"), content("right"));
}

#[test]
fn cache_mounts_come_along_where_there_are_none() {
    let (_one, two, cache) = exported(CacheMode::Max, CacheMounts::All);
    let three = two.twin();
    two.file("go.mod", "changed");
    let request = from(&two, &cache);
    let built = two.build(&request).built();
    let program = two.files(&built.id, "program");
    assert!(program.contains("main\\nwarm"), "{program}");
    // A mount that is here stays as it is.
    for name in ["Dockerfile", "main.go", "late"] {
        fs::copy(two.context().join(name), three.context().join(name)).unwrap();
    }
    three.file("go.mod", "third").file(
        "Dockerfile.own",
        "FROM base\nRUN --mount=type=cache,id=modules,target=/m echo own > /m/own\n",
    );
    let own = BuildRequest {
        dockerfile: Some(three.context().join("Dockerfile.own")),
        ..three.request()
    };
    three.build(&own).built();
    let built = three.build(&from(&three, &cache)).built();
    let program = three.files(&built.id, "program");
    assert!(program.contains("main\\ncold"), "{program}");
    let mounts = three.directory.path().join("root/cache/mounts-v1");
    let data = mounts.join(Digest::of(b"modules").hex()).join("data");
    assert!(data.join("own").exists() && data.join("one").exists());
}

#[test]
fn what_was_never_fetched_is_passed_on() {
    let (one, two, cache) = exported(CacheMode::Max, CacheMounts::All);
    let onward = two.directory.path().join("onward");
    let request = BuildRequest {
        cache_to: vec![CacheExport {
            mounts: CacheMounts::Only(vec!["modules".to_owned(), "nodules".to_owned()]),
            ..export(&onward, CacheMode::Max)
        }],
        ..from(&two, &cache)
    };
    let outcome = two.build(&request);
    let [unknown] = &warnings(&outcome)[..] else {
        panic!("{:?}", warnings(&outcome));
    };
    assert_eq!(
        *unknown,
        "no step of this build has a cache mount \"nodules\", so it is not exported; there are: modules"
    );
    outcome.built();
    // The same cache gives the same bytes, wherever it has been.
    let index = |directory: &Path| fs::read_to_string(directory.join("index.json")).unwrap();
    assert_eq!(index(&cache), index(&onward));
    let blobs = |directory: &Path| {
        fs::read_dir(directory.join("blobs/sha256"))
            .unwrap()
            .count()
    };
    assert_eq!(blobs(&cache), blobs(&onward));
    let before = index(&cache);
    let again = BuildRequest {
        cache_to: vec![CacheExport {
            mounts: CacheMounts::All,
            ..export(&cache, CacheMode::Max)
        }],
        ..one.request()
    };
    one.build(&again).built();
    assert_eq!(index(&cache), before);
}

#[test]
fn every_compression_is_read_again() {
    use hoist_engine::image::PushRequest;
    let (one, two, _) = exported(CacheMode::Max, CacheMounts::None);
    let codec = |name| LayerForm::Compressed(PushRequest::codec(name, None).unwrap());
    for (number, form) in [LayerForm::Plain, codec("zstd"), codec("gzip")]
        .into_iter()
        .enumerate()
    {
        let cache = one.directory.path().join(number.to_string());
        let request = BuildRequest {
            cache_to: vec![CacheExport {
                form,
                mounts: CacheMounts::All,
                ..export(&cache, CacheMode::Max)
            }],
            ..one.request()
        };
        one.build(&request).built();
        let machine = two.twin();
        for name in ["Dockerfile", "go.mod", "main.go", "late"] {
            fs::copy(two.context().join(name), machine.context().join(name)).unwrap();
        }
        let outcome = machine.build(&from(&machine, &cache));
        all_cached(&outcome);
        assert_eq!(outcome.built().id, id(&one));
        machine.file("go.mod", "changed");
        let built = machine.build(&from(&machine, &cache)).built();
        assert!(machine.files(&built.id, "program").contains("warm"));
    }
}

#[test]
fn a_cache_that_is_not_there_is_a_warning_and_an_export_that_fails_is_not() {
    let world = World::new();
    world.file("Dockerfile", "FROM base\nRUN echo 1 > /1\n");
    let nowhere = world.directory.path().join("nowhere");
    let outcome = world.build(&from(&world, &nowhere));
    let text = warnings(&outcome).join("\n");
    assert!(text.contains("is not used: cannot read"), "{text}");
    let is_hinted = |event: &BuildEvent| {
        matches!(event, BuildEvent::Warning(warning)
            if warning.hints == ["a build with --cache-to writes it"])
    };
    assert!(outcome.events.iter().any(is_hinted));
    let failed = |event: &BuildEvent| matches!(event, BuildEvent::TaskFailed { .. });
    assert!(outcome.events.iter().any(failed));
    outcome.built();
    world.file("file", "");
    let mut to = export(&world.context().join("file/below"), CacheMode::Min);
    let request = |to: &CacheExport| BuildRequest {
        cache_to: vec![to.clone()],
        ..world.request()
    };
    let error = world.build(&request(&to)).error();
    assert!(error.starts_with("cannot export the cache to "), "{error}");
    assert!(error.contains("ignore-error=true"), "{error}");
    to.ignores_errors = true;
    let outcome = world.build(&request(&to));
    let text = warnings(&outcome).join("\n");
    assert!(text.starts_with("the cache was not exported to "), "{text}");
    outcome.built();
}

#[test]
fn an_inline_cache_goes_with_the_image_and_changes_no_layer() {
    let (one, _, _) = exported(CacheMode::Min, CacheMounts::None);
    let request = BuildRequest {
        cache_to: vec![CacheExport {
            to: CacheTarget::Inline,
            ..export(Path::new(""), CacheMode::Min)
        }],
        ..one.request()
    };
    let plain = one.build(&one.request()).built();
    let inline = one.build(&request).built();
    assert_eq!(plain.layers, inline.layers);
    assert_ne!(plain.id, inline.id);
    assert_eq!(one.build(&request).built().id, inline.id);
    let config = one.engine.store().config(&inline.id).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let records = config["hoist.cache.v1"]["records"].as_array().unwrap();
    let instructions: Vec<_> = records
        .iter()
        .map(|record| record["parts"][0]["value"].as_str().unwrap())
        .collect();
    // Of the other stage nothing is told.
    assert_eq!(instructions.len(), 4, "{instructions:?}");
    assert!(instructions.iter().all(|text| !text.contains("main.go")));
}

#[test]
fn secrets_stay_here() {
    let world = World::new();
    let value = "s3cr3t-0f-0ld-times";
    world.file(
        "Dockerfile",
        format!(
            "FROM base\nARG API_TOKEN\nRUN --mount=type=secret,id=token test -s /run/secrets/token && echo $API_TOKEN | cat > /dev/null && echo 1 > /1\n\
             RUN echo {value} > /dev/null && echo 2 > /2\n\
             RUN --mount=type=cache,id=good,target=/c echo fine > /c/fine && echo 3 > /3\n\
             RUN --mount=type=cache,id=env,target=/c echo A=$((1+1))b > /c/.env && echo 4 > /4\n"
        ),
    );
    let cache = world.directory.path().join("cache");
    let request = |mounts| BuildRequest {
        secrets: vec![Secret::new("token", value)],
        build_args: vec![("API_TOKEN".to_owned(), Some("t0ken-0f-0ld".to_owned()))],
        cache_to: vec![CacheExport {
            mounts,
            ..export(&cache, CacheMode::Max)
        }],
        ..world.request()
    };
    let outcome = world.build(&request(CacheMounts::All));
    let text = warnings(&outcome).join("\n");
    assert!(
        text.starts_with(
            "the cache mount env is not exported: a file of settings and secrets is in it: /.env;"
        ),
        "{text}"
    );
    outcome.built();
    let mut whole = Vec::new();
    for entry in fs::read_dir(cache.join("blobs/sha256")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let mut inflated = Vec::new();
        let mut decoder = flate2::read::MultiGzDecoder::new(&bytes[..]);
        if std::io::Read::read_to_end(&mut decoder, &mut inflated).is_err() {
            inflated = bytes;
        }
        whole.extend(inflated);
    }
    let text = String::from_utf8_lossy(&whole);
    assert!(text.contains("echo 3 > /3") && text.contains("fine\n"));
    for secret in [value, "t0ken-0f-0ld", "echo 2 > /2", "A=2b"] {
        assert!(!text.contains(secret), "{secret}");
    }
    // The value itself in a mount ends the export.
    world.file(
        "Dockerfile",
        "FROM base\nRUN --mount=type=secret,id=token --mount=type=cache,id=bad,target=/c cp /run/secrets/token /c/\n",
    );
    let error = world.build(&request(CacheMounts::All)).error();
    assert!(
        error
            .contains("the value of the secret token is in the new layer: (cache mount bad)/token"),
        "{error}"
    );
}
