//! Lines that are only ever appended, in BuildKit's plain form.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use hoist_core::{
    Digest,
    event::{BuildEvent, Warning},
    units,
};

use super::{Lines, Render, Stages, foretold, seconds, title, warnings};
use crate::format::counted;

/// The renderer. What it tells about is numbered as it begins, from 1.
#[derive(Default)]
pub(super) struct Plain {
    vertices: BTreeMap<usize, Vertex>,
    /// The numbers of steps.
    numbers: BTreeMap<usize, usize>,
    /// The numbers of work beside the steps.
    tasks: BTreeMap<usize, usize>,
    /// What was written about last; another one starts after an empty line.
    current: Option<usize>,
    stages: Stages,
    /// The number of the export.
    exporting: usize,
    warnings: Vec<Warning>,
}

struct Vertex {
    title: String,
    over: bool,
    started: Instant,
    lines: Lines,
}

impl Plain {
    /// Lines about vertex `number`, each with its mark. A switch to it is announced, and of one
    /// that goes on later it is said.
    fn about(&mut self, number: usize, lines: &[String]) -> String {
        let mut out = String::new();
        if self.current != Some(number) {
            if let Some(left) = self.current {
                if self.vertices.get(&left).is_some_and(|vertex| !vertex.over) {
                    let _ = writeln!(out, "#{left} ...");
                }
                out.push('\n');
            }
            self.current = Some(number);
            if let Some(vertex) = self.vertices.get(&number) {
                let _ = writeln!(out, "#{number} {}", vertex.title);
            }
        }
        for line in lines {
            let _ = writeln!(out, "#{number} {line}");
        }
        out
    }

    /// The last lines about vertex `number`.
    fn close(&mut self, number: usize, lines: &[String]) -> String {
        if let Some(vertex) = self.vertices.get_mut(&number) {
            vertex.over = true;
        }
        self.about(number, lines)
    }

    /// The last lines about a step.
    fn close_step(&mut self, index: usize, lines: &[String]) -> String {
        match self.numbers.get(&index) {
            Some(number) => self.close(*number, lines),
            None => String::new(),
        }
    }

    /// Lines about a step.
    fn about_step(&mut self, index: usize, lines: &[String]) -> String {
        match self.numbers.get(&index) {
            Some(number) => self.about(*number, lines),
            None => String::new(),
        }
    }

    /// The last line about work beside the steps.
    fn close_task(&mut self, task: usize, line: String) -> String {
        match self.tasks.get(&task) {
            Some(number) => self.close(*number, &[line]),
            None => String::new(),
        }
    }

    /// What a step wrote and did not finish with a line feed.
    fn rest(&mut self, index: usize) -> Vec<String> {
        let vertex = self.step(index);
        let rest = vertex.and_then(|vertex| {
            let stamp = stamp(vertex.started);
            vertex.lines.rest().map(|line| format!("{stamp} {line}"))
        });
        rest.into_iter().collect()
    }

    fn step(&mut self, index: usize) -> Option<&mut Vertex> {
        self.vertices.get_mut(self.numbers.get(&index)?)
    }

    /// A vertex that is over as soon as it is known.
    fn instant(&mut self, title: String, lines: &[String]) -> String {
        let number = self.begin(title);
        self.close(number, lines)
    }

    /// The number of a new vertex.
    fn begin(&mut self, title: String) -> usize {
        let number = self.vertices.len() + 1;
        let vertex = Vertex {
            title,
            over: false,
            started: Instant::now(),
            lines: Lines::default(),
        };
        self.vertices.insert(number, vertex);
        number
    }

    /// What a step wrote, as far as its lines are whole.
    fn output(&mut self, index: usize, bytes: &[u8]) -> String {
        let Some(vertex) = self.step(index) else {
            return String::new();
        };
        let stamp = stamp(vertex.started);
        let lines = vertex.lines.push(bytes);
        let lines: Vec<String> = lines.iter().map(|line| format!("{stamp} {line}")).collect();
        if lines.is_empty() {
            String::new()
        } else {
            self.about_step(index, &lines)
        }
    }

    /// The image is written.
    fn finished(&mut self, image: &Digest, names: &[String]) -> String {
        let mut lines = vec![
            "exporting layers done".to_owned(),
            format!("writing image {image} done"),
        ];
        lines.extend(names.iter().map(|name| format!("naming to {name} done")));
        let number = self.exporting;
        if let Some(vertex) = self.vertices.get(&number) {
            lines.push(done(vertex.started.elapsed()));
        }
        self.close(number, &lines)
    }
}

fn done(duration: Duration) -> String {
    format!("DONE {}s", seconds(duration))
}

