//! The user's terminal: its size, and raw mode that is always undone.

use std::{
    io::{self, IsTerminal as _},
    os::fd::AsFd as _,
    sync::Mutex,
};

use hoist_core::{signal::Signal, spec::ConsoleSize};
use hoist_sys::signal::{self, Mask};
use rustix::termios::{self, OptionalActions, Termios};

/// The settings to go back to, while the terminal is in raw mode.
static COOKED: Mutex<Option<Termios>> = Mutex::new(None);

/// Standard input is a terminal.
pub(crate) fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Standard error is a terminal.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Columns of the terminal behind standard error or output; 80 where there is none.
pub(crate) fn columns() -> usize {
    let of = |size: Result<termios::Winsize, _>| size.ok().map(|size| usize::from(size.ws_col));
    of(termios::tcgetwinsize(io::stderr()))
        .or_else(|| of(termios::tcgetwinsize(io::stdout())))
        .filter(|columns| *columns > 0)
        .unwrap_or(80)
}

/// The size of the terminal behind standard output, to give to a container's terminal.
pub(crate) fn console_size() -> Option<ConsoleSize> {
    let size = termios::tcgetwinsize(io::stdout()).ok()?;
    Some(ConsoleSize {
        height: size.ws_row,
        width: size.ws_col,
    })
}

/// Signals whose default action ends this program.
const DEADLY: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// Raw mode of the terminal behind standard input, until dropped (or until a panic).
///
/// Signals that would end this program wait meanwhile, so that raw mode never outlives it; whoever
/// copies streams takes them from a descriptor.
#[derive(Debug)]
pub(crate) struct RawMode {
    before: Mask,
}

impl RawMode {
    /// Switch to raw mode; `None` when standard input is no terminal.
    pub(crate) fn enter() -> Option<Self> {
        let stdin = io::stdin();
        let cooked = termios::tcgetattr(stdin.as_fd()).ok()?;
        let mut raw = cooked.clone();
        raw.make_raw();
        *COOKED.lock().ok()? = Some(cooked);
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            earlier(panic);
        }));
        let before = signal::block(&Mask::of(&DEADLY.map(Signal::number))).ok()?;
        // From here on the drop undoes both.
        let mode = Self { before };
        termios::tcsetattr(stdin.as_fd(), OptionalActions::Now, &raw).ok()?;
        Some(mode)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
        // Setting back a mask that was set before cannot fail.
        let _ = signal::set_mask(&self.before);
    }
}

/// No echo on the terminal behind standard input, until dropped: for passwords. A signal that ends
/// the program meanwhile waits until the answer is there.
#[derive(Debug)]
pub(crate) struct Silence {
    before: Termios,
    mask: Mask,
}

impl Silence {
    /// Turn the echo off; `None` when standard input is no terminal.
    pub(crate) fn enter() -> Option<Self> {
        let stdin = io::stdin();
        let before = termios::tcgetattr(stdin.as_fd()).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(termios::LocalModes::ECHO);
        // Ctrl-C ends the line instead of the program: the echo must come back.
        silent.local_modes.remove(termios::LocalModes::ISIG);
        let mask = signal::block(&Mask::of(&DEADLY.map(Signal::number))).ok()?;
        let silence = Self { before, mask };
        termios::tcsetattr(stdin.as_fd(), OptionalActions::Now, &silent).ok()?;
        Some(silence)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that has hung up needs no settings; a mask that was set before can be set again.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
        let _ = signal::set_mask(&self.mask);
    }
}

/// Leave raw mode, when it was entered.
fn restore() {
    let cooked = COOKED.lock().ok().and_then(|mut cooked| cooked.take());
    if let Some(cooked) = cooked {
        // A terminal that has hung up needs no settings.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Drain, &cooked);
    }
}
