//! `SOURCE_DATE_EPOCH`, reproducible builds, and builds that are compared.

use std::{
    fs,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::AtomicBool,
    time::{Duration, SystemTime},
};

use hoist_build::{
    BuildError, BuildRequest, Built, Change, Timestamps, Verification, cached_layers,
    unpack_context, verify, write_directory, write_files,
};
use hoist_core::{Digest, event::BuildEvent};

use crate::support::{Outcome, World};

const EPOCH: i64 = 1_650_000_000;

/// A request with `SOURCE_DATE_EPOCH`, if it has one.
fn request(world: &World, timestamps: Timestamps, epoch: Option<&str>) -> BuildRequest {
    let argument = |value: &str| ("SOURCE_DATE_EPOCH".to_owned(), Some(value.to_owned()));
    BuildRequest {
        timestamps,
        build_args: epoch.map(argument).into_iter().collect(),
        ..world.request()
    }
}

fn build(world: &World, timestamps: Timestamps, epoch: Option<&str>) -> Outcome {
    world.build(&request(world, timestamps, epoch))
}

/// Another time than that of the last call: what a step writes at "now".
const NEW_TIME: &str = "RUN --mount=type=cache,target=/c \
    n=$(cat /c/n || echo 1700000000); n=$((n + 100)); echo $n > /c/n; \
    mkdir /made; echo x > /made/file; ln -s file /made/link; touch -h -d @$n /made/link; \
    touch -d @$n /made/file /made\n";

/// The times of files of an image, in seconds.
fn times<const N: usize>(world: &World, built: &Built, paths: [&str; N]) -> [i64; N] {
    let view = world.engine.merged_view(&layers(built)).expect("a view");
    let base = PathBuf::from(format!("/proc/self/fd/{}", view.as_raw_fd()));
    paths.map(|path| {
        let found = fs::symlink_metadata(base.join(path));
        found.expect("a file").mtime()
    })
}

fn layers(built: &Built) -> Vec<Digest> {
    built.layers.iter().map(|layer| layer.diff_id).collect()
}

fn date(path: &Path, seconds: i64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
    let file = fs::File::open(path).expect("a file");
    file.set_modified(time).expect("its time");
}

