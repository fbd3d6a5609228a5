//! `pull`, `push`, `login`, `logout`, `save`, `load`, and images that are pulled because a command
//! needs them: against Debian's docker-registry, with skopeo as the witness.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::registry::{Registry, Users, place, skopeo};
use crate::support::{Sandbox, wait_until};

/// Builds an image on busybox with a file of its own, and a larger one that does not compress.
fn build(sandbox: &Sandbox, name: &str) -> String {
    sandbox.file(
        "app/Dockerfile",
        "FROM busybox\nCOPY noise /noise\nRUN echo hello > /greeting\nCMD [\"cat\", \"/greeting\"]\n",
    );
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    });
    fs::write(
        sandbox.path("app/noise"),
        noise.take(3 << 20).collect::<Vec<_>>(),
    )
    .expect("a file");
    let run = sandbox.hoist(&["build", "-q", "-t", name, "app"]).ok();
    run.text().to_owned()
}

/// Forgets all images, with their layers.
fn forget(sandbox: &Sandbox) {
    sandbox.hoist(&["system", "prune", "--all", "--force"]).ok();
    sandbox.hoist(&["images", "-q"]).ok().stdout_is("");
    assert_eq!(blobs(sandbox), [""; 0]);
}

fn blobs(sandbox: &Sandbox) -> Vec<String> {
    let names = fs::read_dir(sandbox.root().join("blobs/sha256")).expect("blobs");
    names
        .map(|entry| {
            entry
                .expect("a blob")
                .file_name()
                .into_string()
                .expect("text")
        })
        .collect()
}

/// `digest: sha256:… size: …` of a push.
fn pushed_digest(output: &str) -> String {
    let (_, rest) = output.split_once(": digest: ").expect("a digest");
    rest.split(' ').next().expect("a digest").to_owned()
}

#[test]
fn an_image_goes_to_a_registry_and_comes_back() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(Users::Anybody);
    let name = registry.name("me/app:1.0");
    let id = build(&sandbox, &name);
    let push = sandbox.hoist(&["push", &name]).ok();
    push.prints(&format!(
        "The push refers to repository [{}]",
        registry.name("me/app")
    ))
    .prints(": Pushed\n");
    let again = sandbox.hoist(&["push", &name]).ok();
    let digest = pushed_digest(&again.prints(": Layer already exists").stdout);
    let seen: Value = serde_json::from_str(&skopeo(&[
        "inspect",
        "--tls-verify=false",
        &format!("docker://{name}"),
    ]))
    .expect("JSON");
    assert_eq!(seen["Digest"], digest.as_str());
    forget(&sandbox);

    let pull = sandbox.hoist(&["pull", &name]).ok();
    pull.prints("1.0: Pulling from me/app\n")
        .prints(": Pull complete\n")
        .prints(&format!("Digest: {digest}\n"))
        .prints(&format!(
            "Status: Downloaded newer image for {name}\n{name}\n"
        ));
    sandbox
        .hoist(&["images", "-q", "--no-trunc"])
        .ok()
        .stdout_is(&id);
    assert_eq!(
        sandbox.inspect(&name, "{{index .RepoDigests 0}}"),
        format!("{}@{digest}", registry.name("me/app"))
    );
    sandbox
        .hoist(&["run", "--rm", &name])
        .ok()
        .stdout_is("hello");
    sandbox
        .hoist(&["pull", &name])
        .ok()
        .prints(&format!("Status: Image is up to date for {name}"));
    // What was pulled is pushed as it came.
    let other = registry.name("me/other:2");
    sandbox.hoist(&["tag", &name, &other]).ok();
    let push = sandbox.hoist(&["push", &other]).ok();
    assert_eq!(pushed_digest(&push.prints("Mounted from").stdout), digest);
    // By its digest, and quietly.
    forget(&sandbox);
    let pinned = format!("{}@{digest}", registry.name("me/app"));
    sandbox
        .hoist(&["pull", "-q", &pinned])
        .ok()
        .stdout_is(&pinned);
    sandbox
        .hoist(&["run", "--rm", &pinned])
        .ok()
        .stdout_is("hello");
}

