//! Where the cache of this machine meets those of others: an imported record becomes one of its own
//! when its layer is here, and what a build has used goes out again.

use std::collections::BTreeMap;

use hoist_core::Digest;

use super::{Cache, Record};
use crate::exchange::elsewhere::Elsewhere;

impl<'a> Cache<'a> {
    /// The result that `key` has in an imported cache. Its layer comes when something needs it, and
    /// its record becomes one of this machine's with it.
    pub(super) fn imported(&self, key: Digest) -> Option<Record> {
        let exported = self.elsewhere.record(key)?;
        let record = &exported.record;
        if !self.is_allowed(record) {
            return None;
        }
        if self.keep(record) {
            return Some(self.adopt(key, record.clone()));
        }
        let layer = record.layer?;
        self.elsewhere.expect(layer).then(|| record.clone())
    }

    /// An imported record whose layer is here becomes one of this machine's.
    fn adopt(&self, key: Digest, mut record: Record) -> Record {
        if let Some(layer) = record.layer
            && let Ok(layer) = self.store.layer(&layer)
        {
            record.size = layer.size;
        }
        self.write(&record);
        let imported = self.elsewhere.record(key);
        if let Some(files) = imported.and_then(|exported| exported.files.as_ref()) {
            self.write_files(key, files);
        }
        record
    }

    /// These layers of imported records are here now.
    pub(crate) fn arrived(&self, layers: &[Digest]) {
        let mut state = self.state();
        for (key, record) in &mut state.done {
            if record.layer.is_some_and(|layer| layers.contains(&layer))
                && self.elsewhere.record(*key).is_some()
            {
                *record = self.adopt(*key, record.clone());
            }
        }
    }

    /// Forget what this build has found of layers that are not to be had.
    pub(crate) fn forget_lost(&self) {
        let is_lost = |layer| self.elsewhere.is_lost(layer);
        let mut state = self.state();
        state
            .done
            .retain(|_, record| !record.layer.is_some_and(is_lost) || self.has_layer(record));
    }

    /// What this build has done and found, in the order of the keys; of what was copied, under both
    /// keys.
    pub(crate) fn results(&self) -> Vec<Record> {
        let state = self.state();
        let done = state.done.iter();
        let mut results: BTreeMap<Digest, Record> = done
            .filter(|(key, _)| !state.unsound.contains(key))
            .map(|(key, record)| (*key, record.clone()))
            .collect();
        drop(state);
        let others = results.values().filter_map(|record| {
            let other = self.read(record.by_content?)?;
            (other.layer == record.layer).then_some(other)
        });
        let others: Vec<Record> = others.collect();
        for other in others {
            results.entry(other.parts.key()).or_insert(other);
        }
        results.into_values().collect()
    }

    /// Where what is not here may be had.
    pub(crate) const fn elsewhere(&self) -> &'a Elsewhere<'a> {
        self.elsewhere
    }

    /// Why the layer of `record` is not here, when it is not.
    pub(crate) fn why_gone(&self, record: &Record) -> Option<&'static str> {
        if self.has_layer(record) {
            return None;
        }
        Some(match record.layer {
            Some(layer) if self.elsewhere.is_lost(layer) => {
                "the imported cache does not have its layer"
            }
            _ => "its layer is no longer in the store",
        })
    }
}
