//! Signals that ask a long command to end.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use hoist_core::{Kind, signal::Signal};
use hoist_sys::signal::{self, Mask, SignalFd};

use crate::{error::CliError, ui};

/// How long a transfer may take to end by itself: a server that says nothing holds it up.
const GRACE: Duration = Duration::from_secs(2);

/// A flag that turns true when the user interrupts; from now on signals do nothing else. A second
/// one ends the program at once: what it leaves is swept by the next command.
pub(crate) fn watch() -> Result<Arc<AtomicBool>, CliError> {
    watched(|signals, _| {
        if let Ok(Some(second)) = signals.read() {
            end(second.signal);
        }
    })
}

/// The same for work that may be cut at any moment: it is given a short while to end by itself,
/// and then ended with these last words.
pub(crate) fn watch_transfer(last_words: fn() -> CliError) -> Result<Arc<AtomicBool>, CliError> {
    watched(move |_, first| {
        thread::sleep(GRACE);
        ui::error(&last_words().text("Error"));
        end(first);
    })
}

/// End as a program does that never looked at the signal.
fn end(signal: i32) {
    signal::reset();
    let this = rustix::process::getpid().as_raw_nonzero().get();
    if let Err(error) = signal::send(this, signal) {
        ui::note(&format!("cannot end at once: {error}"));
    }
}

/// `then` is done after the first signal, which it is told.
fn watched(
    then: impl FnOnce(&SignalFd, i32) + Send + 'static,
) -> Result<Arc<AtomicBool>, CliError> {
    let cannot = |error: io::Error| {
        CliError::of(
            Kind::Unavailable,
            format!("cannot watch for signals: {error}"),
        )
    };
    let mask = Mask::of(&[Signal::INT, Signal::TERM, Signal::HUP].map(Signal::number));
    signal::block(&mask).map_err(cannot)?;
    let signals = SignalFd::new(&mask, false).map_err(cannot)?;
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancelled);
    thread::spawn(move || {
        if let Ok(Some(first)) = signals.read() {
            flag.store(true, Ordering::SeqCst);
            then(&signals, first.signal);
        }
    });
    Ok(cancelled)
}

/// `error`, or where the user has interrupted the work, the words for that.
pub(crate) fn told(error: CliError, last_words: fn() -> CliError) -> CliError {
    match &error {
        CliError::Failed(failure) if failure.kind == Kind::Cancelled => last_words(),
        _ => error,
    }
}
