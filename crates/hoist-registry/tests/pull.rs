//! Pulling from registries that cut, stall, lie and redirect.
#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::{
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hoist_core::{Describe, Digest, Digester, Kind, Platform, image::Descriptor};
use hoist_registry::{Document, LayerReader, Registry, RegistryError, RegistryEvent, Timeouts};
use support::{
    INDEX, LAYER, MANIFEST, client, content, descriptor, options, reference,
    scripted::{Exchange, Scripted},
};

fn read(
    registry: &Registry,
    name: &str,
    descriptor: &Descriptor,
) -> Result<Vec<u8>, RegistryError> {
    registry.blob(&reference(name), descriptor).unwrap().bytes()
}

#[test]
fn a_blob_that_is_cut_again_and_again_goes_on_from_where_it_was() {
    let blob = content(1_000_000, 1);
    let served = blob.clone();
    let server = Scripted::start(move |exchange| exchange.serve_cut(&served, 300_000));
    let (registry, events) = client();
    let bytes = read(
        &registry,
        &server.repository("a"),
        &descriptor(LAYER, &blob),
    )
    .unwrap();
    assert_eq!(Digest::of(&bytes), Digest::of(&blob));
    let ranges: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| seen.range_start())
        .collect();
    assert_eq!(ranges, [None, Some(300_000), Some(600_000), Some(900_000)]);
    let resumed = events.all();
    let resumed = resumed
        .iter()
        .filter(|event| matches!(event, RegistryEvent::Resuming { .. }));
    assert_eq!(resumed.count(), 3);
}

