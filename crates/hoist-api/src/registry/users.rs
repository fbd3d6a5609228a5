//! Who may use the registry: a file of users as `htpasswd -B` writes it.
//!
//! A password is verified once, which takes a tenth of a second on purpose, on a thread of its own
//! and at most two at a time; then a keyed digest of it is remembered for some minutes. The file is
//! read again when it changes; one that has become unreadable changes nothing until it is mended.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use hoist_core::{Digest, Digester};
use tokio::sync::Semaphore;

use super::stamp::Stamp;
use crate::error::{ApiError, Result};

/// How long a verified password is remembered.
const REMEMBERED: Duration = Duration::from_secs(5 * 60);
/// How many are.
const MOST: usize = 1024;
/// The largest file of users.
const LARGEST: u64 = 1 << 20;

/// The users of a registry.
pub(super) struct Users {
    path: PathBuf,
    current: Mutex<Current>,
    /// Makes the digests of this process useless to any other.
    key: [u8; 32],
    /// How many passwords are verified at a time.
    turns: Arc<Semaphore>,
}

struct Current {
    stamp: Stamp,
    users: Arc<HashMap<String, Hash>>,
    verified: HashMap<Digest, Instant>,
}

/// A password as bcrypt keeps it.
#[derive(Clone)]
struct Hash {
    cost: u32,
    salt: [u8; 16],
    digest: [u8; 23],
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// A user who gave the right password.
    User(String),
    /// Nobody, or somebody with a wrong one.
    Stranger,
}

impl Users {
    /// Read the file.
    ///
    /// # Errors
    /// [`ApiError::Users`].
    pub(super) fn read(path: &Path) -> Result<Self> {
        let mut key = [0; 32];
        let flags = rustix::rand::GetRandomFlags::empty();
        rustix::rand::getrandom(&mut key, flags).map_err(|error| ApiError::Start {
            action: "getrandom",
            source: error.into(),
        })?;
        let stamp = Stamp::of(path);
        Ok(Self {
            path: path.to_owned(),
            current: Mutex::new(Current {
                stamp,
                users: Arc::new(load(path)?),
                verified: HashMap::new(),
            }),
            key,
            turns: Arc::new(Semaphore::new(2)),
        })
    }

    /// Read the file again if it has changed. Nothing changes when that fails, and it is said once.
    ///
    /// # Errors
    /// [`ApiError::Users`].
    pub(super) fn refresh(&self) -> Result<()> {
        let stamp = Stamp::of(&self.path);
        if self.current().stamp == stamp {
            return Ok(());
        }
        let loaded = load(&self.path);
        let mut current = self.current();
        current.stamp = stamp;
        current.users = Arc::new(loaded?);
        current.verified.clear();
        Ok(())
    }

    /// Who sends this `Authorization` header.
    pub(super) async fn caller(&self, header: Option<&[u8]>) -> Caller {
        let Some((name, password)) = header.and_then(basic) else {
            return Caller::Stranger;
        };
        let ticket = self.ticket(&name, &password);
        let users = {
            let mut current = self.current();
            current
                .verified
                .retain(|_, since| since.elapsed() < REMEMBERED);
            if current.verified.contains_key(&ticket) {
                return Caller::User(name);
            }
            Arc::clone(&current.users)
        };
        let Ok(turn) = Arc::clone(&self.turns).acquire_owned().await else {
            return Caller::Stranger;
        };
        let known = users.get(&name).cloned();
        // A name that nobody has takes as long as one that somebody has.
        let hash = known.clone().or_else(|| users.values().next().cloned());
        // The turn goes with the work, which goes on also when its client goes away.
        let verified = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            hash.is_some_and(|hash| hash.is_of(&password))
        });
        if !verified.await.unwrap_or(false) || known.is_none() {
            return Caller::Stranger;
        }
        let mut current = self.current();
        // Unless the file has changed meanwhile, in which case the next request is verified again.
        if Arc::ptr_eq(&current.users, &users) && current.verified.len() < MOST {
            current.verified.insert(ticket, Instant::now());
        }
        Caller::User(name)
    }

    fn ticket(&self, name: &str, password: &[u8]) -> Digest {
        let mut digester = Digester::new();
        digester.update(&self.key);
        digester.update(&(name.len() as u64).to_be_bytes());
        digester.update(name.as_bytes());
        digester.update(password);
        digester.finish()
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name and password of basic authentication (RFC 7617).
fn basic(header: &[u8]) -> Option<(String, Vec<u8>)> {
    let (scheme, coded) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let plain = general_purpose::STANDARD.decode(coded.trim_ascii()).ok()?;
    let colon = plain.iter().position(|byte| *byte == b':')?;
    let name = String::from_utf8(plain[..colon].to_vec()).ok()?;
    Some((name, plain[colon + 1..].to_vec()))
}

fn load(path: &Path) -> Result<HashMap<String, Hash>> {
    let failed = |line, reason: String| ApiError::Users {
        path: path.to_owned(),
        line,
        reason,
    };
    let size = std::fs::metadata(path).map(|found| found.len());
    let text = size
        .and_then(|size| match size {
            0..=LARGEST => std::fs::read_to_string(path),
            _ => Err(std::io::ErrorKind::FileTooLarge.into()),
        })
        .map_err(|error| failed(None, format!("cannot read the file of users: {error}")))?;
    let mut users = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let failed = |reason: &str| failed(Some(index + 1), reason.to_owned());
        let (name, hash) = line
            .split_once(':')
            .ok_or_else(|| failed("a line is a name, a colon and a hashed password"))?;
        if name.is_empty() {
            return Err(failed("there is no name before the colon"));
        }
        let hash = Hash::parse(hash).map_err(|reason| failed(&reason))?;
        if users.insert(name.to_owned(), hash).is_some() {
            return Err(failed(&format!("there are two lines for {name}")));
        }
    }
    if users.is_empty() {
        return Err(failed(None, "there is no user in it".to_owned()));
    }
    Ok(users)
}

