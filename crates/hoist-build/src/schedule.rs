//! Stages side by side: each in a thread of its own, waiting for those it reads from, with as many
//! steps at work at a time as there are processors.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::error::BuildError;

/// How often whoever waits looks whether the build was given up.
const TICK: Duration = Duration::from_millis(20);

/// By position; `None` as long as the stage is at work.
type Results<T> = Vec<Option<Result<Arc<T>, Failed>>>;

/// The results of stages, as they come.
#[derive(Debug)]
pub(crate) struct Board<T> {
    results: Mutex<Results<T>>,
    changed: Condvar,
}

/// The stage has no result; why is told elsewhere.
#[derive(Debug, Clone, Copy)]
enum Failed {
    /// The build ends.
    Stopped,
    /// It is to be done again, when the others have come to their end.
    Again,
}

impl<T> Board<T> {
    /// A board for `count` stages.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            results: Mutex::new((0..count).map(|_| None).collect()),
            changed: Condvar::new(),
        }
    }

    fn results(&self) -> MutexGuard<'_, Results<T>> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, position: usize, result: Result<Arc<T>, Failed>) {
        self.results()[position] = Some(result);
        self.changed.notify_all();
    }

    /// Wait for the result of the stage at `position`.
    pub(crate) fn wait(&self, position: usize, stop: &AtomicBool) -> Result<Arc<T>, BuildError> {
        let mut results = self.results();
        loop {
            match &results[position] {
                Some(Ok(result)) => return Ok(Arc::clone(result)),
                Some(Err(Failed::Stopped)) => return Err(BuildError::Cancelled),
                Some(Err(Failed::Again)) => return Err(BuildError::CacheLost),
                None if stop.load(Ordering::Relaxed) => return Err(BuildError::Cancelled),
                None => {}
            }
            let waited = self.changed.wait_timeout(results, TICK);
            results = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Wait until every stage has its result. Once `cancelled` is set, `stop` is, too.
    fn wait_all(&self, cancelled: &AtomicBool, stop: &AtomicBool) {
        let mut results = self.results();
        while results.iter().any(Option::is_none) {
            if cancelled.load(Ordering::Relaxed) {
                stop.store(true, Ordering::Relaxed);
            }
            let waited = self.changed.wait_timeout(results, TICK);
            results = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Do `stage` for every position below `count` and give the result of the last one. The first
/// failure stops all; it is the one that is told. A stage that lost a layer of a cache stops only
/// those that wait for it: what the others do will be found the next time.
pub(crate) fn run<T: Send + Sync>(
    count: usize,
    cancelled: &AtomicBool,
    stage: &(impl Fn(usize, &Board<T>, &AtomicBool) -> Result<T, BuildError> + Sync),
) -> Result<Arc<T>, BuildError> {
    let board = Board::new(count);
    if count == 1 {
        return stage(0, &board, cancelled).map(Arc::new);
    }
    let stop = AtomicBool::new(false);
    let first_error = Mutex::new(None);
    std::thread::scope(|scope| {
        for position in 0..count {
            let (board, stop, first_error) = (&board, &stop, &first_error);
            scope.spawn(move || {
                // A stage that panics must not leave others waiting for it.
                let fallen = Fallen { board, position };
                let result = stage(position, board, stop);
                std::mem::forget(fallen);
                match result {
                    Ok(result) => board.post(position, Ok(Arc::new(result))),
                    Err(error) => {
                        let is_lost = matches!(error, BuildError::CacheLost);
                        let mut first = first_error.lock().unwrap_or_else(PoisonError::into_inner);
                        if first.as_ref().is_none_or(|first| outranks(&error, first)) {
                            *first = Some(error);
                        }
                        drop(first);
                        if is_lost {
                            board.post(position, Err(Failed::Again));
                        } else {
                            stop.store(true, Ordering::Relaxed);
                            board.post(position, Err(Failed::Stopped));
                        }
                    }
                }
            });
        }
        board.wait_all(cancelled, &stop);
    });
    let first = first_error
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    match first {
        Some(error) => Err(error),
        None => board.wait(count - 1, &stop),
    }
}

/// Whether `error` is what is told, although `first` came before it.
fn outranks(error: &BuildError, first: &BuildError) -> bool {
    match first {
        BuildError::CacheLost => !matches!(error, BuildError::CacheLost),
        BuildError::Cancelled => !matches!(error, BuildError::Cancelled | BuildError::CacheLost),
        _ => false,
    }
}

struct Fallen<'a, T> {
    board: &'a Board<T>,
    position: usize,
}

impl<T> Drop for Fallen<'_, T> {
    fn drop(&mut self) {
        self.board.post(self.position, Err(Failed::Stopped));
    }
}

/// How many steps may be at work: as many as there are processors.
#[derive(Debug, Default)]
pub(crate) struct Permits {
    /// `None` until the first one asks: a build that finds everything asks nobody.
    free: Mutex<Option<usize>>,
    returned: Condvar,
}

/// The permission to work, until it is dropped.
#[derive(Debug)]
#[must_use = "the permit is given back when it is dropped"]
pub(crate) struct Permit<'a>(&'a Permits);

impl Permits {
    /// Wait for a permit.
    pub(crate) fn acquire(&self, stop: &AtomicBool) -> Result<Permit<'_>, BuildError> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(BuildError::Cancelled);
            }
            let count = free.get_or_insert_with(processors);
            if *count > 0 {
                *count -= 1;
                return Ok(Permit(self));
            }
            let waited = self.returned.wait_timeout(free, TICK);
            free = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = free.map(|count| count + 1);
        drop(free);
        self.0.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_gets_the_result_of_those_it_waits_for() {
        let cancelled = AtomicBool::new(false);
        let result = run(3, &cancelled, &|position, board: &Board<usize>, stop| {
            let below = match position {
                0 => 1,
                position => *board.wait(position - 1, stop)?,
            };
            Ok(below * 10)
        });
        assert_eq!(*result.unwrap(), 1000);
    }

    #[test]
    fn the_first_failure_stops_the_others_and_is_told() {
        let cancelled = AtomicBool::new(false);
        let result = run(
            3,
            &cancelled,
            &|position, board: &Board<()>, stop| match position {
                0 => Err(BuildError::Unsupported {
                    what: "this".to_owned(),
                    hints: Vec::new(),
                }),
                1 => board.wait(0, stop).map(drop),
                _ => {
                    while !stop.load(Ordering::Relaxed) {
                        std::thread::yield_now();
                    }
                    Err(BuildError::Cancelled)
                }
            },
        );
        assert_eq!(result.unwrap_err().to_string(), "this is not supported yet");
    }

    #[test]
    fn an_interruption_reaches_every_stage() {
        let cancelled = AtomicBool::new(true);
        let result = run(2, &cancelled, &|_, _: &Board<()>, stop| {
            Permits {
                free: Mutex::new(Some(0)),
                returned: Condvar::new(),
            }
            .acquire(stop)
            .map(drop)
        });
        assert!(matches!(result, Err(BuildError::Cancelled)));
    }
}
