//! Lines that are only ever appended, in BuildKit's plain form.

use std::{collections::BTreeMap, fmt::Write as _, time::Instant};

use hoist_core::{
    event::{BuildEvent, Warning},
    units,
};

use super::{Lines, Render, seconds, title, warnings};
use crate::format::counted;

/// What number 1 is called.
const CONTEXT: &str = "[internal] load build context";

/// The renderer; number 1 is the context, step n is number n + 1.
#[derive(Default)]
pub(super) struct Plain {
    steps: BTreeMap<usize, Step>,
    /// The step that was written about last; another one starts after an empty line.
    current: Option<usize>,
    last: usize,
    warnings: Vec<Warning>,
}

struct Step {
    title: String,
    announced: bool,
    started: Instant,
    lines: Lines,
}

impl Plain {
    /// Lines about vertex `number`, each with its mark; a switch to it is announced.
    fn about(&mut self, number: usize, lines: &[String]) -> String {
        let mut out = String::new();
        if self.current != Some(number) {
            if self.current.is_some() {
                out.push('\n');
            }
            self.current = Some(number);
            if let Some(step) = self.steps.get_mut(&number) {
                let title = if step.announced { "..." } else { &step.title };
                let _ = writeln!(out, "#{number} {title}");
                step.announced = true;
            }
        }
        for line in lines {
            let _ = writeln!(out, "#{number} {line}");
        }
        out
    }

    /// What step `number` wrote and did not finish with a line feed.
    fn rest(&mut self, number: usize) -> Vec<String> {
        let Some(step) = self.steps.get_mut(&number) else {
            return Vec::new();
        };
        let stamp = stamp(step.started);
        step.lines
            .rest()
            .map(|line| format!("{stamp} {line}"))
            .into_iter()
            .collect()
    }

    /// A vertex that is over as soon as it is known.
    fn instant(&mut self, title: &str, lines: &[String]) -> String {
        self.last += 1;
        let number = self.last;
        self.begin(number, title.to_owned());
        self.about(number, lines)
    }

    /// The latest time that the build has; it belongs to the context.
    fn epoch(&mut self, seconds: i64, source: &str) -> String {
        self.begin(1, CONTEXT.to_owned());
        self.about(1, &[format!("epoch: {seconds}, {source}")])
    }

    /// What a rule of reproducible builds did to the layer of a step.
    fn rule(&mut self, index: usize, rule: &str, effect: &str, files: usize) -> String {
        let files = counted(files, "file");
        self.about(index + 1, &[format!("{rule}: {files} {effect}")])
    }

    fn begin(&mut self, number: usize, title: String) {
        self.last = self.last.max(number);
        let step = Step {
            title,
            announced: false,
            started: Instant::now(),
            lines: Lines::default(),
        };
        self.steps.insert(number, step);
    }
}

fn stamp(started: Instant) -> String {
    format!("{:.3}", started.elapsed().as_secs_f64())
}

impl Render for Plain {
    fn event(&mut self, event: &BuildEvent) -> String {
        match event {
            BuildEvent::ContextScanned { files, bytes } => {
                self.begin(1, CONTEXT.to_owned());
                let scanned = format!("context: {files} files, {}", units::human_size(*bytes));
                self.about(1, &[scanned, "DONE".to_owned()])
            }
            BuildEvent::StepStarted {
                index,
                total,
                stage,
                text,
            } => {
                self.begin(index + 1, title(stage, *index, *total, text));
                self.about(index + 1, &[])
            }
            BuildEvent::StepReason { index, text } => {
                self.about(index + 1, &[format!("not cached: {text}")])
            }
            BuildEvent::EpochChosen { seconds, source } => self.epoch(*seconds, source),
            BuildEvent::RuleApplied {
                index,
                rule,
                effect,
                files,
            } => self.rule(*index, rule, effect, *files),
            BuildEvent::StepCached { index } => self.about(index + 1, &["CACHED".to_owned()]),
            BuildEvent::StepOutput { index, bytes, .. } => {
                let Some(step) = self.steps.get_mut(&(index + 1)) else {
                    return String::new();
                };
                let stamp = stamp(step.started);
                let lines: Vec<String> = step
                    .lines
                    .push(bytes)
                    .iter()
                    .map(|line| format!("{stamp} {line}"))
                    .collect();
                if lines.is_empty() {
                    String::new()
                } else {
                    self.about(index + 1, &lines)
                }
            }
            BuildEvent::StepFinished {
                index,
                duration,
                layer_bytes,
            } => {
                let mut lines = self.rest(index + 1);
                if let Some(bytes) = layer_bytes {
                    lines.push(format!("layer {}", units::human_size(*bytes)));
                }
                lines.push(format!("DONE {}s", seconds(*duration)));
                self.about(index + 1, &lines)
            }
            BuildEvent::StepFailed { index, text, .. } => {
                let mut lines = self.rest(index + 1);
                lines.push(format!("ERROR: {text}"));
                self.about(index + 1, &lines)
            }
            BuildEvent::Warning(warning) => {
                self.warnings.push(warning.clone());
                String::new()
            }
            BuildEvent::Exporting { layers } => {
                self.instant("exporting to image", &[format!("{layers} layers")])
            }
            BuildEvent::Finished {
                image,
                names,
                duration,
            } => {
                let mut lines = vec![format!("writing image {image}")];
                lines.extend(names.iter().map(|name| format!("naming to {name}")));
                lines.push(format!("DONE {}s", seconds(*duration)));
                let number = self.last;
                self.about(number, &lines)
            }
            BuildEvent::StageStarted { .. } | BuildEvent::PartFinished { .. } => String::new(),
        }
    }

