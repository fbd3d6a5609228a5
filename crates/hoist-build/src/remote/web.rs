//! Files of web servers: `ADD https://…`.
//!
//! ```text
//! cache/http-v1/urls/<digest of the address>.json   what the server said of the file
//!               files/<digest>                       the file
//! ```
//!
//! An address whose answer is remembered is asked for with a condition; where the server says that
//! nothing has changed, the file here is the one. Everything may be deleted at any time, and what was
//! damaged meanwhile is found by its digest and fetched anew.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    str::FromStr,
    sync::atomic::AtomicBool,
};

use hoist_core::{Digest, Digester};
use hoist_registry::{
    Answer, DownloadRequest, Downloaded, RegistryError, Secret as Guarded, Validators,
};
use hoist_store::LayerDraft;
use hoist_sys::atomic::{self, Durability};
use serde::{Deserialize, Serialize};

use super::{Pinned, Stock, Supplier, failed, web_file::WebFile};
use crate::{
    cache::used,
    error::BuildError,
    execute::{
        archive::{self, Sort},
        open_directory,
    },
    tree::{Entry, Root, filter::Filter},
};

/// Where files of web servers are kept, below the root.
pub(crate) const FILES: &str = "cache/http-v1/files";
/// Where what is known of addresses is kept, below the root.
pub(crate) const ADDRESSES: &str = "cache/http-v1/urls";

/// The mode of a file that `ADD` fetches.
const MODE: u32 = 0o600;

/// What a file is called while it is here to be read.
const FILE: &str = "file";

/// What is remembered of an address.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    digest: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
    /// The address, without what nobody has to know.
    url: String,
}

/// A file that is here to be read, as long as the value lives.
pub(super) struct Brought {
    draft: LayerDraft,
    /// When it changed last, in seconds since 1970, if the server says so.
    pub(super) modified: Option<i64>,
}

impl Brought {
    fn path(&self) -> PathBuf {
        self.draft.work().join(FILE)
    }

    /// What it lies in, which messages call by the address of `file`.
    fn root(&self, file: &WebFile) -> Result<Root, BuildError> {
        let shown = PathBuf::from(file.shown());
        let directory = open_directory(self.draft.work())?;
        Ok(Root::of_file(directory, shown))
    }

    pub(super) fn open(&self) -> Result<File, BuildError> {
        let path = self.path();
        File::open(&path).map_err(failed("open", &path))
    }

    /// The time of the newest file in it, in seconds since 1970, when it is an archive.
    pub(super) fn newest(
        &self,
        file: &WebFile,
        stop: &AtomicBool,
    ) -> Result<Option<i64>, BuildError> {
        archive::newest(&self.root(file)?, Path::new(FILE), stop)
    }
}

