//! Pushing to registries that have things, mount things, cut and mislead.
#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::{
    io::{self, Cursor, Read},
    num::NonZeroU64,
    sync::{Arc, Mutex},
};

use hoist_core::{Describe, Digest, Kind, image::Descriptor};
use hoist_registry::{Pushed, Registry, RegistryError, Result};
use support::{
    LAYER, MANIFEST, client, content, descriptor, options, password, reference,
    scripted::{Exchange, Scripted, Seen},
};

fn push(registry: &Registry, name: &str, descriptor: &Descriptor, bytes: &[u8]) -> Result<Pushed> {
    let bytes = bytes.to_vec();
    let mut source = || -> io::Result<Box<dyn Read>> { Ok(Box::new(Cursor::new(bytes.clone()))) };
    registry.push_blob(&reference(name), descriptor, &mut source, None)
}

fn methods(server: &Scripted) -> Vec<String> {
    server
        .seen()
        .iter()
        .map(|seen| seen.method.clone())
        .collect()
}

/// What an upload session has.
type Session = Arc<Mutex<Vec<u8>>>;

/// An upload that keeps what it got, and gives up on the connection of the first `PUT` or `PATCH`
/// after `cut` bytes.
fn resumable(cut: usize) -> (Scripted, Session) {
    let session = Session::default();
    let kept = Arc::clone(&session);
    let broken = Mutex::new(false);
    let server = Scripted::start(move |exchange| {
        let seen = exchange.seen.clone();
        let mut session = kept.lock().unwrap();
        let location = ("Location", "/v2/a/blobs/uploads/1?_state=x");
        match seen.method.as_str() {
            "HEAD" => exchange.not_found("BLOB_UNKNOWN"),
            "POST" => exchange.reply(202, &[location], b""),
            "GET" => {
                let range = format!("0-{}", session.len().saturating_sub(1));
                exchange.reply(204, &[location, ("Range", &range)], b"");
            }
            "PUT" | "PATCH" => {
                let mut broken = broken.lock().unwrap();
                if !*broken {
                    *broken = true;
                    session.extend(exchange.body_part(cut));
                    return;
                }
                let start = seen
                    .header("content-range")
                    .map(|range| range.split_once('-').unwrap().0);
                if let Some(start) = start {
                    assert_eq!(start.parse(), Ok(session.len()));
                }
                session.extend(exchange.body());
                let range = format!("0-{}", session.len() - 1);
                let status = if seen.method == "PUT" { 201 } else { 202 };
                exchange.reply(status, &[location, ("Range", &range)], b"");
            }
            _ => exchange.reply(405, &[], b""),
        }
    });
    (server, session)
}

#[test]
fn an_upload_in_one_request_is_resumed_where_it_was_cut() {
    let blob = content(400_000, 20);
    let (server, session) = resumable(150_000);
    let (registry, _) = client();
    let pushed = push(
        &registry,
        &server.repository("a"),
        &descriptor(LAYER, &blob),
        &blob,
    )
    .unwrap();
    assert_eq!(pushed, Pushed::Uploaded);
    assert_eq!(*session.lock().unwrap(), blob);
    assert_eq!(
        methods(&server),
        ["HEAD", "POST", "PUT", "HEAD", "GET", "PATCH", "PUT"]
    );
    let last = server.lines().pop().unwrap();
    let digest = Digest::of(&blob).hex();
    assert_eq!(
        last,
        format!("PUT /v2/a/blobs/uploads/1?_state=x&digest=sha256%3A{digest}")
    );
}

#[test]
fn an_upload_in_pieces_is_resumed_within_a_piece() {
    let blob = content(250_000, 21);
    let (server, session) = resumable(30_000);
    let (mut options, _) = options();
    options.chunk_size = NonZeroU64::new(100_000);
    let registry = Registry::new(options).unwrap();
    push(
        &registry,
        &server.repository("a"),
        &descriptor(LAYER, &blob),
        &blob,
    )
    .unwrap();
    assert_eq!(*session.lock().unwrap(), blob);
    let ranges: Vec<_> = server
        .seen()
        .iter()
        .filter_map(|seen| seen.header("content-range").map(str::to_owned))
        .collect();
    assert_eq!(
        ranges,
        ["0-99999", "30000-129999", "130000-229999", "230000-249999"]
    );
}

