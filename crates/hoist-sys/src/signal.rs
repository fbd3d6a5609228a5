//! Signals: blocking them, reading them from a descriptor, and undoing both before a program runs.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// A set of signals.
#[derive(Clone, Copy)]
pub struct Mask(libc::sigset_t);

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let members = (1..=64).filter(|signal| self.contains(*signal));
        f.debug_set().entries(members).finish()
    }
}

impl Mask {
    /// No signal.
    #[must_use]
    pub fn empty() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises the whole set.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            Self(set.assume_init())
        }
    }

    /// Every signal.
    #[must_use]
    pub fn all() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigfillset initialises the whole set.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            Self(set.assume_init())
        }
    }

    /// The given signals; a number that is no signal is left out.
    #[must_use]
    pub fn of(signals: &[i32]) -> Self {
        let mut mask = Self::empty();
        for signal in signals {
            // SAFETY: the set is initialised; a bad number only makes the call fail.
            unsafe { libc::sigaddset(&raw mut mask.0, *signal) };
        }
        mask
    }

    /// Whether `signal` is in the set.
    #[must_use]
    pub fn contains(&self, signal: i32) -> bool {
        // SAFETY: the set is initialised.
        unsafe { libc::sigismember(&raw const self.0, signal) == 1 }
    }
}

/// Blocks the signals of `mask` for the calling thread, and returns the mask before.
///
/// # Errors
///
/// None in practice.
pub fn block(mask: &Mask) -> io::Result<Mask> {
    change(libc::SIG_BLOCK, mask)
}

/// Makes `mask` the signal mask of the calling thread, and returns the mask before.
///
/// # Errors
///
/// None in practice.
pub fn set_mask(mask: &Mask) -> io::Result<Mask> {
    change(libc::SIG_SETMASK, mask)
}

fn change(how: libc::c_int, mask: &Mask) -> io::Result<Mask> {
    let mut before = Mask::empty();
    // SAFETY: both sets are initialised and outlive the call.
    match unsafe { libc::pthread_sigmask(how, &raw const mask.0, &raw mut before.0) } {
        0 => Ok(before),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Gives every signal its default action again and unblocks all: what a program expects to find.
/// (Rust ignores SIGPIPE, `nohup` SIGHUP, a shell's background jobs SIGINT; an `execve` keeps what
/// is ignored.)
pub fn reset() {
    // As the kernel takes it: handler, flags, restorer, mask. All zero is the default action.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        // The C library would refuse the two signals that it keeps for itself.
        // SAFETY: the kernel reads a complete sigaction that installs no code; SIGKILL and SIGSTOP
        // merely fail.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null::<u64>(),
                size_of::<u64>(),
            )
        };
    }
    // Unblocking cannot fail: the arguments are valid.
    let _ = set_mask(&Mask::empty());
}

/// Sends signal `number`, real-time ones included, to the process (or, negative, the process group)
/// `pid`.
///
/// # Errors
///
/// What `kill(2)` says; `EINVAL` for 0 and -1, which would mean many processes.
pub fn send(pid: i32, number: i32) -> io::Result<()> {
    if matches!(pid, 0 | -1) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: no pointers.
    if unsafe { libc::kill(pid, number) } == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A signal read from a [`SignalFd`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// The process that sent it; 0 when the kernel or an outer namespace did.
    pub sender: i32,
}

/// Signals as a readable descriptor (`signalfd(2)`), close-on-exec and non-blocking on request.
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Receives the signals of `mask`, which the caller blocks beside (see [`block`]).
    ///
    /// # Errors
    ///
    /// When the process has too many descriptors.
    pub fn new(mask: &Mask, nonblocking: bool) -> io::Result<Self> {
        let mut flags = libc::SFD_CLOEXEC;
        if nonblocking {
            flags |= libc::SFD_NONBLOCK;
        }
        // SAFETY: the set is initialised; the result is checked before it is owned.
        unsafe {
            match libc::signalfd(-1, &raw const mask.0, flags) {
                -1 => Err(io::Error::last_os_error()),
                fd => Ok(Self(OwnedFd::from_raw_fd(fd))),
            }
        }
    }

    /// The next signal; `None` when none is waiting and the descriptor is non-blocking.
    ///
    /// # Errors
    ///
    /// What `read(2)` says, except an interruption, which is tried again.
    pub fn read(&self) -> io::Result<Option<Received>> {
        let mut information = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        loop {
            // SAFETY: the kernel writes at most `size` bytes into `information`.
            let read =
                unsafe { libc::read(self.0.as_raw_fd(), information.as_mut_ptr().cast(), size) };
            if usize::try_from(read) == Ok(size) {
                // SAFETY: a whole structure was written.
                let information = unsafe { information.assume_init() };
                return Ok(Some(Received {
                    signal: information.ssi_signo.cast_signed(),
                    sender: information.ssi_pid.cast_signed(),
                }));
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(None),
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            }
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_is_read_from_the_descriptor() {
        let mask = Mask::of(&[libc::SIGUSR1]);
        assert!(mask.contains(libc::SIGUSR1) && !mask.contains(libc::SIGUSR2));
        let before = block(&mask).unwrap();
        let signals = SignalFd::new(&mask, true).unwrap();
        assert_eq!(signals.read().unwrap(), None);
        // SAFETY: sends a blocked signal to this very thread.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR1) };
        let received = signals.read().unwrap().unwrap();
        assert_eq!(received.signal, libc::SIGUSR1);
        set_mask(&before).unwrap();
    }
}
