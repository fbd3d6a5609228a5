//! What of the repositories a collection keeps, and what goes with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use hoist_core::Digest;

use super::{
    BLOBS, LOCK, MANIFESTS, Manifest, REFERRERS, RELEASED, TAGS, UPLOADS, digests_in, modified,
    repositories,
    upload::{is_over, remove_if, uploads},
};
use crate::{
    drafts::list,
    error::{Result, StoreError},
    layout::Layout,
    names::is_temporary,
    remove::remove_file,
    store::read_record,
};

/// How long a blob waits for a manifest that names it.
const WAITING: Duration = Duration::from_secs(24 * 60 * 60);

/// All blobs and manifests that repositories have.
pub(crate) fn served(layout: &Layout) -> Result<BTreeSet<Digest>> {
    let mut served = BTreeSet::new();
    for (_, directory) in repositories(layout)? {
        served.extend(digests_in(&directory.join(BLOBS))?);
        served.extend(digests_in(&directory.join(MANIFESTS))?);
    }
    Ok(served)
}

/// What a collection does with the repositories. Nobody may add anything from the plan until it is
/// carried out.
#[derive(Debug, Default)]
pub(crate) struct Tidying {
    /// The blobs that are needed.
    pub(crate) kept: BTreeSet<Digest>,
    files: Vec<PathBuf>,
    uploads: Vec<PathBuf>,
    repositories: Vec<PathBuf>,
    root: PathBuf,
}

impl Tidying {
    /// Find out what is needed. The store lock must be held exclusively.
    pub(crate) fn plan(layout: &Layout) -> Result<Self> {
        let mut plan = Self {
            uploads: uploads(layout, is_over)?,
            root: layout.registry(),
            ..Self::default()
        };
        for (_, directory) in repositories(layout)? {
            plan.look_at(&directory)?;
            plan.repositories.push(directory);
        }
        Ok(plan)
    }

    fn look_at(&mut self, repository: &Path) -> Result<()> {
        let manifests = read_manifests(&repository.join(MANIFESTS))?;
        let needed = needed(&manifests, &tagged(&repository.join(TAGS))?);
        let mut blobs: BTreeSet<Digest> = BTreeSet::new();
        for (digest, (path, manifest)) in &manifests {
            if needed.contains(digest) {
                self.kept.insert(*digest);
                blobs.extend(&manifest.blobs);
                continue;
            }
            self.files.push(path.clone());
            if let Some(subject) = &manifest.subject {
                let about = repository.join(REFERRERS).join(subject.hex());
                self.files
                    .push(about.join(format!("{}.json", digest.hex())));
            }
        }
        let now = SystemTime::now();
        for path in list(&repository.join(BLOBS))? {
            let Some(digest) = crate::layout::digest_of_name(&path) else {
                continue;
            };
            let age = now.duration_since(modified(&path));
            if blobs.contains(&digest) || age.is_ok_and(|age| age < WAITING) {
                self.kept.insert(digest);
            } else {
                self.files.push(path);
            }
        }
        Ok(())
    }

    /// Remove what is not needed: files of repositories, uploads that nobody goes on with,
    /// repositories in which nothing is left. The blobs themselves are the caller's.
    pub(crate) fn carry_out(&self) -> Result<()> {
        for path in &self.files {
            remove_file(path)?;
        }
        for directory in &self.uploads {
            remove_if(directory, is_over)?;
        }
        for repository in &self.repositories {
            self.remove_empty(repository)?;
        }
        Ok(())
    }

    /// Remove the directories of a repository that are empty, and those above it.
    fn remove_empty(&self, repository: &Path) -> Result<()> {
        for subject in list(&repository.join(REFERRERS))? {
            remove_directory(&subject)?;
        }
        let mut is_empty = true;
        for kind in [REFERRERS, UPLOADS, TAGS, MANIFESTS, BLOBS] {
            is_empty &= remove_directory(&repository.join(kind))?;
        }
        if !is_empty {
            return Ok(());
        }
        remove_file(&repository.join(LOCK))?;
        let mut next = Some(repository);
        while let Some(directory) = next.filter(|directory| *directory != self.root)
            && remove_directory(directory)?
        {
            next = directory.parent();
        }
        Ok(())
    }
}

type Manifests = BTreeMap<Digest, (PathBuf, Manifest)>;

fn read_manifests(directory: &Path) -> Result<Manifests> {
    let mut manifests = Manifests::new();
    for path in list(directory)? {
        if let Some(digest) = crate::layout::digest_of_name(&path) {
            let manifest = read_record(&path)?;
            manifests.insert(digest, (path, manifest));
        }
    }
    Ok(manifests)
}

/// The manifests that tags mean.
fn tagged(directory: &Path) -> Result<BTreeSet<Digest>> {
    let tags = list(directory)?;
    let tags = tags.iter().filter(|path| !is_temporary(path));
    tags.map(|path| read_record(path)).collect()
}

/// The manifests that stay: those with a tag, those that no deletion has released, and what these
/// list.
fn needed(manifests: &Manifests, tagged: &BTreeSet<Digest>) -> BTreeSet<Digest> {
    let mut needed = BTreeSet::new();
    let mut next: Vec<Digest> = manifests
        .iter()
        .filter(|(digest, (path, _))| tagged.contains(digest) || modified(path) != RELEASED)
        .map(|(digest, _)| *digest)
        .collect();
    while let Some(digest) = next.pop() {
        if let Some((_, manifest)) = manifests.get(&digest)
            && needed.insert(digest)
        {
            next.extend(&manifest.manifests);
        }
    }
    needed
}

/// Remove a directory unless there is something in it; whether it is gone.
fn remove_directory(path: &Path) -> Result<bool> {
    use std::io::ErrorKind;
    match std::fs::remove_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(error) => Err(StoreError::file("remove", path)(error)),
    }
}
