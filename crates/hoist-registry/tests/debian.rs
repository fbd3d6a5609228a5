//! Against real software: Debian's docker-registry and skopeo.
#![expect(clippy::unwrap_used, reason = "a failed call is a failed test")]

mod support;

use std::{
    fs,
    io::{self, Cursor, Read, Write},
    net::TcpStream,
    num::NonZeroU64,
    path::Path,
};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use flate2::write::GzEncoder;
use hoist_core::{Describe, Digest, Kind, Platform, Reference, image::Manifest};
use hoist_registry::{
    Credentials, Document, Index, LayerReader, Options, Proxies, Pushed, Registry, RegistryError,
    Secret,
};
use support::{
    INDEX, LAYER, MANIFEST, client, content,
    debian::{DebianRegistry, Users, certificate, run},
    descriptor, options, reference,
    scripted::{Exchange, Scripted},
};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A small image with honest layers.
struct Image {
    tars: Vec<Vec<u8>>,
    blobs: Vec<Vec<u8>>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

impl Image {
    fn new(seed: u32) -> Self {
        let tars: Vec<_> = (0..2)
            .map(|layer| tar(&format!("file{layer}"), &content(700_000, seed + layer)))
            .collect();
        let blobs: Vec<_> = tars.iter().map(|tar| gzip(tar)).collect();
        let diff_ids: Vec<_> = tars.iter().map(|tar| Digest::of(tar)).collect();
        let platform = Platform::host();
        let config = serde_json::json!({
            "architecture": platform.architecture, "os": "linux",
            "config": { "Cmd": ["/bin/true"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = serde_json::to_vec(&config).unwrap();
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            config: descriptor(CONFIG, &config),
            layers: blobs.iter().map(|blob| descriptor(LAYER, blob)).collect(),
            annotations: Default::default(),
        };
        Self {
            tars,
            blobs,
            config,
            manifest: serde_json::to_vec(&manifest).unwrap(),
        }
    }

    fn parsed(&self) -> Manifest {
        serde_json::from_slice(&self.manifest).unwrap()
    }

    /// Push all of it; how each blob came there, the configuration last.
    fn push(&self, registry: &Registry, name: &Reference, from: Option<&Reference>) -> Vec<Pushed> {
        let manifest = self.parsed();
        let blobs = self.blobs.iter().chain([&self.config]);
        let descriptors = manifest.layers.iter().chain([&manifest.config]);
        let pushed = blobs
            .zip(descriptors)
            .map(|(bytes, descriptor)| {
                let mut source =
                    || -> io::Result<Box<dyn Read>> { Ok(Box::new(Cursor::new(bytes.clone()))) };
                registry
                    .push_blob(name, descriptor, &mut source, from)
                    .unwrap()
            })
            .collect();
        let digest = registry
            .push_manifest(name, MANIFEST, &self.manifest)
            .unwrap();
        assert_eq!(digest, Digest::of(&self.manifest));
        pushed
    }

    /// Pull it and see that nothing has changed on the way.
    fn pull(&self, registry: &Registry, name: &Reference) {
        let resolved = registry.resolve(name, &Platform::host()).unwrap();
        assert_eq!(resolved.digest, Digest::of(&self.manifest));
        assert_eq!(resolved.raw.bytes, self.manifest);
        assert_eq!(
            registry.config(name, &resolved.manifest.config).unwrap(),
            self.config
        );
        std::thread::scope(|scope| {
            for (layer, tar) in resolved.manifest.layers.iter().zip(&self.tars) {
                scope.spawn(move || {
                    let mut reader = LayerReader::new(registry.blob(name, layer).unwrap()).unwrap();
                    let mut bytes = Vec::new();
                    reader.read_to_end(&mut bytes).unwrap();
                    assert_eq!(bytes, *tar);
                    assert_eq!(reader.finish().unwrap(), Digest::of(tar));
                });
            }
        });
    }
}

/// An archive of one file.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = vec![0; 512];
    let mut field =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    field(0, name);
    field(100, "0000644");
    field(108, "0000000");
    field(116, "0000000");
    field(124, &format!("{:011o}", content.len()));
    field(136, "00000000000");
    field(148, "        ");
    field(156, "0");
    field(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header.extend_from_slice(content);
    let padded = header.len().next_multiple_of(512) + 1024;
    header.resize(padded, 0);
    header
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_is_pushed_is_pulled() {
    let server = DebianRegistry::start(&Users::Anybody, None);
    let (registry, _) = client();
    let image = Image::new(100);
    let name = reference(&server.repository("team/app:1.0"));
    assert_eq!(image.push(&registry, &name, None), [Pushed::Uploaded; 3]);
    image.pull(&registry, &name);
    assert_eq!(registry.digest(&name).unwrap(), Digest::of(&image.manifest));
    // Nothing new is nothing sent, and a neighbour has it all.
    assert_eq!(image.push(&registry, &name, None), [Pushed::Present; 3]);
    let neighbour = reference(&server.repository("other/app:2"));
    assert_eq!(
        image.push(&registry, &neighbour, Some(&name)),
        [Pushed::Mounted; 3]
    );
    image.pull(&client().0, &neighbour);
    assert_eq!(registry.tags(&name).unwrap(), ["1.0"]);
    assert!(
        registry
            .referrers(&name, Digest::of(&image.manifest), None)
            .unwrap()
            .is_empty()
    );

    let error = registry
        .manifest(&reference(&server.repository("team/app:2")))
        .unwrap_err();
    let unknown = format!(
        "manifest for {} not found: manifest unknown",
        server.repository("team/app:2")
    );
    assert_eq!(error.to_string(), unknown);
    registry.delete_manifest(&name).unwrap();
    let error = registry.manifest(&name).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[test]
fn an_index_of_two_platforms_round_trips() {
    let server = DebianRegistry::start(&Users::Anybody, None);
    let (registry, _) = client();
    let image = Image::new(110);
    let name = reference(&server.repository("app:multi"));
    let by_digest = reference(&format!(
        "{}@{}",
        server.repository("app"),
        Digest::of(&image.manifest)
    ));
    image.push(&registry, &by_digest, None);
    let mut entry = descriptor(MANIFEST, &image.manifest);
    entry.platform = Some(Platform::host());
    let index = Index {
        schema_version: 2,
        media_type: Some(INDEX.to_owned()),
        artifact_type: None,
        manifests: vec![entry],
        annotations: Default::default(),
    };
    let bytes = serde_json::to_vec(&index).unwrap();
    let digest = registry.push_manifest(&name, INDEX, &bytes).unwrap();
    let raw = registry.manifest(&name).unwrap();
    assert_eq!(raw.document(&name).unwrap(), Document::Index(index));
    let resolved = registry.resolve(&name, &Platform::host()).unwrap();
    assert_eq!(resolved.digest, digest);
    assert_eq!(resolved.raw.bytes, image.manifest);
}

#[test]
fn uploads_in_pieces_are_taken() {
    let server = DebianRegistry::start(&Users::Anybody, None);
    let (mut options, _) = options();
    options.chunk_size = NonZeroU64::new(100_001);
    let registry = Registry::new(options).unwrap();
    let image = Image::new(120);
    let name = reference(&server.repository("app"));
    image.push(&registry, &name, None);
    image.pull(&registry, &name);
}

#[test]
fn an_upload_through_a_connection_that_breaks_arrives() {
    let server = DebianRegistry::start(&Users::Anybody, None);
    let image = Image::new(130);
    // Between us and the registry: every connection to it is cut after so many bytes.
    for chunk in [None, NonZeroU64::new(200_000)] {
        let behind = server.address.clone();
        let proxy = Scripted::start(move |exchange| {
            let cut = if exchange.earlier < 2 {
                250_000
            } else {
                u64::MAX
            };
            tunnel(exchange, &behind, cut);
        });
        let (mut options, _) = options();
        options.chunk_size = chunk;
        options.insecure = vec!["registry.test:5000".to_owned()];
        options.proxies = through(&proxy);
        let registry = Registry::new(options).unwrap();
        let repository = if chunk.is_some() { "pieces" } else { "whole" };
        let name = reference(&format!("registry.test:5000/{repository}"));
        image.push(&registry, &name, None);
        image.pull(&client().0, &reference(&server.repository(repository)));
    }
}

fn through(proxy: &Scripted) -> Proxies {
    let address = format!("http://{}", proxy.address);
    Proxies {
        http: Some(address.clone()),
        https: Some(address),
        no_proxy: String::new(),
    }
}

/// Be a proxy: connect to `behind`, whoever is asked for, and pass on so many bytes of the client.
fn tunnel(exchange: &mut Exchange, behind: &str, cut: u64) {
    assert_eq!(exchange.seen.method, "CONNECT");
    let mut server = TcpStream::connect(behind).unwrap();
    exchange.raw(b"HTTP/1.1 200 OK\r\n\r\n");
    let (from_client, mut to_client) = exchange.streams();
    std::thread::scope(|scope| {
        let mut from_server = server.try_clone().unwrap();
        scope.spawn(move || {
            let _ = io::copy(&mut from_server, &mut to_client);
            let _ = to_client.shutdown(std::net::Shutdown::Both);
        });
        let _ = io::copy(&mut from_client.by_ref().take(cut), &mut server);
        let _ = server.shutdown(std::net::Shutdown::Both);
    });
}

#[test]
fn a_login_opens_a_registry_with_passwords() {
    let server = DebianRegistry::start(&Users::Password, None);
    let directory = tempfile::tempdir().unwrap();
    let (options, _) = options();
    let registry = Registry::new(Options {
        credentials: Credentials::file(directory.path().join("config.json"), ""),
        ..options
    })
    .unwrap();
    let image = Image::new(140);
    let name = reference(&server.repository("app"));
    let error = registry.manifest(&name).unwrap_err();
    assert_eq!(error.to_string(), "no basic auth credentials");
    let error = registry
        .login(&server.address, "me", &Secret::new("wrong"))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    registry
        .login(&server.address, "me", &Secret::new("s3cret"))
        .unwrap();
    image.push(&registry, &name, None);
    image.pull(&registry, &name);
    assert!(registry.logout(&server.address).unwrap());
    assert!(registry.manifest(&name).is_err());
}

/// A token server that believes `me` with `s3cret`, and gives what is asked for.
fn token_server(keys: &Path) -> Scripted {
    let key = keys.join("key.pem").to_str().unwrap().to_owned();
    let pem = fs::read_to_string(keys.join("cert.pem")).unwrap();
    let der: String = pem
        .lines()
        .filter(|line| !line.starts_with("---"))
        .collect();
    let user = format!("Basic {}", BASE64_STANDARD.encode("me:s3cret"));
    Scripted::start(move |exchange| {
        if exchange.seen.header("authorization") != Some(&user) {
            let body = br#"{"details":"incorrect username or password"}"#;
            return exchange.reply(401, &[], body);
        }
        let query = exchange
            .seen
            .target
            .split_once('?')
            .map_or("", |(_, query)| query)
            .to_owned();
        let scopes = query
            .split('&')
            .filter_map(|word| word.strip_prefix("scope="));
        let access: Vec<_> = scopes
            .map(|scope| {
                let scope = scope
                    .replace("%3A", ":")
                    .replace("%2F", "/")
                    .replace("%2C", ",");
                let (name, actions) = scope.rsplit_once(':').unwrap();
                let name = name.strip_prefix("repository:").unwrap();
                let actions: Vec<_> = actions.split(',').collect();
                serde_json::json!({ "type": "repository", "name": name, "actions": actions })
            })
            .collect();
        let now = jiff::Timestamp::now().as_second();
        let header = serde_json::json!({ "typ": "JWT", "alg": "RS256", "x5c": [der] });
        let claims = serde_json::json!({
            "iss": "hoist", "sub": "me", "aud": "hoist", "jti": "1", "access": access,
            "iat": now, "nbf": now - 60, "exp": now + 600,
        });
        let encode = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&claims));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(signed.as_bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        let signature = run(
            "openssl",
            "openssl",
            &["dgst", "-sha256", "-sign", &key, path],
        );
        let token = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
        let body = serde_json::json!({ "token": token, "expires_in": 600 });
        exchange.reply(200, &[], body.to_string().as_bytes());
    })
}

#[test]
fn a_login_opens_a_registry_with_tokens() {
    let keys = tempfile::tempdir().unwrap();
    certificate(keys.path(), "tokens.test");
    let tokens = token_server(keys.path());
    let server = DebianRegistry::start(
        &Users::Token {
            realm: &format!("http://{}/token", tokens.address),
            certificate: &keys.path().join("cert.pem"),
        },
        None,
    );
    let (options, _) = options();
    let registry = Registry::new(Options {
        credentials: Credentials::file(keys.path().join("config.json"), ""),
        ..options
    })
    .unwrap();
    let error = registry
        .login(&server.address, "me", &Secret::new("wrong"))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("incorrect username or password"),
        "{error}"
    );
    registry
        .login(&server.address, "me", &Secret::new("s3cret"))
        .unwrap();
    let image = Image::new(150);
    let name = reference(&server.repository("team/app"));
    image.push(&registry, &name, None);
    image.pull(&registry, &name);
    // To push, to pull, to mount, to log in twice: each kind of access is asked for once.
    let neighbour = reference(&server.repository("team/copy"));
    assert_eq!(
        image.push(&registry, &neighbour, Some(&name)),
        [Pushed::Mounted; 3]
    );
    assert!(tokens.seen().len() <= 7, "{:?}", tokens.lines());
}

#[test]
fn certificates_are_verified_as_certs_d_says() {
    let keys = tempfile::tempdir().unwrap();
    certificate(keys.path(), "registry.test");
    let (pem, key) = (keys.path().join("cert.pem"), keys.path().join("key.pem"));
    let server = DebianRegistry::start(&Users::Anybody, Some((&pem, &key)));
    let behind = server.address.clone();
    let proxy = Scripted::start(move |exchange| tunnel(exchange, &behind, u64::MAX));
    let registry = |certificates: &Path, insecure: &[&str]| {
        let (options, _) = options();
        Registry::new(Options {
            certificates: vec![certificates.to_owned()],
            insecure: insecure.iter().map(|name| (*name).to_owned()).collect(),
            proxies: through(&proxy),
            ..options
        })
        .unwrap()
    };
    let authority = format!("registry.test:{}", server.port());
    let name = reference(&format!("{authority}/app"));
    let none = tempfile::tempdir().unwrap();
    let error = registry(none.path(), &[]).manifest(&name).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("tls: the certificate is signed by an unknown authority"),
        "{error}"
    );
    assert!(error.hints()[0].contains("certs.d"));

    let certs = tempfile::tempdir().unwrap();
    let own = certs.path().join(&authority);
    fs::create_dir(&own).unwrap();
    fs::copy(&pem, own.join("ca.crt")).unwrap();
    let image = Image::new(160);
    let trusting = registry(certs.path(), &[]);
    image.push(&trusting, &name, None);
    image.pull(&trusting, &name);
    assert!(
        proxy
            .lines()
            .iter()
            .all(|line| *line == format!("CONNECT {authority}"))
    );

    // The same authority for another name is the wrong one.
    let other = format!("other.test:{}", server.port());
    std::os::unix::fs::symlink(&own, certs.path().join(&other)).unwrap();
    let error = registry(certs.path(), &[])
        .manifest(&reference(&format!("{other}/app")))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("tls: the certificate is not valid for this host"),
        "{error}"
    );

    // Named as insecure, any certificate will do, and TLS is still spoken.
    image.pull(&registry(none.path(), &[&authority]), &name);

    fs::write(own.join("client.key"), "").unwrap();
    let error = registry(certs.path(), &[]).manifest(&name).unwrap_err();
    assert!(
        matches!(error, RegistryError::Certificates { .. }),
        "{error}"
    );
    fs::rename(own.join("client.key"), own.join("client.cert")).unwrap();
    assert!(registry(certs.path(), &[]).manifest(&name).is_err());
}

#[test]
fn plain_http_is_not_spoken_to_a_registry_that_was_not_named() {
    let server = DebianRegistry::start(&Users::Anybody, None);
    let behind = server.address.clone();
    let proxy = Scripted::start(move |exchange| tunnel(exchange, &behind, u64::MAX));
    let (mut options, _) = options();
    options.proxies = through(&proxy);
    let registry = Registry::new(options).unwrap();
    let error = registry
        .manifest(&reference("registry.test:5000/app"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Get \"https://registry.test:5000/v2/app/manifests/latest\": http: server gave HTTP response to HTTPS client"
    );
    assert!(error.hints()[0].contains("insecure registry"));
}

fn skopeo(arguments: &[&str]) -> Vec<u8> {
    run(
        "skopeo",
        "skopeo",
        &[&["--insecure-policy"], arguments].concat(),
    )
}

#[test]
fn skopeo_pulls_what_we_push_and_we_pull_what_it_pushes() {
    let server = DebianRegistry::start(&Users::Password, None);
    let name = server.repository("app:1");
    let (mut options, _) = options();
    options.credentials = options
        .credentials
        .with(&server.address, support::password("me", "s3cret"));
    let registry = Registry::new(options).unwrap();
    let image = Image::new(170);
    image.push(&registry, &reference(&name), None);

    let directory = tempfile::tempdir().unwrap();
    let layout = format!("oci:{}:app", directory.path().join("layout").display());
    let source = format!("docker://{name}");
    let login = ["--src-creds", "me:s3cret", "--src-tls-verify=false"];
    skopeo(&[&["copy", "-q"], &login[..], &[&source, &layout]].concat());
    let blobs = directory.path().join("layout/blobs/sha256");
    for bytes in image.blobs.iter().chain([&image.config, &image.manifest]) {
        assert_eq!(
            fs::read(blobs.join(Digest::of(bytes).hex())).unwrap(),
            *bytes
        );
    }

    // And back under other names, once as it is and once as Docker's schema 2.
    let login = ["--dest-creds", "me:s3cret", "--dest-tls-verify=false"];
    let back = server.repository("back:1");
    let target = format!("docker://{back}");
    skopeo(&[&["copy", "-q"], &login[..], &[&layout, &target]].concat());
    image.pull(&registry, &reference(&back));

    let docker = server.repository("docker:1");
    let target = format!("docker://{docker}");
    skopeo(
        &[
            &["copy", "-q", "-f", "v2s2"],
            &login[..],
            &[&layout, &target],
        ]
        .concat(),
    );
    let docker = reference(&docker);
    let resolved = registry.resolve(&docker, &Platform::host()).unwrap();
    assert_eq!(
        resolved.raw.media_type,
        "application/vnd.docker.distribution.manifest.v2+json"
    );
    for (layer, blob) in resolved.manifest.layers.iter().zip(&image.blobs) {
        assert_eq!(
            registry.blob(&docker, layer).unwrap().bytes().unwrap(),
            *blob
        );
    }
    let told = skopeo(&[
        "inspect",
        "--creds",
        "me:s3cret",
        "--tls-verify=false",
        "--format",
        "{{.Digest}}",
        &source,
    ]);
    assert_eq!(
        String::from_utf8_lossy(&told).trim(),
        Digest::of(&image.manifest).to_string()
    );
}
