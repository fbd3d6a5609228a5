//! `image layers`: what each layer of an image brings, and what of it nobody sees.

use std::process::ExitCode;

use hoist_core::units;
use hoist_engine::image::{ChangeKind, Hidden, LayerReport, LayersReport};
use serde_json::{Value, json};

use super::diff::word;
use crate::{
    args::store::LayersFlags,
    cli::Call,
    error::CliError,
    format::{self, Listing, Row},
    ui,
};

/// For `--help`.
pub(crate) const EXAMPLES: &str = "
  Which instruction makes the image large, and what of it is never seen?
    hoist image layers my-api:1.0

  What exactly does each layer write?
    hoist image layers --files my-api:1.0
";

const KINDS: [ChangeKind; 3] = [ChangeKind::Added, ChangeKind::Changed, ChangeKind::Deleted];
const HEADINGS: &[(&str, &str)] = &[
    ("Layer", "LAYER"),
    ("Size", "SIZE"),
    ("Added", "ADDED"),
    ("Changed", "CHANGED"),
    ("Deleted", "DELETED"),
    ("Wasted", "WASTED"),
    ("Instruction", "INSTRUCTION"),
];
const COLUMNS: &[&str] = &[
    "Layer",
    "Size",
    "Added",
    "Changed",
    "Deleted",
    "Wasted",
    "Instruction",
];
/// How many characters of an instruction are shown.
const WIDTH: usize = 60;

/// `image layers [OPTIONS] IMAGE`.
pub(crate) fn layers(
    call: &Call<'_>,
    flags: &LayersFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let engine = call.working_engine()?;
    let report = engine.image_layers(&words[0])?;
    if flags.format.is_some() {
        ui::line(&format::indented(&document(&report, flags.files)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let layers = report.layers.iter().enumerate();
    let rows: Vec<Row> = layers
        .map(|(index, layer)| row(index, layer, flags.no_trunc))
        .collect();
    let listing = Listing {
        headings: HEADINGS,
        columns: COLUMNS,
    };
    ui::out(&listing.render(&rows, None)?)?;
    if flags.files {
        let layers = report.layers.iter().enumerate();
        ui::out(
            &layers
                .map(|(index, layer)| files(index, layer))
                .collect::<String>(),
        )?;
    }
    ui::out(&summary(&report))?;
    Ok(ExitCode::SUCCESS)
}

fn row(index: usize, layer: &LayerReport, whole: bool) -> Row {
    let instruction = instruction(layer);
    let sum = |kind| match layer.sum(kind) {
        (0, _) => "0".to_owned(),
        (count, bytes) => format!("{count} ({})", units::human_size(bytes)),
    };
    Row::new([
        ("Layer", (index + 1).to_string()),
        ("Size", units::human_size(layer.size)),
        ("Added", sum(ChangeKind::Added)),
        ("Changed", sum(ChangeKind::Changed)),
        ("Deleted", sum(ChangeKind::Deleted)),
        ("Wasted", units::human_size(layer.wasted)),
        (
            "Instruction",
            if whole {
                instruction
            } else {
                format::ellipsis(&instruction, WIDTH)
            },
        ),
    ])
}

fn instruction(layer: &LayerReport) -> String {
    let words: Vec<&str> = layer.instruction.split_whitespace().collect();
    words.join(" ")
}

fn files(index: usize, layer: &LayerReport) -> String {
    let lines = layer.changes.iter().map(|change| {
        format!(
            "  {} {}  {}\n",
            change.kind.letter(),
            change.path.display(),
            units::human_size(change.bytes)
        )
    });
    format!("\nLayer {}:\n{}", index + 1, lines.collect::<String>())
}

fn summary(report: &LayersReport) -> String {
    let efficiency = report.efficiency();
    let mut text = format!(
        "\n{} in {}, {} of them wasted: efficiency {}.{}%\n",
        units::human_size(report.size),
        match report.layers.len() {
            1 => "1 layer".to_owned(),
            layers => format!("{layers} layers"),
        },
        units::human_size(report.wasted()),
        efficiency / 10,
        efficiency % 10,
    );
    text.extend(report.waste.iter().map(waste_line));
    text
}

fn waste_line(waste: &Hidden) -> String {
    format!(
        "  {} of layer {} {} by layer {}, {} the most\n",
        units::human_size(waste.bytes),
        waste.written_by + 1,
        if waste.is_written_again {
            "written again"
        } else {
            "deleted"
        },
        waste.hidden_by + 1,
        waste.example.display()
    )
}

fn document(report: &LayersReport, with_files: bool) -> Value {
    let layers = report.layers.iter().map(|layer| {
        let mut document = json!({
            "DiffID": layer.diff_id,
            "Instruction": layer.instruction,
            "Size": layer.size,
            "Wasted": layer.wasted,
        });
        for kind in KINDS {
            let (count, bytes) = layer.sum(kind);
            let name = match kind {
                ChangeKind::Added => "Added",
                ChangeKind::Changed => "Changed",
                ChangeKind::Deleted => "Deleted",
            };
            document[name] = json!({ "Count": count, "Bytes": bytes });
        }
        if with_files {
            let files = layer.changes.iter().map(|change| {
                json!({ "Kind": word(change.kind), "Path": change.path, "Bytes": change.bytes })
            });
            document["Files"] = files.collect();
        }
        document
    });
    let waste = report.waste.iter().map(|waste| {
        json!({
            "Bytes": waste.bytes,
            "WrittenBy": waste.written_by + 1,
            "HiddenBy": waste.hidden_by + 1,
            "WrittenAgain": waste.is_written_again,
            "Example": waste.example,
        })
    });
    json!({
        "Id": report.id,
        "Size": report.size,
        "Wasted": report.wasted(),
        "Efficiency": report.efficiency() as f64 / 1000.0,
        "Layers": layers.collect::<Vec<_>>(),
        "Waste": waste.collect::<Vec<_>>(),
    })
}
