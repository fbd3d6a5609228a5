//! Removing an image, as `docker rmi` does.

use std::collections::BTreeSet;

use hoist_core::{Digest, Reference};
use hoist_sys::tree;

use crate::{
    blob::forms_of,
    drafts::sessions,
    error::{Force, Result, StoreError},
    image::ImageRecord,
    names::Meaning,
    repository,
    store::Store,
};

/// One line of what a removal did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// A name was taken away.
    Untagged(Reference),
    /// An image was deleted.
    Deleted(Digest),
    /// A layer that no other image has was deleted.
    DeletedLayer(Digest),
}

/// Somebody who uses an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUser {
    /// In words: `running container web`.
    pub words: String,
    /// It cannot do without, so that force does not help.
    pub is_busy: bool,
}

impl Store {
    /// Remove the name or the image that `text` means, with the layers that nothing else has.
    ///
    /// A name of an image that has others is only taken away. With its last name the image goes.
    /// An id removes the image with its name; where it has several names, only with `force`.
    ///
    /// `in_use` is asked for the image, while nobody can begin to use it. An image in use keeps its
    /// content in any case; with `force` it loses its names, unless its user is busy. It is also
    /// asked for each layer that would go: any answer keeps the layer, for instance in the build
    /// cache.
    ///
    /// # Errors
    /// [`StoreError::InUse`] in Docker's words; as [`resolve`](Self::resolve).
    pub fn remove_image(
        &self,
        text: &str,
        force: bool,
        in_use: &dyn Fn(&Digest) -> Option<ImageUser>,
    ) -> Result<Vec<Removal>> {
        // Before the lock: a session cannot be begun while nobody may add anything.
        let session = self.session()?;
        let exclusive = self.exclusive()?;
        let meaning = self.meaning(text)?;
        let id = meaning.id();
        let names = self.references(&id)?;
        let user = in_use(&id);
        let (untag, delete) = decide(&meaning, names, user.as_ref(), force)?;
        let mut removals = Vec::new();
        for reference in untag {
            self.remove_name(&reference)?;
            removals.push(Removal::Untagged(reference));
        }
        if !delete {
            return Ok(removals);
        }
        let layers = self.delete_image(&id)?;
        removals.push(Removal::Deleted(id));
        let mut aside = Vec::new();
        for diff_id in layers {
            if in_use(&diff_id).is_some() {
                continue;
            }
            let path = session.free_path();
            if self.set_layer_aside(&diff_id, &path)? {
                removals.push(Removal::DeletedLayer(diff_id));
                aside.push(path);
            }
        }
        drop(exclusive);
        for path in aside {
            tree::remove(&path).map_err(StoreError::file("remove", &path))?;
        }
        Ok(removals)
    }

    /// Delete the record and the configuration of an image; returns the layers that nobody has
    /// any more, the topmost first.
    pub(crate) fn delete_image(&self, id: &Digest) -> Result<Vec<Digest>> {
        let record = ImageRecord::read(self, id);
        remove_file(&self.layout().image(id))?;
        remove_file(&self.layout().manifest(id))?;
        self.remove_blobs(&[*id])?;
        // A record that cannot be read names no layers; the next collection finds them.
        let Ok(record) = record else {
            return Ok(Vec::new());
        };
        let mut kept: BTreeSet<Digest> = sessions(self.layout())?.kept.into_iter().collect();
        for (_, other) in self.image_records()? {
            kept.extend(other.layers.iter().map(|layer| layer.diff_id));
        }
        let mut orphans = Vec::new();
        for layer in record.layers.iter().rev() {
            if kept.insert(layer.diff_id) {
                orphans.push(layer.diff_id);
            }
        }
        Ok(orphans)
    }

    /// Move a layer out of the way to `path`, where it is removed later, and remove its blobs; false
    /// when it is gone.
    pub(crate) fn set_layer_aside(&self, diff_id: &Digest, path: &std::path::Path) -> Result<bool> {
        let place = self.layout().layer(diff_id);
        let forms = forms_of(self.layout(), diff_id)?;
        match std::fs::rename(&place, path) {
            Ok(()) => {
                self.remove_blobs(&forms)?;
                Ok(true)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreError::file("remove", &place)(error)),
        }
    }

    /// Remove blobs that no image needs any more, except those that a repository serves.
    fn remove_blobs(&self, blobs: &[Digest]) -> Result<()> {
        let served = repository::served(self.layout())?;
        for blob in blobs.iter().filter(|blob| !served.contains(blob)) {
            remove_file(&self.layout().blob(blob))?;
        }
        Ok(())
    }
}

/// Remove a file; one that is not there is fine.
pub(crate) fn remove_file(path: &std::path::Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(StoreError::file("remove", path)),
    }
}

/// Which names go, and whether the image goes with them.
fn decide(
    meaning: &Meaning,
    names: Vec<Reference>,
    user: Option<&ImageUser>,
    force: bool,
) -> Result<(Vec<Reference>, bool)> {
    let id = meaning.id();
    if let Meaning::Name(name, _) = meaning {
        let (own, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|other| other == name);
        let pinned = |other: &Reference| {
            name.tag().is_some() && other.tag().is_none() && same_repository(name, other)
        };
        if !others.iter().all(pinned) {
            return Ok((own, false));
        }
        // With the last tag of a repository go the digests that it was pulled by.
        let last = [own, others].concat();
        return match user {
            Some(user) if !force => Err(StoreError::InUse {
                what: format!("remove repository reference {:?}", name.familiar()),
                force: Force::Needed,
                reason: format!(
                    "{} is using its referenced image {}",
                    user.words,
                    id.short()
                ),
            }),
            user => Ok((last, user.is_none())),
        };
    }
    let refused = |force, reason| {
        Err(StoreError::InUse {
            what: format!("delete {}", id.short()),
            force,
            reason,
        })
    };
    let tags = names.iter().filter(|name| name.tag().is_some()).count();
    let one_repository = names
        .windows(2)
        .all(|two| same_repository(&two[0], &two[1]));
    if let Some(user) = user {
        // What a container needs is never taken from it: force takes the names only.
        if user.is_busy || names.is_empty() {
            let reason = format!("image is being used by {}", user.words);
            return refused(Force::Useless, reason);
        }
        if !force {
            let reason = format!("image is being used by {}", user.words);
            return refused(Force::Needed, reason);
        }
    }
    if !force && (tags > 1 || !one_repository) {
        let reason = "image is referenced in multiple repositories".to_owned();
        return refused(Force::Needed, reason);
    }
    Ok((names, user.is_none()))
}

fn same_repository(one: &Reference, other: &Reference) -> bool {
    (one.domain(), one.path()) == (other.domain(), other.path())
}
