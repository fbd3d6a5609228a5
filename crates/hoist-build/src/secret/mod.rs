//! What a build is trusted with: secrets and agents of `RUN --mount`, and the care taken of them.
//!
//! A value is shown to the step that mounts it and to nobody else. [`redact`] takes it out of what
//! is shown and stored of the step's output, [`scan`] looks through every new layer for it, and
//! [`published`] through the layers of an image that is to leave this machine.

pub(crate) mod key;
pub(crate) mod published;
pub(crate) mod redact;
pub(crate) mod scan;

use std::{fmt, path::PathBuf, sync::Arc};

pub use key::SshKey;

/// The largest secret, in bytes: BuildKit's limit.
pub const MAX_SECRET_BYTES: usize = 500 * 1024;

/// A secret of `--secret`: what `RUN --mount=type=secret,id=…` shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    id: String,
    value: Vec<u8>,
}

impl Secret {
    /// The secret `id`.
    #[must_use]
    pub fn new(id: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self {
            id: id.into(),
            value: value.into(),
        }
    }

    /// What mounts call it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its value.
    pub(crate) fn value(&self) -> &[u8] {
        &self.value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("id", &self.id)
            .field("value", &"***")
            .finish()
    }
}

/// An SSH agent of `--ssh`: what `RUN --mount=type=ssh,id=…` reaches.
#[derive(Debug, Clone)]
pub struct SshAgent {
    /// What mounts call it; `default` for those that say nothing.
    pub id: String,
    /// Who answers.
    pub source: AgentSource,
}

/// Who answers what a step asks of an SSH agent.
#[derive(Debug, Clone)]
pub enum AgentSource {
    /// The agent that listens at this socket.
    Socket(PathBuf),
    /// hoist itself, with these keys.
    Keys(Arc<[SshKey]>),
}

/// The pieces of a secret that are recognised elsewhere: its value without white space around it,
/// and those of its lines that look like keys on their own.
fn pieces(value: &[u8]) -> Vec<&[u8]> {
    let whole = value.trim_ascii();
    let mut pieces = vec![whole];
    if whole.contains(&b'\n') {
        let lines = whole.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        pieces.extend(lines.filter(|line| is_key_like(line)));
    }
    pieces
}

/// True for a word long and mixed enough that it can hardly be anything but part of a secret.
fn is_key_like(line: &[u8]) -> bool {
    line.len() >= 20
        && !line.iter().any(u8::is_ascii_whitespace)
        && line.iter().any(u8::is_ascii_digit)
        && line.iter().any(u8::is_ascii_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_its_value() {
        let secret = Secret::new("token", "hunter2");
        assert_eq!(
            format!("{secret:?}"),
            r#"Secret { id: "token", value: "***" }"#
        );
    }

    #[test]
    fn a_file_of_several_lines_is_recognised_by_each_key_in_it() {
        let file = b"[pypi]\nusername = me\nhttps://me:a1b2c3d4e5@example.com\n";
        let found: Vec<_> = pieces(file).iter().map(|piece| piece.len()).collect();
        assert_eq!(found, [file.len() - 1, 33]);
        assert_eq!(pieces(b" hunter2\n"), [b"hunter2"]);
    }
}
