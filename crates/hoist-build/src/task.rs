//! Work beside the steps, and how it is told.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use hoist_core::event::BuildEvent;

/// `text` without what moves a cursor: where it comes from elsewhere, it may hold anything.
pub(crate) fn printable(text: &str) -> String {
    let shown = |character: char| match character {
        '\n' | '\t' => ' ',
        control if control.is_control() => char::REPLACEMENT_CHARACTER,
        other => other,
    };
    text.chars().map(shown).collect()
}

/// The work of one build beside its steps.
pub(crate) struct Tasks<'a> {
    events: &'a (dyn Fn(BuildEvent) + Sync),
    begun: AtomicUsize,
}

/// A piece of work.
pub(crate) struct Task<'a> {
    events: &'a (dyn Fn(BuildEvent) + Sync),
    number: usize,
    started: Instant,
}

impl<'a> Tasks<'a> {
    /// No work yet; `events` is told about it.
    pub(crate) fn new(events: &'a (dyn Fn(BuildEvent) + Sync)) -> Self {
        Self {
            events,
            begun: AtomicUsize::new(0),
        }
    }

    /// Begin something.
    pub(crate) fn begin(&self, text: &str) -> Task<'a> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        let text = printable(text);
        (self.events)(BuildEvent::TaskStarted { task: number, text });
        Task {
            events: self.events,
            number,
            started: Instant::now(),
        }
    }

    /// Tell something that is about no piece of work.
    pub(crate) fn emit(&self, event: BuildEvent) {
        (self.events)(event);
    }
}

impl Task<'_> {
    /// Say what has been done.
    pub(crate) fn note(&self, text: &str) {
        let task = self.number;
        let text = printable(text);
        (self.events)(BuildEvent::TaskProgress { task, text });
    }

    /// It is done.
    pub(crate) fn done(self) {
        (self.events)(BuildEvent::TaskFinished {
            task: self.number,
            duration: self.started.elapsed(),
        });
    }

    /// It has failed.
    pub(crate) fn failed(self, why: &str) {
        (self.events)(BuildEvent::TaskFailed {
            task: self.number,
            duration: self.started.elapsed(),
            text: printable(why),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_moves_no_cursor() {
        assert_eq!(
            printable("a\u{1b}[2J\nb\u{9b}1A caf\u{e9}"),
            "a\u{fffd}[2J b\u{fffd}1A caf\u{e9}"
        );
    }
}
