//! COPY and ADD: rows 38–47.

use hoist_build::NamedContext;

use super::{World, read};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).expect("memory");
    writer.finish().expect("memory")
}

/// An archive with the file `inside`.
fn archive() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o640);
    header.set_uid(7);
    archive
        .append_data(&mut header, "inside", &b"i"[..])
        .expect("an entry");
    archive.into_inner().expect("an archive")
}

#[test]
fn row_38_copy_from_everywhere() {
    let world = World::new();
    world.file("a", "context").file("more/b", "named");
    let dockerfile = "FROM base AS tool\nRUN echo stage > /t\nFROM base\nCOPY a /a\nCOPY --from=tool /t /t\n\
        COPY --from=base /etc/group /g\nCOPY --from=extra b /b\n";
    world.file("Dockerfile", dockerfile);
    let mut request = world.request();
    let more = NamedContext::Directory(world.context().join("more"));
    request.contexts = [("extra".to_owned(), more)].into();
    let built = world.build(&request).built();
    let all = ["a", "t", "b"].map(|name| read(&world, &built, name));
    assert_eq!(all, ["context", "stage\n", "named"]);
    assert!(read(&world, &built, "g").starts_with("root:x:0:"));
}

#[test]
fn row_39_owners() {
    let world = World::new();
    world.file("a", "").file("archive.tar", archive());
    let dockerfile = "FROM base\nCOPY --chown=app:web a /1\nCOPY --chown=app a /2\nCOPY --chown=5 a /3\n\
        COPY --chown=5:6 a /4\nCOPY --chown=:6 a /5\nADD --chown=app archive.tar /6\n";
    let built = world.dockerfile(dockerfile).built();
    let owner = |name: &str| {
        let line = world.files(&built.id, name);
        line.split(' ').nth(1).unwrap().to_owned()
    };
    let all = ["1", "2", "3", "4", "5", "6/inside"].map(owner);
    assert_eq!(
        all,
        ["1000:33", "1000:1001", "5:5", "5:6", "0:6", "1000:1001"]
    );
    let error = world
        .dockerfile("FROM base\nCOPY --chown=nobody a /1\n")
        .error();
    assert!(error.contains("nobody"), "{error}");
}