fn stamp(started: Instant) -> String {
    format!("{:.3}", started.elapsed().as_secs_f64())
}

/// What is told of steps, and of work beside them.
impl Plain {
    fn step_event(&mut self, event: &BuildEvent) -> String {
        match event {
            BuildEvent::StepStarted {
                index,
                stage,
                number,
                of,
                text,
                ..
            } => {
                let title = title(self.stages.shown(stage), *number, *of, text);
                let number = self.begin(title);
                self.numbers.insert(*index, number);
                self.about(number, &[])
            }
            BuildEvent::StepReason { index, text } => {
                self.about_step(*index, &[format!("not cached: {text}")])
            }
            BuildEvent::RuleApplied {
                index,
                rule,
                effect,
                files,
            } => {
                let line = format!("{rule}: {} {effect}", counted(*files, "file"));
                self.about_step(*index, &[line])
            }
            BuildEvent::StepCached { index } => self.close_step(*index, &["CACHED".to_owned()]),
            BuildEvent::StepOutput { index, bytes, .. } => self.output(*index, bytes),
            BuildEvent::StepFinished {
                index,
                duration,
                layer_bytes,
            } => {
                let mut lines = self.rest(*index);
                lines
                    .extend(layer_bytes.map(|bytes| format!("layer {}", units::human_size(bytes))));
                lines.push(done(*duration));
                self.close_step(*index, &lines)
            }
            BuildEvent::StepFailed { index, text, .. } => {
                let mut lines = self.rest(*index);
                lines.push(format!("ERROR: {text}"));
                self.close_step(*index, &lines)
            }
            _ => self.task_event(event),
        }
    }

    fn task_event(&mut self, event: &BuildEvent) -> String {
        match event {
            BuildEvent::TaskStarted { task, text } => {
                let number = self.begin(text.clone());
                self.tasks.insert(*task, number);
                self.about(number, &[])
            }
            BuildEvent::TaskProgress { task, text } => match self.tasks.get(task) {
                Some(number) => self.about(*number, std::slice::from_ref(text)),
                None => String::new(),
            },
            BuildEvent::TaskFinished { task, duration } => self.close_task(*task, done(*duration)),
            BuildEvent::TaskFailed { task, text, .. } => {
                self.close_task(*task, format!("ERROR: {text}"))
            }
            _ => String::new(),
        }
    }
}

impl Render for Plain {
    fn event(&mut self, event: &BuildEvent) -> String {
        match event {
            BuildEvent::Loaded {
                what,
                bytes,
                duration,
            } => {
                let read = bytes.map(|bytes| format!("reading {} done", units::human_size(bytes)));
                let lines: Vec<String> = read.into_iter().chain([done(*duration)]).collect();
                self.instant(format!("[internal] load {what}"), &lines)
            }
            BuildEvent::ContextScanned { files, bytes } => {
                let size = units::human_size(*bytes);
                let lines = [
                    format!("reading {files} files, {size} done"),
                    done(Duration::ZERO),
                ];
                self.instant("[internal] load build context".to_owned(), &lines)
            }
            BuildEvent::StageStarted {
                stage,
                total,
                base,
                steps,
                ..
            } => {
                self.stages = Stages(*total);
                let Some(base) = base else {
                    return String::new();
                };
                let text = format!("FROM {base}");
                let title = title(self.stages.shown(stage), 1, *steps, &text);
                self.instant(title, &["CACHED".to_owned()])
            }
            BuildEvent::EpochChosen { seconds, source } => {
                let lines = [format!("{seconds}, {source}"), done(Duration::ZERO)];
                self.instant("[internal] choose the epoch".to_owned(), &lines)
            }
            BuildEvent::Warning(warning) => {
                self.warnings.push(warning.clone());
                match foretold(warning) {
                    Some((head, hints)) => self.instant(format!("[check] {head}"), &hints),
                    None => String::new(),
                }
            }
            BuildEvent::Exporting { layers } => {
                let number = self.begin("exporting to image".to_owned());
                self.exporting = number;
                self.about(number, &[format!("exporting {layers} layers")])
            }
            BuildEvent::Finished { image, names, .. } => self.finished(image, names),
            _ => self.step_event(event),
        }
    }

    fn end(&mut self) -> String {
        warnings(&self.warnings)
    }
}

#[cfg(test)]
mod tests {
    use hoist_core::event::Stream;

    use super::*;

