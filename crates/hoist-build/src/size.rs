//! Where the bytes of an image come from, and which of them nobody sees.

use std::path::PathBuf;

use hoist_engine::{Engine, image::hidden};

use crate::{error::BuildError, request::Built};

/// What an image weighs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SizeReport {
    /// Bytes of the base image.
    pub base: u64,
    /// What each new layer adds, the most first.
    pub growth: Vec<Growth>,
    /// Bytes that are in the image and never seen, the most first.
    pub waste: Vec<Waste>,
}

/// A new layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// The instruction that made it.
    pub instruction: String,
    /// Bytes in it.
    pub bytes: u64,
}

/// Bytes of one layer that a later one hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waste {
    /// Who wrote them.
    pub written_by: String,
    /// Who removed the files, or wrote them again.
    pub hidden_by: String,
    /// The files are in the later layer, too: written again and not removed.
    pub is_written_again: bool,
    /// How many bytes.
    pub bytes: u64,
    /// The largest of the files.
    pub example: PathBuf,
}

/// Weigh the new layers of `built`.
///
/// # Errors
/// [`BuildError::Store`] for a layer that cannot be read.
pub fn size_report(engine: &Engine, built: &Built) -> Result<SizeReport, BuildError> {
    let mut instructions = Vec::new();
    let mut layers = Vec::new();
    let mut report = SizeReport::default();
    for layer in &built.layers {
        let Some(instruction) = &layer.instruction else {
            report.base += layer.size;
            continue;
        };
        report.growth.push(Growth {
            instruction: instruction.clone(),
            bytes: layer.size,
        });
        instructions.push(instruction);
        layers.push(engine.store().layer_weights(&layer.diff_id)?);
    }
    report
        .growth
        .sort_by_key(|growth| std::cmp::Reverse(growth.bytes));
    let waste = hidden(&layers).into_iter().map(|hidden| Waste {
        written_by: instructions[hidden.written_by].clone(),
        hidden_by: instructions[hidden.hidden_by].clone(),
        is_written_again: hidden.is_written_again,
        bytes: hidden.bytes,
        example: hidden.example,
    });
    report.waste = waste.collect();
    Ok(report)
}
