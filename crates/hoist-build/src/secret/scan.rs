//! Looking through a new layer for what must not be in an image: secrets of the build, private
//! keys, `.env` files.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use rustix::fs::OFlags;

use super::{Secret, pieces};
use crate::{
    error::BuildError,
    tree::{Kind, Root, filter::Filter, walk},
};

/// Of which version the rules are: what was found by others is looked for again.
pub(super) const RULES: u32 = 1;

/// What a private key in PEM form begins with.
const BEGIN: &[u8] = b"-----BEGIN ";

/// Bytes that a private key is recognised by, from its beginning on.
const KEY_START: usize = 1024;

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// Directories of package managers: keys in what they install (tests, examples) are published
/// with the package.
const PACKAGES: [&str; 6] = [
    "site-packages",
    "dist-packages",
    "node_modules",
    "gems",
    "doc",
    "registry",
];

/// Endings of `.env.…` files that are meant to be seen.
const EXAMPLES: [&str; 8] = [
    "example", "sample", "template", "dist", "defaults", "tpl", "schema", "test",
];

/// What was found in a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// From the root of the image, absolute.
    pub(crate) path: PathBuf,
    pub(crate) what: What,
}

/// What a file holds that it should not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// The value of the secret with this id.
    Secret(String),
    PrivateKey,
    EnvFile,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(id) => write!(f, "the value of the secret {id}"),
            Self::PrivateKey => f.write_str("a private key"),
            Self::EnvFile => f.write_str("a file of settings and secrets"),
        }
    }
}

/// What to look for in layers.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    /// Ids and values of secrets.
    secrets: Vec<(String, Finder)>,
    /// How much of a chunk is looked at again with the next one.
    overlap: usize,
}

impl Scanner {
    /// Looks for `secrets`, private keys and `.env` files.
    pub(crate) fn new(secrets: &[Secret]) -> Self {
        let mut found = Vec::new();
        let mut overlap = KEY_START;
        for secret in secrets {
            for piece in pieces(secret.value()) {
                if is_distinctive(piece) {
                    overlap = overlap.max(piece.len());
                    found.push((secret.id().to_owned(), Finder::new(piece)));
                }
            }
        }
        Self {
            secrets: found,
            overlap,
        }
    }

    /// Everything that is wrong in `layer`, the directory of a layer; in the order of the paths.
    pub(crate) fn scan(&self, layer: &Root) -> Result<Vec<Finding>, BuildError> {
        let mut findings = Vec::new();
        let keys = Finder::new(BEGIN);
        let start = Path::new("");
        for entry in walk(layer, start, &Filter::ignoring(None))? {
            if entry.kind != Kind::File || entry.identity.size == 0 {
                continue;
            }
            let is_published = is_published(&entry.path);
            let what = if !is_published && is_env_file(&entry.path) {
                Some(What::EnvFile)
            } else {
                let failed = |source| BuildError::Io {
                    action: "read",
                    path: layer.display(&entry.path),
                    source,
                };
                let file = layer
                    .open(&entry.path, OFlags::RDONLY | OFlags::NONBLOCK)
                    .map_err(|errno| failed(errno.into()))?;
                let keys = (!is_published).then_some(&keys);
                self.file(File::from(file), keys).map_err(failed)?
            };
            findings.extend(what.map(|what| Finding {
                path: Path::new("/").join(&entry.path),
                what,
            }));
        }
        Ok(findings)
    }

    fn file(&self, mut file: impl Read, keys: Option<&Finder>) -> io::Result<Option<What>> {
        let mut buffer = Vec::with_capacity(CHUNK + self.overlap);
        loop {
            let kept = buffer.len();
            let count = file.by_ref().take(CHUNK as u64).read_to_end(&mut buffer)?;
            for (id, finder) in &self.secrets {
                if finder.find(&buffer).is_some() {
                    return Ok(Some(What::Secret(id.clone())));
                }
            }
            if let Some(keys) = keys
                && has_private_key(keys, &buffer)
            {
                return Ok(Some(What::PrivateKey));
            }
            if count < CHUNK {
                return Ok(None);
            }
            let surplus = (kept + count).saturating_sub(self.overlap);
            buffer.drain(..surplus);
        }
    }
}

/// True for a value that does not turn up by chance: a password that is a plain word would.
fn is_distinctive(value: &[u8]) -> bool {
    value.len() >= 16 || value.len() >= 8 && !value.iter().all(u8::is_ascii_alphabetic)
}

/// True for files that belong to an installed package.
fn is_published(path: &Path) -> bool {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let names: Vec<&str> = names.collect();
    names.iter().any(|name| PACKAGES.contains(name))
        || names
            .windows(2)
            .any(|pair| pair[0].starts_with("python3") && pair[1] == "test")
}

fn is_env_file(path: &Path) -> bool {
    let Some(name) = path.file_name().map(OsStrExt::as_bytes) else {
        return false;
    };
    let Some(rest) = name.strip_prefix(b".env") else {
        return false;
    };
    match rest.strip_prefix(b".") {
        None => rest.is_empty(),
        Some(kind) => {
            let last = kind.rsplit(|byte| *byte == b'.').next().unwrap_or(kind);
            !EXAMPLES.iter().any(|known| known.as_bytes() == last)
        }
    }
}

