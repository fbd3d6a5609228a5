//! The same work on every layer, on a few threads.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::event::PARALLEL;
use crate::error::EngineError;

/// Run `work` for each item, several at a time. The first failure is returned, and raises the flag
/// that the others are given; what has not begun then does not begin.
pub(crate) fn for_each<T: Sync>(
    items: &[T],
    work: &(dyn Fn(&T, &AtomicBool) -> Result<(), EngineError> + Sync),
) -> Result<(), EngineError> {
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL.min(items.len()) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed)
                    && let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    if let Err(error) = work(item, &stop) {
                        let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                        // Set under the lock: the first failure is the cause of the others.
                        stop.store(true, Ordering::Relaxed);
                        first.get_or_insert(error);
                    }
                }
            });
        }
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
