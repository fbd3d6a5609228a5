//! `registry serve`: pushed to from one machine, pulled from by the next; with skopeo as a client of
//! somebody else's, and a client that sends what it is told.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use hoist_core::{Digest, Digester};
use rustix::process::Signal;

use crate::support::registry::{place, said, skopeo};
use crate::support::{Child, DEADLINE, Run, Sandbox, wait_until};

/// A registry that is served from a sandbox, killed on drop.
struct Server {
    address: String,
    child: Child,
}

impl Server {
    /// Serves the sandbox's root on a free port.
    fn start(sandbox: &Sandbox, flags: &[&str]) -> Self {
        Self::listening(sandbox, &[&["--listen", "127.0.0.1:0"], flags].concat())
    }

    fn listening(sandbox: &Sandbox, flags: &[&str]) -> Self {
        let mut child = sandbox.spawn(&[&["registry", "serve"], flags].concat());
        child.wait_for_output("\n");
        let seen = child.seen();
        let line = seen.lines().next().unwrap_or_default();
        let address = line
            .split_once("://")
            .map(|(_, address)| address.to_owned());
        Self {
            address: address.unwrap_or_else(|| panic!("{line}")),
            child,
        }
    }

    /// The name of an image in it.
    fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Asks it to end.
    fn stop(self) -> Run {
        self.child.signal(Signal::TERM);
        self.child.finish().ok()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("a connection");
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        stream
    }

    /// The status line and headers of an answer, and its body.
    fn ask(&self, method: &str, target: &str, headers: &str, body: &[u8]) -> (String, Vec<u8>) {
        let mut stream = self.connect();
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("a request");
        stream.write_all(body).expect("a body");
        answer(&mut stream)
    }

    /// The largest memory that it ever needed, in bytes.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes: Option<u64> =
            line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        kilobytes.expect("kilobytes") * 1024
    }
}

fn answer(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer");
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let body = bytes.split_off(end.expect("an end of the headers") + 4);
    (String::from_utf8(bytes).expect("text"), body)
}

/// The value of a header.
fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let found = lines.find(|(known, _)| *known == name);
    found.map_or_else(|| panic!("no {name} in {head}"), |(_, value)| value)
}

/// Builds an image with a layer of its own on busybox.
fn build(sandbox: &Sandbox, name: &str) {
    sandbox.file(
        "app/Dockerfile",
        "FROM busybox\nRUN echo hello > /greeting\nCMD [\"cat\", \"/greeting\"]\n",
    );
    sandbox.hoist(&["build", "-q", "-t", name, "app"]).ok();
}

fn forget(sandbox: &Sandbox) {
    sandbox.hoist(&["system", "prune", "--all", "--force"]).ok();
    sandbox.hoist(&["images", "-q"]).ok().stdout_is("");
}

fn blobs(root: &Path) -> usize {
    fs::read_dir(root.join("blobs/sha256"))
        .expect("blobs")
        .count()
}

/// What a registry says the digest of an image is.
fn digest(name: &str, flags: &[&str]) -> String {
    let name = format!("docker://{name}");
    let words = [&["inspect", "--format", "{{.Digest}}"], flags, &[&name]].concat();
    skopeo(&words).trim().to_owned()
}

const PLAIN: &str = "--tls-verify=false";

#[test]
fn an_image_goes_from_one_machine_to_the_next() {
    let (here, there) = (Sandbox::new(), Sandbox::new());
    let server = Server::start(&here, &[]);
    let name = server.name("me/app:1.0");
    build(&here, &name);
    here.hoist(&["push", &name]).ok().prints(": Pushed\n");
    let again = here.hoist(&["push", &name]).ok();
    again.prints(": Layer already exists");
    there
        .hoist(&["run", "--rm", &name])
        .ok()
        .says("Status: Downloaded newer image")
        .stdout_is("hello");
    assert_eq!(
        here.inspect(&name, "{{.Id}}"),
        there.inspect(&name, "{{.Id}}")
    );
    // And back, under another name: nothing is sent, and the digest is the same.
    let other = server.name("you/app:2.0");
    there.hoist(&["tag", &name, &other]).ok();
    there.hoist(&["push", &other]).ok().prints("Mounted from");
    assert_eq!(digest(&name, &[PLAIN]), digest(&other, &[PLAIN]));
    // What this machine forgets as an image, it still serves.
    forget(&here);
    forget(&there);
    there
        .hoist(&["run", "--rm", &other])
        .ok()
        .stdout_is("hello");
    let run = server.stop();
    run.prints("\"PUT /v2/me/app/manifests/1.0\" 201 ")
        .prints("\"GET /v2/you/app/manifests/2.0\" 200 ")
        .never_says("WARNING");
}