#[test]
fn a_server_without_ranges_is_read_again_from_the_start() {
    let blob = content(500_000, 2);
    let served = blob.clone();
    let server = Scripted::start(move |exchange| {
        exchange.announce(200, &[], served.len());
        let cut = if exchange.earlier == 0 {
            100_000
        } else {
            served.len()
        };
        exchange.raw(&served[..cut]);
    });
    let (registry, _) = client();
    let bytes = read(
        &registry,
        &server.repository("a"),
        &descriptor(LAYER, &blob),
    )
    .unwrap();
    assert_eq!(bytes, blob);
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn attempts_without_progress_come_to_an_end() {
    let blob = content(1000, 3);
    let served = blob.clone();
    let server = Scripted::start(move |exchange| exchange.serve_cut(&served, 0));
    let (registry, _) = client();
    let error = read(
        &registry,
        &server.repository("a"),
        &descriptor(LAYER, &blob),
    )
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    let text = error.to_string();
    assert!(text.starts_with("Get \"http://127.0.0.1:"), "{text}");
    assert!(text.ends_with("the connection was closed early"), "{text}");
    assert_eq!(server.seen().len(), 4);
}

#[test]
fn a_stalled_connection_is_given_up_and_resumed() {
    let blob = content(200_000, 4);
    let served = blob.clone();
    let server = Scripted::start(move |exchange| {
        if exchange.earlier == 0 {
            exchange.serve_cut(&served, 70_000);
            exchange.stall();
        } else {
            exchange.serve_cut(&served, usize::MAX);
        }
    });
    let (mut options, _) = options();
    options.timeouts = Timeouts {
        stall: Duration::from_millis(200),
        ..Timeouts::default()
    };
    let registry = Registry::new(options).unwrap();
    let bytes = read(
        &registry,
        &server.repository("a"),
        &descriptor(LAYER, &blob),
    )
    .unwrap();
    assert_eq!(bytes, blob);
    assert_eq!(server.seen()[1].range_start(), Some(70_000));
}

#[test]
fn an_earlier_download_is_continued_and_the_whole_is_verified() {
    let blob = content(300_000, 5);
    let served = blob.clone();
    let server = Scripted::start(move |exchange| exchange.serve_cut(&served, usize::MAX));
    let (registry, _) = client();
    let name = reference(&server.repository("a"));
    let wanted = descriptor(LAYER, &blob);
    let mut digester = Digester::new();
    digester.update(&blob[..123_456]);
    let reader = registry
        .resume_blob(&name, &wanted, 123_456, digester)
        .unwrap();
    assert_eq!(reader.bytes().unwrap(), blob[123_456..]);
    assert_eq!(server.seen()[0].range_start(), Some(123_456));

    let mut damaged = Digester::new();
    damaged.update(&vec![0; 123_456]);
    let reader = registry
        .resume_blob(&name, &wanted, 123_456, damaged)
        .unwrap();
    assert!(matches!(
        reader.bytes(),
        Err(RegistryError::DigestMismatch { .. })
    ));

    let part = registry.blob_part(&name, &wanted, 1000..2000).unwrap();
    assert_eq!(part.bytes().unwrap(), blob[1000..2000]);
    assert_eq!(server.seen()[2].header("range"), Some("bytes=1000-1999"));
    let beyond = registry.blob_part(&name, &wanted, 0..300_001);
    assert!(matches!(beyond, Err(RegistryError::SizeMismatch { .. })));
}

#[test]
fn a_wrong_blob_never_comes_to_its_end() {
    let (right, wrong) = (content(100_000, 6), content(100_000, 7));
    let server = Scripted::start(move |exchange| exchange.reply(200, &[], &wrong));
    let (registry, _) = client();
    let name = reference(&server.repository("a"));
    let wanted = descriptor(LAYER, &right);
    let mut reader = registry.blob(&name, &wanted).unwrap();
    let mut seen = Vec::new();
    let error = reader.read_to_end(&mut seen).unwrap_err();
    assert!(seen.len() < right.len());
    let inner = RegistryError::of_io(&error).unwrap();
    assert_eq!(inner.kind(), Kind::Invalid);
    assert!(
        inner
            .to_string()
            .contains(&format!("expected {}", wanted.digest))
    );
    // Nor does it for somebody who goes on reading.
    assert!(reader.read(&mut [0; 10]).is_err());
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn an_announced_size_other_than_the_manifests_is_refused_before_reading() {
    for length in [999, 1001, 1 << 40] {
        let server = Scripted::start(move |exchange| {
            exchange.announce(200, &[], length);
            exchange.stall();
        });
        let (registry, _) = client();
        let wanted = descriptor(LAYER, &content(1000, 8));
        let error = read(&registry, &server.repository("a"), &wanted).unwrap_err();
        assert!(
            matches!(error, RegistryError::SizeMismatch { expected: 1000, .. }),
            "{error}"
        );
    }
}

#[test]
fn an_endless_body_is_cut_at_the_size_of_the_blob() {
    let blob = content(100_000, 9);
    let served = blob.clone();
    let server = Scripted::start(move |exchange| exchange.endless(&[], &served));
    let (registry, _) = client();
    let name = server.repository("a");
    assert_eq!(
        read(&registry, &name, &descriptor(LAYER, &blob)).unwrap(),
        blob
    );
    // Where the manifest tells less, the digest is another.
    let mut short = descriptor(LAYER, &blob);
    short.size = 50_000;
    let error = read(&registry, &name, &short).unwrap_err();
    assert!(
        matches!(error, RegistryError::DigestMismatch { .. }),
        "{error}"
    );
}

#[test]
fn a_range_that_was_not_asked_for_is_refused() {
    let blob = content(1000, 10);
    let served = blob.clone();
    let server = Scripted::start(move |exchange| {
        if exchange.seen.header("range").is_some() {
            exchange.reply(
                206,
                &[("Content-Range", "bytes 0-499/1000")],
                &served[..500],
            );
        } else {
            exchange.serve_cut(&served, 500);
        }
    });
    let (registry, _) = client();
    let error = read(
        &registry,
        &server.repository("a"),
        &descriptor(LAYER, &blob),
    )
    .unwrap_err();
    assert!(matches!(error, RegistryError::Malformed { .. }), "{error}");
}

#[test]
fn a_missing_blob_and_an_empty_one() {
    let server = Scripted::start(|exchange| exchange.not_found("BLOB_UNKNOWN"));
    let (registry, _) = client();
    let name = server.repository("a");
    let error = read(&registry, &name, &descriptor(LAYER, b"x")).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(matches!(error, RegistryError::BlobUnknown { .. }));
    assert!(
        !registry
            .has_blob(&reference(&name), &descriptor(LAYER, b"x"))
            .unwrap()
    );
    // Nothing is asked for no bytes.
    assert_eq!(
        read(&registry, &name, &descriptor(LAYER, b"")).unwrap(),
        b""
    );
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn layers_inflate_on_the_way() {
    let tar = content(400_000, 11);
    let blob = zstd::encode_all(&tar[..], 3).unwrap();
    let served = blob.clone();
    let server = Scripted::start(move |exchange| exchange.serve_cut(&served, 150_000));
    let (registry, _) = client();
    let reader = registry
        .blob(
            &reference(&server.repository("a")),
            &descriptor(LAYER, &blob),
        )
        .unwrap();
    let mut layer = LayerReader::new(reader).unwrap();
    let mut start = vec![0; 10_000];
    layer.read_exact(&mut start).unwrap();
    assert_eq!(start, tar[..10_000]);
    assert_eq!(layer.finish().unwrap(), Digest::of(&tar));
}

#[test]
fn a_full_registry_is_asked_again_when_it_says_so() {
    let server = Scripted::start(|exchange| {
        let limits = [
            ("Retry-After", "0"),
            ("RateLimit-Limit", "100;w=21600"),
            ("RateLimit-Remaining", "0;w=21600"),
        ];
        match exchange.earlier {
            0 => exchange.reply(429, &limits, b"{}"),
            1 => exchange.reply(429, &[("Retry-After", "1")], b"{}"),
            _ => exchange.reply(200, &[], b"four"),
        }
    });
    let (registry, events) = client();
    let name = server.repository("a");
    assert_eq!(
        read(&registry, &name, &descriptor(LAYER, b"four")).unwrap(),
        b"four"
    );
    let events = events.all();
    assert!(events.iter().any(|event| matches!(
        event,
        RegistryEvent::RateLimit { limit: 100, remaining: 0, window: Some(window), .. }
            if window.as_secs() == 21_600
    )));
    let waits: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            RegistryEvent::Retrying { attempt, after, .. } => Some((*attempt, after.as_secs())),
            _ => None,
        })
        .collect();
    assert_eq!(waits, [(2, 0), (3, 1)]);
}

#[test]
fn a_registry_that_wants_an_hour_is_not_waited_for() {
    let server = Scripted::start(|exchange| {
        let body = br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#;
        exchange.reply(429, &[("Retry-After", "3600")], body);
    });
    let (registry, _) = client();
    let error = registry
        .manifest(&reference(&server.repository("a")))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(
        error
            .to_string()
            .ends_with("toomanyrequests: You have reached your pull rate limit.")
    );
    assert_eq!(error.hints()[0], "try again in 3600 s");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_broken_registry_is_asked_a_few_times() {
    let server = Scripted::start(|exchange| match exchange.earlier {
        0 => exchange.reply(500, &[], b"oops"),
        1 => exchange.reply(503, &[], b""),
        2 => exchange.raw(b"nonsense\r\n\r\n"),
        _ => exchange.reply(200, &[], b"x"),
    });
    let (registry, _) = client();
    assert_eq!(
        read(&registry, &server.repository("a"), &descriptor(LAYER, b"x")).unwrap(),
        b"x"
    );

    let server = Scripted::start(|exchange| exchange.reply(502, &[], b"<html>"));
    let (registry, _) = client();
    let error = read(&registry, &server.repository("a"), &descriptor(LAYER, b"x")).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("unexpected status 502 Bad Gateway"),
        "{error}"
    );
    assert_eq!(server.seen().len(), 4);
}

#[test]
fn a_raised_flag_ends_the_waiting() {
    let server = Scripted::start(|exchange| exchange.reply(503, &[("Retry-After", "5")], b""));
    let (mut options, _) = options();
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancelled);
    options.cancelled = cancelled;
    options.events = Some(Arc::new(move |_: &RegistryEvent| {
        flag.store(true, Ordering::SeqCst);
    }));
    let registry = Registry::new(options).unwrap();
    let error = registry
        .manifest(&reference(&server.repository("a")))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn nobody_at_home_is_said_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (registry, events) = client();
    let error = registry
        .manifest(&reference(&format!("{address}/a")))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("Get \"http://{address}/v2/\": connection refused")
    );
    assert!(error.hints()[0].contains("port"));
    assert_eq!(events.all(), []);
}