    fn end(&mut self) -> String {
        warnings(&self.warnings)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hoist_core::{Digest, event::Stream};

    use super::*;

    fn started(index: usize, stage: &str, text: &str) -> BuildEvent {
        BuildEvent::StepStarted {
            index,
            total: 3,
            stage: stage.to_owned(),
            text: text.to_owned(),
        }
    }

    fn output(index: usize, text: &str) -> BuildEvent {
        BuildEvent::StepOutput {
            index,
            stream: Stream::Stdout,
            bytes: text.as_bytes().to_vec(),
        }
    }

    /// What is written about `events`, with the seconds of output lines as `0.000`.
    fn written(events: &[BuildEvent]) -> String {
        let mut plain = Plain::default();
        let mut text: String = events.iter().map(|event| plain.event(event)).collect();
        text.push_str(&plain.end());
        let steady = text.lines().map(|line| {
            let mut words: Vec<&str> = line.split(' ').collect();
            if words.len() > 2 && words[1].len() == 5 && words[1].parse::<f64>().is_ok() {
                words[1] = "0.000";
            }
            words.join(" ")
        });
        steady.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_build_reads_as_buildkits_plain_progress() {
        let second = Duration::from_millis(1234);
        let warning = Warning {
            rule: Some("FromAsCasing".to_owned()),
            message: "'as' and 'FROM' keywords' casing do not match".to_owned(),
            file: None,
            line: Some(1),
            hints: Vec::new(),
        };
        insta::assert_snapshot!(written(&[
            BuildEvent::ContextScanned { files: 3, bytes: 2048 },
            BuildEvent::Warning(warning),
            started(1, "builder", "FROM python:3.11-slim"),
            BuildEvent::StepCached { index: 1 },
            started(2, "builder", "RUN pip install -r requirements.txt"),
            BuildEvent::StepReason { index: 2, text: "requirements.txt changed".to_owned() },
            output(2, "Collecting fastapi\nColl"),
            started(3, "1", "COPY . ."),
            output(2, "ecting uvicorn\n"),
            BuildEvent::StepFinished { index: 3, duration: second, layer_bytes: Some(1_500) },
            output(2, "no line feed"),
            BuildEvent::StepFinished { index: 2, duration: second, layer_bytes: Some(12_300_000) },
            BuildEvent::Exporting { layers: 2 },
            BuildEvent::Finished { image: Digest::of(b""), names: vec!["my-api:1.0".to_owned()], duration: second },
        ]), @r"
        #1 [internal] load build context
        #1 context: 3 files, 2.05kB
        #1 DONE

        #2 [builder 1/3] FROM python:3.11-slim
        #2 CACHED

        #3 [builder 2/3] RUN pip install -r requirements.txt
        #3 not cached: requirements.txt changed
        #3 0.000 Collecting fastapi

        #4 [3/3] COPY . .

        #3 ...
        #3 0.000 Collecting uvicorn

        #4 ...
        #4 layer 1.5kB
        #4 DONE 1.2s

        #3 ...
        #3 0.000 no line feed
        #3 layer 12.3MB
        #3 DONE 1.2s

        #5 exporting to image
        #5 2 layers
        #5 writing image sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
        #5 naming to my-api:1.0
        #5 DONE 1.2s

         1 warning found (use --check to expand):
         - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)
        ");
    }

    #[test]
    fn a_failing_step_ends_with_its_error() {
        insta::assert_snapshot!(written(&[
            started(1, "0", "RUN false"),
            BuildEvent::StepFailed {
                index: 1,
                duration: Duration::ZERO,
                exit_code: Some(1),
                text: "process \"/bin/sh -c false\" did not complete successfully: exit code: 1".to_owned(),
            },
        ]), @r#"
        #2 [1/3] RUN false
        #2 ERROR: process "/bin/sh -c false" did not complete successfully: exit code: 1
        "#);
    }
    #[test]
    fn a_reproducible_build_tells_its_time_and_its_rules() {
        insta::assert_snapshot!(written(&[
            BuildEvent::EpochChosen { seconds: 7, source: "the commit 1a2b3c".to_owned() },
            BuildEvent::ContextScanned { files: 1, bytes: 1 },
            started(1, "0", "RUN apt-get install x"),
            BuildEvent::RuleApplied { index: 1, rule: "apt-log", effect: "left out", files: 1 },
        ]), @r"
        #1 [internal] load build context
        #1 epoch: 7, the commit 1a2b3c
        #1 context: 1 files, 1B
        #1 DONE

        #2 [1/3] RUN apt-get install x
        #2 apt-log: 1 file left out
        ");
    }
}
