//! The progress of a build on standard error: live lines on a terminal, plain text elsewhere.

mod live;
mod plain;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{thread::JoinHandle, time::Duration};

use hoist_core::event::{BuildEvent, Warning};

use self::{live::Live, plain::Plain};
use crate::{settings, ui::terminal};

/// How often live lines are drawn again while nothing happens.
const TICK: Duration = Duration::from_millis(100);

/// How a build shows its progress (`--progress`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// Live lines where standard error is a terminal, plain text elsewhere.
    #[default]
    Auto,
    /// Live lines.
    Terminal,
    /// Lines that are only ever appended, in BuildKit's plain form.
    Plain,
    /// Each event as a line of JSON.
    RawJson,
    /// Nothing.
    Quiet,
}

/// Something that turns the events of a build into text.
trait Render: Send {
    /// What to write about `event`.
    fn event(&mut self, event: &BuildEvent) -> String;
    /// What to write when time has passed.
    fn tick(&mut self) -> String {
        String::new()
    }
    /// What to write at the end, whether good or bad.
    fn end(&mut self) -> String {
        String::new()
    }
}

/// A running build's progress; dropping it leaves the terminal as it should be.
pub(crate) struct Progress {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

struct State {
    renderer: Box<dyn Render>,
    ended: bool,
}

impl Progress {
    /// Progress in the given style.
    pub(crate) fn new(style: Style) -> Self {
        let live = match style {
            Style::Auto => terminal::stderr_is_terminal() && !settings::dumb_terminal(),
            Style::Terminal => true,
            Style::Plain | Style::RawJson | Style::Quiet => false,
        };
        let renderer: Box<dyn Render> = match style {
            Style::Quiet => Box::new(Silent),
            Style::RawJson => Box::new(RawJson),
            _ if live => Box::new(Live::new(terminal::columns(), settings::colour())),
            _ => Box::new(Plain::default()),
        };
        let state = Mutex::new(State {
            renderer,
            ended: false,
        });
        let shared = Arc::new(Shared {
            state,
            ended: Condvar::new(),
        });
        let ticker = live.then(|| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.tick())
        });
        Self { shared, ticker }
    }

    /// Show an event.
    pub(crate) fn event(&self, event: &BuildEvent) {
        let mut state = self.shared.lock();
        super::error(&state.renderer.event(event));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        super::error(&state.renderer.end());
        drop(state);
        self.shared.ended.notify_all();
        if let Some(ticker) = self.ticker.take() {
            // A ticker that panicked has said so.
            drop(ticker.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) {
        let mut state = self.lock();
        while !state.ended {
            super::error(&state.renderer.tick());
            let waited = self.ended.wait_timeout(state, TICK);
            state = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }
}

/// `--quiet`.
struct Silent;

impl Render for Silent {
    fn event(&mut self, _: &BuildEvent) -> String {
        String::new()
    }
}

/// `--progress rawjson`.
struct RawJson;

impl Render for RawJson {
    fn event(&mut self, event: &BuildEvent) -> String {
        let mut line = serde_json::to_string(event).unwrap_or_default();
        line.push('\n');
        line
    }
}

/// `1.2`.
fn seconds(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64())
}

/// How many stages a build does.
#[derive(Debug, Clone, Copy, Default)]
struct Stages(usize);

impl Stages {
    /// What is shown of a stage's name: nothing when it is the only one, and has none of its own.
    fn shown(self, name: &str) -> &str {
        if self.0 <= 1 && name == "stage-0" {
            ""
        } else {
            name
        }
    }
}

/// `[builder 2/5] RUN make`; a stage without a name is left out.
fn title(stage: &str, number: usize, of: usize, text: &str) -> String {
    let space = if stage.is_empty() { "" } else { " " };
    let width = of.to_string().len();
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("[{stage}{space}{number:>width$}/{of}] {one_line}")
}

/// The warnings of a build in the order of the file, as BuildKit lists them at its end. What a
/// rule advises is shown by `--check`.
/// Checks whose findings make a step fail: they are told before it costs anything.
const FORETELLING: [&str; 2] = ["BashUnderSh", "UvPipNeedsSystem"];

/// What is told of `warning` at once, when a step is going to fail for it: its head, and what to do.
fn foretold(warning: &Warning) -> Option<(String, Vec<String>)> {
    let rule = warning.rule.as_deref()?;
    if !FORETELLING.contains(&rule) {
        return None;
    }
    let line = warning.line.map(|line| format!("line {line}: "));
    let head = format!("{rule}: {}{}", line.unwrap_or_default(), warning.message);
    let hints = warning.hints.iter().map(|hint| format!("hint: {hint}"));
    Some((head, hints.collect()))
}

fn warnings(warnings: &[Warning]) -> String {
    if warnings.is_empty() {
        return String::new();
    }
    let plural = if warnings.len() == 1 { "" } else { "s" };
    let mut text = format!(
        "\n {} warning{plural} found (use --check to expand):\n",
        warnings.len()
    );
    let mut warnings: Vec<&Warning> = warnings.iter().collect();
    warnings.sort_by_key(|warning| warning.line);
    for warning in warnings {
        let rule = warning
            .rule
            .as_ref()
            .map(|rule| format!("{rule}: "))
            .unwrap_or_default();
        let place = match (&warning.file, warning.line) {
            (_, Some(line)) => format!(" (line {line})"),
            (Some(file), None) => format!(" ({file})"),
            (None, None) => String::new(),
        };
        text.push_str(&format!(" - {rule}{}{place}\n", warning.message));
        let hints = warning.hints.iter();
        for hint in hints.filter(|_| warning.rule.is_none()) {
            text.push_str(&format!("   hint: {hint}\n"));
        }
    }
    text
}

/// Output of a step cut into lines; the last, unfinished one waits for its end.
#[derive(Debug, Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// The lines that `bytes` complete. A carriage return starts a line anew, as on a terminal.
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.0.extend_from_slice(bytes);
        let Some(end) = self.0.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.0.split_off(end + 1);
        let whole = std::mem::replace(&mut self.0, rest);
        whole[..end]
            .split(|byte| *byte == b'\n')
            .map(shown)
            .collect()
    }

    /// The unfinished line, if there is one.
    fn rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.0);
        (!rest.is_empty()).then(|| shown(&rest))
    }
}

