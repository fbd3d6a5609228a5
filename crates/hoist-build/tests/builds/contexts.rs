//! Where builds read: named contexts, archives, other names of the Dockerfile; and what RUN steps
//! find around them.

use std::fs;

use hoist_build::{BuildRequest, NamedContext, unpack_context};
use hoist_core::{Platform, spec::Rlimit};
use hoist_engine::step::Surroundings;

use crate::support::World;

fn with_contexts(world: &World, contexts: &[(&str, NamedContext)]) -> BuildRequest {
    let contexts = contexts
        .iter()
        .map(|(name, context)| ((*name).to_owned(), context.clone()));
    BuildRequest {
        contexts: contexts.collect(),
        ..world.request()
    }
}

#[test]
fn a_named_directory_is_a_source_a_base_and_a_stand_in_for_a_stage() {
    let world = World::new();
    let other = world.directory.path().join("other");
    fs::create_dir_all(other.join("bin")).unwrap();
    fs::write(other.join("bin/tool"), "tool").unwrap();
    fs::write(other.join("hidden"), "x").unwrap();
    fs::write(other.join(".dockerignore"), "hidden\n.dockerignore\n").unwrap();
    world.file(
        "Dockerfile",
        "FROM base AS assets\nRUN false\nFROM files AS copy\nFROM base\n\
         COPY --from=files bin/tool /one\nCOPY --from=assets / /two/\nCOPY --from=copy /bin /three\n\
         RUN --mount=type=bind,from=files,target=/m ls -A /m > /four\n",
    );
    let directory = NamedContext::Directory(other.clone());
    let request = with_contexts(
        &world,
        &[("files", directory.clone()), ("assets", directory)],
    );
    let built = world.build(&request).built();
    let shown = ["one", "two", "three", "four"].map(|name| world.files(&built.id, name));
    insta::assert_snapshot!(shown.join("\n"), @r#"
    0644 0:0 one "tool"
    0755 0:0 two/
    0755 0:0 two/bin/
    0644 0:0 two/bin/tool "tool"
    0755 0:0 three/
    0644 0:0 three/tool "tool"
    0644 0:0 four "bin\n"
    "#);
    assert_eq!(world.build(&request).built().cached, built.steps);
    fs::write(other.join("hidden"), "y").unwrap();
    assert_eq!(world.build(&request).built().cached, built.steps);
    fs::write(other.join("bin/tool"), "new").unwrap();
    let steps = world.build(&request).steps();
    let changed = "ran: COPY --from=files bin/tool /one (bin/tool changed)";
    assert!(steps.contains(changed), "{steps}");
    // Links of a named context lead within it, too.
    std::os::unix::fs::symlink("/etc/passwd", other.join("link")).unwrap();
    world.file("Dockerfile", "FROM base\nCOPY --from=files link /x\n");
    assert!(world.build(&request).error().contains("link\": not found"));
}

#[test]
fn a_named_image_takes_the_place_of_a_base() {
    let world = World::new();
    world.file("Dockerfile", "FROM python:3.12\nRUN echo $BASE > /seen\n");
    let image = NamedContext::Image("base".to_owned());
    let built = world
        .build(&with_contexts(&world, &[("python:3.12", image.clone())]))
        .built();
    assert_eq!(world.files(&built.id, "seen"), "0644 0:0 seen \"yes\\n\"");
    world.file(
        "Dockerfile",
        "FROM scratch\nCOPY --from=tools /etc/group /group\n",
    );
    world
        .build(&with_contexts(&world, &[("tools", image)]))
        .built();
}

#[test]
fn an_archive_is_unpacked_and_leads_nowhere_else() {
    let world = World::new();
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, link: &str, content: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        if link.is_empty() {
            archive
                .append_data(&mut header, path, content.as_bytes())
                .unwrap();
        } else {
            header.set_entry_type(tar::EntryType::Symlink);
            archive.append_link(&mut header, path, link).unwrap();
        }
    };
    add("Containerfile", "", "FROM base\nCOPY data evil* /new/\n");
    add("data", "", "from the archive");
    add("Dockerfile.evil", "/etc/passwd", "");
    add("evil", "/etc/passwd", "");
    let plain = archive.into_inner().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &plain).unwrap();
    let gzip = gzip.finish().unwrap();
    for bytes in [&plain, &gzip] {
        assert!(hoist_build::is_archive(&bytes[..512.min(bytes.len())]));
        let context = unpack_context(&world.engine, &bytes[..]).unwrap();
        let mut request = BuildRequest {
            context: context.path().to_owned(),
            context_label: Some("-".to_owned()),
            ..world.request()
        };
        let built = world.build(&request).built();
        let shown = world.files(&built.id, "new");
        assert!(
            shown.contains("0644 0:0 new/data \"from the archive\""),
            "{shown}"
        );
        request.dockerfile = Some("Dockerfile.evil".into());
        let error = world.build(&request).error();
        assert!(
            error.contains("failed to read dockerfile Dockerfile.evil"),
            "{error}"
        );
    }
    assert!(!hoist_build::is_archive(b"FROM base\nRUN true\n"));
    let error = unpack_context(&world.engine, &b"\x1f\x8bno"[..]).unwrap_err();
    assert_eq!(error.to_string(), "cannot unpack -: it is no tar archive");
    let error = unpack_context(&world.engine, &b"\xfd7zXZ\0"[..]).unwrap_err();
    assert!(error.to_string().contains("no tar archive"), "{error}");
}

