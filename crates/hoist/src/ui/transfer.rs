//! How far the layers of an image are on their way: Docker's lines.
//!
//! On a terminal each layer has a line, which is drawn again as it gets on; elsewhere each change
//! that matters is a line of its own.

use std::{
    fmt::Write as _,
    io::IsTerminal as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hoist_core::{Digest, Reference, duration, units};
use hoist_engine::image::{ImageEvent, LayerState, Listener};
use hoist_registry::RegistryEvent;

use super::terminal;
use crate::{format::ellipsis, settings};

/// Between two drawings of bytes that arrive.
const TICK: Duration = Duration::from_millis(100);
/// Width of a bar, where there is room for it.
const BAR: usize = 50;
/// A shorter one says nothing.
const LEAST_BAR: usize = 10;
const ERASE_LINE_ABOVE: &str = "\x1b[1A\x1b[2K";

/// Where the lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// They are what the command was asked for.
    Output,
    /// They come before it.
    Error,
    /// Nowhere.
    Nowhere,
}

/// The progress of one image; clones show on the same lines.
#[derive(Debug, Clone)]
pub(crate) struct Transfer {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    stream: Stream,
    live: bool,
    columns: usize,
    layers: Vec<(Digest, LayerState)>,
    /// Lines that the next drawing erases first.
    drawn: usize,
    last: Option<Instant>,
    warned: Option<String>,
}

impl Transfer {
    /// Progress on this stream.
    pub(crate) fn on(stream: Stream) -> Self {
        let terminal = match stream {
            Stream::Output => std::io::stdout().is_terminal(),
            Stream::Error => terminal::stderr_is_terminal(),
            Stream::Nowhere => false,
        };
        let live = terminal && !settings::dumb_terminal();
        Self {
            shared: Arc::new(Mutex::new(State {
                stream,
                live,
                columns: terminal::columns(),
                layers: Vec::new(),
                drawn: 0,
                last: None,
                warned: None,
            })),
        }
    }

    /// What the engine tells its events to.
    pub(crate) fn listener(&self) -> Listener {
        let this = self.clone();
        Arc::new(move |event| this.lock().event(event))
    }