/// A line without what moves the cursor.
fn shown(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let last = line.rsplit(|byte| *byte == b'\r').next().unwrap_or(line);
    let text = String::from_utf8_lossy(last);
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip_escape(&mut characters),
            '\t' => out.push_str("    "),
            control if control.is_control() => {}
            other => out.push(other),
        }
    }
    out
}

/// Passes over the rest of an escape sequence (`ESC [ … letter`, or `ESC` and one character).
fn skip_escape(characters: &mut std::str::Chars<'_>) {
    if characters.next() == Some('[') {
        for character in characters.by_ref() {
            if ('@'..='~').contains(&character) {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_into_lines_that_cannot_move_the_cursor() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"one\ntw"), ["one"]);
        assert_eq!(
            lines.push(b"o\r\n10%\r100%\n\x1b[31mred\x1b[0m\n"),
            ["two", "100%", "red"]
        );
        assert_eq!(lines.rest(), None);
        assert_eq!(lines.push(b"end"), Vec::<String>::new());
        assert_eq!(lines.rest().as_deref(), Some("end"));
    }

    #[test]
    fn a_stage_without_a_name_has_no_name_in_the_title() {
        assert_eq!(
            title("builder", 2, 5, "RUN make  \\\n all"),
            "[builder 2/5] RUN make \\ all"
        );
        assert_eq!(title("", 2, 12, "RUN make"), "[ 2/12] RUN make");
        assert_eq!(Stages(1).shown("stage-0"), "");
        assert_eq!(Stages(2).shown("stage-0"), "stage-0");
        assert_eq!(Stages(1).shown("builder"), "builder");
    }
}
