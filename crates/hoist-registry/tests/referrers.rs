//! Pushing what refers to an image: to Debian's registry, which knows no referrers, and to one that
//! does.
#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::io::{self, Read};

use hoist_core::{Digest, Reference, image::Descriptor};
use hoist_registry::Registry;
use serde_json::{Value, json};
use support::{
    INDEX, MANIFEST, client,
    debian::{DebianRegistry, Users},
    descriptor, reference,
    scripted::Scripted,
};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

fn blob(registry: &Registry, name: &Reference, media_type: &str, bytes: &[u8]) -> Descriptor {
    let blob = descriptor(media_type, bytes);
    let bytes = bytes.to_vec();
    let mut open =
        move || -> io::Result<Box<dyn Read>> { Ok(Box::new(io::Cursor::new(bytes.clone()))) };
    registry.push_blob(name, &blob, &mut open, None).unwrap();
    blob
}

/// A manifest about `subject`.
fn about(subject: &Descriptor, config: &Descriptor, note: &str) -> Vec<u8> {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": [],
        "subject": subject,
        "annotations": { "note": note },
    });
    manifest.to_string().into_bytes()
}

#[test]
fn without_the_api_the_tag_of_the_subject_lists_what_refers_to_it() {
    let server = DebianRegistry::start(&Users::Anybody, None);
    let (registry, _) = client();
    let name = reference(&server.repository("app:1"));
    let config = blob(&registry, &name, CONFIG, b"{}");
    let image = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [],
    });
    let image = image.to_string().into_bytes();
    registry.push_manifest(&name, MANIFEST, &image).unwrap();
    let subject = descriptor(MANIFEST, &image);
    // An image has no subject, and gets no list.
    assert_eq!(registry.tags(&name).unwrap(), ["1"]);

    let signature = blob(&registry, &name, "application/x.signature", b"{ }");
    let first = about(&subject, &signature, "first");
    let second = about(&subject, &config, "second");
    for bytes in [&first, &second, &first] {
        let text = format!("{}@{}", server.repository("app"), Digest::of(bytes));
        registry
            .push_manifest(&reference(&text), MANIFEST, bytes)
            .unwrap();
    }
    let found = registry.referrers(&name, subject.digest, None).unwrap();
    let digests: Vec<_> = found.iter().map(|entry| entry.digest).collect();
    assert_eq!(digests, [Digest::of(&first), Digest::of(&second)]);
    assert_eq!(found[1].annotations["note"], "second");
    let tag = format!(
        "{}:sha256-{}",
        server.repository("app"),
        subject.digest.hex()
    );
    let list = registry.manifest(&reference(&tag)).unwrap();
    assert_eq!(list.media_type, INDEX);
    let list: Value = serde_json::from_slice(&list.bytes).unwrap();
    assert_eq!(
        list["manifests"][0]["artifactType"],
        "application/x.signature"
    );
    assert_eq!(list["manifests"][0]["size"], first.len());
}

#[test]
fn a_registry_that_knows_referrers_is_left_to_it() {
    let subject = descriptor(MANIFEST, b"image");
    let digest = subject.digest.to_string();
    let server = Scripted::start(move |exchange| {
        exchange.body();
        exchange.reply(201, &[("OCI-Subject", &digest)], b"");
    });
    let bytes = about(&subject, &descriptor(CONFIG, b"{}"), "x");
    let name = reference(&server.repository("app:1"));
    client().0.push_manifest(&name, MANIFEST, &bytes).unwrap();
    assert_eq!(server.lines(), ["PUT /v2/app/manifests/1"]);
}

#[test]
fn a_list_that_is_none_is_not_written_over() {
    let subject = descriptor(MANIFEST, b"image");
    let server = Scripted::start(|exchange| match exchange.seen.method.as_str() {
        "PUT" => {
            exchange.body();
            exchange.reply(201, &[], b"");
        }
        _ => exchange.reply(200, &[("Content-Type", MANIFEST)], b"{\"layers\":[]}"),
    });
    let bytes = about(&subject, &descriptor(CONFIG, b"{}"), "x");
    let name = reference(&server.repository("app:1"));
    let error = client()
        .0
        .push_manifest(&name, MANIFEST, &bytes)
        .unwrap_err();
    assert!(
        error.to_string().ends_with("is malformed: it is no index"),
        "{error}"
    );
    let puts = server.seen();
    assert_eq!(puts.iter().filter(|seen| seen.method == "PUT").count(), 1);
}
