//! One image out of a directory in OCI's layout: what `skopeo copy … oci:DIR` and
//! `hoist build -o type=oci` make, for `--build-context NAME=oci-layout://DIR`.

use std::{path::PathBuf, sync::Arc};

use hoist_core::{Digest, image::Descriptor};
use hoist_registry::Index;

use super::{
    archive::{Archive, malformed},
    event::{ImageEvent, Listener},
    load::oci_images,
    save::{NAME, TAG},
};
use crate::{error::EngineError, root::Engine};

/// An image of a directory in OCI's layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutImage {
    /// The directory.
    pub directory: PathBuf,
    /// The tag that the index has for it; `latest`, or the only image that there is, when absent.
    pub tag: Option<String>,
    /// The digest of its manifest or index.
    pub digest: Option<Digest>,
}

impl Engine {
    /// Bring an image of a layout into the store, without a name: the one for this machine's
    /// platform where there are several. The directory may be hostile.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] when it is no layout, or has no such image; [`EngineError::Store`] for
    /// a layer that is not what its image says.
    pub fn load_layout(&self, image: &LayoutImage) -> Result<Digest, EngineError> {
        let archive = Archive::directory(&image.directory)?;
        let index: Index = archive.document("index.json")?;
        let entry = choose(&index.manifests, image)?;
        let chosen = Index {
            manifests: vec![entry],
            ..index
        };
        let found = oci_images(&archive, &chosen, None, 0)?.into_iter().next();
        let mut found = found.ok_or_else(|| malformed("its index has no image"))?;
        found.names.clear();
        let nobody: Listener = Arc::new(|_: &ImageEvent| {});
        Ok(self.load_image(&archive, found, &nobody)?.id)
    }
}

/// The entry of the index that `image` names.
fn choose(entries: &[Descriptor], image: &LayoutImage) -> Result<Descriptor, EngineError> {
    let tag_of = |entry: &Descriptor| {
        let text = entry.annotations.get(TAG).or(entry.annotations.get(NAME))?;
        // A whole name has its tag behind the last colon.
        let tag = text.rsplit_once(':').map_or(text.as_str(), |(_, tag)| tag);
        Some(tag.to_owned())
    };
    let wanted = image.tag.as_deref().unwrap_or("latest");
    let found = match (&image.digest, entries) {
        (Some(digest), _) => entries.iter().find(|entry| entry.digest == *digest),
        (None, [only]) if image.tag.is_none() => Some(only),
        (None, _) => entries
            .iter()
            .find(|entry| tag_of(entry).as_deref() == Some(wanted)),
    };
    found.cloned().ok_or_else(|| {
        let tags: Vec<String> = entries.iter().filter_map(tag_of).collect();
        let what = match &image.digest {
            Some(digest) => format!("image {digest}"),
            None => format!("image with the tag {wanted}"),
        };
        EngineError::Invalid {
            message: format!("{} has no {what}", image.directory.display()),
            hint: Some(match tags.as_slice() {
                [] => "its images have no tags: name one by its digest, DIR@sha256:…".to_owned(),
                tags => format!("it has the tags {}", tags.join(", ")),
            }),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_chosen_by_tag_by_digest_or_because_it_is_the_only_one() {
        let entry = |name: &str| Descriptor {
            media_type: String::new(),
            digest: Digest::of(name.as_bytes()),
            size: 0,
            platform: None,
            annotations: [(TAG.to_owned(), name.to_owned())].into(),
        };
        let two = [entry("latest"), entry("docker.io/me/app:v2")];
        let image = |tag: Option<&str>, digest| LayoutImage {
            directory: PathBuf::from("/x"),
            tag: tag.map(str::to_owned),
            digest,
        };
        let of = |image: &LayoutImage, entries: &[Descriptor]| {
            choose(entries, image).map(|entry| entry.digest)
        };
        let second = Digest::of(b"docker.io/me/app:v2");
        assert_eq!(of(&image(None, None), &two).unwrap(), Digest::of(b"latest"));
        assert_eq!(of(&image(Some("v2"), None), &two).unwrap(), second);
        assert_eq!(of(&image(None, Some(second)), &two).unwrap(), second);
        assert_eq!(of(&image(None, None), &two[1..]).unwrap(), second);
        let error = of(&image(Some("v3"), None), &two).unwrap_err();
        assert_eq!(error.to_string(), "/x has no image with the tag v3");
    }
}