#[test]
fn nothing_new_is_one_question() {
    let sandbox = Sandbox::new();
    let name;
    let requests = {
        let registry = Registry::start(Users::Anybody);
        name = registry.name("app:1");
        build(&sandbox, &name);
        sandbox.hoist(&["push", &name]).ok();
        sandbox.hoist(&["push", &name]).ok();
        sandbox.hoist(&["pull", &name]).ok();
        registry.requests()
    };
    let heads = |request: &&String| request.as_str() == "HEAD /v2/app/manifests/1";
    let put = requests
        .iter()
        .position(|request| request.starts_with("PUT /v2/app/manifests/"))
        .expect("a push");
    let after: Vec<_> = requests[put + 1..]
        .iter()
        .filter(|request| request.contains("/v2/app/"))
        .collect();
    assert_eq!(after.len(), 2, "{requests:#?}");
    assert_eq!(after.into_iter().filter(heads).count(), 2, "{requests:#?}");
}

#[test]
fn an_image_that_is_not_here_is_pulled() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(Users::Anybody);
    let name = registry.name("team/base:3");
    build(&sandbox, &name);
    sandbox.hoist(&["push", &name]).ok();
    forget(&sandbox);
    sandbox
        .hoist(&["run", "--rm", "--pull", "never", &name])
        .fails(125)
        .says(&format!("Unable to find image '{name}' locally"));
    sandbox
        .hoist(&["run", "--rm", &name])
        .ok()
        .says(&format!("Unable to find image '{name}' locally\n"))
        .says("3: Pulling from team/base\n")
        .says(&format!("Status: Downloaded newer image for {name}\n"))
        .stdout_is("hello");
    sandbox
        .hoist(&["run", "--rm", "--pull", "always", &name])
        .ok()
        .says("Status: Image is up to date")
        .stdout_is("hello");
    forget(&sandbox);
    let created = sandbox
        .hoist(&["create", "-q", "--name", "made", &name])
        .ok();
    assert_eq!(created.stderr.lines().count(), 1, "{created}");
    sandbox.hoist(&["rm", "made"]).ok();
    forget(&sandbox);
    sandbox.file(
        "next/Dockerfile",
        &format!("FROM {name}\nRUN echo again >> /greeting\n"),
    );
    sandbox.hoist(&["build", "-t", "next", "next"]).ok();
    sandbox
        .hoist(&["run", "--rm", "next"])
        .ok()
        .stdout_is("hello\nagain");
    sandbox
        .hoist(&["run", "--rm", &registry.name("team/missing")])
        .fails(125)
        .says("Unable to find image")
        .says("not found");
}

#[test]
fn without_a_registry_the_other_ways_are_named() {
    let sandbox = Sandbox::new();
    let nobody = format!("127.0.0.1:{}/app", crate::support::free_port());
    sandbox
        .hoist(&["run", "--rm", &nobody])
        .fails(125)
        .says(&format!("Unable to find image '{nobody}:latest' locally"))
        .says("connection refused")
        .says("hoist import FILE.tar");
    sandbox.file("app/Dockerfile", &format!("FROM {nobody}\n"));
    sandbox
        .hoist(&["build", "app"])
        .fails(1)
        .says("image not found")
        .says("connection refused");
    sandbox
        .hoist(&["push", "nothing:1"])
        .fails(1)
        .says("An image does not exist locally with the tag: nothing:1");
}

#[test]
fn the_articles_logins() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(Users::Password);
    let server = registry.address.as_str();
    let name = registry.name("yourusername/my-api:1.0");
    build(&sandbox, &name);
    sandbox
        .hoist(&["push", &name])
        .fails(1)
        .says("no basic auth credentials")
        .says(&format!("hoist login {server}"));
    let login = |words: &[&str], input: &str| {
        let words = [&["login", server], words].concat();
        sandbox.hoist_with_input(&words, input)
    };
    login(&["-u", "me", "--password-stdin"], "\n")
        .fails(1)
        .says("the password read from standard input is empty");
    sandbox
        .hoist_with_input(&["login", "ghcr.io", "-u", "me", "--password-stdin"], "\n")
        .fails(1)
        .says("the password read from standard input is empty (is $GITHUB_TOKEN set?)");
    login(&[], "")
        .fails(1)
        .says("Cannot perform an interactive login from a non TTY device");
    login(&["--password-stdin"], "s3cret")
        .fails(1)
        .says("--password-stdin option requires --username");
    login(&["-u", "me", "-p", "s3cret", "--password-stdin"], "s3cret")
        .fails(1)
        .says("conflicting options");
    login(&["-u", "me", "--password-stdin"], "wrong\n")
        .fails(1)
        .says("unauthorized");
    login(&["-u", "me", "--password-stdin"], "s3cret\n")
        .ok()
        .prints("Login Succeeded")
        .says("WARNING! Your credentials are stored unencrypted in");
    let config = sandbox.path(".docker/config.json");
    let config = fs::read_to_string(config).expect("Docker's configuration");
    let config: Value = serde_json::from_str(&config).expect("JSON");
    assert!(config["auths"][server]["auth"].is_string(), "{config}");
    sandbox.hoist(&["push", &name]).ok();
    login(&[], "")
        .ok()
        .prints("Authenticating with existing credentials");
    sandbox
        .hoist(&["logout", server])
        .ok()
        .stdout_is(&format!("Removing login credentials for {server}"));
    sandbox
        .hoist(&["logout", server])
        .ok()
        .stdout_is(&format!("Not logged in to {server}"));
    sandbox
        .hoist(&["pull", &name])
        .fails(1)
        .says("no basic auth credentials");
    login(&["-u", "me", "-p", "s3cret"], "")
        .ok()
        .says("WARNING! Using --password via the CLI is insecure");
}