    fn started(index: usize, stage: &str, text: &str) -> BuildEvent {
        BuildEvent::StepStarted {
            index,
            total: 3,
            stage: stage.to_owned(),
            number: index + 1,
            of: 3,
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
            BuildEvent::Loaded { what: "build definition from Dockerfile".to_owned(), bytes: Some(120), duration: Duration::ZERO },
            BuildEvent::Loaded { what: ".dockerignore".to_owned(), bytes: None, duration: Duration::ZERO },
            BuildEvent::Warning(warning),
            BuildEvent::ContextScanned { files: 3, bytes: 2048 },
            BuildEvent::StageStarted {
                stage: "builder".to_owned(),
                index: 1,
                total: 2,
                base: Some("docker.io/library/python:3.11-slim".to_owned()),
                steps: 3,
            },
            started(1, "builder", "RUN pip install -r requirements.txt"),
            BuildEvent::StepReason { index: 1, text: "requirements.txt changed".to_owned() },
            output(1, "Collecting fastapi\nColl"),
            started(2, "stage-1", "COPY . ."),
            output(1, "ecting uvicorn\n"),
            BuildEvent::StepFinished { index: 2, duration: second, layer_bytes: Some(1_500) },
            output(1, "no line feed"),
            BuildEvent::StepFinished { index: 1, duration: second, layer_bytes: Some(12_300_000) },
            BuildEvent::Exporting { layers: 2 },
            BuildEvent::Finished { image: Digest::of(b""), names: vec!["my-api:1.0".to_owned()], duration: second },
        ]), @r"
        #1 [internal] load build definition from Dockerfile
        #1 reading 120B done
        #1 DONE 0.0s

        #2 [internal] load .dockerignore
        #2 DONE 0.0s

        #3 [internal] load build context
        #3 reading 3 files, 2.05kB done
        #3 DONE 0.0s

        #4 [builder 1/3] FROM docker.io/library/python:3.11-slim
        #4 CACHED

        #5 [builder 2/3] RUN pip install -r requirements.txt
        #5 not cached: requirements.txt changed
        #5 0.000 Collecting fastapi
        #5 ...

        #6 [stage-1 3/3] COPY . .
        #6 ...

        #5 [builder 2/3] RUN pip install -r requirements.txt
        #5 0.000 Collecting uvicorn
        #5 ...

        #6 [stage-1 3/3] COPY . .
        #6 layer 1.5kB
        #6 DONE 1.2s

        #5 [builder 2/3] RUN pip install -r requirements.txt
        #5 0.000 no line feed
        #5 layer 12.3MB
        #5 DONE 1.2s

        #7 exporting to image
        #7 exporting 2 layers
        #7 exporting layers done
        #7 writing image sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 done
        #7 naming to my-api:1.0 done
        #7 DONE 0.0s

         1 warning found (use --check to expand):
         - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)
        ");
    }

    #[test]
    fn a_failing_step_ends_with_its_error() {
        insta::assert_snapshot!(written(&[
            started(1, "stage-0", "RUN false"),
            BuildEvent::StepFailed {
                index: 1,
                duration: Duration::ZERO,
                exit_code: Some(1),
                text: "process \"/bin/sh -c false\" did not complete successfully: exit code: 1".to_owned(),
            },
        ]), @r#"
        #1 [2/3] RUN false
        #1 ERROR: process "/bin/sh -c false" did not complete successfully: exit code: 1
        "#);
    }

    #[test]
    fn a_reproducible_build_tells_its_time_and_its_rules() {
        insta::assert_snapshot!(written(&[
            BuildEvent::EpochChosen { seconds: 7, source: "the commit 1a2b3c".to_owned() },
            started(1, "stage-0", "RUN apt-get install x"),
            BuildEvent::RuleApplied { index: 1, rule: "apt-log", effect: "left out", files: 1 },
        ]), @r"
        #1 [internal] choose the epoch
        #1 7, the commit 1a2b3c
        #1 DONE 0.0s

        #2 [2/3] RUN apt-get install x
        #2 apt-log: 1 file left out
        ");
    }

    #[test]
    fn what_makes_a_step_fail_is_told_before() {
        let warning = Warning {
            rule: Some("BashUnderSh".to_owned()),
            message: "`<(` is bash syntax, and /bin/sh runs this".to_owned(),
            file: None,
            line: Some(9),
            hints: vec!["write SHELL [\"/bin/bash\", \"-c\"] before it".to_owned()],
        };
        insta::assert_snapshot!(written(&[
            BuildEvent::Warning(warning),
            started(1, "stage-0", "RUN cat <(date)"),
        ]), @r#"
        #1 [check] BashUnderSh: line 9: `<(` is bash syntax, and /bin/sh runs this
        #1 hint: write SHELL ["/bin/bash", "-c"] before it

        #2 [2/3] RUN cat <(date)

         1 warning found (use --check to expand):
         - BashUnderSh: `<(` is bash syntax, and /bin/sh runs this (line 9)
        "#);
    }
}
