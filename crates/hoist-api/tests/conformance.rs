//! The cases of the OCI distribution specification's conformance suite, in its four categories:
//! pull, push, content discovery, content management.

mod support;

use hoist_core::Digest;
use hoist_store::Store;
use serde_json::json;
use support::{IMAGE, INDEX, Registry, home, image, index};
use tempfile::TempDir;

fn registry() -> (TempDir, Store, Registry) {
    let (home, store) = home();
    let registry = Registry::over(&store);
    (home, store, registry)
}

#[test]
fn the_registry_says_that_it_is_one() {
    let (_home, _store, registry) = registry();
    for target in ["/v2/", "/v2"] {
        let reply = registry.get(target);
        reply
            .is(200)
            .has("docker-distribution-api-version", "registry/2.0");
    }
    registry.ask("HEAD", "/v2/", &[], b"").is(200);
    registry.get("/").fails(404, "NAME_UNKNOWN");
    registry
        .ask("POST", "/v2/", &[], b"")
        .fails(405, "UNSUPPORTED");
}

#[test]
fn pull_what_is_there() {
    let (_home, _store, registry) = registry();
    let bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    let blob = registry.push_blob("me/app", &bytes);
    let digest = registry.push_image("me/app", "1.0", b"layer");
    for target in [
        format!("/v2/me/app/manifests/{digest}"),
        "/v2/me/app/manifests/1.0".into(),
    ] {
        let whole = registry.get(&target);
        whole
            .is(200)
            .has("content-type", IMAGE)
            .has("docker-content-digest", &digest.to_string());
        assert_eq!(Digest::of(&whole.body), digest);
        let head = registry.ask("HEAD", &target, &[], b"");
        head.is(200)
            .has("content-type", IMAGE)
            .has("docker-content-digest", &digest.to_string())
            .has("content-length", &whole.body.len().to_string());
        assert_eq!(head.text(), "");
    }
    let target = format!("/v2/me/app/blobs/{blob}");
    let whole = registry.get(&target);
    whole
        .is(200)
        .has("docker-content-digest", &blob.to_string())
        .has("content-length", "200000");
    assert_eq!(whole.body, bytes);
    let head = registry.ask("HEAD", &target, &[], b"");
    head.is(200)
        .has("docker-content-digest", &blob.to_string())
        .has("content-length", "200000");
    assert_eq!(head.text(), "");
}

#[test]
fn pull_what_is_not_there() {
    let (_home, _store, registry) = registry();
    registry.push_image("me/app", "1.0", b"layer");
    let missing = Digest::of(b"missing");
    let sha512 = format!("sha512:{}", "0".repeat(128));
    for method in ["GET", "HEAD", "DELETE"] {
        for (target, status, code) in [
            (format!("/v2/me/app/blobs/{missing}"), 404, "BLOB_UNKNOWN"),
            (format!("/v2/me/app/blobs/{sha512}"), 404, "BLOB_UNKNOWN"),
            ("/v2/me/app/blobs/sha256:bad".into(), 400, "DIGEST_INVALID"),
            (
                format!("/v2/me/app/manifests/{missing}"),
                404,
                "MANIFEST_UNKNOWN",
            ),
            (
                format!("/v2/me/app/manifests/{sha512}"),
                404,
                "MANIFEST_UNKNOWN",
            ),
            (
                "/v2/me/app/manifests/sha256:bad".into(),
                400,
                "DIGEST_INVALID",
            ),
            ("/v2/me/app/manifests/2.0".into(), 404, "MANIFEST_UNKNOWN"),
            (
                "/v2/me/app/manifests/.INVALID".into(),
                404,
                "MANIFEST_UNKNOWN",
            ),
            (
                "/v2/nobody/app/manifests/1.0".into(),
                404,
                "MANIFEST_UNKNOWN",
            ),
            ("/v2/Me/app/manifests/1.0".into(), 400, "NAME_INVALID"),
        ] {
            let reply = registry.ask(method, &target, &[], b"");
            match method {
                "HEAD" => reply.is(status),
                _ => reply.fails(status, code),
            };
        }
    }
}

