//! Environment variables: `-e`, `--env-file`, and how they join those of an image.

use crate::error::{Describe, Kind};

/// What a user says about one variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvSetting {
    /// The variable.
    pub name: String,
    /// Its value; `None` takes the variable of the image away (`-e NAME` when the caller's own
    /// environment has no `NAME`).
    pub value: Option<String>,
}

/// Why the settings of an environment are refused; the words are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// `-e` without a name.
    #[error("invalid environment variable: {0}")]
    Flag(String),
    /// A line of a file that is no setting.
    #[error("invalid env file ({file}:{line}): {reason}")]
    File {
        /// The file, as the user named it.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl Describe for EnvError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Flag(_) => "write NAME=value, or NAME to pass the variable on",
            Self::File { .. } => {
                "each line is NAME=value, NAME alone, or a comment that starts with #; \
                 no spaces around =, no export, quotes are part of the value"
            }
        };
        vec![hint.to_owned()]
    }
}

/// The setting of one `-e`: `NAME=value`, or `NAME`, which `lookup` gives a value.
///
/// # Errors
/// [`EnvError::Flag`] when there is no name, or a byte that no environment can hold.
pub fn parse_flag(
    text: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<EnvSetting, EnvError> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, lookup(text)),
    };
    if name.is_empty() || text.contains('\0') {
        return Err(EnvError::Flag(text.to_owned()));
    }
    Ok(EnvSetting {
        name: name.to_owned(),
        value,
    })
}

/// The settings of an `--env-file` with the given `content`; `file` is its name in errors.
///
/// As Docker reads it: a byte order mark and leading white space are skipped, lines that are empty
/// or start with `#` too; the value is everything after `=`, quotes, spaces and `#` included.
/// `NAME` alone takes its value from `lookup` and is left out when there is none.
///
/// # Errors
/// [`EnvError::File`] with the first bad line.
pub fn parse_file(
    file: &str,
    content: &[u8],
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Vec<EnvSetting>, EnvError> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut settings = Vec::new();
    for (index, line) in content.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let setting = parse_line(line, &lookup).map_err(|reason| EnvError::File {
            file: file.to_owned(),
            line: index + 1,
            reason,
        })?;
        settings.extend(setting);
    }
    Ok(settings)
}

fn parse_line(
    line: &[u8],
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Option<EnvSetting>, String> {
    let line = std::str::from_utf8(line).map_err(|error| {
        let at = error.valid_up_to();
        format!("invalid utf8 byte 0x{:02x} in column {}", line[at], at + 1)
    })?;
    let line = line.trim_start();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (name, value) = match line.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (line, None),
    };
    if name.is_empty() {
        return Err(format!("no variable name on line '{line}'"));
    }
    if name.contains([' ', '\t']) {
        return Err(format!("variable '{name}' contains whitespaces"));
    }
    if line.contains('\0') {
        return Err(format!("variable '{name}' contains a NUL byte").replace('\0', ""));
    }
    let value = match value {
        Some(value) => Some(value.to_owned()),
        None => lookup(name),
    };
    Ok(value.map(|value| EnvSetting {
        name: name.to_owned(),
        value: Some(value),
    }))
}