#[test]
fn the_argument_dates_image_and_history_and_reaches_steps_that_declare_it() {
    let world = World::new();
    world.file(
        "Dockerfile",
        "FROM base\nRUN echo \"<$SOURCE_DATE_EPOCH>\" > /none\nARG SOURCE_DATE_EPOCH\n\
         RUN echo \"<$SOURCE_DATE_EPOCH>\" > /some\nCMD [\"sh\"]\n",
    );
    let epoch = EPOCH.to_string();
    let built = build(&world, Timestamps::Kept, Some(&epoch)).built();
    assert_eq!(built.epoch, Some(EPOCH));
    let image = &built.image;
    let date = "2022-04-15T05:20:00Z";
    assert_eq!(image.created.as_deref(), Some(date));
    let dates = image.history.iter().map(|entry| entry.created.as_deref());
    let dates: Vec<_> = dates.collect();
    assert_ne!(dates[0], Some(date), "that of the base image stays");
    assert!(dates[1..].iter().all(|found| *found == Some(date)));
    insta::assert_snapshot!(world.files(&built.id, "none"), @r#"0644 0:0 none "<>\n""#);
    insta::assert_snapshot!(world.files(&built.id, "some"), @r#"0644 0:0 some "<1650000000>\n""#);
    // Files have the time that they were written at, and the cache does not know the difference.
    let [none, some] = times(&world, &built, ["none", "some"]);
    assert!(none > EPOCH && some > EPOCH);
    let other = build(&world, Timestamps::Kept, Some("1")).steps();
    insta::assert_snapshot!(other, @r#"
    cached: RUN echo "<$SOURCE_DATE_EPOCH>" > /none
    ran: RUN echo "<$SOURCE_DATE_EPOCH>" > /some (ARG SOURCE_DATE_EPOCH changed from "1650000000" to "1")
    "#);
}

#[test]
fn the_dockerfile_may_say_the_epoch_and_the_command_line_overrules_it() {
    let world = World::new();
    let text = format!(
        "ARG SOURCE_DATE_EPOCH={EPOCH}\nFROM base\nARG SOURCE_DATE_EPOCH\n\
         LABEL built=$SOURCE_DATE_EPOCH\n"
    );
    world.file("Dockerfile", text);
    let label = |built: &Built| built.image.config.labels.get("built").cloned();
    let built = build(&world, Timestamps::Kept, None).built();
    assert_eq!(built.epoch, Some(EPOCH));
    assert_eq!(label(&built), Some(EPOCH.to_string()));
    let built = build(&world, Timestamps::Kept, Some("7")).built();
    assert_eq!(
        (built.epoch, label(&built)),
        (Some(7), Some("7".to_owned()))
    );
    let built = build(&world, Timestamps::Kept, Some("")).built();
    assert_eq!(built.epoch, None);
    // Only the argument before the first FROM speaks for the build.
    world.file("Dockerfile", "FROM base\nARG SOURCE_DATE_EPOCH=5\n");
    assert_eq!(build(&world, Timestamps::Kept, None).built().epoch, None);
}

#[test]
fn what_is_no_time_is_refused_with_its_place() {
    let world = World::new();
    world.file(
        "Dockerfile",
        "FROM scratch AS src\nADD https://example.com/x.tar /\nFROM scratch AS two\nCOPY x /\nFROM base\n",
    );
    let error = |epoch| build(&world, Timestamps::Kept, Some(epoch)).error();
    insta::assert_snapshot!(error("yesterday"), @r"
    invalid SOURCE_DATE_EPOCH: yesterday
    hint: write seconds since 1970, context, or the name of a remote context or of a stage that only adds one remote source
    ");
    assert!(error("contex").contains("hint: did you mean context?"));
    for text in ["-1", "1.5", "99999999999999"] {
        assert!(error(text).starts_with("invalid SOURCE_DATE_EPOCH"));
    }
    insta::assert_snapshot!(error("SRC"), @r"
    Dockerfile:2
    --------------------
       1 |     FROM scratch AS src
       2 | >>> ADD https://example.com/x.tar /
       3 |     FROM scratch AS two
       4 |     COPY x /
    --------------------
    https://example.com/x.tar lies elsewhere, and this build may fetch nothing
    ");
    insta::assert_snapshot!(error("two"), @r"
    Dockerfile:3
    --------------------
       1 |     FROM scratch AS src
       2 |     ADD https://example.com/x.tar /
       3 | >>> FROM scratch AS two
       4 |     COPY x /
       5 |     FROM base
    --------------------
    SOURCE_DATE_EPOCH stage does not meet source-only requirements: unsupported copy instruction
    hint: the stage that SOURCE_DATE_EPOCH names is: FROM scratch, then ADD of one URL or git repository
    ");
}

#[test]
fn the_time_of_an_archive_is_that_of_its_newest_file_and_a_directory_has_none() {
    let world = World::new();
    let text = "ARG SOURCE_DATE_EPOCH=context\nFROM base\nARG SOURCE_DATE_EPOCH\n\
         RUN echo \"<$SOURCE_DATE_EPOCH>\" > /x\n";
    world.file("Dockerfile", text);
    let built = build(&world, Timestamps::Kept, None).built();
    assert_eq!(built.epoch, None);
    insta::assert_snapshot!(world.files(&built.id, "x"), @r#"0644 0:0 x "<>\n""#);

    let mut archive = tar::Builder::new(Vec::new());
    for (name, time) in [("Dockerfile", 5), ("file", 9), ("old", 1)] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(time);
        header.set_size(text.len() as u64);
        archive
            .append_data(&mut header, name, text.as_bytes())
            .expect("a member");
    }
    let archive = archive.into_inner().expect("an archive");
    let context = unpack_context(&world.engine, &archive[..]).expect("a context");
    let request = BuildRequest {
        context: context.path().to_owned(),
        context_label: Some("-".to_owned()),
        context_time: context.time().expect("a time"),
        ..world.request()
    };
    let built = world.build(&request).built();
    assert_eq!(built.epoch, Some(9));
    insta::assert_snapshot!(world.files(&built.id, "x"), @r#"0644 0:0 x "<9>\n""#);
}

#[test]
fn rewritten_times_are_at_most_the_epoch_and_have_layers_of_their_own() {
    let world = World::new();
    world.file("old", "1").file("new", "2");
    date(&world.context().join("old"), 1_000_000_000);
    date(&world.context().join("new"), 1_700_000_000);
    world.file(
        "Dockerfile",
        format!("FROM base\nWORKDIR /made/by/workdir\nCOPY old new /\n{NEW_TIME}")
            .replace("mkdir /made;", ""),
    );
    let epoch = EPOCH.to_string();
    let plain = build(&world, Timestamps::Kept, None).built();
    let first = build(&world, Timestamps::Rewritten, Some(&epoch));
    insta::assert_snapshot!(
        first.steps().lines().nth(1).expect("a step"),
        @r#"ran: COPY old new / (epoch is new: "1650000000")"#
    );
    let first = first.built();
    assert_ne!(layers(&first)[1..], layers(&plain)[1..]);
    assert_eq!(
        times(
            &world,
            &first,
            ["old", "new", "made/file", "made/link", "made"]
        ),
        [1_000_000_000, EPOCH, EPOCH, EPOCH, EPOCH]
    );
    // Each finds its own again.
    for (timestamps, epoch, id) in [
        (Timestamps::Kept, None, plain.id),
        (Timestamps::Rewritten, Some(epoch.as_str()), first.id),
    ] {
        let again = build(&world, timestamps, epoch).built();
        assert_eq!((again.id, again.cached), (id, again.steps));
    }
    let other = build(&world, Timestamps::Rewritten, Some("7"));
    assert!(
        other
            .steps()
            .contains("(epoch changed from \"1650000000\" to \"7\")")
    );
    let back = build(&world, Timestamps::Kept, None);
    assert_eq!(back.built().id, plain.id);
    // Without an epoch there is nothing to rewrite to, and that is said.
    let none = build(&world, Timestamps::Rewritten, None);
    let warned = none.events.iter().any(|event| {
        matches!(event, BuildEvent::Warning(warning)
            if warning.message.contains("no source-date-epoch was found"))
    });
    assert!(warned);
    assert_eq!(none.built().id, plain.id);
}

#[test]
fn reproducible_builds_at_different_times_and_places_give_one_image() {
    let world = World::new();
    let text = format!(
        "FROM base AS builder\n{NEW_TIME}FROM base\nWORKDIR /app\nCOPY src/ .\nCOPY --link src/a /linked/\n\
         COPY <<end /here\nhello\nend\nCOPY --from=builder /made /out\nADD files.tar /unpacked/\n{NEW_TIME}"
    );
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_mtime(1234);
    header.set_size(1);
    archive
        .append_data(&mut header, "member", &b"x"[..])
        .expect("a member");
    let archive = archive.into_inner().expect("an archive");
    world
        .file("Dockerfile", &text)
        .file("src/a", "a")
        .file("src/deep/b", "b")
        .file("files.tar", archive);
    let epoch = EPOCH.to_string();
    let request = BuildRequest {
        no_cache: true,
        ..request(&world, Timestamps::Reproducible, Some(&epoch))
    };
    let first = world.build(&request).built();
    // Another checkout: older and newer files, and everything made at another time.
    date(&world.context().join("src/a"), 1_000_000_000);
    date(&world.context().join("src/deep/b"), 1_800_000_000);
    date(&world.context().join("src/deep"), 1_100_000_000);
    let second = world.build(&request).built();
    assert_eq!(first.image, second.image);
    assert_eq!(first.id, second.id);
    let paths = [
        "app/a",
        "app/deep",
        "here",
        "linked/a",
        "out/file",
        "made/link",
    ];
    assert_eq!(times(&world, &second, paths), [EPOCH; 6]);
    assert_eq!(times(&world, &second, ["unpacked/member"]), [1234]);
    // What the cache has is the same, too, whichever checkout it comes from.
    let cached = BuildRequest {
        no_cache: false,
        ..request
    };
    let third = world.build(&cached).built();
    assert_eq!((third.id, third.cached), (first.id, third.steps));
    // A build that is not reproducible finds none of it.
    let plain = build(&world, Timestamps::Kept, Some(&epoch)).built();
    assert_eq!(plain.cached, 0);
}

#[test]
fn steps_of_reproducible_builds_are_told_the_epoch_unless_they_know_better() {
    let world = World::new();
    world.file(
        "Dockerfile",
        "FROM base\nRUN echo $SOURCE_DATE_EPOCH $PYTHONHASHSEED > /x\n\
         ENV PYTHONHASHSEED=random SOURCE_DATE_EPOCH=1\n\
         RUN echo $SOURCE_DATE_EPOCH $PYTHONHASHSEED > /y\n",
    );
    let epoch = EPOCH.to_string();
    let built = build(&world, Timestamps::Reproducible, Some(&epoch)).built();
    insta::assert_snapshot!(world.files(&built.id, "x"), @r#"0644 0:0 x "1650000000 0\n""#);
    insta::assert_snapshot!(world.files(&built.id, "y"), @r#"0644 0:0 y "1 random\n""#);
    // Neither is left in the image.
    let env = built.image.config.env.join(" ");
    assert!(
        !env.contains("1650000000") && !env.contains("PYTHONHASHSEED=0"),
        "{env}"
    );
}

#[test]
fn without_an_epoch_it_is_the_newest_of_the_context_and_the_base() {
    let world = World::new();
    world
        .file(
            "Dockerfile",
            "FROM base\nARG SOURCE_DATE_EPOCH\nLABEL at=$SOURCE_DATE_EPOCH\n",
        )
        .file(".dockerignore", "ignored\n")
        .file("ignored", "")
        .file("file", "");
    for (name, time) in [
        ("Dockerfile", 1_610_000_000),
        (".dockerignore", 1_610_000_000),
        ("ignored", 1_690_000_000),
        ("file", 1_620_000_000),
    ] {
        date(&world.context().join(name), time);
    }
    let chosen = || {
        let outcome = build(&world, Timestamps::Reproducible, None);
        let told = outcome.events.iter().find_map(|event| match event {
            BuildEvent::EpochChosen { seconds, source } => Some(format!("{seconds}: {source}")),
            _ => None,
        });
        let built = outcome.built();
        let label = built.image.config.labels.get("at").cloned();
        assert_eq!(label, built.epoch.map(|epoch| epoch.to_string()));
        told.expect("an epoch")
    };
    insta::assert_snapshot!(chosen(), @"1620000000: the newest file, file");
    date(&world.context().join("file"), 1_500_000_000);
    insta::assert_snapshot!(chosen(), @"1610000000: the newest file, Dockerfile");
    date(&world.context().join("Dockerfile"), 1_500_000_000);
    date(&world.context().join(".dockerignore"), 1_500_000_000);
    // What make compares must not become older than what the base brings along.
    insta::assert_snapshot!(chosen(), @"1600000000: /bin/[ of the base image base");

    // A checkout has the time of its commit, whenever it was made and whatever lies around.
    let git = |arguments: &[&str]| {
        let status = Command::new("git")
            .args(["-c", "user.name=A", "-c", "user.email=a@b"])
            .args(arguments)
            .current_dir(world.context())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_COMMITTER_DATE", "1640000000 +0000")
            .status();
        assert!(status.expect("install it: apt-get install git").success());
    };
    git(&["init", "-q"]);
    git(&["add", "Dockerfile", ".dockerignore", "file"]);
    git(&["commit", "-q", "-m", "one"]);
    world.file("cache", "").file("ignored", "other");
    let text = chosen();
    assert!(text.starts_with("1640000000: the commit "), "{text}");
    date(&world.context().join("file"), 1_645_000_000);
    assert_eq!(chosen(), text);
    world.file("file", "changed");
    date(&world.context().join("file"), 1_646_000_000);
    date(&world.context().join("cache"), 1_500_000_000);
    let text = chosen();
    assert!(
        text.starts_with("1646000000: the newest file, file (file is not as in the commit "),
        "{text}"
    );
}

#[test]
fn a_broken_repository_is_said_and_does_not_count() {
    let world = World::new();
    world.file("Dockerfile", "FROM base\n");
    world.file(".git/HEAD", "ref: ../../etc/passwd\n");
    let outcome = build(&world, Timestamps::Reproducible, None);
    let source = outcome.events.iter().find_map(|event| match event {
        BuildEvent::EpochChosen { source, .. } => Some(source.clone()),
        _ => None,
    });
    let source = source.expect("an epoch");
    assert!(
        source.starts_with("the newest file, Dockerfile (the repository cannot be read: "),
        "{source}"
    );
    outcome.built();
}

#[test]
fn bounded_times_keep_their_order_for_make() {
    let world = World::new();
    // Each step tells whether a target is out of date, as make would see it.
    world.file(
        "Dockerfile",
        "FROM base\nRUN touch -d @1500000000 /source && touch -d @1500000001 /older && \
         touch -d @1700000000 /between && touch -d @1700000001 /target\n\
         RUN [ ! /source -nt /older ] && [ ! /older -nt /between ] && [ ! /between -nt /target ] \
         && [ ! /bin/busybox -nt /target ] && [ /older -nt /source ]\n",
    );
    build(&world, Timestamps::Reproducible, Some(&EPOCH.to_string())).built();
    build(&world, Timestamps::Reproducible, None).built();
}

#[test]
fn directories_and_archives_of_files_have_the_epoch() {
    let world = World::new();
    world.file("Dockerfile", "FROM base\nRUN echo x > /x\n");
    let built = build(&world, Timestamps::Kept, Some("1000")).built();
    let destination = world.directory.path().join("out");
    let never = AtomicBool::new(false);
    write_directory(
        &world.engine,
        &built.id,
        built.epoch,
        (&destination, hoist_build::Others::Stay),
        &never,
    )
    .expect("a directory");
    for name in ["x", "bin/busybox", "bin/sh", "etc"] {
        let found = fs::symlink_metadata(destination.join(name)).expect("a file");
        assert_eq!(found.mtime(), 1000, "{name}");
    }
    let mut archive = Vec::new();
    write_files(&world.engine, &built.id, built.epoch, &mut archive).expect("an archive");
    let mut archive = tar::Archive::new(&archive[..]);
    for member in archive.entries().expect("members") {
        let member = member.expect("a member");
        assert_eq!(member.header().mtime().expect("a time"), 1000);
    }
}

/// Build, and compare with another build.
fn verified(world: &World, request: &BuildRequest) -> (Built, Verification) {
    let built = world.build(request).built();
    let never = AtomicBool::new(false);
    let verified = verify(&world.engine, request, &built, &|_| {}, &never);
    (built, verified.expect("a second build"))
}

#[test]
fn a_second_build_names_what_differs_and_leaves_nothing() {
    let world = World::new();
    world.file(
        "Dockerfile",
        "FROM base AS builder\nRUN cat /proc/sys/kernel/random/uuid > /id\nRUN echo same > /same\n\
         FROM base\nCOPY --from=builder /id /same /\nRUN mkdir /d && echo x > /d/x\n\
         RUN cat /id > /d/y; rm /tmp/none || true\n",
    );
    let epoch = EPOCH.to_string();
    let request = request(&world, Timestamps::Reproducible, Some(&epoch));
    let before = || {
        let root = world.directory.path().join("root");
        let count = |name: &str| fs::read_dir(root.join(name)).expect("a directory").count();
        (count("layers"), count("images"), count("cache/build-v1"))
    };
    let first = world.build(&request).built();
    let counts = before();
    let records = cached_layers(&world.engine).expect("records");
    let (built, verified) = verified(&world, &request);
    assert_eq!((built.id, built.cached), (first.id, built.steps));
    assert!(!verified.is_equal());
    let lines: Vec<String> = verified
        .steps
        .iter()
        .flat_map(|step| {
            let differences = step.differences.iter().map(|difference| {
                let path = difference.path.display();
                format!(
                    "{} {}: {path} {:?}",
                    step.stage, step.instruction, difference.changes
                )
            });
            differences.collect::<Vec<_>>()
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    builder RUN cat /proc/sys/kernel/random/uuid > /id: /id [Content]
    stage-1 COPY --from=builder /id /same /: /id [Content]
    stage-1 RUN cat /id > /d/y; rm /tmp/none || true: /d/y [Content]
    ");
    assert!(verified.config.is_empty());
    assert_eq!(before(), counts);
    assert_eq!(cached_layers(&world.engine).expect("records"), records);
    // The first build is what is there, and what the next one finds.
    let again = world.build(&request).built();
    assert_eq!((again.id, again.cached), (first.id, again.steps));
}

#[test]
fn equal_builds_are_equal_and_unequal_times_are_told() {
    let world = World::new();
    world.file("Dockerfile", format!("FROM base\n{NEW_TIME}"));
    let epoch = EPOCH.to_string();
    let (built, found) = verified(
        &world,
        &request(&world, Timestamps::Reproducible, Some(&epoch)),
    );
    assert!(found.is_equal());
    assert_eq!((found.first, found.second), (built.id, built.id));
    assert!(found.steps.is_empty() && found.config.is_empty());

    let (_, found) = verified(&world, &request(&world, Timestamps::Kept, None));
    assert!(!found.is_equal());
    let changes: Vec<_> = found.steps[0]
        .differences
        .iter()
        .map(|difference| (difference.path.to_str(), difference.changes.len()))
        .collect();
    assert_eq!(
        changes,
        [Some("/made"), Some("/made/file"), Some("/made/link")].map(|path| (path, 1))
    );
    assert!(found.steps[0].differences.iter().all(|difference| {
        matches!(difference.changes[0], Change::Time(one, other) if other == one + 100)
    }));
    assert!(found.config.iter().any(|found| found.field == "created"));
}

#[test]
fn a_second_build_that_fails_says_why_and_leaves_nothing() {
    let world = World::new();
    world.file(
        "Dockerfile",
        "FROM base\nRUN cat /proc/sys/kernel/random/uuid > /id\n\
         RUN --mount=type=cache,target=/c [ ! -e /c/once ] && touch /c/once\n",
    );
    let request = request(&world, Timestamps::Reproducible, Some("1000"));
    let built = world.build(&request).built();
    let layers = || {
        let path = world.directory.path().join("root/layers");
        fs::read_dir(path).expect("layers").count()
    };
    let before = layers();
    let never = AtomicBool::new(false);
    let error = verify(&world.engine, &request, &built, &|_| {}, &never).expect_err("a failure");
    assert!(matches!(
        error.innermost(),
        BuildError::Step { code: 1, .. }
    ));
    assert_eq!(layers(), before);
}