impl Hash {
    /// `$2y$<cost>$<22 characters of salt><31 of digest>`.
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let other = |what: &str| {
            Err(format!(
                "the password is hashed by {what}, which is too weak: only bcrypt is accepted"
            ))
        };
        match text {
            _ if text.starts_with("$apr1$") || text.starts_with("$1$") => return other("MD5"),
            _ if text.starts_with("{SHA}") => return other("SHA-1 without salt"),
            _ if text.starts_with("$5$") || text.starts_with("$6$") => return other("SHA crypt"),
            _ if text.len() == 13 && !text.starts_with('$') => return other("DES crypt"),
            _ => {}
        }
        let malformed = || "the password is not hashed by bcrypt".to_owned();
        let rest = ["$2y$", "$2b$", "$2a$"]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
            .ok_or_else(malformed)?;
        let (cost, rest) = rest.split_once('$').ok_or_else(malformed)?;
        let cost: u32 = match cost.parse() {
            Ok(cost @ 4..=31) if rest.is_ascii() && rest.len() == 53 => cost,
            _ => return Err(malformed()),
        };
        let (salt, digest) = rest.split_at(22);
        let decoded = |text: &str| {
            let config = GeneralPurposeConfig::new()
                .with_decode_allow_trailing_bits(true)
                .with_decode_padding_mode(DecodePaddingMode::RequireNone);
            let engine = GeneralPurpose::new(&alphabet::BCRYPT, config);
            engine.decode(text).ok()
        };
        let salt = decoded(salt).and_then(|bytes| bytes.try_into().ok());
        let digest = decoded(digest).and_then(|bytes| bytes.try_into().ok());
        match (salt, digest) {
            (Some(salt), Some(digest)) => Ok(Self { cost, salt, digest }),
            _ => Err(malformed()),
        }
    }

    /// Whether it is the hash of this password. Takes the same time for all.
    fn is_of(&self, password: &[u8]) -> bool {
        // As everywhere, what is behind the 72nd byte does not count.
        let mut ended: Vec<u8> = password.iter().take(72).copied().collect();
        if ended.len() < 72 {
            ended.push(0);
        }
        let found = bcrypt::bcrypt(self.cost, self.salt, &ended);
        let differing = |sum: u8, (one, other): (&u8, &u8)| sum | (one ^ other);
        self.digest.iter().zip(&found).fold(0, differing) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // htpasswd -nbB -C 4
    const ME: &str = "me:$2y$04$";

    #[test]
    fn headers_are_split_at_the_first_colon() {
        let coded = |plain: &str| general_purpose::STANDARD.encode(plain);
        let header =
            |scheme: &str, plain: &str| basic(format!("{scheme} {}", coded(plain)).as_bytes());
        let expected = Some(("me".to_owned(), b"a:b".to_vec()));
        assert_eq!(header("Basic", "me:a:b"), expected);
        assert_eq!(header("bAsIc", "me:a:b"), expected);
        for bad in ["", "Basic", "Basic !", "Bearer x"] {
            assert_eq!(basic(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(header("Basic", "nobody"), None);
    }

    #[test]
    fn other_hashes_are_refused_by_name() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("users");
        let said = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let text = match load(&path) {
                Ok(users) => format!("{} users", users.len()),
                Err(error) => error.to_string(),
            };
            text.replace(path.to_str().unwrap(), "users")
        };
        insta::assert_snapshot!(said("# nobody\n\n"), @"users: there is no user in it");
        insta::assert_snapshot!(said("me:$apr1$x$y"), @"users:1: the password is hashed by MD5, which is too weak: only bcrypt is accepted");
        insta::assert_snapshot!(said("\nme:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="), @"users:2: the password is hashed by SHA-1 without salt, which is too weak: only bcrypt is accepted");
        insta::assert_snapshot!(said("me:rqXexS6ZhobKA"), @"users:1: the password is hashed by DES crypt, which is too weak: only bcrypt is accepted");
        insta::assert_snapshot!(said("me:secret"), @"users:1: the password is not hashed by bcrypt");
        insta::assert_snapshot!(said("me"), @"users:1: a line is a name, a colon and a hashed password");
        insta::assert_snapshot!(said(&format!("{ME}short")), @"users:1: the password is not hashed by bcrypt");
        insta::assert_snapshot!(said(":x"), @"users:1: there is no name before the colon");
    }

    #[test]
    fn hashes_of_other_programs_are_verified() {
        // Of the test vectors of the original implementation.
        for (password, hash) in [
            (
                "U*U",
                "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
            ),
            (
                "U*U*",
                "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK",
            ),
            (
                "",
                "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy",
            ),
        ] {
            let hash = Hash::parse(hash).unwrap();
            assert!(hash.is_of(password.as_bytes()), "{password}");
            assert!(!hash.is_of(b"U*u"));
        }
    }
}
