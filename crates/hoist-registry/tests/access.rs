//! Who gets to know the user's credentials, and who does not.
#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::{fs, io::Write, os::unix::fs::PermissionsExt, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hoist_core::{Describe, Kind};
use hoist_registry::{Credential, Credentials, Options, Registry, RegistryError, Secret, StoredIn};
use support::{
    LAYER, MANIFEST, client, descriptor, options, password, reference,
    scripted::{Exchange, Scripted, Seen},
};

const BODY: &[u8] = br#"{"schemaVersion":2}"#;

fn basic(username: &str, password: &str) -> String {
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{username}:{password}"))
    )
}

fn with_credentials(credentials: Credentials) -> Registry {
    let (options, _) = options();
    Registry::new(Options {
        credentials,
        ..options
    })
    .unwrap()
}

fn as_user(server: &Scripted) -> Registry {
    let registry = server.address.to_string();
    with_credentials(Credentials::default().with(&registry, password("me", "s3cret")))
}

/// A registry that wants user and password.
fn basic_registry() -> Scripted {
    Scripted::start(|exchange| {
        if exchange.seen.header("authorization") == Some(&basic("me", "s3cret")) {
            exchange.reply(200, &[("Content-Type", MANIFEST)], BODY);
        } else {
            let body =
                br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
            exchange.reply(401, &[("WWW-Authenticate", "Basic realm=\"hoist\"")], body);
        }
    })
}

/// A server of tokens, and a registry that takes the latest of them.
fn token_registry(
    tokens: impl Fn(&mut Exchange) + Send + Sync + 'static,
    token: &'static str,
) -> (Scripted, Scripted) {
    let tokens = Scripted::start(tokens);
    let challenge = format!(
        "Bearer realm=\"http://{}/token\",service=\"reg\",scope=\"repository:a:pull\"",
        tokens.address
    );
    let registry = Scripted::start(move |exchange| {
        if exchange.seen.header("authorization") == Some(&format!("Bearer {token}")) {
            exchange.reply(200, &[("Content-Type", MANIFEST)], BODY);
        } else {
            exchange.reply(401, &[("WWW-Authenticate", &challenge)], b"");
        }
    });
    (registry, tokens)
}

#[test]
fn a_registry_with_passwords_gets_them_once_it_asks() {
    let server = basic_registry();
    let registry = as_user(&server);
    let name = reference(&server.repository("a"));
    registry.manifest(&name).unwrap();
    registry.clone().manifest(&name).unwrap();
    let authorized: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| seen.header("authorization").is_some())
        .collect();
    assert_eq!(authorized, [false, true, true]);
}

#[test]
fn without_credentials_docker_says_so() {
    let server = basic_registry();
    let (registry, _) = client();
    let error = registry
        .manifest(&reference(&server.repository("a")))
        .unwrap_err();
    assert_eq!(error.to_string(), "no basic auth credentials");
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert_eq!(
        error.hints(),
        [format!("log in with: hoist login {}", server.address)]
    );

    let wrong = Credentials::default().with(&server.address.to_string(), password("me", "wr0ng"));
    let error = with_credentials(wrong)
        .manifest(&reference(&server.repository("a")))
        .unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("unauthorized: authentication required"),
        "{text}"
    );
    assert!(!text.contains("wr0ng"), "{text}");
}

#[test]
fn tokens_are_fetched_once_for_all_threads() {
    let (server, tokens) = token_registry(
        |exchange| exchange.reply(200, &[], br#"{"token":"t0","expires_in":300}"#),
        "t0",
    );
    let registry = as_user(&server);
    let name = reference(&server.repository("a"));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| registry.manifest(&name).unwrap());
        }
    });
    let asked = tokens.seen();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].target,
        "/token?account=me&scope=repository%3Aa%3Apull&service=reg"
    );
    assert_eq!(
        asked[0].header("authorization"),
        Some(&*basic("me", "s3cret"))
    );
    // The registry itself never sees the password.
    let bare = |seen: &Seen| {
        seen.header("authorization")
            .is_none_or(|text| text == "Bearer t0")
    };
    assert!(server.seen().iter().all(bare));
}

