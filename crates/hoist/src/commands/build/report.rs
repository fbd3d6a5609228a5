//! What a build tells about itself when it is over: why each step ran, where the time went, what
//! the image weighs.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hoist_build::{Built, SizeReport, size_report};
use hoist_core::{event::BuildEvent, time::Timestamp, units};
use hoist_engine::Engine;
use serde_json::{Value, json};

use crate::{
    args::build::{BuildFlags, report::Form},
    error::CliError,
    format::{counted, ellipsis},
    ui,
};

/// Steps that the report on sizes names.
const LARGEST: usize = 3;

/// Bytes that are worth a line.
const WORTH: u64 = 100_000;

/// How many characters of an instruction are shown.
const WIDTH: usize = 60;

/// What is remembered of a build's events.
#[derive(Debug, Default)]
pub(super) struct Record(Mutex<State>);

#[derive(Debug, Default, Clone)]
struct State {
    steps: BTreeMap<usize, Step>,
    /// Of the build as a whole.
    parts: Vec<(&'static str, Duration)>,
    /// The epoch, and what it is the time of.
    epoch: Option<(i64, String)>,
    /// Rules of reproducible builds by name: what became of files, and how many they were.
    rules: BTreeMap<&'static str, (&'static str, usize)>,
}

#[derive(Debug, Default, Clone)]
struct Step {
    stage: String,
    text: String,
    outcome: Outcome,
    reason: Option<String>,
    duration: Duration,
    layer_bytes: Option<u64>,
    parts: Vec<(&'static str, Duration)>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It was not reached, or did not end.
    #[default]
    Stopped,
    Cached,
    Ran,
    Failed,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Cached => "cached",
            Self::Ran => "ran",
            Self::Failed => "failed",
        }
    }
}

impl Record {
    /// Remember `event`.
    pub(super) fn note(&self, event: &BuildEvent) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = event.step();
        if let BuildEvent::PartFinished { part, duration, .. } = event {
            let parts = match index {
                Some(index) => &mut state.steps.entry(index).or_default().parts,
                None => &mut state.parts,
            };
            parts.push((part, *duration));
            return;
        }
        match event {
            BuildEvent::EpochChosen { seconds, source } => {
                state.epoch = Some((*seconds, source.clone()));
            }
            BuildEvent::RuleApplied {
                rule,
                effect,
                files,
                ..
            } => state.rules.entry(rule).or_insert((effect, 0)).1 += files,
            _ => {}
        }
        let Some(step) = index.map(|index| state.steps.entry(index).or_default()) else {
            return;
        };
        match event {
            BuildEvent::StepStarted { stage, text, .. } => {
                step.stage.clone_from(stage);
                step.text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            BuildEvent::StepReason { text, .. } => step.reason = Some(text.clone()),
            BuildEvent::StepCached { .. } => step.outcome = Outcome::Cached,
            BuildEvent::StepFinished {
                duration,
                layer_bytes,
                ..
            } => {
                step.outcome = Outcome::Ran;
                step.duration = *duration;
                step.layer_bytes = *layer_bytes;
            }
            BuildEvent::StepFailed { duration, .. } => {
                step.outcome = Outcome::Failed;
                step.duration = *duration;
            }
            _ => {}
        }
    }

    fn state(&self) -> State {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.clone()
    }
}

/// Write what `--explain` and `--timings` ask for; of a build that failed, too.
pub(super) fn explain(
    record: &Record,
    flags: &BuildFlags,
    built: Option<&Built>,
) -> Result<(), CliError> {
    let state = record.state();
    match flags.report.explain {
        Some(Form::Text) => ui::error(&text(&state, flags.no_cache)),
        Some(Form::Json) => ui::line(&json_of(&state, flags.no_cache, built).to_string())?,
        None => {}
    }
    if flags.report.timings {
        ui::error(&timings(&state));
    }
    Ok(())
}

