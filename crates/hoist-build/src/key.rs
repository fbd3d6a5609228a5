//! Cache keys: records of named parts, hashed.
//!
//! The parts are stored beside the result, so that a step that is not cached can say which part
//! has changed since the last build ([`explain`](crate::explain)).

use hoist_core::{Digest, Digester};
use serde::{Deserialize, Serialize};

/// Raised when the meaning of the parts, or what a step does with them, changes.
const GENERATION: &[u8] = b"hoist build key 1";

/// One thing that enters a step: what it is called, and its value or the digest of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Everything that enters a step, in a fixed order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Parts(Vec<Part>);

impl Parts {
    /// No parts yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Add the part `name`.
    pub(crate) fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push(Part {
            name: name.into(),
            value: value.into(),
        });
    }

    /// The value of the part `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let part = self.0.iter().find(|part| part.name == name)?;
        Some(&part.value)
    }

    /// The parts in their order.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Part> {
        self.0.iter()
    }

    /// The key: the digest of all names and values. Each is preceded by its length, so that no
    /// two different records are hashed as the same bytes.
    pub(crate) fn key(&self) -> Digest {
        let mut digester = Digester::new();
        digester.update(GENERATION);
        for part in &self.0 {
            for text in [&part.name, &part.value] {
                digester.update(&(text.len() as u64).to_le_bytes());
                digester.update(text.as_bytes());
            }
        }
        digester.finish()
    }
}

/// The digest that stands for a stack of layers in keys, lowest first.
pub(crate) fn chain(layers: &[Digest]) -> Digest {
    let mut digester = Digester::new();
    for layer in layers {
        digester.update(layer.as_raw());
    }
    digester.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(pairs: &[(String, String)]) -> Parts {
        let mut parts = Parts::new();
        for (name, value) in pairs {
            parts.push(name, value);
        }
        parts
    }

    proptest! {
        #[test]
        fn different_records_have_different_keys(
            a in prop::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..4),
            b in prop::collection::vec(("[ab]{0,2}", "[ab]{0,2}"), 0..4),
        ) {
            prop_assert_eq!(a == b, parts(&a).key() == parts(&b).key());
        }
    }

    #[test]
    fn a_key_and_its_stored_form_stay_as_they_are() {
        let mut parts = Parts::new();
        parts.push("instruction", "RUN /bin/sh -c true");
        parts.push("parent", chain(&[]).to_string());
        insta::assert_snapshot!(parts.key(), @"sha256:b18363d51c959728b500cb71728124afca19f554af1e301c23e3eacef5e613e8");
        insta::assert_snapshot!(serde_json::to_string(&parts).unwrap(), @r#"[{"name":"instruction","value":"RUN /bin/sh -c true"},{"name":"parent","value":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]"#);
        assert_eq!(parts.get("instruction"), Some("RUN /bin/sh -c true"));
        assert_eq!(parts.get("network"), None);
    }
}