#[test]
fn anonymous_users_get_tokens_too_and_old_ones_are_replaced() {
    let (server, tokens) = token_registry(
        |exchange| {
            let token = if exchange.earlier == 0 { "stale" } else { "t1" };
            let body = format!(r#"{{"access_token":"{token}"}}"#);
            exchange.reply(200, &[], body.as_bytes());
        },
        "t1",
    );
    let (registry, _) = client();
    let name = reference(&server.repository("a"));
    let error = registry.manifest(&name).unwrap_err();
    assert!(matches!(error, RegistryError::PullDenied { .. }), "{error}");
    assert!(error.to_string().starts_with("pull access denied for "));
    registry.manifest(&name).unwrap();
    assert_eq!(tokens.seen().len(), 2);
    assert!(
        tokens
            .seen()
            .iter()
            .all(|seen| seen.header("authorization").is_none())
    );
}

#[test]
fn a_refused_token_names_the_reason_of_its_server() {
    let (server, _tokens) = token_registry(
        |exchange| exchange.reply(401, &[], br#"{"details":"incorrect username or password"}"#),
        "never",
    );
    let error = as_user(&server)
        .manifest(&reference(&server.repository("a")))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{}: unauthorized: incorrect username or password",
            server.address
        )
    );
    let (registry, _) = client();
    let error = registry
        .manifest(&reference(&server.repository("a")))
        .unwrap_err();
    assert!(matches!(error, RegistryError::NoCredentials { .. }));
}

#[test]
fn answers_of_token_servers_are_not_believed_blindly() {
    for body in [
        "",
        "{}",
        r#"{"token":""}"#,
        r#"{"token":"a\r\nX-Evil: 1"}"#,
        "[]",
    ] {
        let (server, _tokens) = token_registry(
            move |exchange| exchange.reply(200, &[], body.as_bytes()),
            "x",
        );
        let (registry, _) = client();
        let error = registry
            .manifest(&reference(&server.repository("a")))
            .unwrap_err();
        assert!(
            matches!(error, RegistryError::Malformed { .. }),
            "{body}: {error}"
        );
    }
    let server = Scripted::start(|exchange| {
        exchange.reply(
            401,
            &[("WWW-Authenticate", "Bearer realm=\"file:///etc/passwd\"")],
            b"",
        );
    });
    let error = as_user(&server)
        .manifest(&reference(&server.repository("a")))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("not the address of a token server"),
        "{error}"
    );
}