#[test]
fn a_session_that_is_lost_is_begun_anew() {
    let blob = content(50_000, 22);
    let server = Scripted::start(move |exchange| match exchange.seen.method.as_str() {
        "HEAD" => exchange.not_found("BLOB_UNKNOWN"),
        "POST" => {
            let location = format!("/v2/a/blobs/uploads/{}", exchange.earlier);
            exchange.reply(202, &[("Location", &location)], b"");
        }
        "GET" => exchange.not_found("BLOB_UPLOAD_UNKNOWN"),
        "PUT" if exchange.seen.target.contains("/uploads/1?") => drop(exchange.body_part(10)),
        _ => {
            exchange.body();
            exchange.reply(201, &[], b"");
        }
    });
    let (registry, _) = client();
    push(
        &registry,
        &server.repository("a"),
        &descriptor(LAYER, &blob),
        &blob,
    )
    .unwrap();
    assert_eq!(
        methods(&server),
        ["HEAD", "POST", "PUT", "HEAD", "GET", "POST", "PUT"]
    );
    assert_eq!(server.seen()[6].body, blob);
}

#[test]
fn a_lost_last_word_is_found_out() {
    let blob = content(5000, 23);
    let server = Scripted::start(move |exchange| match exchange.earlier {
        0 => exchange.not_found("BLOB_UNKNOWN"),
        1 => exchange.reply(202, &[("Location", "/v2/a/blobs/uploads/1")], b""),
        2 => drop(exchange.body()),
        _ => exchange.announce(200, &[], 5000),
    });
    let (registry, _) = client();
    push(
        &registry,
        &server.repository("a"),
        &descriptor(LAYER, &blob),
        &blob,
    )
    .unwrap();
    assert_eq!(methods(&server), ["HEAD", "POST", "PUT", "HEAD"]);
}

#[test]
fn what_the_registry_has_is_not_sent() {
    let blob = content(5000, 24);
    let server = Scripted::start(move |exchange| exchange.announce(200, &[], 5000));
    let (registry, _) = client();
    let wanted = descriptor(LAYER, &blob);
    let pushed = push(&registry, &server.repository("a"), &wanted, &blob).unwrap();
    assert_eq!(pushed, Pushed::Present);
    assert_eq!(methods(&server), ["HEAD"]);
}

#[test]
fn a_neighbours_blob_is_mounted() {
    let blob = content(5000, 25);
    let server = Scripted::start(move |exchange| match exchange.seen.method.as_str() {
        "HEAD" => exchange.not_found("BLOB_UNKNOWN"),
        _ => exchange.reply(201, &[], b""),
    });
    let (registry, _) = client();
    let wanted = descriptor(LAYER, &blob);
    let mut source = || -> io::Result<Box<dyn Read>> { panic!("nothing is to be read") };
    let name = reference(&server.repository("me/a"));
    let from = reference(&server.repository("base/python:3"));
    let pushed = registry
        .push_blob(&name, &wanted, &mut source, Some(&from))
        .unwrap();
    assert_eq!(pushed, Pushed::Mounted);
    let digest = wanted.digest.hex();
    let line = format!("POST /v2/me/a/blobs/uploads/?mount=sha256%3A{digest}&from=base%2Fpython");
    assert_eq!(server.lines()[1], line);
}

#[test]
fn content_that_cannot_be_read_is_no_failure_of_the_wire() {
    let blob = content(5000, 26);
    let server =
        Scripted::start(
            move |exchange: &mut Exchange| match exchange.seen.method.as_str() {
                "HEAD" => exchange.not_found("BLOB_UNKNOWN"),
                "POST" => exchange.reply(202, &[("Location", "/v2/a/blobs/uploads/1")], b""),
                "PUT" => exchange.stall(),
                _ => exchange.reply(204, &[], b""),
            },
        );
    let (registry, _) = client();
    let name = server.repository("a");
    let error = push(&registry, &name, &descriptor(LAYER, &blob), &blob[..4000]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot read the content of sha256:"),
        "{error}"
    );
    let chain = hoist_core::error::chain(&error);
    assert!(
        chain.ends_with("it ends after 4000 of 5000 bytes"),
        "{chain}"
    );
    // The session is withdrawn.
    assert_eq!(methods(&server), ["HEAD", "POST", "PUT", "DELETE"]);

    let mut source =
        || -> io::Result<Box<dyn Read>> { Err(io::ErrorKind::PermissionDenied.into()) };
    let result = registry.push_blob(
        &reference(&name),
        &descriptor(LAYER, &blob),
        &mut source,
        None,
    );
    assert!(matches!(result, Err(RegistryError::Source { .. })));
}

