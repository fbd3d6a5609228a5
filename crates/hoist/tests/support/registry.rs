//! Debian's docker-registry on loopback, and what other programs say about what is in it.

use std::fs;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use tempfile::TempDir;

/// Who may use a registry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Users {
    /// Everybody.
    Anybody,
    /// `me` with the password `s3cret`.
    Password,
}

/// A running registry, ended with its data on drop.
pub(crate) struct Registry {
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    child: Child,
    log: Option<JoinHandle<Vec<u8>>>,
    data: TempDir,
}

impl Registry {
    pub(crate) fn start(users: Users) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let mut config = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n  \
             delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:0\n",
            data.path().join("data").display()
        );
        if users == Users::Password {
            let path = data.path().join("htpasswd");
            let line = said("htpasswd", "apache2-utils", &["-Bbn", "me", "s3cret"]);
            fs::write(&path, line).expect("a file of users");
            config.push_str(&format!(
                "auth:\n  htpasswd:\n    realm: hoist\n    path: {}\n",
                path.display()
            ));
        }
        let path = data.path().join("config.yml");
        fs::write(&path, config).expect("a configuration");
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("docker-registry: {error}: apt-get install docker-registry")
            });
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
        let address = listening(&mut lines);
        // The log of requests; a full pipe would stop the registry.
        let mut requests = child.stdout.take().expect("a pipe");
        let log = std::thread::spawn(move || {
            let other = std::thread::spawn(move || drop(lines.read_to_end(&mut Vec::new())));
            let mut text = Vec::new();
            drop(requests.read_to_end(&mut text));
            drop(other.join());
            text
        });
        Self {
            address,
            child,
            log: Some(log),
            data,
        }
    }

    /// The name of a repository in it, with a tag.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Ends it, and returns the requests that it had, as `METHOD path`.
    pub(crate) fn requests(mut self) -> Vec<String> {
        self.end();
        let log = self.log.take().expect("it ends once");
        let text = String::from_utf8(log.join().expect("a log")).expect("text");
        let quoted = text.lines().filter_map(|line| line.split('"').nth(1));
        quoted
            .map(|request| {
                let mut words = request.split(' ');
                format!(
                    "{} {}",
                    words.next().unwrap_or_default(),
                    words.next().unwrap_or_default()
                )
            })
            .collect()
    }

    /// The file of a blob, for those who want to damage it.
    pub(crate) fn blob_file(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        self.data
            .path()
            .join("data/docker/registry/v2/blobs/sha256")
            .join(&hex[..2])
            .join(hex)
            .join("data")
    }

    fn end(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.end();
        if let Some(log) = self.log.take() {
            drop(log.join());
        }
    }
}

/// The address that the registry says it listens on.
fn listening(lines: &mut impl std::io::BufRead) -> String {
    let mut said = String::new();
    loop {
        let mut line = String::new();
        let count = lines.read_line(&mut line).expect("a log");
        assert!(count > 0, "docker-registry did not start: {said}");
        if let Some((_, rest)) = line.split_once("listening on ") {
            let end = rest.find([',', '"', '\n', ' ']).unwrap_or(rest.len());
            return rest[..end].to_owned();
        }
        said.push_str(&line);
    }
}

/// What a program of Debian's writes; it must succeed.
#[track_caller]
pub(crate) fn said(program: &str, package: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}: apt-get install {package}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

#[track_caller]
pub(crate) fn skopeo(arguments: &[&str]) -> String {
    said("skopeo", "skopeo", arguments)
}

/// `prefix:path`, as skopeo names places.
pub(crate) fn place(transport: &str, path: &Path) -> String {
    format!("{transport}:{}", path.display())
}
