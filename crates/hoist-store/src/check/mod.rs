//! Is everything what its digest says, and does everything refer to something that is there?
//!
//! [`Store::check`] looks at blobs first, then at the layers that they are forms of, at images, their
//! manifests and their names: each in the knowledge of what it stands on. No record is trusted. Each
//! is made a second time from what it tells about and compared byte for byte; so a record that was
//! changed to another readable one is found as well.
//!
//! A layer of hoist's own making is right when its deterministic archive has the digest that names
//! it. One that came from elsewhere is unpacked a second time, from its blob, and both trees are
//! compared by their deterministic archives.
//!
//! A repair goes the same way, and mends each thing before it looks at what stands on it. Nothing is
//! deleted: what is wrong moves to `quarantine/`, from where it may be taken back by hand.

mod finding;
mod images;
mod indexed;
mod layers;
mod names;
mod quarantine;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    path::{Path, PathBuf},
};

use hoist_core::{Digest, Digester};

pub use finding::{CheckReport, CheckStep, Depth, Finding, Mode, Outcome, Part, Remedy};

use crate::{
    drafts::{list, sessions},
    error::{Result, StoreError},
    format,
    garbage::sweep_temporary,
    image::ImageRecord,
    layout::{Layout, digest_of_name},
    names::is_temporary,
    repository,
    store::Store,
};

impl Store {
    /// Look at everything in the store. `progress` is told what comes next.
    ///
    /// While it only looks, others may add, and whoever removes waits.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] for a repair; [`StoreError::File`] when a directory of the store
    /// itself cannot be listed. What is wrong with single files is a finding.
    pub fn check(
        &self,
        depth: Depth,
        mode: Mode,
        progress: &mut dyn FnMut(CheckStep),
    ) -> Result<CheckReport> {
        // A repair moves things, and would wait for its own guard.
        let hold = match mode {
            Mode::Look => match self.hold() {
                Err(StoreError::ReadOnly { .. }) => None,
                hold => Some(hold?),
            },
            Mode::Repair => None,
        };
        let mut check = Check {
            store: self,
            depth,
            mode,
            progress,
            report: CheckReport::default(),
            blobs: BTreeMap::new(),
            owners: BTreeMap::new(),
            broken: BTreeSet::new(),
        };
        check.leftovers()?;
        check.owners()?;
        check.blobs()?;
        check.layers()?;
        check.images()?;
        check.manifests()?;
        check.names()?;
        check.unreferenced()?;
        let report = check.report;
        drop(hold);
        if mode == Mode::Repair {
            self.sync()?;
        }
        Ok(report)
    }
}

/// Look at `format.json` of the store at `root`, without which it cannot be opened; a repair writes
/// it anew, as of a store that needs everything that this hoist knows.
///
/// # Errors
/// [`StoreError::File`] when it cannot be read or written; [`StoreError::Newer`].
pub fn check_format(root: &Path, mode: Mode) -> Result<Option<Finding>> {
    let layout = Layout::new(root.to_owned());
    let path = layout.format();
    let Some(problem) = format::problem(&layout)? else {
        return Ok(None);
    };
    let mut finding = Finding::new(Part::Format, "format.json", &path, problem).with(Remedy::Mend);
    if mode == Mode::Repair {
        quarantine::set_aside(&layout, &path)?;
        format::rewrite(&layout)?;
        finding.outcome = Outcome::Mended;
    }
    Ok(Some(finding))
}

/// A check that is under way.
struct Check<'a> {
    store: &'a Store,
    depth: Depth,
    mode: Mode,
    progress: &'a mut dyn FnMut(CheckStep),
    report: CheckReport,
    /// Every blob that is here; with what is wrong with it.
    blobs: BTreeMap<Digest, Option<String>>,
    /// The images that have a layer, as far as their records or configurations say.
    owners: BTreeMap<Digest, Vec<Digest>>,
    /// Layers that are not here, or not what they should be, and could not be mended.
    broken: BTreeSet<Digest>,
}