#[test]
fn a_blob_that_is_not_what_it_should_be_is_refused() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(Users::Anybody);
    let name = registry.name("app:1");
    build(&sandbox, &name);
    sandbox.hoist(&["push", &name]).ok();
    let manifest = sandbox.hoist(&["manifest", "inspect", &name]).ok();
    let manifest: Value = serde_json::from_str(&manifest.stdout).expect("JSON");
    let layers = manifest["layers"].as_array().expect("layers");
    let largest = layers.iter().max_by_key(|layer| layer["size"].as_u64());
    let digest = largest.and_then(|layer| layer["digest"].as_str());
    let file = registry.blob_file(digest.expect("a layer"));
    let whole = fs::read(&file).expect("a blob");
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&file, &damaged).expect("a damaged blob");
    forget(&sandbox);
    sandbox.hoist(&["pull", &name]).fails(1);
    sandbox.hoist(&["images", "-q"]).ok().stdout_is("");
    // Nothing of it is gone on with.
    fs::write(&file, &whole).expect("the blob again");
    sandbox.hoist(&["pull", &name]).ok();
    sandbox
        .hoist(&["run", "--rm", &name])
        .ok()
        .stdout_is("hello");
}

/// Between a client and a registry: passes bytes on, at most so many to the client when there is a
/// limit, and then keeps the client waiting.
struct Relay {
    address: String,
    limit: Arc<AtomicU64>,
    requests: Arc<Mutex<String>>,
}

impl Relay {
    fn before(registry: &Registry) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let limit = Arc::new(AtomicU64::new(u64::MAX));
        let requests = Arc::new(Mutex::new(String::new()));
        let (server, left, said) = (
            registry.address.clone(),
            Arc::clone(&limit),
            Arc::clone(&requests),
        );
        // Ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect(&server) else {
                    return;
                };
                pass(&client, &upstream, &left, &said);
            }
        });
        Self {
            address,
            limit,
            requests,
        }
    }
}

fn pass(
    client: &TcpStream,
    server: &TcpStream,
    left: &Arc<AtomicU64>,
    requests: &Arc<Mutex<String>>,
) {
    let (mut from, mut to) = (
        client.try_clone().expect("a socket"),
        server.try_clone().expect("a socket"),
    );
    let requests = Arc::clone(requests);
    std::thread::spawn(move || {
        let mut buffer = [0; 16384];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            requests.lock().expect("a log").push_str(&text);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        drop(to.shutdown(std::net::Shutdown::Write));
    });
    let (mut from, mut to) = (
        server.try_clone().expect("a socket"),
        client.try_clone().expect("a socket"),
    );
    let left = Arc::clone(left);
    std::thread::spawn(move || {
        let mut buffer = [0; 16384];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let before = left.fetch_sub(count as u64, Ordering::SeqCst);
            if before < count as u64 {
                left.store(0, Ordering::SeqCst);
                // Neither more bytes nor an end: the client waits until it is killed.
                let mut rest = [0; 1];
                drop(to.read(&mut rest));
                return;
            }
            if to.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
        drop(to.shutdown(std::net::Shutdown::Both));
    });
}