fn manifest_server(media_type: &'static str, bytes: Vec<u8>) -> Scripted {
    Scripted::start(move |exchange: &mut Exchange| {
        exchange.reply(200, &[("Content-Type", media_type)], &bytes);
    })
}

#[test]
fn manifests_are_cut_at_four_mebibytes() {
    let endless = Scripted::start(|exchange| {
        exchange.endless(
            &[("Content-Type", INDEX)],
            br#"{"schemaVersion":2,"manifests":["#,
        );
    });
    // A million entries.
    let entry = r#"{"mediaType":"a","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":1},"#;
    let huge = format!(
        r#"{{"schemaVersion":2,"manifests":[{}"#,
        entry.repeat(1_000_000)
    );
    let huge = manifest_server(INDEX, huge.into_bytes());
    let (registry, _) = client();
    for server in [endless, huge] {
        let error = registry
            .manifest(&reference(&server.repository("a")))
            .unwrap_err();
        assert!(
            matches!(
                error,
                RegistryError::TooLarge {
                    limit: 4_194_304,
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(error.kind(), Kind::Invalid);
        assert_eq!(server.seen().len(), 1);
    }
}

#[test]
fn a_manifest_must_be_what_it_was_asked_for() {
    let bytes = br#"{"schemaVersion":2}"#.to_vec();
    let other = Digest::of(b"other");
    let server = manifest_server(MANIFEST, bytes.clone());
    let (registry, _) = client();
    let pinned = reference(&format!("{}@{other}", server.repository("a")));
    let error = registry.manifest(&pinned).unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { expected, .. } if expected == other));

    let server = Scripted::start(move |exchange| {
        let digest = other.to_string();
        exchange.reply(
            200,
            &[
                ("Content-Type", MANIFEST),
                ("Docker-Content-Digest", &digest),
            ],
            &bytes,
        );
    });
    let error = registry
        .manifest(&reference(&server.repository("a")))
        .unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }));
    assert_eq!(
        registry
            .digest(&reference(&server.repository("a")))
            .unwrap(),
        other
    );
}