#[test]
fn steps_find_the_hosts_memory_and_limits_that_were_asked_for() {
    let world = World::new();
    world.file(
        "Containerfile",
        "FROM base\nRUN cat /etc/hosts > /hosts && ulimit -n > /limit && \
         cat /proc/mounts > /mounts\n",
    );
    let mut request = world.request();
    request.surroundings = Surroundings {
        extra_hosts: vec![
            ("db".to_owned(), "10.1.2.3".to_owned()),
            ("me".to_owned(), "host-gateway".to_owned()),
        ],
        shm_size: Some(1 << 20),
        rlimits: vec![Rlimit {
            kind: "RLIMIT_NOFILE".to_owned(),
            soft: 100,
            hard: 200,
        }],
        ..Surroundings::default()
    };
    let built = world.build(&request).built();
    assert_eq!(world.files(&built.id, "limit"), "0644 0:0 limit \"100\\n\"");
    let layer = &world.layers(&built.id)[1];
    let hosts = fs::read_to_string(layer.join("hosts")).unwrap();
    assert!(
        hosts.contains("10.1.2.3\tdb\n") && hosts.contains("127.0.0.1\tme\n"),
        "{hosts}"
    );
    let mounts = fs::read_to_string(layer.join("mounts")).unwrap();
    let shm = mounts
        .lines()
        .find(|line| line.contains(" /dev/shm "))
        .unwrap();
    assert!(shm.contains("size=1024k"), "{shm}");
    assert_eq!(world.build(&request).built().cached, 1);
    request.surroundings.extra_hosts.pop();
    insta::assert_snapshot!(world.build(&request).steps(), @r"ran: RUN cat /etc/hosts > /hosts && ulimit -n > /limit && cat /proc/mounts > /mounts (host me is no longer set)");
}

#[test]
fn single_stages_are_done_anew() {
    let world = World::new();
    world.file(
        "Dockerfile",
        "FROM base AS one\nRUN echo 1 > /1\nFROM base AS two\nRUN echo 2 > /2\n\
         FROM scratch\nCOPY --from=one /1 /1\nCOPY --from=two /2 /2\n",
    );
    let mut request = world.request();
    world.build(&request).built();
    request.uncached_stages = vec!["two".to_owned()];
    insta::assert_snapshot!(world.build(&request).steps(), @r"
    cached: RUN echo 1 > /1
    ran: RUN echo 2 > /2 (its stage is to be done anew (--no-cache-filter))
    cached: COPY --from=one /1 /1
    cached: COPY --from=two /2 /2
    ");
}

#[test]
fn a_foreign_platform_needs_an_emulator_only_to_run_something() {
    let world = World::new();
    world.file("data", "x");
    let mut request = world.request();
    request.platform = Some(Platform::host());
    world.file("Dockerfile", "FROM base\nRUN true\n");
    world.build(&request).built();
    request.platform = Some(Platform {
        os: "linux".to_owned(),
        architecture: "s390x".to_owned(),
        variant: None,
    });
    assert!(world.build(&request).error().contains("is for linux/"));
    world.file("Dockerfile", "FROM scratch\nCOPY data /data\n");
    let built = world.build(&request).built();
    let image = world.engine.store().image(&built.id).unwrap().image;
    assert_eq!(image.platform.architecture, "s390x");
    world.file("Dockerfile", "FROM scratch\nRUN [\"/data\"]\n");
    let error = world.build(&request).error();
    assert!(
        error.contains("RUN for linux/s390x on a machine for linux/"),
        "{error}"
    );
    assert!(error.contains("hint: register an emulator"), "{error}");
}
