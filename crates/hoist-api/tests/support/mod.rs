//! A registry on a free port in this very process, and a client that sends what it is told, byte by
//! byte.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use hoist_api::registry::{Access, Event, Handle, Options, Server};
use hoist_core::Digest;
use hoist_store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

pub(crate) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A registry and its store, gone with the test.
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

/// What a registry answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A directory for a store.
pub(crate) fn home() -> (TempDir, Store) {
    let home = tempfile::tempdir().expect("a directory");
    let store = Store::open(&home.path().join("root")).expect("a store");
    (home, store)
}

/// Everybody may do everything on a free port.
pub(crate) fn options() -> Options {
    Options {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        users: None,
        tls: None,
        access: Access::Full,
    }
}

impl Registry {
    pub(crate) fn over(store: &Store) -> Self {
        Self::with(store, &options())
    }

    pub(crate) fn with(store: &Store, options: &Options) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&events);
        let report = Arc::new(move |event| log.lock().expect("a log").push(event));
        let server = Server::bind(store.clone(), options, report).expect("a free port");
        let address = server.addresses()[0];
        let handle = server.handle();
        let thread = std::thread::spawn(|| server.run());
        Self {
            address,
            events,
            handle,
            thread: Some(thread),
        }
    }

    /// Stops it; requests that run end first.
    pub(crate) fn stop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it ends well");
        }
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        stream
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub(crate) fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut stream = self.connect();
        stream.write_all(head.as_bytes()).expect("a request");
        // A refusal may come before the end of the body.
        let _ = stream.write_all(body);
        Reply::read(&mut stream)
    }

    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, &[], b"")
    }

    /// Pushes a blob in one request.
    #[track_caller]
    pub(crate) fn push_blob(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let target = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        self.ask("POST", &target, &[], bytes).is(201);
        digest
    }

    /// Pushes a manifest, and returns its digest.
    #[track_caller]
    pub(crate) fn push_manifest(
        &self,
        name: &str,
        reference: &str,
        kind: &str,
        manifest: &Value,
    ) -> Digest {
        let bytes = manifest.to_string();
        let reply = self.put_manifest(name, reference, kind, bytes.as_bytes());
        reply.is(201);
        Digest::of(bytes.as_bytes())
    }

    pub(crate) fn put_manifest(
        &self,
        name: &str,
        reference: &str,
        kind: &str,
        bytes: &[u8],
    ) -> Reply {
        let target = format!("/v2/{name}/manifests/{reference}");
        self.ask("PUT", &target, &[("Content-Type", kind)], bytes)
    }

    /// Pushes an image of one layer with this content.
    #[track_caller]
    pub(crate) fn push_image(&self, name: &str, reference: &str, layer: &[u8]) -> Digest {
        let manifest = image(
            &self.push_blob(name, b"{}"),
            &self.push_blob(name, layer),
            None,
        );
        let by_digest = Digest::of(manifest.to_string().as_bytes()).to_string();
        let reference = if reference.is_empty() {
            &by_digest
        } else {
            reference
        };
        self.push_manifest(name, reference, IMAGE, &manifest)
    }

    /// Begins an upload, and returns its location.
    #[track_caller]
    pub(crate) fn begin(&self, name: &str) -> String {
        let reply = self.ask("POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"");
        reply.is(202).header("location").to_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Reply {
    /// What comes until the connection is closed.
    #[track_caller]
    pub(crate) fn read(stream: &mut impl Read) -> Self {
        let mut bytes = Vec::new();
        match stream.read_to_end(&mut bytes) {
            // What was answered before a connection was cut counts.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            result => drop(result.expect("an answer")),
        }
        loop {
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
            let end = end.unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(&bytes)));
            let body = bytes.split_off(end + 4);
            let head = String::from_utf8(std::mem::replace(&mut bytes, body)).expect("text");
            let mut lines = head.split("\r\n");
            let first = lines.next().unwrap_or_default();
            let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
            let status = status.unwrap_or_else(|| panic!("{first}"));
            if status == 100 {
                continue;
            }
            let headers = lines.filter_map(|line| line.split_once(": "));
            return Self {
                status,
                headers: headers
                    .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                    .collect(),
                body: bytes,
            };
        }
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// An error of this status and code.
    #[track_caller]
    pub(crate) fn fails(&self, status: u16, code: &str) -> &Self {
        self.is(status);
        let found = &self.json()["errors"][0];
        assert_eq!(found["code"], code, "{found}");
        assert!(found["message"].is_string(), "{found}");
        self
    }

    /// The value of a header; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    #[track_caller]
    pub(crate) fn has(&self, name: &str, value: &str) -> &Self {
        assert_eq!(self.header(name), value, "{name} of {:?}", self.headers);
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// An image of one layer, perhaps about another manifest.
pub(crate) fn image(config: &Digest, layer: &Digest, subject: Option<&Digest>) -> Value {
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": 1}],
    });
    if let Some(subject) = subject {
        manifest["subject"] = json!({"mediaType": IMAGE, "digest": subject, "size": 1});
    }
    manifest
}

/// An index of these manifests.
pub(crate) fn index(manifests: &[Digest]) -> Value {
    let list: Vec<Value> = manifests
        .iter()
        .map(|digest| json!({"mediaType": IMAGE, "digest": digest, "size": 1}))
        .collect();
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": list})
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < DEADLINE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// All files below a directory, as paths from there.
pub(crate) fn files(directory: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut next: Vec<PathBuf> = vec![directory.to_owned()];
    while let Some(place) = next.pop() {
        let Ok(entries) = std::fs::read_dir(&place) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                next.push(path);
            } else {
                let path = path.strip_prefix(directory).expect("below it");
                found.push(path.display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// A file system of its own that ends with the value.
pub(crate) struct Tmpfs(pub(crate) TempDir);

impl Tmpfs {
    pub(crate) fn new(options: &std::ffi::CStr) -> Self {
        let point = tempfile::tempdir().expect("a directory");
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", point.path(), "tmpfs", flags, options)
            .expect("mounting needs root");
        Self(point)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH);
    }
}
