//! Images as the engine sees them: who uses them, Docker's document about one, what is in them, and the
//! ways between the store and registries or archives.

mod annotate;
mod archive;
mod diff;
mod event;
mod gc;
mod layer;
mod layers;
mod layout;
mod load;
mod manifest_list;
mod mount;
pub(crate) mod parallel;
mod pull;
mod push;
mod save;
mod uses;
mod waste;

pub use diff::{Aspect, Difference, FieldChange, FileChange, Times};
pub use event::{ImageEvent, LayerState, Listener};
pub use gc::{GcPolicy, GcReport};
pub use layers::{ChangeKind, LayerReport, LayersReport, PathChange};
pub use layout::LayoutImage;
pub use load::Loaded;
pub use manifest_list::{ListEntry, ListedPlatform, ManifestList, PushedList};
pub use mount::ImageMount;
pub use pull::{PullRequest, Pulled};
pub use push::{PushRequest, Pushed};
pub(crate) use uses::Uses;
pub use waste::{Hidden, hidden};

pub(crate) use layer::Wanted;
pub(crate) use push::{descriptor, manifest};
pub(crate) use save::{MEDIA_TYPE_INDEX, TAG};

use hoist_core::Platform;
use serde_json::{Value, json};

use crate::{error::EngineError, root::Engine};

impl Engine {
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

/// Whether an image is of the platform that was asked for, if one was.
///
/// # Errors
/// [`EngineError::Unsupported`] in Docker's words when it is of another one.
pub fn fits_platform(
    name: &str,
    found: &Platform,
    wanted: Option<&Platform>,
) -> Result<(), EngineError> {
    let Some(wanted) = wanted else {
        return Ok(());
    };
    if found.os == wanted.os && found.architecture == wanted.architecture {
        return Ok(());
    }
    Err(EngineError::Unsupported {
        message: format!(
            "image with reference {name} was found but its platform ({found}) does not match the specified platform ({wanted})"
        ),
        hint: Some(format!("leave out --platform, or say --platform {found}")),
    })
}
