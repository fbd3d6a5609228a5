//! Signals by name and number: the numbering of Linux on x86-64, aarch64, riscv64 and other
//! machines that follow `asm-generic/signal.h`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::{Describe, Kind};

/// Names without `SIG`; the first name of a number is the one that is written.
const NAMES: [(&str, u8); 35] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("UNUSED", 31),
];

/// The first real-time signal that the C libraries leave to programs.
const RTMIN: u8 = 34;
/// The last signal.
const RTMAX: u8 = 64;

/// A signal of Linux, 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signal(u8);

/// Why a text is not a [`Signal`]; the words are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid signal: {0}")]
pub struct SignalError(pub String);

impl Describe for SignalError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hints(&self) -> Vec<String> {
        vec!["write a name (TERM, SIGINT, RTMIN+3) or a number from 1 to 64".to_owned()]
    }
}

impl Signal {
    /// `SIGHUP`.
    pub const HUP: Self = Self(1);
    /// `SIGINT`.
    pub const INT: Self = Self(2);
    /// `SIGQUIT`.
    pub const QUIT: Self = Self(3);
    /// `SIGKILL`, which no process can catch.
    pub const KILL: Self = Self(9);
    /// `SIGUSR1`.
    pub const USR1: Self = Self(10);
    /// `SIGUSR2`.
    pub const USR2: Self = Self(12);
    /// `SIGTERM`, the default way to ask a container to stop.
    pub const TERM: Self = Self(15);
    /// `SIGWINCH`: the terminal has another size.
    pub const WINCH: Self = Self(28);

    /// The signal with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: i32) -> Option<Self> {
        match number {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the pattern keeps it in 1 to 64"
            )]
            1..=64 => Some(Self(number as u8)),
            _ => None,
        }
    }

    /// The number, 1 to 64.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0 as i32
    }

    /// The exit code of a process that this signal ended, as shells and Docker tell it.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        128 + self.0
    }
}

impl fmt::Display for Signal {
    /// `SIGTERM`, `SIGRTMIN+3`; the two that C libraries keep for themselves (32, 33) as numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = NAMES.iter().find(|(_, number)| *number == self.0) {
            return write!(f, "SIG{name}");
        }
        match self.0 {
            RTMIN => f.write_str("SIGRTMIN"),
            RTMAX => f.write_str("SIGRTMAX"),
            number if number > RTMIN => write!(f, "SIGRTMIN+{}", number - RTMIN),
            number => write!(f, "{number}"),
        }
    }
}

impl FromStr for Signal {
    type Err = SignalError;

    /// `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`, `SIGRTMAX-1`.
    fn from_str(text: &str) -> Result<Self, SignalError> {
        parse(text).ok_or_else(|| SignalError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Signal> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if digits(text) {
        return Signal::from_number(text.parse().ok()?);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(Signal(*number));
    }
    let offset = |rest: &str, sign: char| match rest {
        "" => Some(0),
        rest => rest
            .strip_prefix(sign)
            .filter(|offset| digits(offset))
            .and_then(|offset| offset.parse::<u8>().ok()),
    };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        RTMIN.checked_add(offset(rest, '+')?)?
    } else {
        RTMAX.checked_sub(offset(name.strip_prefix("RTMAX")?, '-')?)?
    };
    (RTMIN..=RTMAX).contains(&number).then_some(Signal(number))
}

impl TryFrom<String> for Signal {
    type Error = SignalError;

    fn try_from(text: String) -> Result<Self, SignalError> {
        text.parse()
    }
}

impl From<Signal> for String {
    fn from(signal: Signal) -> Self {
        signal.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_numbers_are_read() {
        let table = [
            ("TERM", 15, "SIGTERM"),
            ("SIGTERM", 15, "SIGTERM"),
            ("sigterm", 15, "SIGTERM"),
            ("15", 15, "SIGTERM"),
            ("9", 9, "SIGKILL"),
            ("IOT", 6, "SIGABRT"),
            ("CLD", 17, "SIGCHLD"),
            ("POLL", 29, "SIGIO"),
            ("SYS", 31, "SIGSYS"),
            ("32", 32, "32"),
            ("RTMIN", 34, "SIGRTMIN"),
            ("RTMIN+3", 37, "SIGRTMIN+3"),
            ("SIGRTMIN+30", 64, "SIGRTMAX"),
            ("SIGRTMAX-1", 63, "SIGRTMIN+29"),
            ("rtmax", 64, "SIGRTMAX"),
            ("RTMAX-30", 34, "SIGRTMIN"),
        ];
        for (text, number, name) in table {
            let signal: Signal = text.parse().unwrap();
            assert_eq!(
                (signal.number(), signal.to_string().as_str()),
                (number, name)
            );
        }
        assert_eq!(Signal::KILL.exit_code(), 137);
    }

    #[test]
    fn every_signal_reads_back_and_goes_through_json() {
        for number in 1..=64 {
            let signal = Signal::from_number(number).unwrap();
            assert_eq!(signal.to_string().parse(), Ok(signal));
            let json = serde_json::to_string(&signal).unwrap();
            assert_eq!(serde_json::from_str::<Signal>(&json).unwrap(), signal);
        }
    }

    #[test]
    fn the_rest_is_refused_in_dockers_words() {
        for text in [
            "",
            "FOO",
            "0",
            "65",
            "-9",
            "+9",
            "SIG",
            "SIG15",
            "RTMIN+31",
            "RTMIN-1",
            "RTMAX+1",
            "RTMAX-31",
            "RTMIN+",
            "RTMIN+x",
            "RTMIN++1",
            "99999999999",
            "TERM ",
        ] {
            let error = text.parse::<Signal>().unwrap_err();
            assert_eq!(error.to_string(), format!("Invalid signal: {text}"));
            assert_eq!(error.kind(), Kind::Invalid);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(SIG)?(RTMIN|RTMAX|TERM)?[-+]?.{0,8}") {
            let _ = text.parse::<Signal>();
        }
    }
}
