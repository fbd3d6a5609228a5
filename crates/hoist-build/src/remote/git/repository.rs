//! What is kept of a remote repository: a bare one, fetched into as shallowly as the server allows.
//!
//! ```text
//! cache/git-v1/<digest of the address>/lock         held by who works on it; its time is that of the last use
//!                                      address      for people
//!                                      repository/  refs/hoist/<commit>: a commit that is here in full
//! cache/git-v1/known_hosts                          keys of ssh servers
//! ```

use std::path::{Path, PathBuf};

use hoist_core::Digest;
use hoist_sys::lock::Lock;

use super::{
    super::{Supplier, failed},
    GitRemote,
    credentials::{Trust, hints},
    program::{Failure, Git},
};
use crate::{
    cache::{remove, remove_tree, used},
    error::BuildError,
};

/// Where repositories are kept, below the root.
pub(crate) const DIRECTORY: &str = "cache/git-v1";

/// The keys of ssh servers, below the root.
pub(crate) const KNOWN_HOSTS: &str = "cache/git-v1/known_hosts";

/// Where a fetched reference is put before it is known to be the right one.
const INCOMING: &str = "refs/hoist/incoming";

/// Attributes that would change files in an archive, which no checkout heeds.
const ATTRIBUTES: &str = "* -export-ignore -export-subst\n";

/// A repository of the cache, locked.
pub(super) struct Repository<'a> {
    supplier: Supplier<'a>,
    remote: &'a GitRemote,
    trust: Trust<'a>,
    directory: PathBuf,
    _lock: Lock,
}

/// A commit that is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) commit: &'a str,
    /// The full name of the reference that points to it, when it was found by one.
    pub(super) reference: Option<&'a str>,
    /// The reference must point to it.
    pub(super) exact: bool,
}

impl<'a> Repository<'a> {
    /// The repository of `remote`, empty when nothing was fetched of it yet.
    pub(super) fn open(
        supplier: Supplier<'a>,
        remote: &'a GitRemote,
        trust: Trust<'a>,
    ) -> Result<Self, BuildError> {
        let name = Digest::of(remote.url.as_bytes()).hex();
        let parent = supplier.directory(DIRECTORY)?.join(name);
        let lock = loop {
            std::fs::create_dir_all(&parent).map_err(failed("make", &parent))?;
            match Lock::exclusive(&parent.join("lock")) {
                Ok(lock) => break lock,
                // The cache was tidied meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("lock", &parent)(error)),
            }
        };
        used(&parent.join("lock"));
        let repository = Self {
            supplier,
            remote,
            trust,
            directory: parent.join("repository"),
            _lock: lock,
        };
        if !repository.directory.join("info/attributes").exists() {
            repository.make()?;
        }
        Ok(repository)
    }

    fn make(&self) -> Result<(), BuildError> {
        self.clear()?;
        let parent = self.directory.parent().unwrap_or(Path::new(""));
        let address = parent.join("address");
        std::fs::write(&address, &self.remote.url).map_err(failed("write", &address))?;
        self.local(
            self.git(&["init", "--quiet", "--bare", "--template="])
                .run(),
        )?;
        let info = self.directory.join("info");
        std::fs::create_dir_all(&info).map_err(failed("make", &info))?;
        let attributes = info.join("attributes");
        std::fs::write(&attributes, ATTRIBUTES).map_err(failed("write", &attributes))
    }

    /// Throw away what is here, which is damaged.
    pub(super) fn clear(&self) -> Result<(), BuildError> {
        if self.directory.symlink_metadata().is_ok() {
            remove_tree(&self.directory)?;
        }
        Ok(())
    }

    /// Begin anew with nothing.
    pub(super) fn reset(&self) -> Result<(), BuildError> {
        self.make()
    }

    pub(super) fn path(&self) -> &Path {
        &self.directory
    }

