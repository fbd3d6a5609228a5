//! Secrets in an image that is about to leave this machine.
//!
//! A build looks through its layers before they exist ([`scan`](super::scan)), and may be told to let
//! a file pass. Sending the image away is another matter: so the layers that were made here are looked
//! through once more before the first push, and what was found is kept with the layer. A large layer in
//! which the build found nothing is noted as such at once.

use std::path::PathBuf;

use hoist_core::{Digest, image::History};
use hoist_engine::Engine;
use hoist_store::{Layer, Store};
use serde::{Deserialize, Serialize};

use super::scan::{Finding, RULES, Scanner};
use crate::{
    error::BuildError,
    tree::{Ownership, Root},
};

/// The name of the note with a layer.
const NOTE: &str = "secrets";

/// A file with a secret in a layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretInImage {
    /// The layer, by its diff id.
    pub layer: Digest,
    /// What made the layer, as the history of the image has it; empty when it does not say.
    pub step: String,
    /// Where, in the image.
    pub path: PathBuf,
    /// What it is: `a private key`, `a file of settings and secrets`.
    pub what: String,
}

/// What was found in a layer.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// By which rules.
    rules: u32,
    found: Vec<Noted>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Noted {
    path: PathBuf,
    what: String,
}

/// Bytes from which on it is worth a note that a new layer holds nothing.
const WORTH: u64 = 1 << 20;

/// Keep with a layer that nothing was found in it while it was made: its first push need not look.
///
/// # Errors
/// [`BuildError::Store`] when the note cannot be written.
pub(crate) fn note_clean(store: &Store, layer: &Layer) -> Result<(), BuildError> {
    if layer.size < WORTH {
        return Ok(());
    }
    let note = Note {
        rules: RULES,
        found: Vec::new(),
    };
    Ok(store.note_layer(&layer.diff_id, NOTE, &note)?)
}

/// The private keys and files of settings in those layers of an image that were made on this
/// machine: built or imported, not pulled. Each layer is read once, ever.
///
/// # Errors
/// [`BuildError::Store`] when there is no such image; [`BuildError::Io`] for a file that cannot be
/// read.
pub fn secrets_in_image(engine: &Engine, image: &Digest) -> Result<Vec<SecretInImage>, BuildError> {
    let store = engine.store();
    let image = store.image(image)?;
    let mut steps = image.image.history.iter().filter(|step| !step.empty_layer);
    let mut secrets = Vec::new();
    for layer in &image.layers {
        let step = steps.next().map(shown).unwrap_or_default();
        if !store.is_made_here(&layer.diff_id)? {
            continue;
        }
        let known = store.layer_note(&layer.diff_id, NOTE)?;
        let note = match known.filter(|note: &Note| note.rules == RULES) {
            Some(note) => note,
            None => {
                let directory = store.open_layer(&layer.diff_id)?;
                let root = Root::new(directory, PathBuf::from("/"), Ownership::Kept);
                let found = Scanner::new(&[]).scan(&root)?;
                let note = Note {
                    rules: RULES,
                    found: found.into_iter().map(Noted::from).collect(),
                };
                store.note_layer(&layer.diff_id, NOTE, &note)?;
                note
            }
        };
        secrets.extend(note.found.into_iter().map(|found| SecretInImage {
            layer: layer.diff_id,
            step: step.clone(),
            path: found.path,
            what: found.what,
        }));
    }
    Ok(secrets)
}

/// The step without the words that every step of a kind begins with.
fn shown(step: &History) -> String {
    let text = step.created_by.as_deref().unwrap_or_default();
    let text = text.strip_prefix("/bin/sh -c #(nop) ").unwrap_or(text);
    text.strip_suffix(" # buildkit")
        .unwrap_or(text)
        .trim()
        .to_owned()
}

impl From<Finding> for Noted {
    fn from(finding: Finding) -> Self {
        Self {
            what: finding.what.to_string(),
            path: finding.path,
        }
    }
}
