//! Clients that mean no good, or that die: nothing is seen that is not whole, nothing is left behind,
//! and others are served meanwhile.

#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::{
    io::{Read, Write},
    net::Shutdown,
};

use hoist_api::registry::Event;
use hoist_core::Digest;
use serde_json::json;
use support::{IMAGE, INDEX, Registry, Reply, files, home, image, wait_until};

#[test]
fn no_name_leads_out_of_the_registry() {
    let (home, store) = home();
    // The lock of the store is made by its first use.
    store.expire_uploads().unwrap();
    let registry = Registry::over(&store);
    let before = files(home.path());
    for name in [
        "..",
        "../..",
        "a/../..",
        "%2e%2e",
        "a%2f..%2f..",
        "_tags",
        "a/_blobs",
        "a//b",
        "",
        "a%00b",
        ".tmp-1-1",
        "a/.",
        "A",
        "a%",
        "\u{e4}",
    ] {
        for (method, rest) in [
            ("POST", "blobs/uploads/"),
            ("PUT", "manifests/latest"),
            ("GET", "tags/list"),
            ("GET", "manifests/latest"),
            ("DELETE", "manifests/latest"),
        ] {
            let reply = registry.ask(method, &format!("/v2/{name}/{rest}"), &[], b"");
            assert!(
                matches!(reply.status, 400 | 404),
                "{name}: {}",
                reply.status
            );
        }
    }
    for rest in [
        "manifests/..%2f..%2f..%2fformat.json",
        "manifests/..",
        "blobs/..",
        "blobs/sha256:../../../format.json",
        "blobs/uploads/../../x",
        "blobs/uploads/%2e%2e",
    ] {
        let reply = registry.get(&format!("/v2/app/{rest}"));
        assert!(
            matches!(reply.status, 400 | 404),
            "{rest}: {}",
            reply.status
        );
    }
    assert_eq!(files(home.path()), before);
}

