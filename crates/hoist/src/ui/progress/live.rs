//! Live lines: finished steps scroll up, running ones stay below with their last output.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Write as _,
    time::{Duration, Instant},
};

use hoist_core::{
    event::{BuildEvent, Warning},
    units,
};

use super::{Lines, Render, Stages, foretold, seconds, title, warnings};
use crate::format::ellipsis;

/// Lines of output that a running step shows.
const SHOWN_OUTPUT: usize = 6;

/// Move the cursor up one line and erase that line.
const ERASE_LINE_ABOVE: &str = "\x1b[1A\x1b[2K";

pub(super) struct Live {
    columns: usize,
    colour: bool,
    started: Instant,
    steps: BTreeMap<usize, Step>,
    /// Work beside the steps.
    tasks: BTreeMap<usize, Step>,
    stages: Stages,
    total: usize,
    done: usize,
    warnings: Vec<Warning>,
    /// Lines that the next drawing erases first.
    drawn: usize,
}

struct Step {
    title: String,
    started: Instant,
    lines: Lines,
    output: VecDeque<String>,
}

#[derive(Clone, Copy)]
enum Colour {
    Blue,
    Red,
    Faint,
}

impl Live {
    pub(super) fn new(columns: usize, colour: bool) -> Self {
        Self {
            columns,
            colour,
            started: Instant::now(),
            steps: BTreeMap::new(),
            tasks: BTreeMap::new(),
            stages: Stages::default(),
            total: 0,
            done: 0,
            warnings: Vec::new(),
            drawn: 0,
        }
    }

    /// Erase the live lines, write `finished` for good, and draw the live lines again.
    fn draw(&mut self, finished: &str) -> String {
        let mut out = ERASE_LINE_ABOVE.repeat(self.drawn);
        out.push_str(finished);
        let live = self.live_lines();
        self.drawn = live.len();
        for line in live {
            out.push_str(&line);
            out.push('\n');
        }
        out
    }

    fn live_lines(&self) -> Vec<String> {
        if self.steps.is_empty() && self.tasks.is_empty() {
            return Vec::new();
        }
        let elapsed = seconds(self.started.elapsed());
        let mut lines = vec![format!(
            "[+] Building {elapsed}s ({}/{})",
            self.done, self.total
        )];
        for step in self.tasks.values().chain(self.steps.values()) {
            lines.push(self.line(&step.title, step.started.elapsed(), Colour::Blue));
            lines.extend(step.output.iter().map(|line| {
                self.paint(
                    &ellipsis(&format!(" => => {line}"), self.columns),
                    Colour::Faint,
                )
            }));
        }
        lines
    }

    /// ` => title                1.2s`, as wide as the terminal.
    fn line(&self, title: &str, duration: Duration, colour: Colour) -> String {
        let time = format!("{}s", seconds(duration));
        let room = self.columns.saturating_sub(time.len() + 6).max(10);
        let title = ellipsis(title, room);
        self.paint(&format!(" => {title:<room$} {time}"), colour)
    }