impl Step {
    /// Why it is as it is.
    fn why(&self, no_cache: bool) -> &str {
        match (&self.reason, self.outcome) {
            (_, Outcome::Cached) => "everything that enters it is as it was",
            (Some(reason), _) => reason,
            (None, _) if no_cache => "the cache is not used",
            (None, _) => "no earlier build has done it",
        }
    }
}

fn text(state: &State, no_cache: bool) -> String {
    let line = |step: &Step| {
        let what = ellipsis(&step.text, WIDTH);
        format!(
            "{:<7} {what}: {}\n",
            step.outcome.as_str(),
            step.why(no_cache)
        )
    };
    state.steps.values().map(line).collect()
}

fn json_of(state: &State, no_cache: bool, built: Option<&Built>) -> Value {
    let parts = |parts: &[(&str, Duration)]| {
        let parts = parts.iter();
        let parts =
            parts.map(|(part, time)| json!({ "part": part, "seconds": time.as_secs_f64() }));
        parts.collect::<Vec<_>>()
    };
    let steps = state.steps.iter().map(|(index, step)| {
        json!({
            "index": index,
            "stage": step.stage,
            "instruction": step.text,
            "outcome": step.outcome.as_str(),
            "reason": step.why(no_cache),
            "seconds": step.duration.as_secs_f64(),
            "layer_bytes": step.layer_bytes,
            "parts": parts(&step.parts),
        })
    });
    json!({
        "image": built.map(|built| built.id),
        "parts": parts(&state.parts),
        "steps": steps.collect::<Vec<_>>(),
    })
}

/// The parts of each step that ran, in milliseconds.
fn timings(state: &State) -> String {
    let parts = |parts: &[(&str, Duration)]| {
        let parts = parts.iter();
        let parts = parts.map(|(part, time)| format!("{part} {:.1}", time.as_secs_f64() * 1000.0));
        parts.collect::<Vec<_>>().join(", ")
    };
    let mut text = format!("milliseconds: {}\n", parts(&state.parts));
    for step in state.steps.values().filter(|step| !step.parts.is_empty()) {
        let what = ellipsis(&step.text, WIDTH);
        text.push_str(&format!("{what}: {}\n", parts(&step.parts)));
    }
    text
}

/// Say by which time a reproducible build was bounded, and which of its rules found something.
pub(super) fn reproducible(record: &Record, flags: &BuildFlags) {
    if flags.repro.reproducible {
        ui::error(&reproducible_lines(&record.state()));
    }
}

fn reproducible_lines(state: &State) -> String {
    let mut text = String::new();
    if let Some((seconds, source)) = &state.epoch {
        let time = Timestamp::from_seconds(*seconds);
        text.push_str(&format!(
            "reproducible: no time is after {time}, {source}\n"
        ));
    }
    for (rule, (effect, files)) in &state.rules {
        text.push_str(&format!("{rule}: {} {effect}\n", counted(*files, "file")));
    }
    text
}

/// Say what the image weighs, when anything of it was made.
pub(super) fn sizes(engine: &Engine, built: &Built) {
    if built.cached == built.steps {
        return;
    }
    // A report that cannot be made is no failure of the build.
    if let Ok(report) = size_report(engine, built) {
        ui::error(&size_lines(&report));
    }
}

