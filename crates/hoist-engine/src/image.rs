//! Images as the engine sees them: which containers use them, Docker's document about one, and the
//! ways between the store and registries or archives.

mod archive;
mod event;
mod load;
mod parallel;
mod pull;
mod push;
mod save;

pub use event::{ImageEvent, LayerState, Listener};
pub use load::Loaded;
pub use pull::{PullRequest, Pulled};
pub use push::{PushRequest, Pushed};

use std::collections::BTreeMap;

use hoist_core::Digest;
use hoist_store::Removal;
use serde_json::{Value, json};

use crate::{error::EngineError, root::Engine, status::State};

impl Engine {
    /// Remove a name of an image, and the image with its last name. `kept_layers` stay: the build
    /// cache holds them.
    ///
    /// # Errors
    /// When there is no such image, or a container uses it (a stopped one unless `force`).
    pub fn remove_image(
        &self,
        text: &str,
        force: bool,
        kept_layers: &[Digest],
    ) -> Result<Vec<Removal>, EngineError> {
        let users = self.image_users()?;
        let in_use = |id: &Digest| {
            if kept_layers.contains(id) {
                return Some("the build cache".to_owned());
            }
            let (name, running) = users.get(id)?;
            match (running, force) {
                (true, _) => Some(format!("running container {name}")),
                (false, false) => Some(format!("stopped container {name}")),
                (false, true) => None,
            }
        };
        Ok(self.store().remove_image(text, force, &in_use)?)
    }

    /// For each image that containers use: the name of one, and whether one runs.
    pub(crate) fn image_users(&self) -> Result<BTreeMap<Digest, (String, bool)>, EngineError> {
        let mut users: BTreeMap<Digest, (String, bool)> = BTreeMap::new();
        for container in self.containers()? {
            let running = container.status.state == State::Running;
            let user = users
                .entry(container.record.image)
                .or_insert_with(|| (container.record.name.clone(), running));
            if running && !user.1 {
                *user = (container.record.name, true);
            }
        }
        Ok(users)
    }

    /// Docker's document about an image, one element of `docker image inspect`'s list.
    ///
    /// # Errors
    /// When there is no such image.
    pub fn inspect_image(&self, text: &str) -> Result<Value, EngineError> {
        let stored = self.store().image(&self.store().resolve(text)?)?;
        let references = self.store().references(&stored.id)?;
        let tags: Vec<_> = references
            .iter()
            .map(hoist_core::Reference::familiar)
            .collect();
        let digests = self.store().repository_digests(&stored.id)?;
        let digests: Vec<_> = digests
            .iter()
            .map(hoist_core::Reference::familiar)
            .collect();
        let mut places = Vec::new();
        for layer in stored.layers.iter().rev() {
            let place = self.store().layer_place(&layer.diff_id)?;
            places.push(place.display().to_string());
        }
        let image = &stored.image;
        Ok(json!({
            "Id": stored.id,
            "RepoTags": tags,
            "RepoDigests": digests,
            "Parent": "",
            "Comment": image.history.last().and_then(|entry| entry.comment.clone()).unwrap_or_default(),
            "Created": image.created.as_deref().unwrap_or("0001-01-01T00:00:00Z"),
            "Author": image.author.as_deref().unwrap_or_default(),
            "Config": image.config,
            "Architecture": image.platform.architecture,
            "Os": image.platform.os,
            "Size": stored.size,
            "GraphDriver": { "Name": "overlay2", "Data": {
                "LowerDir": places.join(":"),
            }},
            "RootFS": { "Type": "layers", "Layers": image.rootfs.diff_ids },
            "Metadata": { "LastTagTime": "0001-01-01T00:00:00Z" },
        }))
    }
}
