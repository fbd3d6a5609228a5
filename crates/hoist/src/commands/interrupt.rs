//! Signals that ask a long command to end.

use std::{
    cell::Cell,
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

/// The wish of the user that the command ends.
#[derive(Default)]
pub(crate) struct Interrupt {
    raised: Arc<AtomicBool>,
    is_watched: Cell<bool>,
}

impl Interrupt {
    /// True from the moment when the user wishes it, for whoever looks.
    pub(crate) const fn raised(&self) -> &Arc<AtomicBool> {
        &self.raised
    }

    /// Raise the flag when the user interrupts; from now on signals do nothing else. A second one
    /// ends the program at once: what it leaves is swept by the next command.
    ///
    /// A thread does it, so that the engine must be open: it may enter a user namespace, which
    /// only a process of one thread can.
    pub(crate) fn watch(&self) -> Result<(), CliError> {
        if self.is_watched.replace(true) {
            return Ok(());
        }
        watched(&self.raised, |signals, _| {
            if let Ok(Some(second)) = signals.read() {
                end(second.signal);
            }
        })
    }
}

/// A flag that turns true when the user interrupts work that may be cut at any moment: it is given a short while to end by itself,
/// and then ended with these last words.
pub(crate) fn watch_transfer(last_words: fn() -> CliError) -> Result<Arc<AtomicBool>, CliError> {
    let raised = Arc::default();
    watched(&raised, move |_, first| {
        thread::sleep(GRACE);
        ui::error(&last_words().text("Error"));
        end(first);
    })?;
    Ok(raised)
}

/// End as a program does that never looked at the signal.
fn end(signal: i32) {
    signal::reset();
    let this = rustix::process::getpid().as_raw_nonzero().get();
    if let Err(error) = signal::send(this, signal) {
        ui::note(&format!("cannot end at once: {error}"));
    }
}

/// `flag` is raised by the first signal, and then `then` is done, which is told the signal.
fn watched(
    flag: &Arc<AtomicBool>,
    then: impl FnOnce(&SignalFd, i32) + Send + 'static,
) -> Result<(), CliError> {
    let cannot = |error: io::Error| {
        CliError::of(
            Kind::Unavailable,
            format!("cannot watch for signals: {error}"),
        )
    };
    let mask = Mask::of(&[Signal::INT, Signal::TERM, Signal::HUP].map(Signal::number));
    signal::block(&mask).map_err(cannot)?;
    let signals = SignalFd::new(&mask, false).map_err(cannot)?;
    let flag = Arc::clone(flag);
    thread::spawn(move || {
        if let Ok(Some(first)) = signals.read() {
            flag.store(true, Ordering::SeqCst);
            then(&signals, first.signal);
        }
    });
    Ok(())
}

/// `error`, or where the user has interrupted the work, the words for that.
pub(crate) fn told(error: CliError, last_words: fn() -> CliError) -> CliError {
    match &error {
        CliError::Failed(failure) if failure.kind == Kind::Cancelled => last_words(),
        _ => error,
    }
}