#[test]
fn manifests_that_mean_two_things_or_nothing_are_refused() {
    let schema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let table: [(&'static str, &str, &str); 8] = [
        (schema1, "{}", "unsupported media type"),
        ("text/html", "<html>", "unsupported media type"),
        (MANIFEST, "{", "malformed"),
        (MANIFEST, r#"{"schemaVersion":1}"#, "schemaVersion is not 2"),
        (
            MANIFEST,
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json"}"#,
            "as which it was sent",
        ),
        (
            MANIFEST,
            r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#,
            "at once",
        ),
        (
            MANIFEST,
            r#"{"schemaVersion":2,"layers":[]}"#,
            "missing field `config`",
        ),
        (
            INDEX,
            r#"{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"md5:1","size":1}]}"#,
            "invalid digest",
        ),
    ];
    let (registry, _) = client();
    let host = Platform::host();
    for (media_type, body, words) in table {
        let server = manifest_server(media_type, body.as_bytes().to_vec());
        let error = registry
            .resolve(&reference(&server.repository("a")), &host)
            .unwrap_err();
        assert!(error.to_string().contains(words), "{body}: {error}");
    }
    // An index that contains itself, as far as one can.
    let deep = "[".repeat(100_000);
    let server = manifest_server(
        MANIFEST,
        format!(r#"{{"schemaVersion":2,"layers":{deep}"#).into_bytes(),
    );
    assert!(
        registry
            .resolve(&reference(&server.repository("a")), &host)
            .is_err()
    );
}

#[test]
fn an_index_leads_to_the_manifest_of_the_platform() {
    let config = descriptor("application/vnd.oci.image.config.v1+json", b"{}");
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [],
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let digest = Digest::of(&manifest);
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [{
            "mediaType": MANIFEST, "digest": digest, "size": manifest.len(),
            "platform": { "os": "linux", "architecture": "arm64", "variant": "v8" },
        }, {
            "mediaType": MANIFEST, "digest": Digest::of(b"attestation"), "size": 1,
            "platform": { "os": "unknown", "architecture": "unknown" },
        }],
    });
    let index = serde_json::to_vec(&index).unwrap();
    let top = Digest::of(&index);
    let served = (index.clone(), manifest.clone());
    let server = Scripted::start(move |exchange| {
        if exchange.seen.target.ends_with("latest") {
            exchange.reply(200, &[("Content-Type", INDEX)], &served.0);
        } else if exchange.seen.target.contains("/manifests/") {
            exchange.reply(200, &[("Content-Type", MANIFEST)], &served.1);
        } else {
            exchange.reply(200, &[], b"{}");
        }
    });
    let (registry, _) = client();
    let name = reference(&server.repository("a/b"));
    let arm = Platform {
        os: "linux".to_owned(),
        architecture: "arm64".to_owned(),
        variant: None,
    };
    let resolved = registry.resolve(&name, &arm).unwrap();
    assert_eq!((resolved.digest, resolved.raw.digest), (top, digest));
    assert_eq!(resolved.index.unwrap().bytes, index);
    assert_eq!(resolved.raw.bytes, manifest);
    assert_eq!(
        registry.config(&name, &resolved.manifest.config).unwrap(),
        b"{}"
    );
    assert_eq!(
        server.lines(),
        [
            "GET /v2/a/b/manifests/latest".to_owned(),
            format!("GET /v2/a/b/manifests/{digest}"),
            format!("GET /v2/a/b/blobs/{}", config.digest),
        ]
    );

    let riscv = Platform {
        architecture: "riscv64".to_owned(),
        ..arm
    };
    let error = registry.resolve(&name, &riscv).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("no matching manifest for linux/riscv64 in the manifest list entries")
    );
    assert_eq!(error.hints(), ["the image is there for: linux/arm64/v8"]);
    assert!(matches!(
        registry.manifest(&name).unwrap().document(&name),
        Ok(Document::Index(_))
    ));
}