    /// A command on the repository.
    pub(super) fn git(&self, arguments: &[&str]) -> Git<'a> {
        Git::new(self.supplier, &self.directory, arguments)
    }

    fn speaking(&self, arguments: &[&str]) -> Result<Git<'a>, BuildError> {
        self.git(arguments).speaking_to(self.remote, self.trust)
    }

    /// A failure that concerns the remote.
    pub(super) fn problem(&self, failure: Failure) -> BuildError {
        match failure {
            Failure::Fatal(error) => error,
            Failure::Said(problem) => BuildError::Git {
                remote: self.remote.url.clone(),
                hints: hints(self.remote, &problem),
                problem,
            },
        }
    }

    fn local<T>(&self, result: Result<T, Failure>) -> Result<T, BuildError> {
        result.map_err(|failure| self.problem(failure))
    }

    /// What `ls-remote` says of the references that match `patterns`: names and object names.
    pub(super) fn list(&self, patterns: &[&str]) -> Result<Vec<(String, String)>, BuildError> {
        let mut git = self
            .speaking(&["ls-remote", "--symref", "--"])?
            .arg(&self.remote.url);
        for pattern in patterns {
            git = git.arg(pattern);
        }
        let output = self.local(git.output())?;
        let text = String::from_utf8_lossy(&output).into_owned();
        let lines = text.lines().filter_map(|line| line.split_once('\t'));
        Ok(lines
            .map(|(object, name)| (name.to_owned(), object.to_owned()))
            .collect())
    }

    /// True when the commit is here with everything that it needs.
    pub(super) fn has(&self, commit: &str) -> bool {
        let name = format!("refs/hoist/{commit}");
        let found = self.git(&["rev-parse", "--quiet", "--verify"]).arg(name);
        found.run().is_ok()
    }

    /// When `commit`, which is here, was made, in seconds since 1970.
    pub(super) fn time(&self, commit: &str) -> Result<i64, Failure> {
        let log = self.git(&["log", "-1", "--format=%ct", "--no-show-signature"]);
        let output = log.arg(commit).output()?;
        // Damaged headers have no time.
        Ok(String::from_utf8_lossy(&output).trim().parse().unwrap_or(0))
    }

    /// See to it that a commit is here.
    pub(super) fn fetch(&self, wanted: Wanted<'_>) -> Result<(), BuildError> {
        if self.has(wanted.commit) {
            return Ok(());
        }
        // Left by a fetch that was killed.
        for leftover in ["shallow.lock", "packed-refs.lock", "config.lock"] {
            remove(&self.directory.join(leftover))?;
        }
        if let Some(reference) = wanted.reference {
            self.local(self.fetch_one(reference))?;
            let found = self.incoming("^{commit}")?;
            // The name of a tag's own object is one of its commit, too.
            if found == wanted.commit || self.incoming("")? == wanted.commit {
                return self.keep(wanted.commit, INCOMING);
            }
            if wanted.exact {
                return Err(BuildError::Checksum {
                    what: format!("{} of {}", reference, self.remote.url),
                    expected: wanted.commit.to_owned(),
                    actual: found,
                });
            }
        }
        // By its name alone, which not every server allows.
        match self.fetch_one(wanted.commit) {
            Ok(()) => {}
            Err(Failure::Said(_)) => self.local(self.fetch_all())?,
            Err(Failure::Fatal(error)) => return Err(error),
        }
        let name = format!("{}^{{commit}}", wanted.commit);
        match self.git(&["cat-file", "-e"]).arg(name).run() {
            Ok(()) => self.keep(wanted.commit, wanted.commit),
            Err(Failure::Fatal(error)) => Err(error),
            Err(Failure::Said(_)) => Err(BuildError::Git {
                remote: self.remote.url.clone(),
                problem: format!("it has no commit {}", wanted.commit),
                hints: vec!["is it pushed?".to_owned()],
            }),
        }
    }

    /// Fetch one reference or commit, without its history where the server can leave that out.
    fn fetch_one(&self, name: &str) -> Result<(), Failure> {
        let refspec = format!("+{name}:{INCOMING}");
        let fetch = |depth: &[&str]| {
            let options = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"];
            self.speaking(&[&options, depth].concat())?
                .arg("--")
                .arg(&self.remote.url)
                .arg(&refspec)
                .run()
        };
        match fetch(&["--depth=1"]) {
            Err(Failure::Said(said)) if said.contains("shallow") => fetch(&[]),
            result => result,
        }
    }

    /// Fetch everything: for commits that the server does not give by name.
    fn fetch_all(&self) -> Result<(), Failure> {
        let mut options = vec!["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"];
        if self.directory.join("shallow").exists() {
            options.push("--unshallow");
        }
        self.speaking(&options)?
            .arg("--")
            .arg(&self.remote.url)
            .arg("+refs/heads/*:refs/hoist/heads/*")
            .arg("+refs/tags/*:refs/hoist/tags/*")
            .run()
    }

    /// The name of the object that was fetched last, or of what it leads to.
    fn incoming(&self, leads_to: &str) -> Result<String, BuildError> {
        let name = format!("{INCOMING}{leads_to}");
        let git = self.git(&["rev-parse", "--verify"]).arg(name);
        let output = self.local(git.output())?;
        Ok(String::from_utf8_lossy(&output).trim().to_owned())
    }

    /// Note that `commit`, which `object` leads to, is here.
    fn keep(&self, commit: &str, object: &str) -> Result<(), BuildError> {
        let name = format!("refs/hoist/{commit}");
        let git = self
            .git(&["update-ref", "--no-deref"])
            .arg(name)
            .arg(object);
        self.local(git.run())
    }
}