    /// What a registry client tells its events to.
    pub(crate) fn registry_listener(&self) -> Arc<dyn Fn(&RegistryEvent) + Send + Sync> {
        let this = self.clone();
        Arc::new(move |event| {
            if let Some(text) = warning(event) {
                this.lock().warn(text);
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the user should know of the wire.
fn warning(event: &RegistryEvent) -> Option<String> {
    Some(match event {
        RegistryEvent::Retrying { reason, after, .. } => {
            format!(
                "{reason}: trying again in {:.1} seconds",
                after.as_secs_f64()
            )
        }
        RegistryEvent::MirrorFailed { mirror, reason } => {
            format!("mirror {mirror} is of no use: {reason}")
        }
        RegistryEvent::RateLimit {
            registry,
            limit,
            remaining,
            window,
        } if *remaining <= limit / 10 => {
            let window = window.map_or_else(String::new, |window| {
                format!(" in {}", duration::human(window).to_lowercase())
            });
            format!("{registry}: {remaining} of {limit} pulls{window} are left")
        }
        _ => return None,
    })
}

impl State {
    fn event(&mut self, event: &ImageEvent) {
        match event {
            ImageEvent::Pulling(reference) => {
                self.layers.clear();
                self.drawn = 0;
                self.say(&format!(
                    "{}: Pulling from {}\n",
                    version(reference),
                    reference.path()
                ));
            }
            ImageEvent::Pushing(reference) => {
                self.layers.clear();
                self.drawn = 0;
                self.say(&format!(
                    "The push refers to repository [{}/{}]\n",
                    reference.domain(),
                    reference.path()
                ));
            }
            ImageEvent::Layer { layer, state } => self.layer(*layer, state),
        }
    }

    fn layer(&mut self, layer: Digest, state: &LayerState) {
        let known = self.layers.iter_mut().find(|(digest, _)| *digest == layer);
        let is_change = match known {
            Some((_, before)) => {
                let is_change = std::mem::discriminant(before) != std::mem::discriminant(state);
                *before = state.clone();
                is_change
            }
            None => {
                self.layers.push((layer, state.clone()));
                true
            }
        };
        if self.live {
            if is_change || self.last.is_none_or(|last| last.elapsed() >= TICK) {
                self.last = Some(Instant::now());
                let drawing = self.drawing("");
                self.say(&drawing);
            }
        } else if is_change && is_milestone(state) {
            let line = format!("{}: {}\n", layer.short(), words(state));
            self.say(&line);
        }
    }

    /// A warning, unless it was the last one: a registry counts in every answer.
    fn warn(&mut self, text: String) {
        if self.warned.as_ref() != Some(&text) {
            self.note(&text);
            self.warned = Some(text);
        }
    }

    /// A line above the live ones.
    fn note(&mut self, text: &str) {
        if self.live {
            let drawing = self.drawing(&format!("{text}\n"));
            self.say(&drawing);
        } else {
            super::note(text);
        }
    }

    fn drawing(&mut self, before: &str) -> String {
        let mut text = ERASE_LINE_ABOVE.repeat(self.drawn);
        text.push_str(before);
        for (layer, state) in &self.layers {
            let line = format!("{}: {}", layer.short(), detailed(state, self.columns));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", ellipsis(&line, self.columns));
        }
        self.drawn = self.layers.len();
        text
    }

    /// A reader that went away is told about at the end of the command.
    fn say(&self, text: &str) {
        match self.stream {
            Stream::Output => drop(super::out(text)),
            Stream::Error => super::error(text),
            Stream::Nowhere => {}
        }
    }
}

/// The tag or the digest.
fn version(reference: &Reference) -> String {
    match reference.digest() {
        Some(digest) => digest.to_string(),
        None => reference.tag().unwrap_or("latest").to_owned(),
    }
}

/// Whether it is worth a line where lines stay.
const fn is_milestone(state: &LayerState) -> bool {
    !matches!(
        state,
        LayerState::Downloading { .. } | LayerState::Compressing { .. }
    )
}

fn words(state: &LayerState) -> String {
    match state {
        LayerState::Waiting => "Pulling fs layer".to_owned(),
        LayerState::Present => "Already exists".to_owned(),
        LayerState::Downloading { .. } => "Downloading".to_owned(),
        LayerState::Downloaded => "Download complete".to_owned(),
        LayerState::Pulled => "Pull complete".to_owned(),
        LayerState::Compressing { .. } => "Compressing".to_owned(),
        LayerState::Pushing { done: 0, .. } => "Preparing".to_owned(),
        LayerState::Pushing { .. } => "Pushing".to_owned(),
        LayerState::Pushed => "Pushed".to_owned(),
        LayerState::Mounted(from) => format!("Mounted from {from}"),
        LayerState::Known => "Layer already exists".to_owned(),
    }
}

/// The words, and how much of it is done.
fn detailed(state: &LayerState, columns: usize) -> String {
    let (done, total) = match state {
        LayerState::Downloading { done, total } | LayerState::Pushing { done, total }
            if *done > 0 && *total > 0 =>
        {
            (*done, *total)
        }
        LayerState::Compressing { done, .. } => {
            return format!("{}  {}", words(state), units::human_size(*done));
        }
        _ => return words(state),
    };
    let sizes = format!("{}/{}", units::human_size(done), units::human_size(total));
    let words = words(state);
    // What else is in the line: the layer's id, and the spaces and brackets between.
    let taken = 14 + words.len() + sizes.len() + 5;
    let width = columns.saturating_sub(taken).min(BAR);
    if width < LEAST_BAR {
        return format!("{words} {sizes}");
    }
    let share = u128::from(done.min(total)) * width as u128 / u128::from(total);
    let full = usize::try_from(share).unwrap_or(width);
    let bar = format!("{}>", "=".repeat(full.saturating_sub(1)));
    format!("{words} [{bar:<width$}] {sizes}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_the_terminal() {
        let state = LayerState::Downloading {
            done: 30_000_000,
            total: 59_330_531,
        };
        insta::assert_snapshot!(
            [120, 80, 40].map(|columns| detailed(&state, columns)).join("\n"),
            @"
        Downloading [========================>                         ] 30MB/59.3MB
        Downloading [==================>                    ] 30MB/59.3MB
        Downloading 30MB/59.3MB
        "
        );
        for columns in [80, 60, 50] {
            let line = detailed(&state, columns);
            assert!(14 + line.len() <= columns, "{columns}: {line}");
        }
    }
}
