//! What is used: images and layers that containers and mounts stand on, and that nothing may take
//! from them.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use hoist_core::{Describe as _, Digest, Kind, mount::MountKind};
use hoist_store::{Freed, ImageUser, Removal};

use crate::{container::Container, error::EngineError, root::Engine, status::State};

/// What is used, and by whom.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uses {
    images: BTreeMap<Digest, Vec<ImageUser>>,
    /// Layers of containers, also of those whose image was removed by force.
    layers: BTreeSet<Digest>,
}

impl Uses {
    /// Who uses an image, the busy ones first.
    pub(crate) fn of(&self, image: &Digest) -> &[ImageUser] {
        self.images.get(image).map_or(&[], Vec::as_slice)
    }

    /// Whether anybody uses the image.
    pub(crate) fn has(&self, image: &Digest) -> bool {
        self.images.contains_key(image)
    }

    /// The same when these containers are gone.
    pub(crate) fn without_containers(&mut self, gone: &[Container]) {
        for container in gone {
            let words = container_words(container);
            self.images.retain(|_, users| {
                users.retain(|user| user.words != words);
                !users.is_empty()
            });
        }
    }

    fn add(&mut self, image: Digest, user: ImageUser) {
        let users = self.images.entry(image).or_default();
        users.push(user);
        users.sort_by_key(|user| !user.is_busy);
    }
}

fn container_words(container: &Container) -> String {
    let state = match container.status.state {
        State::Running => "running",
        _ => "stopped",
    };
    format!("{state} container {}", container.record.name)
}

impl Engine {
    /// What containers and mounts use now.
    pub(crate) fn uses(&self) -> Result<Uses, EngineError> {
        let mut uses = Uses::default();
        for container in self.containers()? {
            let user = ImageUser {
                words: container_words(&container),
                is_busy: container.status.state == State::Running,
            };
            let record = container.record;
            uses.layers.extend(&record.layers);
            for mount in &record.mounts {
                if let MountKind::Image {
                    image: Some(image),
                    layers,
                    ..
                } = &mount.request.kind
                {
                    uses.layers.extend(layers);
                    uses.add(*image, user.clone());
                }
            }
            uses.add(record.image, user);
        }
        for mount in self.image_mounts()? {
            uses.layers.extend(self.layers_of(&mount.image));
            let user = ImageUser {
                words: format!("the mount at {}", mount.target.display()),
                is_busy: true,
            };
            uses.add(mount.image, user);
        }
        Ok(uses)
    }

    fn layers_of(&self, image: &Digest) -> Vec<Digest> {
        let stored = self.store().image(image);
        stored.map_or_else(|_| Vec::new(), |stored| stored.image.rootfs.diff_ids)
    }

    /// Remove a name of an image, and the image with its last name. `kept_layers` stay: the build
    /// cache holds them. So do the layers of containers, also when their image goes by `force`.
    ///
    /// # Errors
    /// When there is no such image, or a container uses it (a stopped one unless `force`).
    pub fn remove_image(
        &self,
        text: &str,
        force: bool,
        kept_layers: &[Digest],
    ) -> Result<Vec<Removal>, EngineError> {
        self.remove_unless(text, force, kept_layers, &|user| user.is_busy || !force)
    }

    /// Remove an image with all its names, if nobody uses it at all; nothing otherwise.
    pub(crate) fn remove_unused(
        &self,
        id: &str,
        kept_layers: &[Digest],
    ) -> Result<Vec<Removal>, EngineError> {
        match self.remove_unless(id, true, kept_layers, &|_| true) {
            // Somebody came, or was faster, since the image was chosen.
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Conflict) => Ok(Vec::new()),
            removed => removed,
        }
    }

    /// Remove an image, unless it has a user that counts.
    fn remove_unless(
        &self,
        text: &str,
        force: bool,
        kept_layers: &[Digest],
        counts: &dyn Fn(&ImageUser) -> bool,
    ) -> Result<Vec<Removal>, EngineError> {
        let somebody = |words: &str| ImageUser {
            words: words.to_owned(),
            is_busy: true,
        };
        // Found out when the store asks, which is while nobody can begin a use.
        let uses: RefCell<Option<Result<Uses, EngineError>>> = RefCell::default();
        let in_use = |id: &Digest| {
            let mut uses = uses.borrow_mut();
            let Ok(uses) = uses.get_or_insert_with(|| self.uses()) else {
                return Some(somebody("a container that cannot be read"));
            };
            let user = uses.of(id).first().filter(|user| counts(user));
            let user = user.map(|user| ImageUser {
                // Whoever counts is one that nothing is taken from.
                is_busy: user.is_busy || force,
                ..user.clone()
            });
            let is_needed = kept_layers.contains(id) || uses.layers.contains(id);
            user.or_else(|| is_needed.then(|| somebody("what else needs it")))
        };
        let removed = self.store().remove_image(text, force, &in_use);
        match uses.into_inner() {
            Some(Err(error)) => Err(error),
            _ => Ok(removed?),
        }
    }

    /// Sweep what nothing needs: layers that no image, no container and none of `kept_layers` is,
    /// and what crashes and interrupted downloads left. Images stay, with and without a name.
    ///
    /// # Errors
    /// When a container cannot be read: then nothing is swept.
    pub fn collect_garbage(&self, kept_layers: &[Digest]) -> Result<Freed, EngineError> {
        let sweep = self.store().begin_sweep()?;
        let uses = self.uses()?;
        let images = self.store().images()?;
        let images: Vec<Digest> = images.iter().map(|image| image.id).collect();
        let layers: Vec<Digest> = kept_layers.iter().copied().chain(uses.layers).collect();
        Ok(sweep.collect(&images, &layers)?)
    }
}
