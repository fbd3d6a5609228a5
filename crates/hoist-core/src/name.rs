//! Names of containers and volumes.

mod words;

use crate::error::{Describe, Kind};

/// The longest name. Names become file names (255 bytes), some with a suffix.
pub const MAX_LENGTH: usize = 200;

/// The characters that names are made of, as Docker's messages show them.
pub const PATTERN: &str = "[a-zA-Z0-9][a-zA-Z0-9_.-]";

/// Why a name is refused; the words are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A container's name has other characters, or one only.
    #[error("Invalid container name ({0}), only {PATTERN} are allowed")]
    Container(String),
    /// A volume's name has other characters.
    #[error(
        "{0:?} includes invalid characters for a local volume name, only \"{PATTERN}\" are \
         allowed. If you intended to pass a host directory, use absolute path"
    )]
    Volume(String),
    /// A volume's name of one character.
    #[error("volume name is too short, names should be at least two alphanumeric characters")]
    VolumeTooShort,
    /// More than [`MAX_LENGTH`] bytes.
    #[error("name {0:?} is longer than {MAX_LENGTH} characters")]
    TooLong(String),
}

impl Describe for NameError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Container(name) if name.len() == 1 => {
                vec!["names have at least two characters".to_owned()]
            }
            Self::Volume(name) if name.starts_with('~') => {
                vec![
                    "the shell expands ~ at the start of a word only: write \"$HOME/…\"".to_owned(),
                ]
            }
            Self::Volume(name) if name.contains('/') => {
                vec![format!(
                    "to mount a directory that lies here, write ./{name}"
                )]
            }
            _ => Vec::new(),
        }
    }
}

/// Check the name of a container: two or more characters of `[a-zA-Z0-9_.-]`, the first a letter
/// or digit. A leading slash (`/name`, the API's form) is for the caller to take away.
///
/// # Errors
/// [`NameError`] in Docker's words.
pub fn validate_container(name: &str) -> Result<(), NameError> {
    if !is_name(name) || name.len() < 2 {
        return Err(NameError::Container(name.to_owned()));
    }
    check_length(name)
}

/// Check the name of a volume: the same characters as a container's.
///
/// # Errors
/// [`NameError`] in Docker's words.
pub fn validate_volume(name: &str) -> Result<(), NameError> {
    if !is_name(name) {
        return Err(NameError::Volume(name.to_owned()));
    }
    if name.len() < 2 {
        return Err(NameError::VolumeTooShort);
    }
    check_length(name)
}

fn check_length(name: &str) -> Result<(), NameError> {
    match name.len() {
        0..=MAX_LENGTH => Ok(()),
        _ => Err(NameError::TooLong(name.to_owned())),
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    name.as_bytes()
        .first()
        .is_some_and(u8::is_ascii_alphanumeric)
        && name.bytes().all(allowed)
}

/// A name for a container that was given none: an adjective and the surname of a scientist,
/// `patient_hopper`. Equal bytes give equal names.
///
/// There are more than 40 000; the caller draws again when one is taken.
#[must_use]
pub fn random(bytes: [u8; 8]) -> String {
    let [a, b, c, d, e, f, g, h] = bytes;
    let pick = |list: &'static [&'static str], bytes: [u8; 4]| {
        list[u32::from_le_bytes(bytes) as usize % list.len()]
    };
    let adjective = pick(&words::ADJECTIVES, [a, b, c, d]);
    let surname = pick(&words::SURNAMES, [e, f, g, h]);
    format!("{adjective}_{surname}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_checked_with_dockers_words() {
        for name in ["ab", "my-api", "a.b_c-d", "0x", "A1", &"a".repeat(200)] {
            assert_eq!(validate_container(name), Ok(()));
            assert_eq!(validate_volume(name), Ok(()));
        }
        for name in [
            "", "a", "-a", ".a", "_a", "a b", "a/b", "/ab", "ä1", "a\n", "..", "a:b",
        ] {
            let error = validate_container(name).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
                )
            );
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(validate_volume(name).is_err());
        }
        let long = "a".repeat(201);
        assert_eq!(validate_container(&long), Err(NameError::TooLong(long)));
    }

    #[test]
    fn volumes_have_words_of_their_own() {
        assert_eq!(
            validate_volume("a b").unwrap_err().to_string(),
            "\"a b\" includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, \
             use absolute path"
        );
        assert_eq!(
            validate_volume("a").unwrap_err().to_string(),
            "volume name is too short, names should be at least two alphanumeric characters"
        );
        assert_eq!(
            validate_volume("src/x").unwrap_err().hints(),
            ["to mount a directory that lies here, write ./src/x"]
        );
    }

    #[test]
    fn word_lists_are_long_lower_case_and_without_repetition() {
        for (list, least) in [(&words::ADJECTIVES[..], 200), (&words::SURNAMES[..], 200)] {
            assert!(list.len() >= least, "{}", list.len());
            let unique: BTreeSet<_> = list.iter().collect();
            assert_eq!(unique.len(), list.len());
            assert!(list.is_sorted());
            for word in list {
                assert!(word.bytes().all(|byte| byte.is_ascii_lowercase()), "{word}");
            }
        }
    }

    #[test]
    fn random_names_follow_their_bytes() {
        let first = format!("{}_{}", words::ADJECTIVES[0], words::SURNAMES[0]);
        assert_eq!(random([0; 8]), first);
        let second = format!("{}_{}", words::ADJECTIVES[1], words::SURNAMES[2]);
        assert_eq!(random([1, 0, 0, 0, 2, 0, 0, 0]), second);
    }

    proptest! {
        #[test]
        fn random_names_are_valid(bytes: [u8; 8]) {
            prop_assert_eq!(validate_container(&random(bytes)), Ok(()));
        }
    }
}
