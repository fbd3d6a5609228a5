//! Who may do what: users with passwords, registries that are read only.

#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::{fs, net::SocketAddr, path::Path, process::Command, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoist_api::{
    ApiError,
    registry::{Access, Event, Options, Server, TlsFiles},
};
use hoist_core::Describe;
use support::{Registry, files, home, options};

/// A line of a file of users, made by Apache's own program.
fn user(name: &str, password: &str) -> String {
    let made = Command::new("htpasswd")
        .args(["-nbB", "-C", "4", name, password])
        .output();
    let made =
        made.unwrap_or_else(|error| panic!("htpasswd: {error}: apt-get install apache2-utils"));
    assert!(made.status.success());
    String::from_utf8(made.stdout).unwrap().trim().to_owned() + "\n"
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

fn users_at(path: &Path) -> Options {
    Options {
        users: Some(path.to_owned()),
        ..options()
    }
}

#[test]
fn users_have_passwords() {
    let (home, store) = home();
    let path = home.path().join("users");
    let long = "long ".repeat(20);
    let lines = [
        user("me", "s3cret"),
        user("ä", "pä:ss"),
        user("long", &long[..72]),
    ];
    fs::write(&path, format!("# users\n\n{}", lines.concat())).unwrap();
    let registry = Registry::with(&store, &users_at(&path));
    let ask = |authorization: Option<&str>| {
        let header = authorization.map(|value| ("Authorization", value));
        registry.ask("GET", "/v2/", header.as_slice(), b"")
    };
    let challenge = ask(None);
    challenge.fails(401, "UNAUTHORIZED");
    challenge.has(
        "www-authenticate",
        "Basic realm=\"hoist registry\", charset=\"UTF-8\"",
    );
    for (name, password, status) in [
        ("me", "s3cret", 200),
        ("me", "s3cret", 200),
        ("me", "", 401),
        ("me", "s3cret ", 401),
        ("me", "s3cre", 401),
        ("Me", "s3cret", 401),
        ("you", "s3cret", 401),
        ("", "", 401),
        ("ä", "pä:ss", 200),
        ("ä", "pä", 401),
        ("long", &long[..72], 200),
        ("long", &long[..71], 401),
    ] {
        let reply = ask(Some(&basic(name, password)));
        assert_eq!(reply.status, status, "{name}:{password}");
    }
    for bad in ["Basic", "Basic !!!", "Bearer abc", "Basic bWU="] {
        ask(Some(bad)).fails(401, "UNAUTHORIZED");
    }
    // Every endpoint asks, and a stranger leaves nothing.
    registry
        .ask("POST", "/v2/app/blobs/uploads/", &[], b"")
        .fails(401, "UNAUTHORIZED");
    registry
        .ask("PUT", "/v2/app/manifests/1", &[], b"{}")
        .fails(401, "UNAUTHORIZED");
    registry.get("/v2/_catalog").fails(401, "UNAUTHORIZED");
    assert_eq!(files(&home.path().join("root/registry")), [""; 0]);
    let events = registry.events.lock().unwrap();
    let named = events.iter().filter(|event| match event {
        Event::Exchange(exchange) => exchange.user.as_deref() == Some("me"),
        Event::Trouble(_) => false,
    });
    assert_eq!(named.count(), 2);
}

#[test]
fn the_file_of_users_may_change() {
    let (home, store) = home();
    let path = home.path().join("users");
    fs::write(&path, user("me", "old")).unwrap();
    let registry = Registry::with(&store, &users_at(&path));
    let ask = |name: &str, password: &str| {
        registry
            .ask(
                "GET",
                "/v2/",
                &[("Authorization", &basic(name, password))],
                b"",
            )
            .status
    };
    assert_eq!((ask("me", "old"), ask("me", "old")), (200, 200));
    fs::write(&path, user("me", "new") + &user("you", "too")).unwrap();
    assert_eq!(
        (ask("me", "old"), ask("me", "new"), ask("you", "too")),
        (401, 200, 200)
    );
    // What cannot be read changes nothing, and is said.
    fs::write(&path, "you:plain text\n").unwrap();
    assert_eq!((ask("me", "new"), ask("you", "plain text")), (200, 401));
    fs::remove_file(&path).unwrap();
    assert_eq!(ask("me", "new"), 200);
    fs::write(&path, user("you", "too")).unwrap();
    assert_eq!((ask("me", "new"), ask("you", "too")), (401, 200));
    let events = registry.events.lock().unwrap();
    let troubles = events
        .iter()
        .filter(|event| matches!(event, Event::Trouble(_)));
    assert_eq!(troubles.count(), 2);
}

#[test]
fn a_registry_may_be_read_only() {
    let (home, store) = home();
    let digest = {
        let registry = Registry::over(&store);
        registry.push_image("app", "1.0", b"layer")
    };
    let before = files(&home.path().join("root"));
    let registry = Registry::with(
        &store,
        &Options {
            access: Access::ReadOnly,
            ..options()
        },
    );
    registry.get("/v2/app/manifests/1.0").is(200);
    registry.get("/v2/_catalog").is(200);
    let blob = hoist_core::Digest::of(b"layer");
    registry
        .ask("HEAD", &format!("/v2/app/blobs/{blob}"), &[], b"")
        .is(200);
    for (method, target) in [
        ("POST", "/v2/app/blobs/uploads/".to_owned()),
        ("PUT", "/v2/app/manifests/2".to_owned()),
        ("DELETE", "/v2/app/manifests/1.0".to_owned()),
        ("DELETE", format!("/v2/app/manifests/{digest}")),
        ("DELETE", format!("/v2/app/blobs/{blob}")),
    ] {
        registry
            .ask(method, &target, &[], b"")
            .fails(405, "UNSUPPORTED");
    }
    assert_eq!(files(&home.path().join("root")), before);
}

#[test]
fn what_cannot_be_served_is_said_before() {
    let (home, store) = home();
    let path = |name: &str| home.path().join(name);
    let failed = |options: Options| {
        let error = Server::bind(store.clone(), &options, Arc::new(drop)).unwrap_err();
        let text = format!(
            "{}\n{}",
            hoist_core::error::chain(&error),
            error.hints().join("\n")
        );
        (text.replace(home.path().to_str().unwrap(), "HOME"), error)
    };
    fs::write(path("users"), "me:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n").unwrap();
    insta::assert_snapshot!(failed(users_at(&path("users"))).0, @r"
    HOME/users:1: the password is hashed by SHA-1 without salt, which is too weak: only bcrypt is accepted
    Add a user with `htpasswd -B FILE NAME` (of apache2-utils); -c makes the file
    ");
    insta::assert_snapshot!(failed(users_at(&path("missing"))).0, @r"
    HOME/missing: cannot read the file of users: No such file or directory (os error 2)
    Add a user with `htpasswd -B FILE NAME` (of apache2-utils); -c makes the file
    ");
    let tls = |certificate: &str, key: &str| Options {
        tls: Some(TlsFiles {
            certificate: path(certificate),
            key: path(key),
        }),
        ..options()
    };
    insta::assert_snapshot!(failed(tls("users", "users")).0, @r"
    HOME/users: there is no certificate in PEM form in it
    Give files in PEM form: the certificate, followed by those between it and the authority, and its key
    ");
    let taken = Registry::over(&store);
    let (text, error) = failed(Options {
        listen: vec![taken.address],
        ..options()
    });
    assert!(
        text.starts_with(&format!("cannot listen on {}: ", taken.address)),
        "{text}"
    );
    assert!(text.contains("listens on port"), "{text}");
    assert!(matches!(error, ApiError::Listen { .. }));
    let (text, _) = failed(Options {
        listen: vec![SocketAddr::from(([203, 0, 113, 1], 0))],
        ..options()
    });
    assert!(text.contains("an address of this machine"), "{text}");
}

#[test]
fn several_addresses_are_one_registry() {
    let (_home, store) = home();
    let both = Options {
        listen: vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()],
        ..options()
    };
    let server = Server::bind(store, &both, Arc::new(drop)).unwrap();
    let addresses = server.addresses().to_vec();
    assert_eq!(addresses.len(), 2);
    let handle = server.handle();
    let running = std::thread::spawn(|| server.run());
    for address in addresses {
        assert_ne!(address.port(), 0);
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        std::io::Write::write_all(
            &mut stream,
            b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
        support::Reply::read(&mut stream).is(200);
    }
    handle.stop();
    running.join().unwrap();
}