#[test]
fn row_40_octal_modes() {
    let world = World::new();
    world.file("d/a", "").file("d/e/b", "");
    let built = world
        .dockerfile("FROM base\nCOPY --chmod=0750 d /d\nCOPY --chmod=4711 d/a /s\n")
        .built();
    insta::assert_snapshot!(world.files(&built.id, "d"), @r#"
    0750 0:0 d/
    0750 0:0 d/a ""
    0750 0:0 d/e/
    0750 0:0 d/e/b ""
    "#);
    assert!(world.files(&built.id, "s").starts_with("4711"));
    for wrong in ["8", "17777", "rwx"] {
        let error = world
            .dockerfile(&format!("FROM base\nCOPY --chmod={wrong} d /d\n"))
            .error();
        assert!(error.contains("invalid chmod parameter"), "{error}");
    }
}

#[test]
fn row_41_symbolic_modes() {
    let world = World::new();
    world.file("d/a", "");
    let dockerfile = "FROM base\nCOPY --chmod=u=rwX,go=rX d /1\nCOPY --chmod=a+x,g-r d/a /2\nCOPY --chmod=u=rw,go= d/a /3\n";
    let built = world.dockerfile(dockerfile).built();
    insta::assert_snapshot!(world.files(&built.id, "1"), @r#"
    0755 0:0 1/
    0644 0:0 1/a ""
    "#);
    assert!(
        world.files(&built.id, "2").starts_with("0715"),
        "{}",
        world.files(&built.id, "2")
    );
    assert!(world.files(&built.id, "3").starts_with("0600"));
}

#[test]
fn row_42_linked_layers() {
    let world = World::new();
    world.file("a", "1");
    let dockerfile = |before: &str| {
        format!("FROM base\nRUN echo {before} > /before\nCOPY --link a /opt/a\nCOPY a /opt/b\n")
    };
    let first = world.dockerfile(&dockerfile("one")).built();
    let second = world.dockerfile(&dockerfile("two"));
    insta::assert_snapshot!(second.steps(), @r"
    ran: RUN echo two > /before (the instruction has changed)
    cached: COPY --link a /opt/a
    ran: COPY a /opt/b (a step before it has changed)
    ");
    let second = second.built();
    assert_eq!(first.layers[2].diff_id, second.layers[2].diff_id);
    assert_eq!(read(&world, &second, "opt/a"), "1");
    // Links of the layers below are not followed: the layer does not know them.
    let dockerfile =
        "FROM base\nRUN ln -s /tmp /l\nCOPY --link a /l/a\nRUN test ! -L /l && test -f /l/a\n";
    assert!(world.dockerfile(dockerfile).result.is_ok());
}

#[test]
fn row_43_parents() {
    let world = World::new();
    world
        .file("x/a/1.txt", "1")
        .file("x/b/2.txt", "2")
        .file("y/3.md", "3");
    let dockerfile = "FROM base\nCOPY --parents x/a/1.txt y /1/\nCOPY --parents x/./b/*.txt /2/\nCOPY --parents **/*.txt /3/\n";
    let built = world.dockerfile(dockerfile).built();
    insta::assert_snapshot!(["1", "2", "3"].map(|name| world.files(&built.id, name)).join("\n"), @r#"
    0755 0:0 1/
    0755 0:0 1/x/
    0755 0:0 1/x/a/
    0644 0:0 1/x/a/1.txt "1"
    0755 0:0 1/y/
    0644 0:0 1/y/3.md "3"
    0755 0:0 2/
    0755 0:0 2/b/
    0644 0:0 2/b/2.txt "2"
    0755 0:0 3/
    0755 0:0 3/x/
    0755 0:0 3/x/a/
    0644 0:0 3/x/a/1.txt "1"
    0755 0:0 3/x/b/
    0644 0:0 3/x/b/2.txt "2"
    "#);
}

#[test]
fn row_44_exclude() {
    let world = World::new();
    world
        .file("d/a.txt", "")
        .file("d/b.md", "")
        .file("d/e/c.txt", "")
        .file("d/e/f.md", "");
    let dockerfile = "FROM base\nCOPY --exclude=*.txt d /1\nCOPY --exclude=**/*.txt --exclude=e/f.md d /2\nADD --exclude=e d /3\n";
    let built = world.dockerfile(dockerfile).built();
    insta::assert_snapshot!(["1", "2", "3"].map(|name| world.files(&built.id, name)).join("\n"), @r#"
    0755 0:0 1/
    0644 0:0 1/b.md ""
    0755 0:0 1/e/
    0644 0:0 1/e/c.txt ""
    0644 0:0 1/e/f.md ""
    0755 0:0 2/
    0644 0:0 2/b.md ""
    0755 0:0 2/e/
    0755 0:0 3/
    0644 0:0 3/a.txt ""
    0644 0:0 3/b.md ""
    "#);
}

#[test]
fn row_45_patterns_and_slashes() {
    let world = World::new();
    world
        .file("a1", "1")
        .file("a2", "2")
        .file("b[1]", "3")
        .file("sub/a3", "4");
    let dockerfile = "FROM base\nCOPY a? /1/\nCOPY a[12] /2/\nCOPY b[[]1] /3\nCOPY ../../a1 /4\nCOPY /sub /5\nCOPY sub/ /6/new/\nCOPY a1 /7/\nCOPY * /8/\n";
    let built = world.dockerfile(dockerfile).built();
    let all = ["1", "2", "3", "4", "5", "6", "7"].map(|name| world.files(&built.id, name));
    insta::assert_snapshot!(all.join("\n"), @r#"
    0755 0:0 1/
    0644 0:0 1/a1 "1"
    0644 0:0 1/a2 "2"
    0755 0:0 2/
    0644 0:0 2/a1 "1"
    0644 0:0 2/a2 "2"
    0644 0:0 3 "3"
    0644 0:0 4 "1"
    0755 0:0 5/
    0644 0:0 5/a3 "4"
    0755 0:0 6/
    0755 0:0 6/new/
    0644 0:0 6/new/a3 "4"
    0755 0:0 7/
    0644 0:0 7/a1 "1"
    "#);
    assert!(
        world.files(&built.id, "8").contains("8/a3"),
        "a directory is copied as its content"
    );
    let error = world.dockerfile("FROM base\nCOPY a1 a2 /x\n").error();
    assert!(error.contains("directory"), "{error}");
    let error = world.dockerfile("FROM base\nCOPY z* /x/\n").result;
    assert!(error.is_ok(), "a pattern may match nothing");
}

#[test]
fn row_46_archives_by_content() {
    let world = World::new();
    world
        .file("no-name", archive())
        .file("zipped.txt", gzip(&archive()))
        .file("fake.tar", "no archive");
    let dockerfile =
        "FROM base\nADD no-name /1\nADD zipped.txt /2/\nADD fake.tar /3\nCOPY no-name /4\n";
    let built = world.dockerfile(dockerfile).built();
    for name in ["1/inside", "2/inside"] {
        assert_eq!(
            world.files(&built.id, name),
            format!("0640 7:0 {name} \"i\"")
        );
    }
    assert_eq!(read(&world, &built, "3"), "no archive");
    assert!(world.files(&built.id, "4").starts_with("0644 0:0 4"));
}

#[test]
fn row_47_unpack_or_not() {
    let world = World::new();
    world.file("a.tar", archive());
    let built = world
        .dockerfile("FROM base\nADD --unpack=false a.tar /1\nADD --unpack=true a.tar /2\n")
        .built();
    assert!(world.files(&built.id, "1").starts_with("0644 0:0 1"));
    assert!(world.files(&built.id, "2").contains("2/inside"));
}