#[test]
fn pull_a_part_of_a_blob() {
    let (_home, _store, registry) = registry();
    let bytes: Vec<u8> = (0..2048_u32)
        .map(|number| u8::try_from(number % 251).unwrap())
        .collect();
    let blob = registry.push_blob("me/app", &bytes);
    let target = format!("/v2/me/app/blobs/{blob}");
    for (range, part, content_range) in [
        ("bytes=500-1499", 500..1500, "bytes 500-1499/2048"),
        ("bytes=500-", 500..2048, "bytes 500-2047/2048"),
        ("bytes=-500", 1548..2048, "bytes 1548-2047/2048"),
        ("bytes=2000-5000", 2000..2048, "bytes 2000-2047/2048"),
    ] {
        let reply = registry.ask("GET", &target, &[("Range", range)], b"");
        reply
            .is(206)
            .has("content-range", content_range)
            .has("accept-ranges", "bytes");
        assert_eq!(reply.body, bytes[part], "{range}");
    }
    for range in ["bytes=500-0", "bytes=5000-10000", "bytes=-0"] {
        let reply = registry.ask("GET", &target, &[("Range", range)], b"");
        reply
            .fails(416, "SIZE_INVALID")
            .has("content-range", "bytes */2048");
    }
    for range in ["bytes=0-1,5-6", "lines=1-2", "bytes=x"] {
        let reply = registry.ask("GET", &target, &[("Range", range)], b"");
        assert_eq!(reply.is(200).body, bytes, "{range}");
    }
}