#[test]
fn skopeo_pushes_and_pulls() {
    let sandbox = Sandbox::new();
    let server = Server::start(&sandbox, &[]);
    let name = server.name("me/app:1");
    build(&sandbox, &name);
    sandbox.hoist(&["push", &name]).ok();
    let remote = format!("docker://{name}");
    let copy = sandbox.path("copy");
    skopeo(&[
        "copy",
        "--quiet",
        "--src-tls-verify=false",
        &remote,
        &place("oci", &copy),
    ]);
    let other = format!("docker://{}", server.name("other/app:2"));
    skopeo(&[
        "copy",
        "--quiet",
        "--dest-tls-verify=false",
        &place("oci", &copy),
        &other,
    ]);
    let third = format!("docker://{}", server.name("third:3"));
    skopeo(&[
        "copy",
        "--quiet",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        &other,
        &third,
    ]);
    assert_eq!(
        digest(&name, &[PLAIN]),
        digest(&server.name("third:3"), &[PLAIN])
    );
    // In the form of Docker's own manifests.
    let docker = format!("docker://{}", server.name("docker/app:1"));
    skopeo(&[
        "copy",
        "--quiet",
        "--format",
        "v2s2",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        &remote,
        &docker,
    ]);
    let kept = skopeo(&["inspect", "--raw", PLAIN, &docker]);
    assert!(
        kept.contains("application/vnd.docker.distribution.manifest.v2+json"),
        "{kept}"
    );
    let tags = skopeo(&[
        "list-tags",
        PLAIN,
        &format!("docker://{}", server.name("other/app")),
    ]);
    assert!(tags.contains("\"2\""), "{tags}");
    forget(&sandbox);
    for name in ["third:3", "other/app:2", "docker/app:1"] {
        sandbox
            .hoist(&["run", "--rm", &server.name(name)])
            .ok()
            .stdout_is("hello");
        forget(&sandbox);
    }
    skopeo(&["delete", PLAIN, &other]);
    sandbox
        .hoist(&["pull", &server.name("other/app:2")])
        .fails(1);
    sandbox.hoist(&["pull", &server.name("third:3")]).ok();
}

/// Key and certificate for `127.0.0.1`, signed by an authority of its own, `ca.crt`.
fn certificate(directory: &Path) {
    fs::create_dir_all(directory).expect("a directory");
    let path = |name: &str| directory.join(name).display().to_string();
    let new = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=hoist test",
    ];
    let authority = ["-keyout", &path("ca.key"), "-out", &path("ca.crt")];
    said("openssl", "openssl", &[&new[..], &authority].concat());
    let own = [
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    let signed = [
        "-CA",
        &path("ca.crt"),
        "-CAkey",
        &path("ca.key"),
        "-keyout",
        &path("new.key"),
        "-out",
        &path("new.pem"),
    ];
    said("openssl", "openssl", &[&new[..], &own, &signed].concat());
    for (from, to) in [("new.key", "key.pem"), ("new.pem", "cert.pem")] {
        fs::rename(path(from), path(to)).expect("a file");
    }
}