#[test]
fn a_killed_pull_goes_on_where_it_stopped() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(Users::Anybody);
    let name = registry.name("app:1");
    build(&sandbox, &name);
    sandbox.hoist(&["push", &name]).ok();
    forget(&sandbox);
    let relay = Relay::before(&registry);
    let name = format!("{}/app:1", relay.address);
    relay.limit.store(2 << 20, Ordering::SeqCst);
    let pull = sandbox.spawn(&["pull", &name]);
    let downloads = sandbox.root().join("downloads");
    wait_until("the relay has nothing left", || {
        relay.limit.load(Ordering::SeqCst) == 0 && begun(&downloads) > 0
    });
    pull.signal(Signal::KILL);
    pull.finish().fails(137);
    sandbox.hoist(&["images", "-q"]).ok().stdout_is("");
    relay.limit.store(u64::MAX, Ordering::SeqCst);
    relay.requests.lock().expect("a log").clear();
    sandbox.hoist(&["pull", &name]).ok();
    sandbox
        .hoist(&["run", "--rm", &name])
        .ok()
        .stdout_is("hello");
    let requests = relay.requests.lock().expect("a log").to_lowercase();
    assert!(requests.contains("range: bytes="), "{requests}");
    assert_eq!(begun(&downloads), 0);
}

/// Bytes of begun downloads.
fn begun(downloads: &std::path::Path) -> u64 {
    let Ok(entries) = fs::read_dir(downloads) else {
        return 0;
    };
    let sizes = entries.flatten().filter_map(|entry| entry.metadata().ok());
    sizes.map(|data| data.len()).sum()
}

#[test]
fn two_pulls_at_once_fetch_each_blob_once() {
    let sandbox = Sandbox::new();
    let name;
    let requests = {
        let registry = Registry::start(Users::Anybody);
        name = registry.name("app:1");
        build(&sandbox, &name);
        sandbox.hoist(&["push", &name]).ok();
        forget(&sandbox);
        let pulls = [(); 3].map(|()| sandbox.spawn(&["pull", "-q", &name]));
        for pull in pulls {
            pull.finish().ok().stdout_is(&name);
        }
        registry.requests()
    };
    let mut blobs: Vec<_> = requests
        .iter()
        .filter(|request| request.starts_with("GET /v2/app/blobs/"))
        .collect();
    let all = blobs.len();
    blobs.sort();
    blobs.dedup();
    // Each of the three reads the configuration; each layer comes once.
    assert!(all - blobs.len() <= 2, "{requests:#?}");
    sandbox
        .hoist(&["run", "--rm", &name])
        .ok()
        .stdout_is("hello");
}

#[test]
fn layers_may_be_compressed_by_zstd() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(Users::Anybody);
    let name = registry.name("app:zstd");
    build(&sandbox, &name);
    sandbox
        .hoist(&["push", "--compression", "zstd", &name])
        .ok();
    let manifest = sandbox.hoist(&["manifest", "inspect", &name]).ok();
    manifest.prints("application/vnd.oci.image.layer.v1.tar+zstd");
    forget(&sandbox);
    sandbox
        .hoist(&["run", "--rm", &name])
        .ok()
        .stdout_is("hello");
    sandbox
        .hoist(&["push", "--compression", "lzma", &name])
        .fails(1)
        .says("no such compression");
}

#[test]
fn archives_go_out_and_come_back() {
    let sandbox = Sandbox::new();
    let id = build(&sandbox, "app:1");
    sandbox.hoist(&["tag", "app:1", "app:2"]).ok();
    sandbox.hoist(&["save", "-o", "app.tar", "app"]).ok();
    sandbox.hoist(&["save", "-o", "again.tar", "app"]).ok();
    let bytes = |name: &str| fs::read(sandbox.path(name)).expect("an archive");
    assert!(bytes("app.tar") == bytes("again.tar"), "the same bytes");
    forget(&sandbox);
    sandbox
        .hoist(&["load", "-i", "app.tar"])
        .ok()
        .stdout_is("Loaded image: app:1\nLoaded image: app:2");
    assert_eq!(sandbox.inspect("app:2", "{{.Id}}"), id);
    sandbox
        .hoist(&["run", "--rm", "app:2"])
        .ok()
        .stdout_is("hello");
    // An archive of hoist's own needs no second copy of its layers.
    assert_eq!(blobs(&sandbox).len(), 1);
    sandbox.hoist(&["save", "-o", "third.tar", "app"]).ok();
    assert!(bytes("app.tar") == bytes("third.tar"), "the same bytes");
    let by_id = sandbox.hoist(&["save", "-o", "id.tar", &id]).ok();
    by_id.stdout_is("");
    sandbox
        .hoist(&["load", "-i", "id.tar"])
        .ok()
        .stdout_is(&format!("Loaded image ID: {id}"));
    sandbox
        .hoist(&["save", "-o", "none.tar", "missing"])
        .fails(1)
        .says("No such image: missing");
    assert!(!sandbox.path("none.tar").exists());
    let (tree, _) = crate::support::base_archive("busybox:latest");
    sandbox
        .hoist(&["load", "-i", tree.to_str().expect("a path")])
        .fails(1)
        .says("no archive of images")
        .says("hoist import");
}

