//! Images out of the store: directories and archives.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    process::Command,
    sync::atomic::AtomicBool,
};

use hoist_build::{ImageArchive, Others, write_directory, write_files, write_image_archive};
use hoist_core::{Digest, Reference};

use crate::support::World;

const DOCKERFILE: &str = "FROM base\nLABEL a=b\nRUN echo 1 > /one && rm /etc/group && ln /one /two\n\
    RUN mkdir -m 700 /d && echo 3 > /d/three && chown 1000:1001 /d/three && ln -s three /d/link\n";

/// The files of an archive, and the mode and owner of each.
fn members(bytes: &[u8]) -> BTreeMap<String, (String, Vec<u8>)> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().expect("an archive").map(|entry| {
        let mut entry = entry.expect("a member");
        let header = entry.header();
        let text = format!(
            "{:o} {}:{}",
            header.mode().expect("a mode"),
            header.uid().expect("an owner"),
            header.gid().expect("a group"),
        );
        let path = entry.path().expect("a path").display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("content");
        (path, (text, content))
    });
    entries.collect()
}

#[test]
fn files_are_written_as_one_tree_without_what_was_deleted() {
    let world = World::new();
    let built = world.dockerfile(DOCKERFILE).built();
    let mut bytes = Vec::new();
    write_files(&world.engine, &built.id, None, &mut bytes).unwrap();
    let found = members(&bytes);
    assert!(!found.contains_key("etc/group") && found.contains_key("etc/passwd"));
    assert_eq!(found["d/"].0, "700 0:0");
    assert_eq!(
        found["d/three"],
        ("644 1000:1001".to_owned(), b"3\n".to_vec())
    );
    let mut again = Vec::new();
    write_files(&world.engine, &built.id, None, &mut again).unwrap();
    assert_eq!(bytes, again);

    let destination = world.directory.path().join("deep/out");
    fs::create_dir_all(destination.join("mine")).unwrap();
    let never = AtomicBool::new(false);
    for _ in 0..2 {
        write_directory(
            &world.engine,
            &built.id,
            None,
            (&destination, Others::Stay),
            &never,
        )
        .unwrap();
    }
    let three = fs::metadata(destination.join("d/three")).unwrap();
    assert_eq!(
        (three.uid(), three.len()),
        (0, 2),
        "files belong to whoever builds"
    );
    assert_eq!(
        fs::read_link(destination.join("d/link"))
            .unwrap()
            .as_os_str(),
        "three"
    );
    let inode = |name| fs::metadata(destination.join(name)).unwrap().ino();
    assert_eq!(inode("one"), inode("two"));
    assert!(destination.join("mine").exists() && !destination.join("etc/group").exists());
}

#[test]
fn an_image_archive_is_what_its_digests_say_and_others_read_it() {
    let world = World::new();
    let built = world.dockerfile(DOCKERFILE).built();
    let archive = ImageArchive {
        names: ["example.com/app:1.0", "app"]
            .map(|name| Reference::parse(name).unwrap())
            .to_vec(),
        annotations: BTreeMap::from([("org.opencontainers.image.title".into(), "app".into())]),
        for_docker: true,
        ..ImageArchive::default()
    };
    let path = world.directory.path().join("image.tar");
    let digest = write_image_archive(
        &world.engine,
        &built.id,
        &archive,
        fs::File::create(&path).unwrap(),
    )
    .unwrap();
    let bytes = fs::read(&path).unwrap();
    let found = members(&bytes);
    let mut blobs = BTreeSet::new();
    for (path, (_, content)) in &found {
        if let Some(hex) = path
            .strip_prefix("blobs/sha256/")
            .filter(|hex| !hex.is_empty())
        {
            assert_eq!(Digest::of(content).hex(), hex);
            blobs.insert(Digest::of(content));
        }
    }
    let layers: BTreeSet<Digest> = built.layers.iter().map(|layer| layer.diff_id).collect();
    assert!(layers.is_subset(&blobs) && blobs.contains(&built.id) && blobs.contains(&digest));
    assert_eq!(blobs.len(), layers.len() + 2);
    let text = |name: &str| String::from_utf8(found[name].1.clone()).unwrap();
    let index = text("index.json").replace(&digest.to_string(), "DIGEST");
    insta::assert_snapshot!(index, @r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"DIGEST","size":756,"annotations":{"io.containerd.image.name":"example.com/app:1.0","org.opencontainers.image.ref.name":"1.0"}},{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"DIGEST","size":756,"annotations":{"io.containerd.image.name":"docker.io/library/app:latest","org.opencontainers.image.ref.name":"latest"}}]}"#);
    let docker: serde_json::Value = serde_json::from_str(&text("manifest.json")).unwrap();
    assert_eq!(
        docker[0]["RepoTags"],
        serde_json::json!(["example.com/app:1.0", "app:latest"])
    );
    let mut again = Vec::new();
    write_image_archive(&world.engine, &built.id, &archive, &mut again).unwrap();
    assert!(bytes == again, "the same image gives the same bytes");

    // Whoever else reads such archives.
    for kind in ["oci-archive", "docker-archive"] {
        let name = match kind {
            "oci-archive" => format!("{kind}:{}:1.0", path.display()),
            _ => format!("{kind}:{}:example.com/app:1.0", path.display()),
        };
        let output = Command::new("skopeo")
            .args(["inspect", "--config", &name])
            .output()
            .expect("install it: apt-get install skopeo");
        let text = String::from_utf8_lossy(&output.stdout);
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && text.contains("\"a\": \"b\""),
            "{kind}: {problem}{text}"
        );
    }
}