    fn paint(&self, text: &str, colour: Colour) -> String {
        let code = match colour {
            Colour::Blue => "34",
            Colour::Red => "31",
            Colour::Faint => "2",
        };
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// The step's last line; it is no longer live.
    fn finish(&mut self, index: usize, mark: &str, duration: Duration, colour: Colour) -> String {
        // One that is done again was counted before.
        self.done = self.total.min(self.done + 1);
        let Some(step) = self.steps.remove(&index) else {
            return String::new();
        };
        self.last_line(&step, mark, duration, colour)
    }

    /// What stays of work beside the steps.
    fn task_event(&mut self, event: &BuildEvent) -> String {
        match event {
            BuildEvent::TaskStarted { task, text } => {
                self.tasks.insert(*task, Step::new(text.clone()));
            }
            BuildEvent::TaskProgress { task, text } => {
                if let Some(task) = self.tasks.get_mut(task) {
                    // The next one takes its place.
                    task.output = VecDeque::from([text.clone()]);
                }
            }
            BuildEvent::TaskFinished { task, duration } => {
                return self.finish_task(*task, "", *duration, Colour::Blue);
            }
            BuildEvent::TaskFailed { task, duration, .. } => {
                return self.finish_task(*task, "ERROR ", *duration, Colour::Red);
            }
            _ => {}
        }
        String::new()
    }

    fn finish_task(
        &mut self,
        task: usize,
        mark: &str,
        duration: Duration,
        colour: Colour,
    ) -> String {
        match self.tasks.remove(&task) {
            Some(task) => self.last_line(&task, mark, duration, colour),
            None => String::new(),
        }
    }

    fn last_line(&self, step: &Step, mark: &str, duration: Duration, colour: Colour) -> String {
        format!(
            "{}\n",
            self.line(&format!("{mark}{}", step.title), duration, colour)
        )
    }
}

impl Step {
    fn new(title: String) -> Self {
        Self {
            title,
            started: Instant::now(),
            lines: Lines::default(),
            output: VecDeque::new(),
        }
    }
}

/// Warnings are listed at the end; what will make a step fail is told at once, too.
impl Live {
    fn warned(&mut self, warning: &Warning) -> String {
        self.warnings.push(warning.clone());
        let Some((head, hints)) = foretold(warning) else {
            return String::new();
        };
        let head = format!("WARN {head}");
        let mut lines = vec![self.line(&head, self.started.elapsed(), Colour::Red)];
        lines.extend(hints.iter().map(|hint| format!(" => {hint}")));
        lines.join("\n") + "\n"
    }
}

impl Render for Live {
    fn event(&mut self, event: &BuildEvent) -> String {
        let finished = match event {
            BuildEvent::ContextScanned { files, bytes } => {
                let size = units::human_size(*bytes);
                let text = format!("[internal] build context: {files} files, {size}");
                self.line(&text, self.started.elapsed(), Colour::Blue) + "\n"
            }
            BuildEvent::StepStarted {
                index,
                total,
                stage,
                number,
                of,
                text,
            } => {
                self.total = *total;
                let stage = self.stages.shown(stage);
                let step = Step::new(title(stage, *number, *of, text));
                self.steps.insert(*index, step);
                String::new()
            }
            BuildEvent::StepOutput { index, bytes, .. } => {
                if let Some(step) = self.steps.get_mut(index) {
                    step.output.extend(step.lines.push(bytes));
                    let surplus = step.output.len().saturating_sub(SHOWN_OUTPUT);
                    drop(step.output.drain(..surplus));
                }
                // The next tick shows it: output may come faster than a terminal can draw.
                return String::new();
            }
            BuildEvent::StepReason { index, text } => match self.steps.get_mut(index) {
                Some(step) => {
                    let _ = write!(step.title, " ({text})");
                    String::new()
                }
                None => String::new(),
            },
            BuildEvent::StepCached { index } => {
                self.finish(*index, "CACHED ", Duration::ZERO, Colour::Blue)
            }
            BuildEvent::StepFinished {
                index, duration, ..
            } => self.finish(*index, "", *duration, Colour::Blue),
            BuildEvent::StepFailed {
                index, duration, ..
            } => self.finish(*index, "ERROR ", *duration, Colour::Red),
            BuildEvent::TaskStarted { .. }
            | BuildEvent::TaskProgress { .. }
            | BuildEvent::TaskFinished { .. }
            | BuildEvent::TaskFailed { .. } => self.task_event(event),
            BuildEvent::Warning(warning) => self.warned(warning),
            BuildEvent::Finished {
                image,
                names,
                duration,
            } => {
                let image = format!("writing image {image}");
                let mut lines = vec![self.line(&image, *duration, Colour::Blue)];
                let names = names.iter();
                lines.extend(
                    names.map(|name| self.paint(&format!(" => naming to {name}"), Colour::Blue)),
                );
                lines.join("\n") + "\n"
            }
            BuildEvent::StageStarted { total, .. } => {
                self.stages = Stages(*total);
                String::new()
            }
            BuildEvent::Loaded { .. }
            | BuildEvent::EpochChosen { .. }
            | BuildEvent::RuleApplied { .. }
            | BuildEvent::PartFinished { .. }
            | BuildEvent::Exporting { .. } => String::new(),
        };
        self.draw(&finished)
    }

    fn tick(&mut self) -> String {
        if self.steps.is_empty() && self.tasks.is_empty() {
            String::new()
        } else {
            self.draw("")
        }
    }

    fn end(&mut self) -> String {
        self.steps.clear();
        self.tasks.clear();
        let listed = warnings(&self.warnings);
        self.draw(&listed)
    }
}

#[cfg(test)]
mod tests {
    use hoist_core::event::Stream;

    use super::*;

    /// What a terminal shows in the end: the escapes that are used, carried out.
    fn screen(text: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for (index, part) in text.split(ERASE_LINE_ABOVE).enumerate() {
            if index > 0 {
                lines.pop();
            }
            lines.extend(part.lines().map(str::to_owned));
        }
        lines
    }

    #[test]
    fn finished_steps_stay_and_live_lines_go() {
        let mut live = Live::new(40, false);
        let started = |index: usize, text: &str| BuildEvent::StepStarted {
            index,
            total: 2,
            stage: "stage-0".to_owned(),
            number: index,
            of: 2,
            text: text.to_owned(),
        };
        let mut text = live.event(&started(1, "RUN make"));
        for line in 0..9 {
            let bytes = format!("line {line}\n").into_bytes();
            text += &live.event(&BuildEvent::StepOutput {
                index: 1,
                stream: Stream::Stdout,
                bytes,
            });
        }
        text += &live.tick();
        let shown = screen(&text);
        assert_eq!(shown.len(), 2 + SHOWN_OUTPUT, "{shown:?}");
        assert_eq!(shown.last().map(String::as_str), Some(" => => line 8"));
        let duration = Duration::from_millis(1200);
        text += &live.event(&BuildEvent::StepFinished {
            index: 1,
            duration,
            layer_bytes: None,
        });
        text += &live.event(&started(2, "COPY . ."));
        text += &live.event(&BuildEvent::StepCached { index: 2 });
        text += &live.end();
        assert_eq!(
            screen(&text),
            [
                " => [1/2] RUN make                 1.2s",
                " => CACHED [2/2] COPY . .          0.0s",
            ]
        );
    }
}