impl Supplier<'_> {
    /// The digest of a file as it is now. It is here then, unless a checksum made that unnecessary.
    pub(super) fn pin_file(&self, file: &WebFile) -> Result<Pinned, BuildError> {
        if let Some(checksum) = file.checksum {
            return Ok(pinned(file, checksum, self.remembered(file)));
        }
        let earlier = self
            .remembered(file)
            .filter(|earlier| self.has(&earlier.digest));
        let known = earlier.as_ref().map(|earlier| Validators {
            etag: earlier.etag.clone(),
            last_modified: earlier.last_modified.clone(),
        });
        let known = known.filter(Validators::are_usable);
        match (self.download(file, known.as_ref())?, earlier) {
            (None, Some(earlier)) => Ok(pinned(file, earlier.digest, Some(earlier))),
            (Some(saved), _) => {
                let remembered = remembered(file, &saved);
                Ok(pinned(file, saved.digest, Some(remembered)))
            }
            (None, None) => Err(BuildError::Download {
                url: file.shown(),
                source: Box::new(RegistryError::Malformed {
                    what: "the answer".to_owned(),
                    reason: "not modified, although nothing was known".to_owned(),
                }),
            }),
        }
    }

    /// The file that was pinned.
    pub(super) fn fetch_file(
        &self,
        file: &WebFile,
        pinned: &Pinned,
        exclude: &[String],
    ) -> Result<Stock, BuildError> {
        let brought = self.bring(file, pinned)?;
        let name = PathBuf::from(file.name());
        let start = Path::new(FILE);
        let root = brought.root(file)?;
        let mut entry = root
            .entry(start)
            .map_err(|errno| BuildError::io("read", brought.path(), errno))?;
        entry.path = PathBuf::new();
        entry.mode = MODE;
        (entry.uid, entry.gid) = (0, 0);
        entry.is_linked = false;
        // BuildKit's time for a file without one.
        let modified = brought.modified.unwrap_or(0);
        entry.identity.mtime = modified.saturating_mul(1_000_000_000);
        let is_archive = file.unpack && archive::sort(&root, start)? == Sort::Archive;
        Ok(Stock {
            entries: wanted(entry, &name, exclude)?,
            root,
            name,
            start: start.to_owned(),
            is_archive,
            _draft: brought.draft,
        })
    }

    /// The content of a file, for who reads it at once: at most `limit` bytes.
    pub(crate) fn read(&self, file: &WebFile, limit: u64) -> Result<Vec<u8>, BuildError> {
        let pinned = self.pin_file(file)?;
        content(file, self.bring(file, &pinned)?.open()?, limit)
    }

    /// The file that was pinned, as it came.
    pub(super) fn bring(&self, file: &WebFile, pinned: &Pinned) -> Result<Brought, BuildError> {
        let digest = Digest::from_str(&pinned.part.1).map_err(|_| changed(file))?;
        let draft = self.engine.store().begin_layer()?;
        let path = draft.work().join(FILE);
        let modified = self.take(file, digest, &path, pinned.modified)?;
        Ok(Brought { draft, modified })
    }

    /// Put the file of `digest` at `path`: from the cache when it is there and sound, otherwise from
    /// the server. When it changed last, in seconds since 1970.
    fn take(
        &self,
        file: &WebFile,
        digest: Digest,
        path: &Path,
        modified: Option<i64>,
    ) -> Result<Option<i64>, BuildError> {
        let kept = self.engine.settings().root.join(FILES).join(digest.hex());
        // A name of its own: whoever tidies the cache meanwhile takes nothing away.
        if std::fs::hard_link(&kept, path).is_ok() {
            if digest_of(path)? == digest {
                used(&kept);
                return Ok(modified);
            }
            for damaged in [&kept, &path.to_owned()] {
                crate::cache::remove(damaged)?;
            }
        }
        let Some(saved) = self.download(file, None)? else {
            return Err(changed(file));
        };
        if saved.digest != digest {
            return Err(match file.checksum {
                Some(expected) => BuildError::Checksum {
                    what: file.shown(),
                    expected: expected.to_string(),
                    actual: saved.digest.to_string(),
                },
                None => changed(file),
            });
        }
        std::fs::hard_link(&kept, path).map_err(failed("link", &kept))?;
        Ok(saved.validators.modified())
    }

    /// Ask the server. What it sends is kept, unless it is not what the checksum says; nothing when
    /// what is `known` is still so.
    fn download(
        &self,
        file: &WebFile,
        known: Option<&Validators>,
    ) -> Result<Option<Downloaded>, BuildError> {
        let failure = |source| match source {
            RegistryError::Cancelled => BuildError::Cancelled,
            source => BuildError::Download {
                url: file.shown(),
                source: Box::new(source),
            },
        };
        let draft = self.engine.store().begin_layer()?;
        let path = draft.work().join(FILE);
        let mut target = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(failed("make", &path))?;
        let authorization = self.authorization(file);
        let request = DownloadRequest {
            url: &file.url,
            authorization: authorization.as_ref(),
            known,
            limit: self.access.limit,
            stopped: Some(self.stop),
        };
        let answer = self.access.downloader.download(&request, &mut target);
        let Answer::Saved(saved) = answer.map_err(failure)? else {
            return Ok(None);
        };
        if file
            .checksum
            .is_none_or(|checksum| checksum == saved.digest)
        {
            let kept = self.directory(FILES)?.join(saved.digest.hex());
            std::fs::rename(&path, &kept).map_err(failed("keep", &kept))?;
            self.remember(file, &saved);
        }
        Ok(Some(saved))
    }

    /// The header that the secrets of the build have for the host: BuildKit's names.
    fn authorization(&self, file: &WebFile) -> Option<Guarded> {
        let host = file.host();
        let token = self.secret(&format!("HTTP_AUTH_TOKEN_{host}"));
        let header = token
            .map(|token| format!("Bearer {token}"))
            .or_else(|| self.secret(&format!("HTTP_AUTH_HEADER_{host}")));
        header.map(Guarded::new)
    }

    fn has(&self, digest: &Digest) -> bool {
        let root = &self.engine.settings().root;
        root.join(FILES).join(digest.hex()).exists()
    }

    fn memory(&self, file: &WebFile) -> PathBuf {
        let name = Digest::of(file.url.as_bytes()).hex();
        let root = &self.engine.settings().root;
        root.join(ADDRESSES).join(format!("{name}.json"))
    }

    fn remembered(&self, file: &WebFile) -> Option<Remembered> {
        serde_json::from_slice(&atomic::read(&self.memory(file)).ok()?).ok()
    }

    /// Remember what was said; that it cannot be written costs a later build a download.
    fn remember(&self, file: &WebFile, saved: &Downloaded) {
        if let Ok(bytes) = serde_json::to_vec(&remembered(file, saved))
            && self.directory(ADDRESSES).is_ok()
        {
            let _ = atomic::write(&self.memory(file), &bytes, 0o600, Durability::Volatile);
        }
    }
}

