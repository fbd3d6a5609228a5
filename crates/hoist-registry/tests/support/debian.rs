//! Debian's docker-registry on loopback, with or without users, tokens and TLS.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    thread::JoinHandle,
};

/// How the registry knows its users.
pub(crate) enum Users<'a> {
    /// Everybody may do everything.
    Anybody,
    /// `me` with `s3cret`.
    Password,
    /// A token signed by the key that belongs to the certificate.
    Token {
        realm: &'a str,
        certificate: &'a Path,
    },
}

/// A running registry, killed with its data on drop.
pub(crate) struct DebianRegistry {
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    child: Child,
    log: Option<JoinHandle<()>>,
    _data: tempfile::TempDir,
}

impl DebianRegistry {
    pub(crate) fn start(users: &Users<'_>, tls: Option<(&Path, &Path)>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = format!(
            "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\n\
             storage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
             http:\n  addr: 127.0.0.1:0\n",
            data.path().join("data").display()
        );
        if let Some((certificate, key)) = tls {
            config.push_str(&format!(
                "  tls:\n    certificate: {}\n    key: {}\n",
                certificate.display(),
                key.display()
            ));
        }
        match users {
            Users::Anybody => {}
            Users::Password => {
                let path = data.path().join("htpasswd");
                fs::write(&path, run("htpasswd", "apache2-utils", &["-Bbn", "me", "s3cret"])).unwrap();
                config.push_str(&format!(
                    "auth:\n  htpasswd:\n    realm: hoist\n    path: {}\n",
                    path.display()
                ));
            }
            Users::Token { realm, certificate } => config.push_str(&format!(
                "auth:\n  token:\n    realm: {realm}\n    service: hoist\n    issuer: hoist\n    rootcertbundle: {}\n",
                certificate.display()
            )),
        }
        let path = data.path().join("config.yml");
        fs::write(&path, config).unwrap();
        let mut child = Command::new("docker-registry")
            .args(["serve".as_ref(), path.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("docker-registry: {error}: apt-get install docker-registry")
            });
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap() == 0 {
                panic!("docker-registry did not start: {said}");
            }
            if let Some((_, rest)) = line.split_once("listening on ") {
                let end = rest.find([',', '"', '\n', ' ']).unwrap_or(rest.len());
                break rest[..end].to_owned();
            }
            said.push_str(&line);
        };
        // A full pipe would stop it.
        let log = std::thread::spawn(move || {
            let _ = lines.read_to_end(&mut Vec::new());
        });
        Self {
            address,
            child,
            log: Some(log),
            _data: data,
        }
    }

    pub(crate) fn port(&self) -> &str {
        self.address.rsplit_once(':').unwrap().1
    }

    pub(crate) fn repository(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }
}

impl Drop for DebianRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(log) = self.log.take() {
            let _ = log.join();
        }
    }
}

/// The output of a program of Debian's, which must succeed.
pub(crate) fn run(program: &str, package: &str, arguments: &[&str]) -> Vec<u8> {
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
    output.stdout
}

/// A self-signed certificate as Docker's manual makes it: `cert.pem` and `key.pem`.
pub(crate) fn certificate(directory: &Path, name: &str) {
    let path = |file: &str| directory.join(file).to_str().unwrap().to_owned();
    let alternative = format!("subjectAltName=DNS:{name}");
    run(
        "openssl",
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=hoist",
            "-addext",
            &alternative,
            "-keyout",
            &path("key.pem"),
            "-out",
            &path("cert.pem"),
        ],
    );
}