#[test]
fn a_terminal_gets_no_archive() {
    let sandbox = Sandbox::new();
    let mut terminal = sandbox.terminal(&["save", "busybox"]);
    terminal.expect("refusing to save to a terminal");
}

#[test]
fn skopeo_reads_and_writes_the_same_archives() {
    let sandbox = Sandbox::new();
    let registry = Registry::start(Users::Anybody);
    let id = build(&sandbox, "app:1");
    let saved = sandbox.path("app.tar");
    sandbox.hoist(&["save", "-o", "app.tar", "app:1"]).ok();
    let (docker, oci) = (sandbox.path("docker.tar"), sandbox.path("oci.tar"));
    let remote = format!("docker://{}", registry.name("copied:1"));
    let source = place("docker-archive", &saved);
    let target = place("docker-archive", &docker) + ":renamed:1";
    skopeo(&["copy", "--quiet", &source, &target]);
    let source = place("oci-archive", &saved);
    let target = place("oci-archive", &oci) + ":other:2";
    skopeo(&["copy", "--quiet", &source, &target]);
    skopeo(&[
        "copy",
        "--quiet",
        "--dest-tls-verify=false",
        &source,
        &remote,
    ]);
    forget(&sandbox);
    sandbox
        .hoist(&["load", "-i", "docker.tar"])
        .ok()
        .stdout_is("Loaded image: renamed:1");
    sandbox
        .hoist(&["load", "-i", "oci.tar"])
        .ok()
        .stdout_is("Loaded image: other:2");
    for name in ["renamed:1", "other:2"] {
        assert_eq!(sandbox.inspect(name, "{{.Id}}"), id);
    }
    forget(&sandbox);
    // Layers that skopeo has compressed keep their blobs, and go on as they came.
    let name = registry.name("copied:1");
    sandbox.hoist(&["pull", &name]).ok();
    assert_eq!(sandbox.inspect(&name, "{{.Id}}"), id);
    sandbox
        .hoist(&["run", "--rm", &name])
        .ok()
        .stdout_is("hello");
    let digest = skopeo(&[
        "inspect",
        "--tls-verify=false",
        "--format",
        "{{.Digest}}",
        &remote,
    ]);
    let other = registry.name("elsewhere:1");
    sandbox.hoist(&["tag", &name, &other]).ok();
    let push = sandbox.hoist(&["push", &other]).ok();
    assert_eq!(pushed_digest(&push.stdout), digest.trim());
    sandbox.hoist(&["save", "-o", "pulled.tar", &name]).ok();
    skopeo(&[
        "inspect",
        &place("docker-archive", &sandbox.path("pulled.tar")),
    ]);
}

#[test]
fn one_kind_of_thing_is_pruned() {
    let sandbox = Sandbox::new();
    sandbox
        .hoist(&["run", "--name", "old", "busybox", "true"])
        .ok();
    sandbox.hoist(&["tag", "busybox", "kept:1"]).ok();
    sandbox
        .hoist_with_input(&["container", "prune"], "n\n")
        .fails(1);
    sandbox
        .hoist(&["image", "prune", "--all", "--force"])
        .ok()
        .prints("Total reclaimed space: 0B");
    let id = sandbox.inspect("old", "{{.Id}}");
    sandbox
        .hoist(&["container", "prune", "--force"])
        .ok()
        .prints(&format!("Deleted Containers:\n{id}\n"));
    sandbox.hoist(&["image", "prune", "--force"]).ok();
    sandbox.hoist(&["images", "-q"]).ok().prints("\n");
    sandbox
        .hoist(&["image", "prune", "--all", "--force"])
        .ok()
        .prints("untagged: kept:1");
    sandbox.hoist(&["images", "-q"]).ok().stdout_is("");
}

#[test]
fn an_ordinary_user_pushes_and_pulls() {
    let sandbox = Sandbox::of_user(&["busybox:latest"]);
    let registry = Registry::start(Users::Password);
    let name = registry.name("mine:1");
    sandbox.hoist(&["tag", "busybox", &name]).ok();
    sandbox
        .hoist_with_input(
            &["login", &registry.address, "-u", "me", "--password-stdin"],
            "s3cret\n",
        )
        .ok();
    sandbox.hoist(&["push", &name]).ok();
    sandbox.hoist(&["system", "prune", "-af"]).ok();
    sandbox
        .hoist(&["run", "--rm", "--network", "none", &name, "echo", "pulled"])
        .ok()
        .stdout_is("pulled");
}
