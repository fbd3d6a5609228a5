//! The cache of a build on its way out.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    sync::atomic::{AtomicBool, Ordering},
};

use hoist_core::{
    Digest, Digester,
    error::chain,
    image::{Descriptor, Image},
};
use hoist_engine::artifact::{AbsentLayer, Artifact, LayerForm, Outgoing, Placed, publish};
use serde::Serialize;

use super::{
    CacheExport, CacheMode, CacheTarget,
    document::{Document, Exported, MEDIA_TYPE, MountLayer},
    elsewhere::warning,
};
use crate::{
    cache::Record,
    error::BuildError,
    execute::{StageResult, Worker, check},
    plan::Base,
    task::Task,
};

/// Bytes of file lists that a document has room for.
const MOST_FILES: usize = 4 << 20;

/// Everything that one export consists of.
#[derive(Default)]
struct Parcel<'a> {
    document: Document,
    /// By diff id: the layers that are here.
    own: BTreeMap<Digest, Outgoing<'a>>,
    /// Those that another cache has, and that were never fetched.
    passed_on: BTreeMap<Digest, Outgoing<'a>>,
}

impl Worker<'_> {
    /// Export the cache of this build, whose image is `result`, to every place of `exports`.
    ///
    /// # Errors
    /// [`BuildError::CacheExport`] for a place that must not fail.
    pub(crate) fn send_caches(
        &self,
        exports: &[CacheExport],
        result: &StageResult,
        cancelled: &AtomicBool,
    ) -> Result<(), BuildError> {
        for export in exports {
            let CacheTarget::Artifact(artifact) = &export.to else {
                continue;
            };
            let name = artifact.name();
            let task = self.tasks.begin(&format!("exporting cache to {name}"));
            let sent = self.send_cache(export, &**artifact, result, (cancelled, &task));
            let error = match sent {
                Ok(()) => {
                    task.done();
                    continue;
                }
                // What stopped it is the interruption, however it says so.
                Err(_) if cancelled.load(Ordering::Relaxed) => BuildError::Cancelled,
                Err(error) => error,
            };
            let why = chain(&error);
            task.failed(&why);
            if matches!(error, BuildError::Cancelled) {
                return Err(error);
            }
            if !export.ignores_errors {
                return Err(BuildError::CacheExport {
                    target: name,
                    source: Box::new(error),
                });
            }
            self.emit(warning(&format!(
                "the cache was not exported to {name}: {why}"
            )));
        }
        Ok(())
    }

    fn send_cache(
        &self,
        export: &CacheExport,
        artifact: &dyn Artifact,
        result: &StageResult,
        (cancelled, task): (&AtomicBool, &Task<'_>),
    ) -> Result<(), BuildError> {
        task.note("preparing build cache for export");
        let mut parcel = Parcel {
            document: Document {
                records: self.records(task),
                trail: self.trail.marks(),
                ..Document::default()
            },
            ..Parcel::default()
        };
        let records = parcel.document.records.iter();
        let made: BTreeSet<Digest> = records
            .filter_map(|exported| exported.record.layer)
            .filter(|layer| export.mode == CacheMode::Max || result.layers.contains(layer))
            .collect();
        for layer in made {
            check(cancelled)?;
            self.add_layer(layer, export.form, &mut parcel)?;
        }
        for id in self.mounts_to_export(&export.mounts) {
            let diff_id = self.add_mount(&id, export.form, (cancelled, task), &mut parcel)?;
            let mounts = &mut parcel.document.mounts;
            mounts.extend(diff_id.map(|diff_id| MountLayer { id, diff_id }));
        }
        self.send_parcel(artifact, parcel, (cancelled, task))
    }

    fn send_parcel(
        &self,
        artifact: &dyn Artifact,
        parcel: Parcel<'_>,
        (cancelled, task): (&AtomicBool, &Task<'_>),
    ) -> Result<(), BuildError> {
        let told = |blob: &Descriptor, placed| {
            let how = match placed {
                Placed::Before => "is there already",
                Placed::Now => "done",
            };
            task.note(&format!("writing layer {} {how}", blob.digest));
        };
        let Parcel {
            mut document,
            own,
            passed_on,
        } = parcel;
        let (diff_ids, blobs): (Vec<_>, Vec<_>) = own.into_iter().unzip();
        self.engine.put_blobs(artifact, &blobs, cancelled, &told)?;
        let mut layers: BTreeMap<Digest, Descriptor> = diff_ids
            .into_iter()
            .zip(blobs.into_iter().map(|outgoing| outgoing.blob))
            .collect();
        let (diff_ids, blobs): (Vec<_>, Vec<_>) = passed_on.into_iter().unzip();
        let failures = self
            .engine
            .offer_blobs(artifact, &blobs, cancelled, &told)?;
        for (digest, error) in &failures {
            let why = chain(error);
            task.note(&format!("layer {digest} is left out: {why}"));
        }
        let is_there =
            |blob: &Descriptor| failures.iter().all(|(failed, _)| *failed != blob.digest);
        let blobs = blobs.into_iter().map(|outgoing| outgoing.blob);
        layers.extend(
            diff_ids
                .into_iter()
                .zip(blobs)
                .filter(|(_, blob)| is_there(blob)),
        );
        let mounts = &mut document.mounts;
        mounts.retain(|mount| layers.contains_key(&mount.diff_id));
        let (diff_ids, layers) = layers.into_iter().unzip();
        document.diff_ids = diff_ids;
        let config = serde_json::to_vec(&document).map_err(|error| BuildError::Io {
            action: "write",
            path: "the document of the cache".into(),
            source: error.into(),
        })?;
        task.note(&format!("writing config {}", Digest::of(&config)));
        let manifest = publish(artifact, MEDIA_TYPE, &config, layers)?;
        task.note(&format!("writing cache manifest {manifest}"));
        Ok(())
    }

    /// The records of this build, in the order of their keys. One that has the value of a secret in
    /// it stays here.
    fn records(&self, task: &Task<'_>) -> Vec<Exported> {
        let mut room = MOST_FILES;
        let mut told = 0;
        let mut records = Vec::new();
        for record in self.cache.results() {
            if self.tells(&record) {
                told += 1;
                continue;
            }
            let files = self.cache.read_files(record.parts.key());
            let files = files.filter(|text| text.len() <= room);
            room -= files.as_ref().map_or(0, String::len);
            records.push(Exported { record, files });
        }
        if told > 0 {
            task.note(&format!(
                "{told} steps are left out: the value of a secret is in what they are known by"
            ));
        }
        records
    }

    /// True when the value of a secret is in what a step is known by.
    fn tells(&self, record: &Record) -> bool {
        let mut parts = record.parts.iter();
        parts.any(|part| self.trust.is_told_by(&part.name) || self.trust.is_told_by(&part.value))
    }

    /// A layer as it goes out: from the store, or from the cache that it was never fetched from. One
    /// that is nowhere is left out.
    fn add_layer<'b>(
        &'b self,
        diff_id: Digest,
        form: LayerForm,
        parcel: &mut Parcel<'b>,
    ) -> Result<(), BuildError> {
        if self.engine.store().keep_layer(&diff_id).is_err() {
            let absent = self.elsewhere.blobs(diff_id).next();
            let passed_on = absent.map(|absent| (diff_id, passed_on(absent)));
            parcel.passed_on.extend(passed_on);
            return Ok(());
        }
        let blob = self.engine.layer_descriptor(&diff_id, form)?;
        let described = blob.clone();
        let open = move || {
            let opened = self.engine.open_layer(&diff_id, &described);
            opened.map_err(io::Error::other)
        };
        let open = Box::new(open);
        parcel.own.insert(diff_id, Outgoing { blob, open });
        Ok(())
    }

    /// A cache mount as it goes out; the digest of its archive. `None` for one that is nowhere, or
    /// stays here.
    fn add_mount(
        &self,
        id: &str,
        form: LayerForm,
        (cancelled, task): (&AtomicBool, &Task<'_>),
        parcel: &mut Parcel<'_>,
    ) -> Result<Option<Digest>, BuildError> {
        if !self.has_mount(id) {
            let Some(absent) = self.elsewhere.mounts(id).next() else {
                return Ok(None);
            };
            let diff_id = absent.diff_id;
            parcel.passed_on.insert(diff_id, passed_on(absent));
            return Ok(Some(diff_id));
        }
        task.note(&format!("archiving cache mount {id}"));
        let archived = self.archive_mount(id, form, cancelled)?;
        Ok(archived.map(|(diff_id, outgoing)| {
            parcel.own.insert(diff_id, outgoing);
            diff_id
        }))
    }

    /// The document that goes into the configuration of the image: the records of the steps whose
    /// layers it has.
    pub(crate) fn inline_document(&self, result: &StageResult) -> Document {
        let stages = self.stages_of_image();
        let trail = self.trail.marks();
        let trail: Vec<_> = trail
            .into_iter()
            .filter(|mark| stages.contains(&mark.position().0))
            .collect();
        let records = self.cache.results().into_iter().filter(|record| {
            let key = record.parts.key();
            let is_of_image = match record.layer {
                Some(layer) => result.layers.contains(&layer),
                None => trail.iter().any(|mark| mark.key == key),
            };
            is_of_image && !self.tells(record)
        });
        Document {
            records: records
                .map(|record| Exported {
                    record,
                    files: None,
                })
                .collect(),
            trail,
            ..Document::default()
        }
    }

    /// The numbers of the stages that the image is made of: the target and those below it.
    fn stages_of_image(&self) -> Vec<usize> {
        let mut stage = self.plan.target();
        let mut numbers = vec![stage.number];
        while let Base::Stage(position) = stage.base {
            stage = &self.plan.stages[position];
            numbers.push(stage.number);
        }
        numbers
    }
}

/// A layer that goes from one cache to another without stopping here.
fn passed_on<'a>(absent: AbsentLayer) -> Outgoing<'a> {
    let AbsentLayer { artifact, blob, .. } = absent;
    let described = blob.clone();
    let open = move || -> io::Result<Box<dyn Read>> {
        let opened = artifact.blob(&described, 0, Digester::new());
        Ok(opened.map_err(io::Error::other)?)
    };
    Outgoing {
        blob,
        open: Box::new(open),
    }
}

/// The configuration of an image with the document of its cache.
#[derive(Serialize)]
pub(crate) struct ImageWithCache<'a> {
    #[serde(flatten)]
    pub(crate) image: &'a Image,
    #[serde(rename = "hoist.cache.v1")]
    pub(crate) cache: Document,
}

/// A blob that is not a layer of the store.
pub(super) fn described(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest,
        size,
        platform: None,
        annotations: std::collections::BTreeMap::new(),
    }
}