#[test]
fn an_identity_token_is_posted_and_stays_with_its_server() {
    let (server, tokens) = token_registry(
        |exchange| {
            exchange.body();
            exchange.reply(200, &[], br#"{"access_token":"t2"}"#);
        },
        "t2",
    );
    let token = Credential::IdentityToken(Secret::new("id+token"));
    let credentials = Credentials::default().with(&server.address.to_string(), token);
    with_credentials(credentials)
        .manifest(&reference(&server.repository("a")))
        .unwrap();
    let asked = &tokens.seen()[0];
    assert_eq!(asked.line(), "POST /token");
    assert_eq!(
        String::from_utf8_lossy(&asked.body),
        "grant_type=refresh_token&client_id=hoist&refresh_token=id%2Btoken&service=reg&scope=repository%3Aa%3Apull"
    );
}

#[test]
fn a_redirect_to_another_host_carries_no_credentials_and_shows_no_signature() {
    let other = Scripted::start(|exchange| {
        if exchange.earlier == 0 {
            exchange.reply(200, &[], b"x");
        } else {
            exchange.reply(401, &[("WWW-Authenticate", "Basic realm=\"give me\"")], b"");
        }
    });
    let location = format!("http://{}/bucket/x?X-Signature=abc", other.address);
    let server = Scripted::start(
        move |exchange| match exchange.seen.header("authorization") {
            None => exchange.reply(401, &[("WWW-Authenticate", "Basic realm=x")], b""),
            Some(_) => exchange.reply(307, &[("Location", &location)], b""),
        },
    );
    let registry = as_user(&server);
    let name = reference(&server.repository("a"));
    let bytes = registry
        .blob(&name, &descriptor(LAYER, b"x"))
        .unwrap()
        .bytes()
        .unwrap();
    assert_eq!(bytes, b"x");
    let error = registry
        .blob(&name, &descriptor(LAYER, b"x"))
        .unwrap()
        .bytes()
        .unwrap_err();
    assert!(
        !format!("{error} {error:?}").contains("Signature"),
        "{error:?}"
    );
    let seen = other.seen();
    assert!(seen.len() >= 2);
    assert_eq!(seen[0].target, "/bucket/x?X-Signature=abc");
    assert!(
        seen.iter()
            .all(|seen| seen.header("authorization").is_none())
    );
    assert!(
        server
            .seen()
            .last()
            .unwrap()
            .header("authorization")
            .is_some()
    );
}

#[test]
fn a_way_back_from_another_host_carries_no_credentials_either() {
    let server_address = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
    let home = std::sync::Arc::clone(&server_address);
    let other = Scripted::start(move |exchange| {
        let location = format!("http://{}/stolen", home.get().unwrap());
        exchange.reply(302, &[("Location", &location)], b"");
    });
    let location = format!("http://{}/there", other.address);
    let server = Scripted::start(move |exchange| match exchange.seen.target.as_str() {
        "/stolen" => exchange.reply(200, &[("Content-Type", MANIFEST)], BODY),
        _ if exchange.seen.header("authorization").is_none() => {
            exchange.reply(401, &[("WWW-Authenticate", "Basic realm=x")], b"");
        }
        _ => exchange.reply(302, &[("Location", &location)], b""),
    });
    server_address.set(server.address.to_string()).unwrap();
    as_user(&server)
        .manifest(&reference(&server.repository("a")))
        .unwrap();
    assert_eq!(server.seen().last().unwrap().header("authorization"), None);
}

#[test]
fn redirects_without_end_are_refused() {
    let server = Scripted::start(|exchange| exchange.reply(302, &[("Location", "/v2/again")], b""));
    let (registry, _) = client();
    let error = registry
        .manifest(&reference(&server.repository("a")))
        .unwrap_err();
    assert!(
        error.to_string().ends_with("too many redirects in a row"),
        "{error}"
    );
    let server =
        Scripted::start(|exchange| exchange.reply(302, &[("Location", "gopher://x/")], b""));
    let error = registry
        .manifest(&reference(&server.repository("a")))
        .unwrap_err();
    assert!(
        error.to_string().contains("without a usable Location"),
        "{error}"
    );
}

#[test]
fn a_mirror_does_not_get_the_credentials_of_the_registry() {
    let mirror = Scripted::start(|exchange| {
        exchange.reply(401, &[("WWW-Authenticate", "Basic realm=x")], b"");
    });
    let server = basic_registry();
    let (mut options, _) = options();
    let domain = server.address.to_string();
    options
        .mirrors
        .insert(domain.clone(), vec![format!("http://{}", mirror.address)]);
    options.credentials = options.credentials.with(&domain, password("me", "s3cret"));
    let registry = Registry::new(options).unwrap();
    registry
        .manifest(&reference(&server.repository("a")))
        .unwrap();
    assert_eq!(mirror.seen().len(), 1);
    assert_eq!(mirror.seen()[0].header("authorization"), None);
}

#[test]
fn the_next_page_of_tags_stays_with_the_registry() {
    let elsewhere = Scripted::start(|exchange| exchange.reply(200, &[], b"{}"));
    let away = format!(
        "<http://{}/v2/a/tags/list>; rel=\"next\"",
        elsewhere.address
    );
    let server = Scripted::start(move |exchange| match exchange.seen.target.as_str() {
        "/v2/a/tags/list?n=1000" => exchange.reply(
            200,
            &[("Link", "</v2/a/tags/list?n=1000&last=b>; rel=\"next\"")],
            br#"{"name":"a","tags":["a","b"]}"#,
        ),
        "/v2/a/tags/list?n=1000&last=b" => {
            exchange.reply(200, &[], br#"{"name":"a","tags":["c"]}"#);
        }
        "/v2/empty/tags/list?n=1000" => exchange.reply(200, &[], br#"{"name":"a","tags":null}"#),
        _ => exchange.reply(200, &[("Link", &away)], br#"{"tags":["x"]}"#),
    });
    let (registry, _) = client();
    assert_eq!(
        registry.tags(&reference(&server.repository("a"))).unwrap(),
        ["a", "b", "c"]
    );
    assert!(
        registry
            .tags(&reference(&server.repository("empty")))
            .unwrap()
            .is_empty()
    );
    let error = registry
        .tags(&reference(&server.repository("away")))
        .unwrap_err();
    assert!(matches!(error, RegistryError::Location { .. }), "{error}");
    assert_eq!(elsewhere.seen().len(), 0);
}

#[test]
fn referrers_come_from_the_api_or_from_a_tag() {
    let signature = descriptor(MANIFEST, b"signature");
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [signature] });
    let index = serde_json::to_vec(&index).unwrap();
    let server = Scripted::start(move |exchange| {
        let target = exchange.seen.target.clone();
        if target.starts_with("/v2/new/referrers/")
            || target.starts_with("/v2/old/manifests/sha256-")
        {
            exchange.reply(200, &[("Content-Type", support::INDEX)], &index);
        } else {
            exchange.not_found("MANIFEST_UNKNOWN");
        }
    });
    let (registry, _) = client();
    let subject = hoist_core::Digest::of(b"image");
    for (name, count) in [("new", 1), ("old", 1), ("none", 0)] {
        let name = reference(&server.repository(name));
        let found = registry
            .referrers(&name, subject, Some("application/x+json"))
            .unwrap();
        assert_eq!(found.len(), count);
    }
    assert!(server.lines()[0].ends_with("?artifactType=application%2Fx%2Bjson"));
}

#[test]
fn registries_can_be_searched() {
    let server = Scripted::start(|exchange| {
        exchange.reply(200, &[], br#"{"num_results":1,"results":[{"name":"python","description":"Python is a language","star_count":9000,"is_official":true,"is_automated":false},{"name":"me/python"}]}"#);
    });
    let (registry, _) = client();
    let found = registry
        .search(&server.address.to_string(), "py thon", 25)
        .unwrap();
    assert_eq!(server.lines(), ["GET /v1/search?q=py%20thon&n=25"]);
    assert_eq!(found.len(), 2);
    assert!(found[0].official && found[0].stars == 9000);
}

#[test]
fn a_login_is_verified_before_it_is_kept() {
    let server = basic_registry();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("docker/config.json");
    let registry = with_credentials(Credentials::file(&path, ""));
    let name = server.address.to_string();

    let error = registry.login(&name, "me", &Secret::new("")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the password for {name} is empty")
    );
    assert_eq!(server.seen().len(), 0);
    let error = registry
        .login(&name, "me", &Secret::new("wr0ng"))
        .unwrap_err();
    assert!(
        matches!(error, RegistryError::Unauthorized { .. }),
        "{error}"
    );
    assert!(!format!("{error} {error:?}").contains("wr0ng"));
    assert!(!path.exists());

    let login = registry.login(&name, "me", &Secret::new("s3cret")).unwrap();
    assert_eq!(login.stored_in, StoredIn::File(path.clone()));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(
        config["auths"][&name]["auth"],
        BASE64_STANDARD.encode("me:s3cret")
    );
    registry
        .manifest(&reference(&server.repository("a")))
        .unwrap();

    assert!(registry.logout(&name).unwrap());
    assert!(!registry.logout(&name).unwrap());
    let error = registry
        .manifest(&reference(&server.repository("a")))
        .unwrap_err();
    assert!(matches!(error, RegistryError::NoCredentials { .. }));
}

#[test]
fn a_login_by_token_keeps_the_identity_token() {
    let (server, tokens) = token_registry(
        |exchange| exchange.reply(200, &[], br#"{"token":"t3","refresh_token":"keep-me"}"#),
        "t3",
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    let registry = with_credentials(Credentials::file(&path, ""));
    let name = server.address.to_string();
    let login = registry.login(&name, "me", &Secret::new("s3cret")).unwrap();
    assert!(login.identity_token);
    assert!(tokens.seen()[0].target.contains("offline_token=true"));
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("\"identitytoken\": \"keep-me\"") && !text.contains("s3cret"),
        "{text}"
    );
    let token = Credential::IdentityToken(Secret::new("keep-me"));
    assert_eq!(
        Credentials::file(&path, "").get(&name).unwrap(),
        Some(token)
    );
}

#[test]
fn dockers_file_is_read_in_all_its_forms_and_keeps_what_else_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    let auth = BASE64_STANDARD.encode("me:a:b");
    fs::write(
        &path,
        format!(
            r#"{{"HttpHeaders": {{"X": "1"}}, "auths": {{
                "https://index.docker.io/v1/": {{"auth": "{auth}"}},
                "https://old.example/v1/": {{"auth": "{auth}"}},
                "reg.example:5000": {{"identitytoken": "it"}},
                "raw.example": {{"registrytoken": "rt"}},
                "helped.example": {{}},
                "bad.example": {{"auth": "!!"}}
            }}, "detachKeys": "ctrl-e,e"}}"#
        ),
    )
    .unwrap();
    let target = directory.path().join("link.json");
    std::os::unix::fs::symlink(&path, &target).unwrap();
    let credentials = Credentials::file(&target, "");
    let user = Some(password("me", "a:b"));
    assert_eq!(credentials.get("docker.io").unwrap(), user);
    assert_eq!(credentials.get("old.example").unwrap(), user);
    assert_eq!(
        credentials.get("reg.example:5000").unwrap(),
        Some(Credential::IdentityToken(Secret::new("it")))
    );
    assert_eq!(
        credentials.get("raw.example").unwrap(),
        Some(Credential::RegistryToken(Secret::new("rt")))
    );
    assert_eq!(credentials.get("helped.example").unwrap(), None);
    assert_eq!(credentials.get("other.example").unwrap(), None);
    let error = credentials.get("bad.example").unwrap_err();
    assert!(error.to_string().contains("bad.example"), "{error}");

    credentials
        .store("old.example", "you", &password("you", "new"))
        .unwrap();
    assert!(credentials.erase("index.docker.io").unwrap());
    assert!(fs::symlink_metadata(&target).unwrap().is_symlink());
    let text = fs::read_to_string(&path).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(config["detachKeys"], "ctrl-e,e");
    assert_eq!(config["HttpHeaders"]["X"], "1");
    assert!(config["auths"].get("https://index.docker.io/v1/").is_none());
    assert!(config["auths"].get("https://old.example/v1/").is_none());
    assert!(text.starts_with("{\n\t\"HttpHeaders\""), "{text}");
    assert_eq!(
        credentials.get("old.example").unwrap(),
        Some(password("you", "new"))
    );

    fs::write(&path, r#"{"auths": {"x": {"auth": "c2VjcmV0"}"#).unwrap();
    let error = credentials.get("x").unwrap_err().to_string();
    assert!(
        error.contains("not a JSON object (line 1") && !error.contains("c2Vj"),
        "{error}"
    );
    // Nothing is written over a file that is not understood.
    assert!(credentials.store("x", "me", &password("me", "p")).is_err());
    assert!(fs::read_to_string(&path).unwrap().ends_with('}'));
}

