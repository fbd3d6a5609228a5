//! A registry with TLS that tries to lead its client out of it, and one whose time is over.
#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
};

use hoist_core::Describe;
use hoist_registry::{DownloadRequest, Downloader, Options, Proxies, Registry, RegistryError};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use support::{
    LAYER,
    debian::{certificate, run},
    descriptor, options, password, reference,
    scripted::{Exchange, Scripted},
};

/// A proxy behind which every host is `server`, with TLS by the keys in this directory.
fn with_tls(keys: &Path, server: SocketAddr) -> Scripted {
    let chain = vec![CertificateDer::from_pem_file(keys.join("cert.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(keys.join("key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    Scripted::start(move |exchange| {
        exchange.raw(b"HTTP/1.1 200 OK\r\n\r\n");
        let (_, socket) = exchange.streams();
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        // A client that breaks off has its reasons.
        let _ = pass_on(StreamOwned::new(connection, socket), server);
    })
}

/// One request without a body, and its answer.
fn pass_on(
    mut client: StreamOwned<ServerConnection, TcpStream>,
    server: SocketAddr,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let mut server = TcpStream::connect(server)?;
    server.write_all(&request)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    client.write_all(&answer)?;
    client.conn.send_close_notify();
    client.flush()
}

/// A client that trusts the certificate in this directory for `registry.test`.
fn trusting(keys: &Path, proxy: &Scripted) -> Registry {
    let own = keys.join("certs.d/registry.test");
    fs::create_dir_all(&own).unwrap();
    fs::copy(keys.join("cert.pem"), own.join("ca.crt")).unwrap();
    let (options, _) = options();
    Registry::new(Options {
        certificates: vec![keys.join("certs.d")],
        credentials: options
            .credentials
            .clone()
            .with("registry.test", password("me", "s3cret")),
        proxies: Proxies {
            https: Some(format!("http://{}", proxy.address)),
            ..Proxies::default()
        },
        ..options
    })
    .unwrap()
}

#[test]
fn nothing_leads_from_https_to_http() {
    let elsewhere = Scripted::start(|exchange| exchange.reply(200, &[], b"x"));
    let plain = format!("http://{}/token", elsewhere.address);
    let challenge = format!("Bearer realm=\"{plain}\"");
    let server = Scripted::start(move |exchange: &mut Exchange| {
        let target = exchange.seen.target.clone();
        match exchange.seen.method.as_str() {
            _ if target.contains("/token/") => {
                exchange.reply(401, &[("WWW-Authenticate", &challenge)], b"");
            }
            "GET" => exchange.reply(307, &[("Location", &plain)], b""),
            "HEAD" => exchange.not_found("BLOB_UNKNOWN"),
            _ => exchange.reply(202, &[("Location", &plain)], b""),
        }
    });
    let keys = tempfile::tempdir().unwrap();
    certificate(keys.path(), "registry.test");
    let proxy = with_tls(keys.path(), server.address);
    let registry = trusting(keys.path(), &proxy);
    let blob = descriptor(LAYER, b"x");

    let name = reference("registry.test/a");
    let error = registry.blob(&name, &blob).unwrap().bytes().unwrap_err();
    assert!(
        error.to_string().ends_with("it leads from https to http"),
        "{error}"
    );

    let mut source = || -> std::io::Result<Box<dyn Read>> { Ok(Box::new(&b"x"[..])) };
    let error = registry
        .push_blob(&name, &blob, &mut source, None)
        .unwrap_err();
    assert!(error.to_string().contains("X-Forwarded-Proto"), "{error}");

    let error = registry
        .manifest(&reference("registry.test/token/a"))
        .unwrap_err();
    assert!(
        error.to_string().ends_with("a token server without TLS"),
        "{error}"
    );
    assert!(matches!(error, RegistryError::Location { .. }));
    assert_eq!(elsewhere.seen().len(), 0);
}

#[test]
fn an_expired_certificate_is_named_as_such() {
    let server = Scripted::start(|exchange| exchange.reply(200, &[], b"x"));
    let keys = tempfile::tempdir().unwrap();
    let path = |file: &str| keys.path().join(file).to_str().unwrap().to_owned();
    let (key, request) = (path("key.pem"), path("request.pem"));
    let subject = [
        "-subj",
        "/CN=hoist",
        "-addext",
        "subjectAltName=DNS:registry.test",
    ];
    let new = [
        "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", &key, "-out", &request,
    ];
    run("openssl", "openssl", &[&new[..], &subject].concat());
    run(
        "openssl",
        "openssl",
        &[
            "x509",
            "-req",
            "-in",
            &request,
            "-signkey",
            &key,
            "-days",
            "-1",
            "-copy_extensions",
            "copyall",
            "-out",
            &path("cert.pem"),
        ],
    );
    let proxy = with_tls(keys.path(), server.address);
    let error = trusting(keys.path(), &proxy)
        .manifest(&reference("registry.test/a"))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("tls: the certificate has expired or is not yet valid"),
        "{error}"
    );
    assert!(error.hints()[0].contains("clock"));
    assert_eq!(server.seen().len(), 0);
}

/// A certificate in this directory, signed by an authority of its own, whose certificate it is.
fn signed(directory: &Path, name: &str) -> Vec<u8> {
    let authority = directory.join("authority");
    fs::create_dir(&authority).unwrap();
    certificate(&authority, "authority.test");
    let path = |file: &str| directory.join(file).to_str().unwrap().to_owned();
    let (key, request) = (path("key.pem"), path("request.pem"));
    let alternative = format!("subjectAltName=DNS:{name}");
    run(
        "openssl",
        "openssl",
        &[
            "req",
            "-new",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=hoist",
            "-addext",
            &alternative,
            "-keyout",
            &key,
            "-out",
            &request,
        ],
    );
    run(
        "openssl",
        "openssl",
        &[
            "x509",
            "-req",
            "-in",
            &request,
            "-days",
            "2",
            "-copy_extensions",
            "copyall",
            "-CA",
            &path("authority/cert.pem"),
            "-CAkey",
            &path("authority/key.pem"),
            "-out",
            &path("cert.pem"),
        ],
    );
    fs::read(authority.join("cert.pem")).unwrap()
}

#[test]
fn a_file_comes_from_a_server_that_the_host_trusts_and_stays_with_tls() {
    let server = Scripted::start(|exchange| match exchange.seen.target.as_str() {
        "/down" => exchange.reply(302, &[("Location", "http://files.test/x")], b""),
        _ => exchange.reply(200, &[], b"content"),
    });
    let keys = tempfile::tempdir().unwrap();
    let authority = signed(keys.path(), "files.test");
    let proxy = with_tls(keys.path(), server.address);
    let fetch = |host_authorities: Option<Vec<u8>>, path: &str| {
        let (options, _) = options();
        let options = Options {
            host_authorities,
            // Of no meaning to what is no registry.
            insecure: vec!["files.test".to_owned()],
            proxies: Proxies {
                https: Some(format!("http://{}", proxy.address)),
                ..Proxies::default()
            },
            ..options
        };
        let url = format!("https://files.test{path}");
        let request = DownloadRequest {
            url: &url,
            authorization: None,
            known: None,
            limit: 99,
            stopped: None,
        };
        let mut file = tempfile::tempfile().unwrap();
        let answer = Downloader::new(options)
            .unwrap()
            .download(&request, &mut file);
        answer.map(drop).map_err(|error| error.to_string())
    };
    fetch(Some(authority.clone()), "/file").unwrap();
    let error = fetch(None, "/file").unwrap_err();
    assert!(error.contains("unknown authority"), "{error}");
    let error = fetch(Some(authority), "/down").unwrap_err();
    assert!(error.ends_with("it leads from https to http"), "{error}");
}
