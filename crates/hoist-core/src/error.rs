//! What kind of thing went wrong, and what a person can do about it.
//!
//! Every library crate has one error enum (`thiserror`) that implements [`Describe`]. The command
//! line maps a [`Kind`] to an exit code, an API to a status; nothing else decides wording.

/// The kind of an error, from which exit codes and statuses follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A named container, image, volume or file does not exist.
    NotFound,
    /// The name, port or state is taken or in the way.
    Conflict,
    /// The input is malformed or makes no sense.
    Invalid,
    /// Credentials are missing or refused.
    Unauthorized,
    /// This host, kernel or build cannot do it.
    Unsupported,
    /// Something outside (disk, wire, another process) failed; trying again may help.
    Unavailable,
    /// The user interrupted the work.
    Cancelled,
    /// The command of a container could not be started or failed: its exit code
    /// (126 not executable, 127 not found, otherwise the command's own).
    ContainerCommand(u8),
    /// A defect of hoist.
    Internal,
}

/// An error that knows its kind and the hints that its data allows.
pub trait Describe: std::error::Error {
    /// The kind of this error.
    fn kind(&self) -> Kind;

    /// What to do next: whole sentences without a final period, the most useful one first.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }
}

impl<E: Describe> Describe for Box<E> {
    fn kind(&self) -> Kind {
        (**self).kind()
    }

    fn hints(&self) -> Vec<String> {
        (**self).hints()
    }
}

/// `error` and the errors below it, each once, joined by `: `.
///
/// A source whose text already ends its parent's text is not repeated.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let line = source.to_string();
        if !text.ends_with(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        next = source.source();
    }
    text
}