#[test]
fn what_is_no_http_ends_with_its_connection() {
    let (_home, store) = home();
    let registry = Registry::over(&store);
    let huge = format!("GET /v2/ HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET /v2/ HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(1000));
    for bytes in [
        "\r\n\r\nnonsense\r\n\r\n",
        "GET /v2/ HTTP/9.9\r\n\r\n",
        "GET /v2/\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        &huge,
        &many,
    ] {
        let mut stream = registry.connect();
        let _ = stream.write_all(bytes.as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    registry.get("/v2/").is(200);
}

#[test]
fn manifests_have_a_largest_size() {
    let (home, store) = home();
    let registry = Registry::over(&store);
    let config = registry.push_blob("app", b"{}");
    let mut manifest = image(&config, &config, None);
    let padded = |manifest: &mut serde_json::Value, size: usize| {
        manifest["padding"] = json!("");
        let rest = size - manifest.to_string().len();
        manifest["padding"] = json!("x".repeat(rest));
        manifest.to_string()
    };
    let largest = padded(&mut manifest, 4 << 20);
    registry
        .put_manifest("app", "large", IMAGE, largest.as_bytes())
        .is(201);
    let reply = registry.get("/v2/app/manifests/large");
    assert!(reply.is(200).body == largest.as_bytes());
    let larger = padded(&mut manifest, (4 << 20) + 1);
    let before = files(&home.path().join("root"));
    let reply = registry.put_manifest("app", "larger", IMAGE, larger.as_bytes());
    reply.fails(413, "MANIFEST_INVALID");
    // The same without a word about its size, and without an end.
    let mut stream = registry.connect();
    let head = "PUT /v2/app/manifests/larger HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut sender = stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        while sender.write_all(piece.as_bytes()).is_ok() {}
    });
    Reply::read(&mut stream).fails(413, "MANIFEST_INVALID");
    drop(stream.shutdown(Shutdown::Both));
    sending.join().unwrap();
    assert_eq!(files(&home.path().join("root")), before);
}

#[test]
fn a_manifest_of_a_great_many_parts_is_no_burden() {
    let (_home, store) = home();
    let registry = Registry::over(&store);
    let config = registry.push_blob("app", b"{}");
    let layer = json!({"digest": config, "size": 2});
    let manifest = json!({
        "schemaVersion": 2, "config": layer, "layers": vec![layer.clone(); 40_000],
    });
    registry
        .put_manifest("app", "many", IMAGE, manifest.to_string().as_bytes())
        .is(201);
    let child = Digest::of(manifest.to_string().as_bytes());
    let list = json!({
        "schemaVersion": 2, "manifests": vec![json!({"digest": child, "size": 2}); 40_000],
    });
    registry
        .put_manifest("app", "list", INDEX, list.to_string().as_bytes())
        .is(201);
    let mut missing = list;
    missing["manifests"][39_999]["digest"] = json!(Digest::of(b"missing"));
    let reply = registry.put_manifest("app", "list", INDEX, missing.to_string().as_bytes());
    reply.fails(404, "MANIFEST_BLOB_UNKNOWN");
}

/// Sends a request whose body ends before it should.
fn cut_off(registry: &Registry, method: &str, target: &str, body: &[u8]) {
    let mut stream = registry.connect();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
}

#[test]
fn a_body_that_is_cut_off_is_gone_on_with_or_gone() {
    let (home, store) = home();
    let registry = Registry::over(&store);
    let digest = Digest::of(b"0123456789");
    let place = registry.begin("app");
    cut_off(&registry, "PATCH", &place, b"01234");
    let has = |range: &str| registry.get(&place).header("range") == range;
    wait_until("what came has arrived", || has("0-4"));
    let with_digest = format!("{place}?digest={digest}");
    wait_until("the cut-off request has ended", || {
        registry
            .ask("PATCH", &place, &[("Content-Range", "5-7")], b"567")
            .status
            == 202
    });
    cut_off(&registry, "PUT", &with_digest, b"8");
    wait_until("what came has arrived", || has("0-8"));
    registry
        .get(&format!("/v2/app/blobs/{digest}"))
        .fails(404, "BLOB_UNKNOWN");
    wait_until("the cut-off request has ended", || {
        registry
            .ask("PUT", &with_digest, &[("Content-Range", "9-9")], b"9")
            .status
            == 201
    });
    assert_eq!(
        registry.get(&format!("/v2/app/blobs/{digest}")).body,
        b"0123456789"
    );
    // What nobody could go on with is gone with its request.
    cut_off(
        &registry,
        "POST",
        &format!("/v2/app/blobs/uploads/?digest={digest}"),
        b"01234",
    );
    cut_off(&registry, "PUT", "/v2/app/manifests/1", b"{");
    wait_until("nothing is left", || {
        let left = files(&home.path().join("root/registry"));
        !left.iter().any(|path| path.contains("_uploads"))
    });
    registry
        .get("/v2/app/manifests/1")
        .fails(404, "MANIFEST_UNKNOWN");
}

#[test]
fn a_body_that_goes_on_is_not_part_of_the_blob() {
    let (_home, store) = home();
    let registry = Registry::over(&store);
    let digest = Digest::of(b"0123");
    let mut stream = registry.connect();
    let request = format!(
        "POST /v2/app/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n0123456789"
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    Reply::read(&mut stream).is(201);
    assert_eq!(
        registry.get(&format!("/v2/app/blobs/{digest}")).body,
        b"0123"
    );
}

#[test]
fn ranges_that_lie_cancel_the_upload() {
    let (home, store) = home();
    let registry = Registry::over(&store);
    for (pieces, status) in [
        ("2\r\n01\r\n0\r\n\r\n", 400),
        ("9\r\n012345678\r\n0\r\n\r\n", 413),
    ] {
        let place = registry.begin("app");
        let mut stream = registry.connect();
        let request = format!(
            "PATCH {place} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Range: 0-3\r\n\
             Transfer-Encoding: chunked\r\n\r\n{pieces}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        Reply::read(&mut stream).fails(status, "SIZE_INVALID");
        registry.get(&place).fails(404, "BLOB_UPLOAD_UNKNOWN");
    }
    assert_eq!(files(&home.path().join("root/registry")), [""; 0]);
}

/// Whether a request writes to an upload.
fn is_written_to(home: &tempfile::TempDir) -> bool {
    let files = files(&home.path().join("root/registry"));
    files.iter().any(|path| path.ends_with("/lock"))
}

#[test]
fn one_request_at_a_time_writes_to_an_upload() {
    let (home, store) = home();
    let registry = Registry::over(&store);
    let place = registry.begin("app");
    let mut slow = registry.connect();
    let head = format!(
        "PATCH {place} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).unwrap();
    slow.write_all(b"01").unwrap();
    let other = || registry.ask("PATCH", &place, &[("Content-Range", "2-3")], b"xx");
    wait_until("the first request is at it", || is_written_to(&home));
    other().fails(409, "BLOB_UPLOAD_INVALID");
    slow.write_all(b"23").unwrap();
    Reply::read(&mut slow).is(202).has("range", "0-3");
    let digest = Digest::of(b"0123");
    registry
        .ask("PUT", &format!("{place}?digest={digest}"), &[], b"")
        .is(201);
}

#[test]
fn clients_that_say_nothing_keep_nobody_waiting() {
    let (_home, store) = home();
    let registry = Registry::over(&store);
    let half = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n";
    let silent: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = registry.connect();
            stream.write_all(half).unwrap();
            stream
        })
        .collect();
    // Answers that nobody takes.
    let blob = registry.push_blob("app", &vec![7; 8 << 20]);
    let greedy: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = registry.connect();
            let request = format!("GET /v2/app/blobs/{blob} HTTP/1.1\r\nHost: x\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    assert_eq!(
        registry
            .get(&format!("/v2/app/blobs/{blob}"))
            .is(200)
            .body
            .len(),
        8 << 20
    );
    registry.push_image("app", "1", b"layer");
    drop((silent, greedy));
}

#[test]
fn the_same_blob_is_pushed_by_many() {
    let (home, store) = home();
    let registries = [Registry::over(&store), Registry::over(&store)];
    let bytes: Vec<u8> = (0..=255).cycle().take(3 << 20).collect();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let registry = &registries[number % 2];
            let (bytes, name) = (&bytes, format!("app{}", number % 4));
            scope.spawn(move || {
                registry.push_blob(&name, bytes);
                registry.push_image(&name, &format!("t{number}"), bytes);
            });
        }
    });
    for number in 0..4 {
        let reply = registries[number % 2].get(&format!("/v2/app{number}/tags/list"));
        assert_eq!(
            reply.json()["tags"],
            json!([format!("t{number}"), format!("t{}", number + 4)])
        );
    }
    // The layer, the configuration, and the manifest, which is everywhere the same.
    assert_eq!(files(&home.path().join("root/blobs")).len(), 3);
    let left = files(&home.path().join("root/registry"));
    assert!(
        !left.iter().any(|path| path.contains("_uploads")),
        "{left:?}"
    );
}