#[test]
fn uploads_to_another_host_carry_no_credentials() {
    let blob = content(5000, 27);
    let storage = Scripted::start(|exchange| {
        exchange.body();
        exchange.reply(201, &[], b"");
    });
    let location = format!("http://{}/store?signature=abc", storage.address);
    let server = Scripted::start(move |exchange| {
        if exchange.seen.header("authorization").is_none() {
            return exchange.reply(401, &[("WWW-Authenticate", "Basic realm=x")], b"");
        }
        match exchange.seen.method.as_str() {
            "HEAD" => exchange.not_found("BLOB_UNKNOWN"),
            _ => exchange.reply(202, &[("Location", &location)], b""),
        }
    });
    let (mut options, _) = options();
    options.credentials = options
        .credentials
        .with(&server.address.to_string(), password("me", "secret"));
    let registry = Registry::new(options).unwrap();
    push(
        &registry,
        &server.repository("a"),
        &descriptor(LAYER, &blob),
        &blob,
    )
    .unwrap();
    let seen = storage.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].body, blob);
    assert_eq!(seen[0].header("authorization"), None);
    let authorized = |seen: &Seen| seen.header("authorization").is_some();
    assert!(server.seen()[1..].iter().all(authorized));
}

#[test]
fn refusals_are_told_in_dockers_words() {
    let body =
        br#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
    let server = Scripted::start(|exchange| exchange.reply(403, &[], body));
    let (registry, _) = client();
    let name = server.repository("a");
    let error = push(&registry, &name, &descriptor(LAYER, b"x"), b"x").unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("denied: requested access to the resource is denied")
    );
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert_eq!(
        error.hints()[0],
        format!("log in with: hoist login {}", server.address)
    );

    let bytes = br#"{"schemaVersion":2}"#;
    let error = registry
        .push_manifest(&reference(&name), MANIFEST, bytes)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    let pinned = reference(&format!("{name}@{}", Digest::of(b"other")));
    let error = registry
        .push_manifest(&pinned, MANIFEST, bytes)
        .unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }));
}

#[test]
fn a_manifest_goes_under_its_tag_or_its_digest() {
    let bytes = br#"{"schemaVersion":2}"#;
    let digest = Digest::of(bytes);
    let server = Scripted::start(|exchange| {
        exchange.body();
        match exchange.earlier {
            0 => exchange.reply(503, &[], b""),
            _ => exchange.reply(201, &[], b""),
        }
    });
    let (registry, _) = client();
    let name = server.repository("a");
    assert_eq!(
        registry
            .push_manifest(&reference(&name), MANIFEST, bytes)
            .unwrap(),
        digest
    );
    let pinned = reference(&format!("{name}@{digest}"));
    registry.push_manifest(&pinned, MANIFEST, bytes).unwrap();
    let put = |name: &str| format!("PUT /v2/a/manifests/{name}");
    assert_eq!(
        server.lines(),
        [put("latest"), put("latest"), put(&digest.to_string())]
    );
    assert_eq!(server.seen()[1].header("content-type"), Some(MANIFEST));
    assert_eq!(server.seen()[1].body, bytes);
}

#[test]
fn deletion_follows_the_tag_and_may_be_switched_off() {
    let digest = Digest::of(b"x");
    let server = Scripted::start(move |exchange| match exchange.seen.method.as_str() {
        "HEAD" => exchange.reply(200, &[("Docker-Content-Digest", &digest.to_string())], b""),
        _ if exchange.earlier == 1 => exchange.reply(202, &[], b""),
        _ => exchange.reply(
            405,
            &[],
            br#"{"errors":[{"code":"UNSUPPORTED","message":"The operation is unsupported."}]}"#,
        ),
    });
    let (registry, _) = client();
    let name = reference(&server.repository("a:1"));
    assert_eq!(registry.delete_manifest(&name).unwrap(), digest);
    assert_eq!(
        server.lines()[1],
        format!("DELETE /v2/a/manifests/{digest}")
    );
    let error = registry.delete_manifest(&name).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(
        error
            .to_string()
            .ends_with("unsupported: The operation is unsupported.")
    );
}
