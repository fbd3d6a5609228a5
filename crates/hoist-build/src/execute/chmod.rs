//! The value of `--chmod`: octal, or symbolic as `chmod(1)` takes it (`u=rwX,go=rX`).

/// A parsed `--chmod`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chmod {
    /// These twelve bits.
    Bits(u32),
    /// These changes, one after the other.
    Changes(Vec<Change>),
}

/// One `[ugoa]*[-+=][rwxXst]*` or `[ugoa]*[-+=][ugo]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// Which classes, as a mask of their twelve bits.
    who: u32,
    operation: char,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Permissions {
        /// Of one class: 4 read, 2 write, 1 execute.
        bits: u32,
        /// `X`: execute where it is a directory or anyone may execute.
        conditional: bool,
        /// `s` and `t`, as mode bits.
        special: u32,
    },
    /// What this class has (shift of its bits).
    Copy(u32),
}

const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHER: u32 = 0o1007;

impl Chmod {
    /// Parse the value of `--chmod`; the error is a message in Docker's words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let invalid = || {
            format!(
                "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
            )
        };
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let bits = u32::from_str_radix(text, 8).map_err(|_| invalid())?;
            return if bits <= 0o7777 {
                Ok(Self::Bits(bits))
            } else {
                Err(invalid())
            };
        }
        let mut changes = Vec::new();
        for clause in text.split(',') {
            clause_changes(clause, &mut changes).ok_or_else(invalid)?;
        }
        Ok(Self::Changes(changes))
    }

    /// What becomes of `mode`.
    pub(crate) fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Self::Bits(bits) => *bits,
            Self::Changes(changes) => changes
                .iter()
                .fold(mode, |mode, change| change.apply(mode, is_directory)),
        }
    }
}

impl Change {
    fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let bits = match &self.what {
            What::Permissions {
                bits,
                conditional,
                special,
            } => {
                let execute = *conditional && (is_directory || mode & 0o111 != 0);
                let bits = bits | u32::from(execute);
                (bits << 6 | bits << 3 | bits | special) & self.who
            }
            What::Copy(shift) => {
                let bits = mode >> shift & 0o7;
                (bits << 6 | bits << 3 | bits) & self.who
            }
        };
        match self.operation {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => {
                // As chmod(1): `=` leaves the set-id bits of a directory alone unless named.
                let keep = if is_directory { 0o6000 & !bits } else { 0 };
                mode & !(self.who & !keep) | bits
            }
        }
    }
}

/// Parse `[ugoa]*` and one or more operations; `None` when it is malformed.
fn clause_changes(clause: &str, changes: &mut Vec<Change>) -> Option<()> {
    let operations = clause.find(['+', '-', '='])?;
    let (classes, mut rest) = clause.split_at(operations);
    let mut who = 0;
    for class in classes.chars() {
        who |= match class {
            'u' => USER,
            'g' => GROUP,
            'o' => OTHER,
            'a' => USER | GROUP | OTHER,
            _ => return None,
        };
    }
    if classes.is_empty() {
        who = USER | GROUP | OTHER;
    }
    while let Some(operation) = rest.chars().next() {
        rest = &rest[1..];
        let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
        let (permissions, after) = rest.split_at(end);
        rest = after;
        changes.push(Change {
            who,
            operation,
            what: what(permissions)?,
        });
    }
    Some(())
}

fn what(permissions: &str) -> Option<What> {
    match permissions {
        "u" => return Some(What::Copy(6)),
        "g" => return Some(What::Copy(3)),
        "o" => return Some(What::Copy(0)),
        _ => {}
    }
    let (mut bits, mut conditional, mut special) = (0, false, 0);
    for permission in permissions.chars() {
        match permission {
            'r' => bits |= 4,
            'w' => bits |= 2,
            'x' => bits |= 1,
            'X' => conditional = true,
            's' => special |= 0o6000,
            't' => special |= 0o1000,
            _ => return None,
        }
    }
    Some(What::Permissions {
        bits,
        conditional,
        special,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_become_what_chmod_makes_of_them() {
        let table = [
            ("755", 0o644, false, 0o755),
            ("0", 0o644, false, 0),
            ("4711", 0o644, false, 0o4711),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o700, true, 0o755),
            ("+x", 0o644, false, 0o755),
            ("a-w", 0o666, false, 0o444),
            ("g=u", 0o640, false, 0o660),
            ("o=", 0o647, false, 0o640),
            ("u+s,+t", 0o755, false, 0o5755),
            ("go-rwx+r", 0o777, false, 0o744),
        ];
        for (text, before, is_directory, after) in table {
            let chmod = Chmod::parse(text).unwrap();
            assert_eq!(
                chmod.apply(before, is_directory),
                after,
                "{text} on {before:o}"
            );
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "8",
            "10000",
            "99999999999",
            "z+x",
            "u",
            "u+q",
            "rwx",
            ",",
            "u=rw,",
        ] {
            assert!(Chmod::parse(text).is_err(), "{text}");
        }
    }
}