impl Check<'_> {
    fn step(&mut self, part: Part, number: usize, total: usize) {
        (self.progress)(CheckStep {
            part,
            number: number + 1,
            total,
            bytes: self.report.bytes,
        });
    }

    /// Note a finding. In a repair `mend` does what helps first.
    fn found(&mut self, mut finding: Finding, mend: impl FnOnce(&Self) -> Result<Outcome>) {
        if self.mode == Mode::Repair && finding.remedy != Remedy::ByHand {
            finding.outcome = match mend(self) {
                Ok(outcome) => outcome,
                Err(error) => Outcome::Failed(hoist_core::error::chain(&error)),
            };
        }
        self.report.findings.push(finding);
    }

    /// What is below a directory of the store that has a digest for a name; the rest is found, and
    /// what killed writers left is passed over.
    fn named_by_digest(&mut self, directory: &Path) -> Result<Vec<(Digest, PathBuf)>> {
        let mut named = Vec::new();
        for path in list(directory)? {
            match digest_of_name(&path) {
                Some(digest) => named.push((digest, path)),
                None if is_temporary(&path) => {}
                None => self.stray(&path),
            }
        }
        named.sort();
        Ok(named)
    }

    /// Something that nobody knows.
    fn stray(&mut self, path: &Path) {
        let finding = Finding::new(
            Part::File,
            self.below_root(path),
            path,
            "hoist makes no file of that name here",
        );
        let finding = finding.with(Remedy::SetAside);
        self.found(finding, |check| check.set_aside(path));
    }

    fn below_root(&self, path: &Path) -> String {
        let path = path.strip_prefix(self.store.root()).unwrap_or(path);
        path.display().to_string()
    }

    /// Drafts of the dead and begun downloads.
    fn leftovers(&mut self) -> Result<()> {
        let layout = self.store.layout();
        for path in list(&layout.downloads())? {
            self.report.downloads += std::fs::metadata(&path).map_or(0, |stat| stat.len());
        }
        if self.mode == Mode::Look {
            return Ok(());
        }
        // Before the lock: a session cannot be begun while nobody may add anything.
        self.store.session()?;
        let exclusive = self.store.exclusive()?;
        let dead = sessions(layout)?.dead;
        sweep_temporary(layout)?;
        drop(exclusive);
        self.report.drafts = dead.len();
        for session in dead {
            session.remove()?;
        }
        Ok(())
    }

    /// Who has which layer, by whatever of record and configuration can be read.
    fn owners(&mut self) -> Result<()> {
        for id in self.store.image_ids()? {
            let layers: Vec<Digest> = match ImageRecord::read(self.store, &id) {
                Ok(record) => record.layers.iter().map(|layer| layer.diff_id).collect(),
                Err(_) => match self.config_of(&id) {
                    Ok((_, image)) => image.rootfs.diff_ids,
                    Err(_) => continue,
                },
            };
            for layer in layers {
                let owners = self.owners.entry(layer).or_default();
                if !owners.contains(&id) {
                    owners.push(id);
                }
            }
        }
        Ok(())
    }

    fn owners_of(&self, layer: &Digest) -> Vec<Digest> {
        self.owners.get(layer).cloned().unwrap_or_default()
    }

    fn blobs(&mut self) -> Result<()> {
        let named = self.named_by_digest(&self.store.layout().blobs())?;
        let total = named.len();
        for (number, (digest, path)) in named.into_iter().enumerate() {
            self.step(Part::Blob, number, total);
            let problem = match self.depth {
                Depth::Structure if path.is_file() => None,
                Depth::Structure => Some("it is no file".to_owned()),
                Depth::Content => self.digest_problem(&digest, &path),
            };
            self.blobs.insert(digest, problem);
        }
        self.report.blobs = total;
        Ok(())
    }

    fn digest_problem(&mut self, digest: &Digest, path: &Path) -> Option<String> {
        let mut read = || -> std::io::Result<Digest> {
            let mut file = std::fs::File::open(path)?;
            let mut digester = Digester::new();
            let mut buffer = vec![0; 256 * 1024];
            loop {
                let count = file.read(&mut buffer)?;
                if count == 0 {
                    return Ok(digester.finish());
                }
                digester.update(&buffer[..count]);
                self.report.bytes += count as u64;
            }
        };
        match read() {
            Ok(found) if found == *digest => None,
            Ok(found) => Some(format!("its content has the digest {found}")),
            Err(error) => Some(format!("it cannot be read: {error}")),
        }
    }

    /// What is wrong with a blob that something refers to.
    fn blob_problem(&self, digest: &Digest) -> Option<String> {
        match self.blobs.get(digest) {
            None => Some(format!("its blob {digest} is missing")),
            Some(problem) => problem
                .as_ref()
                .map(|problem| format!("its blob {digest} is damaged: {problem}")),
        }
    }

    /// What the repositories that are served have, and damaged blobs that nothing refers to: nobody
    /// can have told of them.
    fn unreferenced(&mut self) -> Result<()> {
        let served = repository::served(self.store.layout())?;
        for digest in &served {
            if self.blobs.contains_key(digest) {
                continue;
            }
            let path = self.store.layout().blob(digest);
            let problem =
                "it is missing, and a repository of the registry serves it: push it again";
            let finding =
                Finding::new(Part::Blob, digest.to_string(), &path, problem).with(Remedy::Fetch);
            self.found(finding, |_| Ok(Outcome::Missing));
        }
        let mut referenced: BTreeSet<Digest> = self.store.image_ids()?.into_iter().collect();
        for (layer, _) in self.named_by_digest(&self.store.layout().layers())? {
            referenced.extend(crate::blob::forms_of(self.store.layout(), &layer)?);
        }
        for (digest, problem) in std::mem::take(&mut self.blobs) {
            let path = self.store.layout().blob(&digest);
            // What a repair has set aside already is not there.
            if let Some(problem) = problem
                && !referenced.contains(&digest)
                && std::fs::symlink_metadata(&path).is_ok()
            {
                let (problem, remedy) = if served.contains(&digest) {
                    let owner = "a repository of the registry serves it: push it again";
                    (format!("{problem}; {owner}"), Remedy::Fetch)
                } else {
                    (problem, Remedy::SetAside)
                };
                let finding =
                    Finding::new(Part::Blob, digest.to_string(), &path, problem).with(remedy);
                self.found(finding, |check| check.set_aside(&path));
            }
        }
        Ok(())
    }

    /// Move something to `quarantine/`.
    fn set_aside(&self, path: &Path) -> Result<Outcome> {
        let exclusive = self.store.exclusive()?;
        let place = quarantine::set_aside(self.store.layout(), path)?;
        drop(exclusive);
        Ok(place.map_or(Outcome::Missing, Outcome::SetAside))
    }
}
