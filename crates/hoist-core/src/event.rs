//! What a build tells while it runs.
//!
//! One stream of events, many consumers: a terminal redraws, plain text appends lines, JSON and
//! the API serialise. Steps of different stages run at the same time, so each event about a step
//! carries the step's `index`; a consumer that knows [`BuildEvent::StepStarted`] needs no other
//! memory to place what follows.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::digest::Digest;

/// One thing that happened in a build, in the order in which it happened.
///
/// As JSON each is an object with its name under `event`, durations in seconds and output as text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum BuildEvent {
    /// Something that all steps need was read before the first of them.
    Loaded {
        /// What, as BuildKit calls it: `build definition from Dockerfile`, `.dockerignore`,
        /// `metadata for docker.io/library/python:3.11-slim`.
        what: String,
        /// Its bytes, when it is a file.
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
        /// How long it took.
        #[serde(rename = "seconds", serialize_with = "as_seconds")]
        duration: Duration,
    },
    /// The build context was looked through.
    ContextScanned {
        /// Files that the context has, ignored ones not counted.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// The first step of a stage is about to run.
    StageStarted {
        /// Its name, or its number as text when it has none.
        stage: String,
        /// Its position among the stages that run, from 1.
        index: usize,
        /// How many stages run.
        total: usize,
        /// The image that it starts from, when it starts from one.
        #[serde(skip_serializing_if = "Option::is_none")]
        base: Option<String>,
        /// How many steps it has; the image that it starts from counts as the first.
        steps: usize,
    },
    /// A step is about to be looked up or run.
    StepStarted {
        /// Identifies the step in all later events: its position, from 1.
        index: usize,
        /// How many steps the build has.
        total: usize,
        /// The stage it belongs to.
        stage: String,
        /// Its position among the steps of the stage; the image that the stage starts from is 1.
        number: usize,
        /// How many steps the stage has, that image included.
        of: usize,
        /// The instruction, as `[builder 2/5] RUN pip install …` shows it, without the bracket.
        text: String,
    },
    /// Why the step runs in place of being found in the cache.
    StepReason {
        /// The step.
        index: usize,
        /// A fragment for people: `COPY requirements.txt: content changed`.
        text: String,
    },
    /// The step's result was in the cache; no [`BuildEvent::StepFinished`] follows.
    StepCached {
        /// The step.
        index: usize,
    },
    /// The latest time that anything made by the build has was chosen.
    EpochChosen {
        /// Since 1970.
        seconds: i64,
        /// What it is the time of, for people: `the commit 1a2b3c4d5e6f`.
        source: String,
    },
    /// A rule of reproducible builds changed files in the layer of a step.
    RuleApplied {
        /// The step.
        index: usize,
        /// The rule's name.
        rule: &'static str,
        /// What became of the files, for people: `left out`.
        effect: &'static str,
        /// How many they are.
        files: usize,
    },
    /// The command of the step wrote something.
    StepOutput {
        /// The step.
        index: usize,
        /// Where to.
        stream: Stream,
        /// What, cut anywhere: lines and characters may go on in the next event.
        #[serde(rename = "text", serialize_with = "as_text")]
        bytes: Vec<u8>,
    },
    /// A part of the work is done, of a step or of the build as a whole: what `--timings` adds up.
    PartFinished {
        /// The step; `None` for what all of them need.
        #[serde(skip_serializing_if = "Option::is_none")]
        index: Option<usize>,
        /// `context`, `pin`, `mount`, `run`, `fetch`, `copy`, `scan`, `commit`.
        part: &'static str,
        /// How long it took.
        #[serde(rename = "seconds", serialize_with = "as_seconds")]
        duration: Duration,
    },
    /// The step has run.
    StepFinished {
        /// The step.
        index: usize,
        /// How long it took.
        #[serde(rename = "seconds", serialize_with = "as_seconds")]
        duration: Duration,
        /// Bytes that its layer adds; `None` when it makes no layer.
        #[serde(skip_serializing_if = "Option::is_none")]
        layer_bytes: Option<u64>,
    },
    /// The step has failed; the build ends once the steps beside it have stopped.
    StepFailed {
        /// The step.
        index: usize,
        /// How long it ran.
        #[serde(rename = "seconds", serialize_with = "as_seconds")]
        duration: Duration,
        /// The exit code, when a command of the Dockerfile failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        exit_code: Option<u8>,
        /// What failed and why.
        text: String,
    },
    /// Work beside the steps has begun: a cache is imported or exported, layers are fetched.
    TaskStarted {
        /// Identifies the work in later events, from 1.
        task: usize,
        /// What it is: `importing cache manifest from user/app:cache`.
        text: String,
    },
    /// A line about such work.
    TaskProgress {
        /// The work.
        task: usize,
        /// What has been done.
        text: String,
    },
    /// Such work is done.
    TaskFinished {
        /// The work.
        task: usize,
        /// How long it took.
        #[serde(rename = "seconds", serialize_with = "as_seconds")]
        duration: Duration,
    },
    /// Such work has failed; whether the build goes on without it, its later events say.
    TaskFailed {
        /// The work.
        task: usize,
        /// How long it took.
        #[serde(rename = "seconds", serialize_with = "as_seconds")]
        duration: Duration,
        /// What failed and why.
        text: String,
    },
    /// Something in the Dockerfile or the context is probably not what was meant.
    Warning(Warning),
    /// All steps are done, the image is being written.
    Exporting {
        /// How many layers it has.
        layers: usize,
    },
    /// The image exists.
    Finished {
        /// The digest of its configuration.
        image: Digest,
        /// The names that now point to it.
        names: Vec<String>,
        /// How long the build took.
        #[serde(rename = "seconds", serialize_with = "as_seconds")]
        duration: Duration,
    },
}