#[test]
fn names_and_passwords_over_tls() {
    let sandbox = Sandbox::new();
    let path = |name: &str| sandbox.path(name).display().to_string();
    let keys = sandbox.path("keys");
    certificate(&keys);
    let users = said("htpasswd", "apache2-utils", &["-nbB", "me", "s3cret"]);
    sandbox.file("users", &users);
    let auth = format!("htpasswd:{}", path("users"));
    let server = Server::start(
        &sandbox,
        &[
            "--auth",
            &auth,
            "--tls-cert",
            "keys/cert.pem",
            "--tls-key",
            "keys/key.pem",
        ],
    );
    let name = server.name("me/app:1");
    sandbox.hoist(&["tag", "busybox", &name]).ok();
    sandbox
        .hoist(&["push", &name])
        .fails(1)
        .says("no basic auth credentials");
    let login = |password: &str| {
        sandbox.hoist_with_input(
            &["login", &server.address, "-u", "me", "--password-stdin"],
            password,
        )
    };
    login("wrong\n").fails(1).says("unauthorized");
    login("s3cret\n").ok().prints("Login Succeeded");
    sandbox.hoist(&["push", &name]).ok();
    let user = "--creds=me:s3cret";
    let certificates = format!("--cert-dir={}", path("keys/trusted"));
    fs::create_dir(keys.join("trusted")).expect("a directory");
    let trust = || fs::copy(keys.join("ca.crt"), keys.join("trusted/ca.crt")).expect("a copy");
    trust();
    let before = digest(&name, &[user, &certificates]);
    // Another authority: the file is read again, and the old one is trusted no more.
    server.child.signal(Signal::HUP);
    certificate(&keys);
    let remote = format!("docker://{name}");
    let refused = std::process::Command::new("skopeo")
        .args(["inspect", user, &certificates, &remote])
        .output()
        .expect("skopeo");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("x509"), "{text}");
    trust();
    assert_eq!(digest(&name, &[user, &certificates]), before);
    forget(&sandbox);
    sandbox.hoist(&["pull", "-q", &name]).ok().stdout_is(&name);
    // One who speaks no TLS is told so in the log.
    drop(server.connect().write_all(b"GET /v2/ HTTP/1.1\r\n\r\n"));
    let run = server.stop();
    run.prints(" - me [").says("hoist: no TLS with 127.0.0.1");
}

#[test]
fn layers_of_any_size_need_little_memory() {
    const SIZE: u64 = 300_000_000;
    const MOST: u64 = 64 << 20;
    let sandbox = Sandbox::with(&[]);
    let server = Server::start(&sandbox, &["--quiet"]);
    let block: Vec<u8> = (0..=250).cycle().take(1_000_000).collect();
    let mut digester = Digester::new();
    (0..SIZE / 1_000_000).for_each(|_| digester.update(&block));
    let digest = digester.finish();
    // In one request, and as a stream; pulled by four at the same time.
    let mut stream = server.connect();
    let head = format!(
        "POST /v2/app/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {SIZE}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("a request");
    (0..SIZE / 1_000_000).for_each(|_| stream.write_all(&block).expect("a body"));
    let (head, _) = answer(&mut stream);
    assert!(head.starts_with("HTTP/1.1 201"), "{head}");
    assert!(server.peak() <= MOST, "{}", server.peak());
    let (head, _) = server.ask("POST", "/v2/app/blobs/uploads/", "", b"");
    let place = header(&head, "location").to_owned();
    let mut stream = server.connect();
    let head = format!(
        "PATCH {place} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("a request");
    for _ in 0..SIZE / 1_000_000 {
        stream.write_all(b"f4240\r\n").expect("a size");
        stream.write_all(&block).expect("a piece");
        stream.write_all(b"\r\n").expect("an end");
    }
    stream.write_all(b"0\r\n\r\n").expect("an end");
    let (head, _) = answer(&mut stream);
    assert_eq!(header(&head, "range"), format!("0-{}", SIZE - 1));
    let (head, _) = server.ask("PUT", &format!("{place}?digest={digest}"), "", b"");
    assert!(head.starts_with("HTTP/1.1 201"), "{head}");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let mut stream = server.connect();
            scope.spawn(move || {
                let head = format!(
                    "GET /v2/app/blobs/{digest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).expect("a request");
                let mut length = 0;
                let mut buffer = vec![0; 1 << 20];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    length += count as u64;
                }
                assert!((SIZE..SIZE + 1000).contains(&length), "{length}");
            });
        }
    });
    // Many who take nothing of what they asked for, and manifests as large as they may be.
    let stalled: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = server.connect();
            let head = format!("GET /v2/app/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n");
            stream.write_all(head.as_bytes()).expect("a request");
            stream
        })
        .collect();
    let kind = "Content-Type: application/vnd.example+json\r\n";
    let large = format!(
        "{{\"annotations\":{{\"x\":\"{}\"}}}}",
        "y".repeat(4_000_000)
    );
    for number in 0..10 {
        let target = format!("/v2/app/manifests/t{number}");
        let (head, _) = server.ask("PUT", &target, kind, large.as_bytes());
        assert!(head.starts_with("HTTP/1.1 201"), "{head}");
    }
    assert!(server.peak() <= MOST, "{}", server.peak());
    drop(stalled);
    let (head, part) = server.ask(
        "GET",
        &format!("/v2/app/blobs/{digest}"),
        "Range: bytes=-5\r\n",
        b"",
    );
    assert!(head.starts_with("HTTP/1.1 206"), "{head}");
    assert_eq!(part, block[block.len() - 5..]);
    // Quiet: one line, and no more.
    assert_eq!(server.stop().stdout.lines().count(), 1);
}

