//! What was told about steps, so that a second go at the stages says nothing twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use hoist_core::event::BuildEvent;

/// Passes events on, but for what repeats itself: the stages that begin again, and the steps that are
/// found in the cache when they were told of before.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    stages: BTreeSet<usize>,
    /// Steps whose end was told.
    steps: BTreeSet<usize>,
    /// Their second beginnings, until it is known what follows.
    held: BTreeMap<usize, BuildEvent>,
}

impl Told {
    /// Pass `event` on to `events`, unless it is nothing new.
    pub(super) fn pass(&self, event: BuildEvent, events: &(dyn Fn(BuildEvent) + Sync)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = match (&event, event.step()) {
            (BuildEvent::StageStarted { index, .. }, _) if !state.stages.insert(*index) => return,
            (_, None) => {
                drop(state);
                return events(event);
            }
            (_, Some(index)) => index,
        };
        let held = match &event {
            BuildEvent::StepStarted { .. } if state.steps.contains(&index) => {
                state.held.insert(index, event);
                return;
            }
            BuildEvent::StepCached { .. } => {
                let is_repeated = !state.steps.insert(index);
                if state.held.remove(&index).is_some() && is_repeated {
                    return;
                }
                None
            }
            BuildEvent::StepFinished { .. } => {
                state.steps.insert(index);
                state.held.remove(&index)
            }
            _ => state.held.remove(&index),
        };
        drop(state);
        if let Some(beginning) = held {
            events(beginning);
        }
        events(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_go_tells_only_what_is_new() {
        let started = |index| BuildEvent::StepStarted {
            index,
            total: 3,
            stage: "0".to_owned(),
            number: index,
            of: 2,
            text: format!("RUN {index}"),
        };
        let reason = BuildEvent::StepReason {
            index: 2,
            text: "lost".to_owned(),
        };
        let cached = |index| BuildEvent::StepCached { index };
        let told = Told::default();
        let seen = Mutex::new(Vec::new());
        let first = [started(1), cached(1), started(2), cached(2), started(3)];
        let second = [
            started(1),
            cached(1),
            started(2),
            reason.clone(),
            started(3),
            cached(3),
        ];
        for event in first.iter().chain(&second) {
            told.pass(event.clone(), &|event| seen.lock().unwrap().push(event));
        }
        let mut expected = first.to_vec();
        expected.extend([started(2), reason, started(3), cached(3)]);
        assert_eq!(seen.into_inner().unwrap(), expected);
    }
}