/// The `NAME=value` list of a container: those of the image in their order, with the values that
/// `settings` give them, then the new ones in theirs. The last setting of a name wins.
#[must_use]
pub fn merge(image: &[String], settings: &[EnvSetting]) -> Vec<String> {
    let name_of = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut merged: Vec<(String, String)> = Vec::with_capacity(image.len() + settings.len());
    let mut set = |name: String, value: Option<String>| {
        let known = merged.iter().position(|(known, _)| *known == name);
        match (known, value) {
            (Some(at), Some(entry)) => merged[at].1 = entry,
            (Some(at), None) => drop(merged.remove(at)),
            (None, Some(entry)) => merged.push((name, entry)),
            (None, None) => {}
        }
    };
    for entry in image {
        set(name_of(entry), Some(entry.clone()));
    }
    for EnvSetting { name, value } in settings {
        let entry = value.as_ref().map(|value| format!("{name}={value}"));
        set(name.clone(), entry);
    }
    merged.into_iter().map(|(_, entry)| entry).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookup(name: &str) -> Option<String> {
        (name == "FOO").then(|| "bar".to_owned())
    }

    fn setting(name: &str, value: Option<&str>) -> EnvSetting {
        EnvSetting {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        }
    }

    #[test]
    fn flags_set_pass_on_and_take_away() {
        let table = [
            ("A=1", setting("A", Some("1"))),
            ("A=", setting("A", Some(""))),
            ("A=1=2", setting("A", Some("1=2"))),
            ("A B=1", setting("A B", Some("1"))),
            ("FOO", setting("FOO", Some("bar"))),
            ("NOPE", setting("NOPE", None)),
        ];
        for (text, expected) in table {
            assert_eq!(parse_flag(text, lookup), Ok(expected));
        }
        for text in ["", "=x", "A=\0"] {
            let error = parse_flag(text, lookup).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("invalid environment variable: {text}")
            );
            assert_eq!(error.kind(), Kind::Invalid);
        }
    }

    #[test]
    fn files_are_read_as_docker_reads_them() {
        let content =
            "\u{feff}A=1\n# c\n  B=2\nFOO\nNOPE\n\n\t\nC=\"q\" # x\nD=\nE=a=b \r\n#\nF= x";
        let settings = parse_file("e", content.as_bytes(), lookup).unwrap();
        assert_eq!(
            merge(&[], &settings),
            [
                "A=1",
                "B=2",
                "FOO=bar",
                "C=\"q\" # x",
                "D=",
                "E=a=b ",
                "F= x"
            ]
        );
    }

    #[test]
    fn bad_lines_are_named_with_file_and_number() {
        let table: [(&[u8], &str); 7] = [
            (
                b"A=1\nA B=2\n",
                "invalid env file (.env:2): variable 'A B' contains whitespaces",
            ),
            (
                b"export A=1",
                "invalid env file (.env:1): variable 'export A' contains whitespaces",
            ),
            (
                b"\nFOO \n",
                "invalid env file (.env:2): variable 'FOO ' contains whitespaces",
            ),
            (
                b"A =1",
                "invalid env file (.env:1): variable 'A ' contains whitespaces",
            ),
            (
                b"#\n\n =2",
                "invalid env file (.env:3): no variable name on line '=2'",
            ),
            (
                b"A=1\nA=\xff\n",
                "invalid env file (.env:2): invalid utf8 byte 0xff in column 3",
            ),
            (
                b"A=\0",
                "invalid env file (.env:1): variable 'A' contains a NUL byte",
            ),
        ];
        for (content, message) in table {
            let error = parse_file(".env", content, lookup).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert_eq!(error.kind(), Kind::Invalid);
        }
    }

    #[test]
    fn merging_keeps_the_order_and_the_last_value() {
        let image = ["PATH=/bin", "A=1", "B=2"].map(str::to_owned);
        let settings = [
            setting("C", Some("3")),
            setting("A", Some("9")),
            setting("B", None),
            setting("C", Some("4")),
            setting("NOPE", None),
        ];
        assert_eq!(merge(&image, &settings), ["PATH=/bin", "A=9", "C=4"]);
        let odd = ["A".to_owned(), "A=2".to_owned()];
        assert_eq!(merge(&odd, &[]), ["A=2"]);
    }

    proptest! {
        #[test]
        fn any_file_is_read_or_refused(content in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(settings) = parse_file("e", &content, lookup) {
                for setting in settings {
                    prop_assert!(!setting.name.is_empty() && !setting.name.contains(['=', ' ', '\0']));
                }
            }
        }

        #[test]
        fn merged_names_are_unique(
            image in proptest::collection::vec("[A-C](=[0-9])?", 0..6),
            flags in proptest::collection::vec("[A-D]=[0-9]", 0..6),
        ) {
            let settings: Vec<_> = flags.iter().map(|flag| parse_flag(flag, lookup).unwrap()).collect();
            let merged = merge(&image, &settings);
            let mut names: Vec<_> = merged.iter().map(|entry| entry.split('=').next()).collect();
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            prop_assert_eq!(names.len(), count);
            for flag in settings.iter().rev().take(1) {
                let last = format!("{}={}", flag.name, flag.value.as_ref().unwrap());
                prop_assert!(merged.contains(&last));
            }
        }
    }
}
