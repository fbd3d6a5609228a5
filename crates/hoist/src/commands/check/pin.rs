//! The digests that `check --fix` writes behind the names of base images: those that the images had
//! when they were pulled, else those that the registries know now.

use hoist_core::{Describe as _, Digest, Reference, error::chain};
use hoist_dockerfile::lint::Unpinned;
use hoist_registry::Registry;
use hoist_store::Store;

use crate::{
    commands::pull,
    error::CliError,
    ui::{
        self,
        transfer::{Stream, Transfer},
    },
};

/// Finds digests, and remembers which it did not find.
pub(super) struct Pins<'a> {
    store: Option<&'a Store>,
    /// Made for the first image that the store does not know.
    registry: Option<Result<Registry, String>>,
    /// Images that stay as they are, and why.
    open: Vec<(Reference, String)>,
}

impl<'a> Pins<'a> {
    pub(super) fn new(store: Option<&'a Store>) -> Self {
        Self {
            store,
            registry: None,
            open: Vec::new(),
        }
    }

    /// The digest to pin `image` to.
    pub(super) fn digest(&mut self, image: &Unpinned) -> Option<Digest> {
        let reference = &image.reference;
        if image.is_composed {
            let why = "its name has variables: write the digest where they get their values";
            self.open.push((reference.clone(), why.to_owned()));
            return None;
        }
        let here = self
            .store
            .and_then(|store| store.registry_digest(reference).ok().flatten());
        if here.is_some() {
            return here;
        }
        let registry = self.registry.get_or_insert_with(|| {
            pull::registry(&Transfer::on(Stream::Nowhere)).map_err(|error| why(&error))
        });
        let asked = match registry {
            Ok(registry) => registry.digest(reference).map_err(|error| {
                let hints = error.hints();
                let hint = hints.first().map(|hint| format!(" ({hint})"));
                chain(&error) + &hint.unwrap_or_default()
            }),
            Err(why) => Err(why.clone()),
        };
        match asked {
            Ok(digest) => Some(digest),
            Err(why) => {
                self.open.push((reference.clone(), why));
                None
            }
        }
    }

    /// Say what was left as it is.
    pub(super) fn tell(&self) {
        for (reference, why) in &self.open {
            ui::note(&format!(
                "{} is not pinned to a digest: {why}",
                reference.familiar()
            ));
        }
    }
}

fn why(error: &CliError) -> String {
    error.text("").trim().trim_start_matches(": ").to_owned()
}