/// True when `bytes` hold a private key: its first line, and after it what a key is made of.
/// Programs that write or read keys hold the first line, too, but nothing after it.
fn has_private_key(begin: &Finder, bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = begin.find(rest) {
        rest = &rest[at + BEGIN.len()..];
        if is_key(&rest[..rest.len().min(KEY_START)]) {
            return true;
        }
    }
    false
}

/// True for what follows `-----BEGIN ` of a private key.
fn is_key(rest: &[u8]) -> bool {
    let Some(end) = rest.windows(5).position(|window| window == b"-----") else {
        return false;
    };
    let label = &rest[..end];
    if !label.ends_with(b"PRIVATE KEY") && !label.ends_with(b"PRIVATE KEY BLOCK") {
        return false;
    }
    let body = &rest[end + 5..];
    // Within JSON the line break is written out.
    let lines = body
        .split(|byte| *byte == b'\n' || *byte == b'\\')
        .map(|line| line.strip_prefix(b"n").unwrap_or(line).trim_ascii());
    lines.skip(1).any(|line| {
        line.len() >= 40
            && line
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte))
    })
}

/// A search for one byte string (Horspool's).
#[derive(Debug)]
pub(crate) struct Finder {
    needle: Vec<u8>,
    /// How far to go on when the byte stands at the end of the window.
    skip: Box<[usize; 256]>,
}

impl Finder {
    fn new(needle: &[u8]) -> Self {
        let mut skip = Box::new([needle.len(); 256]);
        for (at, byte) in needle.iter().enumerate().take(needle.len() - 1) {
            skip[usize::from(*byte)] = needle.len() - 1 - at;
        }
        Self {
            needle: needle.to_vec(),
            skip,
        }
    }

    fn find(&self, bytes: &[u8]) -> Option<usize> {
        let length = self.needle.len();
        let mut at = 0;
        while let Some(window) = bytes.get(at..at + length) {
            let last = window[length - 1];
            if last == self.needle[length - 1] && window == self.needle {
                return Some(at);
            }
            at += self.skip[usize::from(last)];
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY: &str = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";

    fn found(content: &[u8]) -> Option<What> {
        let secrets = [
            Secret::new("token", "s3cr3t-value\n"),
            Secret::new("plain", "password"),
        ];
        let finder = Finder::new(BEGIN);
        Scanner::new(&secrets).file(content, Some(&finder)).unwrap()
    }

    #[test]
    fn keys_and_passed_secrets_are_found_and_look_alikes_are_not() {
        let key = |label: &str| format!("text\n-----BEGIN {label}-----\n{BODY}\n{BODY}\n");
        let json = format!(r#"{{"key":"-----BEGIN PRIVATE KEY-----\n{BODY}\n"}}"#);
        let legacy = format!(
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\n{BODY}\n"
        );
        let far = [vec![b'x'; CHUNK - 5], b"s3cr3t-value".to_vec()].concat();
        let keys = [
            "PRIVATE KEY",
            "OPENSSH PRIVATE KEY",
            "ENCRYPTED PRIVATE KEY",
            "PGP PRIVATE KEY BLOCK",
        ];
        for label in keys {
            assert_eq!(
                found(key(label).as_bytes()),
                Some(What::PrivateKey),
                "{label}"
            );
        }
        let public = key("PUBLIC KEY");
        let table: [(&[u8], Option<What>); 8] = [
            (b"a s3cr3t-value b", Some(What::Secret("token".to_owned()))),
            (&far, Some(What::Secret("token".to_owned()))),
            (b"a password b", None),
            (json.as_bytes(), Some(What::PrivateKey)),
            (legacy.as_bytes(), Some(What::PrivateKey)),
            (public.as_bytes(), None),
            (
                b"-----BEGIN PRIVATE KEY-----\0-----END PRIVATE KEY-----\0",
                None,
            ),
            (b"", None),
        ];
        for (content, expected) in table {
            let start = String::from_utf8_lossy(&content[..content.len().min(60)]);
            assert_eq!(found(content), expected, "{start}");
        }
    }

    #[test]
    fn env_files_are_known_by_name_and_packages_keep_theirs() {
        for name in [".env", "app/.env", ".env.local", ".env.prod.bak"] {
            assert!(is_env_file(Path::new(name)), "{name}");
        }
        for name in [
            "env",
            ".envrc",
            ".env.example",
            ".env.prod.sample",
            ".environment",
        ] {
            assert!(!is_env_file(Path::new(name)), "{name}");
        }
        for path in [
            "usr/lib/python3/dist-packages/tornado/test/test.key",
            "app/node_modules/x/.env",
            "usr/lib/python3.11/test/keycert.pem",
        ] {
            assert!(is_published(Path::new(path)), "{path}");
        }
        assert!(!is_published(Path::new("app/test/key.pem")));
    }

    proptest! {
        #[test]
        fn the_first_place_is_found(text in "[ab]{0,40}", needle in "[ab]{1,4}") {
            prop_assert_eq!(
                Finder::new(needle.as_bytes()).find(text.as_bytes()),
                text.find(&needle)
            );
        }
    }
}
