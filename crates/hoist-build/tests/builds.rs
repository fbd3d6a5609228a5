//! Real builds: Dockerfiles with commands that run, in a data root of their own, as root.

#[path = "builds/checks.rs"]
mod checks;
#[path = "builds/collect.rs"]
mod collect;
#[path = "builds/contexts.rs"]
mod contexts;
#[path = "builds/exchange.rs"]
mod exchange;
#[path = "builds/hostile_caches.rs"]
mod hostile_caches;
#[path = "builds/outputs.rs"]
mod outputs;
#[path = "builds/published.rs"]
mod published;
#[path = "builds/remote_files.rs"]
mod remote_files;
#[path = "builds/repositories.rs"]
mod repositories;
#[path = "builds/reproducible.rs"]
mod reproducible;
#[path = "builds/rows.rs"]
mod rows;
#[path = "builds/secrets.rs"]
mod secrets;
mod support;

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

use hoist_core::{Reference, event::BuildEvent};
use support::World;

#[test]
fn an_image_is_what_the_instructions_say() {
    let world = World::new();
    world
        .file("app.sh", "echo hi\n")
        .file("lib/one", "1")
        .file("lib/two", "2");
    let dockerfile = "ARG VERSION=1\nFROM base AS builder\nARG VERSION\nWORKDIR /build\n\
        RUN echo $VERSION > version && ln -s version link\n\
        FROM base\nLABEL tier=test\nENV GREETING=hello\nWORKDIR /app\nCOPY --chown=app app.sh lib/ ./\n\
        COPY --from=builder /build /out\nUSER app\nRUN id -u > /tmp/me\nEXPOSE 8000\n\
        HEALTHCHECK --interval=5s CMD true\nCMD [\"sh\", \"app.sh\"]\n";
    let built = world.dockerfile(dockerfile).built();
    let image = world.engine.store().image(&built.id).unwrap().image;
    insta::assert_snapshot!(serde_json::to_string(&image.config).unwrap(), @r#"{"User":"app","ExposedPorts":{"8000/tcp":{}},"Env":["BASE=yes","PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","GREETING=hello"],"Cmd":["sh","app.sh"],"ArgsEscaped":true,"WorkingDir":"/app","Labels":{"tier":"test"},"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000}}"#);
    let history: Vec<_> = image
        .history
        .iter()
        .map(|entry| {
            let empty = if entry.empty_layer { "-" } else { "L" };
            format!("{empty} {}", entry.created_by.as_deref().unwrap_or("?"))
        })
        .collect();
    insta::assert_snapshot!(history.join("\n"), @r#"
    L ?
    - LABEL tier=test
    - ENV GREETING=hello
    L WORKDIR /app
    L COPY --chown=app app.sh lib/ ./ # buildkit
    L COPY /build /out # buildkit
    - USER app
    L RUN /bin/sh -c id -u > /tmp/me # buildkit
    - EXPOSE [8000/tcp]
    - HEALTHCHECK {Test:[CMD-SHELL true] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}
    - CMD ["sh" "app.sh"]
    "#);
    insta::assert_snapshot!(world.files(&built.id, "app"), @r#"
    0755 0:0 app/
    0644 1000:1001 app/app.sh "echo hi\n"
    0644 1000:1001 app/one "1"
    0644 1000:1001 app/two "2"
    "#);
    insta::assert_snapshot!(world.files(&built.id, "out"), @r#"
    0755 0:0 out/
    0777 0:0 out/link -> version
    0644 0:0 out/version "1\n"
    "#);
    insta::assert_snapshot!(world.files(&built.id, "tmp"), @r#"
    1777 0:0 tmp/
    0644 1000:1001 tmp/me "1000\n"
    "#);
    assert_eq!(
        image.rootfs.diff_ids.len(),
        image.history.iter().filter(|h| !h.empty_layer).count()
    );
    assert_eq!(built.layers.len(), image.rootfs.diff_ids.len());
    assert!(built.layers[0].instruction.is_none() && built.layers[0].size > 100_000);
}

#[test]
fn an_unchanged_build_runs_nothing_and_a_changed_one_says_why() {
    let world = World::new();
    world
        .file("requirements.txt", "fastapi\n")
        .file("src/main.py", "1")
        .file("src/util.py", "1");
    let dockerfile = "FROM base\nWORKDIR /app\nCOPY requirements.txt .\nRUN cat requirements.txt > installed\n\
        ARG MODE=a\nCOPY . .\nRUN echo $MODE > mode\nCMD [\"sh\"]\n";
    let first = world.dockerfile(dockerfile);
    insta::assert_snapshot!(first.steps(), @r"
    ran: WORKDIR /app
    ran: COPY requirements.txt .
    ran: RUN cat requirements.txt > installed
    ran: COPY . .
    ran: RUN echo $MODE > mode
    ");
    let first = first.built();
    let again = world.dockerfile(dockerfile);
    insta::assert_snapshot!(again.steps(), @r"
    cached: WORKDIR /app
    cached: COPY requirements.txt .
    cached: RUN cat requirements.txt > installed
    cached: COPY . .
    cached: RUN echo $MODE > mode
    ");
    let again = again.built();
    assert_eq!((again.id, again.cached), (first.id, again.steps));

    world.file("src/main.py", "2").file("src/new.py", "");
    let changed = world.dockerfile(dockerfile);
    insta::assert_snapshot!(changed.steps(), @r"
    cached: WORKDIR /app
    cached: COPY requirements.txt .
    cached: RUN cat requirements.txt > installed
    ran: COPY . . (src/main.py changed, src/new.py is new)
    ran: RUN echo $MODE > mode (a step before it has changed)
    ");

    let mut request = world.request();
    request.build_args = vec![("MODE".to_owned(), Some("b".to_owned()))];
    insta::assert_snapshot!(world.build(&request).steps(), @r#"
    cached: WORKDIR /app
    cached: COPY requirements.txt .
    cached: RUN cat requirements.txt > installed
    cached: COPY . .
    ran: RUN echo $MODE > mode (ARG MODE changed from "a" to "b")
    "#);

    world.file("requirements.txt", "uvicorn\n");
    insta::assert_snapshot!(world.dockerfile(dockerfile).steps(), @r#"
    cached: WORKDIR /app
    ran: COPY requirements.txt . (requirements.txt changed)
    ran: RUN cat requirements.txt > installed (a step before it has changed)
    ran: COPY . . (requirements.txt changed)
    ran: RUN echo $MODE > mode (ARG MODE changed from "b" to "a")
    "#);

    // What was built before is still known.
    world
        .file("requirements.txt", "fastapi\n")
        .file("src/main.py", "1");
    fs::remove_file(world.context().join("src/new.py")).unwrap();
    let back = world.dockerfile(dockerfile).built();
    assert_eq!((back.id, back.cached), (first.id, back.steps));

    request.build_args.clear();
    request.no_cache = true;
    let fresh = world.build(&request);
    assert!(!fresh.steps().contains("cached"), "{}", fresh.steps());
}

#[test]
fn a_rebuilt_stage_with_equal_output_is_copied_from_the_cache() {
    let world = World::new();
    world.file("input", "1");
    let dockerfile = "FROM base AS builder\nCOPY input /input\nRUN mkdir /out && echo same > /out/file\n\
        FROM base\nCOPY --from=builder /out /out\nRUN cat /out/file > /seen\n";
    world.dockerfile(dockerfile).built();
    world.file("input", "2");
    insta::assert_snapshot!(world.dockerfile(dockerfile).steps(), @r"
    ran: COPY input /input (input changed)
    ran: RUN mkdir /out && echo same > /out/file (a step before it has changed)
    cached: COPY --from=builder /out /out
    cached: RUN cat /out/file > /seen
    ");
    insta::assert_snapshot!(world.dockerfile(dockerfile).steps(), @r"
    cached: COPY input /input
    cached: RUN mkdir /out && echo same > /out/file
    cached: COPY --from=builder /out /out
    cached: RUN cat /out/file > /seen
    ");
}

#[test]
fn only_the_stages_that_the_target_needs_run_and_equal_steps_run_once() {
    let world = World::new();
    let dockerfile = "FROM base AS one\nRUN cat /proc/sys/kernel/random/uuid > /id\n\
        FROM base AS two\nRUN cat /proc/sys/kernel/random/uuid > /id\n\
        FROM base AS unneeded\nRUN false\n\
        FROM scratch AS last\nCOPY --from=one /id /one\nCOPY --from=1 /id /two\n";
    let built = world.dockerfile(dockerfile).built();
    let files = world.files(&built.id, "");
    let lines: Vec<_> = files.lines().collect();
    assert_eq!(lines.len(), 3, "{files}");
    let id = |line: &str| line.split('"').nth(1).map(str::to_owned);
    assert_eq!(id(lines[1]), id(lines[2]), "{files}");
    let mut request = world.request();
    request.target = Some("unneeded".to_owned());
    assert!(world.build(&request).error().contains("exit code: 1"));
    request.target = Some("unneded".to_owned());
    insta::assert_snapshot!(world.build(&request).error(), @r#"
    target stage "unneded" could not be found (did you mean unneeded?)
    hint: the stages are last, one, two, unneeded
    "#);
}

#[test]
fn copies_follow_dockers_rules() {
    let world = World::new();
    world
        .file("a.txt", "a")
        .file("b.txt", "b")
        .file("dir/sub/file", "f")
        .file("dir/top", "t");
    std::os::unix::fs::symlink("a.txt", world.context().join("link")).unwrap();
    std::os::unix::fs::symlink("top", world.context().join("dir/inner")).unwrap();
    fs::hard_link(
        world.context().join("dir/top"),
        world.context().join("dir/twin"),
    )
    .unwrap();
    let cases = [
        "COPY a.txt /new/place",
        "COPY a.txt /new/",
        "COPY a.txt b.txt /new/",
        "COPY *.txt /new/",
        "COPY dir /new",
        "COPY dir/ /new/",
        "COPY link /new/",
        "COPY d*/sub/f?le /new/",
        "WORKDIR /work\nCOPY a.txt .",
        "WORKDIR /work\nCOPY a.txt sub/../other",
        "COPY a.txt /share/new/",
        "COPY --chown=app:web --chmod=640 a.txt /new/x/",
        "COPY --chmod=u=rwX,go= dir /new",
        "COPY --parents dir/sub/file a.txt /new/",
        "COPY --parents dir/./sub /new/",
        "COPY --exclude=sub --exclude=t* dir /new",
        "COPY --link a.txt /new/",
        "COPY nothing* a.txt /new/",
        "COPY <<one <<two /new/\n1\none\n2\ntwo",
        "ENV NAME=a.txt\nCOPY $NAME /new/${NAME%.txt}",
        "RUN mkdir -m 700 /new && touch /new/old\nCOPY dir /new",
        "USER app\nWORKDIR /new/deep",
    ];
    let mut shown = String::new();
    for case in cases {
        let built = world.dockerfile(&format!("FROM base\n{case}\n")).built();
        let path = match case {
            case if case.contains("WORKDIR /work") => "work",
            case if case.contains("/share") => "usr/share/new",
            _ => "new",
        };
        shown.push_str(&format!(
            "{case}\n  {}\n",
            world.files(&built.id, path).replace('\n', "\n  ")
        ));
    }
    insta::assert_snapshot!("copies", shown);
}

#[test]
fn hard_links_and_times_of_the_source_are_kept() {
    use std::os::unix::fs::MetadataExt;
    let world = World::new();
    world.file("dir/one", "1");
    fs::hard_link(
        world.context().join("dir/one"),
        world.context().join("dir/two"),
    )
    .unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_500_000_000);
    fs::File::open(world.context().join("dir/one"))
        .unwrap()
        .set_modified(time)
        .unwrap();
    let built = world
        .dockerfile("FROM base\nCOPY dir /new\nWORKDIR /made\n")
        .built();
    let layers = world.layers(&built.id);
    let one = fs::metadata(layers[1].join("new/one")).unwrap();
    let two = fs::metadata(layers[1].join("new/two")).unwrap();
    assert_eq!((one.ino(), one.nlink()), (two.ino(), 2));
    assert_eq!(one.mtime(), 1_500_000_000);
    // Nothing in a copied layer depends on when it was made.
    let other = World::new();
    other.file("dir/one", "1");
    fs::hard_link(
        other.context().join("dir/one"),
        other.context().join("dir/two"),
    )
    .unwrap();
    fs::File::open(other.context().join("dir/one"))
        .unwrap()
        .set_modified(time)
        .unwrap();
    let directory = fs::metadata(world.context().join("dir"))
        .unwrap()
        .modified()
        .unwrap();
    fs::File::open(other.context().join("dir"))
        .unwrap()
        .set_modified(directory)
        .unwrap();
    let again = other.dockerfile("FROM base\nCOPY dir /new\n").built();
    assert_eq!(again.layers[1].diff_id, built.layers[1].diff_id);
}

#[test]
fn sources_that_are_not_there_are_explained_before_anything_runs() {
    let world = World::new();
    world
        .file("requirements.txt", "x")
        .file("secret/key", "x")
        .file(".dockerignore", "# no\nsecret\n*.log\n")
        .file("a.log", "x");
    std::os::unix::fs::symlink("/etc/passwd", world.context().join("outside")).unwrap();
    let mut shown = String::new();
    for copy in [
        "COPY requirement.txt .",
        "COPY secret/key .",
        "COPY a.log .",
        "COPY ../up .",
        "COPY outside .",
        "COPY /etc/passwd .",
        "COPY requirements.txt secret .",
        "COPY --chown=nobody requirements.txt /x",
        "COPY --chmod=9 requirements.txt /x",
        "COPY --from=missing /x /x",
        "COPY --from=base /bin/nothing /x",
        "COPY requirements.txt .dockerignore /file",
        "COPY requirements.txt /bin/sh/x",
        "COPY requirements.txt /etc",
        "COPY requirements.txt /bin\nCOPY secret* /etc/passwd/",
        "EXPOSE nothing",
        "RUN --mount=type=secret,id=x,required true",
        "ADD https://example.com/x /x",
        "RUN --network=host true",
        "RUN []",
    ] {
        let outcome = world.dockerfile(&format!("FROM base\nRUN touch /ran\n{copy}\n"));
        let ran = outcome
            .events
            .iter()
            .any(|event| matches!(event, BuildEvent::StepStarted { .. }));
        let when = if ran { "while building" } else { "at once" };
        let text = match &outcome.result {
            Ok(_) => "built".to_owned(),
            Err(_) => outcome.error(),
        };
        let text = text.replace(&world.context().display().to_string(), "CONTEXT");
        let text: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with("  ") || line.contains(">>>"))
            .collect();
        shown.push_str(&format!("== {copy} ({when})\n{}\n", text.join("\n")));
    }
    insta::assert_snapshot!(
        "missing_sources",
        shown.replace("--------------------\n", "")
    );
}

#[test]
fn a_failing_step_shows_its_lines_its_output_and_its_code() {
    let world = World::new();
    let outcome = world.dockerfile(
        "FROM base\n\nRUN echo before && \\\n    echo to stderr >&2 && exit 7\nCMD [\"sh\"]\n",
    );
    insta::assert_snapshot!(outcome.error(), @r#"
    Dockerfile:3
    --------------------
       1 |     FROM base
       2 |
       3 | >>> RUN echo before && \
       4 | >>>     echo to stderr >&2 && exit 7
       5 |     CMD ["sh"]
    --------------------
    process "/bin/sh -c echo before &&     echo to stderr >&2 && exit 7" did not complete successfully: exit code: 7
    "#);
    let error = outcome.result.unwrap_err();
    let mut tail = error.output().to_vec();
    tail.sort();
    assert_eq!(tail, ["before", "to stderr"]);
    let failed = outcome.events.iter().any(|event| {
        matches!(
            event,
            BuildEvent::StepFailed {
                exit_code: Some(7),
                ..
            }
        )
    });
    assert!(failed);
    insta::assert_snapshot!(world.dockerfile("FROM base\nRUN nothing-of-this-name\n").error(), @r#"
    Dockerfile:2
    --------------------
       1 |     FROM base
       2 | >>> RUN nothing-of-this-name
    --------------------
    process "/bin/sh -c nothing-of-this-name" did not complete successfully: exit code: 127
    hint: nothing-of-this-name is not on PATH of this image: install it in an earlier step
    "#);
    insta::assert_snapshot!(world.dockerfile("FROM base\nRUN [\"/bin/nothing\"]\n").error(), @r#"
    Dockerfile:2
    --------------------
       1 |     FROM base
       2 | >>> RUN ["/bin/nothing"]
    --------------------
    exec: "/bin/nothing": stat /bin/nothing: no such file or directory
    hint: check that "/bin/nothing" is installed in the image, and how it is spelled
    "#);
    insta::assert_snapshot!(world.dockerfile("FROM bass\nRUN true\n").error(), @r"
    Dockerfile:1
    --------------------
       1 | >>> FROM bass
       2 |     RUN true
    --------------------
    bass: image not found
    hint: did you mean base?
    hint: without a registry, make it with hoist import FILE bass, or hoist build -t bass
    ");
    insta::assert_snapshot!(world.dockerfile("FROM base\nCOPPY a b\n").error(), @r"
    Dockerfile:2:1
       1 | FROM base
       2 | COPPY a b
         | ^^^^^ unknown instruction: COPPY (did you mean COPY?)
    dockerfile parse error on line 2: unknown instruction: COPPY (did you mean COPY?)
    ");
    assert!(
        world.engine.store().images().unwrap().len() == 1,
        "nothing is left of failed builds"
    );
}

#[test]
fn run_forms_and_shells() {
    let world = World::new();
    let dockerfile = "FROM base\nRUN [\"sh\", \"-c\", \"echo exec > /1\"]\nRUN <<EOF\necho two > /2\necho lines >> /2\nEOF\n\
        RUN <<EOF\n#!/bin/sh -e\necho \"$0\" > /3\nEOF\nRUN cat <<A > /4 && cat <<B >> /4\na\nA\nb\nB\n\
        SHELL [\"/bin/sh\", \"-ec\"]\nRUN echo $- > /5\nRUN --network=none test ! -e /sys/class/net/eth0\n\
        RUN --mount=type=tmpfs,target=/scratch touch /scratch/x\nRUN test ! -e /scratch\n";
    let built = world.dockerfile(dockerfile).built();
    let text: Vec<_> = (1..=5)
        .map(|name| world.files(&built.id, &name.to_string()))
        .collect();
    insta::assert_snapshot!(text.join("\n"), @r#"
    0644 0:0 1 "exec\n"
    0644 0:0 2 "two\nlines\n"
    0644 0:0 3 "/dev/pipes/EOF\n"
    0644 0:0 4 "a\nb\n"
    0644 0:0 5 "ce\n"
    "#);
}

#[test]
fn mounts_show_files_and_keep_caches() {
    let world = World::new();
    world
        .file("list", "from the context")
        .file("dir/a", "1")
        .file("dir/hidden", "2")
        .file(".dockerignore", "dir/hidden\n");
    let dockerfile = "FROM base AS tool\nRUN mkdir /tools && echo tool > /tools/x\nFROM base\nARG N=1\n\
        RUN --mount=type=bind,source=list,target=/list cat /list > /seen\n\
        RUN --mount=type=bind,source=dir,target=/dir,rw ls /dir > /listed && touch /dir/b\n\
        RUN --mount=type=bind,from=tool,source=/tools,target=/tools cat /tools/x > /tool\n\
        RUN --mount=type=cache,target=/cache echo $N >> /cache/log && cat /cache/log > /log\n";
    world.file("Dockerfile", dockerfile);
    world.build(&world.request()).built();
    let mut request = world.request();
    request.build_args = vec![("N".to_owned(), Some("2".to_owned()))];
    let built = world.build(&request).built();
    let text: Vec<_> = ["seen", "listed", "tool", "log"]
        .map(|name| world.files(&built.id, name))
        .to_vec();
    insta::assert_snapshot!(text.join("\n"), @r#"
    0644 0:0 seen "from the context"
    0644 0:0 listed "a\n"
    0644 0:0 tool "tool\n"
    0644 0:0 log "1\n2\n"
    "#);
    for mount_point in ["list", "dir", "tools", "cache"] {
        let layers = world.layers(&built.id);
        let has = |layer: &support::Opened| layer.join(mount_point).exists();
        assert!(!layers.iter().any(has), "{mount_point}");
    }
    assert!(!world.context().join("dir/b").exists());
}

#[test]
fn archives_are_unpacked_by_add_only() {
    let world = World::new();
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, link: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o750);
        header.set_uid(5);
        header.set_gid(6);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        if link.is_empty() {
            archive.append_data(&mut header, path, content).unwrap();
        } else {
            archive.append_link(&mut header, path, link).unwrap();
        }
    };
    add("top/", tar::EntryType::Directory, "", b"");
    add("top/file", tar::EntryType::Regular, "", b"content");
    add("top/hard", tar::EntryType::Link, "top/file", b"");
    add("top/soft", tar::EntryType::Symlink, "file", b"");
    add(
        "share/inside",
        tar::EntryType::Regular,
        "",
        b"through the link",
    );
    let plain = archive.into_inner().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &plain).unwrap();
    world
        .file("data.bin", gzip.finish().unwrap())
        .file("plain.tar", &plain)
        .file("text.gz", b"\x1f\x8bno");
    let built = world
        .dockerfile("FROM base\nADD data.bin text.gz /new/\n")
        .built();
    insta::assert_snapshot!(world.files(&built.id, "new/top"), @r#"
    0750 5:6 new/top/
    0750 5:6 new/top/file "content"
    0750 5:6 new/top/hard "content"
    0777 5:6 new/top/soft -> file
    "#);
    let built = world
        .dockerfile("FROM base\nADD --chown=app plain.tar /\n")
        .built();
    insta::assert_snapshot!(world.files(&built.id, "top"), @r#"
    0750 1000:1001 top/
    0750 1000:1001 top/file "content"
    0750 1000:1001 top/hard "content"
    0777 1000:1001 top/soft -> file
    "#);
    insta::assert_snapshot!(world.files(&built.id, "usr/share"), @r#"
    0755 0:0 usr/share/
    0750 1000:1001 usr/share/inside "through the link"
    "#);
    let built = world
        .dockerfile("FROM base\nCOPY plain.tar /new/\n")
        .built();
    assert_eq!(world.files(&built.id, "new").lines().count(), 2);
}

#[test]
fn archives_are_unpacked_whatever_they_are_called_and_compressed_with() {
    let world = World::new();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(7);
    archive
        .append_data(&mut header, "inside", &b"content"[..])
        .unwrap();
    let plain = archive.into_inner().unwrap();
    for (program, arguments) in [("gzip", ["-c"]), ("bzip2", ["-c"]), ("xz", ["-c"])] {
        let mut child = std::process::Command::new(program)
            .args(arguments)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}: apt-get install xz-utils bzip2"));
        let mut input = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, &plain).unwrap();
        drop(input);
        let bytes = child.wait_with_output().unwrap().stdout;
        assert!(hoist_build::is_archive(&bytes));
        world.file("data", &bytes);
        let built = world.dockerfile("FROM base\nADD data /new/\n").built();
        let shown = world.files(&built.id, "new/inside");
        assert_eq!(shown, "0644 0:0 new/inside \"content\"", "{program}");
        // One that is cut, or that only begins as an archive does.
        world.file("data", &bytes[..bytes.len() - 9]);
        let error = world.dockerfile("FROM base\nADD data /new/\n");
        if error.result.is_err() {
            assert!(error.error().contains("data"), "{}", error.error());
        }
        world.file("data", [&bytes[..12], &[0; 300]].concat());
        let built = world.dockerfile("FROM base\nADD data /new/\n").built();
        assert_eq!(world.files(&built.id, "new/data"), "0644 0:0 new/data");
    }
}

#[test]
fn secrets_and_proxies_leave_no_trace() {
    let world = World::new();
    let dockerfile = "FROM base\nARG API_TOKEN\nRUN echo ${#API_TOKEN} $HTTP_PROXY > /seen\n";
    world.file("Dockerfile", dockerfile);
    let mut request = world.request();
    let args = [("API_TOKEN", "hunter2"), ("HTTP_PROXY", "http://proxy-one")];
    request.build_args = args
        .map(|(name, value)| (name.to_owned(), Some(value.to_owned())))
        .to_vec();
    let built = world.build(&request).built();
    insta::assert_snapshot!(world.files(&built.id, "seen"), @r#"0644 0:0 seen "7 http://proxy-one\n""#);
    let cache = world.engine.settings().root.join("cache");
    let blobs = world.engine.settings().root.join("blobs");
    let mut texts = String::new();
    for directory in [cache.join("build-v1"), blobs.join("sha256")] {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                texts.push_str(&String::from_utf8_lossy(&fs::read(path).unwrap()));
            }
        }
    }
    assert!(
        texts.contains("API_TOKEN") && !texts.contains("hunter2") && !texts.contains("proxy-one")
    );
    request.build_args[1].1 = Some("http://proxy-two".to_owned());
    assert_eq!(world.build(&request).built().cached, 1);
    request.build_args[0].1 = Some("hunter3".to_owned());
    insta::assert_snapshot!(world.build(&request).steps(), @"ran: RUN echo ${#API_TOKEN} $HTTP_PROXY > /seen (ARG API_TOKEN has changed)");
}

#[test]
fn triggers_of_the_base_run_in_the_stage_that_starts_from_it() {
    let world = World::new();
    world.file("data", "x");
    let mut request = world.request();
    world.file(
        "Dockerfile",
        "FROM base\nONBUILD COPY data /from-trigger\nONBUILD RUN cat /from-trigger > /seen\n",
    );
    request.tags = vec![Reference::parse("trigger").unwrap()];
    world.build(&request).built();
    let outcome = world.dockerfile("FROM trigger\nCMD [\"sh\"]\n");
    insta::assert_snapshot!(outcome.steps(), @r"
    ran: COPY data /from-trigger
    ran: RUN cat /from-trigger > /seen
    ");
    let built = outcome.built();
    assert!(
        world
            .engine
            .store()
            .image(&built.id)
            .unwrap()
            .image
            .config
            .on_build
            .is_empty()
    );
}

#[test]
fn an_interrupted_build_stops_at_once_and_leaves_nothing() {
    let world = World::new();
    world.file(
        "Dockerfile",
        "FROM base AS a\nRUN sleep 1000\nFROM base\nRUN sleep 2000\nCOPY --from=a /bin/sh /x\n",
    );
    let cancelled = AtomicBool::new(false);
    let outcome = world.build_until(&world.request(), &cancelled, &|event| {
        if matches!(event, BuildEvent::StepStarted { .. }) {
            cancelled.store(true, Ordering::Relaxed);
        }
    });
    assert_eq!(outcome.error(), "build cancelled");
    let drafts = world.engine.settings().root.join("drafts");
    let inside = |path: &std::path::Path| fs::read_dir(path).map_or(0, Iterator::count);
    for session in fs::read_dir(&drafts).into_iter().flatten() {
        let session = session.unwrap().path();
        let left = fs::read_dir(&session).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name != "lock" && name != "keeps"
        });
        assert_eq!(left.count(), 0, "{}", session.display());
    }
    assert_eq!(inside(&world.engine.settings().run.join("steps")), 0);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&world.directory.path().display().to_string()));
}

#[test]
fn damaged_records_are_ignored_and_lost_layers_are_made_again() {
    let mut world = World::new();
    // Times are given, so that a layer that is made again is the same one.
    let dockerfile = "FROM base\nRUN echo 1 > /1 && touch -d @1 /1\nRUN echo 2 > /2\n";
    world.dockerfile(dockerfile).built();
    let records = world.engine.settings().root.join("cache/build-v1");
    let paths = || -> Vec<_> {
        let entries = fs::read_dir(&records)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "json")
            })
            .collect()
    };
    assert_eq!(hoist_build::cached_layers(&world.engine).unwrap().len(), 2);
    for path in paths() {
        fs::write(path, "{\"torn").unwrap();
    }
    let outcome = world.dockerfile(dockerfile);
    assert!(!outcome.steps().contains("cached"), "{}", outcome.steps());
    outcome.built();
    for path in paths() {
        fs::write(path, "").unwrap();
    }
    assert_eq!(hoist_build::cached_layers(&world.engine).unwrap(), []);
    let built = world.dockerfile(dockerfile).built();

    // Without the image, nothing but the cache holds its layers; a prune may take them.
    world.reopen();
    let store = world.engine.store();
    for image in store.images().unwrap() {
        if image.references.is_empty() {
            store
                .remove_image(&image.id.to_string(), true, &|_| None)
                .unwrap();
        }
    }
    store.collect_garbage(&[], &[]).unwrap();
    assert!(!store.has_layer(&built.layers[2].diff_id).unwrap());
    insta::assert_snapshot!(world.dockerfile(dockerfile).steps(), @r"
    ran: RUN echo 1 > /1 && touch -d @1 /1 (its layer is no longer in the store)
    ran: RUN echo 2 > /2 (its layer is no longer in the store)
    ");
}

#[test]
fn a_step_that_changes_nothing_makes_no_layer_and_one_that_repeats_itself_is_no_trouble() {
    let world = World::new();
    let write = "mkdir -p /x && echo same > /x/file && touch -d @1 /x/file /x";
    let dockerfile = format!(
        "FROM base\nRUN true\nWORKDIR /etc\nRUN {write}\nRUN echo other > /x/file\nRUN {write}\n\
         RUN cat /x/file > /seen\nRUN rm -r /x\nRUN test ! -e /x\n"
    );
    let built = world.dockerfile(&dockerfile).built();
    let layers: Vec<_> = built.layers.iter().map(|layer| layer.diff_id).collect();
    assert_eq!(layers.len(), 6, "{layers:?}");
    assert_eq!(layers[1], layers[3]);
    assert_eq!(world.files(&built.id, "seen"), "0644 0:0 seen \"same\\n\"");
    assert!(!world.files(&built.id, "").contains(" x"));
}

#[test]
fn two_builds_at_once_both_succeed() {
    let world = World::new();
    world.file("data", "x");
    world.file(
        "Dockerfile",
        "FROM base\nCOPY data /data\nRUN cat /data > /seen\nRUN echo done\n",
    );
    let request = world.request();
    let ids: Vec<_> = std::thread::scope(|scope| {
        let builds: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| world.build(&request).built()))
            .collect();
        builds
            .into_iter()
            .map(|build| build.join().unwrap())
            .collect()
    });
    assert_eq!(ids[0].layers[1].diff_id, ids[1].layers[1].diff_id);
    assert_eq!(world.build(&request).built().cached, 3);
}

#[test]
fn a_hostile_archive_or_context_reaches_nothing_outside() {
    let world = World::new();
    let outside = world.directory.path().join("outside");
    fs::write(&outside, "untouched").unwrap();
    let up = format!("../../../../../../../../..{}", outside.display());
    let archive = |path: &str, kind: tar::EntryType, link: &str| {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(if link.is_empty() { 4 } else { 0 });
        // The library refuses such names, so they are written by hand.
        let name = header.as_gnu_mut().unwrap();
        name.name[..path.len()].copy_from_slice(path.as_bytes());
        name.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        let content: &[u8] = if link.is_empty() { b"evil" } else { b"" };
        builder.append(&header, content).unwrap();
        builder.into_inner().unwrap()
    };
    use tar::EntryType::{Link, Regular};
    for (path, kind, link) in [(up.as_str(), Regular, ""), ("hard", Link, up.as_str())] {
        world.file("evil.tar", archive(path, kind, link));
        let error = world.dockerfile("FROM base\nADD evil.tar /new/\n").error();
        assert!(error.contains("leads out of the destination"), "{error}");
    }
    // Links in the image and in the context lead within them.
    let run = format!(
        "FROM base\nRUN ln -s {up} /link && ln -s / /root\nCOPY data /link\nCOPY data /root/root/x\n"
    );
    world.file("data", "data");
    std::os::unix::fs::symlink(&outside, world.context().join("data-link")).unwrap();
    world.dockerfile(&run).built();
    assert!(
        world
            .dockerfile("FROM base\nCOPY data-link /x\n")
            .error()
            .contains("not found")
    );
    assert_eq!(fs::read_to_string(&outside).unwrap(), "untouched");
}

#[test]
fn a_full_disk_names_the_file_and_leaves_nothing() {
    let world = World::new();
    world.file("large", vec![1; 7 << 20]);
    // A root on a small file system, gone with the guard.
    let small = Small::mount(&world.directory.path().join("small"));
    let other = world.elsewhere(&small.0);
    let result = |text: &str| {
        world.file("Dockerfile", text);
        let events = |_| {};
        let cancelled = AtomicBool::new(false);
        hoist_build::build(&other, &world.request(), &events, &cancelled)
    };
    let error = result("FROM base\nCOPY large /large\n").unwrap_err();
    let text = hoist_core::error::chain(&error);
    assert_eq!(
        text,
        "cannot write /large: No space left on device (os error 28)"
    );
    assert!(hoist_core::Describe::hints(&error)[0].starts_with("the disk is full"));
    // The room is there again, and what was written of the layer is not.
    result("FROM base\nRUN dd if=/dev/zero of=/x bs=1M count=2 2>/dev/null\n").expect("an image");
}

/// A tmpfs of 8 MiB, unmounted on drop.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(path: &std::path::Path) -> Self {
        use rustix::mount::{MountFlags, mount};
        fs::create_dir(path).expect("a directory");
        mount("tmpfs", path, "tmpfs", MountFlags::empty(), c"size=8m").expect("a tmpfs");
        Self(path.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn pruning_the_cache_disturbs_no_build() {
    let mut world = World::new();
    world.file("data", "x");
    let dockerfile = "FROM base\nCOPY data /data\nRUN --mount=type=cache,target=/c touch /c/kept && cat /data > /seen\n";
    world.dockerfile(dockerfile).built();
    assert_eq!(
        hoist_build::prune_cache(&world.engine, hoist_build::Prune::Unusable).unwrap(),
        0
    );
    assert_eq!(world.dockerfile(dockerfile).built().cached, 2);
    assert!(hoist_build::prune_cache(&world.engine, hoist_build::Prune::All).unwrap() > 0);
    assert_eq!(hoist_build::cached_layers(&world.engine).unwrap(), []);
    world.reopen();
    assert_eq!(world.dockerfile(dockerfile).built().cached, 0);
}