/// Everything in `opened`, which was fetched as `file`.
pub(super) fn content(file: &WebFile, opened: File, limit: u64) -> Result<Vec<u8>, BuildError> {
    let mut bytes = Vec::new();
    opened
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed("read", Path::new(&file.name())))?;
    if bytes.len() as u64 > limit {
        return Err(BuildError::Download {
            url: file.shown(),
            source: Box::new(RegistryError::TooLarge {
                what: "the file".to_owned(),
                limit,
            }),
        });
    }
    Ok(bytes)
}

fn remembered(file: &WebFile, saved: &Downloaded) -> Remembered {
    Remembered {
        digest: saved.digest,
        etag: saved.validators.etag.clone(),
        last_modified: saved.validators.last_modified.clone(),
        url: file.shown(),
    }
}

fn pinned(file: &WebFile, digest: Digest, remembered: Option<Remembered>) -> Pinned {
    let validators = Validators {
        etag: None,
        last_modified: remembered
            .filter(|remembered| remembered.digest == digest)
            .and_then(|remembered| remembered.last_modified),
    };
    let kind = if file.unpack { "archive" } else { "file" };
    Pinned {
        part: (format!("{kind} {}", file.shown()), digest.to_string()),
        modified: validators.modified(),
    }
}

/// The file, unless `--exclude` names it.
fn wanted(entry: Entry, name: &Path, exclude: &[String]) -> Result<Vec<Entry>, BuildError> {
    let invalid = |message| BuildError::Invalid {
        message,
        hints: Vec::new(),
    };
    let filter = Filter::default().excluding(exclude).map_err(invalid)?;
    let (_, above) = filter.begin(Path::new(""));
    let (choice, _) = filter.ask(name, name, false, &above);
    Ok(match choice {
        crate::tree::filter::Choice::Keep => vec![entry],
        _ => Vec::new(),
    })
}

fn changed(file: &WebFile) -> BuildError {
    BuildError::Invalid {
        message: format!("{} changed during the build", file.shown()),
        hints: vec!["build again".to_owned()],
    }
}

fn digest_of(path: &Path) -> Result<Digest, BuildError> {
    let mut file = File::open(path).map_err(failed("open", path))?;
    let mut digester = Digester::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer).map_err(failed("read", path))? {
            0 => return Ok(digester.finish()),
            count => digester.update(&buffer[..count]),
        }
    }
}

/// Remove what is known of addresses whose file is gone: how many bytes that was.
pub(crate) fn forget(root: &Path) -> Result<u64, BuildError> {
    let mut freed = 0;
    for path in crate::cache::list(&root.join(ADDRESSES))? {
        let known = atomic::read(&path).ok();
        let known = known.and_then(|bytes| serde_json::from_slice::<Remembered>(&bytes).ok());
        let has = |known: Remembered| root.join(FILES).join(known.digest.hex()).exists();
        if !known.is_some_and(has) {
            freed += crate::cache::remove(&path)?;
        }
    }
    Ok(freed)
}

/// What is known of the address whose file has this name in the cache, for listings.
pub(crate) fn addresses(root: &Path) -> std::collections::BTreeMap<String, String> {
    let paths = crate::cache::list(&root.join(ADDRESSES)).unwrap_or_default();
    let known = paths.iter().filter_map(|path| {
        let known: Remembered = serde_json::from_slice(&atomic::read(path).ok()?).ok()?;
        Some((known.digest.hex(), known.url))
    });
    known.collect()
}