#[test]
fn a_missing_manifest_is_named_in_dockers_words() {
    let server = Scripted::start(|exchange| exchange.not_found("MANIFEST_UNKNOWN"));
    let (registry, _) = client();
    let name = server.repository("me/app:1.0");
    let error = registry.manifest(&reference(&name)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("manifest for {name} not found: manifest unknown")
    );
    assert_eq!(error.kind(), Kind::NotFound);
    let error = registry.digest(&reference(&name)).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[test]
fn mirrors_come_first_and_the_registry_finishes_what_they_begin() {
    let blob = content(100_000, 12);
    let (cut, whole) = (blob.clone(), blob.clone());
    let absent = Scripted::start(|exchange| exchange.not_found("BLOB_UNKNOWN"));
    let broken = Scripted::start(move |exchange| exchange.serve_cut(&cut, 40_000));
    let origin = Scripted::start(move |exchange| exchange.serve_cut(&whole, usize::MAX));
    let (mut options, events) = options();
    let domain = origin.address.to_string();
    let mirrors = vec![
        format!("http://{}/cache", absent.address),
        format!("http://{}", broken.address),
    ];
    options.mirrors.insert(domain, mirrors);
    options.credentials = options.credentials.with(
        &origin.address.to_string(),
        support::password("me", "secret"),
    );
    let registry = Registry::new(options).unwrap();
    let bytes = read(
        &registry,
        &origin.repository("a"),
        &descriptor(LAYER, &blob),
    )
    .unwrap();
    assert_eq!(bytes, blob);
    assert!(absent.lines()[0].starts_with("GET /v2/cache/a/blobs/"));
    assert_eq!(broken.seen().len(), 1);
    assert_eq!(origin.seen()[0].range_start(), Some(40_000));
    let failed = events.all();
    let failed = failed
        .iter()
        .filter(|event| matches!(event, RegistryEvent::MirrorFailed { .. }));
    assert_eq!(failed.count(), 2);

    let manifest = manifest_server(MANIFEST, br#"{"schemaVersion":2}"#.to_vec());
    let (mut options, _) = support::options();
    options.mirrors.insert(
        "docker.io".to_owned(),
        vec![format!("http://{}", manifest.address)],
    );
    let registry = Registry::new(options).unwrap();
    registry.manifest(&reference("python:3.11")).unwrap();
    assert_eq!(manifest.lines(), ["GET /v2/library/python/manifests/3.11"]);
}