#[test]
fn an_upload_goes_on_with_another_server() {
    let (_home, store) = home();
    let mut first = Registry::over(&store);
    let second = Registry::over(&store);
    let place = first.begin("app");
    first
        .ask("PATCH", &place, &[], b"one ")
        .is(202)
        .has("range", "0-3");
    second
        .ask("PATCH", &place, &[("Content-Range", "4-7")], b"two ")
        .is(202)
        .has("range", "0-7");
    first
        .ask("PATCH", &place, &[("Content-Range", "8-12")], b"three")
        .is(202)
        .has("range", "0-12");
    first.stop();
    let digest = Digest::of(b"one two three");
    second
        .ask("PUT", &format!("{place}?digest={digest}"), &[], b"")
        .is(201);
    assert_eq!(
        second.get(&format!("/v2/app/blobs/{digest}")).body,
        b"one two three"
    );
}

#[test]
fn a_request_that_runs_may_end_after_a_stop() {
    let (home, store) = home();
    let registry = Registry::over(&store);
    let place = registry.begin("app");
    let mut slow = registry.connect();
    let head = format!("PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n01");
    slow.write_all(head.as_bytes()).unwrap();
    wait_until("the request runs", || is_written_to(&home));
    let idle = registry.connect();
    registry.handle().stop();
    wait_until("nobody is accepted any more", || {
        std::net::TcpStream::connect(registry.address).is_err()
    });
    slow.write_all(b"23").unwrap();
    Reply::read(&mut slow).is(202).has("range", "0-3");
    drop((idle, registry));
    assert_eq!(store.repositories().unwrap(), []);
}

#[test]
fn every_request_is_told() {
    let (_home, store) = home();
    let mut registry = Registry::over(&store);
    let blob = registry.push_blob("app", b"0123456789");
    registry
        .ask(
            "GET",
            &format!("/v2/app/blobs/{blob}"),
            &[("Range", "bytes=2-4")],
            b"",
        )
        .is(206);
    registry.get("/v2/app/tags/list?n=1").is(404);
    registry.stop();
    let events = registry.events.lock().unwrap();
    let told: Vec<String> = events
        .iter()
        .map(|event| match event {
            Event::Exchange(of) => format!(
                "{} {} {} {} {}",
                of.client,
                of.method,
                of.target,
                of.status.as_u16(),
                of.sent
            ),
            Event::Trouble(text) => text.clone(),
        })
        .collect();
    let told = told.join("\n").replace(&blob.to_string(), "DIGEST");
    insta::assert_snapshot!(told, @r"
    127.0.0.1 POST /v2/app/blobs/uploads/?digest=DIGEST 201 0
    127.0.0.1 GET /v2/app/blobs/DIGEST 206 3
    127.0.0.1 GET /v2/app/tags/list?n=1 404 86
    ");
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    let tmpfs = support::Tmpfs::new(c"size=2m");
    let root = tmpfs.0.path().join("root");
    let store = hoist_store::Store::open(&root).unwrap();
    let registry = Registry::over(&store);
    let small = registry.push_blob("app", b"small");
    let large = vec![7; 4 << 20];
    let target = format!("/v2/app/blobs/uploads/?digest={}", Digest::of(&large));
    registry
        .ask("POST", &target, &[], &large)
        .fails(507, "UNKNOWN");
    let place = registry.begin("app");
    registry
        .ask("PATCH", &place, &[], &large)
        .fails(507, "UNKNOWN");
    registry.get(&place).fails(404, "BLOB_UPLOAD_UNKNOWN");
    let left = files(&root.join("registry"));
    assert_eq!(left, [format!("app/_blobs/{}", small.hex())]);
    registry.push_blob("app", &large[..1 << 20]);
    let events = registry.events.lock().unwrap();
    let troubles = events
        .iter()
        .filter(|event| matches!(event, Event::Trouble(text) if text.contains("No space left")));
    assert_eq!(troubles.count(), 2);
}
