//! One stage from its base to its last instruction.

use std::sync::{PoisonError, atomic::AtomicBool};

use hoist_core::{Digest, event::BuildEvent, image::History, time::Timestamp};

use super::{Worker, check};
use crate::{
    cache::Record,
    error::BuildError,
    history::Line,
    plan::{Base, Entry, StagePlan, Step},
    request::BuiltStep,
    schedule::Board,
};

/// What a stage has become.
#[derive(Debug, Clone, Default)]
pub(crate) struct StageResult {
    /// Lowest first.
    pub(crate) layers: Vec<Digest>,
    /// The history of the base image.
    pub(crate) base_history: Vec<History>,
    /// When the base image was made.
    pub(crate) base_created: Option<Timestamp>,
    /// How many layers the base image has.
    pub(crate) base_layers: usize,
    /// What was added to that history.
    pub(crate) lines: Vec<Line>,
    /// Bytes in each layer.
    pub(crate) sizes: Vec<u64>,
}

impl Worker<'_> {
    /// Do the stage at `position`.
    pub(crate) fn stage(
        &self,
        position: usize,
        board: &Board<StageResult>,
        stop: &AtomicBool,
    ) -> Result<StageResult, BuildError> {
        let stage = &self.plan.stages[position];
        let mut result = self.base(&stage.base, board, stop)?;
        self.emit(BuildEvent::StageStarted {
            stage: stage.name.clone(),
            index: position + 1,
            total: self.plan.stages.len(),
            base: stage.base_name.clone(),
            steps: stage.length(),
        });
        for entry in &stage.entries {
            check(stop)?;
            let step = match entry {
                Entry::Metadata(line) => {
                    result.lines.push(line.clone());
                    continue;
                }
                Entry::Step(step) => step,
            };
            let record = self.step(stage, step, &result.layers, board, stop)?;
            self.note(stage, step, &record);
            result.lines.push(Line {
                text: self.trust.redactor.text(&step.history),
                created: Some(record.created),
                has_layer: record.layer.is_some(),
            });
            if let Some(layer) = record.layer {
                result.layers.push(layer);
                result.sizes.push(record.size);
            }
        }
        Ok(result)
    }

    /// Remember what became of `step`.
    fn note(&self, stage: &StagePlan, step: &Step, record: &Record) {
        let made = BuiltStep {
            stage: stage.name.clone(),
            instruction: step.text.clone(),
            diff_id: record.layer,
        };
        let mut all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(step.index, made);
    }

    fn base(
        &self,
        base: &Base,
        board: &Board<StageResult>,
        stop: &AtomicBool,
    ) -> Result<StageResult, BuildError> {
        Ok(match base {
            Base::Scratch => StageResult::default(),
            Base::Stage(position) => StageResult::clone(&*board.wait(*position, stop)?),
            Base::Image(image) => StageResult {
                layers: image.image.rootfs.diff_ids.clone(),
                base_history: image.image.history.clone(),
                base_created: image
                    .image
                    .created
                    .as_deref()
                    .and_then(|text| text.parse().ok()),
                base_layers: image.layers.len(),
                lines: Vec::new(),
                sizes: image.layers.iter().map(|layer| layer.size).collect(),
            },
        })
    }

    /// The layers of what a COPY or mount reads from.
    pub(super) fn layers_of(
        &self,
        base: &Base,
        board: &Board<StageResult>,
        stop: &AtomicBool,
    ) -> Result<Vec<Digest>, BuildError> {
        Ok(match base {
            Base::Scratch => Vec::new(),
            Base::Stage(position) => board.wait(*position, stop)?.layers.clone(),
            Base::Image(image) => image.image.rootfs.diff_ids.clone(),
        })
    }
}
