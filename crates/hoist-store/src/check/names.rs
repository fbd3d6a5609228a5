//! Names of images: each a file whose place and content say the same.

use std::path::{Path, PathBuf};

use hoist_core::Digest;

use super::{Check, Finding, Outcome, Part, Remedy, layers::read_exactly};
use crate::{
    drafts::list,
    error::Result,
    names::{Name, is_temporary},
};

impl Check<'_> {
    pub(super) fn names(&mut self) -> Result<()> {
        let names = self.store.layout().names();
        let mut directories = vec![names.clone()];
        let mut files: Vec<PathBuf> = Vec::new();
        while let Some(directory) = directories.pop() {
            for path in list(&directory)? {
                let is_leaf = path
                    .parent()
                    .is_some_and(|above| above.ends_with("_tags") || above.ends_with("_digests"));
                match (is_leaf, path.is_dir()) {
                    (false, true) => directories.push(path),
                    (true, _) if is_temporary(&path) => {}
                    (true, _) => files.push(path),
                    (false, false) => self.stray(&path),
                }
            }
        }
        files.sort();
        self.report.names = files.len();
        for path in files {
            self.name(&names, &path);
        }
        Ok(())
    }

    fn name(&mut self, names: &Path, path: &Path) {
        let name = match read_exactly::<Name>(path) {
            Ok(name) => name,
            Err(problem) => return self.lost_name(names, path, problem),
        };
        if self.store.layout().name(&name.reference).as_deref() != Some(path) {
            let problem = format!("it says that it is {}", name.reference);
            return self.lost_name(names, path, problem);
        }
        let shown = name.reference.familiar();
        match self.store.has_image(&name.image) {
            Ok(true) => {}
            Ok(false) => self.dangling(path, &shown, &name.image),
            Err(error) => {
                let problem = hoist_core::error::chain(&error);
                let finding = Finding::new(Part::Name, shown, path, problem);
                self.report.findings.push(finding);
            }
        }
    }

    /// A name whose image has no record: where the configuration and the layers are here, the record
    /// can be written.
    fn dangling(&mut self, path: &Path, name: &str, id: &Digest) {
        let problem = format!("it means the image {id}, which is not here");
        let finding = Finding::new(Part::Name, name, path, problem).touching(&[*id]);
        let whole = |layer: &Digest| self.store.has_layer(layer).unwrap_or(false);
        match self.config_of(id) {
            Ok((_, image)) if image.rootfs.diff_ids.iter().all(whole) => {
                let record = self.store.layout().image(id);
                self.found(finding.with(Remedy::Mend), |check| {
                    check.write_image(&record, &image)
                });
            }
            // The name stays, so that the next pull or run knows what is missing.
            _ => self.found(finding.with(Remedy::Fetch), |_| Ok(Outcome::Missing)),
        }
    }

    /// A name that says nothing any more: what it was, its place tells.
    fn lost_name(&mut self, names: &Path, path: &Path, problem: String) {
        let below = path.strip_prefix(names).unwrap_or(path);
        let shown = below
            .display()
            .to_string()
            .replace("/_tags/", ":")
            .replace("/_digests/", "@sha256:");
        let shown =
            hoist_core::Reference::parse(&shown).map_or(shown, |reference| reference.familiar());
        let finding = Finding::new(Part::Name, shown, path, problem).with(Remedy::Fetch);
        self.found(finding, |check| check.set_aside(path));
    }
}
