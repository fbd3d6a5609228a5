//! Compiled Python modules (PEP 3147, PEP 552) and the times of their sources.
//!
//! Python takes a compiled module for good when it names its source's time and size. When times
//! are bounded the name must follow, or every import compiles again. Where `SOURCE_DATE_EPOCH` is
//! set, Python's compilers name the source by a hash instead, and every import reads and hashes
//! the source: such modules are turned into what they would be without the variable. Both are
//! done only when the module is good as it stands.

use std::{
    fs::File,
    io::Read,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::{
    layer::{Layer, Seen},
    siphash::{Rounds, siphash},
};
use crate::{
    error::BuildError,
    tree::{Entry, Kind},
};

/// Magic number, flags, and either time and size or the hash.
const HEADER: usize = 16;

/// The magic number of 3.7, the first that has flags. Numbers of Python 2 are above 20000.
const FIRST_MAGIC: u16 = 3394;
const LAST_MAGIC: u16 = 9999;

/// The flags of PEP 552: the source is named by its time; by its hash, which is checked.
const BY_TIME: u32 = 0;
const BY_CHECKED_HASH: u32 = 3;

/// The largest source that is hashed, in bytes.
const LARGEST_SOURCE: u64 = 64 << 20;

const SECOND: i64 = 1_000_000_000;

/// Make the module `entry`, if it is one, name its source by the time that this will have; true
/// when it had to change.
pub(super) fn settle(layer: &Layer<'_>, entry: &Entry) -> Result<bool, BuildError> {
    if entry.kind != Kind::File || entry.identity.size < HEADER as u64 {
        return Ok(false);
    }
    let Some(path) = source_of(&entry.path) else {
        return Ok(false);
    };
    let shown = || Path::new("/").join(&entry.path);
    let failed = |action| {
        move |source| BuildError::Io {
            action,
            path: shown(),
            source,
        }
    };
    let file = File::from(layer.open_file(&entry.path, OFlags::RDONLY)?);
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, 0).map_err(failed("read"))?;
    let Some(header) = Header::parse(header) else {
        return Ok(false);
    };
    let Some(source) = layer.file(&path)? else {
        return Ok(false);
    };
    let now = Name::of(source.entry.identity.mtime, &source.entry);
    let will_be = Name::of(source.time, &source.entry);
    let is_good = match header.flags {
        BY_TIME => header.name == now.bytes() && now != will_be,
        BY_CHECKED_HASH => hash_matches(&header, &path, &source)?,
        _ => false,
    };
    if !is_good {
        return Ok(false);
    }
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&BY_TIME.to_le_bytes());
    bytes[4..].copy_from_slice(&will_be.bytes());
    let file = File::from(layer.open_file(&entry.path, OFlags::WRONLY)?);
    file.write_all_at(&bytes, 4).map_err(failed("write"))?;
    Ok(true)
}

/// The start of a compiled module.
struct Header {
    magic: [u8; 4],
    flags: u32,
    /// Time and size, or the hash.
    name: [u8; 8],
}

impl Header {
    /// `None` for what no Python since 3.7 wrote.
    fn parse(bytes: [u8; HEADER]) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<4>();
        let [magic, flags, first, second] = *words else {
            return None;
        };
        let number = u16::from_le_bytes([magic[0], magic[1]]);
        let is_known = (FIRST_MAGIC..=LAST_MAGIC).contains(&number) && magic[2..] == *b"\r\n";
        let mut name = [0; 8];
        name[..4].copy_from_slice(&first);
        name[4..].copy_from_slice(&second);
        is_known.then_some(Self {
            magic,
            flags: u32::from_le_bytes(flags),
            name,
        })
    }
}

/// How a module names its source: seconds and bytes, each modulo 2³².
#[derive(Clone, Copy, PartialEq, Eq)]
struct Name {
    seconds: u32,
    size: u32,
}

impl Name {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "Python keeps the lower 32 bits of both"
    )]
    fn of(time: i64, source: &Entry) -> Self {
        Self {
            seconds: time.div_euclid(SECOND) as u32,
            size: source.identity.size as u32,
        }
    }

    fn bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.seconds.to_le_bytes());
        bytes[4..].copy_from_slice(&self.size.to_le_bytes());
        bytes
    }
}

/// True when the module's hash is that of its source, which lies at `path`.
fn hash_matches(header: &Header, path: &Path, source: &Seen<'_>) -> Result<bool, BuildError> {
    if source.entry.identity.size > LARGEST_SOURCE {
        return Ok(false);
    }
    let root = source.root;
    let mut bytes = Vec::new();
    let fd = root
        .open(path, OFlags::RDONLY | OFlags::NONBLOCK)
        .map_err(|errno| BuildError::io("open", root.display(path), errno))?;
    let read = File::from(fd).read_to_end(&mut bytes);
    read.map_err(|source| BuildError::Io {
        action: "read",
        path: root.display(path),
        source,
    })?;
    let key = (u64::from(u32::from_le_bytes(header.magic)), 0);
    let all = [Rounds::OneThree, Rounds::TwoFour];
    Ok(all
        .iter()
        .any(|rounds| siphash(*rounds, key, &bytes).to_le_bytes() == header.name))
}

/// Where the source of the module at `path` lies: `__pycache__/x.cpython-311.opt-1.pyc` is made of
/// `x.py`, and `x.pyc` of `x.py` beside it.
fn source_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.as_bytes().strip_suffix(b".pyc")?;
    let parent = path.parent()?;
    let cut = |name: &[u8]| -> Option<Vec<u8>> {
        let dot = name.iter().rposition(|byte| *byte == b'.')?;
        Some(name[..dot].to_vec())
    };
    let (directory, mut name) = if parent.ends_with("__pycache__") {
        let is_optimised = |name: &[u8]| {
            let dot = name.iter().rposition(|byte| *byte == b'.');
            dot.is_some_and(|dot| name[dot + 1..].starts_with(b"opt-"))
        };
        let name = match is_optimised(name) {
            true => cut(name)?,
            false => name.to_vec(),
        };
        (parent.parent()?, cut(&name)?)
    } else {
        (parent, name.to_vec())
    };
    name.extend(b".py");
    Some(directory.join(std::ffi::OsStr::from_bytes(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_found_by_the_names_of_modules() {
        let table = [
            ("a/__pycache__/x.cpython-311.pyc", Some("a/x.py")),
            ("a/__pycache__/x.cpython-311.opt-2.pyc", Some("a/x.py")),
            ("a/__pycache__/x.y.cpython-311.pyc", Some("a/x.y.py")),
            ("__pycache__/x.pypy39.pyc", Some("x.py")),
            ("a/x.pyc", Some("a/x.py")),
            ("x.pyc", Some("x.py")),
            ("a/__pycache__/x.pyc", None),
            ("a/x.py", None),
        ];
        for (module, source) in table {
            assert_eq!(
                source_of(Path::new(module)).as_deref(),
                source.map(Path::new),
                "{module}"
            );
        }
    }

    #[test]
    fn headers_of_other_pythons_are_left_alone() {
        let header = |magic: u16, end: &[u8; 2]| {
            let mut bytes = [0; HEADER];
            bytes[..2].copy_from_slice(&magic.to_le_bytes());
            bytes[2..4].copy_from_slice(end);
            Header::parse(bytes).is_some()
        };
        assert!(header(3495, b"\r\n"));
        assert!(!header(3379, b"\r\n"), "3.6");
        assert!(!header(62211, b"\r\n"), "2.7");
        assert!(!header(3495, b"\n\n"));
    }
}
