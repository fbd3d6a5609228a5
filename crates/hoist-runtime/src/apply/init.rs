//! hoist's own init: the first process of a container that asks for one.
//!
//! It passes every signal on to the command, reaps whatever is orphaned, and ends as the command
//! ended. It has the user and the capabilities of the command, no descriptor but the standard
//! ones, and cannot be read by the processes around it.

use std::io;

use hoist_sys::signal::{self, Mask, SignalFd};
use rustix::process::WaitOptions;

const SIGCHLD: i32 = 17;
/// Raised by faults of the process itself; never to be held back or passed on.
const OWN: [i32; 5] = [4, 5, 7, 8, 11];

/// Blocks what will be read from the descriptor. Children get their mask reset before they run.
pub(super) fn block_signals() -> io::Result<Mask> {
    let signals: Vec<i32> = (1..=64).filter(|signal| !OWN.contains(signal)).collect();
    let mask = Mask::of(&signals);
    signal::block(&mask)?;
    Ok(mask)
}

/// Serves until the command has ended; returns its exit code.
pub(super) fn run(command: i32, blocked: &Mask) -> i32 {
    let Ok(signals) = SignalFd::new(blocked, false) else {
        return 125;
    };
    loop {
        // Before the first read too: the command may have ended by now.
        if let Some(code) = reap(command) {
            return code;
        }
        match signals.read() {
            Ok(Some(received)) if received.signal == SIGCHLD => {}
            Ok(Some(received)) => pass_on(command, received.signal),
            Ok(None) => {}
            Err(_) => return 125,
        }
    }
}

/// Reaps all that have ended; the exit code if the command is among them.
fn reap(command: i32) -> Option<i32> {
    let mut code = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == command {
            code = status
                .exit_status()
                .or_else(|| Some(128 + status.terminating_signal()?));
        }
    }
    code
}

fn pass_on(command: i32, number: i32) {
    // A command that has just ended needs no signal.
    let _ = signal::send(command, number);
}
