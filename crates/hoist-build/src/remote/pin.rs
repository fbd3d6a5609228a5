//! Pinning everything that a plan reads from elsewhere, before anything runs.

use std::{cell::RefCell, collections::BTreeMap, time::Instant};

use hoist_core::event::BuildEvent;

use super::{Pinned, Remote, Supplier, unreachable};
use crate::{
    error::BuildError,
    excerpt::Listing,
    plan::{Action, Plan},
};

/// Find out what everything is that the plan reads from elsewhere.
pub(crate) fn pin_all(
    plan: &Plan,
    supplier: Option<Supplier<'_>>,
    listing: &Listing,
    events: &(dyn Fn(BuildEvent) + Sync),
) -> Result<BTreeMap<usize, Vec<Pinned>>, BuildError> {
    let begun = Instant::now();
    // What is named twice is the same thing in one build.
    let known = RefCell::new(Vec::<(&Remote, Pinned)>::new());
    let pin = |remote| {
        let supplier = supplier.ok_or_else(|| unreachable(&Remote::shown(remote)))?;
        let found = known
            .borrow()
            .iter()
            .find(|(known, _)| *known == remote)
            .map(|(_, pin)| pin.clone());
        if let Some(pin) = found {
            return Ok(pin);
        }
        let pin = supplier.pin(remote)?;
        known.borrow_mut().push((remote, pin.clone()));
        Ok::<_, BuildError>(pin)
    };
    let mut pinned = BTreeMap::new();
    for step in plan.stages.iter().flat_map(|stage| stage.steps()) {
        let Action::Copy(copy) = &step.action else {
            continue;
        };
        let pins = copy.remotes.iter().map(|argument| pin(&argument.remote));
        let pins = pins
            .collect::<Result<Vec<_>, BuildError>>()
            .map_err(|error| error.at(|| listing.excerpt(step.span)))?;
        if !pins.is_empty() {
            pinned.insert(step.index, pins);
        }
    }
    if !pinned.is_empty() {
        events(BuildEvent::PartFinished {
            index: None,
            part: "pin",
            duration: begun.elapsed(),
        });
    }
    Ok(pinned)
}