fn size_lines(report: &SizeReport) -> String {
    let size = units::human_size;
    let instruction = |text: &str| {
        let text = text.strip_suffix("# buildkit").unwrap_or(text).trim_end();
        ellipsis(&text.replacen("RUN /bin/sh -c ", "RUN ", 1), WIDTH)
    };
    let new: u64 = report.growth.iter().map(|growth| growth.bytes).sum();
    let mut text = format!(
        "size {}: {} of the base",
        size(report.base + new),
        size(report.base)
    );
    for growth in report.growth.iter().take(LARGEST) {
        text.push_str(&format!(
            ", {} {}",
            size(growth.bytes),
            instruction(&growth.instruction)
        ));
    }
    text.push('\n');
    for waste in report.waste.iter().filter(|waste| waste.bytes >= WORTH) {
        let (what, advice) = if waste.is_written_again {
            (
                "are written again by",
                "use --chown or --chmod of COPY, or write them once",
            )
        } else {
            (
                "are removed by",
                "remove them in the instruction that writes them",
            )
        };
        text.push_str(&format!(
            "{} of {} {what} {} ({}): the image keeps both; {advice}\n",
            size(waste.bytes),
            instruction(&waste.written_by),
            instruction(&waste.hidden_by),
            waste.example.display(),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use hoist_build::{Growth, Waste};

    use super::*;

    #[test]
    fn every_step_is_explained() {
        let record = Record::default();
        let started = |index, text: &str| BuildEvent::StepStarted {
            index,
            total: 3,
            stage: "stage-0".to_owned(),
            number: index,
            of: 3,
            text: text.to_owned(),
        };
        let second = Duration::from_millis(1500);
        for event in [
            BuildEvent::PartFinished {
                index: None,
                part: "context",
                duration: second,
            },
            started(1, "COPY a  b"),
            BuildEvent::StepCached { index: 1 },
            started(2, "RUN make"),
            BuildEvent::StepReason {
                index: 2,
                text: "ARG V is new".to_owned(),
            },
            BuildEvent::PartFinished {
                index: Some(2),
                part: "run",
                duration: second,
            },
            BuildEvent::StepFinished {
                index: 2,
                duration: second,
                layer_bytes: Some(7),
            },
            started(3, "RUN test"),
            BuildEvent::StepFailed {
                index: 3,
                duration: second,
                exit_code: Some(1),
                text: "x".to_owned(),
            },
        ] {
            record.note(&event);
        }
        insta::assert_snapshot!(text(&record.state(), false), @r"
        cached  COPY a b: everything that enters it is as it was
        ran     RUN make: ARG V is new
        failed  RUN test: no earlier build has done it
        ");
        insta::assert_snapshot!(timings(&record.state()), @r"
        milliseconds: context 1500.0
        RUN make: run 1500.0
        ");
        let value = json_of(&record.state(), false, None);
        assert_eq!(value["steps"][1]["reason"], "ARG V is new");
        assert_eq!(value["steps"][1]["layer_bytes"], 7);
        assert_eq!(value["image"], Value::Null);
    }

    #[test]
    fn rules_that_found_something_are_told_with_the_time() {
        let record = Record::default();
        let applied = |index, rule, files| BuildEvent::RuleApplied {
            index,
            rule,
            effect: "left out",
            files,
        };
        for event in [
            BuildEvent::EpochChosen {
                seconds: 1_700_000_000,
                source: "the commit 1a2b3c".to_owned(),
            },
            applied(2, "dpkg-log", 2),
            applied(2, "apt-log", 1),
            applied(3, "dpkg-log", 1),
        ] {
            record.note(&event);
        }
        insta::assert_snapshot!(reproducible_lines(&record.state()), @r"
        reproducible: no time is after 2023-11-14T22:13:20Z, the commit 1a2b3c
        apt-log: 1 file left out
        dpkg-log: 3 files left out
        ");
    }

    #[test]
    fn sizes_and_what_is_hidden_are_told() {
        let growth = |instruction: &str, bytes| Growth {
            instruction: instruction.to_owned(),
            bytes,
        };
        let report = SizeReport {
            base: 45_000_000,
            growth: vec![
                growth("RUN /bin/sh -c pip install x # buildkit", 80_000_000),
                growth("COPY . . # buildkit", 2_000_000),
            ],
            waste: vec![Waste {
                written_by: "COPY . . # buildkit".to_owned(),
                hidden_by: "RUN /bin/sh -c chown -R app . # buildkit".to_owned(),
                is_written_again: true,
                bytes: 2_000_000,
                example: "/app/data".into(),
            }],
        };
        insta::assert_snapshot!(size_lines(&report), @r"
        size 127MB: 45MB of the base, 80MB RUN pip install x, 2MB COPY . .
        2MB of COPY . . are written again by RUN chown -R app . (/app/data): the image keeps both; use --chown or --chmod of COPY, or write them once
        ");
    }
}