/// Where a command writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A finding of a lint rule, or of the builder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The rule's name, `FromAsCasing`; `None` when no rule stands behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What is wrong.
    pub message: String,
    /// The file, as the user named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What to write instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl BuildEvent {
    /// The step that this event is about.
    #[must_use]
    pub const fn step(&self) -> Option<usize> {
        match self {
            Self::StepStarted { index, .. }
            | Self::StepReason { index, .. }
            | Self::StepCached { index }
            | Self::StepOutput { index, .. }
            | Self::RuleApplied { index, .. }
            | Self::StepFinished { index, .. }
            | Self::StepFailed { index, .. } => Some(*index),
            Self::PartFinished { index, .. } => *index,
            _ => None,
        }
    }
}

fn as_text<S: Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&String::from_utf8_lossy(bytes))
}

fn as_seconds<S: Serializer>(duration: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_f64(duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of events.
    fn written(events: &[BuildEvent]) -> String {
        let lines = events
            .iter()
            .map(|event| serde_json::to_string(event).unwrap());
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn work_beside_the_steps_is_told_in_the_same_form() {
        let events = [
            BuildEvent::TaskStarted {
                task: 1,
                text: "importing cache manifest from user/app:cache".to_owned(),
            },
            BuildEvent::TaskProgress {
                task: 1,
                text: "3 steps".to_owned(),
            },
            BuildEvent::TaskFinished {
                task: 1,
                duration: Duration::from_secs(1),
            },
            BuildEvent::TaskFailed {
                task: 2,
                duration: Duration::ZERO,
                text: "not found".to_owned(),
            },
            BuildEvent::EpochChosen {
                seconds: 1_700_000_000,
                source: "the commit 1a2b3c4d5e6f".to_owned(),
            },
            BuildEvent::RuleApplied {
                index: 4,
                rule: "apt-log",
                effect: "left out",
                files: 2,
            },
        ];
        insta::assert_snapshot!(written(&events), @r#"
        {"event":"task_started","task":1,"text":"importing cache manifest from user/app:cache"}
        {"event":"task_progress","task":1,"text":"3 steps"}
        {"event":"task_finished","task":1,"seconds":1.0}
        {"event":"task_failed","task":2,"seconds":0.0,"text":"not found"}
        {"event":"epoch_chosen","seconds":1700000000,"source":"the commit 1a2b3c4d5e6f"}
        {"event":"rule_applied","index":4,"rule":"apt-log","effect":"left out","files":2}
        "#);
    }

    #[test]
    fn events_are_flat_json_objects() {
        let events = [
            BuildEvent::ContextScanned {
                files: 3,
                bytes: 4096,
            },
            BuildEvent::StageStarted {
                stage: "builder".to_owned(),
                index: 1,
                total: 2,
                base: None,
                steps: 4,
            },
            BuildEvent::StepStarted {
                index: 2,
                total: 5,
                stage: "builder".to_owned(),
                number: 1,
                of: 4,
                text: "RUN make".to_owned(),
            },
            BuildEvent::StepReason {
                index: 2,
                text: "COPY Makefile: content changed".to_owned(),
            },
            BuildEvent::StepOutput {
                index: 2,
                stream: Stream::Stderr,
                bytes: b"caf\xc3\xa9 \xff\n".to_vec(),
            },
            BuildEvent::StepFinished {
                index: 2,
                duration: Duration::from_millis(1500),
                layer_bytes: Some(7),
            },
            BuildEvent::StepCached { index: 3 },
            BuildEvent::StepFailed {
                index: 4,
                duration: Duration::from_secs(2),
                exit_code: Some(127),
                text: "not found".to_owned(),
            },
            BuildEvent::Warning(Warning {
                rule: Some("FromAsCasing".to_owned()),
                message: "casing does not match".to_owned(),
                file: Some("Dockerfile".to_owned()),
                line: Some(1),
                hints: Vec::new(),
            }),
            BuildEvent::Exporting { layers: 4 },
            BuildEvent::Finished {
                image: Digest::of(b""),
                names: vec!["my-api:1.0".to_owned()],
                duration: Duration::from_secs(3),
            },
        ];
        insta::assert_snapshot!(written(&events), @r#"
        {"event":"context_scanned","files":3,"bytes":4096}
        {"event":"stage_started","stage":"builder","index":1,"total":2,"steps":4}
        {"event":"step_started","index":2,"total":5,"stage":"builder","number":1,"of":4,"text":"RUN make"}
        {"event":"step_reason","index":2,"text":"COPY Makefile: content changed"}
        {"event":"step_output","index":2,"stream":"stderr","text":"café �\n"}
        {"event":"step_finished","index":2,"seconds":1.5,"layer_bytes":7}
        {"event":"step_cached","index":3}
        {"event":"step_failed","index":4,"seconds":2.0,"exit_code":127,"text":"not found"}
        {"event":"warning","rule":"FromAsCasing","message":"casing does not match","file":"Dockerfile","line":1}
        {"event":"exporting","layers":4}
        {"event":"finished","image":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","names":["my-api:1.0"],"seconds":3.0}
        "#);
        let steps: Vec<_> = events.iter().filter_map(BuildEvent::step).collect();
        assert_eq!(steps, [2, 2, 2, 2, 3, 4]);
    }
}