#[test]
fn logins_at_the_same_time_all_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    std::thread::scope(|scope| {
        for number in 0..16 {
            let path = &path;
            scope.spawn(move || {
                let credentials = Credentials::file(path, "");
                let registry = format!("r{number}.example");
                credentials
                    .store(&registry, "me", &password("me", &registry))
                    .unwrap();
            });
        }
    });
    let credentials = Credentials::file(&path, "");
    for number in 0..16 {
        let registry = format!("r{number}.example");
        assert_eq!(
            credentials.get(&registry).unwrap(),
            Some(password("me", &registry))
        );
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

fn script(path: &Path, text: &str) {
    let mut file = fs::File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_permissions(fs::Permissions::from_mode(0o755))
        .unwrap();
}

#[test]
fn helper_programs_keep_what_they_are_given() {
    let directory = tempfile::tempdir().unwrap();
    let (programs, keys) = (directory.path().join("bin"), directory.path().join("keys"));
    fs::create_dir(&programs).unwrap();
    // One file for one registry is enough of a key chain.
    let text = format!(
        "#!/bin/sh\ncase $1 in\n\
         store) cat > {keys} ;;\n\
         get) cat > /dev/null; if [ -e {keys} ]; then cat {keys}; else echo 'credentials not found in native keychain'; exit 1; fi ;;\n\
         erase) cat > /dev/null; rm {keys} ;;\nesac\n",
        keys = keys.display()
    );
    script(&programs.join("docker-credential-test"), &text);
    script(
        &programs.join("docker-credential-broken"),
        "#!/bin/sh\ncat > /dev/null\necho 'the key chain is locked' >&2\nexit 3\n",
    );
    let path = directory.path().join("config.json");
    fs::write(
        &path,
        r#"{"credsStore": "test", "credHelpers": {"broken.example": "broken", "gone.example": "gone", "way.example": "../out"}}"#,
    )
    .unwrap();
    let credentials = Credentials::file(&path, &programs);
    assert_eq!(credentials.get("reg.example").unwrap(), None);
    let stored = credentials
        .store("reg.example", "me", &password("me", "s3cret"))
        .unwrap();
    assert_eq!(
        stored,
        StoredIn::Helper("docker-credential-test".to_owned())
    );
    assert_eq!(
        credentials.get("reg.example").unwrap(),
        Some(password("me", "s3cret"))
    );
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("\"reg.example\": {}") && !text.contains("auth\":"),
        "{text}"
    );
    let token = Credential::IdentityToken(Secret::new("it"));
    credentials.store("reg.example", "me", &token).unwrap();
    assert_eq!(credentials.get("reg.example").unwrap(), Some(token));
    assert!(credentials.erase("reg.example").unwrap());
    assert!(!credentials.erase("reg.example").unwrap());
    assert!(!keys.exists());

    let error = credentials.get("broken.example").unwrap_err();
    assert_eq!(
        error.to_string(),
        "error getting credentials - docker-credential-broken get: the key chain is locked"
    );
    for name in ["gone.example", "way.example"] {
        let error = credentials.get(name).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("executable file not found in the search path")
        );
    }
}