#[test]
fn a_killed_server_is_gone_on_with() {
    let sandbox = Sandbox::with(&[]);
    let server = Server::start(&sandbox, &[]);
    let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let digest = Digest::of(&bytes);
    let begin = || {
        let (head, _) = server.ask("POST", "/v2/app/blobs/uploads/", "", b"");
        header(&head, "location").to_owned()
    };
    let (place, abandoned) = (begin(), begin());
    let mut stream = server.connect();
    let head = format!(
        "PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    stream.write_all(head.as_bytes()).expect("a request");
    stream.write_all(&bytes[..600_000]).expect("half a body");
    let data = |place: &str| {
        let id = place.rsplit('/').next().expect("an id");
        sandbox
            .root()
            .join(format!("registry/app/_uploads/{id}/data"))
    };
    let arrived = || fs::metadata(data(&place)).map_or(0, |found| found.len());
    wait_until("some of it has arrived", || arrived() > 300_000);
    server.child.signal(Signal::KILL);
    server.child.finish().fails(137);
    let old = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    let file = fs::File::options()
        .write(true)
        .open(data(&abandoned))
        .expect("an upload");
    file.set_modified(old).expect("a time");

    let server = Server::start(&sandbox, &[]);
    let length = arrived();
    let (head, _) = server.ask("GET", &place, "", b"");
    assert_eq!(header(&head, "range"), format!("0-{}", length - 1));
    let rest = &bytes[usize::try_from(length).expect("a length")..];
    let range = format!("Content-Range: {length}-{}\r\n", bytes.len() - 1);
    let (head, _) = server.ask("PATCH", &place, &range, rest);
    assert!(head.starts_with("HTTP/1.1 202"), "{head}");
    let (head, _) = server.ask("PUT", &format!("{place}?digest={digest}"), "", b"");
    assert!(head.starts_with("HTTP/1.1 201"), "{head}");
    let (_, body) = server.ask("GET", &format!("/v2/app/blobs/{digest}"), "", b"");
    assert!(body == bytes);
    // What nobody has gone on with for a day is gone.
    wait_until("the abandoned upload is gone", || {
        !data(&abandoned).exists()
    });
    server.stop();
}

#[test]
fn a_prune_keeps_what_is_served_and_takes_what_was_deleted() {
    let sandbox = Sandbox::new();
    let server = Server::start(&sandbox, &[]);
    let (one, two) = (server.name("app:1"), server.name("app:2"));
    build(&sandbox, &one);
    sandbox.hoist(&["push", &one]).ok();
    sandbox.hoist(&["tag", "busybox", &two]).ok();
    sandbox.hoist(&["push", &two]).ok();
    forget(&sandbox);
    // Two layers, two configurations, two manifests.
    assert_eq!(blobs(&sandbox.root()), 6);
    sandbox
        .hoist(&["run", "--rm", &one])
        .ok()
        .stdout_is("hello");
    sandbox.hoist(&["rmi", &one]).ok();
    let digest = digest(&one, &[PLAIN]);
    let (head, _) = server.ask("DELETE", &format!("/v2/app/manifests/{digest}"), "", b"");
    assert!(head.starts_with("HTTP/1.1 202"), "{head}");
    forget(&sandbox);
    // The layer of busybox belongs to the other image, too.
    assert_eq!(blobs(&sandbox.root()), 3);
    sandbox.hoist(&["pull", "-q", &one]).fails(1);
    sandbox
        .hoist(&["run", "--rm", &two, "echo", "still there"])
        .ok()
        .stdout_is("still there");
    sandbox.hoist(&["rmi", &two]).ok();
    let (head, _) = server.ask("DELETE", "/v2/app/manifests/2", "", b"");
    assert!(head.starts_with("HTTP/1.1 202"), "{head}");
    forget(&sandbox);
    assert_eq!(blobs(&sandbox.root()), 0);
    assert!(!sandbox.root().join("registry/app").exists());
    server.stop();
}

#[test]
fn two_servers_over_one_storage() {
    let sandbox = Sandbox::new();
    let storage = sandbox.path("storage");
    let flags = ["--storage", "storage"];
    let (writer, reader) = (
        Server::start(&sandbox, &flags),
        Server::start(&sandbox, &[&flags[..], &["--read-only"]].concat()),
    );
    let name = writer.name("app:1");
    build(&sandbox, &name);
    sandbox.hoist(&["push", &name]).ok();
    assert_eq!(blobs(&storage), 4);
    let other = reader.name("app:1");
    sandbox.hoist(&["pull", "-q", &other]).ok();
    sandbox
        .hoist(&["run", "--rm", &other])
        .ok()
        .stdout_is("hello");
    sandbox.hoist(&["tag", &name, &reader.name("app:2")]).ok();
    sandbox
        .hoist(&["push", &reader.name("app:2")])
        .fails(1)
        .says("this registry is served for reading only");
    writer.stop();
    reader.stop();
}

#[test]
fn an_ordinary_user_serves() {
    let sandbox = Sandbox::of_user(&["busybox:latest"]);
    let server = Server::start(&sandbox, &[]);
    let name = server.name("mine:1");
    sandbox.hoist(&["tag", "busybox", &name]).ok();
    sandbox.hoist(&["push", &name]).ok();
    forget(&sandbox);
    sandbox
        .hoist(&["run", "--rm", "--network", "none", &name, "echo", "pulled"])
        .ok()
        .stdout_is("pulled");
    server.stop();
}

#[test]
fn what_others_can_do_is_said() {
    let sandbox = Sandbox::with(&[]);
    let users = said("htpasswd", "apache2-utils", &["-nbB", "me", "s3cret"]);
    sandbox.file("users", &users);
    for (flags, warning) in [
        (&[][..], "Anybody who reaches 0.0.0.0:"),
        (
            &["--read-only"],
            " can pull. Give a file of users with --auth.",
        ),
        (
            &["--auth", "users"],
            "Passwords cross the network to 0.0.0.0:",
        ),
    ] {
        let server = Server::listening(&sandbox, &[&["--listen", "0.0.0.0:0"], flags].concat());
        server.stop().says("WARNING! ").says(warning);
    }
    let both = Server::listening(
        &sandbox,
        &["--listen", "localhost:0", "--listen", "[::1]:0"],
    );
    both.stop()
        .prints("listening on http://127.0.0.1:")
        .prints("listening on http://[::1]:")
        .never_says("WARNING");
}

#[test]
fn what_cannot_be_served_is_refused() {
    let sandbox = Sandbox::with(&[]);
    let server = Server::start(&sandbox, &[]);
    sandbox.file("md5", "me:$apr1$x$y\n");
    let serve = |flags: &[&str]| sandbox.hoist(&[&["registry", "serve"], flags].concat());
    serve(&["--listen", &server.address])
        .fails(1)
        .says(&format!("cannot listen on {}", server.address))
        .says("hint: Somebody listens on port");
    serve(&["--listen", "registry.lan:5000"])
        .fails(125)
        .says("invalid argument \"registry.lan:5000\" for \"--listen\" flag");
    serve(&["--auth", "md5"])
        .fails(1)
        .says("md5:1: the password is hashed by MD5, which is too weak: only bcrypt is accepted")
        .says("hint: Add a user with `htpasswd -B FILE NAME`");
    serve(&["--tls-cert", "cert.pem"])
        .fails(1)
        .says("--tls-cert and --tls-key go together");
    serve(&["--tls-cert", "md5", "--tls-key", "md5"])
        .fails(1)
        .says("there is no certificate in PEM form in it");
    serve(&["somewhere"]).fails(1).says("accepts no arguments");
    let storage: PathBuf = sandbox.file("file", "");
    serve(&["--storage", storage.to_str().expect("text")])
        .fails(1)
        .says("Error: ");
    server.stop();
}

#[test]
fn a_log_that_nobody_reads_keeps_nobody_waiting() {
    let sandbox = Sandbox::with(&[]);
    let mut child = sandbox
        .command(&["registry", "serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("hoist starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    let (_, address) = line.trim().split_once("://").expect("an address");
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    // More than a pipe and the lines that wait take.
    let request = format!("HEAD /v2/?{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(900));
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    for _ in 0..3000 {
        stream.write_all(request.as_bytes()).expect("a request");
        let mut line = String::new();
        reader.read_line(&mut line).expect("an answer");
        assert_eq!(line.trim(), "HTTP/1.1 200 OK");
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).expect("a header");
        }
    }
    let read = std::thread::spawn(move || lines.lines().count());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    assert!(read.join().expect("a count") < 3000);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains(" lines are missing: nobody read them"),
        "{said}"
    );
}