#[test]
fn push_in_one_request_or_in_two() {
    let (_home, _store, registry) = registry();
    for content in [&b"one"[..], b"", b"{}"] {
        let digest = Digest::of(content);
        let target = format!("/v2/me/app/blobs/uploads/?digest={digest}");
        let reply = registry.ask("POST", &target, &[], content);
        let place = reply
            .is(201)
            .has("docker-content-digest", &digest.to_string())
            .header("location");
        assert_eq!(registry.get(place).is(200).body, content);
    }
    let digest = Digest::of(b"two");
    let begun = registry.ask("POST", "/v2/me/app/blobs/uploads/", &[], b"");
    begun.is(202).has("range", "0-0");
    assert_eq!(begun.header("docker-upload-uuid").len(), 36);
    let target = format!("{}?digest={digest}", begun.header("location"));
    let reply = registry.ask("PUT", &target, &[], b"two");
    let place = reply
        .is(201)
        .has("docker-content-digest", &digest.to_string())
        .header("location");
    assert_eq!(registry.get(place).is(200).body, b"two");
    // It is over: there is no such upload any more.
    registry
        .ask("PUT", &target, &[], b"two")
        .fails(404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn push_as_a_stream() {
    let (_home, _store, registry) = registry();
    let place = registry.begin("me/app");
    let reply = registry.ask("PATCH", &place, &[], b"all of ");
    reply.is(202).has("range", "0-6");
    registry
        .ask("PATCH", reply.header("location"), &[], b"it")
        .is(202)
        .has("range", "0-8");
    let digest = Digest::of(b"all of it");
    registry
        .ask("PUT", &format!("{place}?digest={digest}"), &[], b"")
        .is(201);
    assert_eq!(
        registry.get(&format!("/v2/me/app/blobs/{digest}")).body,
        b"all of it"
    );
}

#[test]
fn push_in_pieces_and_in_order() {
    let (_home, _store, registry) = registry();
    let digest = Digest::of(b"0123456789");
    for ends_with_put in [false, true] {
        let place = registry.begin("me/app");
        let piece = |range: &str, bytes: &[u8]| {
            registry.ask("PATCH", &place, &[("Content-Range", range)], bytes)
        };
        piece("4-7", b"4567")
            .fails(416, "BLOB_UPLOAD_INVALID")
            .has("location", &place);
        piece("0-3", b"0123").is(202).has("range", "0-3");
        // Again, and too far ahead.
        piece("0-3", b"0123")
            .fails(416, "BLOB_UPLOAD_INVALID")
            .has("range", "0-3");
        piece("5-7", b"567").fails(416, "BLOB_UPLOAD_INVALID");
        piece("nonsense", b"4567").fails(416, "BLOB_UPLOAD_INVALID");
        piece("4-9", b"4567").fails(400, "SIZE_INVALID");
        registry
            .get(&place)
            .is(204)
            .has("range", "0-3")
            .has("location", &place);
        piece("4-7", b"4567").is(202).has("range", "0-7");
        let target = format!("{place}?digest={digest}");
        if ends_with_put {
            let bad = registry.ask("PUT", &target, &[("Content-Range", "0-1")], b"89");
            bad.fails(416, "BLOB_UPLOAD_INVALID");
            registry
                .ask("PUT", &target, &[("Content-Range", "8-9")], b"89")
                .is(201);
        } else {
            piece("8-9", b"89").is(202).has("range", "0-9");
            registry.ask("PUT", &target, &[], b"").is(201);
        }
        let blob = format!("/v2/me/app/blobs/{digest}");
        assert_eq!(registry.get(&blob).is(200).body, b"0123456789");
        registry.ask("DELETE", &blob, &[], b"").is(202);
    }
}

#[test]
fn cancel_an_upload() {
    let (_home, _store, registry) = registry();
    let place = registry.begin("me/app");
    registry.ask("PATCH", &place, &[], b"some").is(202);
    registry.ask("DELETE", &place, &[], b"").is(204);
    for method in ["GET", "PATCH", "DELETE"] {
        registry
            .ask(method, &place, &[], b"")
            .fails(404, "BLOB_UPLOAD_UNKNOWN");
    }
    // Nor is it one of another repository.
    let place = registry.begin("me/app").replace("me/app", "me/other");
    registry
        .ask("PATCH", &place, &[], b"some")
        .fails(404, "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn what_is_not_what_it_should_be_is_refused() {
    let (home, _store, registry) = registry();
    let digest = Digest::of(b"what it should be");
    let with = |place: &str| format!("{place}?digest={digest}");
    let target = with("/v2/me/app/blobs/uploads/");
    registry
        .ask("POST", &target, &[], b"oh no")
        .fails(400, "DIGEST_INVALID");
    let place = registry.begin("me/app");
    registry
        .ask("PUT", &with(&place), &[], b"oh no")
        .fails(400, "DIGEST_INVALID");
    let place = registry.begin("me/app");
    registry.ask("PATCH", &place, &[], b"oh no").is(202);
    registry
        .ask("PUT", &with(&place), &[], b"")
        .fails(400, "DIGEST_INVALID");
    registry.get(&place).fails(404, "BLOB_UPLOAD_UNKNOWN");
    let place = registry.begin("me/app");
    for (query, code) in [
        ("", "DIGEST_INVALID"),
        ("?digest=", "DIGEST_INVALID"),
        ("?digest=sha256:abc", "DIGEST_INVALID"),
        (
            &format!("?digest=sha512:{}", "0".repeat(128)),
            "UNSUPPORTED",
        ),
    ] {
        registry
            .ask("PUT", &format!("{place}{query}"), &[], b"")
            .fails(400, code);
    }
    registry.ask("DELETE", &place, &[], b"").is(204);
    registry
        .ask(
            "POST",
            "/v2/me/app/blobs/uploads/?digest-algorithm=sha512",
            &[],
            b"",
        )
        .fails(400, "UNSUPPORTED");
    assert_eq!(support::files(&home.path().join("root/registry")), [""; 0]);
    assert_eq!(support::files(&home.path().join("root/blobs")), [""; 0]);
}

#[test]
fn mount_from_a_neighbour() {
    let (_home, _store, registry) = registry();
    let blob = registry.push_blob("me/app", b"shared");
    let target = |name: &str| format!("/v2/{name}/blobs/{blob}");
    registry.get(&target("me/other")).fails(404, "BLOB_UNKNOWN");
    let mount = |query: &str| {
        registry.ask(
            "POST",
            &format!("/v2/me/other/blobs/uploads/?mount={blob}{query}"),
            &[],
            b"",
        )
    };
    // A neighbour that has it not: an ordinary upload begins.
    let begun = mount("&from=no/body");
    begun.is(202);
    registry
        .ask("DELETE", begun.header("location"), &[], b"")
        .is(204);
    mount("&from=../app").fails(400, "NAME_INVALID");
    let mounted = mount("&from=me/app");
    mounted
        .is(201)
        .has("docker-content-digest", &blob.to_string());
    assert_eq!(registry.get(mounted.header("location")).body, b"shared");
    // It is now a blob of both.
    registry.ask("DELETE", &target("me/app"), &[], b"").is(202);
    registry.get(&target("me/app")).fails(404, "BLOB_UNKNOWN");
    registry.get(&target("me/other")).is(200);
    let target = format!("/v2/third/blobs/uploads/?mount={blob}");
    registry.ask("POST", &target, &[], b"").is(201);
    let target = format!("/v2/third/blobs/uploads/?mount={}", Digest::of(b"nowhere"));
    registry.ask("POST", &target, &[], b"").is(202);
}

#[test]
fn push_manifests() {
    let (_home, _store, registry) = registry();
    let config = registry.push_blob("me/app", b"{}");
    let layer = registry.push_blob("me/app", b"layer");
    let manifest = image(&config, &layer, None).to_string();
    let digest = Digest::of(manifest.as_bytes());
    let reply = registry.put_manifest("me/app", "1.0", IMAGE, manifest.as_bytes());
    reply
        .is(201)
        .has("docker-content-digest", &digest.to_string())
        .has("location", &format!("/v2/me/app/manifests/{digest}"))
        .has("oci-subject", "");
    // By the digest, with tags.
    let reference = format!("{digest}?tag=a&tag=b");
    let reply = registry.put_manifest("me/app", &reference, IMAGE, manifest.as_bytes());
    let tags: Vec<&str> = reply
        .is(201)
        .headers
        .iter()
        .filter(|(name, _)| name == "oci-tag")
        .map(|(_, tag)| tag.as_str())
        .collect();
    assert_eq!(tags, ["a", "b"]);
    for tag in ["a", "b", "1.0"] {
        assert_eq!(
            registry.get(&format!("/v2/me/app/manifests/{tag}")).body,
            manifest.as_bytes()
        );
    }
    // Another digest, no digest, no tag.
    let put = |reference: &str, kind: &str, body: &str| {
        registry.put_manifest("me/app", reference, kind, body.as_bytes())
    };
    put(&Digest::of(b"").to_string(), IMAGE, &manifest).fails(400, "DIGEST_INVALID");
    put("sha256:baddigeststring", IMAGE, &manifest).fails(400, "DIGEST_INVALID");
    put(".x", IMAGE, &manifest).fails(400, "MANIFEST_INVALID");
    put(&format!("{digest}?tag=.x"), IMAGE, &manifest).fails(400, "MANIFEST_INVALID");
    put("x", INDEX, &manifest).fails(400, "MANIFEST_INVALID");
    put("x", IMAGE, "nonsense").fails(400, "MANIFEST_INVALID");
    // No layers at all, fields that nobody knows, a type that nobody knows.
    put(
        "none",
        IMAGE,
        &json!({"schemaVersion": 2, "config": {"digest": config}, "layers": []}).to_string(),
    )
    .is(201);
    put(
        "more",
        IMAGE,
        &manifest.replacen('{', "{\"x\":{\"y\":[1]},", 1),
    )
    .is(201);
    let other = "application/vnd.example.thing+json";
    put("other", other, "{ }").is(201);
    let reply = registry.get("/v2/me/app/manifests/other");
    assert_eq!(reply.is(200).has("content-type", other).text(), "{ }");
}

#[test]
fn manifests_name_only_what_is_there() {
    let (_home, _store, registry) = registry();
    let config = registry.push_blob("me/app", b"{}");
    let elsewhere = registry.push_blob("me/other", b"layer");
    let missing = image(&config, &elsewhere, None).to_string();
    let reply = registry.put_manifest("me/app", "1", IMAGE, missing.as_bytes());
    reply.fails(404, "MANIFEST_BLOB_UNKNOWN");
    assert!(
        reply.text().contains(&elsewhere.to_string()),
        "{}",
        reply.text()
    );
    let child = Digest::of(missing.as_bytes());
    let list = index(&[child]).to_string();
    registry
        .put_manifest("me/app", "1", INDEX, list.as_bytes())
        .fails(404, "MANIFEST_BLOB_UNKNOWN");
    registry
        .get("/v2/me/app/tags/list")
        .fails(404, "NAME_UNKNOWN");
    // Layers that may not be given away need not be there.
    let mut foreign = image(&config, &elsewhere, None);
    foreign["layers"][0]["mediaType"] =
        json!("application/vnd.oci.image.layer.nondistributable.v1.tar");
    registry.push_manifest("me/app", "foreign", IMAGE, &foreign);
    let child = registry.push_image("me/app", "", b"layer");
    let list = registry.push_manifest("me/app", "list", INDEX, &index(&[child]));
    registry.push_manifest("me/app", "lists", INDEX, &index(&[list, child]));
}

#[test]
fn what_is_about_a_manifest() {
    let (_home, _store, registry) = registry();
    let subject = registry.push_image("me/app", "1.0", b"layer");
    let list = |query: &str| registry.get(&format!("/v2/me/app/referrers/{subject}{query}"));
    let reply = list("");
    reply.is(200).has("content-type", INDEX);
    assert_eq!(
        reply.json(),
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []})
    );
    let config = registry.push_blob("me/app", b"{}");
    let layer = registry.push_blob("me/app", b"signature");
    let mut about = image(&config, &layer, Some(&subject));
    about["artifactType"] = json!("application/vnd.example.signature+json");
    about["annotations"] = json!({"org.example": "yes"});
    let text = about.to_string();
    let digest = Digest::of(text.as_bytes());
    let reply = registry.put_manifest("me/app", &digest.to_string(), IMAGE, text.as_bytes());
    reply.is(201).has("oci-subject", &subject.to_string());
    // Its type is that of its configuration, and an index has none.
    registry.push_manifest(
        "me/app",
        "other",
        IMAGE,
        &image(&config, &layer, Some(&subject)),
    );
    let mut group = index(&[digest]);
    group["subject"] = json!({"mediaType": IMAGE, "digest": subject, "size": 1});
    let group = registry.push_manifest("me/app", "group", INDEX, &group);
    let found = list("").json()["manifests"].as_array().unwrap().clone();
    assert_eq!(found.len(), 3);
    let of = |digest: Digest| {
        found
            .iter()
            .find(|one| one["digest"] == digest.to_string())
            .unwrap()
            .clone()
    };
    assert_eq!(
        of(digest),
        json!({
            "mediaType": IMAGE,
            "digest": digest,
            "size": text.len(),
            "artifactType": "application/vnd.example.signature+json",
            "annotations": {"org.example": "yes"},
        })
    );
    assert!(of(group).get("artifactType").is_none());
    let reply = list("?artifactType=application/vnd.oci.image.config.v1%2Bjson");
    reply.is(200).has("oci-filters-applied", "artifactType");
    assert_eq!(reply.json()["manifests"].as_array().unwrap().len(), 1);
    let reply = list("?artifactType=application/vnd.example.signature+json");
    assert_eq!(reply.json()["manifests"][0]["digest"], digest.to_string());
    // A subject that is not here, and one that cannot be.
    let missing = Digest::of(b"later");
    registry.push_manifest(
        "me/app",
        "early",
        IMAGE,
        &image(&config, &layer, Some(&missing)),
    );
    let reply = registry.get(&format!("/v2/me/app/referrers/{missing}"));
    assert_eq!(reply.json()["manifests"].as_array().unwrap().len(), 1);
    registry
        .get("/v2/me/app/referrers/sha256:bad")
        .fails(400, "DIGEST_INVALID");
    registry
        .get(&format!("/v2/nobody/referrers/{missing}"))
        .is(200);
    registry
        .get(&format!("/v2/me/app/referrers/sha512:{}", "0".repeat(128)))
        .is(200);
}

#[test]
fn many_referrers_come_in_several_answers() {
    let (_home, _store, registry) = registry();
    let subject = Digest::of(b"subject");
    let config = registry.push_blob("app", b"{}");
    let mut pushed = Vec::new();
    for number in 0..5 {
        let mut about = image(&config, &config, Some(&subject));
        about["annotations"] = json!({"n": number.to_string(), "large": "x".repeat(25_000)});
        about["artifactType"] = json!("a/b+c");
        pushed.push(
            registry
                .push_manifest("app", &format!("t{number}"), IMAGE, &about)
                .to_string(),
        );
    }
    let mut large = image(&config, &config, Some(&subject));
    large["annotations"] = json!({"large": "x".repeat(66_000)});
    let large = large.to_string();
    registry
        .put_manifest("app", "large", IMAGE, large.as_bytes())
        .fails(400, "MANIFEST_INVALID");
    let mut target = format!("/v2/app/referrers/{subject}?artifactType=a/b%2Bc");
    let mut found = Vec::new();
    let mut answers = 0;
    while !target.is_empty() {
        let reply = registry.get(&target);
        reply.is(200).has("oci-filters-applied", "artifactType");
        for one in reply.json()["manifests"].as_array().unwrap() {
            found.push(one["digest"].as_str().unwrap().to_owned());
        }
        target = next(reply.header("link"));
        answers += 1;
    }
    pushed.sort();
    assert_eq!(found, pushed);
    assert_eq!(answers, 2);
}

/// The target of a link to what comes next.
fn next(link: &str) -> String {
    let target = link
        .strip_suffix(">; rel=\"next\"")
        .and_then(|link| link.strip_prefix('<'));
    target.unwrap_or_default().to_owned()
}

#[test]
fn tags_and_repositories_are_listed_in_order() {
    let (_home, _store, registry) = registry();
    let manifest = image(
        &registry.push_blob("me/app", b"{}"),
        &registry.push_blob("me/app", b"x"),
        None,
    );
    for tag in ["b", "a", "A", "1.0", "c"] {
        registry.push_manifest("me/app", tag, IMAGE, &manifest);
    }
    let tags = |query: &str| {
        let reply = registry.get(&format!("/v2/me/app/tags/list{query}"));
        let json = reply.is(200).json();
        assert_eq!(json["name"], "me/app");
        (json["tags"].clone(), reply.header("link").to_owned())
    };
    assert_eq!(
        tags(""),
        (json!(["1.0", "A", "a", "b", "c"]), String::new())
    );
    assert_eq!(tags("?last=A"), (json!(["a", "b", "c"]), String::new()));
    assert_eq!(tags("?n=0"), (json!([]), String::new()));
    assert_eq!(tags("?n=5").1, "");
    let (first, link) = tags("?n=2");
    assert_eq!(
        (first, link.as_str()),
        (
            json!(["1.0", "A"]),
            "</v2/me/app/tags/list?n=2&last=A>; rel=\"next\""
        )
    );
    assert_eq!(registry.get(&next(&link)).json()["tags"], json!(["a", "b"]));
    registry
        .get("/v2/me/app/tags/list?n=x")
        .fails(400, "PAGINATION_NUMBER_INVALID");
    registry
        .get("/v2/nobody/tags/list")
        .fails(404, "NAME_UNKNOWN");

    for name in ["z", "me/app/sub", "me"] {
        registry.push_image(name, "1", b"x");
    }
    // One that has blobs only is none yet.
    registry.push_blob("early", b"x");
    let catalog = |query: &str| registry.get(&format!("/v2/_catalog{query}"));
    assert_eq!(
        catalog("").json(),
        json!({"repositories": ["me", "me/app", "me/app/sub", "z"]})
    );
    let reply = catalog("?n=3");
    assert_eq!(reply.json()["repositories"].as_array().unwrap().len(), 3);
    assert_eq!(
        registry.get(&next(reply.header("link"))).json(),
        json!({"repositories": ["z"]})
    );
}

#[test]
fn delete_tags_manifests_and_blobs() {
    let (_home, _store, registry) = registry();
    let digest = registry.push_image("me/app", "1.0", b"layer");
    registry.push_image("me/app", "latest", b"layer");
    let layer = Digest::of(b"layer");
    let delete = |target: String| registry.ask("DELETE", &target, &[], b"").status;
    let get = |target: String| registry.get(&target).status;
    let tag = |tag: &str| format!("/v2/me/app/manifests/{tag}");
    assert_eq!(delete(tag("1.0")), 202);
    assert_eq!((get(tag("1.0")), get(tag("latest"))), (404, 200));
    assert_eq!(delete(tag("1.0")), 404);
    assert_eq!(
        registry.get("/v2/me/app/tags/list").json()["tags"],
        json!(["latest"])
    );
    assert_eq!(delete(tag(&digest.to_string())), 202);
    assert_eq!(
        (get(tag("latest")), get(tag(&digest.to_string()))),
        (404, 404)
    );
    assert_eq!(delete(tag(&digest.to_string())), 404);
    let blob = format!("/v2/me/app/blobs/{layer}");
    assert_eq!(
        (
            get(blob.clone()),
            delete(blob.clone()),
            delete(blob.clone()),
            get(blob)
        ),
        (200, 202, 404, 404)
    );
    registry
        .get("/v2/me/app/tags/list")
        .fails(404, "NAME_UNKNOWN");
}
